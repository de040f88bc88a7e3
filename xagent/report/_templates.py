"""Where the templates lie, and the environment that fills them in: everything from a case is text, never markup."""

from __future__ import annotations

import hashlib
import unicodedata
from functools import cache
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined, pass_context
from jinja2.runtime import Context
from markupsafe import Markup

from xagent.errors import ConfigurationFault
from xagent.report._labels import said
from xagent.report._visual import visual


@cache
def template_root() -> Path:
    """The folder of templates: inside the installed package, or at the root of a source checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_templates", package.parent / "templates"):
        if (folder / "report" / "report.html.j2").is_file():
            return folder
    raise ConfigurationFault("The report's templates are missing.", "Reinstall the package.")


@cache
def template_sha256() -> str:
    """SHA-256 over names and contents of every file that shapes a report, fonts included."""
    root = template_root()
    digest = hashlib.sha256()
    for path in sorted(p for part in ("report", "fonts") for p in (root / part).rglob("*") if p.is_file()):
        if path.suffix in (".j2", ".css", ".woff2"):
            name = path.relative_to(root).as_posix()
            digest.update(f"{name} {hashlib.sha256(path.read_bytes()).hexdigest()}\n".encode())
    return digest.hexdigest()


@cache
def environment() -> Environment:
    made = Environment(
        loader=FileSystemLoader(template_root() / "report"),
        autoescape=True,
        undefined=StrictUndefined,
        finalize=neutral,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    made.filters["drawn"] = _drawn
    made.globals["said"] = said
    return made


@pass_context
def _drawn(context: Context, text: str) -> str:
    """A label of a drawing, in the order in which its letters stand when it is drawn on paper."""
    return visual(text) if context.get("paper") else text


_SPACES = "\t\n\r\x0b\x0c\x85\u2028\u2029"
_ISOLATE, _END = "\u2068", "\u2069"
_KEPT = "\u200c\u200d"  # shape letters in Persian and in Indic scripts, change no order


def neutral(value: object) -> object:
    """Text whose order and layout cannot be changed from inside: control and bidirectional marks become U+FFFD.

    Pairs of FIRST STRONG ISOLATE and its end stay: the narrator puts them around names written from right to left, and
    nothing reaches out of them. Markup made by our own templates passes unchanged; None prints as nothing.
    """
    if value is None:
        return ""
    if isinstance(value, Markup) or not isinstance(value, str):
        return value
    if value.isprintable():  # nothing of what is looked for is: a short cut, since every cell of a report comes here
        return value
    paired = _paired(value)
    return "".join(char if place in paired else _neutral(char) for place, char in enumerate(value))


def _paired(text: str) -> set[int]:
    """Places of isolates that are closed, and of what closes them."""
    if _ISOLATE not in text:
        return set()
    opened: list[int] = []
    paired: set[int] = set()
    for place, char in enumerate(text):
        if char == _ISOLATE:
            opened.append(place)
        elif char == _END and opened:
            paired |= {opened.pop(), place}
    return paired


def _neutral(char: str) -> str:
    if char in _SPACES:
        return " "
    if char in _KEPT:
        return char
    return "\ufffd" if unicodedata.category(char) in ("Cc", "Cf", "Cs", "Co", "Cn") else char
