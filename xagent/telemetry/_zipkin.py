"""Zipkin JSON v2: a list of spans with microsecond times and tags that are all text.

Format: the OpenAPI document of zipkin-api (v2). A server span may share the id of its caller's (`shared`); it then gets
an id of its own here, below the caller's.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, cast, get_args

from xagent.telemetry._trace import Event, Span, SpanKind, SpanStatus
from xagent.telemetry._values import attributes, hex_id, nanoseconds, plain, text, whole

_RESOURCE = ("service.", "telemetry.", "deployment.", "host.", "process.", "k8s.", "cloud.")
_STATUS_TAGS = ("otel.status_code", "otel.status_description", "error")
_SCOPE_TAGS = ("otel.library.name", "otel.library.version", "otel.scope.name", "otel.scope.version")


def sniff_zipkin(records: Sequence[Any]) -> bool:
    """Whether the first record has `traceId` and `id`, and none of the names that other formats use for a span."""
    first = records[0] if records else None
    return (
        isinstance(first, Mapping)
        and {"traceId", "id"} <= first.keys()
        and bool(first.keys() & {"timestamp", "localEndpoint", "parentId", "annotations", "tags", "kind"})
        and not first.keys() & {"startTime", "spanId", "observations", "specversion", "parentObservationId"}
    )


def read_zipkin(records: Sequence[Any]) -> list[Span]:
    """Every span of the file. Raises ValueError for a record that is none."""
    raw = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise ValueError(f"record {number} is no span")
        raw.append(record)
    callers = {_ids(r) for r in raw if not r.get("shared")}
    own = {(*_ids(r), _service(r)): _own_id(*_ids(r)) for r in raw if r.get("shared") and _ids(r) in callers}
    return [_span(record, own) for record in raw]


def _ids(record: Mapping[str, Any]) -> tuple[str, str]:
    return hex_id(record.get("traceId"), "traceId", 32), hex_id(record.get("id"), "id", 16)


def _service(record: Mapping[str, Any]) -> str:
    endpoint = record.get("localEndpoint")
    return text(endpoint.get("serviceName")) if isinstance(endpoint, Mapping) else ""


def _own_id(trace_id: str, span_id: str) -> str:
    return hashlib.sha256(f"{trace_id} {span_id} server".encode()).hexdigest()[:16]


def _span(record: Mapping[str, Any], own: Mapping[tuple[str, str, str], str]) -> Span:
    trace_id, span_id = _ids(record)
    service = _service(record)
    parent = hex_id(record["parentId"], "parentId", 16) if record.get("parentId") else None
    if record.get("shared") and (trace_id, span_id, service) in own:
        span_id, parent = own[trace_id, span_id, service], span_id
    elif parent is not None:
        parent = own.get((trace_id, parent, service), parent)
    tags = attributes(record.get("tags"), "tags")
    start = nanoseconds(whole(record.get("timestamp"), "timestamp") * 1_000, "timestamp")
    length = record.get("duration")
    kind = str(record.get("kind") or "unspecified").lower()
    status, message = _status(tags)
    kept = {k: v for k, v in tags.items() if k not in (*_STATUS_TAGS, *_SCOPE_TAGS)}
    return Span(
        trace_id=trace_id,
        span_id=span_id,
        parent_id=parent,
        name=text(record.get("name")) or "(no name)",
        kind=cast(SpanKind, kind) if kind in get_args(SpanKind) else "unspecified",
        start_ns=start,
        end_ns=None if length is None else nanoseconds(start + whole(length, "duration") * 1_000, "duration"),
        status=status,
        message=message,
        attributes={k: v for k, v in kept.items() if not k.startswith(_RESOURCE)},
        events=tuple(_event(annotation) for annotation in record.get("annotations") or ()),
        resource={
            **({"service.name": service} if service else {}),
            **{k: v for k, v in kept.items() if k.startswith(_RESOURCE)},
        },
        scope=text(tags.get("otel.scope.name")),
    )


def _status(tags: Mapping[str, Any]) -> tuple[SpanStatus, str]:
    """Zipkin knows an error tag only, whose text is the message; OpenTelemetry's exporters add the code."""
    code = str(tags.get("otel.status_code") or "").lower()
    if "error" in tags or code == "error":
        message = tags.get("error")
        return "error", text(message if message not in ("true", "") else "")
    return ("ok" if code == "ok" else "unset"), text(tags.get("otel.status_description"))


def _event(annotation: Mapping[str, Any]) -> Event:
    """An annotation is a text; OpenTelemetry's exporters write `{"name": {attributes}}` into it."""
    value = annotation.get("value")
    name: Any = value
    inner: Any = {}
    if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
        try:
            decoded = json.loads(value)
        except (ValueError, RecursionError):
            decoded = None
        if isinstance(decoded, dict) and len(decoded) == 1:
            ((name, inner),) = decoded.items()
    moment = whole(annotation.get("timestamp", 0), "timestamp")
    return Event(
        text(name) or "(no name)",
        nanoseconds(moment * 1_000, "timestamp") if moment else 0,
        attributes(plain(inner), "annotation") if isinstance(inner, Mapping) else {},
    )
