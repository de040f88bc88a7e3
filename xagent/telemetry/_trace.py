"""The typed trace that every reader produces."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SpanKind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]
SpanStatus = Literal["unset", "ok", "error"]


@dataclass(frozen=True)
class Event:
    """A moment within a span. time_ns: nanoseconds since 1970-01-01 UTC, 0 when not recorded."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Span:
    """One step of the process, or a part of one.

    trace_id: 32 lower case hex digits; span_id and parent_id: 16 (parent_id None for a root). start_ns and end_ns:
    nanoseconds since 1970-01-01 UTC; end_ns None when the span was exported before it ended. attributes: the span's
    own; resource: those of the program that recorded it. Values are strings, booleans, integers, floats, tuples or
    mappings of these, or None. dropped: attributes and events that the recorder threw away.
    """

    trace_id: str
    span_id: str
    parent_id: str | None
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int | None
    status: SpanStatus = "unset"
    message: str = ""
    attributes: Mapping[str, Any] = field(default_factory=dict)
    events: tuple[Event, ...] = ()
    resource: Mapping[str, Any] = field(default_factory=dict)
    dropped: int = 0

    @property
    def seconds(self) -> float | None:
        """From start to end; None for a span without an end. Negative when the clock ran backwards."""
        return None if self.end_ns is None else (self.end_ns - self.start_ns) / 1e9

    def get(self, key: str) -> Any:
        """An attribute of the span, or else of its resource, or else None."""
        found = self.attributes.get(key)
        return self.resource.get(key) if found is None else found


@dataclass(frozen=True)
class ProcessTrace:
    """All spans of one trace, by start time and then id, whatever their order in the file."""

    trace_id: str
    format: str
    spans: tuple[Span, ...]

    @property
    def start_ns(self) -> int:
        """Start of the first span: the zero of every printed time."""
        return self.spans[0].start_ns

    @property
    def roots(self) -> tuple[Span, ...]:
        """Spans that name no parent: one in a complete trace."""
        return tuple(span for span in self.spans if span.parent_id is None)

    @property
    def orphans(self) -> tuple[Span, ...]:
        """Spans whose parent is not in the file."""
        known = {span.span_id for span in self.spans}
        return tuple(span for span in self.spans if span.parent_id is not None and span.parent_id not in known)

    def children(self) -> dict[str | None, tuple[Span, ...]]:
        """Spans by the id of their parent, each group by start time."""
        found: dict[str | None, list[Span]] = {}
        for span in self.spans:
            found.setdefault(span.parent_id, []).append(span)
        return {parent: tuple(group) for parent, group in found.items()}
