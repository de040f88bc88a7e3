"""What readers share: ids, times, names and attribute values of untrusted records."""

from __future__ import annotations

import base64
import binascii
import math
import re
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

MAX_NAME = 500
MAX_NS = 2**63
MAX_ATTRIBUTES = 2_000
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_HEX = re.compile(r"[0-9a-fA-F]+")
_ISO = re.compile(r"(\d{4}-\d\d-\d\d[T ]\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?\d*\s*(Z|[+-]\d\d:?\d\d)?")


def text(value: Any) -> str:
    """Printable and of bounded length: it may stand in a report. Empty for anything that is no string."""
    if not isinstance(value, str):
        return ""
    return "".join(c if c.isprintable() else " " for c in value).strip()[:MAX_NAME]


def hex_id(value: Any, field: str, digits: int) -> str:
    """An id of OpenTelemetry, Jaeger or Zipkin in lower case, filled with zeros on the left. Raises ValueError."""
    plain = value.removeprefix("0x") if isinstance(value, str) else ""
    if not _HEX.fullmatch(plain) or len(plain) > digits or not plain.strip("0"):
        raise ValueError(f"{field} {str(value)[:80]!r} is no id of up to {digits} hex digits")
    return plain.lower().rjust(digits, "0")


def otel_id(value: str, field: str, size: int, notes: set[str] | None = None) -> str:
    """Lower case hex of an id of `size` bytes given as hex, with 0x, or as base64; their lengths never coincide.

    Protobuf's own JSON reader takes hex for base64 without an error: 16 bytes become 24. Those 24 bytes as base64 are
    the hex digits again, so an id of one and a half times the length is read back when that gives hex, else refused.
    Raises ValueError. notes: told of what was put right.
    """
    if not value:
        return ""
    plain = value.removeprefix("0x")
    if re.fullmatch(rf"[0-9a-fA-F]{{{2 * size}}}", plain):
        return plain.lower()
    garbled = re.fullmatch(rf"[0-9a-fA-F]{{{3 * size}}}", plain)
    raw = bytes.fromhex(plain) if garbled else _base64(value, size)
    if garbled and re.fullmatch(r"[0-9a-fA-F]+", digits := base64.b64encode(raw).decode()):
        if notes is not None:
            notes.add("ids were hex that had been read as base64")
        return digits.lower()
    if len(raw) != size:
        raise ValueError(f"{field} {value[:80]!r} is neither {2 * size} hex digits nor base64 of {size} bytes")
    if notes is not None:
        notes.add("ids were base64")
    return raw.hex()


def _base64(value: str, size: int) -> bytes:
    try:
        return base64.b64decode(
            value.replace("-", "+").replace("_", "/").rstrip("=") + "=" * (-size % 3), validate=True
        )
    except (binascii.Error, ValueError):
        return b""


def free_id(value: Any, field: str) -> str:
    """An id of a format that lets writers choose: 1 to 200 printable characters. Raises ValueError."""
    if not isinstance(value, str) or not 1 <= len(value) <= 200 or not value.isprintable():
        raise ValueError(f"{field} {str(value)[:80]!r} is no id of 1 to 200 printable characters")
    return value


def whole(value: Any, field: str) -> int:
    """An integer, also as digits in a string. Raises ValueError."""
    if isinstance(value, str) and re.fullmatch(r"-?\d{1,19}", value):
        return int(value)
    if isinstance(value, float) and value.is_integer() and abs(value) < 2**53:
        return int(value)
    if not isinstance(value, int) or isinstance(value, bool):
        raise ValueError(f"{field} {str(value)[:80]!r} is no whole number")
    return value


def nanoseconds(value: int, field: str) -> int:
    """A time that can be one: after 1970 and before 2262. Raises ValueError."""
    if not 0 < value < MAX_NS:
        raise ValueError(f"{field} {str(value)[:80]} is no time in nanoseconds since 1970")
    return value


def iso_ns(value: Any, field: str, *, naive_is_utc: bool = False) -> int:
    """ISO 8601 as nanoseconds since 1970, all nine digits kept.

    Raises ValueError without a zone, unless the format says that its naive times are UTC.
    """
    match = _ISO.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None or (match[3] is None and not naive_is_utc):
        raise ValueError(f"{field} {str(value)[:80]!r} is no ISO 8601 time with a zone")
    zone = "+00:00" if match[3] in (None, "Z") else match[3]
    seconds = (datetime.fromisoformat(match[1] + zone) - _EPOCH) // timedelta(seconds=1)
    return nanoseconds(seconds * 10**9 + int((match[2] or "0").ljust(9, "0")), field)


def any_ns(value: Any, field: str, *, naive_is_utc: bool = False) -> int:
    """ISO 8601, or a number since 1970 whose unit its size tells: milli-, micro- or nanoseconds (2001 to 2262)."""
    if isinstance(value, str):
        return iso_ns(value, field, naive_is_utc=naive_is_utc)
    number = whole(value, field)
    for least, factor in ((10**18, 1), (10**15, 1_000), (10**12, 1_000_000)):
        if number >= least:
            return nanoseconds(number * factor, field)
    raise ValueError(f"{field} {number} is no time since 1970 in milli-, micro- or nanoseconds")


def attributes(value: Any, field: str) -> dict[str, Any]:
    """A mapping of attributes with plain values. Raises ValueError for anything else, or for too many."""
    if value is None:
        return {}
    if not isinstance(value, Mapping):
        raise ValueError(f"{field} is no mapping")
    if len(value) > MAX_ATTRIBUTES:
        raise ValueError(f"{field} has more than {MAX_ATTRIBUTES} entries")
    return {str(key)[:MAX_NAME]: plain(inner) for key, inner in value.items() if key}


def plain(value: Any) -> Any:
    """A JSON value with lists as tuples and numbers that are not finite as None."""
    if isinstance(value, list | tuple):
        return tuple(plain(inner) for inner in value)
    if isinstance(value, Mapping):
        return {str(key): plain(inner) for key, inner in value.items()}
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def flat(value: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    """Nested mappings as dotted keys below `prefix`; lists stay values. Raises ValueError for too many."""
    found: dict[str, Any] = {}
    stack: list[tuple[str, Any]] = [(prefix, value)]
    while stack:
        key, inner = stack.pop()
        if isinstance(inner, Mapping):
            deeper = reversed(tuple(inner.items()))
            stack += [(f"{key}.{name}" if key else str(name), below) for name, below in deeper]
        elif inner is not None:
            found[key[:MAX_NAME]] = plain(inner)
        if len(found) > MAX_ATTRIBUTES:
            raise ValueError(f"{prefix or 'the record'} has more than {MAX_ATTRIBUTES} entries")
    return found
