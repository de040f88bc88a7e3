"""Removal refinement: what a trace says of the top inputs is replaced by what removing them really does.

In: relevance of the players and the score of coalitions. Out: relevance of the same players, summing to f(x) - f(b).
Two batches of forwards and no gradient. `docs` of a user's own: benchmarks/README.md, "Ground truth", shows the call.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from ._shapley import shapley

PROBED, TOP = 16, 4


def refined(score: Callable[[Tensor], Tensor], relevance: Tensor, probed: int = PROBED, top: int = TOP) -> Tensor:
    """(players,) float64 from relevance (players,); score: keep (m, players) bool -> (m,).

    1. The `probed` players of largest |relevance| are each removed alone and each kept alone; the mean of both effects
       replaces their relevance. Those are the two ends of the orders that a Shapley value averages. 2 * probed + 2
       rows; it finds a partner in a conjunction that a saturated attention hides from every gradient.
    2. The `top` players of largest value play the exact Shapley game against the rest as one player (the quotient game
       of Owen 1977). 2**(top + 1) rows. The rest share its value: their own, shifted in proportion to their size.

    With no more than `top` + 1 players the result is the exact Shapley value. Removal asks the model about inputs that
    may not occur: do not refine where the off-manifold share of the trust check is above its limit.
    """
    players = len(relevance)
    value = _ends(score, relevance.double(), min(probed, players))
    order = value.abs().argsort(descending=True, stable=True)
    team = torch.empty(players, dtype=torch.int64)
    team[order] = torch.arange(players).clamp(max=top)
    found = shapley(lambda keep: score(keep[:, team]), int(team.max()) + 1)
    front, rest = order[:top], order[top:]
    value[front] = found[: len(front)]
    if len(rest):
        size = value[rest].abs()
        size = size if float(size.sum()) > 0 else torch.ones_like(size)
        value[rest] += (found[top] - value[rest].sum()) * size / size.sum()
    return value


def _ends(score: Callable[[Tensor], Tensor], relevance: Tensor, count: int) -> Tensor:
    """Relevance with the `count` largest replaced by the mean effect of removing alone and of keeping alone."""
    players = len(relevance)
    chosen = relevance.abs().topk(count).indices
    alone = torch.zeros(count, players, dtype=torch.bool)
    alone[torch.arange(count), chosen] = True
    ends = torch.tensor([[True], [False]]).expand(2, players)
    full, none, *_ = values = score(torch.cat([ends, ~alone, alone])).double()
    without, only = values[2 : 2 + count], values[2 + count :]
    value = relevance.clone()
    value[chosen] = ((full - without) + (only - none)) / 2
    return value
