"""Whether a number looks as if it had been served in another unit: 10, 100 or 1,000 times too large or too small.

A factor is suspected when the value lies so far out that the reference's tail hardly reaches it, and the value without
the factor is a common one. The tail is extrapolated as a power law fitted to the outermost values (B. M. Hill, "A
simple general approach to inference about the tail of a distribution", Annals of Statistics 3, 1975), which is on the
safe side for tails that fall faster.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

FACTORS = (10.0, 100.0, 1000.0)
ALPHA = 0.01
"""Chance of any false suspicion in one case, shared out over its features and the two directions (Bonferroni)."""
LEAST = 100
"""Fewer values of the same sign say too little about their tail."""
_DISTINCT = 20
_TAIL, _COMMON = 0.05, (0.01, 0.99)


@dataclass(frozen=True)
class Suspicion:
    """served = likely * factor; factor is 10, 100 or 1000, or one of 0.1, 0.01 and 0.001."""

    factor: float
    likely: float


@dataclass(frozen=True)
class Tail:
    """Where a value is too far out. limit: magnitudes above it have a tail probability of at most alpha; low and high:
    the common magnitudes. All on the scale of the magnitudes that were given."""

    limit: float
    low: float
    high: float
    magnitudes: Floats

    def seen(self, factor: float) -> float:
        """Share of the reference's values that would be suspected if they were multiplied by `factor`."""
        common = (self.magnitudes >= self.low) & (self.magnitudes <= self.high)
        return float(np.mean(common & (self.magnitudes * factor > self.limit)))


def tail_of(magnitudes: Floats, alpha: float) -> Tail:
    """magnitudes: (n,) above zero, n at least `LEAST`. alpha: tail probability at the limit."""
    rising = np.sort(magnitudes)
    n = len(rising)
    k = max(10, int(_TAIL * n))
    start = float(rising[-k - 1])
    index = float(np.mean(np.log(rising[-k:] / start)))
    index = max(index / (1 - 1 / math.sqrt(k)), 1e-3)  # widened by one standard error
    limit = start * max(alpha * n / k, 1e-12) ** -index
    low, high = (float(q) for q in np.quantile(rising, _COMMON))
    return Tail(max(limit, float(rising[-1])), low, high, rising)


def unit_error(value: float, reference: Floats, alpha: float) -> tuple[Suspicion | None, float] | None:
    """A suspicion or None, and the share of the reference's values at which a factor of ten, either way, would be seen.

    value: as served. reference: (n,) finite numbers. Returns None where nothing can be said: a value of zero, fewer
    than `LEAST` reference values of its sign, or hardly any distinct ones.
    """
    own = reference[np.sign(reference) == np.sign(value)]
    if value == 0 or len(own) < LEAST or len(np.unique(own)) < _DISTINCT:
        return None
    magnitudes = np.abs(own)
    above, below = tail_of(magnitudes, alpha / 2), tail_of(1 / magnitudes, alpha / 2)
    seen = (above.seen(FACTORS[0]) + below.seen(FACTORS[0])) / 2
    for tail, size, turned in ((above, abs(value), False), (below, 1 / abs(value), True)):
        if size > tail.limit:
            fitting = [f for f in FACTORS if tail.low <= size / f <= tail.high]
            if fitting:
                middle = float(np.median(np.log(tail.magnitudes)))
                factor = min(fitting, key=lambda f: abs(math.log(size / f) - middle))
                likely = math.copysign(size / factor, value)
                return Suspicion(1 / factor if turned else factor, 1 / likely if turned else likely), seen
    return None, seen
