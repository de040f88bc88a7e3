"""Jaeger's JSON: what its interface downloads and its query API answers, `{"data": [{"traceID", "spans", ...}]}`.

Format: the model of jaeger-ui (`types/trace`). Times are microseconds; the parent is a reference.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from xagent.telemetry._trace import Event, Link, Span, SpanKind, SpanStatus
from xagent.telemetry._values import MAX_ATTRIBUTES, hex_id, nanoseconds, plain, text, whole

_STATUS_TAGS = ("otel.status_code", "otel.status_description", "span.kind", "error")


def sniff_jaeger(records: Sequence[Any]) -> bool:
    """Whether the first record, or the first of its `data`, is a trace with `traceID` and `spans`."""
    return bool(records) and any("traceID" in t and "spans" in t for t in _traces(records[:1]))


def read_jaeger(records: Sequence[Any]) -> list[Span]:
    """Every span of the file. Raises ValueError for a record that holds no traces."""
    spans = []
    for number, record in enumerate(records, start=1):
        traces = _traces([record])
        if not traces:
            raise ValueError(f"record {number} holds no Jaeger traces")
        for trace in traces:
            processes = {
                key: {"service.name": text(p.get("serviceName")), **_tags(p.get("tags"))}
                for key, p in (trace.get("processes") or {}).items()
            }
            spans += [_span(span, processes) for span in trace.get("spans") or ()]
    return spans


def _traces(records: Sequence[Any]) -> list[Mapping[str, Any]]:
    found = []
    for record in records:
        inner = record.get("data") if isinstance(record, Mapping) else None
        candidates = inner if isinstance(inner, list) else [record]
        found += [t for t in candidates if isinstance(t, Mapping) and "spans" in t]
    return found


def _span(span: Mapping[str, Any], processes: Mapping[str, Mapping[str, Any]]) -> Span:
    trace_id = hex_id(span.get("traceID"), "traceID", 32)
    tags = _tags(span.get("tags"))
    start = nanoseconds(whole(span.get("startTime"), "startTime") * 1_000, "startTime")
    length = whole(span.get("duration", 0), "duration")
    if length < 0:
        raise ValueError("a duration is negative")
    links = [
        (r.get("refType"), Link(hex_id(r.get("traceID"), "traceID", 32), hex_id(r.get("spanID"), "spanID", 16)))
        for r in span.get("references") or ()
    ]
    parents = [link for kind, link in links if kind == "CHILD_OF" and link.trace_id == trace_id]
    inline = span.get("process")
    parent = parents[0].span_id if parents else None
    if parent is None and str(span.get("parentSpanID") or "0").strip("0"):
        parent = hex_id(span["parentSpanID"], "parentSpanID", 16)
    status, message = _status(tags)
    kind = str(tags.get("span.kind") or "unspecified").lower()
    return Span(
        trace_id=trace_id,
        span_id=hex_id(span.get("spanID"), "spanID", 16),
        parent_id=parent,
        name=text(span.get("operationName")) or "(no name)",
        kind=cast(SpanKind, kind) if kind in get_args(SpanKind) else "unspecified",
        start_ns=start,
        end_ns=nanoseconds(start + length * 1_000, "duration"),
        status=status,
        message=message,
        attributes={k: v for k, v in tags.items() if k not in _STATUS_TAGS and not k.startswith("otel.scope.")},
        events=tuple(_event(log) for log in span.get("logs") or ()),
        resource={"service.name": text(inline.get("serviceName")), **_tags(inline.get("tags"))}
        if isinstance(inline, Mapping)
        else processes.get(str(span.get("processID")), {}),
        links=tuple(link for _, link in links if link not in parents[:1]),
        scope=text(tags.get("otel.scope.name")),
        sampled=True if isinstance(span.get("flags"), int) and span["flags"] & 1 else None,
    )


def _status(tags: Mapping[str, Any]) -> tuple[SpanStatus, str]:
    code = str(tags.get("otel.status_code") or "").lower()
    if code == "error" or tags.get("error") in (True, "true"):
        return "error", text(tags.get("otel.status_description"))
    return ("ok" if code == "ok" else "unset"), text(tags.get("otel.status_description"))


def _event(log: Mapping[str, Any]) -> Event:
    fields = _tags(log.get("fields"))
    name = text(fields.pop("event", "")) or text(fields.pop("message", "")) or "log"
    moment = whole(log.get("timestamp", 0), "timestamp")
    return Event(name, nanoseconds(moment * 1_000, "timestamp") if moment else 0, fields)


def _tags(tags: Any) -> dict[str, Any]:
    """Tags by key. A list that a recorder wrote as JSON text stays text."""
    if tags is None:
        return {}
    if not isinstance(tags, list) or len(tags) > MAX_ATTRIBUTES:
        raise ValueError(f"tags are no list of up to {MAX_ATTRIBUTES} entries")
    return {str(tag["key"])[:500]: _value(tag) for tag in tags}


def _value(tag: Mapping[str, Any]) -> Any:
    value, kind = tag.get("value"), tag.get("type")
    if kind in ("int64", "float64") and isinstance(value, str):
        value = json.loads(value)
    return plain(value)
