"""OTLP JSON, read strictly where it matters and leniently where writers in the wild differ.

Format: the JSON mapping of OpenTelemetry's protocol (ids as hex, enums as integers, 64-bit numbers as text or not,
unknown fields ignored). Protobuf's own JSON writes snake_case keys, enums by name and base64 ids; all of it is read,
and noted. Libraries that decode the format exactly return an empty trace for such a file, or garbled ids.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

from xagent.telemetry._trace import Event, Link, Span, SpanKind, SpanStatus
from xagent.telemetry._values import MAX_ATTRIBUTES, MAX_NAME, MAX_NS, nanoseconds, otel_id, text, whole

_KINDS: tuple[SpanKind, ...] = ("unspecified", "internal", "server", "client", "producer", "consumer")
_STATUSES: tuple[SpanStatus, ...] = ("unset", "ok", "error")
_OTHER_SIGNALS = {"resourceMetrics", "resourceLogs", "resourceProfiles"}
_RENAMED = {"instrumentationLibrarySpans": "scopeSpans", "instrumentationLibrary": "scope"}
_SNAKE = re.compile(r"_([a-z0-9])")
_MAX_INT = 2**63
Json = Mapping[str, Any]


def sniff_otlp(documents: Sequence[Any]) -> bool:
    """Whether any document has `resourceSpans`, in whichever spelling."""
    return any(isinstance(d, dict) and ("resourceSpans" in d or "resource_spans" in d) for d in documents)


def read_otlp(documents: Sequence[Any]) -> list[Span]:
    """Every span of the file (`TracesData` objects). Lines that carry metrics or logs are passed over.

    Raises ValueError for a record that is none of these, a key that stands twice in two spellings, a span without ids
    or start time, an unknown enum name and a value of a wrong type.
    """
    spans: list[Span] = []
    for number, document in enumerate(documents, start=1):
        notes: set[str] = set()
        message = _message(document, f"document {number}", notes)
        if "resourceSpans" not in message:
            if _OTHER_SIGNALS & message.keys():
                continue
            raise ValueError(f"document {number} has no resourceSpans")
        found = [span for group in _list(message, "resourceSpans") for span in _group(group, notes)]
        mended = tuple(sorted(notes))
        spans += [_mended(span, mended) for span in found] if mended else found
    return spans


def _mended(span: Span, notes: tuple[str, ...]) -> Span:
    object.__setattr__(span, "mended", notes)  # the span was made a moment ago and nobody else has it
    return span


def _group(group: Any, notes: set[str]) -> list[Span]:
    group = _message(group, "resourceSpans", notes)
    resource = _attributes(_message(group.get("resource") or {}, "resource", notes), notes)
    spans = []
    for raw in _list(group, "scopeSpans"):
        scoped = _message(raw, "scopeSpans", notes)
        scope = text(_message(scoped.get("scope") or {}, "scope", notes).get("name"))
        spans += [_span(_message(span, "span", notes), resource, scope, notes) for span in _list(scoped, "spans")]
    return spans


def _span(span: Json, resource: Json, scope: str, notes: set[str]) -> Span:
    name = text(span.get("name"))
    trace_id, span_id = _id(span, "traceId", 16, notes), _id(span, "spanId", 8, notes)
    for field, found in (("traceId", trace_id), ("spanId", span_id)):
        if found is None:
            raise ValueError(f"the span {name[:80]!r} has no valid {field}")
    start, end = _time(span, "startTimeUnixNano"), _time(span, "endTimeUnixNano")
    if not start:
        raise ValueError(f"the span {name[:80]!r} has no startTimeUnixNano")
    status = _message(span.get("status") or {}, "status", notes)
    return Span(
        trace_id=trace_id or "",
        span_id=span_id or "",
        parent_id=_id(span, "parentSpanId", 8, notes),
        name=name or "(no name)",
        kind=_KINDS[_enum(span.get("kind"), "SPAN_KIND_", _KINDS, notes)],
        start_ns=start,
        end_ns=end or None,
        status=_STATUSES[_enum(status.get("code"), "STATUS_CODE_", _STATUSES, notes)],
        message=text(status.get("message")),
        attributes={**_attributes(span, notes), **_sampling(span.get("traceState"))},
        events=tuple(_event(_message(event, "event", notes), notes) for event in _list(span, "events")),
        resource=resource,
        dropped=sum(
            whole(span.get(field) or 0, field)
            for field in ("droppedAttributesCount", "droppedEventsCount", "droppedLinksCount")
        ),
        links=tuple(_link(_message(link, "link", notes), notes) for link in _list(span, "links")),
        scope=scope,
        sampled=True if whole(span.get("flags") or 0, "flags") & 1 else None,
    )


def _event(event: Json, notes: set[str]) -> Event:
    """An event is worth keeping without its time."""
    moment = whole(event.get("timeUnixNano") or 0, "timeUnixNano")
    return Event(
        text(event.get("name")) or "(no name)", moment if 0 <= moment < MAX_NS else 0, _attributes(event, notes)
    )


def _link(link: Json, notes: set[str]) -> Link:
    return Link(_id(link, "traceId", 16, notes) or "", _id(link, "spanId", 8, notes) or "")


def _sampling(trace_state: Any) -> dict[str, float]:
    """The share of requests that were recorded, where the sampler wrote its threshold into the trace state
    (OpenTelemetry's `ot=th:...`: hex digits of 56 bits below which a request is left out)."""
    match = re.search(r"(?:^|,)ot=(?:[^,;]*;)*th:([0-9a-f]{1,14})(?:;|,|$)", text(trace_state))
    return {"tracestate.ot.share": 1 - int(match[1].ljust(14, "0"), 16) / 2**56} if match else {}


def _attributes(message: Json, notes: set[str]) -> dict[str, Any]:
    pairs = _list(message, "attributes")
    if len(pairs) > MAX_ATTRIBUTES:
        raise ValueError(f"a record has more than {MAX_ATTRIBUTES} attributes")
    return _pairs(pairs, notes)


def _pairs(pairs: Sequence[Any], notes: set[str]) -> dict[str, Any]:
    found = {}
    for pair in pairs:
        if not isinstance(pair, dict):
            raise ValueError("an attribute is no object")
        key = pair.get("key")
        if key is not None and not isinstance(key, str):
            raise ValueError("the key of an attribute is no text")
        if key:
            found[key[:MAX_NAME]] = _value(pair.get("value"), notes)
    return found


def _value(value: Any, notes: set[str]) -> Any:
    """The Python value of an AnyValue; bytes as hex, lists as tuples, numbers that are not finite as None."""
    if value is None:
        return None
    for field, inner in _message(value, "value", notes).items():
        if inner is None:
            continue
        if field == "stringValue":
            return _of_type(inner, str, field)
        if field == "boolValue":
            return _of_type(inner, bool, field)
        if field == "intValue":
            return _integer(inner)
        if field == "doubleValue":
            return _double(inner)
        if field == "bytesValue":
            return _raw(inner).hex()
        if field == "arrayValue":
            return tuple(_value(one, notes) for one in _list(_message(inner, field, notes), "values"))
        if field == "kvlistValue":
            return _pairs(_list(_message(inner, field, notes), "values"), notes)
    return None


def _of_type(value: Any, kind: type, field: str) -> Any:
    if not isinstance(value, kind):
        raise ValueError(f"a {field} is {str(value)[:80]!r}")
    return value


def _integer(value: Any) -> int:
    number = whole(value, "intValue")
    if not -_MAX_INT <= number < _MAX_INT:
        raise ValueError(f"an intValue has more than 64 bits ({number})")
    return number


def _double(value: Any) -> float | None:
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        raise ValueError(f"a doubleValue is {str(value)[:80]!r}")
    number = float(value)
    return number if math.isfinite(number) else None


def _raw(value: Any) -> bytes:
    try:
        return base64.b64decode(_of_type(value, str, "bytesValue"), validate=True)
    except (binascii.Error, ValueError):
        raise ValueError("a bytesValue is no base64") from None


def _time(span: Json, field: str) -> int | None:
    value = span.get(field)
    if value in (None, "", 0, "0"):
        return None
    return nanoseconds(whole(value, field), field)


def _id(message: Json, field: str, size: int, notes: set[str]) -> str | None:
    value = message.get(field)
    if value is None:
        return None
    found = otel_id(_of_type(value, str, field), field, size, notes)
    return found if found.strip("0") else None


def _enum(value: Any, prefix: str, names: tuple[str, ...], notes: set[str]) -> int:
    """Place of an enum given by number or name; 0 when it is left out."""
    if value is None:
        return 0
    number = value
    if isinstance(value, str):
        notes.add("enums were text")
        plain = value.upper().removeprefix(prefix).lower()
        number = int(value) if re.fullmatch(r"\d{1,3}", value) else names.index(plain) if plain in names else -1
    if isinstance(number, bool) or not isinstance(number, int) or not 0 <= number < len(names):
        raise ValueError(f"{str(value)[:80]!r} is not a {prefix.rstrip('_').lower().replace('_', ' ')}")
    return number


def _message(value: Any, field: str, notes: set[str]) -> Json:
    """An object with its keys in lowerCamelCase."""
    if not isinstance(value, dict):
        raise ValueError(f"{field} is no object")
    plain = [_camel(key) for key in value]
    if all(map(str.__eq__, plain, value)):
        return value
    notes.add("keys were not in lowerCamelCase")
    found = dict(zip(plain, value.values(), strict=True))
    if len(found) != len(value):
        twice = next(key for key, times in Counter(plain).items() if times > 1)
        raise ValueError(f"the key {twice!r} stands twice")
    return found


def _list(message: Json, field: str) -> Sequence[Any]:
    value = message.get(field)
    if value is None:
        return ()
    if not isinstance(value, list):
        raise ValueError(f"{field} is no list")
    return value


@lru_cache(maxsize=1024)
def _camel(name: str) -> str:
    plain = _SNAKE.sub(lambda match: match.group(1).upper(), name) if "_" in name else name
    return _RENAMED.get(plain, plain)
