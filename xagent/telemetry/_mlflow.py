"""MLflow's trace JSON, `Trace.to_json()`: `{"info": {...}, "data": {"spans": [...]}}`.

Format: mlflow 3 (base64 ids, times in nanoseconds, every attribute JSON within JSON) and mlflow 2 (`request_id`, ids as
hex in a `context`). Attributes are decoded once, so a payload's hash is that of its content. Assessments become events
called `annotation`.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Mapping, Sequence
from typing import Any

from xagent.telemetry._trace import Event, Link, Span, SpanStatus
from xagent.telemetry._values import attributes, flat, iso_ns, nanoseconds, otel_id, plain, text, whole

_INFO = ("state", "status", "request_preview", "response_preview", "execution_duration_ms", "execution_time_ms")


def sniff_mlflow(records: Sequence[Any]) -> bool:
    """Whether the first record has `info` and `data.spans`."""
    first = records[0] if records else None
    if not isinstance(first, Mapping) or not isinstance(first.get("info"), Mapping):
        return False
    return isinstance(first.get("data"), Mapping) and "spans" in first["data"]


def read_mlflow(records: Sequence[Any]) -> list[Span]:
    """Every span of the file. Raises ValueError for a record that is no trace."""
    spans = []
    for number, record in enumerate(records, start=1):
        if not sniff_mlflow([record]):
            raise ValueError(f"record {number} has no info and data.spans")
        resource = _resource(record["info"])
        found = [_span(span, resource) for span in record["data"]["spans"] or ()]
        spans += _annotated(found, record["info"].get("assessments") or ())
    return spans


def _resource(info: Mapping[str, Any]) -> dict[str, Any]:
    """The trace's metadata and tags under their own names, and what `info` says of the trace as a whole."""
    found = {f"mlflow.trace_info.{key}": plain(info[key]) for key in _INFO if info.get(key) is not None}
    for table in ("request_metadata", "trace_metadata", "tags"):
        found.update(attributes(info.get(table), table))
    return found


def _span(span: Mapping[str, Any], resource: Mapping[str, Any]) -> Span:
    context = span.get("context") or span
    parent = span.get("parent_span_id", span.get("parent_id"))
    status = span.get("status") or {"code": span.get("status_code"), "message": span.get("status_message")}
    end = span.get("end_time_unix_nano", span.get("end_time"))
    return Span(
        trace_id=_id(context.get("trace_id"), "trace_id", 16),
        span_id=_id(context.get("span_id"), "span_id", 8),
        parent_id=_id(parent, "parent_span_id", 8) if parent else None,
        name=text(span.get("name")) or "(no name)",
        kind="unspecified",
        start_ns=nanoseconds(whole(span.get("start_time_unix_nano", span.get("start_time")), "start_time"), "start"),
        end_ns=nanoseconds(whole(end, "end_time"), "end_time") if end else None,
        status=_status(status.get("code")),
        message=text(status.get("message")),
        attributes={key: _decoded(value) for key, value in attributes(span.get("attributes"), "attributes").items()},
        events=tuple(
            Event(
                text(event.get("name")) or "(no name)",
                whole(event.get("time_unix_nano", event.get("timestamp", 0)), "time_unix_nano"),
                attributes(event.get("attributes"), "attributes"),
            )
            for event in span.get("events") or ()
        ),
        resource=resource,
        links=tuple(
            Link(_id(link.get("trace_id"), "trace_id", 16), _id(link.get("span_id"), "span_id", 8))
            for link in span.get("links") or ()
        ),
    )


def _id(value: Any, field: str, size: int) -> str:
    plain_id = value.removeprefix("tr-") if isinstance(value, str) else ""
    found = otel_id(plain_id, field, size)
    if not found.strip("0"):
        raise ValueError(f"a span has no valid {field}")
    return found


def _status(code: Any) -> SpanStatus:
    plain_code = str(code or "").upper().removeprefix("STATUS_CODE_")
    return "error" if plain_code == "ERROR" else "ok" if plain_code == "OK" else "unset"


def _decoded(value: Any) -> Any:
    """An attribute as it was set: MLflow stores each as JSON text; what is none stays as it is."""
    if not isinstance(value, str):
        return value
    try:
        return plain(json.loads(value))
    except (ValueError, RecursionError):
        return value


def _annotated(spans: list[Span], assessments: Sequence[Mapping[str, Any]]) -> list[Span]:
    for assessment in assessments:
        target = assessment.get("span_id")
        place = next(
            (i for i, s in enumerate(spans) if (s.span_id == _id(target, "span_id", 8) if target else not s.parent_id)),
            None,
        )
        if place is None:
            raise ValueError("an assessment belongs to no span of its trace")
        spans[place] = dataclasses.replace(spans[place], events=(*spans[place].events, _annotation(assessment)))
    return spans


def _annotation(assessment: Mapping[str, Any]) -> Event:
    source = assessment.get("source") or {}
    value = (assessment.get("feedback") or assessment.get("expectation") or {}).get("value")
    moment = assessment.get("create_time")
    said = {
        "xagent.annotation.name": text(assessment.get("assessment_name")),
        "xagent.annotation.value": plain(value),
        "xagent.annotation.source": text(source.get("source_type")).lower(),
        "xagent.annotation.who": text(source.get("source_id")),
        "xagent.annotation.why": text(assessment.get("rationale")),
        **flat(assessment.get("metadata") or {}, "mlflow.assessment.metadata"),
    }
    return Event(
        "annotation",
        iso_ns(moment, "create_time") if isinstance(moment, str) else 0,
        {key: given for key, given in said.items() if given not in (None, "")},
    )
