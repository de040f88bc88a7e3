"""Exact Shapley values as one matrix product; the truth of most tasks and the core of the refinement."""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from math import factorial

import torch
from torch import Tensor


@cache
def every_coalition(players: int) -> Tensor:
    """(2**players, players) bool."""
    return (torch.arange(2**players)[:, None] >> torch.arange(players)) & 1 == 1


@cache
def weights(players: int) -> Tensor:
    """(players, 2**players) float64: Shapley values are this matrix times the scores of `every_coalition`.

    A coalition S counts with (|S|-1)! (n-|S|)! / n! for its members, with minus |S|! (n-|S|-1)! / n! for the others.
    """
    keep = every_coalition(players)
    size = keep.sum(1).tolist()
    n = players
    joined = torch.tensor([factorial(s - 1) * factorial(n - s) / factorial(n) if s else 0.0 for s in size])
    apart = torch.tensor([factorial(s) * factorial(n - s - 1) / factorial(n) if s < n else 0.0 for s in size])
    return torch.where(keep.T, joined.double(), -apart.double())


def shapley(score: Callable[[Tensor], Tensor], players: int) -> Tensor:
    """(players,) float64. score: keep (m, players) bool -> (m,). Shapley (1953); at most 16 players."""
    if not 1 <= players <= 16:
        raise ValueError(f"exact Shapley values need 1 to 16 players here, not {players}")
    return weights(players) @ score(every_coalition(players)).double()
