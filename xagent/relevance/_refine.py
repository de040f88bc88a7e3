"""Removal refinement: a trace's relevance and real removals, averaged. A few forwards in one batch, no gradient.

A trace answers for the model as it is at this input; what a unit does when others are missing it cannot see. Where
units act only together (a key and its value) or saturate, removal tells more; where one of two would do (two warning
words), removing one changes nothing and the trace tells more. So the strongest units get the mean of three answers:

    r = 1/3 relevance + 1/3 (f(all) - f(all but the unit)) + 1/3 (f(only the unit) - f(none))

The last two are a unit's marginal effects at both ends of every order of removal, the two terms of the Shapley value
(Shapley 1953) that cost one forward each. Measured against either alone: benchmarks/README.md.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from ._errors import RelevanceError

Score = Callable[[Tensor], Tensor]
"""keep (rows, units) bool -> the explained score of every row, (rows,); units not kept are as in the baseline."""


@dataclass(frozen=True)
class Refined:
    """relevance: (units,) float64; the units in `index` refined, the others as they were.

    index: (k,), the refined units, strongest first.
    removal, addition: (k,), f(all) - f(all but the unit), f(only the unit) - f(none).
    remainder: what the refinement took from the sum: relevance.sum() + remainder is the sum before, so a ledger still
        adds up to the score with the remainder as one more entry.
    forwards: rows that were scored.
    """

    relevance: Tensor
    index: Tensor
    removal: Tensor
    addition: Tensor
    remainder: float
    forwards: int


def refine(relevance: Tensor, score: Score, k: int) -> Refined:
    """Refine the k units of the largest absolute relevance by removing each, and by adding each to nothing.

    relevance: (units,), of one sample, best (x - baseline) * gradient; units are whatever `score` can remove: tokens,
    words, cells, features. score: called once, with 2k + 2 rows; the same baseline as the trace's makes the three
    answers comparable. Cost: 2k + 2 forwards in one batch (about k forwards with gradient).

    Raises RelevanceError for k below 1, relevance of another shape, and scores that are missing or not finite.
    """
    if relevance.dim() != 1 or not len(relevance):
        raise RelevanceError(
            f"The relevance to refine has shape {tuple(relevance.shape)}; it must be (units,).",
            "Refine one sample at a time: trace.tokens[name][0].",
        )
    if k < 1:
        raise RelevanceError("k must be at least 1.")
    before = relevance.detach().cpu().double()
    units = len(before)
    index = before.abs().topk(min(k, units)).indices
    alone = torch.zeros(len(index), units, dtype=torch.bool)
    alone[torch.arange(len(index)), index] = True
    ends = torch.tensor([True, False]).unsqueeze(1).expand(2, units)
    keep = torch.cat([ends, ~alone, alone])
    scores = score(keep).detach().cpu().double()
    if scores.shape != (len(keep),):
        raise RelevanceError(f"The score gave shape {tuple(scores.shape)} for {len(keep)} rows.", "One number a row.")
    if not bool(scores.isfinite().all()):
        raise RelevanceError("A score with units removed is not finite (NaN or infinite).")
    without, only = scores[2 : 2 + len(index)], scores[2 + len(index) :]
    removal, addition = scores[0] - without, only - scores[1]
    after = before.clone()
    after[index] = (before[index] + removal + addition) / 3
    return Refined(after, index, removal, addition, float(before.sum() - after.sum()), len(keep))
