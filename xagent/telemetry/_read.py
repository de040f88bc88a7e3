"""From an untrusted file to one typed trace."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from xagent.errors import InvalidCase
from xagent.telemetry._documents import read_documents
from xagent.telemetry._enrich import enrich
from xagent.telemetry._mapping import vocabulary
from xagent.telemetry._readers import Reader, readers
from xagent.telemetry._trace import ProcessTrace, Source, Span
from xagent.telemetry._vocabulary import Vocabulary

MAX_SPANS = 100_000


def read_trace(
    path: Path, trace_id: str | None = None, *, mapping: Path | None = None, keep_payloads: bool = False
) -> ProcessTrace:
    """The trace in a telemetry file, in whichever known format: `trace_id`, or the only one that the file holds.

    mapping: a file of the user's own attribute names (see `docs/telemetry.md`). keep_payloads: keep what was asked and
    answered, not just its hash.

    Raises InvalidCase, naming the file, when it is too large, no known format, holds no spans at all, holds a span
    without ids or start time, two different spans of one id, spans that are each other's ancestors, does not hold this
    trace, or holds several and none was named.
    """
    reader, spans, source = _read(path)
    wanted = _wanted(trace_id, sorted({span.trace_id for span in spans}), path)
    return _trace(
        wanted, [s for s in spans if s.trace_id == wanted], reader, source, path, vocabulary(mapping), keep_payloads
    )


def read_traces(path: Path, *, mapping: Path | None = None) -> tuple[ProcessTrace, ...]:
    """Every trace of a file, by its id; content is not kept. Raises InvalidCase as `read_trace` does."""
    reader, spans, source = _read(path)
    grouped: dict[str, list[Span]] = {}
    for span in spans:
        grouped.setdefault(span.trace_id, []).append(span)
    words = vocabulary(mapping)
    return tuple(_trace(key, grouped[key], reader, source, path, words, False) for key in sorted(grouped))


def _read(path: Path) -> tuple[Reader, list[Span], Source]:
    records, digest, size = read_documents(path)
    reader = _choose(records, path)
    spans = _unique(_spans(reader, records, path), path)
    if not spans:
        raise InvalidCase(
            f"telemetry: {path.name} holds no spans.", "Export the trace again; metrics and logs are not enough."
        )
    return reader, spans, Source(path.name, digest, size, len(spans))


def _trace(
    trace_id: str, spans: list[Span], reader: Reader, source: Source, path: Path, words: Vocabulary, keep: bool
) -> ProcessTrace:
    chosen = sorted(spans, key=lambda s: (s.start_ns, s.span_id))
    _refuse_circles(chosen, path)
    try:
        enriched = enrich(chosen, words, keep=keep)
    except (ValueError, RecursionError) as error:
        raise _unreadable(reader, error, path) from None
    return ProcessTrace(trace_id, reader.name, tuple(enriched), dict(reader.lacks), source)


def _choose(records: Sequence[Any], path: Path) -> Reader:
    known = readers()
    for reader in known:
        if reader.sniff(records):
            return reader
    first = records[0] if records else None
    keys = ", ".join(repr(str(key)[:40]) for key in list(first)[:5]) if isinstance(first, dict) else ""
    seen = f"its first record has the keys {keys}" if keys else "it holds no JSON objects"
    raise InvalidCase(
        f"telemetry: {path.name} is in no known format; {seen}. Tried: {', '.join(r.name for r in known)}.",
        "Export the trace in one of these formats.",
    )


def _spans(reader: Reader, records: Sequence[Any], path: Path) -> list[Span]:
    try:
        spans = reader.read(records)
    except (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RecursionError) as error:
        raise _unreadable(reader, error, path) from None
    if len(spans) > MAX_SPANS:
        raise InvalidCase(
            f"telemetry: {path.name} holds more than {MAX_SPANS} spans.", "Export only the trace of this prediction."
        )
    return spans


def _unreadable(reader: Reader, error: Exception, path: Path) -> InvalidCase:
    reason = str(error.args[0]) if error.args else type(error).__name__
    return InvalidCase(
        f"telemetry: {path.name} is not readable as {reader.name}: {reason[:300]}.",
        "Export the trace again with ids, times and names.",
    )


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


def _refuse_circles(spans: Sequence[Span], path: Path) -> None:
    parents = {span.span_id: span.parent_id for span in spans}
    settled: set[str] = set()
    for span in spans:
        walked: set[str] = set()
        current: str | None = span.span_id
        while current is not None and current in parents and current not in settled:
            if current in walked:
                raise InvalidCase(
                    f"telemetry: {path.name} holds a span that is its own ancestor ({current}).",
                    "Mend the parents, or export the trace again.",
                )
            walked.add(current)
            current = parents[current]
        settled |= walked


def _wanted(trace_id: str | None, found: list[str], path: Path) -> str:
    if trace_id is None:
        if len(found) > 1:
            some = ", ".join(found[:3]) + (", ..." if len(found) > 3 else "")
            raise InvalidCase(
                f"telemetry: {path.name} holds {len(found)} traces ({some}) and the case does not say which is this "
                "prediction's.",
                "Add telemetry.trace_id.",
            )
        return found[0]
    for wanted in (trace_id, trace_id.lower(), trace_id.removeprefix("tr-")):
        if wanted in found:
            return wanted
    raise InvalidCase(
        f"telemetry: {path.name} does not hold the trace {trace_id[:200]}.", "Correct telemetry.trace_id or the file."
    )
