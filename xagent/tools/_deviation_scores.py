"""Three scores of a whole row. Larger is more unusual; what a score means is settled by rows that were held out.

They see different things: one extreme feature, a broken correlation, an empty region. An isolation forest sees none of
the first kind where there are many features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from xagent.tools._conformal import Marginal, mid_ranks
from xagent.tools._population import Rows

Floats = NDArray[np.float64]

SCORES = 3
NEIGHBOURS = 10
TAIL = "largest tail of a feature"


@dataclass(frozen=True)
class Scorer:
    """What m rows of the reference were like. vectors: whether rows have vectors of their own; else `used` names the
    marginals whose normal scores take their place. location (d,) and precision (d, d): of the vectors, after Ledoit
    and Wolf; near (m, d): where neighbours are looked for, vectors at length one, so that they are cosine neighbours.
    """

    m: int
    marginals: tuple[Marginal, ...]
    vectors: bool
    used: tuple[int, ...]
    location: Floats
    precision: Floats
    near: Floats

    @staticmethod
    def of(rows: Rows) -> Scorer:
        from sklearn.covariance import LedoitWolf

        marginals = tuple(Marginal.of(column) for column in rows.columns)
        used = tuple(
            i for i, m in enumerate(marginals) if m.numeric and len(m.ordered) and m.ordered[0] < m.ordered[-1]
        )
        vectors = rows.vectors is not None
        space = rows.vectors if rows.vectors is not None else _normal_scores(marginals, used, rows)
        if space.shape[1] == 0:
            return Scorer(rows.n, marginals, vectors, used, np.empty(0), np.empty((0, 0)), space)
        model = LedoitWolf().fit(space)
        near = _unit(space) if vectors else space
        return Scorer(rows.n, marginals, vectors, used, model.location_, model.precision_, near)

    def scores(self, rows: Rows) -> dict[str, Floats]:
        """(n,) of each score by name."""
        found = {TAIL: self._largest_tail(rows)}
        if not len(self.location):
            return found
        space = self._space(rows)
        words = "the embedding" if self.vectors else "normal scores"
        away = space - self.location
        found[f"Mahalanobis distance of {words}"] = np.einsum("ij,jk,ik->i", away, self.precision, away, optimize=True)
        near = _unit(space) if self.vectors else space
        metric = "cosine " if self.vectors else ""
        found[f"{metric}distance to the nearest {NEIGHBOURS} in {words}"] = self._neighbours(near)
        return found

    def contributions(self, row: Rows) -> dict[str, float]:
        """Of each feature to the squared Mahalanobis distance of one row; empty for vectors, which have no features."""
        if self.vectors or not len(self.location):
            return {}
        away = self._space(row)[0] - self.location
        parts = (away * (self.precision @ away)).tolist()
        return {self.marginals[i].name: part for i, part in zip(self.used, parts, strict=True)}

    def _space(self, rows: Rows) -> Floats:
        return rows.vectors if rows.vectors is not None else _normal_scores(self.marginals, self.used, rows)

    def _largest_tail(self, rows: Rows) -> Floats:
        surprise = np.zeros(rows.n)
        for known, asked in zip(self.marginals, rows.columns, strict=True):
            p, excess = known.tails(asked)
            surprise = np.maximum(surprise, excess - np.log(p))
        return surprise

    def _neighbours(self, rows: Floats) -> Floats:
        """Mean Euclidean distance to the nearest rows."""
        from sklearn.neighbors import NearestNeighbors

        model = NearestNeighbors(n_neighbors=min(NEIGHBOURS, len(self.near)), algorithm="brute").fit(self.near)
        return np.asarray(model.kneighbors(rows)[0].mean(axis=1), dtype=np.float64)


def _normal_scores(marginals: tuple[Marginal, ...], used: tuple[int, ...], rows: Rows) -> Floats:
    """(n, features): the normal quantile of each value's mid-rank (van der Waerden), 0 for a missing one.

    Mid-ranks keep ties in the middle of their mass; scikit-learn's QuantileTransformer would put the most frequent
    value of a zero-inflated feature at -5.2.
    """
    from scipy.special import ndtri

    result = np.zeros((rows.n, len(used)))
    for j, i in enumerate(used):
        known, values = marginals[i].ordered, rows.columns[i].values.astype(np.float64)
        there = ~np.isnan(values)
        result[there, j] = ndtri((mid_ranks(known, values[there]) + 0.5) / (len(known) + 1))
    return result


def _unit(vectors: Floats) -> Floats:
    """Rows of length one."""
    lengths = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(lengths > 0, lengths, 1.0), dtype=np.float64)
