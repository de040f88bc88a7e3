"""Methods that leave players out and look at the score: nothing but the model's answers is needed."""

from __future__ import annotations

import torch
from torch import Tensor

from xagent.methods._game import Attribution, Game, MethodNotApplicable
from xagent.trust import exact_shapley as _exact

MOST_EXACT = 12
PAIRS = 8


def occlusion(game: Game, *, seed: int = 0) -> Attribution:
    """Score that is lost when one player alone goes (Zeiler and Fergus 2014).

    Blind to players that stand in for one another: while one of them stays, the other is not missed.
    """
    del seed
    p = game.players
    ends = torch.tensor([True, False])[:, None].expand(2, p)
    scores = game.score(torch.cat([ends, ~torch.eye(p, dtype=torch.bool)]))
    full, empty = scores[:2].tolist()
    return Attribution("occlusion", full - scores[2:], full, empty, {}, p + 2, False)


def permutation(game: Game, *, pairs: int = PAIRS, seed: int = 0) -> Attribution:
    """Mean gain of a player when players enter one after the other in random order (Castro, Gomez and Tejada 2009).

    Unbiased for the Shapley values and complete for every draw. Each order is also taken backwards, which cancels the
    part of the error that comes from pairs of players (Mitchell et al. 2022). `error` is the standard error over pairs.
    """
    if pairs < 1:
        raise MethodNotApplicable(f"Permutation sampling cannot take {pairs} pairs of orders.", "Take at least one.")
    p = game.players
    generator = torch.Generator().manual_seed(seed)
    forwards = torch.stack([torch.randperm(p, generator=generator) for _ in range(pairs)])
    orders = torch.stack([forwards, forwards.flip(1)], dim=1).reshape(2 * pairs, p)
    place = orders.argsort(1)  # (orders, P): when each player enters
    keep = place[:, None, :] < torch.arange(1, p)[None, :, None]
    ends = torch.tensor([True, False])[:, None].expand(2, p)
    scores = game.score(torch.cat([ends, keep.reshape(-1, p)]))
    full, empty = scores[:2].tolist()
    between = scores[2:].reshape(2 * pairs, p - 1)
    path = torch.cat([scores[1].expand(2 * pairs, 1), between, scores[0].expand(2 * pairs, 1)], dim=1)
    gains = (path[:, 1:] - path[:, :-1]).gather(1, place).reshape(pairs, 2, p).mean(1)
    error = gains.std(0) / pairs**0.5 if pairs > 1 else torch.zeros(p, dtype=torch.float64)
    parameters = {"pairs": pairs, "seed": seed}
    spent = 2 * pairs * (p - 1) + 2
    return Attribution("permutation", gains.mean(0), full, empty, parameters, spent, True, error=error)


def exact_shapley(game: Game, *, seed: int = 0) -> Attribution:
    """Shapley values from all 2**P coalitions (Shapley 1953), for at most 12 players. Complete."""
    del seed
    p = game.players
    if p > MOST_EXACT:
        raise MethodNotApplicable(
            f"Exact Shapley values need at most {MOST_EXACT} players, and there are {p}.", "Choose permutation."
        )
    ends: list[Tensor] = []

    def score(keep: Tensor) -> Tensor:
        scores = game.score(keep)
        ends.extend((scores[-1], scores[0]))  # coalitions are listed from none to all
        return scores

    values = _exact(score, p)
    full, empty = (float(end) for end in ends)
    return Attribution("exact_shapley", values, full, empty, {"coalitions": 2**p}, 2**p, True)
