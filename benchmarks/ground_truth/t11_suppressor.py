"""T11: a suppressor. The model rightly uses a column that has no association with the target (Haufe et al. 2014).

x0 = signal + noise, x1 = noise: the best model takes x0 - x1. Truth: both count alike (exact Shapley of the trained
network). A mass map cannot tell "used by the model" from "associated with the target"; the second figure needs data.
"""

from __future__ import annotations

import sys

import torch
from torch import Tensor, nn

from ._cache import trained
from ._cases import Case, Task, columns, mass, usual
from ._networks import Readout, fit, mlp
from ._shapley import shapley

FEATURES, SUPPRESSOR = 6, 1


def data(rows: int, seed: int) -> tuple[Tensor, Tensor]:
    """(rows, 6) and the class; columns 2 to 5 mean nothing."""
    generator = torch.Generator().manual_seed(seed)
    signal, noise = torch.randn(2, rows, generator=generator)
    x = torch.randn(rows, FEATURES, generator=generator)
    x[:, 0], x[:, SUPPRESSOR] = signal + noise, noise
    return x, (signal > 0).long()


def train(seed: int) -> nn.Module:
    def learn(module: nn.Module, seed: int) -> None:
        fit(module, *data(4000, seed), steps=500, seed=seed)

    return trained("t11", seed, lambda: mlp([FEATURES, 24, 2]), learn, sys.modules[__name__])


def cases(seed: int, quick: bool) -> list[Case]:
    score = Readout(train(seed), torch.tensor([-1.0, 1.0])).eval()
    reference, classes = data(2000, seed)
    baseline = reference.mean(0, keepdim=True)
    # |correlation with the class|, what "associated with the target" means here
    associated = torch.corrcoef(torch.cat([reference, classes[:, None].float()], 1).T)[-1, :-1].abs()
    found = []
    for x in data(8 if quick else 40, seed + 1)[0]:
        row = x[None]
        blank = Case(score, row, baseline, columns(row), torch.zeros(FEATURES))
        truth = shapley(blank.coalitions, FEATURES)
        facts = {"associated": associated}
        found.append(Case(score, row, baseline, columns(row), truth, frozenset({0, SUPPRESSOR}), facts=facts))
    return found


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    """`said`: the suppressor is among the first two and a correlation below 0.1 says that it is only used."""
    found = usual(case, relevance)
    top = relevance.abs().topk(2).indices.tolist()
    found["suppressor mass error"] = abs(
        mass(relevance, frozenset({SUPPRESSOR})) - mass(case.truth, frozenset({SUPPRESSOR}))
    )
    matters = case.truth.abs().topk(2).indices.tolist()
    if SUPPRESSOR in matters:
        found["said"] = float(SUPPRESSOR in top and float(case.facts["associated"][SUPPRESSOR]) < 0.1)
    return found


TASK = Task("T11", "suppressor", "exact Shapley against the mean row", cases, measure)
