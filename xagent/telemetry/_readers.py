"""The seam for formats: what a reader is, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xagent.telemetry._console import read_console, sniff_console
from xagent.telemetry._jaeger import read_jaeger, sniff_jaeger
from xagent.telemetry._otlp import read_otlp, sniff_otlp
from xagent.telemetry._trace import Span
from xagent.telemetry._zipkin import read_zipkin, sniff_zipkin


@dataclass(frozen=True)
class Reader:
    """One telemetry format.

    sniff: does this look like it? read: every span of the file. Both get the JSON records of the file in order (one
    for a plain JSON file, one a line for JSON Lines, the members of a list). `read` raises ValueError, TypeError or
    KeyError, with a message for the user, for anything that it cannot turn into a span; it never skips one silently.
    lacks: what the format cannot say, by topic, as `ProcessTrace.lacks`.
    """

    name: str
    sniff: Callable[[Sequence[Any]], bool]
    read: Callable[[Sequence[Any]], list[Span]]
    lacks: Mapping[str, str] = field(default_factory=dict)


_READERS: list[Reader] = [
    Reader("OTLP JSON", sniff_otlp, read_otlp),
    Reader("OpenTelemetry console", sniff_console, read_console),
    Reader("Jaeger JSON", sniff_jaeger, read_jaeger),
    Reader("Zipkin JSON v2", sniff_zipkin, read_zipkin),
]


def register(reader: Reader) -> None:
    """Add a format; the first whose `sniff` says yes reads the file. Raises ValueError when the name is taken."""
    if any(known.name == reader.name for known in _READERS):
        raise ValueError(f"there is already a telemetry reader called {reader.name!r}")
    _READERS.append(reader)


def readers() -> tuple[Reader, ...]:
    """All formats, in the order in which they are tried."""
    return tuple(_READERS)
