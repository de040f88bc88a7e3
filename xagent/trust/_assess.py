"""All checks of one explanation, on coalitions of its own players."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import torch
from torch import Tensor

from xagent.trust._coalitions import additive_fit, correlation, draw_coalitions, group_players, is_constant
from xagent.trust._evidence import Evidence, evidence_test
from xagent.trust._levels import Level, judge, load_limits

ScoreFn = Callable[[Tensor], Tensor]
Reason = Literal["one player", "not finite", "constant", "no relevance", "all together"]
MOST_OCCLUDED = 512
BOOTSTRAPS = 400


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
    such a list. off_manifold: share of the probes outside the reference data, None when unknown.
    gap: |sum - (f(x) - f(b))| / |f(x) - f(b)|, None when the score does not change. full, background: f(x) and f(b).
    version: of the thresholds.
    """

    level: Level
    weakest: str
    ceiling: float
    fidelity: float
    ratio: float | None
    interval: tuple[float, float] | None
    evidence: Evidence
    agreement: float | None
    off_manifold: float | None
    gap: float | None
    full: float
    background: float
    coalitions: int
    groups: int
    exhaustive: bool
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
    outside: Callable[[Tensor], Tensor] | None = None,
    complete: bool = False,
    by_removal: bool = False,
) -> Trust | Undetermined:
    """Measure an explanation against the model it explains, on about 260 + n_players coalitions.

    score_fn: keep (m, n_players) bool -> (m,) score of the explained target; players not kept are replaced by the
    background. relevance (n_players,), positive towards the target. threshold: where the decision turns, None for a
    regression. cited: how many drivers towards the outcome the report names at most. outside: keep -> (m,) bool, which
    probes leave the reference data. complete: the method claims that its list sums to f(x) - f(b), so a gap counts
    against it. by_removal: the list was itself made by removing one player at a time, so agreement with that is no
    second opinion.

    More than 32 players are probed in 32 contiguous groups. Fidelity is the faithfulness correlation of Bhatt et al.
    (2020) divided by its ceiling: models whose inputs act only together have a low ceiling for any list.
    """
    relevance = relevance.detach().cpu().double()

    def score(keep: Tensor) -> Tensor:
        scores = score_fn(keep).detach().cpu().double()
        if not bool(scores.isfinite().all()):
            raise _NotFinite
        return scores

    if relevance.shape != (n_players,):
        raise ValueError(f"relevance has shape {tuple(relevance.shape)}, not ({n_players},)")
    if n_players < 2:
        return _undetermined("one player")
    if not bool(relevance.isfinite().all()):
        return _undetermined("not finite")
    group = group_players(n_players)
    drawn = draw_coalitions(int(group[-1]) + 1, seed)
    on_b, on_a = drawn.b[:, group], drawn.a[:, group]
    single = _leave_one_out(n_players, group)
    ends = torch.tensor([True, False])[:, None].expand(2, n_players)
    limits = load_limits()
    try:
        parts = [ends, single, on_b] if drawn.exhaustive else [ends, single, on_b, on_a]
        scores = score(torch.cat(parts))
        edge, alone, actual_b, *rest = torch.split(scores, [len(p) for p in parts])
        actual_a = rest[0] if rest else actual_b
        if is_constant(scores):
            return _undetermined("constant")
        if not bool(relevance.abs().sum() > 0):
            return _undetermined("no relevance")
        if is_constant(actual_a) or is_constant(actual_b):
            return _undetermined("all together")
        full, background = edge.tolist()
        evidence = evidence_test(
            score,
            relevance,
            full,
            background,
            seed=seed,
            most=cited,
            threshold=threshold,
            expected=limits.evidence["expected"],
        )
    except _NotFinite:
        return _undetermined("not finite")

    fit = additive_fit(drawn.a, actual_a, drawn.exhaustive)
    described, listed = drawn.b.double() @ fit[:-1] + fit[-1], on_b.double() @ relevance
    ceiling = correlation(described, actual_b) or 0.0
    fidelity = correlation(listed, actual_b) or 0.0
    # Below the floor the quotient of two noises would look like a finding.
    ratio = min(fidelity / ceiling, 1.0) if ceiling >= limits.ceiling["floor"] else None
    agreement = None if by_removal else _cosine((~single).double() @ relevance, full - alone)
    off_manifold = None if outside is None else float(outside(torch.cat(parts[2:])).double().mean())
    change = full - background
    gap = None if is_constant(edge) else abs(float(relevance.sum()) - change) / abs(change)
    level, weakest = judge(
        limits,
        ceiling=ceiling,
        ratio=ratio,
        beaten=evidence.beaten,
        agreement=agreement,
        off_manifold=off_manifold,
        gap=gap if complete else None,
    )
    return Trust(
        level=level,
        weakest=weakest,
        ceiling=ceiling,
        fidelity=fidelity,
        ratio=ratio,
        interval=_interval(listed, described, actual_b, ratio, seed, drawn.exhaustive),
        evidence=evidence,
        agreement=agreement,
        off_manifold=off_manifold,
        gap=gap,
        full=full,
        background=background,
        coalitions=sum(len(p) for p in parts[2:]),
        groups=drawn.b.shape[1],
        exhaustive=drawn.exhaustive,
        version=limits.version,
    )


class _NotFinite(Exception):
    """The model answered with NaN or an infinity."""


def _undetermined(reason: Reason) -> Undetermined:
    return Undetermined(reason, *_WHY[reason])


def _leave_one_out(players: int, group: Tensor) -> Tensor:
    """(P or G, P) bool: all but one player, or all but one group when there are very many players."""
    unit = torch.arange(players) if players <= MOST_OCCLUDED else group
    return unit[None, :] != torch.arange(int(unit[-1]) + 1)[:, None]


def _interval(
    listed: Tensor, described: Tensor, actual: Tensor, ratio: float | None, seed: int, exhaustive: bool
) -> tuple[float, float] | None:
    """95 % percentile bootstrap of the ratio over antithetic pairs of coalitions."""
    if ratio is None or exhaustive:
        return None if ratio is None else (ratio, ratio)
    pairs = len(actual) // 2
    first = 2 * np.random.default_rng(seed).integers(0, pairs, (BOOTSTRAPS, pairs))
    rows = torch.from_numpy(np.concatenate([first, first + 1], axis=1))
    y = _standard(actual[rows])
    top, bottom = (_standard(listed[rows]) * y).sum(1), (_standard(described[rows]) * y).sum(1)
    ratios = (top / bottom).clamp(max=1)[bottom > 1e-6]
    low, high = np.quantile(ratios.numpy(), [0.025, 0.975]) if len(ratios) else (-1.0, 1.0)
    return float(low), float(high)


def _standard(values: Tensor) -> Tensor:
    """Rows centred and of length one; a constant row becomes zeros."""
    centred = values - values.mean(1, keepdim=True)
    length: Tensor = torch.linalg.vector_norm(centred, dim=1, keepdim=True)
    return centred / length.clamp_min(1e-300)


def _cosine(a: Tensor, b: Tensor) -> float | None:
    norm = float(a.norm() * b.norm())
    return float((a @ b / norm).clamp(-1, 1)) if norm > 0 else None
