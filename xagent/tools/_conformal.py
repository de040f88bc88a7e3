"""How unusual one value is among many, and one score among those of rows that were held out.

p = (1 + #{calibration scores >= s}) / (calibration rows + 1) holds whatever the score, as long as the row and the
calibration rows are exchangeable (Bates, Candès, Lei, Romano, Sesia 2023, "Testing for outliers with conformal
p-values").
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from xagent.case import LARGEST
from xagent.tools._columns import Column, ColumnKind

Floats = NDArray[np.float64]

MOST_POINTS = 20_000
"""Numbers of a feature that are kept; of more, evenly spaced ones by rank, and both ends."""


def p_values(calibration: Floats, scores: Floats) -> Floats:
    """(n,): the share of calibration scores, with the row itself, that are at least as large. Never 0, ties count."""
    from crepes import ConformalClassifier

    found = ConformalClassifier().fit(calibration).predict_p(scores[:, None], smoothing=False)
    return np.asarray(found[:, 0], dtype=np.float64)


def mid_ranks(ordered: Floats, asked: Floats) -> Floats:
    """How many of `ordered` lie below each value, ties by half."""
    left, right = np.searchsorted(ordered, asked, side="left"), np.searchsorted(ordered, asked, side="right")
    return np.asarray((left + right) / 2, dtype=np.float64)


@dataclass(frozen=True)
class Marginal:
    """One feature of the reference, so far as a value is compared with it.

    n: values, missing ones with them; gone: missing ones. ordered: the present numbers in rising order, at most
    MOST_POINTS of them; levels and counts (k,): of a feature without an order. truth: as in `Shape`.
    """

    name: str
    kind: ColumnKind
    n: int
    gone: int
    ordered: Floats
    levels: tuple[str, ...] = ()
    counts: NDArray[np.int64] | None = None
    truth: bool = False

    @staticmethod
    def of(column: Column, truth: bool = False) -> Marginal:
        gone, n = int(column.missing.sum()), len(column.values)
        if not column.numeric:
            counts = column.counts
            levels = tuple(sorted(counts))
            found = np.array([counts[level] for level in levels], dtype=np.int64)
            return Marginal(column.name, column.kind, n, gone, np.empty(0), levels, found, truth)
        ordered = column.ordered
        if len(ordered) > MOST_POINTS:
            ordered = ordered[np.linspace(0, len(ordered) - 1, MOST_POINTS).round().astype(np.int64)]
        return Marginal(column.name, column.kind, n, gone, ordered)

    @property
    def numeric(self) -> bool:
        return self.kind != "categorical"

    @property
    def present(self) -> int:
        return self.n - self.gone

    @cached_property
    def frequency(self) -> dict[str, int]:
        assert self.counts is not None
        return dict(zip(self.levels, self.counts.tolist(), strict=True))

    def ranks(self, asked: Floats) -> Floats:
        """How many of the present values lie below each, ties by half."""
        return mid_ranks(self.ordered, asked) * (self.present / max(len(self.ordered), 1))

    def tails(self, asked: Column) -> tuple[Floats, Floats]:
        """(p, excess) of each value of `asked`, both (n,).

        p: numbers, two-sided from the mid-rank; levels, the share of values whose level is no more frequent, for an
        unknown level the chance of one after Good and Turing; missing values, their share. Smallest 1/(n+1). excess:
        how far beyond the known range, in units of the central 98 %; 1 for an unknown level or a missing value never
        seen. It tells apart what lies beyond every known value, where p cannot.
        """
        p, excess = np.ones(len(asked.values)), np.zeros(len(asked.values))
        lacking = asked.missing
        p[lacking] = (self.gone + 1) / (self.n + 1)
        excess[lacking] = 0.0 if self.gone else 1.0
        if self.present and not lacking.all():
            there = asked.values[~lacking]
            judged = self._numbers(there.astype(np.float64)) if self.numeric else self._levels(there)
            p[~lacking], excess[~lacking] = judged
        return p, excess

    def _numbers(self, asked: Floats) -> tuple[Floats, Floats]:
        ordered, n = self.ordered, self.present
        below = self.ranks(asked)
        p = np.minimum(1.0, (2 * np.minimum(below, n - below) + 1) / (n + 1))
        beyond = np.maximum(0.0, np.maximum(ordered[0] - asked, asked - ordered[-1]))
        central = float(np.subtract(*np.quantile(ordered, [0.99, 0.01])))
        unit = central or float(ordered[-1] - ordered[0]) or max(abs(float(ordered[0])), 1.0)
        with np.errstate(over="ignore"):  # a spread may be as small as a double can be
            return p, np.minimum(beyond / unit, LARGEST)

    def _levels(self, asked: NDArray[np.object_]) -> tuple[Floats, Floats]:
        assert self.counts is not None
        n, sizes = self.present, np.sort(self.counts).astype(np.float64)
        mass = np.cumsum(sizes)
        once = int((self.counts == 1).sum())
        seen = np.array([self.frequency.get(level, 0) for level in asked.tolist()], dtype=np.float64)
        rarer = mass[np.maximum(np.searchsorted(sizes, seen, side="right") - 1, 0)]
        p = np.where(seen > 0, np.minimum(1.0, (rarer + 1) / (n + 1)), (once + 1) / (n + 1))
        return p, (seen == 0).astype(np.float64)


def tails(known: Column, asked: Column) -> tuple[Floats, Floats]:
    """(p, excess) of each value of `asked` among those of `known`."""
    return Marginal.of(known).tails(asked)
