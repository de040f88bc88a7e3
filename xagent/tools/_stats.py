"""Two samples of one feature: tests with an effect size beside each, and what they could have found."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Sequence
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
PSI_ROWS = 200


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
    """Two-sample Kolmogorov-Smirnov; asymptotic p, conservative with ties."""
    from scipy.stats import ks_2samp

    found = ks_2samp(reference, window, method="asymp")
    return Test(
        "distribution", "Kolmogorov-Smirnov D", float(found.statistic), _positive(float(found.pvalue)), EFFECT_FLOOR
    )


def test_levels(reference: Sequence[str], window: Sequence[str]) -> Test:
    """Total variation with a chi-squared test of the two-row table; levels too rare for it are merged.

    The reference is a sample too: testing against it as if it were exact raises false alarms to 35 % at 5 %.
    """
    from scipy.stats import chi2_contingency

    before, after = Counter(reference), Counter(window)
    smaller = min(len(reference), len(window)) / (len(reference) + len(window))
    merged: dict[str, list[int]] = {}
    for level in sorted(before | after):
        rare = (before[level] + after[level]) * smaller < 5
        cell = merged.setdefault("rare" if rare else f"level {level}", [0, 0])
        cell[0] += before[level]
        cell[1] += after[level]
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


def test_new_levels(reference: Sequence[str], window: Sequence[str]) -> Test:
    """Share of values whose level the reference never shows, against the chance of one after Good and Turing (1953).

    Binomial; a level never seen has a small chance, not none, so p is never 0.
    """
    from scipy.stats import binom

    known = Counter(reference)
    new = sum(level not in known for level in window)
    once = sum(count == 1 for count in known.values())
    chance = (once + 1) / (len(reference) + 1)
    p = float(binom.sf(new - 1, len(window), min(chance, 1.0))) if new else 1.0
    return Test("new levels", "share of new levels", new / len(window), _positive(p), NEW_FLOOR)


def adjusted(p: Sequence[float]) -> list[float]:
    """Benjamini and Hochberg's adjusted p-values, in the given order."""
    from scipy.stats import false_discovery_control

    return [float(q) for q in false_discovery_control(list(p))] if p else []


def wasserstein(reference: Floats, window: Floats) -> float | None:
    """Wasserstein-1 distance in standard deviations of the reference; None for a constant one. One outlier moves it."""
    from scipy.stats import wasserstein_distance

    spread = float(np.std(reference))
    return float(wasserstein_distance(reference, window)) / spread if spread > 0 else None


def stability_index(reference: Floats, window: Floats) -> tuple[float, float] | None:
    """(PSI on the reference's deciles, its 95 % point without drift); None below 200 values.

    Without drift PSI is about chi2(B-1) (1/n + 1/m) (Yurdakul and Naranjo 2020), so the customary 0.1 means nothing in
    small windows. Half a count is added to every cell.
    """
    from scipy.stats import chi2

    n, m = len(reference), len(window)
    edges = np.unique(np.quantile(reference, np.linspace(0.1, 0.9, 9)))
    if min(n, m) < PSI_ROWS:
        return None
    cells = len(edges) + 1
    before = np.bincount(np.searchsorted(edges, reference, side="left"), minlength=cells) + 0.5
    after = np.bincount(np.searchsorted(edges, window, side="left"), minlength=cells) + 0.5
    expected, found = before / before.sum(), after / after.sum()
    psi = float(((found - expected) * np.log(found / expected)).sum())
    return psi, float(chi2.ppf(0.95, cells - 1)) * (1 / n + 1 / m)


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
