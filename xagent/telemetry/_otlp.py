"""OTLP JSON: a normaliser in front of the official decoder.

The decoder is right but strict: it refuses enums by name and base64 ids, and it returns an EMPTY trace for snake_case
keys. Writers in the wild do all three (protobuf's MessageToDict), so their dialects are turned into the specified form
first: lowerCamelCase keys, integer enums, hex ids.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from xagent.telemetry._trace import Event, Span, SpanKind, SpanStatus

_KINDS: tuple[SpanKind, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: tuple[SpanStatus, ...] = ("unset", "ok", "error")
_OTHER_SIGNALS = {"resourceMetrics", "resourceLogs", "resourceProfiles"}
_RENAMED = {"instrumentationLibrarySpans": "scopeSpans", "instrumentationLibrary": "scope"}
_ID_BYTES = {"traceId": 16, "spanId": 8, "parentSpanId": 8}
_SNAKE = re.compile(r"_([a-z0-9])")
_MAX_NAME = 500


def sniff_otlp(documents: Sequence[Any]) -> bool:
    """Whether any document has `resourceSpans`, in whichever spelling."""
    return any(isinstance(d, dict) and ("resourceSpans" in d or "resource_spans" in d) for d in documents)


def read_otlp(documents: Sequence[Any]) -> list[Span]:
    """Every span of the file (`TracesData` objects). Lines that carry metrics or logs are passed over."""
    from opentelemetry.proto_json.trace.v1.trace import TracesData

    spans: list[Span] = []
    for number, document in enumerate(documents, start=1):
        message = normalise(document)
        if not isinstance(message, dict) or "resourceSpans" not in message:
            if isinstance(message, dict) and _OTHER_SIGNALS & message.keys():
                continue
            raise ValueError(f"document {number} has no resourceSpans")
        for group in TracesData.from_dict(message).resource_spans:
            resource = _attributes(group.resource.attributes) if group.resource else {}
            spans += [_span(span, resource) for scope in group.scope_spans for span in scope.spans]
    return spans


def normalise(value: Any, key: str = "", parent: str = "") -> Any:
    """A JSON value in the form that OTLP specifies. `key` is the field it stands in, `parent` the field around that.

    Raises ValueError for a key that stands twice in two spellings, an unknown enum name or an id of a wrong length.
    """
    if isinstance(value, dict):
        result: dict[str, Any] = {}
        for name, inner in value.items():
            plain = _SNAKE.sub(lambda match: match.group(1).upper(), name)
            plain = _RENAMED.get(plain, plain)
            if plain in result:
                raise ValueError(f"the key {plain!r} stands twice")
            result[plain] = normalise(inner, plain, key)
        return result
    if isinstance(value, list):
        return [normalise(inner, key, parent) for inner in value]
    if isinstance(value, str):
        if key in _ID_BYTES:
            return _hex_id(value, key)
        if key == "kind" and parent == "spans":
            return _enum(value, "SPAN_KIND_", _KINDS)
        if key == "code" and parent == "status":
            return _enum(value, "STATUS_CODE_", _STATUSES)
    return value


def _hex_id(text: str, field: str) -> str:
    """Lower case hex of an id given as hex, with 0x, or as base64; the lengths of these never coincide."""
    size = _ID_BYTES[field]
    if not text:
        return ""
    plain = text.removeprefix("0x")
    if len(plain) == 2 * size and re.fullmatch(r"[0-9a-fA-F]+", plain):
        return plain.lower()
    try:
        raw = base64.b64decode(text.replace("-", "+").replace("_", "/").rstrip("=") + "=" * (-size % 3), validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if len(raw) != size:
        raise ValueError(f"{field} {text[:80]!r} is neither {2 * size} hex digits nor base64 of {size} bytes")
    return raw.hex()


def _enum(text: str, prefix: str, names: tuple[str, ...]) -> int:
    if text.isdigit():
        return int(text)
    plain = text.upper().removeprefix(prefix).lower()
    if plain not in names:
        raise ValueError(f"{text[:80]!r} is not a {prefix.rstrip('_').lower().replace('_', ' ')}")
    return names.index(plain)


def _span(span: Any, resource: Mapping[str, Any]) -> Span:
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
        name=_text(span.name) or "(no name)",
        kind=_KINDS[int(span.kind or 0)],
        start_ns=span.start_time_unix_nano,
        end_ns=end or None,
        status=_STATUSES[int(span.status.code or 0)] if span.status else "unset",
        message=_text(span.status.message) if span.status else "",
        attributes=_attributes(span.attributes),
        events=tuple(
            Event(
                name=_text(e.name) or "(no name)",
                time_ns=_event_time(e.time_unix_nano),
                attributes=_attributes(e.attributes),
            )
            for e in span.events
        ),
        resource=resource,
        dropped=int(span.dropped_attributes_count or 0) + int(span.dropped_events_count or 0),
    )


def _event_time(nanoseconds: int | None) -> int:
    """0 when not recorded or out of range: an event is worth keeping without its time."""
    return nanoseconds if nanoseconds is not None and 0 <= nanoseconds < 2**63 else 0


def _attributes(pairs: Sequence[Any]) -> dict[str, Any]:
    return {pair.key: _value(pair.value) for pair in pairs if pair.key}


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


def _text(text: str | None) -> str:
    """Printable and of bounded length: it will stand in a report."""
    return "".join(c if c.isprintable() else " " for c in text or "").strip()[:_MAX_NAME]
