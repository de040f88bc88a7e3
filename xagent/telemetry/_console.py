"""What OpenTelemetry's ConsoleSpanExporter and `span.to_json()` print: one object a span, one after the other.

Format: `ReadableSpan.to_json` of opentelemetry-python 1.45. Times have microseconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from xagent.telemetry._trace import Event, Link, Span, SpanKind, SpanStatus
from xagent.telemetry._values import attributes, hex_id, iso_ns, text


def sniff_console(records: Sequence[Any]) -> bool:
    """Whether the first record has a context with ids in hex, and times in words."""
    first = records[0] if records else None
    if not isinstance(first, dict) or "start_time" not in first:
        return False
    return isinstance(first.get("context"), dict) and "trace_state" in first["context"]


def read_console(records: Sequence[Any]) -> list[Span]:
    """Every span of the file. Raises ValueError for a record that is none."""
    return [_span(record, number) for number, record in enumerate(records, start=1)]


def _span(record: Any, number: int) -> Span:
    if not isinstance(record, Mapping) or not isinstance(record.get("context"), Mapping):
        raise ValueError(f"record {number} has no context")
    context, status = record["context"], record.get("status") or {}
    kind = str(record.get("kind") or "unspecified").removeprefix("SpanKind.").lower()
    state = str(status.get("status_code") or "unset").lower()
    if kind not in get_args(SpanKind) or state not in get_args(SpanStatus):
        raise ValueError(f"record {number} has an unknown kind or status ({kind[:40]}, {state[:40]})")
    resource = record.get("resource") or {}
    return Span(
        trace_id=hex_id(context.get("trace_id"), "trace_id", 32),
        span_id=hex_id(context.get("span_id"), "span_id", 16),
        parent_id=hex_id(record["parent_id"], "parent_id", 16) if record.get("parent_id") else None,
        name=text(record.get("name")) or "(no name)",
        kind=cast(SpanKind, kind),
        start_ns=iso_ns(record.get("start_time"), "start_time"),
        end_ns=iso_ns(record["end_time"], "end_time") if record.get("end_time") else None,
        status=cast(SpanStatus, state),
        message=text(status.get("description")),
        attributes=attributes(record.get("attributes"), "attributes"),
        events=tuple(
            Event(
                name=text(event.get("name")) or "(no name)",
                time_ns=iso_ns(event["timestamp"], "timestamp") if event.get("timestamp") else 0,
                attributes=attributes(event.get("attributes"), "attributes"),
            )
            for event in record.get("events") or ()
        ),
        resource=attributes(resource.get("attributes"), "resource.attributes"),
        links=tuple(
            Link(hex_id(link["context"]["trace_id"], "trace_id", 32), hex_id(link["context"]["span_id"], "span_id", 16))
            for link in record.get("links") or ()
        ),
    )
