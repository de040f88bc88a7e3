"""Whether a probe still looks like the data the model was built on."""

from __future__ import annotations

import torch
from torch import Tensor

MOST_ROWS = 2000
_PART = 256


class Manifold:
    """Nearest-neighbour distances of a reference set.

    reference: (n, d) encoded rows, n >= 2; more than 2,000 are thinned by seed. Columns are scaled by their standard
    deviation, so that no unit rules the distance. `limit` is the 99th percentile of the distance from a reference row
    to the nearest other one; what lies farther than that from every row is off the manifold.
    """

    def __init__(self, reference: Tensor, seed: int = 0, percentile: float = 0.99) -> None:
        rows = reference.detach().cpu().double()
        if rows.ndim != 2 or len(rows) < 2:
            raise ValueError("a reference set needs at least two rows")
        if len(rows) > MOST_ROWS:
            chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:MOST_ROWS]
            rows = rows[chosen.sort().values]
        self._typical = torch.nan_to_num(rows.nanmean(0))
        rows = without_gaps(rows, self._typical)
        spread = rows.std(0)
        self._scale = torch.where(spread > 1e-12, spread, torch.ones_like(spread))
        self._centre = rows.mean(0)
        self._rows = self._scaled(rows)
        single = self._rows.float()
        # (size, rows turned) of parts: products with all of them, and the squares of the rows, fit the cache.
        self._parts = [(part.square().sum(1)[None], part.T.contiguous()) for part in torch.split(single, _PART)]
        self._largest = float(single.square().sum(1).max())
        self.limit = float(torch.quantile(self._nearest(self._rows, itself=True), percentile))
        self.rows = len(rows)

    def outside(self, probes: Tensor) -> Tensor:
        """(m,) bool: which of the probes (m, d) lie beyond the limit."""
        probes = self._scaled(without_gaps(probes.detach().cpu().double(), self._typical))
        single = probes.float()
        size = single.square().sum(1)
        # Distances carry rounding of about 1e-7: a copy of a reference row is inside even when the limit is zero.
        limit = self.limit + 1e-6
        # Single precision decides what is clear, with a hundred times its error for a margin; the rest is measured.
        doubt = 1e-5 * (size + limit**2 + self._largest)
        nearest, left = torch.full_like(size, float("inf")), torch.arange(len(size))
        for own, rows in self._parts:
            squared = torch.addmm(own, single[left], rows, alpha=-2).amin(1) + size[left]
            nearest[left] = torch.minimum(nearest[left], squared)
            left = left[nearest[left] >= limit**2 - doubt[left]]  # one row that is near is enough
            if not len(left):
                break
        found = nearest > limit**2
        near = ((nearest - limit**2).abs() <= doubt).nonzero()[:, 0]
        if len(near):
            found[near] = self._nearest(probes[near]) > limit
        return found

    def _scaled(self, rows: Tensor) -> Tensor:
        return (rows - self._centre) / self._scale

    def _nearest(self, probes: Tensor, itself: bool = False) -> Tensor:
        """(m,) float64: distance to the nearest row, or to the nearest other one where the probes are the rows. Which
        row that is is found by products in single precision; the distance is exact."""
        single = probes.float()
        best, place = torch.full((len(single),), float("inf")), torch.zeros(len(single), dtype=torch.int64)
        for number, (own, rows) in enumerate(self._parts):
            start = number * _PART
            squared = torch.addmm(own, single, rows, alpha=-2)
            if itself:
                squared[start : start + _PART].fill_diagonal_(float("inf"))
            found = squared.min(1)
            nearer = found.values < best
            best, place = torch.where(nearer, found.values, best), torch.where(nearer, found.indices + start, place)
        apart: Tensor = torch.linalg.vector_norm(probes - self._rows[place], dim=1)
        return apart


def without_gaps(rows: Tensor, typical: Tensor) -> Tensor:
    """(n, d) with missing values (NaN) at the column's typical one (d,): distances then pass them over."""
    return torch.where(rows.isnan(), typical, rows)
