"""Exact Shapley values where all coalitions are affordable."""

from __future__ import annotations

from collections.abc import Callable
from math import factorial

import torch
from torch import Tensor

MOST_PLAYERS = 12


def exact_shapley(score_fn: Callable[[Tensor], Tensor], players: int) -> Tensor:
    """(players,) float64: Shapley values of the game `score_fn`, from all 2**players coalitions in one call.

    score_fn takes keep (m, players) bool and returns (m,) scores. They sum to f(all) - f(none). Raises ValueError for
    more than 12 players. Shapley (1953).
    """
    if not 1 <= players <= MOST_PLAYERS:
        raise ValueError(f"exact Shapley values need 1 to {MOST_PLAYERS} players, not {players}")
    codes = torch.arange(2**players)
    keep = (codes[:, None] >> torch.arange(players)) & 1 == 1
    scores = score_fn(keep).detach().cpu().double()
    size = keep.sum(1)
    weight = torch.tensor(
        [factorial(k) * factorial(players - k - 1) / factorial(players) for k in range(players)], dtype=torch.float64
    )
    values = torch.empty(players, dtype=torch.float64)
    for player in range(players):
        without = codes[~keep[:, player]]
        gain = scores[without + 2**player] - scores[without]
        values[player] = (weight[size[without]] * gain).sum()
    return values
