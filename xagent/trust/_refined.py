"""A list made better by removal: the strongest players one by one, then the first few of them exactly.

In: relevance of the players and the score of coalitions. Out: relevance of the same players, which sums to f(x) - f(b).
Two batches of forwards, no gradient.
"""

from __future__ import annotations

from typing import Literal

import torch
from torch import Tensor

from xagent.relevance import refine
from xagent.trust._probes import Probes, ScoreFn
from xagent.trust._shapley import exact_shapley

PROBED, TOP = 16, 4


def refined(score_fn: ScoreFn, relevance: Tensor, probed: int = PROBED, top: int = TOP) -> Tensor:
    """(P,) float64 from relevance (P,), P at least 2; score_fn: keep (m, P) bool -> (m,).

    1. `xagent.relevance.refine` removes and adds each of the `probed` strongest players alone: 2 * probed + 2 rows. It
       finds a partner in a conjunction that a saturated attention hides from every gradient.
    2. The `top` strongest then play the exact Shapley game against all others as one player (a quotient game, Owen
       1977): 2**(top + 1) rows. The others share what their one player got: their own value, shifted in proportion to
       its size.

    With no more than `top` + 1 players the result is the exact Shapley value. Removal asks the model about inputs that
    may not occur: do not refine where the off-manifold share is above its limit. Measured in benchmarks/README.md.
    """
    value = refine(relevance, score_fn, probed).relevance
    order = value.abs().argsort(descending=True, stable=True)
    team = torch.empty(len(value), dtype=torch.int64)
    team[order] = torch.arange(len(value)).clamp(max=top)
    found = exact_shapley(lambda keep: score_fn(keep[:, team]), int(team.max()) + 1)
    front, rest = order[:top], order[top:]
    value[front] = found[: len(front)]
    if len(rest):
        size = value[rest].abs()
        size = size if float(size.sum()) > 0 else torch.ones_like(size)
        value[rest] += (found[top] - value[rest].sum()) * size / size.sum()
    return value


def refined_rows(players: int, probed: int = PROBED, top: int = TOP) -> int:
    """Rows of the model that `refined` takes."""
    return int(2 * min(probed, players) + 2 + 2 ** min(top + 1, players))


def better_list(probes: Probes, relevance: Tensor) -> tuple[Tensor, Literal["exact", "removal"], int]:
    """What takes the place of a list (P,) that falls short, how it was made, and the rows of the model it took: the
    exact Shapley values where the probes hold all coalitions of single players anyway, else the list refined.
    Raises NotFinite."""
    if probes.shapley is not None and len(probes.shapley) == len(relevance):
        return probes.shapley, "exact", 0
    return refined(probes.score, relevance), "removal", refined_rows(len(relevance))
