"""How unusual one row is among many: three scores, each turned into a conformal p-value.

p = (1 + #{calibration scores >= s}) / (calibration rows + 1) holds whatever the score, as long as the row and the
calibration rows are exchangeable (Bates, Candès, Lei, Romano, Sesia 2023, "Testing for outliers with conformal
p-values"). The scores see different things: one extreme feature, a broken correlation, an empty region.
"""

from __future__ import annotations

import math
from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xagent.case import LARGEST
from xagent.tools._columns import Column
from xagent.tools._population import Rows

Floats = NDArray[np.float64]

SCORES = 3
NEIGHBOURS = 10
MOST_FIT = 20_000
MOST_CALIBRATION = 5_000


@dataclass(frozen=True)
class Joint:
    """p: of each score by name. calibration: rows held out. contributions: of each feature to the squared Mahalanobis
    distance, None without such features."""

    p: dict[str, float]
    calibration: int
    fitted: int
    contributions: dict[str, float] | None

    @property
    def combined(self) -> float:
        """Bonferroni over the scores; never below `resolution`."""
        return min(1.0, len(self.p) * min(self.p.values()))

    @property
    def resolution(self) -> float:
        """The smallest p-value that could have come out."""
        return min(1.0, len(self.p) / (self.calibration + 1))


