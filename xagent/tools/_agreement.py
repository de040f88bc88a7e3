"""How far two lists of relevance agree: as a whole, and on each input that matters to one of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations
from math import sqrt
from typing import Literal

State = Literal["confirmed", "sign differs", "absent", "cannot tell"]
TOP = 6
"""A driver is a top driver while its rank is at most this."""
DRIVES = 0.25
"""... and while it has at least this part of the largest relevance in its list."""
ABSENT = 0.1
"""Below this part of the largest, an input is absent from a list. Less than half of DRIVES, so that ties are no
disagreement; how often lists that are right and wrong are told apart: docs/second-opinions.md."""
ERRORS = 2.0
"""Standard errors of a sampled list within which nothing is held against it."""


@dataclass(frozen=True)
class Agreement:
    """Of a list with another one. Shares in [0, 1], correlations in [-1, 1]; None where they do not exist.

    top: places of the list's top drivers, strongest first, and states: how the other list sees each of them. missed:
    places of top drivers of the other list that are absent from this one. sign: share of the top drivers that point the
    same way in the other list. overlap: share of them that are among as many top inputs of the other list. rank:
    Kendall's tau of the magnitudes of all top drivers of either list (Kendall 1938).
    """

    cosine: float | None
    rank: float | None
    sign: float
    overlap: float
    top: tuple[int, ...]
    states: tuple[State, ...]
    missed: tuple[int, ...]


def compare(listed: Sequence[float], other: Sequence[float], error: Sequence[float]) -> Agreement | None:
    """Agreement of `listed` with `other`, whose standard errors are `error` (P,). None when the list is all zeros."""
    top = _drivers(listed)
    if not top:
        return None
    largest = max(abs(v) for v in other)
    theirs = _drivers(other)
    ranked = _by_size(other)
    signs = {place: 1 if listed[place] > 0 else -1 for place in top}
    floor = ABSENT * max(abs(v) for v in listed)
    return Agreement(
        cosine=_cosine(listed, other),
        rank=_tau([(abs(listed[p]), abs(other[p])) for p in sorted({*top, *theirs})]),
        sign=sum(signs[p] * other[p] > 0 for p in top) / len(top),
        overlap=len(set(top) & set(ranked[: len(top)])) / len(top) if largest > 0 else 0.0,
        top=top,
        states=tuple(_state(signs[p] * other[p], ERRORS * error[p], ABSENT * largest) for p in top),
        missed=tuple(
            p for p in theirs if abs(listed[p]) < floor and abs(other[p]) - ERRORS * error[p] > DRIVES * largest
        ),
    )


def _state(effect: float, doubt: float, floor: float) -> State:
    """effect: of the other list, positive when it points as this one does. doubt: how far it may be off."""
    if effect >= floor and effect - doubt > 0:
        return "confirmed"
    if effect <= -floor and effect + doubt < 0:
        return "sign differs"
    if floor == 0 or (effect + doubt < floor and effect - doubt > -floor):
        return "absent"
    return "cannot tell"


def _by_size(values: Sequence[float]) -> list[int]:
    return sorted(range(len(values)), key=lambda p: (-abs(values[p]), p))


def _drivers(values: Sequence[float]) -> tuple[int, ...]:
    largest = max((abs(v) for v in values), default=0.0)
    return tuple(p for p in _by_size(values)[:TOP] if largest > 0 and abs(values[p]) >= DRIVES * largest)


def _cosine(a: Sequence[float], b: Sequence[float]) -> float | None:
    """Scaled first, so that neither tiny nor huge values overflow on the way."""
    size_a, size_b = max(abs(v) for v in a), max(abs(v) for v in b)
    if not size_a or not size_b:
        return None
    a, b = [v / size_a for v in a], [v / size_b for v in b]
    dot = sum(x * y for x, y in zip(a, b, strict=True))
    return max(-1.0, min(1.0, dot / sqrt(sum(x * x for x in a) * sum(y * y for y in b))))


def _tau(pairs: Sequence[tuple[float, float]]) -> float | None:
    """Tau-b; None with fewer than two, or when one side is all ties."""
    agree = ties_a = ties_b = every = 0
    for (a, b), (c, d) in combinations(pairs, 2):
        x, y = (a > c) - (a < c), (b > d) - (b < d)
        agree += x * y
        ties_a += x == 0
        ties_b += y == 0
        every += 1
    size = (every - ties_a) * (every - ties_b)
    return agree / sqrt(size) if size else None
