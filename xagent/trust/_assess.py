"""All checks of one explanation, on coalitions of its own players."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xagent.trust._baselines import Sensitivity, compare_baselines
from xagent.trust._coalitions import correlation, is_constant
from xagent.trust._evidence import Evidence, evidence_test
from xagent.trust._grouping import Grouping
from xagent.trust._levels import Level, Limits, judge, load_limits, lower
from xagent.trust._order import removal_order_z
from xagent.trust._probes import EXACT, NotFinite, Probes, Reason, ScoreFn, probe

BOOTSTRAPS = 400
Floats = NDArray[np.float64]
Places = Callable[[Tensor], Tensor]
"""keep (m, P) bool -> (m,) booleans or shares in [0, 1]: which probes leave the reference data."""
Conditional = tuple[ScoreFn, Places]
"""Score and place of coalitions whose removed players are filled in from similar rows."""


@dataclass(frozen=True)
class Undetermined:
    """No number exists for this explanation. `why` is one sentence; `level` and `weakest` say how to read the list."""

    reason: Reason
    why: str
    level: Level
    weakest: str


@dataclass(frozen=True)
class Trust:
    """How well a list of separate reasons describes what the model did here. Correlations in [-1, 1], shares from 0.

    ceiling C: correlation between the best additive description (fitted on half A of the coalitions) and the score, on
    half B. fidelity F: the same for this list, without any fitting. ratio: F / C, capped at 1; None where C is too low
    to divide by. interval: 95 % bootstrap interval of the ratio; both ends equal it when all coalitions were tried.
    agreement: cosine to the effects of removing one player at a time; None when either is zero or the list is itself
    such a list. shapley: cosine to exact Shapley values; None where they were too many or are all zero.
    off_manifold: share of the probes outside the reference data, None when unknown. order: z-score of the removal
    order, None unless asked for. gap: |sum - (f(x) - f(b))| / |f(x) - f(b)|, None when the score does not change.
    sensitivity: of the top drivers to the baseline. conditional: the same checks with conditional fill-in, made only
    when too many probes lay outside the data; they decide the level then. full, background: f(x) and f(b).
    coalitions, groups: how many were tried, of how many blocks. rows: model rows in all. version: of the thresholds.
    """

    level: Level
    weakest: str
    ceiling: float
    fidelity: float
    ratio: float | None
    interval: tuple[float, float] | None
    evidence: Evidence
    agreement: float | None
    shapley: float | None
    off_manifold: float | None
    order: float | None
    gap: float | None
    sensitivity: Sensitivity | None
    conditional: Trust | Undetermined | None
    full: float
    background: float
    coalitions: int
    groups: int
    exhaustive: bool
    rows: int
    version: str


_WHY: dict[Reason, tuple[str, Level, str]] = {
    "one player": ("There is only one input, so there is nothing to weigh it against.", "limited", "fidelity"),
    "not finite": ("The model or the list gave a number that is not finite.", "do not rely", "fidelity"),
    "constant": (
        "Removing inputs does not change the model's score, so there is nothing to explain.",
        "do not rely",
        "ceiling",
    ),
    "no relevance": (
        "Every input has a relevance of zero although the model's score depends on them.",
        "do not rely",
        "fidelity",
    ),
    "all together": (
        "The score changes only when nearly all inputs go together, so no list of separate inputs describes it.",
        "do not rely",
        "ceiling",
    ),
}


def assess_trust(
    score_fn: ScoreFn,
    relevance: Tensor,
    n_players: int,
    seed: int = 0,
    *,
    threshold: float | None = 0.0,
    cited: int = 4,
    outside: Places | None = None,
    complete: bool = False,
    by_removal: bool = False,
    grouping: Grouping | None = None,
    exact: int = EXACT,
    limits: Limits | None = None,
    baselines: Mapping[str, Tensor] | None = None,
    conditional: Conditional | Callable[[], Conditional | None] | None = None,
    order: bool = False,
    probes: Probes | Reason | None = None,
) -> Trust | Undetermined:
    """Measure an explanation against the model it explains, on about 260 + n_players coalitions, or on all of them.

    score_fn: keep (m, n_players) bool -> (m,) score of the explained target; players not kept are replaced by the
    background. relevance (n_players,), positive towards the target. threshold: where the decision turns, None for a
    regression. cited: how many drivers towards the outcome the report names at most. outside: which probes leave the
    reference data. complete: the method claims that its list sums to f(x) - f(b), so a gap counts against it.
    by_removal: the list was itself made by removing one player at a time, so agreement with that is no second opinion.
    grouping: players that go together, by default none up to 32 players and blocks of neighbours beyond. exact: number
    of groups up to which all coalitions are tried. limits: thresholds, by default those that ship with the package.
    baselines: the list of the same method from other baselines, by name. conditional: score and place of coalitions
    whose removed players are filled in from similar rows, or what makes them when they are needed. order: also measure
    the order of removal. probes: what `probe` found with the same arguments, where it was asked before.

    Fidelity is the faithfulness correlation of Bhatt et al. (2020) divided by its ceiling: models whose inputs act only
    together have a low ceiling for any list.
    """
    if relevance.shape != (n_players,):
        raise ValueError(f"relevance has shape {tuple(relevance.shape)}, not ({n_players},)")
    limits = limits or load_limits()
    if n_players >= 2 and not bool(relevance.isfinite().all()):
        return _undetermined("not finite")
    probes = probes or probe(score_fn, n_players, seed, grouping=grouping, exact=exact)
    found = weigh(
        probes, relevance, seed, threshold=threshold, cited=cited, outside=outside, complete=complete,
        by_removal=by_removal, limits=limits, baselines=baselines, order=order,
    )  # fmt: skip
    if isinstance(found, Undetermined) or found.off_manifold is None:
        return found
    if found.off_manifold <= limits.off_manifold["fair"]:
        return found
    made = conditional() if callable(conditional) else conditional
    if made is None:
        return found
    score, places = made
    # 2 x 128 coalitions, never all: each of them takes as many rows as there are neighbours.
    again = weigh(
        probe(score, n_players, seed, grouping=grouping, exact=0), relevance, seed, threshold=threshold, cited=cited,
        outside=places, by_removal=by_removal, limits=limits,
    )  # fmt: skip
    if isinstance(again, Undetermined):
        return replace(found, conditional=again)
    # Where a list could say little of probes that fit the data as well, neither kind tells what the model does.
    told = again.ceiling >= limits.ceiling["fair"]
    level = lower(again.level, "limited" if told else "do not rely")
    return replace(
        found,
        conditional=again,
        level=level,
        weakest="off-manifold" if level == "limited" or not told else again.weakest,
        rows=found.rows + again.rows,
    )


def weigh(
    probes: Probes | Reason,
    relevance: Tensor,
    seed: int = 0,
    *,
    threshold: float | None = 0.0,
    cited: int = 4,
    outside: Places | None = None,
    complete: bool = False,
    by_removal: bool = False,
    limits: Limits | None = None,
    baselines: Mapping[str, Tensor] | None = None,
    order: bool = False,
) -> Trust | Undetermined:
    """Judge one list on probes that were measured before; arguments as in `assess_trust`."""
    limits = limits or load_limits()
    relevance = relevance.detach().cpu().double()
    if isinstance(probes, str):
        return _undetermined(probes)
    if not bool(relevance.isfinite().all()):
        return _undetermined("not finite")
    if not bool(relevance.abs().sum() > 0):
        return _undetermined("no relevance")
    try:
        evidence = evidence_test(
            probes.score, relevance, probes.full, probes.background,
            seed=seed, most=cited, threshold=threshold, expected=limits.evidence["expected"],
        )  # fmt: skip
        z = removal_order_z(*_by_block(probes, relevance), seed) if order else None
    except NotFinite:
        return _undetermined("not finite")

    listed = probes.keep.double() @ relevance
    fidelity = correlation(listed, probes.actual) or 0.0
    ratio = ratio_of(probes, relevance, limits)
    agreement = None if by_removal else _cosine(_summed(relevance, probes.unit), probes.full - probes.alone)
    shapley = None
    if probes.shapley is not None:
        shapley = _cosine(_summed(relevance, probes.grouping.bundle), probes.shapley)
    off_manifold = None if outside is None else float(outside(probes.placed).double().mean())
    change = probes.full - probes.background
    level_off = is_constant(torch.tensor([probes.full, probes.background], dtype=torch.float64))
    gap = None if level_off else abs(float(relevance.sum()) - change) / abs(change)
    sensitivity = compare_baselines(
        relevance, baselines or {}, top=int(limits.baseline["top"]), tie=limits.baseline["tie"]
    )
    level, weakest = judge(
        limits,
        ceiling=probes.ceiling,
        ratio=ratio,
        beaten=evidence.beaten,
        agreement=agreement,
        shapley=shapley,
        off_manifold=off_manifold,
        gap=gap if complete else None,
        flipped=sensitivity.flipped if sensitivity else None,
        order=z,
    )
    controls = 2 * (evidence.controls + 1) if evidence.cited else 0
    return Trust(
        level=level,
        weakest=weakest,
        ceiling=probes.ceiling,
        fidelity=fidelity,
        ratio=ratio,
        interval=_interval(listed, probes, ratio, seed),
        evidence=evidence,
        agreement=agreement,
        shapley=shapley,
        off_manifold=off_manifold,
        order=z,
        gap=gap,
        sensitivity=sensitivity,
        conditional=None,
        full=probes.full,
        background=probes.background,
        coalitions=len(probes.keep) * (1 if probes.exhaustive else 2),
        groups=probes.grouping.blocks,
        exhaustive=probes.exhaustive,
        rows=probes.rows + controls + (18 * (probes.grouping.blocks + 1) if order else 0),
        version=limits.version,
    )


def ratio_of(probes: Probes, relevance: Tensor, limits: Limits | None = None) -> float | None:
    """F / C of a list (P,) on probes that were measured before, at most 1; None where C is below its floor, as the
    quotient of two noises would look like a finding."""
    if probes.ceiling < (limits or load_limits()).ceiling["floor"]:
        return None
    listed = probes.keep.double() @ relevance.detach().cpu().double()
    return min((correlation(listed, probes.actual) or 0.0) / probes.ceiling, 1.0)


def _undetermined(reason: Reason) -> Undetermined:
    return Undetermined(reason, *_WHY[reason])


def _by_block(probes: Probes, relevance: Tensor) -> tuple[ScoreFn, Tensor]:
    """The game among blocks, and each block's relevance."""
    block = probes.grouping.block
    return (lambda keep: probes.score(keep[:, block])), _summed(relevance, block)


