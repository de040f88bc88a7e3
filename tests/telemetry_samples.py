"""One request in every telemetry format: written here from `Span`s, or by the real library in a process of its own."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from xagent.telemetry import Event, Span

WORDS = st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF, categories=["L", "N", "P", "Zs"]), max_size=12)
NAMES = WORDS.map(str.strip).filter(lambda s: bool(s) and s.isprintable() and not s.startswith("{"))
KEYS = st.from_regex(r"own\.[a-z]{1,6}(\.[a-z]{1,4})?", fullmatch=True)
SCALARS = st.one_of(
    st.booleans(), st.integers(-(2**53), 2**53), st.floats(allow_nan=False, allow_infinity=False), WORDS
)
BASE = int(datetime(2026, 11, 2, 9, 30, tzinfo=UTC).timestamp()) * 10**9


@st.composite
def spans(draw: Any, values: Any = SCALARS, events: bool = True) -> list[Span]:
    """A small tree of spans with whole microseconds, as every format can hold them, already in the reader's order."""
    trace_id = draw(st.integers(1, 2**128 - 1)).to_bytes(16).hex()
    ids = [f"{n:016x}" for n in draw(st.lists(st.integers(1, 2**64 - 1), min_size=1, max_size=5, unique=True))]
    resource = {"service.name": draw(NAMES)}
    made = []
    for place, span_id in enumerate(ids):
        start = BASE + draw(st.integers(0, 10**7)) * 1_000
        status = draw(st.sampled_from(["unset", "ok", "error"]))
        moments = draw(st.lists(st.tuples(NAMES, st.integers(1, 10**7)), max_size=2)) if events else []
        made.append(
            Span(
                trace_id=trace_id,
                span_id=span_id,
                parent_id=draw(st.sampled_from(ids[:place])) if place else None,
                name=draw(NAMES),
                kind=draw(st.sampled_from(["internal", "server", "client", "producer", "consumer"])),
                start_ns=start,
                end_ns=start + draw(st.integers(0, 10**7)) * 1_000,
                status=status,
                message=draw(NAMES) if status == "error" else "",
                attributes=draw(st.dictionaries(KEYS, values, max_size=3)),
                events=tuple(Event(name, BASE + t * 1_000, {}) for name, t in moments),
                resource=resource,
            )
        )
    return sorted(made, key=lambda s: (s.start_ns, s.span_id))


