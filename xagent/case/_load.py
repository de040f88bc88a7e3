"""Loading: from untrusted JSON to a validated case, and from its paths to files inside its folder."""

from __future__ import annotations

import hashlib
import json
import time
from functools import lru_cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, ValidationError

from xagent.case._card import SystemCard
from xagent.case._case import Case
from xagent.errors import InvalidCase

MAX_JSON_BYTES = 32 * 1024 * 1024
_Model = TypeVar("_Model", bound=BaseModel)


def load_case(source: str | Path, *, allow_outside: bool = False, stdin: str | None = None) -> Case:
    """The case in a JSON file. `source` `-` takes the text from `stdin`; its paths resolve against the working folder.

    Raises InvalidCase, naming the field and the mend, when the file is missing, malformed or does not fit the schema.
    """
    if str(source) == "-":
        text, folder, name = stdin or "", Path.cwd(), "standard input"
    else:
        path = Path(source)
        text, folder, name = _text_of(path), path.resolve().parent, path.name
    case = validated(Case, _json_of(text, name), name)
    case._folder, case._allow_outside = folder, allow_outside
    return case


_HASHED: dict[tuple[Any, ...], str] = {}
_MOST_HASHED = 4096
_SETTLED = 2 * 10**9
"""Nanoseconds after its last change from which a file's times tell it apart; some file systems count in seconds."""


def load_card(case: Case) -> SystemCard:
    """The case's system card, or an almost empty one when the case names none."""
    if case.system_card is None:
        return SystemCard(schema="xagent.system/1", name=case.model.name)
    path = resolve_file(case, case.system_card, "system_card")
    return validated(SystemCard, _json_of(_text_of(path), path.name), path.name)


def resolve_file(case: Case, relative: str, field: str) -> Path:
    """The file or folder that a path of the case names, refused when it does not exist or leaves the case's folder."""
    root = _resolved(case.folder) if case.folder.is_absolute() else case.folder.resolve()
    try:
        path = (root / relative).resolve()
        exists = path.exists()
    except (OSError, ValueError) as error:
        raise InvalidCase(
            f"{field}: {_short(relative)} is not a usable path ({getattr(error, 'strerror', None) or error}).",
            "Give a path inside the folder of the case.",
        ) from error
    if not case.allow_outside and not path.is_relative_to(root):
        raise InvalidCase(
            f"{field}: {_short(relative)} leaves the folder of the case.",
            "Move the file into that folder, or pass --allow-outside if you trust this case.",
        )
    if not exists:
        raise InvalidCase(
            f"{field}: there is no file {_short(relative)} beside the case.",
            "Check the path; it is relative to the case file.",
        )
    return path


@lru_cache(maxsize=64)
def _resolved(folder: Path) -> Path:
    """Of a link that is moved later the old place is known, so that what is under the new one is refused."""
    return folder.resolve()


def sha256_of(path: Path) -> str:
    """SHA-256 of a file, or of a folder as the hash over its files' names and hashes in sorted order.

    The hash of a file whose inode, size and times of change are as they were is not computed again.
    """
    if path.is_dir():
        lines = [f"{sha256_of(p)}  {p.relative_to(path).as_posix()}\n" for p in sorted(path.rglob("*")) if p.is_file()]
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    state = path.stat()
    key = (str(path), state.st_ino, state.st_size, state.st_mtime_ns, state.st_ctime_ns)
    if key in _HASHED:
        return _HASHED[key]
    with path.open("rb") as stream:
        found = hashlib.file_digest(stream, "sha256").hexdigest()
    # A file that changed a moment ago may change once more within one tick of the file system's clock.
    if time.time_ns() - max(state.st_mtime_ns, state.st_ctime_ns) > _SETTLED:
        if len(_HASHED) >= _MOST_HASHED:
            _HASHED.clear()
        _HASHED[key] = found
    return found


def _short(text: str) -> str:
    return repr(text if len(text) <= 120 else f"{text[:100]}…")


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_JSON_BYTES:
            raise InvalidCase(
                f"{path.name} is larger than {MAX_JSON_BYTES // 2**20} MiB.",
                "Keep tables and images in files of their own.",
            )
        return path.read_text(encoding="utf-8-sig")
    except FileNotFoundError:
        raise InvalidCase(f"There is no file {path}.", "Check the path.") from None
    except IsADirectoryError:
        raise InvalidCase(f"{path} is a folder.", "Name the JSON file itself.") from None
    except UnicodeDecodeError:
        raise InvalidCase(f"{path.name} is not UTF-8 text.", "Save it as UTF-8 JSON.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or error
        raise InvalidCase(f"{path} cannot be read ({why}).", "Check the path and its permissions.") from None


def _json_of(text: str, name: str) -> Any:
    try:
        return json.loads(text, parse_constant=_refuse_constant, object_pairs_hook=_unique_keys)
    except json.JSONDecodeError as error:
        raise InvalidCase(
            f"{name} is not valid JSON: {error.msg} (line {error.lineno}, column {error.colno}).",
            "Mend the file there.",
        ) from None
    except RecursionError:
        raise InvalidCase(f"{name} is nested too deeply.", "A case needs no more than a few levels.") from None
    except ValueError as error:
        said = "a number in it has thousands of digits" if "int_max_str_digits" in str(error) else error
        raise InvalidCase(f"{name}: {said}.", "Mend the file there.") from None


def _refuse_constant(constant: str) -> float:
    raise ValueError(f"{constant} is not a number; use null for a missing value")


def _unique_keys(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) != len(pairs):
        seen: set[str] = set()
        twice = next(key for key, _ in pairs if key in seen or seen.add(key))  # type: ignore[func-returns-value]
        raise ValueError(f"the key {twice!r} stands twice")
    return result


def validated(model: type[_Model], data: Any, name: str) -> _Model:
    """The model that the data make. Raises InvalidCase with the first field that does not fit; `name` says of what."""
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise InvalidCase(*_sentence(error, name)) from None


_SCALARS = ("bool", "int", "float", "str")
_KINDS = ("tabular", "text", "image", "generation")
_MEND = "Correct that value."


def _places(loc: tuple[str | int, ...]) -> list[str]:
    """Where a problem is, without the branches of a choice that are no keys of the file."""
    parts = [str(part) for part in loc]
    if parts[:1] == ["input"] and parts[1:2] and parts[1] in _KINDS:
        del parts[1]
    if loc and loc[-1] in _SCALARS:
        del parts[-1]
    return parts


def _sentence(error: ValidationError, name: str) -> tuple[str, str]:
    """First problem of a validation, as one sentence and its mend."""
    first = error.errors(include_url=False, include_context=False)[0]
    field = ".".join(_places(first["loc"])) or "the top level"
    if first["loc"] and first["loc"][-1] in _SCALARS:
        return f"{name}: {field}: this is neither text, a number of usual size, true, false nor null.", _MEND
    if first["type"] == "extra_forbidden":
        return f"{name}: unknown key {field!r}.", "Remove it or correct its spelling; `xagent schema` lists the keys."
    if first["type"] == "missing":
        return f"{name}: {field!r} is missing.", "Add it; `xagent schema` says what it means."
    more = len(error.errors()) - 1
    tail = f" ({more} more problem{'s' if more > 1 else ''})" if more else ""
    return f"{name}: {field}: {first['msg'].removeprefix('Value error, ')}.{tail}", _MEND
