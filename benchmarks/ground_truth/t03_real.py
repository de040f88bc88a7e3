"""T3: scikit-learn's real sets wine, diabetes (a regression) and breast cancer, each with an MLP.

Truth: exact Shapley values of the trained network against the mean row, over 13, 10 and 12 columns.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._cache import trained
from ._cases import Case, Task, columns, usual
from ._networks import Readout, fit, mlp, versus_rest
from ._shapley import shapley

SETS = {"wine": 13, "diabetes": 10, "breast_cancer": 12}
"""Columns that are used; of breast cancer those most correlated with the class."""


def data(name: str) -> tuple[Tensor, Tensor]:
    """(rows, columns) standardised, in an order drawn once; classes, or the standardised target."""
    from sklearn import datasets

    x, y = getattr(datasets, f"load_{name}")(return_X_y=True)
    x, y = torch.from_numpy(x).float(), torch.from_numpy(y)
    x = (x - x.mean(0)) / x.std(0)
    if name == "breast_cancer":
        strength = torch.corrcoef(torch.cat([x, y[:, None].float()], 1).T)[-1, :-1].abs()
        x = x[:, strength.topk(SETS[name]).indices.sort().values]
    if name == "diabetes":
        y = ((y - y.mean()) / y.std()).float()
    order = torch.randperm(len(x), generator=torch.Generator().manual_seed(5))
    return x[order], y[order]


def train(seed: int, name: str) -> nn.Module:
    """On three quarters of the rows."""
    x, y = data(name)
    most = len(x) * 3 // 4
    outputs = 1 if name == "diabetes" else int(y.max()) + 1

    def learn(module: nn.Module, seed: int) -> None:
        loss = (lambda a, b: F.mse_loss(a[:, 0], b)) if name == "diabetes" else F.cross_entropy
        fit(module, x[:most], y[:most], loss, steps=400, batch=64, decay=1e-2, seed=seed)

    return trained(f"t03-{name}", seed, lambda: mlp([SETS[name], 32, 32, outputs]), learn, sys.modules[__name__])


def cases(seed: int, quick: bool) -> list[Case]:
    found = []
    for name, players in SETS.items():
        model = train(seed, name)
        x, y = data(name)
        most = len(x) * 3 // 4
        reference = x[:most]
        baseline = reference.mean(0, keepdim=True)
        for i in range(most, most + (4 if quick else 15)):
            if name == "diabetes":
                weights, threshold = torch.ones(1), None
            else:
                weights, threshold = versus_rest(int(y[i]), int(y.max()) + 1), 0.0
            score, row = Readout(model, weights).eval(), x[i : i + 1]
            blank = Case(score, row, baseline, columns(row), torch.zeros(players))
            truth = shapley(blank.coalitions, players)
            found.append(Case(score, row, baseline, columns(row), truth, threshold=threshold, reference=reference))
    return found


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    return usual(case, relevance)


TASK = Task(
    "T3", "scikit-learn's wine, diabetes, breast cancer, MLP", "exact Shapley against the mean row", cases, measure
)
