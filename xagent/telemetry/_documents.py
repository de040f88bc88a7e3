"""From an untrusted file to its JSON values: one, one a line, or several one after the other."""

from __future__ import annotations

import hashlib
import json
import math
from collections import Counter
from pathlib import Path
from typing import Any, NoReturn

from xagent.errors import InvalidCase

MAX_TRACE_BYTES = 64 * 1024 * 1024
MAX_DEPTH = 100
_MAX_DIGITS = 40
_MAGIC = {
    b"\x1f\x8b": ("is packed with gzip", "Unpack it first."),
    b"PAR1": ("is a Parquet file", "Write the same table as JSON Lines."),
    b"PK\x03\x04": ("is a ZIP archive", "Unpack it first."),
}


def read_documents(path: Path) -> tuple[list[Any], str, int]:
    """(records, SHA-256 of the file, its bytes). Lists are taken apart, so that a record is never a list.

    Raises InvalidCase, naming the file, for one that cannot be read, is too large or packed, is not UTF-8 text, or
    holds anything but sound JSON: cut off, nested too deeply, a key that stands twice, NaN, or a number beyond range.
    """
    try:
        if path.exists() and not path.is_file():
            raise InvalidCase(f"telemetry: {path.name} is no file.", "Name the file of the trace.")
        size = path.stat().st_size
        if size > MAX_TRACE_BYTES:
            raise InvalidCase(
                f"telemetry: {path.name} is larger than {MAX_TRACE_BYTES // 2**20} MiB.",
                "Export only the trace of this prediction.",
            )
        raw = path.read_bytes()
    except OSError as error:
        raise InvalidCase(f"telemetry: {path.name} cannot be read ({error.strerror}).", "Check the path.") from None
    for magic, (what, mend) in _MAGIC.items():
        if raw.startswith(magic):
            raise InvalidCase(f"telemetry: {path.name} {what}.", mend)
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidCase(f"telemetry: {path.name} is not UTF-8 text.", "Export it as JSON.") from None
    records = _records(_parse(text, path.name))
    _check_depth(records, path.name)
    return records, hashlib.sha256(raw).hexdigest(), len(raw)


def _parse(text: str, name: str) -> list[Any]:
    decoder = json.JSONDecoder(
        parse_constant=_refuse_constant, parse_int=_integer, parse_float=_number, object_pairs_hook=_mapping
    )
    documents: list[Any] = []
    position = _skip_space(text, 0)
    while position < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", position)) + 1
            reason = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
            raise InvalidCase(
                f"telemetry: {name} is not valid JSON near line {line} ({reason}).",
                "Export it again; it may have been cut off.",
            ) from None
        documents.append(document)
        position = _skip_space(text, position)
    return documents


def _records(documents: list[Any]) -> list[Any]:
    """Lists taken apart, two levels deep: Zipkin writes a list of spans, and its server a list of such lists."""
    for _ in range(2):
        if any(isinstance(document, list) for document in documents):
            documents = [inner for d in documents for inner in (d if isinstance(d, list) else [d])]
    return documents


def _check_depth(records: list[Any], name: str) -> None:
    level: list[Any] = records
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for value in level
            if isinstance(value, dict | list)
            for inner in (value.values() if isinstance(value, dict) else value)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return
    raise InvalidCase(
        f"telemetry: {name} is nested more than {MAX_DEPTH} levels deep.", "Export the trace without such payloads."
    )


def _mapping(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        twice = next(key for key, times in Counter(key for key, _ in pairs).items() if times > 1)
        raise ValueError(f"the key {twice[:80]!r} stands twice")
    return found


def _integer(digits: str) -> int:
    if len(digits) > _MAX_DIGITS:
        raise ValueError(f"a number of {len(digits)} digits")
    return int(digits)


def _number(digits: str) -> float:
    value = float(digits) if len(digits) <= 400 else math.inf
    if not math.isfinite(value):
        raise ValueError(f"the number {digits[:40]} is out of range")
    return value


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position
