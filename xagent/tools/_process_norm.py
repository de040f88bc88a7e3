"""What is usual for a service, learned from traces of ordinary requests: its steps, their order, how long they take."""

from __future__ import annotations

import math
import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

from xagent.telemetry import ProcessTrace
from xagent.tools._process import Expectation, StepSpan, find_steps

USUAL = 0.95
"""A step belongs to the norm, and an order of two steps too, when it holds in this share of the baseline traces."""
LEAST = 20
"""Fewer baseline traces are no norm."""
ALPHA = 0.01
"""Level at which a trace counts as slow, over all of its steps together."""
_FLOOR_SECONDS = 1e-6
_LEAST_SPREAD = 0.05


@dataclass(frozen=True)
class Norm:
    """n: traces. steps: usual ones, in their usual order. before: pairs of them whose order is usual. seconds: by step,
    one self time for each trace that has the step; those of one trace stand in one row of `rows`."""

    n: int
    steps: tuple[str, ...]
    before: tuple[tuple[str, str], ...]
    rows: tuple[dict[str, float], ...]


@dataclass(frozen=True)
class Latency:
    """One step beside the same step of the baseline. seconds: its own time, repeats included; typical: the median of n
    traces; faster: share of them that took less time; p: chance of any step of an ordinary trace being so slow."""

    name: str
    seconds: float
    typical: float
    faster: float
    n: int
    p: float


def learn(traces: Sequence[ProcessTrace], expected: Sequence[str]) -> Norm:
    """The norm of some traces; steps are found as in the trace that is judged."""
    seen = [find_steps(trace, expected) for trace in traces]
    starts = [_starts(steps) for steps in seen]
    n = len(traces)
    counts = {name: sum(name in row for row in starts) for name in {name for row in starts for name in row}}
    usual = [name for name, count in counts.items() if n and count / n >= USUAL]
    order = {
        name: (statistics.mean(sorted(row, key=row.__getitem__).index(name) for row in starts if name in row), name)
        for name in usual
    }
    steps = tuple(sorted(usual, key=order.__getitem__))
    before = []
    for first, second in combinations(steps, 2):
        both = [row for row in starts if first in row and second in row]
        if both and sum(row[first] <= row[second] for row in both) / len(both) >= USUAL:
            before.append((first, second))
    return Norm(n, steps, tuple(before), tuple(_seconds(steps) for steps in seen))


def against_norm(steps: Sequence[StepSpan], norm: Norm) -> Expectation:
    """What is usual and absent, what ran before a step that it usually follows, and what is unusual."""
    starts = _starts(steps)
    missing = tuple(name for name in norm.steps if name not in starts)
    pairs = [(a, b) for a, b in norm.before if a in starts and b in starts]
    early = tuple(sorted({b for a, b in pairs if starts[b] < starts[a]}, key=lambda name: starts[name]))
    known = {name for row in norm.rows for name in row}
    unexpected = tuple(sorted(set(starts) - known))
    return Expectation("deviation" if missing or early else "ok", missing, early, unexpected)


def latencies(steps: Sequence[StepSpan], norm: Norm) -> tuple[float | None, list[Latency]]:
    """p of the whole trace and its steps, the slowest for its kind first; (None, []) without a norm to compare with.

    Each step is measured by how many spreads its logarithm lies above the median of the pool of all traces, this one
    included; the score of a trace is its largest. p is (1 + baseline traces with a score at least as large) / (n + 1),
    valid however many steps there are, since every trace is scored alike.
    """
    own = _seconds(steps)
    shared = [name for name in own if sum(name in row for row in norm.rows) >= LEAST]
    if norm.n < LEAST or not shared:
        return None, []
    pool = {name: [math.log(row[name]) for row in (*norm.rows, own) if name in row] for name in shared}
    middle = {name: statistics.median(values) for name, values in pool.items()}
    spread = {
        name: max(1.4826 * statistics.median(abs(v - middle[name]) for v in values), _LEAST_SPREAD)
        for name, values in pool.items()
    }

    def height(row: dict[str, float], name: str) -> float:
        return (math.log(row[name]) - middle[name]) / spread[name]

    known = [max((height(row, name) for name in shared if name in row), default=-math.inf) for row in norm.rows]

    def p_of(score: float) -> float:
        return (1 + sum(other >= score for other in known)) / (norm.n + 1)

    found = []
    for name in sorted(shared, key=lambda name: (-height(own, name), name)):
        times = [row[name] for row in norm.rows if name in row]
        found.append(
            Latency(
                name=name,
                seconds=own[name],
                typical=statistics.median(times),
                faster=sum(t < own[name] for t in times) / len(times),
                n=len(times),
                p=p_of(height(own, name)),
            )
        )
    return min(latency.p for latency in found), found


def _starts(steps: Sequence[StepSpan]) -> dict[str, int]:
    """First start of each step by name."""
    starts: dict[str, int] = {}
    for step in steps:
        starts[step.span.name] = min(step.span.start_ns, starts.get(step.span.name, step.span.start_ns))
    return starts


def _seconds(steps: Sequence[StepSpan]) -> dict[str, float]:
    """Self time of each step by name, its repeats together; steps that never ended are left out."""
    total: dict[str, float] = {}
    for step in steps:
        if step.self_seconds is not None:
            total[step.span.name] = total.get(step.span.name, 0.0) + step.self_seconds
    return {name: max(seconds, _FLOOR_SECONDS) for name, seconds in total.items()}
