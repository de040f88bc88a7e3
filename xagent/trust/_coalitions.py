"""Coalitions of players, and how well an additive description fits the scores they get."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache

import torch
from torch import Tensor

PER_HALF = 128
PER_GROUP = 4
"""Coalitions of each half for every group, or more: fewer would let the fit of the ceiling chase noise."""
_CONSTANT = 1e-6
"""Relative spread at which scores count as equal; single precision carries seven digits."""
_PENALTIES = torch.tensor([1e-9, 1e-4, 1e-3, 1e-2, 3e-2, 1e-1, 3e-1, 1.0, 3.0], dtype=torch.float64)


@dataclass(frozen=True)
class Coalitions:
    """Which groups stay. `a` and `b` (m, G) bool; rows 2i and 2i+1 complement each other.

    exhaustive: all 2**G coalitions were few enough to be tried, so `a` and `b` are the same and nothing was sampled.
    """

    a: Tensor
    b: Tensor
    exhaustive: bool

    @cached_property
    def axes(self) -> tuple[Tensor, Tensor, Tensor]:
        """`axes_of` half `a`, which every fit on it starts from."""
        return axes_of(self.a)


@lru_cache(maxsize=16)
def draw_coalitions(groups: int, seed: int, per_half: int = PER_HALF, exact: int = 0) -> Coalitions:
    """Two independent halves of `per_half` coalitions (four for every group at least), each group staying with
    probability one half. The same arguments give the same object, which is not to be changed.

    Antithetic pairs (a coalition and its complement) halve the variance of additive effects. When there are at most
    `exact` groups, or all coalitions fit into the same number of model calls, they are enumerated instead.
    """
    per_half = max(per_half, PER_GROUP * groups)
    if groups <= exact or 2**groups <= 2 * per_half:
        codes = torch.arange(2 ** (groups - 1))
        every = _with_complements((codes[:, None] >> torch.arange(groups)) & 1 == 1)
        return Coalitions(every, every, exhaustive=True)
    generator = torch.Generator().manual_seed(seed)
    a, b = (_with_complements(torch.rand(per_half // 2, groups, generator=generator) < 0.5) for _ in range(2))
    return Coalitions(a, b, exhaustive=False)


def _with_complements(keep: Tensor) -> Tensor:
    return torch.stack([keep, ~keep], dim=1).flatten(0, 1)


def axes_of(keep: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Singular value decomposition of coalitions (m, G), centred: (m, r), (r,), (r, G) in float64."""
    x = keep.double()
    u, s, vh = torch.linalg.svd(x - x.mean(0), full_matrices=False)
    return u, s, vh


def additive_fit(
    keep: Tensor, scores: Tensor, exhaustive: bool = False, axes: tuple[Tensor, Tensor, Tensor] | None = None
) -> Tensor:
    """(G + 1,) float64: weight of each group and the intercept, by ridge regression of `scores` (m,) on `keep` (m, G).

    The penalty is the one with the least generalised cross-validation error (Golub, Heath and Wahba 1979), from a fixed
    grid; an exhaustive set of coalitions needs none. axes: `axes_of(keep)`, where it is known already.
    """
    x, y = keep.double(), scores.double()
    x_mean, y_mean = x.mean(0), y.mean()
    if exhaustive and bool((x_mean == 0.5).all()):  # all coalitions: the columns are orthogonal
        weights = 4 * (x - x_mean).T @ (y - y_mean) / len(y)
        return torch.cat([weights, (y_mean - x_mean @ weights)[None]])
    u, s, vh = axes or axes_of(keep)
    projected = u.T @ (y - y_mean)
    rows = len(y)
    shrink = s**2 / (s**2 + _PENALTIES[:, None] * rows / 4)  # (penalties, G)
    freedom = rows - 1 - shrink.sum(1)
    # What lies outside of the columns' span stays in every residual.
    outside = ((y - y_mean) ** 2).sum() - (projected**2).sum()
    error = (((1 - shrink) * projected) ** 2).sum(1) + outside.clamp_min(0)
    error = torch.where(freedom > 0, error / freedom.clamp_min(1e-9) ** 2, torch.inf)
    best, least = 0, float("inf")
    for place, value in enumerate(error.tolist()):
        if value < least * (1 - 1e-9):
            best, least = place, value
    weights = vh.T @ (shrink[best] * projected / s.clamp_min(1e-12))
    return torch.cat([weights, (y_mean - x_mean @ weights)[None]])


def is_constant(values: Tensor) -> bool:
    """Whether values (m,) differ by no more than the rounding of single precision."""
    spread = float(values.max() - values.min())
    return spread <= _CONSTANT * float(values.abs().max())


def correlation(a: Tensor, b: Tensor) -> float | None:
    """Pearson's r of two vectors (m,) in [-1, 1]; None when one of them is constant."""
    if is_constant(a) or is_constant(b):
        return None
    a, b = a.double() - a.double().mean(), b.double() - b.double().mean()
    return float((a @ b / (a.norm() * b.norm())).clamp(-1, 1))
