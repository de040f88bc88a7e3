"""Small modules that several tasks share."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


def mlp(widths: Sequence[int]) -> nn.Sequential:
    """Linear layers of these widths with ReLU between them."""
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(pairwise(widths)):
        layers += [nn.Linear(a, b)] + ([nn.ReLU()] if i < len(widths) - 2 else [])
    return nn.Sequential(*layers)


class Readout(nn.Module):
    """(n, ...) -> (n,): the weighted sum of the model's output columns."""

    weights: Tensor

    def __init__(self, model: nn.Module, weights: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("weights", weights)

    def forward(self, x: Tensor) -> Tensor:
        score: Tensor = (self.model(x) * self.weights).sum(1)
        return score


def versus_rest(column: int, columns: int, among: Sequence[int] | None = None) -> Tensor:
    """(columns,): one column minus the mean of the others (of `among`)."""
    others = [c for c in (among if among is not None else range(columns)) if c != column]
    weights = torch.zeros(columns)
    weights[others] = -1 / len(others)
    weights[column] = 1.0
    return weights


def fit(
    module: nn.Module,
    x: Tensor,
    y: Tensor,
    loss: Callable[[Tensor, Tensor], Tensor] = F.cross_entropy,
    *,
    steps: int = 600,
    batch: int = 128,
    rate: float = 3e-3,
    decay: float = 1e-3,
    seed: int = 0,
) -> None:
    """AdamW with a one-cycle schedule on random batches."""
    generator = torch.Generator().manual_seed(seed)
    optimizer = torch.optim.AdamW(module.parameters(), lr=rate, weight_decay=decay)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        rows = torch.randint(len(x), (batch,), generator=generator)
        value = loss(module(x[rows]), y[rows])
        optimizer.zero_grad()
        value.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()