def _summed(relevance: Tensor, unit: Tensor) -> Tensor:
    return torch.zeros(int(unit.max()) + 1, dtype=torch.float64).index_add_(0, unit, relevance)


def _interval(listed: Tensor, probes: Probes, ratio: float | None, seed: int) -> tuple[float, float] | None:
    """95 % percentile bootstrap of the ratio over antithetic pairs of coalitions."""
    if ratio is None or probes.exhaustive:
        return None if ratio is None else (ratio, ratio)
    pairs = len(probes.actual) // 2
    # Only sums over pairs enter a correlation, so a draw is how often each pair was drawn: one product for all draws.
    y, x, d = (v.numpy() - float(v.mean()) for v in (probes.actual, listed, probes.described))
    sums = np.stack([np.ones_like(y), y, x, d, y * y, x * x, d * d, y * x, y * d], 1).reshape(pairs, 2, -1).sum(1)
    n, sy, sx, sd, yy, xx, dd, yx, yd = (_draws(pairs, seed) @ sums).T
    top = (yx - sy * sx / n) / _length(xx - sx * sx / n, xx)
    bottom = (yd - sy * sd / n) / _length(dd - sd * sd / n, dd)
    kept = bottom > 1e-6 * _length(yy - sy * sy / n, yy)
    if not kept.any():
        return -1.0, 1.0
    drawn = np.sort(np.minimum(top[kept] / bottom[kept], 1.0))
    return _quantile(drawn, 0.025), _quantile(drawn, 0.975)


