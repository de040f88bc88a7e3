"""`xagent verify`: one file of a report, its form first, then what it says. PDF and HTML carry the data they were drawn
from; it is verified like a JSON, and then what stands on their pages is compared with it."""

from __future__ import annotations

import json
from collections.abc import Iterator
from importlib.metadata import version
from pathlib import Path
from typing import Any

from xagent.errors import InvalidCase
from xagent.narrative import Narrative, Problem
from xagent.report._document import report_json
from xagent.report._printed import Page, bare, first_difference, missing_sentences, same_release
from xagent.report._seal import html_seal_holds
from xagent.report._templates import template_sha256
from xagent.report._verify import MAX_BYTES, Verdict, no_double, verify_report

Json = dict[str, Any]
MARK = b"xagent.report/1"
AGAIN = "Make the report again from its case."


def verify_file(path: Path) -> Verdict:
    """Every problem of a report's file; none when it holds.

    Kinds: those of `verify_report`, and `FILE_KINDS`. Raises InvalidCase for a file that is missing, too large or no
    report at all, ConfigurationFault when what a signature needs is not installed.
    """
    content = read_bytes(path)
    kind = path.suffix.lower()
    if kind == ".pdf" or content[:5] == b"%PDF-":
        from xagent.report._file_pdf import verify_pdf

        return verify_pdf(path.name, content)
    if kind in (".html", ".htm"):
        return verify_html(path.name, content)
    return verify_json(path.name, content)


def read_bytes(path: Path) -> bytes:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidCase(f"{path.name} is larger than {MAX_BYTES >> 20} MiB.", "This is not a report.")
        return path.read_bytes()
    except FileNotFoundError:
        raise InvalidCase(f"There is no file {path}.", "Check the path.") from None
    except OSError as error:
        raise InvalidCase(f"{path} cannot be read ({error.strerror}).", "Check the path.") from None


def verify_json(name: str, content: bytes) -> Verdict:
    """The JSON of a report: that it is written as xagent writes it, byte for byte, and that it holds."""
    try:
        data = parse(content)
    except ValueError as error:
        if MARK not in content[:200]:
            raise InvalidCase(f"{name} is not JSON ({error}).", "Give the .json of a report.") from None
        return Verdict((_problem("form", name, f"{name} is no longer JSON ({error})."),))
    if not isinstance(data, dict):
        raise InvalidCase(f"{name} is not a JSON object.", "Give the .json of a report.")
    verdict = verify_report(data)
    if content not in (written := report_json(data).encode(), written + b"\n"):
        at = next((i for i, (a, b) in enumerate(zip(content, written, strict=False)) if a != b), len(written))
        message = f"{name} is not written as xagent writes it, from byte {at} on: it was changed or saved anew."
        return verdict.with_problems(_problem("form", name, message))
    return verdict


def verify_html(name: str, content: bytes) -> Verdict:
    """The page of a report: its seal, the data inside, its words, its markup."""
    try:
        text = content.decode()
    except UnicodeDecodeError as error:
        if MARK not in content:
            raise InvalidCase(f"{name} is not UTF-8 text.", "Give the .html of a report.") from None
        return Verdict((_problem("form", name, f"{name} is no longer UTF-8 text, at byte {error.start}."),))
    page, sealed = Page(text), html_seal_holds(content)
    if sealed is None and not page.data:
        raise InvalidCase(f"{name} is not the page of a report.", "Give the .html that was saved.")
    problems = list(seal_problems(name, sealed))
    for tag in page.active[:1]:
        problems.append(_problem("form", name, f"{name} holds an element that a report never has (<{tag}>)."))
    try:
        data = parse("".join(page.data).encode()) if len(page.data) == 1 else None
    except ValueError:
        data = None
    if not isinstance(data, dict):
        message = f"{name} does not carry the data that it was drawn from."
        return Verdict((*problems, _problem("attachment", name, message)))
    verdict = verify_report(data).with_problems(*problems)
    if any(p.kind == "schema" for p in verdict.problems):
        return verdict
    return verdict.with_problems(*_page_problems(name, content, page, data), first=True)


def _page_problems(name: str, content: bytes, page: Page, data: Json) -> Iterator[Problem]:
    words = bare("".join(page.words))
    narrative = Narrative.model_validate(data["narrative"])
    found = list(missing_sentences(narrative, [words], page.titles))
    yield from found
    if not same_release(data, version("xagent"), template_sha256()):
        return
    expected = drawn(data)
    if expected is None or content == expected:
        return
    at = next((i for i, (a, b) in enumerate(zip(content, expected, strict=False)) if a != b), len(expected))
    message = f"{name} is not the page that its data gives, from byte {at} on ({expected[at : at + 30]!r})."
    yield _problem("page", name, message)
    if not found and (other := first_difference(words, bare("".join(Page(expected.decode()).words)))):
        yield other


def drawn(data: Json) -> bytes | None:
    """The page that this release draws from the data; None when it cannot (data that does not hold)."""
    from xagent.report._html import render_html

    try:
        return render_html(data).encode()
    except Exception:  # data of a report that was changed may be anything; what is wrong with it is named elsewhere
        return None


def seal_problems(name: str, holds: bool | None) -> Iterator[Problem]:
    if holds is None:
        yield _problem("seal", name, f"{name} has no seal: it was changed, or saved anew by another program.")
    elif not holds:
        yield _problem("seal", name, f"{name} is not the file that was sealed: at least one byte was changed.")


def parse(content: bytes) -> Any:
    """Raises ValueError, also for what is nested too deep or has a key twice."""
    try:
        return json.loads(content.decode(), object_pairs_hook=no_double)
    except RecursionError:
        raise ValueError("it is nested too deep") from None


def _problem(kind: str, token: str, message: str) -> Problem:
    return Problem(kind=kind, token=token, message=message, mend=AGAIN)
