"""Whether a probe still looks like the data the model was built on."""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

MOST_ROWS = 2000
_PART = 128


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
        self._turned = self._rows.float().T.contiguous()
        self._size = self._turned.square().sum(0)[None]
        self.limit = float(torch.quantile(self._nearest(self._rows, itself=True), percentile))
        self.rows = len(rows)

    def outside(self, probes: Tensor) -> Tensor:
        """(m,) bool: which of the probes (m, d) lie beyond the limit."""
        probes = self._scaled(without_gaps(probes.detach().cpu().double(), self._typical))
        single = probes.float()
        size = single.square().sum(1)
        squared = torch.cat([part.amin(1) for part in self._squared(single)]) + size
        # Distances carry rounding of about 1e-7: a copy of a reference row is inside even when the limit is zero.
        limit = self.limit + 1e-6
        found = squared > limit**2
        # Single precision decides what is clear, with a hundred times its error for a margin; the rest is measured.
        near = ((squared - limit**2).abs() <= 1e-5 * (size + limit**2 + self._size.max())).nonzero()[:, 0]
        if len(near):
            found[near] = self._nearest(probes[near]) > limit
        return found

    def _scaled(self, rows: Tensor) -> Tensor:
        return (rows - self._centre) / self._scale

    def _squared(self, single: Tensor) -> Iterator[Tensor]:
        """Squared distances to every row less the probe's own square, in parts that fit the cache."""
        for start in range(0, len(single), _PART):
            yield torch.addmm(self._size, single[start : start + _PART], self._turned, alpha=-2)

    def _nearest(self, probes: Tensor, itself: bool = False) -> Tensor:
        """(m,) float64: distance to the nearest row, or to the nearest other one where the probes are the rows. Which
        row that is is found by products in single precision; the distance is exact."""
        places = []
        for number, squared in enumerate(self._squared(probes.float())):
            if itself:
                squared.diagonal(number * _PART).fill_(float("inf"))
            places.append(squared.argmin(1))
        apart: Tensor = torch.linalg.vector_norm(probes - self._rows[torch.cat(places)], dim=1)
        return apart


def without_gaps(rows: Tensor, typical: Tensor) -> Tensor:
    """(n, d) with missing values (NaN) at the column's typical one (d,): distances then pass them over."""
    return torch.where(rows.isnan(), typical, rows)
