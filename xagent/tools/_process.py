"""What a trace says about the process: its steps, their order, repeats, errors, and how complete the trace is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xagent.telemetry import ProcessTrace, Span

CLOCK_TOLERANCE_NS = 1_000_000
"""Clocks of two machines may differ by this much before a child counts as outside its parent: one millisecond."""
_MAX_COUNT = 1_000_000


@dataclass(frozen=True)
class StepSpan:
    """One run of a step. self_seconds: its time less the time of the steps within it."""

    span: Span
    kind: str
    retry: bool
    self_seconds: float | None


@dataclass(frozen=True)
class Expectation:
    """Steps seen against steps expected, in expected order. state `not supplied` when none were expected."""

    state: Literal["ok", "deviation", "not supplied"]
    missing: tuple[str, ...]
    out_of_order: tuple[str, ...]
    unexpected: tuple[str, ...]


def find_steps(trace: ProcessTrace, expected: Sequence[str]) -> list[StepSpan]:
    """The spans that are steps, by start: those with `xagent.step.kind` or an expected name.

    A trace that has neither marks nor expectations offers all its spans but the root.
    """
    marked = [s for s in trace.spans if s.attributes.get("xagent.step.kind") or s.name in expected]
    spans = marked or [s for s in trace.spans if s.parent_id is not None] or list(trace.spans)
    repeats = {id(span) for group in _siblings(spans) for span in _repeated(group)}
    inside = _nested(trace, spans)
    return [
        StepSpan(
            span=s,
            kind=str(s.attributes.get("xagent.step.kind") or "step")[:80],
            retry=id(s) in repeats,
            self_seconds=_self_seconds(s, inside.get(s.span_id, [])),
        )
        for s in spans
    ]


def against_expected(steps: Sequence[StepSpan], expected: Sequence[str]) -> Expectation:
    """Multiset difference for what is missing; first starts for the order; marked steps nobody expected."""
    if not expected:
        return Expectation("not supplied", (), (), ())
    seen = Counter(step.span.name for step in steps)
    needed: Counter[str] = Counter()
    missing = []
    for name in expected:
        needed[name] += 1
        if needed[name] > seen[name]:
            missing.append(name)
    starts: dict[str, int] = {}
    for step in steps:
        starts.setdefault(step.span.name, step.span.start_ns)
    order = [name for name in dict.fromkeys(expected) if name in starts]
    early = [name for i, name in enumerate(order) if any(starts[name] < starts[before] for before in order[:i])]
    unexpected = sorted({step.span.name for step in steps} - set(expected))
    return Expectation("deviation" if missing or early else "ok", tuple(missing), tuple(early), tuple(unexpected))


def count_retries(trace: ProcessTrace) -> int:
    """Repeats of a step: siblings of one name one after the other, `http.request.resend_count`, or retry events.

    These often record the same repeat, so each group of siblings counts the largest of the three. Siblings that
    overlap ran side by side and are no repeats.
    """
    total = 0
    for group in _siblings(trace.spans):
        resent = max((_count(span.attributes.get("http.request.resend_count")) for span in group), default=0)
        events = sum("retry" in event.name.lower() for span in group for event in span.events)
        total += max(len(_repeated(group)), resent, events)
    return total


def find_errors(trace: ProcessTrace) -> list[Span]:
    """Where errors arose: spans with status error or `error.type`, less those that only pass on a child's error."""
    failed = {s.span_id for s in trace.spans if s.status == "error" or s.attributes.get("error.type")}
    passed_on = {s.parent_id for s in trace.spans if s.span_id in failed}
    return [s for s in trace.spans if s.span_id in failed and s.span_id not in passed_on]


def find_skew(trace: ProcessTrace) -> list[Span]:
    """Spans that end before they start, or lie outside their parent (message consumers may outlive a producer)."""
    known = {span.span_id: span for span in trace.spans}
    return [s for s in trace.spans if _skewed(s, known.get(s.parent_id or ""))]


def duration(trace: ProcessTrace) -> float | None:
    """Seconds of the one span on top, or from the first start to the last end when there are several."""
    tops = [*trace.roots, *trace.orphans]
    if len(tops) == 1 and tops[0].end_ns is not None:
        return max(0.0, (tops[0].end_ns - tops[0].start_ns) / 1e9)
    ends = [s.end_ns for s in trace.spans if s.end_ns is not None]
    return max(0.0, (max(ends) - trace.start_ns) / 1e9) if ends else None


def _skewed(span: Span, parent: Span | None) -> bool:
    if span.end_ns is not None and span.end_ns < span.start_ns:
        return True
    if parent is None:
        return False
    if span.start_ns < parent.start_ns - CLOCK_TOLERANCE_NS:
        return True
    if span.kind == "consumer" or parent.kind == "producer" or span.end_ns is None or parent.end_ns is None:
        return False
    return span.end_ns > parent.end_ns + CLOCK_TOLERANCE_NS


def _siblings(spans: Iterable[Span]) -> list[list[Span]]:
    """Spans of one name below one parent, by start."""
    groups: dict[tuple[str | None, str], list[Span]] = {}
    for span in spans:
        groups.setdefault((span.parent_id, span.name), []).append(span)
    return list(groups.values())


def _repeated(group: Sequence[Span]) -> list[Span]:
    """Those of a group of siblings that start after one before them has ended."""
    repeats, first_end = [], None
    for span in group:
        if first_end is not None and span.start_ns >= first_end:
            repeats.append(span)
        if span.end_ns is not None:
            first_end = span.end_ns if first_end is None else min(first_end, span.end_ns)
    return repeats


def _count(value: Any) -> int:
    """A non-negative integer that a trace may state, else 0."""
    whole = isinstance(value, int) and not isinstance(value, bool)
    return min(int(value), _MAX_COUNT) if whole and value > 0 else 0


def _nested(trace: ProcessTrace, steps: Sequence[Span]) -> dict[str, list[Span]]:
    """For each step's id the steps nearest below it, however many plain spans lie between."""
    parents = {span.span_id: span.parent_id for span in trace.spans}
    ids = {span.span_id for span in steps}
    inside: dict[str, list[Span]] = {}
    for step in steps:
        above, visited = step.parent_id, {step.span_id}
        while above is not None and above not in ids and above not in visited:
            visited.add(above)
            above = parents.get(above)
        if above in ids and above is not None and above != step.span_id:
            inside.setdefault(above, []).append(step)
    return inside


def _self_seconds(span: Span, inner: Sequence[Span]) -> float | None:
    """Length of the span less the union of the intervals within it."""
    if span.end_ns is None:
        return None
    covered, reached = 0, span.start_ns
    for child in sorted(inner, key=lambda s: s.start_ns):
        start = max(child.start_ns, reached)
        end = min(child.end_ns if child.end_ns is not None else child.start_ns, span.end_ns)
        if end > start:
            covered, reached = covered + end - start, end
    return max(0, span.end_ns - span.start_ns - covered) / 1e9
