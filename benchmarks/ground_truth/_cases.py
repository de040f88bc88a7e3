"""One prediction with a known explanation, and what a task is."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor, nn

from xagent.trust import ConditionalFill, Manifold, Trust, Undetermined, assess_trust

CHUNK = 4096
"""Rows in one forward; more would only cost memory."""


@dataclass(frozen=True)
class Case:
    """One prediction to explain.

    score: x (n, ...) -> (n,), the explained score; in evaluation mode, parameters frozen.
    x, baseline: (1, ...) float32, the traced input and what an absent player is replaced by.
    unit: int64, shape of x; the player that each number belongs to, -1 where nothing is removed.
    truth: (players,) float64, the right relevance. planted: players that the data made relevant.
    threshold: where the decision turns, None for a regression. reference: (n, d) rows of the data, tables only.
    facts: what only this task's metric reads.
    """

    score: nn.Module
    x: Tensor
    baseline: Tensor
    unit: Tensor
    truth: Tensor
    planted: frozenset[int] = frozenset()
    threshold: float | None = 0.0
    reference: Tensor | None = None
    facts: dict[str, Any] = field(default_factory=dict)

    @property
    def players(self) -> int:
        return len(self.truth)

    def pool(self, attribution: Tensor) -> Tensor:
        """Shape of x -> (players,) float64: the sum over each player's numbers."""
        total = torch.zeros(self.players + 1, dtype=torch.float64)
        total.index_add_(0, self.unit.flatten() + 1, attribution.detach().double().flatten())
        return total[1:]

    def without(self, keep: Tensor) -> Tensor:
        """keep (m, players) bool -> inputs (m, ...) where the players not kept are as in the baseline."""
        stays = torch.cat([torch.ones(len(keep), 1, dtype=torch.bool), keep], 1)
        return torch.where(stays[:, self.unit.flatten() + 1].view(-1, *self.x.shape[1:]), self.x, self.baseline)

    @torch.no_grad()
    def coalitions(self, keep: Tensor) -> Tensor:
        """keep (m, players) bool -> scores (m,)."""
        return torch.cat([self.score(self.without(part)) for part in torch.split(keep, CHUNK)])


Figures = dict[str, tuple[float, float]]
"""Mean and standard error of each figure."""


@dataclass(frozen=True)
class Task:
    """id and title as in the table; cases(seed, quick) trains, or reads the cache, and attaches the truth.

    measure: figures of one case. summary: figures that only all cases together have. lacks: methods that the task
    leaves out, and why. headline: its figure in the overview.
    """

    id: str
    title: str
    truth: str
    cases: Callable[[int, bool], list[Case]]
    measure: Callable[[Case, Tensor], dict[str, float]]
    summary: Callable[[Sequence[Case], Sequence[Tensor]], Figures] | None = None
    lacks: dict[str, str] = field(default_factory=dict)
    headline: str = "cosine"

    def figures(self, cases: Sequence[Case], relevance: Sequence[Tensor]) -> Figures:
        """Mean and standard error over the cases; a figure that a case does not have is left out of its mean."""
        rows = [self.measure(case, values) for case, values in zip(cases, relevance, strict=True)]
        names = dict.fromkeys(name for row in rows for name in row)
        found = {name: mean_and_error([row[name] for row in rows if name in row]) for name in names}
        return found | (self.summary(cases, relevance) if self.summary else {})


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """Mean and its standard error; the latter is 0 for one value."""
    data = torch.tensor(values, dtype=torch.float64)
    return float(data.mean()), float(data.std() / len(data) ** 0.5) if len(data) > 1 else 0.0


def judged(
    case: Case, relevance: Tensor, seed: int = 0, *, complete: bool = False, by_removal: bool = False
) -> Trust | Undetermined:
    """The trust check of one explanation as the trust tool makes it; complete and by_removal as in `assess_trust`."""
    outside, conditional = None, None
    if case.reference is not None:
        data = manifold(case.reference)
        fill = ConditionalFill(case.x[0], case.reference, case.unit[0], seed)

        def outside(keep: Tensor) -> Tensor:
            return data.outside(case.without(keep))

        @torch.no_grad()
        def filled_score(keep: Tensor) -> Tensor:
            scores: Tensor = case.score(fill.fill(keep).flatten(0, 1)).double()
            return scores.view(len(keep), -1).mean(1)

        def filled_outside(keep: Tensor) -> Tensor:
            return data.outside(fill.fill(keep).flatten(0, 1)).double().view(len(keep), -1).mean(1)

        conditional = filled_score, filled_outside
    return assess_trust(
        case.coalitions,
        relevance,
        case.players,
        seed,
        threshold=case.threshold,
        outside=outside,
        complete=complete,
        by_removal=by_removal,
        conditional=conditional,
    )


@lru_cache(maxsize=8)
def manifold(reference: Tensor) -> Manifold:
    """One for the many cases that share a reference; a tensor is hashed by identity."""
    return Manifold(reference)


def columns(x: Tensor) -> Tensor:
    """(1, d) -> the unit map of d players."""
    return torch.arange(x.shape[1])[None]


def frozen(module: nn.Module) -> nn.Module:
    """In evaluation mode, its parameters without gradient."""
    return module.eval().requires_grad_(False)


def cosine(a: Tensor, b: Tensor) -> float:
    """Cosine in [-1, 1]; 0 when one of them is zero or not finite."""
    norm = float(a.norm() * b.norm())
    return float(a @ b) / norm if norm > 0 and norm < float("inf") else 0.0


def mass(relevance: Tensor, planted: frozenset[int]) -> float:
    """Share of the absolute relevance on the planted players."""
    total = float(relevance.abs().sum())
    return float(relevance[sorted(planted)].abs().sum()) / total if total > 0 else 0.0


def hits(relevance: Tensor, planted: frozenset[int]) -> float:
    """Share of the planted players among as many with the largest absolute relevance."""
    top = relevance.abs().topk(len(planted)).indices.tolist()
    return len(planted & set(top)) / len(planted)


def gap(case: Case, relevance: Tensor) -> float:
    """|sum - (f(x) - f(b))| / sum |truth|: the score itself may not change at all where evidence cancels."""
    ends = case.coalitions(torch.tensor([[True], [False]]).expand(2, case.players)).double()
    change = float(ends[0] - ends[1])
    return abs(float(relevance.sum()) - change) / max(float(case.truth.abs().sum()), 1e-9)


def usual(case: Case, relevance: Tensor) -> dict[str, float]:
    """Cosine to the truth, sign of its four largest, mass and hits on what was planted, gap of the sum."""
    top = case.truth.abs().topk(min(4, case.players)).indices
    found = {
        "cosine": cosine(relevance, case.truth),
        "sign@4": float((relevance[top].sign() == case.truth[top].sign()).double().mean()),
        "gap": gap(case, relevance),
    }
    if case.planted:
        found |= {"mass": mass(relevance, case.planted), "hits": hits(relevance, case.planted)}
    return found
