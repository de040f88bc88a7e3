"""From an untrusted file to one typed trace."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NoReturn

from xagent.errors import InvalidCase
from xagent.telemetry._readers import Reader, readers
from xagent.telemetry._trace import ProcessTrace, Span

MAX_TRACE_BYTES = 64 * 1024 * 1024
MAX_SPANS = 100_000


def read_trace(path: Path, trace_id: str | None = None) -> ProcessTrace:
    """The trace in a telemetry file: `trace_id` (32 hex digits), or the only one that the file holds.

    Raises InvalidCase, naming the file, when it is too large, no known format, holds no spans at all, holds a span
    without ids or start time, does not hold this trace, or holds several and none was named.
    """
    documents = _documents(path)
    reader = next((r for r in readers() if r.sniff(documents)), None)
    if reader is None:
        known = ", ".join(r.name for r in readers())
        raise InvalidCase(f"telemetry: {path.name} is in no known format.", f"Export the trace as one of: {known}.")
    spans = _unique(_spans(reader, documents, path), path)
    if not spans:
        raise InvalidCase(
            f"telemetry: {path.name} holds no spans.", "Export the trace again; metrics and logs are not enough."
        )
    found = sorted({span.trace_id for span in spans})
    wanted = trace_id.lower() if trace_id else _only(found, path)
    if wanted not in found:
        raise InvalidCase(
            f"telemetry: {path.name} does not hold the trace {wanted}.", "Correct telemetry.trace_id or the file."
        )
    chosen = sorted((s for s in spans if s.trace_id == wanted), key=lambda s: (s.start_ns, s.span_id))
    return ProcessTrace(trace_id=wanted, format=reader.name, spans=tuple(chosen))


def _documents(path: Path) -> list[Any]:
    """Every JSON value of the file: one, one a line, or several one after the other."""
    try:
        if path.stat().st_size > MAX_TRACE_BYTES:
            raise InvalidCase(
                f"telemetry: {path.name} is larger than {MAX_TRACE_BYTES // 2**20} MiB.",
                "Export only the trace of this prediction.",
            )
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError:
        raise InvalidCase(f"telemetry: {path.name} is not UTF-8 text.", "Export it as JSON.") from None
    except OSError as error:
        raise InvalidCase(f"telemetry: {path.name} cannot be read ({error.strerror}).", "Check the path.") from None
    decoder = json.JSONDecoder(parse_constant=_refuse_constant)
    documents: list[Any] = []
    position = _skip_space(text, 0)
    while position < len(text):
        try:
            document, position = decoder.raw_decode(text, position)
        except (ValueError, RecursionError) as error:
            line = text.count("\n", 0, getattr(error, "pos", position)) + 1
            reason = "nested too deeply" if isinstance(error, RecursionError) else getattr(error, "msg", str(error))
            raise InvalidCase(
                f"telemetry: {path.name} is not valid JSON near line {line} ({reason}).",
                "Export it again; it may have been cut off.",
            ) from None
        documents.append(document)
        position = _skip_space(text, position)
    return documents


def _skip_space(text: str, position: int) -> int:
    while position < len(text) and text[position] in " \t\r\n":
        position += 1
    return position


def _refuse_constant(constant: str) -> NoReturn:
    raise ValueError(f"{constant} is not a number")


def _spans(reader: Reader, documents: Sequence[Any], path: Path) -> list[Span]:
    try:
        spans = reader.read(documents)
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        reason = str(error.args[0]) if error.args else type(error).__name__
        raise InvalidCase(
            f"telemetry: {path.name} is not readable as {reader.name}: {reason[:300]}.",
            "Export the trace again with ids, times and names.",
        ) from None
    if len(spans) > MAX_SPANS:
        raise InvalidCase(
            f"telemetry: {path.name} holds more than {MAX_SPANS} spans.", "Export only the trace of this prediction."
        )
    return spans


def _unique(spans: list[Span], path: Path) -> list[Span]:
    """Spans exported twice count once; two different spans of one id cannot both be true."""
    known: dict[tuple[str, str], Span] = {}
    for span in spans:
        if known.setdefault((span.trace_id, span.span_id), span) != span:
            raise InvalidCase(
                f"telemetry: {path.name} holds two different spans with the id {span.span_id}.",
                "Export the finished trace once.",
            )
    return list(known.values())


def _only(found: list[str], path: Path) -> str:
    if len(found) > 1:
        raise InvalidCase(
            f"telemetry: {path.name} holds {len(found)} traces and the case does not say which is this prediction's.",
            "Add telemetry.trace_id.",
        )
    return found[0]
