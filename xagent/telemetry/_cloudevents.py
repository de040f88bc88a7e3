"""CloudEvents: what model servers log of requests and answers (KServe's logger, the Azure ML data collector).

Format: CloudEvents 1.0 in structured or batched JSON, and binary mode as `{"headers": {"ce-id": ...}, "data": ...}`;
extensions by KServe's logger and Azure's article on collecting production data. Each event becomes an instant. Events
of one request share `traceparent`, `correlationid` or `xrequestid`, else their `id`. An event without an id is
refused: libraries that invent one would make up a fact.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Mapping, Sequence
from typing import Any

from xagent.telemetry._trace import Span
from xagent.telemetry._values import flat, free_id, iso_ns, plain, text

LACKS = {
    "durations": "A CloudEvent gives the moment it was sent, not how long a step took.",
    "parents": "CloudEvents have no parents; those of one request are joined by its id.",
    "status": "A CloudEvent does not say whether the step failed.",
    "steps": "Only requests and answers are recorded, none of the steps between them.",
}
_REQUIRED = ("id", "source", "type", "specversion")
_DATA = ("data", "data_base64")
_TRACEPARENT = re.compile(r"[0-9a-f]{2}-([0-9a-f]{32})-([0-9a-f]{16})-[0-9a-f]{2}")


def sniff_cloudevents(records: Sequence[Any]) -> bool:
    """Whether the first record has a `specversion`, in its own keys or in its headers."""
    return bool(records) and isinstance(records[0], Mapping) and "specversion" in _structured(records[0])


def read_cloudevents(records: Sequence[Any]) -> list[Span]:
    """Every event of the file. Raises ValueError for a record that is none, or lacks what CloudEvents require."""
    return [_span(record, number) for number, record in enumerate(records, start=1)]


def _structured(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """An event in binary mode as one in structured mode."""
    headers = record.get("headers")
    if "specversion" in record or not isinstance(headers, Mapping):
        return record
    names = {str(key).lower(): value for key, value in headers.items()}
    event = {key.removeprefix("ce-"): value for key, value in names.items() if key.startswith("ce-")}
    if "content-type" in names:
        event["datacontenttype"] = names["content-type"]
    body = record.get("data", record.get("body"))
    return {**event, **({} if body is None else {"data": body})}


def _span(record: Any, number: int) -> Span:
    event = _structured(record) if isinstance(record, Mapping) else {}
    for field in _REQUIRED:
        if not isinstance(event.get(field), str) or not event[field]:
            raise ValueError(f"event {number} has no {field}")
    if event["specversion"] not in ("1.0", "0.3"):
        raise ValueError(f"event {number} follows CloudEvents {event['specversion'][:20]!r}, not 1.0")
    kind = event["type"]
    parent = _TRACEPARENT.fullmatch(str(event.get("traceparent") or ""))
    joined = parent[1] if parent else event.get("correlationid") or event.get("xrequestid") or event["id"]
    rest = {k: v for k, v in event.items() if k not in (*_REQUIRED, *_DATA, "time", "traceparent")}
    found = flat(rest, "cloudevents") if rest else {}
    found |= {"cloudevents.id": event["id"], "cloudevents.source": text(event["source"])}
    content = _content(event, number)
    if content is not None:
        found[_content_key(kind)] = content
    return Span(
        trace_id=free_id(joined, f"id of event {number}"),
        span_id=free_id(f"{event['id'][:100]} {text(kind)[:90]}", f"id of event {number}"),
        parent_id=None,
        name=text(kind),
        kind="producer",
        start_ns=iso_ns(event["time"], f"time of event {number}") if event.get("time") else 0,
        end_ns=None,
        attributes=found,
        instant=True,
    )


def _content(event: Mapping[str, Any], number: int) -> Any:
    """The data: bytes where the event gives base64."""
    if "data_base64" not in event:
        return plain(event.get("data"))
    try:
        return base64.b64decode(event["data_base64"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError(f"event {number} has data_base64 that is no base64") from None


def _content_key(kind: str) -> str:
    last = re.split(r"[./_-]", kind.lower())[-1]
    if last in ("request", "inputs", "input"):
        return "cloudevents.request"
    return "cloudevents.response" if last in ("response", "outputs", "output", "predictions") else "cloudevents.data"
