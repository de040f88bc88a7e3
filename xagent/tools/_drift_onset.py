"""When did a feature begin to differ? Sub-windows in the order of time, and the row from which it did.

The onset is the row b with the largest sum, over the rows from b on, of log f1/f0: the share of the row's cell after
the change over its share in the reference (the likelihood-ratio form of Page's CUSUM, 1954). f1 is estimated on the
rows from b on, and b again, three times.
"""

from __future__ import annotations

from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from xagent.tools._columns import Column
from xagent.tools._drift_result import Onset
from xagent.tools._stats import MINIMUM_ROWS, largest_distance

Floats = NDArray[np.float64]

MOST_SUB_WINDOWS = 10
ROWS_EACH = 50
_CELLS = 10
_ROUNDS = 3


def sub_windows(rows: int) -> int:
    """In how many parts a window is cut; 0 when it has not the rows for two."""
    parts = min(MOST_SUB_WINDOWS, rows // ROWS_EACH)
    return parts if parts >= 2 else 0


def onset_of(before: Column, after: Column, order: NDArray[np.int64], times: list[str] | None) -> Onset | None:
    """order (n,): places of the window's rows in the order of time; times: of the rows in that order. None for a window
    that is too short to be cut."""
    parts = sub_windows(len(order))
    if not parts:
        return None
    known, asked = _cells(before, after)
    asked = asked[order]
    shares = (np.bincount(known, minlength=_most(known, asked)) + 0.5) / (len(known) + 0.5 * _most(known, asked))
    start = 0
    for _ in range(_ROUNDS):
        own = np.bincount(asked[start:], minlength=len(shares)) + 0.5
        gains = np.log(own / own.sum() / shares)[asked]
        found = int(np.argmax(np.cumsum(gains[::-1])[::-1]))
        if found == start:
            break
        start = found
    edges = np.linspace(0, len(order), parts + 1).round().astype(np.int64)
    effects = [_effect(before, after.take(order[a:b])) for a, b in pairwise(edges)]
    place = int(np.searchsorted(edges, start, side="right"))
    return Onset(effects=tuple(effects), sub_window=place, row=start, at=times[start] if times else None)


def _effect(before: Column, part: Column) -> float | None:
    """Kolmogorov-Smirnov D or total variation of the present values."""
    if min(len(part.present), len(before.present)) < MINIMUM_ROWS // 2:
        return None
    if before.numeric:
        return float(f"{largest_distance(before.ordered, part.ordered):.12g}")
    n, m = len(before.present), len(part.present)
    both = {*before.counts, *part.counts}
    return float(f"{0.5 * sum(abs(before.counts.get(v, 0) / n - part.counts.get(v, 0) / m) for v in both):.12g}")


def _cells(before: Column, after: Column) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every value's cell: deciles of the reference or levels, and one of their own for missing and for new ones."""
    found = []
    if before.numeric:
        ordered = before.ordered
        edges = np.unique(ordered[np.linspace(0, len(ordered) - 1, _CELLS + 1)[1:-1].astype(np.int64)])
        for column in (before, after):
            cells = np.searchsorted(edges, column.values.astype(np.float64), side="left")
            found.append(np.where(column.missing, len(edges) + 1, cells))
        return found[0], found[1]
    places = {name: place for place, name in enumerate(sorted(before.counts))}
    new = len(places)
    for column in (before, after):
        names = np.array([*(places.get(name, new) for name in column.names), new + 1])  # the last for missing ones
        found.append(names[column.codes])
    return found[0], found[1]


def _most(known: NDArray[np.int64], asked: NDArray[np.int64]) -> int:
    return int(max(known.max(initial=0), asked.max(initial=0))) + 1
