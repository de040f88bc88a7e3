"""T1: eleven networks whose weights are set by hand, each for one axiom. Truth: the Shapley value, worked out exactly.

After the idea of unit tests of attributions (Lee et al. 2025, XAI-Units); networks and points are our own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ._cases import Case, Figures, Task, columns, frozen
from ._shapley import shapley

PASS = 0.05
"""Largest relative L1 error of a pass."""


@dataclass(frozen=True)
class Unit:
    """v . relu(W x + b) + c at the point x, against zeros. axiom: what the case turns on."""

    name: str
    axiom: str
    w: list[list[float]]
    b: list[float]
    v: list[float]
    c: float
    x: list[float]


UNITS = (
    Unit("saturation", "sensitivity", [[-1, -1]], [1], [-1], 1, [1, 1]),
    Unit("minimum", "order or path", [[1, 0], [1, -1]], [0, 0], [1, -1], 0, [2, 3]),
    Unit("maximum", "order or path", [[0, 1], [1, -1]], [0, 0], [1, 1], 0, [3, 2]),
    Unit("and", "sharing of a conjunction", [[1, 1]], [-1], [1], 0, [1, 1]),
    Unit("xor, both", "sensitivity", [[1, 1], [1, 1]], [0, -1], [1, -2], 0, [1, 1]),
    Unit("xor, one", "dummy", [[1, 1], [1, 1]], [0, -1], [1, -2], 0, [1, 0]),
    Unit("cancellation", "implementation invariance", [[1, 1], [1, 0]], [0, 0], [1, -1], 0, [1, 1]),
    Unit("dummy", "dummy", [[2, 0], [0, 1]], [0, 0], [1, 0], 0, [1, 5]),
    Unit("bias", "completeness", [[1, 0], [0, 1]], [1, 2], [1, 1], 3, [2, 1]),
    Unit("gate", "sharing of a conjunction", [[1, 10]], [-10], [1], 0, [2, 1]),
    Unit("negative evidence", "order or path", [[3, -2]], [0], [1], 0, [1, 1]),
)


class Scalar(nn.Module):
    """(n, d) -> (n,): the only column of the network."""

    def __init__(self, unit: Unit) -> None:
        super().__init__()
        w = torch.tensor(unit.w)
        first, last = nn.Linear(w.shape[1], len(w)), nn.Linear(len(w), 1)
        with torch.no_grad():
            first.weight.copy_(w)
            first.bias.copy_(torch.tensor(unit.b))
            last.weight.copy_(torch.tensor([unit.v]))
            last.bias.copy_(torch.tensor([unit.c]))
        self.net = nn.Sequential(first, nn.ReLU(), last)

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = self.net(x).squeeze(1)
        return score


def train(unit: Unit) -> nn.Module:
    """Nothing is learnt here."""
    return frozen(Scalar(unit))


def cases(seed: int, quick: bool) -> list[Case]:
    found = []
    for unit in UNITS:
        x = torch.tensor([unit.x], dtype=torch.float32)
        case = Case(train(unit), x, torch.zeros_like(x), columns(x), torch.zeros(2), threshold=None)
        truth = shapley(case.coalitions, 2)
        found.append(Case(case.score, x, case.baseline, case.unit, truth, threshold=None, facts={"name": unit.name}))
    return found


def error(case: Case, relevance: Tensor) -> float:
    """L1 error relative to the truth's L1 norm, or absolute where that is zero."""
    size = float(case.truth.abs().sum())
    return float((relevance - case.truth).abs().sum()) / (size or 1.0)


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    return {"L1 error": error(case, relevance)}


def passes(all_cases: Sequence[Case], relevance: Sequence[Tensor]) -> Figures:
    """How many of the eleven pass."""
    good = sum(error(case, values) <= PASS for case, values in zip(all_cases, relevance, strict=True))
    return {"passes of 11": (float(good), 0.0)}


def missed(all_cases: Sequence[Case], relevance: Sequence[Tensor]) -> list[str]:
    """Names of the units that fail, with the axiom that decides them."""
    axiom = {unit.name: unit.axiom for unit in UNITS}
    pairs = zip(all_cases, relevance, strict=True)
    return [f"{c.facts['name']} ({axiom[c.facts['name']]})" for c, r in pairs if error(c, r) > PASS]


TASK = Task(
    "T1",
    "unit networks, hand-set",
    "exact Shapley value of the hand-set network",
    cases,
    measure,
    passes,
    headline="passes of 11",
)
