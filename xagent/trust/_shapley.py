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
    without, joined, weight = _gains(players)
    return (weight * (by_code[joined] - by_code[without])).sum(1)  # exactly zero for who never changes anything


@lru_cache(maxsize=MOST_PLAYERS)
def _gains(players: int) -> tuple[Tensor, Tensor, Tensor]:
    """(players, 2**(players - 1)) each: codes of coalitions without a player, with it, and the weight of that gain."""
    codes, own = torch.arange(2**players), torch.arange(players)
    member = (codes[:, None] >> own) & 1 == 1
    without = torch.stack([codes[~member[:, player]] for player in range(players)])
    weight = torch.tensor(
        [factorial(k) * factorial(players - k - 1) / factorial(players) for k in range(players)], dtype=torch.float64
    )
    return without, without + (1 << own)[:, None], weight[member.sum(1)[without]]
