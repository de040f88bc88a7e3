"""Two samples of one feature: tests with an effect size beside each, and what they could have found."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
TestKind = Literal["distribution", "missing values", "new levels"]

MINIMUM_ROWS = 30
"""Below this many values no population is tested."""
EFFECT_FLOOR = 0.1
"""Kolmogorov-Smirnov D or total variation below which a difference is of no practical interest, however certain."""
MISSING_FLOOR = 0.05
NEW_FLOOR = 0.01
PSI_BANDS = ((0.25, 100, "0.25 or more"), (0.1, 200, "0.1 to 0.25"))
"""Bounds of the bands of the stability index, and the values below which chance alone reaches them."""


@dataclass(frozen=True)
class Test:
    """One test of one feature. effect: KS D, total variation, difference of shares or share of new levels, 0 to 1.

    p: before any adjustment, in (0, 1]."""

    __test__ = False  # not one of pytest's

    kind: TestKind
    method: str
    effect: float
    p: float
    floor: float


def test_numbers(reference: Floats, window: Floats) -> Test:
    """Two-sample Kolmogorov-Smirnov of numbers in rising order; asymptotic p, conservative with ties."""
    d = largest_distance(reference, window)
    return Test("distribution", "Kolmogorov-Smirnov D", d, ks_p(d, len(reference), len(window)), EFFECT_FLOOR)


def largest_distance(reference: Floats, window: Floats) -> float:
    """Kolmogorov-Smirnov D of two samples in rising order.

    Only the window's own numbers are looked up: between two of them its distribution function stands still and the
    reference's rises, so the largest distance lies at one of them, or just before it.
    """
    n, m = len(reference), len(window)
    at, before = (np.searchsorted(reference, window, side=side) / n for side in ("right", "left"))
    own_at, own_before = (np.searchsorted(window, window, side=side) / m for side in ("right", "left"))
    return float(max(np.abs(own_at - at).max(), np.abs(own_before - before).max()))


def ks_p(d: float, n: int, m: int) -> float:
    """P-value of a distance D between samples of n and m, as `scipy.stats.ks_2samp(method="asymp")` takes it."""
    from scipy.stats import kstwo

    return _positive(float(kstwo.sf(d, round(n * m / (n + m)))))


def test_levels(before: Mapping[str, int], after: Mapping[str, int]) -> Test:
    """Counts of levels: total variation with a chi-squared test of the two-row table; too rare levels are merged.

    The reference is a sample too: testing against it as if it were exact raises false alarms to 35 % at 5 %.
    """
    from scipy.stats import chi2_contingency

    n, m = sum(before.values()), sum(after.values())
    smaller = min(n, m) / (n + m)
    merged: dict[str, list[int]] = {}
    for level in sorted({*before, *after}):
        one, other = before.get(level, 0), after.get(level, 0)
        rare = (one + other) * smaller < 5
        cell = merged.setdefault("rare" if rare else f"level {level}", [0, 0])
        cell[0] += one
        cell[1] += other
    table = np.array(list(merged.values()), dtype=np.float64).T
    if table.shape[1] < 2:
        return Test("distribution", "total variation", 0.0, 1.0, EFFECT_FLOOR)
    shares = table / table.sum(axis=1, keepdims=True)
    effect = 0.5 * float(np.abs(shares[0] - shares[1]).sum())
    p = float(chi2_contingency(table, correction=False).pvalue)
    return Test("distribution", "total variation", effect, _positive(p), EFFECT_FLOOR)


def test_missing(reference: tuple[int, int], window: tuple[int, int]) -> Test:
    """(missing, rows) of both: difference of the shares with a two-proportion test, Fisher's for small counts."""
    from scipy.stats import fisher_exact, norm

    (gone, n), (lost, m) = reference, window
    pooled = (gone + lost) / (n + m)
    effect = abs(lost / m - gone / n)
    if min(pooled, 1 - pooled) * min(n, m) < 10:
        p = float(fisher_exact(np.array([[gone, n - gone], [lost, m - lost]])).pvalue)
    else:
        p = 2 * float(norm.sf(effect / math.sqrt(pooled * (1 - pooled) * (1 / n + 1 / m))))
    return Test("missing values", "difference of missing shares", effect, _positive(p), MISSING_FLOOR)


