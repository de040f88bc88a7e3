"""Which players go together: inseparable ones always, others only so that coalitions stay many for each block."""

from __future__ import annotations

from dataclasses import dataclass
from math import ceil
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xagent.trust._manifold import without_gaps

MOST_GROUPS = 32
"""Blocks of neighbours: there may be hundreds of words, and a language model is slow."""
MOST_BLOCKS = 64
"""Blocks of features or cells; four coalitions of each half for every one of them are drawn."""
MOST_CLUSTERED = 1000
"""Players beyond which comparing every pair with every other takes too long; then neighbours share a block."""
MOST_ROWS = 2000


@dataclass(frozen=True)
class Grouping:
    """bundle: (P,) int64, players that cannot be told apart share a number. block: (P,) int64, what coalitions keep or
    take together; every bundle lies inside one block. how: what made blocks of more than one bundle. correlation:
    (bundles,) the smallest |correlation| inside each bundle, 1 for a single player.
    """

    bundle: Tensor
    block: Tensor
    how: Literal["separate", "neighbours", "correlation", "cells"]
    correlation: tuple[float, ...] = ()

    @property
    def bundles(self) -> int:
        return int(self.bundle.max()) + 1

    @property
    def blocks(self) -> int:
        return int(self.block.max()) + 1

    def together(self) -> list[tuple[int, ...]]:
        """The players of every bundle of more than one, in order."""
        members: list[list[int]] = [[] for _ in range(self.bundles)]
        for player, bundle in enumerate(self.bundle.tolist()):
            members[bundle].append(player)
        return [tuple(group) for group in members if len(group) > 1]


def group_players(players: int, most: int = MOST_GROUPS) -> Tensor:
    """(players,) int64: the group of each player. Neighbours share a group; sizes differ by one at most."""
    groups = min(players, most)
    return torch.arange(players) * groups // max(players, 1)


def neighbours(players: int, most: int = MOST_GROUPS) -> Grouping:
    """Blocks of neighbours, as words of a text are; no bundles."""
    return Grouping(torch.arange(players), group_players(players, most), "neighbours" if players > most else "separate")


def cells(rows: int, columns: int, most: int = MOST_BLOCKS) -> Grouping:
    """Rectangular blocks, as square as they come, of a grid of rows * columns players in reading order."""
    players = rows * columns
    if players <= most:
        return Grouping(torch.arange(players), torch.arange(players), "separate")
    down, across = max(
        ((d, a) for d in range(1, min(rows, most) + 1) for a in range(1, min(columns, most // d) + 1)),
        key=lambda cut: (cut[0] * cut[1], -max(ceil(rows / cut[0]) / ceil(columns / cut[1]),
                                              ceil(columns / cut[1]) / ceil(rows / cut[0]))),
    )  # fmt: skip
    row, column = torch.arange(rows) * down // rows, torch.arange(columns) * across // columns
    block = (row[:, None] * across + column[None, :]).flatten()
    return Grouping(torch.arange(players), block, "cells")


def correlated(rows: Tensor, owner: Tensor, threshold: float, *, seed: int = 0, most: int = MOST_BLOCKS) -> Grouping:
    """Players whose values move together in a reference: bundles above `threshold`, then blocks until at most `most`.

    rows: (n, d) encoded reference, thinned to 2,000. owner: (d,) int64, the player of each column. Two players are as
    close as the largest |Pearson| or |Spearman| correlation between any two of their columns; constant columns are
    close to nothing. Complete linkage: inside a bundle *every* pair exceeds the threshold, so a chain of neighbours is
    not called one thing. With one bundle left for all players there would be nothing to weigh, so none is made.
    """
    players = int(owner.max()) + 1
    if players > MOST_CLUSTERED:
        return neighbours(players, MOST_GROUPS)
    close = _closeness(_thinned(rows, seed), owner.numpy(), players)
    bundle, tight = _linked(close, threshold, 1)
    if max(bundle) == 0:
        bundle, tight = list(range(players)), [1.0] * players
    block = bundle
    if max(bundle) + 1 > most:
        block, _ = _linked(close, -1.0, most, bundle)
    how: Literal["separate", "correlation"] = "correlation" if max(block) + 1 < players else "separate"
    return Grouping(torch.tensor(bundle), torch.tensor(block), how, tuple(tight))


def _thinned(rows: Tensor, seed: int) -> NDArray[np.float64]:
    x = rows.detach().cpu().double()
    if len(x) > MOST_ROWS:
        x = x[torch.randperm(len(x), generator=torch.Generator().manual_seed(seed))[:MOST_ROWS].sort().values]
    found: NDArray[np.float64] = without_gaps(x, torch.nan_to_num(x.nanmean(0))).numpy()
    return found


def _closeness(x: NDArray[np.float64], owner: NDArray[np.int64], players: int) -> NDArray[np.float64]:
    """(P, P): largest absolute correlation of any two columns, on values and on ranks."""
    columns = np.maximum(np.abs(_correlations(x)), np.abs(_correlations(_ranks(x))))
    close = np.zeros((players, players))
    np.maximum.at(close, (owner[:, None], owner[None, :]), columns)
    return close


def _correlations(x: NDArray[np.float64]) -> NDArray[np.float64]:
    centred = x - x.mean(0)
    length = np.sqrt((centred**2).sum(0))
    unit = np.divide(centred, length, out=np.zeros_like(centred), where=length > 1e-9 * np.sqrt(len(x)))
    found: NDArray[np.float64] = unit.T @ unit
    return found


def _ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks by column; equal values share their mean rank."""
    ranked = np.empty_like(x)
    for j in range(x.shape[1]):
        _, place, count = np.unique(x[:, j], return_inverse=True, return_counts=True)
        ranked[:, j] = (np.cumsum(count) - (count - 1) / 2)[place]
    return ranked


def _linked(
    close: NDArray[np.float64], threshold: float, least: int, start: list[int] | None = None
) -> tuple[list[int], list[float]]:
    """Agglomerative clustering by complete linkage, until nothing is closer than `threshold` or `least` are left.

    Returns the cluster of each player, numbered by its first one, and the smallest closeness inside each cluster.
    """
    members = [[p] for p in range(len(close))]
    if start is not None:
        members = [[p for p, s in enumerate(start) if s == b] for b in range(max(start) + 1)]
    link = np.array([[close[np.ix_(a, b)].min() for b in members] for a in members]) if start else close.copy()
    np.fill_diagonal(link, -2.0)
    tight = [1.0] * len(members)
    alive = len(members)
    while alive > least:
        i, j = divmod(int(link.argmax()), len(link))
        if link[i, j] < max(threshold, 0.0):
            break
        i, j = min(i, j), max(i, j)
        tight[i] = float(min(tight[i], tight[j], link[i, j]))
        members[i], members[j] = members[i] + members[j], []
        link[i] = np.minimum(link[i], link[j])
        link[:, i] = link[i]
        link[i, i] = link[j] = -2.0
        link[:, j] = -2.0
        alive -= 1
    kept = sorted((m, t) for m, t in ((sorted(m), t) for m, t in zip(members, tight, strict=True)) if m)
    cluster = {player: number for number, (group, _) in enumerate(kept) for player in group}
    return [cluster[p] for p in range(len(close))], [t for _, t in kept]