def calibration_size(n: int, enough: int) -> int:
    """Rows held out of n: half, or `enough` if that is more and leaves fifty to fit on."""
    return min(MOST_CALIBRATION, max(n // 2, min(n - 50, enough)))


def judge(reference: Rows, row: Rows, seed: int, alpha: float) -> Joint:
    """Conformal p-values of `row` (n = 1) against a seeded split of the reference (n >= 2).

    The split holds out enough rows, if there are, for a combined p-value to reach alpha.
    """
    order = np.random.default_rng(seed).permutation(reference.n)
    held = calibration_size(reference.n, math.ceil(SCORES / alpha) - 1)
    calibration, fit = reference.take(order[:held]), reference.take(order[held : held + MOST_FIT])
    scores, contributions = _scores(fit, calibration, row)
    p = {name: float(p_values(*pair)[0]) for name, pair in scores.items()}
    return Joint(p, held, fit.n, contributions)


def p_values(calibration: Floats, scores: Floats) -> Floats:
    """(n,): the share of calibration scores, with the row itself, that are at least as large. Never 0, ties count."""
    from crepes import ConformalClassifier

    found = ConformalClassifier().fit(calibration).predict_p(scores[:, None], smoothing=False)
    return np.asarray(found[:, 0], dtype=np.float64)


def tails(known: Column, asked: Column) -> tuple[Floats, Floats]:
    """(p, excess) of each value of `asked` among those of `known`, both (n,).

    p: numbers, two-sided from the mid-rank; levels, the share of values whose level is no more frequent, for an unknown
    level the chance of one after Good and Turing; missing values, their share. Smallest 1/(n+1). excess: how far beyond
    the known range, in units of the central 98 %; 1 for an unknown level or a missing value never seen. It tells apart
    what lies beyond every known value, where p cannot.
    """
    gone, n = known.missing, len(known.values)
    p, excess = np.ones(len(asked.values)), np.zeros(len(asked.values))
    lacking = asked.missing
    p[lacking] = (gone.sum() + 1) / (n + 1)
    excess[lacking] = 1.0 if not gone.any() else 0.0
    present = known.present
    if len(present) and not lacking.all():
        judged = _number_tails if known.numeric else _level_tails
        p[~lacking], excess[~lacking] = judged(present, asked.values[~lacking])
    return p, excess


def _number_tails(known: NDArray[np.float64], asked: NDArray[np.float64]) -> tuple[Floats, Floats]:
    ordered, asked = np.sort(known.astype(np.float64)), asked.astype(np.float64)
    below = mid_ranks(ordered, asked)
    p = np.minimum(1.0, (2 * np.minimum(below, len(ordered) - below) + 1) / (len(ordered) + 1))
    beyond = np.maximum(0.0, np.maximum(ordered[0] - asked, asked - ordered[-1]))
    central = float(np.subtract(*np.quantile(ordered, [0.99, 0.01])))
    unit = central or float(ordered[-1] - ordered[0]) or max(abs(float(ordered[0])), 1.0)
    with np.errstate(over="ignore"):  # a spread may be as small as a double can be
        return p, np.minimum(beyond / unit, LARGEST)


def _level_tails(known: NDArray[np.object_], asked: NDArray[np.object_]) -> tuple[Floats, Floats]:
    counts, n = Counter(known.tolist()), len(known)
    sizes = np.array(sorted(counts.values()), dtype=np.float64)
    mass = np.cumsum(sizes)
    once = sum(count == 1 for count in counts.values())
    seen = np.array([counts[level] for level in asked.tolist()], dtype=np.float64)
    rarer = mass[np.maximum(np.searchsorted(sizes, seen, side="right") - 1, 0)]
    p = np.where(seen > 0, np.minimum(1.0, (rarer + 1) / (n + 1)), (once + 1) / (n + 1))
    return p, (seen == 0).astype(np.float64)


def mid_ranks(ordered: Floats, asked: Floats) -> Floats:
    """How many of `ordered` lie below each value, ties by half."""
    left, right = np.searchsorted(ordered, asked, side="left"), np.searchsorted(ordered, asked, side="right")
    return np.asarray((left + right) / 2, dtype=np.float64)


_Scores = dict[str, tuple[Floats, Floats]]


def _scores(fit: Rows, calibration: Rows, row: Rows) -> tuple[_Scores, dict[str, float] | None]:
    """(calibration's scores, the row's score) by name; larger is more unusual."""
    scores = {"largest tail of a feature": (_largest_tail(fit, calibration), _largest_tail(fit, row))}
    names: list[str] | None = None
    if fit.vectors is not None and calibration.vectors is not None and row.vectors is not None:
        joint = (fit.vectors, calibration.vectors, row.vectors)
        near = (_unit(joint[0]), _unit(joint[1]), _unit(joint[2]))
        words = "the vectors"
    else:
        names = [c.name for c in fit.columns if c.numeric and len(np.unique(c.present)) > 1]
        joint = near = (
            _normal_scores(fit, fit, names),
            _normal_scores(fit, calibration, names),
            _normal_scores(fit, row, names),
        )
        words = "normal scores"
    if joint[0].shape[1] == 0:
        return scores, None
    distances, contributions = _mahalanobis(*joint)
    scores[f"Mahalanobis distance of {words}"] = distances
    scores[f"distance to the nearest {NEIGHBOURS} in {words}"] = _neighbours(near[0], near[1], near[2])
    return scores, dict(zip(names, contributions.tolist(), strict=True)) if names is not None else None


def _largest_tail(fit: Rows, rows: Rows) -> Floats:
    surprise = np.zeros(rows.n)
    for known, asked in zip(fit.columns, rows.columns, strict=True):
        p, excess = tails(known, asked)
        surprise = np.maximum(surprise, excess - np.log(p))
    return surprise


def _normal_scores(fit: Rows, rows: Rows, names: list[str]) -> Floats:
    """(n, features): the normal quantile of each value's mid-rank (van der Waerden), 0 for a missing one.

    Mid-ranks keep ties in the middle of their mass; scikit-learn's QuantileTransformer would put the most frequent
    value of a zero-inflated feature at -5.2.
    """
    from scipy.special import ndtri

    known = {c.name: np.sort(c.present.astype(np.float64)) for c in fit.columns if c.name in names}
    asked = {c.name: c for c in rows.columns}
    result = np.zeros((rows.n, len(names)))
    for j, name in enumerate(names):
        values = asked[name].values.astype(np.float64)
        there = ~np.isnan(values)
        ranks = mid_ranks(known[name], values[there])
        result[there, j] = ndtri((ranks + 0.5) / (len(known[name]) + 1))
    return result


def _mahalanobis(fit: Floats, calibration: Floats, row: Floats) -> tuple[tuple[Floats, Floats], Floats]:
    """Squared distances with the shrunk covariance of Ledoit and Wolf (2004), and the row's by feature."""
    from sklearn.covariance import LedoitWolf

    model = LedoitWolf().fit(fit)
    away = row[0] - model.location_
    contributions = np.asarray(away * (model.precision_ @ away), dtype=np.float64)
    return (model.mahalanobis(calibration), model.mahalanobis(row)), contributions


def _neighbours(fit: Floats, calibration: Floats, row: Floats) -> tuple[Floats, Floats]:
    """Mean Euclidean distance to the nearest rows of the fit."""
    from sklearn.neighbors import NearestNeighbors

    model = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(fit))).fit(fit)
    return tuple(model.kneighbors(rows)[0].mean(axis=1) for rows in (calibration, row))


def _unit(vectors: Floats) -> Floats:
    """Rows of length one, so that Euclidean neighbours are cosine neighbours."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)