def test_new_levels(before: Mapping[str, int], after: Mapping[str, int]) -> Test:
    """Share of values whose level the reference never shows, against the chance of one after Good and Turing (1953).

    Binomial; a level never seen has a small chance, not none, so p is never 0.
    """
    from scipy.stats import binom

    n, m = sum(before.values()), sum(after.values())
    new = sum(count for level, count in after.items() if not before.get(level))
    once = sum(count == 1 for count in before.values())
    chance = (once + 1) / (n + 1)
    p = float(binom.sf(new - 1, m, min(chance, 1.0))) if new else 1.0
    return Test("new levels", "share of new levels", new / m, _positive(p), NEW_FLOOR)


def adjusted(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values, in the given order."""
    from scipy.stats import false_discovery_control

    return [float(q) for q in false_discovery_control(list(p))] if p else []


def wasserstein(reference: Floats, window: Floats) -> float | None:
    """Wasserstein-1 distance of numbers in rising order, in standard deviations of the reference; None for a constant
    one. One outlier moves it.

    Exact. Between two neighbouring numbers of the window its distribution function is a constant g, and the integral of
    |F - g| comes from partial sums of the reference, turned round where F passes g.
    """
    spread = float(np.std(reference))
    if not 0 < spread < math.inf:
        return None
    origin = reference[len(reference) // 2]
    known, asked = reference - origin, window - origin
    n, m = len(known), len(asked)
    sums = np.concatenate([[0.0], np.cumsum(known)])

    def area(x: Floats) -> Floats:
        """Integral of F up to x."""
        below = np.searchsorted(known, x, side="right")
        return np.asarray((below * x - sums[below]) / n)

    starts = np.concatenate([[min(known[0], asked[0])], asked])
    ends = np.concatenate([asked, [max(known[-1], asked[-1])]])
    level = np.arange(m + 1) / m
    passed = known[np.minimum(np.ceil(level * n).astype(np.int64), n) - 1]
    passed[0] = starts[0]
    turn = np.clip(passed, starts, ends)
    low, middle, high = area(starts), area(turn), area(ends)
    under, over = level * (turn - starts) - (middle - low), (high - middle) - level * (ends - turn)
    return float(np.maximum(under + over, 0.0).sum()) / spread


def stability_index(reference: Floats, window: Floats) -> tuple[float, float] | None:
    """(PSI on the reference's deciles, its 95 % point without drift) of numbers in rising order.

    Without drift PSI is about chi2(B-1) (1/n + 1/m) (Yurdakul and Naranjo 2020), so the customary 0.1 means nothing in
    small windows: None below 100 values, where cells run empty and that point is too low. Half a count is added to
    every cell.
    """
    from scipy.special import chdtri

    n, m = len(reference), len(window)
    if min(n, m) < PSI_BANDS[0][1]:
        return None
    edges = np.unique(reference[np.linspace(0, n - 1, 11)[1:-1].astype(np.int64)])
    cells = len(edges) + 1

    def counts(values: Floats) -> Floats:
        return np.diff(np.concatenate([[0], np.searchsorted(values, edges, side="right"), [len(values)]])) + 0.5

    before, after = counts(reference), counts(window)
    expected, found = before / before.sum(), after / after.sum()
    psi = float(((found - expected) * np.log(found / expected)).sum())
    return psi, float(chdtri(cells - 1, 0.05)) * (1 / n + 1 / m) if cells > 1 else 0.0


def stability_band(psi: float, rows: int) -> str | None:
    """The customary band (Lewis 1994) of an index; None where this many values cannot tell it from chance."""
    for bound, fewest, name in PSI_BANDS:
        if rows < fewest:
            return None
        if psi >= bound:
            return name
    return "below 0.1"


def detectable_shift(n: int, m: int, features: int, alpha: float = 0.05) -> float | None:
    """Smallest shift of a normal feature's mean, in standard deviations, that is found about four times in five.

    A shift d moves the distribution functions apart by 2 Phi(d/2) - 1. Set equal to the critical distance of the
    Kolmogorov-Smirnov test at alpha/features, or to the effect floor if that is larger. Simulated (features 50, n
    20,000), 80 % power needs about 2800, 600, 270, 100 rows for 0.1, 0.2, 0.3, 0.5; the formula gives those within a
    few percent. None when no shift could be found.
    """
    from scipy.special import ndtri

    critical = math.sqrt(-math.log(alpha / max(features, 1) / 2) / 2 * (1 / n + 1 / m))
    distance = max(critical, EFFECT_FLOOR)
    return 2 * float(ndtri((1 + distance) / 2)) if distance < 1 else None


def _positive(p: float) -> float:
    """A p-value that underflowed is printed as the smallest number, never as 0."""
    return min(1.0, max(p, 1e-300))
