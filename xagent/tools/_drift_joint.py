"""Can a classifier tell recent rows from known ones? Its area under the curve, against the same with shuffled origins.

A classifier two-sample test (Lopez-Paz and Oquab 2017). The classifier is ridge regression of the origin, whose answers
on rows left out are linear in the origins: one solution serves all permutations.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xagent.tools._columns import Column
from xagent.tools._conformal import mid_ranks

Floats = NDArray[np.float64]

MOST_ROWS = 300
"""Of each side."""
PERMUTATIONS = 199
AUC_FLOOR = 0.6
ALPHA = 0.01
_FOLDS = 5
_MOST_LEVELS = 20


@dataclass(frozen=True)
class Separated:
    auc: float
    chance: float
    p: float
    resolution: float
    n: int


def separated(
    reference: Floats, window: Floats, seed: int, *, squares: bool, permutations: int = PERMUTATIONS
) -> Separated:
    """Area under the curve of rows (n, d) and (m, d), at most MOST_ROWS of each and as many of both.

    squares: whether products of two columns count as well, so that a changed spread or correlation is seen.
    """
    rng = np.random.default_rng(seed)
    size = min(len(reference), len(window), MOST_ROWS)
    rows = np.concatenate([side[np.sort(rng.permutation(len(side))[:size])] for side in (reference, window)])
    spread = rows.std(axis=0)
    rows = (rows[:, spread > 0] - rows[:, spread > 0].mean(axis=0)) / spread[spread > 0]
    kernel = rows @ rows.T / max(rows.shape[1], 1)
    if squares:
        kernel = kernel + kernel**2
    origins = np.repeat([-1.0, 1.0], size)
    shuffled = np.stack([origins, *(rng.permutation(origins) for _ in range(permutations))], axis=1)
    answers = np.empty_like(shuffled)
    fold = rng.permutation(2 * size) % _FOLDS
    for k in range(_FOLDS):
        out, kept = np.flatnonzero(fold == k), np.flatnonzero(fold != k)
        centre = shuffled[kept].mean(axis=0)
        weights = np.linalg.solve(kernel[np.ix_(kept, kept)] + np.eye(len(kept)), shuffled[kept] - centre)
        answers[out] = kernel[np.ix_(out, kept)] @ weights
    found = _areas(answers, shuffled > 0)
    others = found[1:]
    p = (1 + int((others >= found[0] - 1e-12).sum())) / (len(others) + 1)
    return Separated(float(found[0]), float(np.median(others)), p, 1 / (permutations + 1), 2 * size)


def table_vectors(before: tuple[Column, ...], after: tuple[Column, ...], seed: int) -> tuple[Floats, Floats]:
    """Rows of two tables as numbers: normal scores by the ranks of the reference, levels as ones, gaps as ones."""
    from scipy.special import ndtri

    rng = np.random.default_rng(seed)
    sides = (before, after)
    places = [np.sort(rng.permutation(len(side[0].values))[:MOST_ROWS]) for side in sides]
    blocks: tuple[list[Floats], list[Floats]] = ([], [])
    for known, asked in zip(before, after, strict=True):
        frequent = sorted(known.counts, key=lambda v: (-known.counts[v], v))[:_MOST_LEVELS] if not known.numeric else []
        for block, column, where in zip(blocks, (known, asked), places, strict=True):
            values = column.values[where]
            gone = column.missing[where]
            block.append(gone[:, None].astype(np.float64))
            if known.numeric:
                scores = np.zeros(len(where))
                if len(known.ordered):
                    ranks = mid_ranks(known.ordered, values[~gone].astype(np.float64))
                    scores[~gone] = ndtri((ranks + 0.5) / (len(known.ordered) + 1))
                block.append(scores[:, None])
            else:
                block.append((values[:, None] == np.array(frequent, dtype=object)[None]).astype(np.float64))
    return np.concatenate(blocks[0], axis=1), np.concatenate(blocks[1], axis=1)


def _areas(answers: Floats, positive: NDArray[np.bool_]) -> Floats:
    """(P,) area under the curve of each column."""
    from scipy.stats import rankdata

    ranks = rankdata(answers, axis=0)
    ones = positive.sum(axis=0)
    zeros = len(answers) - ones
    return np.asarray(((ranks * positive).sum(axis=0) - ones * (ones + 1) / 2) / (ones * zeros), dtype=np.float64)
