"""Exact Shapley values where all coalitions are affordable."""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
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
    keep = (torch.arange(2**players)[:, None] >> torch.arange(players)) & 1 == 1
    return shapley_of(keep, score_fn(keep).detach().cpu().double())


def shapley_of(keep: Tensor, scores: Tensor) -> Tensor:
    """(players,) float64 from all coalitions keep (2**players, players) bool, in any order, and their scores."""
    players = keep.shape[1]
    by_code = torch.empty(2**players, dtype=torch.float64)
    by_code[(keep.long() << torch.arange(players)).sum(1)] = scores.double()
    return _weights(players) @ by_code


@lru_cache(maxsize=MOST_PLAYERS)
def _weights(players: int) -> Tensor:
    """(players, 2**players) float64: what the score of a coalition, by its code, counts for each player."""
    member = (torch.arange(2**players)[:, None] >> torch.arange(players)) & 1 == 1
    weight = torch.tensor(
        [factorial(k) * factorial(players - k - 1) / factorial(players) for k in range(players)], dtype=torch.float64
    )
    others = member.sum(1, keepdim=True) - member.long()  # members beside the player, who may be one or not
    return torch.where(member, 1.0, -1.0).double().mul_(weight[others.clamp_max(players - 1)]).T.contiguous()
