"""What the model says about coalitions of one prediction's inputs: measured once, for every list that explains it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from xagent.trust._coalitions import Coalitions, additive_fit, correlation, draw_coalitions, is_constant
from xagent.trust._grouping import Grouping, neighbours
from xagent.trust._shapley import shapley_of

ScoreFn = Callable[[Tensor], Tensor]
Reason = Literal["one player", "not finite", "constant", "no relevance", "all together"]
MOST_OCCLUDED = 512
EXACT = 12
"""Players up to which all coalitions are tried."""
MOST_PLACED = 512
"""Probes that are compared with the reference data; the share of more would come out the same."""


class NotFinite(Exception):
    """The model answered with NaN or an infinity."""


@dataclass(frozen=True)
class Probes:
    """score: keep (m, P) bool -> (m,) float64, finite or NotFinite. drawn: coalitions of blocks. keep: (m, P), the
    coalitions that lists are tested on, and actual: (m,) their scores. described: (m,) what the best additive
    description says of them; ceiling: its correlation with them. unit: (P,) what is left out one at a time, and alone:
    (units,) the scores then. full, background: scores of the case and of the background. shapley: (bundles,) exact
    values, where all coalitions of bundles were tried. placed: (n, P), a sample of the probes. rows: how many
    coalitions the model was asked about.
    """

    score: ScoreFn
    grouping: Grouping
    drawn: Coalitions
    keep: Tensor
    actual: Tensor
    described: Tensor
    ceiling: float
    unit: Tensor
    alone: Tensor
    full: float
    background: float
    shapley: Tensor | None
    placed: Tensor
    rows: int

    @property
    def exhaustive(self) -> bool:
        return self.drawn.exhaustive


def checked(score_fn: ScoreFn) -> ScoreFn:
    """The same scores as float64 on the CPU; raises NotFinite for NaN and infinities."""

    def score(keep: Tensor) -> Tensor:
        scores = score_fn(keep).detach().cpu().double()
        if not bool(scores.isfinite().all()):
            raise NotFinite
        return scores

    return score


def probe(
    score_fn: ScoreFn, players: int, seed: int = 0, *, grouping: Grouping | None = None, exact: int = EXACT
) -> Probes | Reason:
    """Ask the model about coalitions, or say why there is nothing to measure.

    score_fn: keep (m, players) bool -> (m,) score. Two halves of 128 coalitions of blocks, or all of them where there
    are at most `exact` blocks (and not more coalitions than the halves have anyway), and every unit left out alone. By
    default more than 32 players form blocks of neighbours.
    """
    if players < 2:
        return "one player"
    grouping = grouping or neighbours(players)
    drawn = draw_coalitions(grouping.blocks, seed, exact=exact)
    on_a, on_b = drawn.a[:, grouping.block], drawn.b[:, grouping.block]
    unit = grouping.bundle if grouping.bundles <= MOST_OCCLUDED else grouping.block
    single = _single(unit)
    ends = torch.tensor([True, False])[:, None].expand(2, players)

    score = checked(score_fn)
    parts = [ends, single, on_b] if drawn.exhaustive else [ends, single, on_b, on_a]
    try:
        scores = score(torch.cat(parts))
    except NotFinite:
        return "not finite"
    edge, alone, actual, *rest = torch.split(scores, [len(p) for p in parts])
    first = rest[0] if rest else actual
    if is_constant(scores):
        return "constant"
    if is_constant(first) or is_constant(actual):
        return "all together"
    fit = additive_fit(drawn.a, first, drawn.exhaustive, None if drawn.exhaustive else drawn.axes)
    described = drawn.b.double() @ fit[:-1] + fit[-1]
    whole = drawn.exhaustive and grouping.blocks == grouping.bundles
    probes = torch.cat(parts[1:])
    chosen = torch.randperm(len(probes), generator=torch.Generator().manual_seed(seed))[:MOST_PLACED]
    return Probes(
        score=score,
        grouping=grouping,
        drawn=drawn,
        keep=on_b,
        actual=actual,
        described=described,
        ceiling=correlation(described, actual) or 0.0,
        unit=unit,
        alone=alone,
        full=float(edge[0]),
        background=float(edge[1]),
        shapley=shapley_of(drawn.b, actual) if whole else None,
        placed=probes[chosen],
        rows=sum(len(p) for p in parts),
    )


def _single(unit: Tensor) -> Tensor:
    """(units, P) bool: all but one unit."""
    return unit[None, :] != torch.arange(int(unit.max()) + 1)[:, None]
