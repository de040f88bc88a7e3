"""Confidence and conformity in numbers: ranks, conformal sets and intervals, neighbours, unusual profiles.

Everything here takes arrays and knows no case. A conformal p-value is (1 + #{scores of known rows >= s}) / (n + 1):
valid for a row exchangeable with the known ones, whatever the score, and never below 1 / (n + 1) (Vovk, Gammerman,
Shafer 2005, "Algorithmic Learning in a Random World"). Distances are scored with every row left out of its own
neighbours and with the asked row among everybody's, so that it is treated like any other (full conformal, ch. 2 there).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch

# Here and not where it is used: tools run in threads, and two threads that import scikit-learn at once, which this one
# does, can find it half made. The registry imports tools before any of them runs.
from crepes import ConformalRegressor
from numpy.typing import NDArray

from xagent.tools._conformal import mid_ranks, p_values

Floats = NDArray[np.float64]
Places = NDArray[np.int64]

MISS = 0.1
"""1 - coverage of prediction sets and intervals."""
LEAST_LABELLED = 30
"""Known outcomes that a set or an interval needs, and that each class needs for a calibration of its own."""
NEIGHBOURS = 20
PROFILE_NEIGHBOURS = 10


@dataclass(frozen=True)
class PredictionSet:
    """p: conformal p-value of each class (K,). members: places of the classes that stay open. n: rows that calibrate.
    by_class: whether each class was calibrated on its own rows (Mondrian)."""

    p: tuple[float, ...]
    members: tuple[int, ...]
    n: int
    by_class: bool


def log_odds(logits: Floats) -> Floats:
    """(n, K) -> (n, K): each class against all others, logit minus log-sum-exp of the rest. It orders like the
    probability and does not saturate."""
    result = np.empty_like(logits)
    for k in range(logits.shape[1]):
        rest = np.delete(logits, k, axis=1)
        top = rest.max(axis=1, keepdims=True)
        result[:, k] = logits[:, k] - top[:, 0] - np.log(np.exp(rest - top).sum(axis=1))
    return result


def prediction_set(logits: Floats, truth: Places, row: Floats) -> PredictionSet | None:
    """Classes whose conformal p-value exceeds MISS, for one row (K,), from known rows (n, K) and their classes (n,).

    The score is the negative log-odds of the class. Each class is calibrated on its own rows when every one has
    LEAST_LABELLED of them, so that coverage holds class by class; else on all rows together. None with too few rows.
    """
    if len(truth) < LEAST_LABELLED:
        return None
    known, asked = -log_odds(logits), -log_odds(row[None])[0]
    classes = known.shape[1]
    by_class = bool(np.bincount(truth, minlength=classes).min() >= LEAST_LABELLED)
    pooled = known[np.arange(len(truth)), truth]
    p = tuple(
        float(p_values(known[truth == k, k] if by_class else pooled, asked[k : k + 1])[0]) for k in range(classes)
    )
    return PredictionSet(p, tuple(k for k in range(classes) if p[k] > MISS), len(truth), by_class)


def interval(predicted: Floats, truth: Floats, value: float) -> tuple[float, float] | None:
    """The conformal interval around a predicted value: plus and minus a quantile of the absolute residuals (n,). None
    with fewer than LEAST_LABELLED."""
    if len(truth) < LEAST_LABELLED:
        return None
    fitted = ConformalRegressor().fit(np.abs(truth - predicted))
    # crepes rounds (1 - confidence) * (n + 1) down, and 1 - 0.9 is a little less than a tenth: a whole rank would go.
    low, high = fitted.predict_int(np.array([value]), confidence=1 - MISS - 1e-12)[0]
    return float(low), float(high)


def share_below(known: Floats, value: float) -> float:
    """Part of the known values below one value, ties by half."""
    return float(mid_ranks(np.sort(known), np.array([value]))[0]) / len(known)


def upper_p(known: Floats, value: float) -> float:
    """Conformal p-value of one score; large scores are the unusual ones."""
    return float(p_values(known, np.array([value]))[0])


@dataclass(frozen=True)
class Nearest:
    """places (k,): of the nearest known rows, nearest first. distance: mean to them. p: conformal, small when the row
    lies farther from its neighbours than known rows from theirs. percentile: of the distance among theirs, 0 to 100."""

    places: Places
    distance: float
    p: float
    percentile: float


def nearest(known: Floats, row: Floats, k: int, norm: float = 2.0) -> Nearest:
    """The nearest of known rows (n, d), n >= 1, to one row (d,), by the Euclidean (norm 2) or L1 distance (norm 1)."""
    points = torch.from_numpy(np.concatenate([known, row[None]]))
    between, power = _distances(points - points[:1], norm)
    unit = float(between.max()) ** power
    own = _rounded(between[-1, :-1].numpy() ** power, unit)
    between.fill_diagonal_(torch.inf)
    near = between.topk(min(k, len(known)), dim=1, largest=False).values
    means = _rounded((near.numpy() ** power).mean(axis=1), unit)
    order = np.argsort(own, kind="stable")[:k]
    return Nearest(
        places=order.astype(np.int64),
        distance=float(means[-1]),
        p=upper_p(means[:-1], float(means[-1])),
        percentile=100 * share_below(means[:-1], float(means[-1])),
    )


def profile_p(known: Floats, own: Floats, norm: float) -> float:
    """Conformal p-value of a relevance profile (d,) among those of known rows (n, d): mean distance to the nearest."""
    return nearest(known, own, PROFILE_NEIGHBOURS, norm).p


def _distances(points: torch.Tensor, norm: float) -> tuple[torch.Tensor, float]:
    """(n, n) of points (n, d), and the power that makes distances of them: Euclidean ones come squared."""
    if norm == 1:
        return torch.cdist(points, points, p=1), 1.0
    squares = (points**2).sum(1)
    return (squares[:, None] + squares - 2 * points @ points.T).clamp_min_(0), 0.5


def _rounded(distances: Floats, unit: float) -> Floats:
    """On a grid of about a ten-millionth of the unit: what lies below is noise of the arithmetic, and would break ties.
    The grid's step is no round number, so that distances that are do not fall between two of its points."""
    step = unit * 0.739085133e-7
    return np.asarray(np.round(distances / step) * step) if unit > 0 else distances
