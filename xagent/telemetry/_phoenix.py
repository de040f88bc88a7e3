"""OpenInference spans as Phoenix gives them out: rows of `get_spans_dataframe().to_json(orient="records")` with columns
like `context.span_id` and `attributes.llm.model_name`, or the objects of its REST interface (`{"data": [...]}`).

Format: phoenix's OpenAPI document (`Span`) and the columns of its data frame. A Parquet file must be written as JSON
Lines first. Times are ISO 8601, or numbers when pandas wrote them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from xagent.telemetry._trace import Event, Span, SpanStatus
from xagent.telemetry._values import any_ns, flat, hex_id, text


def sniff_phoenix(records: Sequence[Any]) -> bool:
    """Whether the first record is a span with `span_kind` and a context of two ids."""
    first = records[0] if records else None
    inner = first.get("data") if isinstance(first, Mapping) else None
    row = inner[0] if isinstance(inner, list) and inner else first
    return isinstance(row, Mapping) and "span_kind" in row and bool(_context(row))


def read_phoenix(records: Sequence[Any]) -> list[Span]:
    """Every span of the file. Raises ValueError for a record that is none."""
    return [_span(row, number) for number, row in enumerate(_rows(records), start=1)]


def _rows(records: Sequence[Any]) -> list[Mapping[str, Any]]:
    found: list[Mapping[str, Any]] = []
    for number, record in enumerate(records, start=1):
        inner = record.get("data") if isinstance(record, Mapping) else None
        rows = inner if isinstance(inner, list) else [record]
        if not all(isinstance(row, Mapping) for row in rows):
            raise ValueError(f"record {number} is no span")
        found += rows
    return found


def _context(row: Mapping[str, Any]) -> Mapping[str, Any]:
    context = row.get("context")
    if isinstance(context, Mapping) and {"trace_id", "span_id"} <= context.keys():
        return context
    if {"context.trace_id", "context.span_id"} <= row.keys():
        return {"trace_id": row["context.trace_id"], "span_id": row["context.span_id"]}
    return {}


def _span(row: Mapping[str, Any], number: int) -> Span:
    context = _context(row)
    if not context:
        raise ValueError(f"span {number} has no context with trace_id and span_id")
    found = flat(row.get("attributes") or {}, "")
    for key, value in row.items():
        if key.startswith("attributes.") and value is not None:
            found.update(flat({key.removeprefix("attributes."): value}, ""))
    if row.get("span_kind"):
        found.setdefault("openinference.span.kind", text(row["span_kind"]))
    state = str(row.get("status_code") or "UNSET").upper()
    status: SpanStatus = "error" if state == "ERROR" else "ok" if state == "OK" else "unset"
    return Span(
        trace_id=hex_id(context["trace_id"], "trace_id", 32),
        span_id=hex_id(context["span_id"], "span_id", 16),
        parent_id=hex_id(row["parent_id"], "parent_id", 16) if row.get("parent_id") else None,
        name=text(row.get("name")) or "(no name)",
        kind="unspecified",
        start_ns=any_ns(row.get("start_time"), "start_time"),
        end_ns=any_ns(row["end_time"], "end_time") if row.get("end_time") else None,
        status=status,
        message=text(row.get("status_message")),
        attributes=found,
        events=tuple(
            Event(
                text(event.get("name")) or "(no name)",
                any_ns(event["timestamp"], "timestamp") if event.get("timestamp") else 0,
                flat(event.get("attributes") or {}, ""),
            )
            for event in row.get("events") or ()
        ),
    )
