"""Spans as OTLP JSON, the form that the collector's file exporter and every OTLP/HTTP endpoint take."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from xagent.telemetry._trace import Event, Span

_KINDS = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES = ("unset", "ok", "error")


def to_otlp(spans: Iterable[Span]) -> dict[str, Any]:
    """A `TracesData` object: spans grouped by resource and scope, in the order given.

    Payloads are not written. An instant becomes a span that ends where it starts.
    """
    groups: list[tuple[Mapping[str, Any], dict[str, list[dict[str, Any]]]]] = []
    for span in spans:
        group = next((scopes for resource, scopes in groups if resource == span.resource), None)
        if group is None:
            group = {}
            groups.append((span.resource, group))
        group.setdefault(span.scope, []).append(_span(span))
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": _attributes(resource)},
                "scopeSpans": [{"scope": {"name": name}, "spans": written} for name, written in scopes.items()],
            }
            for resource, scopes in groups
        ]
    }


def _span(span: Span) -> dict[str, Any]:
    end = span.start_ns if span.instant else span.end_ns
    return {
        "traceId": span.trace_id,
        "spanId": span.span_id,
        **({"parentSpanId": span.parent_id} if span.parent_id else {}),
        "name": span.name,
        "kind": _KINDS.index(span.kind),
        "startTimeUnixNano": str(span.start_ns),
        **({"endTimeUnixNano": str(end)} if end is not None else {}),
        "attributes": _attributes(span.attributes),
        **({"events": [_event(event) for event in span.events]} if span.events else {}),
        **({"droppedAttributesCount": span.dropped} if span.dropped else {}),
        **({"flags": 1} if span.sampled else {}),
        "status": {
            **({"code": _STATUSES.index(span.status)} if span.status != "unset" else {}),
            **({"message": span.message} if span.message else {}),
        },
        **({"links": [{"traceId": k.trace_id, "spanId": k.span_id} for k in span.links]} if span.links else {}),
    }


def _event(event: Event) -> dict[str, Any]:
    return {"name": event.name, "timeUnixNano": str(event.time_ns), "attributes": _attributes(event.attributes)}


def _attributes(attributes: Mapping[str, Any]) -> list[dict[str, Any]]:
    return [{"key": key, "value": _value(value)} for key, value in attributes.items()]


def _value(value: Any) -> dict[str, Any]:
    if value is None:
        return {}
    if isinstance(value, bool):
        return {"boolValue": value}
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return {"intValue": str(value)}
    if isinstance(value, int | float):
        return {"doubleValue": float(value)}
    if isinstance(value, Mapping):
        return {"kvlistValue": {"values": _attributes(value)}}
    if isinstance(value, list | tuple):
        return {"arrayValue": {"values": [_value(inner) for inner in value]}}
    return {"stringValue": str(value)}
