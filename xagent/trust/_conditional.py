"""Removed inputs filled in from rows that look like the rest of the case, so that probes stay among real data."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import torch
from torch import Tensor

from xagent.trust._manifold import without_gaps

NEIGHBOURS = 10
LEAST_ROWS = 30
"""Rows of a reference below which its nearest ones are no neighbours."""
MOST_ROWS = 5000
_SAME = 1e-6
_KEPT = 2**20
"""Numbers up to which what breaks ties is kept for the next case."""


@dataclass(frozen=True)
class Neighbourhood:
    """Reference rows, thinned to 5,000, and what measures their distance from any case: one for all cases.

    rows: (n, d). filled: (n, d) float64 without gaps; typical, scale: (d,).
    """

    rows: Tensor
    filled: Tensor
    typical: Tensor
    scale: Tensor

    @classmethod
    def of(cls, rows: Tensor, seed: int = 0) -> Neighbourhood:
        rows = rows.detach().cpu()
        if len(rows) > MOST_ROWS:
            chosen = torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))[:MOST_ROWS]
            rows = rows[chosen.sort().values]
        typical = torch.nan_to_num(rows.double().nanmean(0))
        filled = without_gaps(rows.double(), typical)
        spread = filled.std(0)
        return cls(rows, filled, typical, torch.where(spread > 1e-12, spread, torch.ones_like(spread)))


class ConditionalFill:
    """Draws from the reference given what is kept (Aas, Jullum and Loland 2021, the empirical approach, with equal
    weights for the nearest rows).

    x: (d,) the case. rows: (n, d) reference, or what was made of it; rows equal to the case are left out, or the case
    itself would be put back in the place of what was removed. owner: (d,) int64, the player of each column. Raises
    ValueError with fewer than 30 other rows.
    """

    def __init__(
        self, x: Tensor, rows: Tensor | Neighbourhood, owner: Tensor, seed: int = 0, neighbours: int = NEIGHBOURS
    ) -> None:
        around = rows if isinstance(rows, Neighbourhood) else Neighbourhood.of(rows, seed)
        x = x.detach().cpu()
        apart = ((around.filled - without_gaps(x.double(), around.typical)) / around.scale) ** 2
        other = apart.max(1).values > _SAME**2
        if int(other.sum()) < LEAST_ROWS:
            raise ValueError(f"conditional fill-in needs at least {LEAST_ROWS} other rows")
        self._x, self._rows, self._apart = x, around.rows.to(x.dtype)[other], apart[other].float()
        self._owner, self._seed, self.neighbours = owner, seed, min(neighbours, LEAST_ROWS)

    def fill(self, keep: Tensor) -> Tensor:
        """(m, k, d): for each coalition keep (m, P) bool, k rows that have the case's values where it keeps them and a
        near row's values elsewhere. Rows that are equally near are drawn by the seed."""
        kept = keep[:, self._owner]
        distance = kept.float() @ self._apart.T
        # Far below any difference that counts: it only orders rows that are equally near.
        distance += (_ties if distance.numel() <= _KEPT else _drawn)(len(distance), distance.shape[1], self._seed)
        near = distance.topk(self.neighbours, dim=1, largest=False).indices
        return torch.where(kept[:, None, :], self._x, self._rows[near])


def _drawn(coalitions: int, rows: int, seed: int) -> Tensor:
    return 1e-6 * torch.rand(coalitions, rows, generator=torch.Generator().manual_seed(seed))


_ties = lru_cache(maxsize=4)(_drawn)
