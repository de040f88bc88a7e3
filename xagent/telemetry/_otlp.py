"""OTLP JSON: a normaliser in front of the official decoder.

The decoder is right but strict: it refuses enums by name and base64 ids, and it returns an EMPTY trace for snake_case
keys. Writers in the wild do all three (protobuf's MessageToDict), so their dialects are turned into the specified form
first: lowerCamelCase keys, integer enums, hex ids.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from xagent.telemetry._trace import Event, Link, Span, SpanKind, SpanStatus
from xagent.telemetry._values import MAX_ATTRIBUTES, otel_id, text

_KINDS: tuple[SpanKind, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: tuple[SpanStatus, ...] = ("unset", "ok", "error")
_OTHER_SIGNALS = {"resourceMetrics", "resourceLogs", "resourceProfiles"}
_RENAMED = {"instrumentationLibrarySpans": "scopeSpans", "instrumentationLibrary": "scope"}
_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_TOLD = {*_ID_BYTES, "kind", "code"}
_SNAKE = re.compile(r"_([a-z0-9])")


def sniff_otlp(documents: Sequence[Any]) -> bool:
    """Whether any document has `resourceSpans`, in whichever spelling."""
    return any(isinstance(d, dict) and ("resourceSpans" in d or "resource_spans" in d) for d in documents)


def read_otlp(documents: Sequence[Any]) -> list[Span]:
    """Every span of the file (`TracesData` objects). Lines that carry metrics or logs are passed over."""
    from opentelemetry.proto_json.trace.v1.trace import TracesData

    spans: list[Span] = []
    for number, document in enumerate(documents, start=1):
        notes: set[str] = set()
        message = normalise(document, notes=notes)
        if not isinstance(message, dict) or "resourceSpans" not in message:
            if isinstance(message, dict) and _OTHER_SIGNALS & message.keys():
                continue
            raise ValueError(f"document {number} has no resourceSpans")
        for group in TracesData.from_dict(message).resource_spans:
            resource = _attributes(group.resource.attributes) if group.resource else {}
            mended = tuple(sorted(notes))
            spans += [
                _span(span, resource, text(scope.scope.name) if scope.scope else "", mended)
                for scope in group.scope_spans
                for span in scope.spans
            ]
    return spans


def normalise(value: Any, key: str = "", parent: str = "", notes: set[str] | None = None) -> Any:
    """A JSON value in the form that OTLP specifies. `key` is the field it stands in, `parent` the field around that.

    notes: told in words of everything that had to be put right.

    Raises ValueError for a key that stands twice in two spellings, an unknown enum name or an id of a wrong length.
    """
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        for name, inner in value.items():
            plain = _camel(name)
            if plain in result:
                raise ValueError(f"the key {plain!r} stands twice")
            if plain != name and notes is not None:
                notes.add("keys were not in lowerCamelCase")
            told = isinstance(inner, dict | list) or plain in _TOLD
            result[plain] = normalise(inner, plain, key, notes) if told else inner
        return result
    if isinstance(value, list):
        return [normalise(inner, key, parent, notes) for inner in value]
    if isinstance(value, str):
        if key in _ID_BYTES:
            return otel_id(value, key, _ID_BYTES[key], notes)
        if (key, parent) in (("kind", "spans"), ("code", "status")):
            if notes is not None:
                notes.add("enums were text")
            return _enum(value, "SPAN_KIND_", _KINDS) if key == "kind" else _enum(value, "STATUS_CODE_", _STATUSES)
    return value


@lru_cache(maxsize=1024)
def _camel(name: str) -> str:
    plain = _SNAKE.sub(lambda match: match.group(1).upper(), name)
    return _RENAMED.get(plain, plain)


def _enum(text: str, prefix: str, names: tuple[str, ...]) -> int:
    if text.isdigit():
        return int(text)
    plain = text.upper().removeprefix(prefix).lower()
    if plain not in names:
        raise ValueError(f"{text[:80]!r} is not a {prefix.rstrip('_').lower().replace('_', ' ')}")
    return names.index(plain)


def _span(span: Any, resource: Mapping[str, Any], scope: str, mended: tuple[str, ...]) -> Span:
    for field, raw in (("traceId", span.trace_id), ("spanId", span.span_id)):
        if len(raw or b"") != _ID_BYTES[field] or not any(raw):
            raise ValueError(f"the span {(span.name or '')[:80]!r} has no valid {field}")
    if not 0 < (span.start_time_unix_nano or 0) < 2**63:
        raise ValueError(f"the span {(span.name or '')[:80]!r} has no startTimeUnixNano")
    parent = span.parent_span_id or b""
    if len(parent) not in (0, _ID_BYTES["parentSpanId"]):
        raise ValueError(f"the span {(span.name or '')[:80]!r} has no valid parentSpanId")
    end = span.end_time_unix_nano or 0
    if not 0 <= end < 2**63:
        raise ValueError(f"the span {(span.name or '')[:80]!r} has no valid endTimeUnixNano")
    return Span(
        trace_id=span.trace_id.hex(),
        span_id=span.span_id.hex(),
        parent_id=parent.hex() if any(parent) else None,
        name=text(span.name) or "(no name)",
        kind=_KINDS[int(span.kind or 0)],
        start_ns=span.start_time_unix_nano,
        end_ns=end or None,
        status=_STATUSES[int(span.status.code or 0)] if span.status else "unset",
        message=text(span.status.message) if span.status else "",
        attributes={**_attributes(span.attributes), **_sampling(span.trace_state)},
        events=tuple(
            Event(
                name=text(e.name) or "(no name)",
                time_ns=_event_time(e.time_unix_nano),
                attributes=_attributes(e.attributes),
            )
            for e in span.events
        ),
        resource=resource,
        dropped=sum(
            int(count or 0)
            for count in (span.dropped_attributes_count, span.dropped_events_count, span.dropped_links_count)
        ),
        links=tuple(Link((link.trace_id or b"").hex(), (link.span_id or b"").hex()) for link in span.links),
        scope=scope,
        sampled=True if (span.flags or 0) & 1 else None,
        mended=mended,
    )


def _sampling(trace_state: str | None) -> dict[str, float]:
    """The share of requests that were recorded, where the sampler wrote its threshold into the trace state
    (OpenTelemetry's `ot=th:...`: hex digits of 56 bits below which a request is left out)."""
    match = re.search(r"(?:^|,)ot=(?:[^,;]*;)*th:([0-9a-f]{1,14})(?:;|,|$)", (trace_state or "")[:512])
    return {"tracestate.ot.share": 1 - int(match[1].ljust(14, "0"), 16) / 2**56} if match else {}


def _event_time(nanoseconds: int | None) -> int:
    """0 when not recorded or out of range: an event is worth keeping without its time."""
    return nanoseconds if nanoseconds is not None and 0 <= nanoseconds < 2**63 else 0


def _attributes(pairs: Sequence[Any]) -> dict[str, Any]:
    if len(pairs) > MAX_ATTRIBUTES:
        raise ValueError(f"a record has more than {MAX_ATTRIBUTES} attributes")
    return {pair.key[:500]: _value(pair.value) for pair in pairs if pair.key}


def _value(value: Any) -> Any:
    """The Python value of an AnyValue; bytes as hex, lists as tuples, numbers that are not finite as None."""
    if value is None:
        return None
    for field in ("string_value", "bool_value", "int_value", "double_value"):
        if (plain := getattr(value, field)) is not None:
            return None if isinstance(plain, float) and not math.isfinite(plain) else plain
    if value.bytes_value is not None:
        return value.bytes_value.hex()
    if value.array_value is not None:
        return tuple(_value(inner) for inner in value.array_value.values)
    if value.kvlist_value is not None:
        return _attributes(value.kvlist_value.values)
    return None
