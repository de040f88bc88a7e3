"""The typed trace that every reader produces."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

SpanKind = Literal["unspecified", "internal", "server", "client", "producer", "consumer"]
SpanStatus = Literal["unset", "ok", "error"]
Place = Literal["span", "event", "resource"]
PayloadRole = Literal["input", "output", "person", "secret", "detail", "other"]


@dataclass(frozen=True)
class Payload:
    """Content of a request that is kept apart from the attributes and, unless asked for, known by its hash only.

    role: `input` and `output` of the step; `person`: who asked; `secret`: a credential; `detail`: an address, a query
    or an error text that may quote data; `other`: anything too long for an attribute. key: the attribute as the file
    names it. sha256: of the UTF-8 text, of the bytes where the file holds base64, else of the canonical JSON. size:
    bytes hashed. value: None unless payloads were asked for.
    """

    role: PayloadRole
    key: str
    sha256: str
    size: int
    value: Any = None


@dataclass(frozen=True)
class Event:
    """A moment within a span. time_ns: nanoseconds since 1970-01-01 UTC, 0 when not recorded. payloads and aliases as
    those of a span."""

    name: str
    time_ns: int
    attributes: Mapping[str, Any] = field(default_factory=dict)
    payloads: tuple[Payload, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Link:
    """A span that this one refers to without being its child."""

    trace_id: str
    span_id: str


@dataclass(frozen=True)
class Origin:
    """Where a fact stands: the file, the span, in which part of it, and the attribute as the file names it."""

    file: str
    span_id: str
    place: Place
    key: str


@dataclass(frozen=True)
class Fact:
    """One value of a trace under its canonical key. time_ns: of the event it stands in, else the span's start."""

    key: str
    value: Any
    time_ns: int
    origin: Origin


@dataclass(frozen=True)
class Source:
    """The file a trace was read from. bytes: its size. spans: how many it holds, those of other traces included."""

    file: str
    sha256: str
    bytes: int
    spans: int


@dataclass(frozen=True)
class Span:
    """One step of the process, or a part of one.

    trace_id, span_id, parent_id (None for a root): 32 and 16 lower case hex digits in the formats of OpenTelemetry,
    else the format's own text. message: of the status, empty unless payloads were asked for. start_ns and end_ns:
    nanoseconds since 1970-01-01 UTC. start_ns is 0 where the format lets a record go without a time. end_ns is None
    when the span was exported before it ended, and for an `instant`: a record that gives a moment and no length.
    attributes: the span's own, under the names of the file and under their canonical ones; aliases: canonical key ->
    the key it was read from. resource: attributes of the program that recorded it, resource_aliases likewise. Values
    are strings, booleans, integers, floats, tuples or mappings of these, or None. dropped: attributes, events and links
    that the recorder threw away. sampled: True when the record carries the flag; None when it does not, as many
    writers leave it out. mended: what had to be put right to read the record.
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
    instant: bool = False
    links: tuple[Link, ...] = ()
    scope: str = ""
    sampled: bool | None = None
    payloads: tuple[Payload, ...] = ()
    aliases: Mapping[str, str] = field(default_factory=dict)
    resource_aliases: Mapping[str, str] = field(default_factory=dict)
    mended: tuple[str, ...] = field(default=(), compare=False)

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
    """All spans of one trace, by start time and then id, whatever their order in the file.

    format: name of the reader. lacks: what the format cannot say, by topic (`durations`, `parents`, `times`, `status`,
    `steps`), each with the sentence why: such a thing is not supplied, which is not the same as not having happened.
    """

    trace_id: str
    format: str
    spans: tuple[Span, ...]
    lacks: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = field(default=None, compare=False)

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

    @property
    def mended(self) -> tuple[str, ...]:
        """What had to be put right to read the file, each thing once."""
        return tuple(sorted({note for span in self.spans for note in span.mended}))

    @property
    def file(self) -> str:
        """Name of the file, empty for a trace that was made in memory."""
        return self.source.file if self.source else ""

    def children(self) -> dict[str | None, tuple[Span, ...]]:
        """Spans by the id of their parent, each group by start time."""
        found: dict[str | None, list[Span]] = {}
        for span in self.spans:
            found.setdefault(span.parent_id, []).append(span)
        return {parent: tuple(group) for parent, group in found.items()}

    def self_ns(self) -> dict[str, int | None]:
        """For each span's id its own time in nanoseconds: its length less the union of its children's intervals.

        None for a span without an end. Never negative. Linear in the spans, but for sorting.
        """
        children = self.children()
        own: dict[str, int | None] = {}
        for span in self.spans:
            if span.end_ns is None:
                own[span.span_id] = None
                continue
            covered, reached = 0, span.start_ns
            for child in children.get(span.span_id, ()):
                start = max(child.start_ns, reached)
                end = min(child.start_ns if child.end_ns is None else child.end_ns, span.end_ns)
                if end > start:
                    covered, reached = covered + end - start, end
            own[span.span_id] = max(0, span.end_ns - span.start_ns - covered)
        return own

    def facts(self, *keys: str) -> tuple[Fact, ...]:
        """Every value of these canonical keys, with where it stands. A key that ends in `.` stands for all below it.

        Those of spans and their events come first, by span; then those of the programs that recorded, each once.
        """
        exact = {key for key in keys if not key.endswith(".")}
        below = tuple(key for key in keys if key.endswith("."))

        def wanted(key: str) -> bool:
            return key in exact or key.startswith(below)

        return (*self._span_facts(wanted), *self._resource_facts(wanted))

    def _span_facts(self, wanted: Any) -> Iterator[Fact]:
        for span in self.spans:
            for key, value in span.attributes.items():
                if wanted(key) and value is not None:
                    origin = Origin(self.file, span.span_id, "span", span.aliases.get(key, key))
                    yield Fact(key, value, span.start_ns, origin)
            for event in span.events:
                for key, value in event.attributes.items():
                    if wanted(key) and value is not None:
                        origin = Origin(self.file, span.span_id, "event", event.aliases.get(key, key))
                        yield Fact(key, value, event.time_ns or span.start_ns, origin)

    def _resource_facts(self, wanted: Any) -> Iterator[Fact]:
        seen: set[int] = set()
        given: set[tuple[str, str, str]] = set()
        for span in self.spans:
            if id(span.resource) in seen:
                continue
            seen.add(id(span.resource))
            for key, value in span.resource.items():
                named = span.resource_aliases.get(key, key)
                if wanted(key) and value is not None and (key, named, repr(value)) not in given:
                    given.add((key, named, repr(value)))
                    yield Fact(key, value, span.start_ns, Origin(self.file, span.span_id, "resource", named))
