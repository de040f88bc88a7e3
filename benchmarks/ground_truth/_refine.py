"""Removal refinement with the public functions: `relevance.refine`, then `trust.exact_shapley` on the top players.

In: relevance of the players and the score of coalitions. Out: relevance of the same players, summing to f(x) - f(b).
Two batches of forwards, no gradient.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from xagent.relevance import refine
from xagent.trust import exact_shapley

PROBED, TOP = 16, 4


def refined(score: Callable[[Tensor], Tensor], relevance: Tensor, probed: int = PROBED, top: int = TOP) -> Tensor:
    """(players,) float64 from relevance (players,); score: keep (m, players) bool -> (m,).

    1. `refine` removes and adds each of the `probed` strongest players alone: 2 * probed + 2 rows. It finds a partner
       in a conjunction that a saturated attention hides from every gradient.
    2. The `top` strongest then play the exact Shapley game against all others as one player (a quotient game, Owen
       1977): 2**(top + 1) rows. The others share what their one player got: their own value, shifted in proportion to
       its size.

    With no more than `top` + 1 players the result is the exact Shapley value. Removal asks the model about inputs that
    may not occur: do not refine where the off-manifold share of the trust check is above its limit.
    """
    value = refine(relevance, score, probed).relevance
    order = value.abs().argsort(descending=True, stable=True)
    team = torch.empty(len(value), dtype=torch.int64)
    team[order] = torch.arange(len(value)).clamp(max=top)
    found = exact_shapley(lambda keep: score(keep[:, team]), int(team.max()) + 1)
    front, rest = order[:top], order[top:]
    value[front] = found[: len(front)]
    if len(rest):
        size = value[rest].abs()
        size = size if float(size.sum()) > 0 else torch.ones_like(size)
        value[rest] += (found[top] - value[rest].sum()) * size / size.sum()
    return value