def _quantile(ordered: Floats, share: float) -> float:
    """As `np.quantile`, of values that are in order already; that function takes a hundred times as long."""
    place = share * (len(ordered) - 1)
    below = int(place)
    above = min(below + 1, len(ordered) - 1)
    return float(ordered[below] + (place - below) * (ordered[above] - ordered[below]))


@lru_cache(maxsize=16)
def _draws(pairs: int, seed: int) -> Floats:
    """(BOOTSTRAPS, pairs): how often each pair is in each draw."""
    drawn = np.random.default_rng(seed).integers(0, pairs, (BOOTSTRAPS, pairs))
    row = np.arange(BOOTSTRAPS)[:, None] * pairs
    counts = np.bincount((row + drawn).ravel(), minlength=BOOTSTRAPS * pairs)
    return counts.reshape(BOOTSTRAPS, pairs).astype(np.float64)


def _length(spread: Floats, size: Floats) -> Floats:
    """Root of sums of squares about the mean; infinite where that is rounding: a constant has no correlation."""
    found: Floats = np.sqrt(np.where(spread > 1e-12 * size, spread, np.inf))
    return found


def _cosine(a: Tensor, b: Tensor) -> float | None:
    norm = float(a.norm() * b.norm())
    return float((a @ b / norm).clamp(-1, 1)) if norm > 0 else None
