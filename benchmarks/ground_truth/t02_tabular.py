"""T2: a planted rule over twelve columns, among them a correlated copy and a sensitive flag, learnt by an MLP 64-64.

Truth: exact Shapley values of the trained network against the mean row (4,096 coalitions); planted: the rule's columns.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from ._cache import trained
from ._cases import Case, Task, columns, usual
from ._networks import Readout, fit, mlp
from ._shapley import shapley

ROWS, FEATURES, SENSITIVE = 6000, 12, 5
RULE = frozenset({0, 1, 2, 3, SENSITIVE})
"""Columns in the rule; column 4 is a noisy copy of column 0, the others are noise."""


def data(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """(rows, 12) and classes 0 or 1; a tenth of the labels is noise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(rows, FEATURES, generator=generator)
    x[:, 4] = 0.95 * x[:, 0] + 0.31 * x[:, 4]
    x[:, SENSITIVE] = (x[:, SENSITIVE] > 0).float()
    evidence = 1.4 * x[:, 0] + x[:, 1] * (x[:, 2] > 0) - 0.9 * x[:, 3].abs() + 0.8 * x[:, SENSITIVE] + 0.2
    noise = 0.4 * torch.randn(rows, generator=generator)
    return x, (evidence + noise > 0).long()


def train(seed: int) -> nn.Module:
    def learn(module: nn.Module, seed: int) -> None:
        fit(module, *data(ROWS, seed), steps=1200, seed=seed)

    return trained("t02", seed, lambda: mlp([FEATURES, 64, 64, 2]), learn, sys.modules[__name__])


def cases(seed: int, quick: bool) -> list[Case]:
    score = Readout(train(seed), torch.tensor([-1.0, 1.0])).eval()
    reference, _ = data(1000, seed)
    baseline = reference.mean(0, keepdim=True)
    found = []
    for x in data(12 if quick else 60, seed + 1)[0]:
        row = x[None]
        case = Case(score, row, baseline, columns(row), torch.zeros(FEATURES))
        truth = shapley(case.coalitions, FEATURES)
        found.append(Case(score, row, baseline, columns(row), truth, RULE, reference=reference))
    return found


def accuracy(seed: int) -> float:
    """On rows that were not trained on."""
    x, y = data(2000, seed + 2)
    with torch.no_grad():
        return float((train(seed)(x).argmax(1) == y).double().mean())


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    return usual(case, relevance)


TASK = Task("T2", "planted rule, 12 columns, MLP", "exact Shapley against the mean row", cases, measure)