def iso(ns: int) -> str:
    return datetime.fromtimestamp(ns // 10**9, UTC).strftime("%Y-%m-%dT%H:%M:%S") + f".{ns % 10**9:09d}Z"


def as_console(found: Sequence[Span]) -> str:
    return "\n".join(
        json.dumps(
            {
                "name": s.name,
                "context": {"trace_id": "0x" + s.trace_id, "span_id": "0x" + s.span_id, "trace_state": "[]"},
                "kind": f"SpanKind.{s.kind.upper()}",
                "parent_id": "0x" + s.parent_id if s.parent_id else None,
                "start_time": iso(s.start_ns),
                "end_time": iso(s.end_ns or 0),
                "status": {"status_code": s.status.upper(), "description": s.message},
                "attributes": dict(s.attributes),
                "events": [{"name": e.name, "timestamp": iso(e.time_ns), "attributes": {}} for e in s.events],
                "links": [],
                "resource": {"attributes": dict(s.resource), "schema_url": ""},
            },
            indent=4,
        )
        for s in found
    )


def as_jaeger(found: Sequence[Span]) -> str:
    """As jaeger-ui's `types/trace` gives it."""

    def tag(key: str, value: Any) -> dict[str, Any]:
        kind = {bool: "bool", int: "int64", float: "float64"}.get(type(value), "string")
        return {"key": key, "type": kind, "value": value}

    def state(span: Span) -> list[dict[str, Any]]:
        if span.status == "unset":
            return []
        described = [tag("otel.status_description", span.message)] if span.message else []
        failed = [tag("error", True)] if span.status == "error" else []
        return [tag("otel.status_code", span.status.upper()), *described, *failed]

    def child(span: Span) -> list[dict[str, Any]]:
        if span.parent_id is None:
            return []
        return [{"refType": "CHILD_OF", "traceID": span.trace_id.lstrip("0"), "spanID": span.parent_id}]

    written = [
        {
            "traceID": s.trace_id.lstrip("0"),
            "spanID": s.span_id,
            "operationName": s.name,
            "references": child(s),
            "startTime": s.start_ns // 1_000,
            "duration": ((s.end_ns or 0) - s.start_ns) // 1_000,
            "tags": [tag("span.kind", s.kind), *state(s), *(tag(k, v) for k, v in s.attributes.items())],
            "logs": [{"timestamp": e.time_ns // 1_000, "fields": [tag("event", e.name)]} for e in s.events],
            "processID": "p1",
            "warnings": None,
        }
        for s in found
    ]
    process = {"serviceName": found[0].resource.get("service.name", "s"), "tags": []}
    trace = {"traceID": found[0].trace_id, "spans": written, "processes": {"p1": process}, "warnings": None}
    return json.dumps({"data": [trace], "total": 0, "limit": 0, "offset": 0, "errors": None})


def as_zipkin(found: Sequence[Span]) -> str:
    """As zipkin-api's v2 document gives it; every tag is text, and an internal span has no kind."""

    def tags(span: Span) -> dict[str, str]:
        state = {} if span.status == "unset" else {"otel.status_code": span.status.upper()}
        return {**span.attributes, **state, **({"error": span.message} if span.status == "error" else {})}

    return json.dumps(
        [
            {
                "traceId": s.trace_id,
                "id": s.span_id,
                **({"parentId": s.parent_id} if s.parent_id else {}),
                "name": s.name,
                **({} if s.kind == "internal" else {"kind": s.kind.upper()}),
                "timestamp": s.start_ns // 1_000,
                "duration": ((s.end_ns or 0) - s.start_ns) // 1_000,
                "localEndpoint": {"serviceName": s.resource.get("service.name", "s")},
                "tags": tags(s),
                "annotations": [{"timestamp": e.time_ns // 1_000, "value": e.name} for e in s.events],
            }
            for s in found
        ]
    )


def as_mlflow(found: Sequence[Span]) -> str:
    """As `Trace.to_json()` of mlflow 3: base64 ids, attributes as JSON within JSON, no kinds and no resource."""

    def ident(value: str | None) -> str | None:
        return None if value is None else base64.b64encode(bytes.fromhex(value)).decode()

    written = [
        {
            "trace_id": ident(s.trace_id),
            "span_id": ident(s.span_id),
            "parent_span_id": ident(s.parent_id),
            "name": s.name,
            "start_time_unix_nano": s.start_ns,
            "end_time_unix_nano": s.end_ns,
            "status": {"code": f"STATUS_CODE_{s.status.upper()}", "message": s.message},
            "attributes": {key: json.dumps(value) for key, value in s.attributes.items()},
            "events": [{"name": e.name, "time_unix_nano": e.time_ns, "attributes": {}} for e in s.events],
        }
        for s in found
    ]
    return json.dumps({"info": {"trace_id": "tr-1", "tags": dict(found[0].resource)}, "data": {"spans": written}})


def as_phoenix(found: Sequence[Span]) -> str:
    """As rows of Phoenix's data frame, without what it does not keep: kinds and resource."""
    return "\n".join(
        json.dumps(
            {
                "name": s.name,
                "span_kind": None,
                "context.trace_id": s.trace_id,
                "context.span_id": s.span_id,
                "parent_id": s.parent_id,
                "start_time": iso(s.start_ns),
                "end_time": iso(s.end_ns or 0),
                "status_code": s.status.upper(),
                "status_message": s.message,
                "events": [{"name": e.name, "timestamp": iso(e.time_ns), "attributes": {}} for e in s.events],
                **{f"attributes.{key}": value for key, value in s.attributes.items()},
            }
        )
        for s in found
    )


@cache
def made_by(library: str, folder: Path) -> Path:
    """The file that `tests/telemetry_makers.py` makes with the real library in a fresh process; made once a session."""
    path = folder / f"{library}.json"
    script = Path(__file__).with_name("telemetry_makers.py")
    done = subprocess.run(
        [sys.executable, str(script), library, str(path)], capture_output=True, text=True, timeout=120, check=False
    )
    assert done.returncode == 0, done.stderr[-2000:]
    return path
