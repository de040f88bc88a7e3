"""Exact interventional Shapley values of a forest or a sum of terms, and the scores of any coalition, from one table.

A player that is not kept takes its value from a row of the reference, and scores are averaged over the rows. A leaf is
reached under a coalition when the players in `a` are kept and those in `b` are not; `worth` is what it then adds. Such
a table holds the whole game, and the Shapley values of one line are known in closed form (Lundberg et al. 2020,
supplement, algorithm 3; Laberge and Pequignot 2022, theorem 4.2). A player is a feature with all its columns.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import comb

import numpy as np
from numpy.typing import NDArray
from scipy import sparse

from xagent.subject._trees import Bools, Floats, Forest, Ints

MAX_PLAYERS_ON_PATH = 62
_CHUNK = 2**22


@dataclass(frozen=True)
class Game:
    """a, b: (U, P) sparse 0/1, never both 1. worth: (U, K) float64. A line without players is a constant."""

    a: sparse.csr_matrix
    b: sparse.csr_matrix
    worth: Floats

    @property
    def players(self) -> int:
        return int(self.a.shape[1])

    def value(self, keep: NDArray[np.bool_]) -> Floats:
        """(m, K) scores of coalitions keep (m, P), averaged over the rows."""
        step = max(1, _CHUNK // max(len(self.worth), 1))
        parts = []
        for start in range(0, len(keep), step):
            kept = keep[start : start + step].T.astype(np.float64)
            broken = (self.a @ (1.0 - kept)) + (self.b @ kept)  # (U, m): conditions that do not hold
            parts.append((broken == 0).astype(np.float64).T @ self.worth)
        return np.concatenate(parts)

    def shapley(self) -> Floats:
        """(P, K) Shapley values; they sum to value(all) - value(none)."""
        p, q = (np.asarray(part.sum(axis=1)).reshape(-1).astype(int) for part in (self.a, self.b))
        gain, loss = _weights(p, q)
        return np.asarray(self.a.T @ (gain[:, None] * self.worth) - self.b.T @ (loss[:, None] * self.worth))


def _weights(p: Ints, q: Ints) -> tuple[Floats, Floats]:
    """(p - 1)! q! / (p + q)! for each kept player and p! (q - 1)! / (p + q)! for each absent one; 0 where none is."""
    pairs, back = np.unique(np.stack([p, q]), axis=1, return_inverse=True)
    gain = [1 / (i * comb(i + j, i)) if i else 0.0 for i, j in pairs.T.tolist()]
    loss = [1 / (j * comb(i + j, j)) if j else 0.0 for i, j in pairs.T.tolist()]
    return np.array(gain)[back.reshape(-1)], np.array(loss)[back.reshape(-1)]


@dataclass(frozen=True)
class Paths:
    """Conditions on the way to every leaf of a forest, grouped by leaf and player.

    node, left (C,): a condition is that `node` is left to the side `left`. first (G,): where a group of conditions of
    one player starts. player (G,), leaf_first (L,): first group of each leaf. leaf (L,): its node. place (G,): of a
    group within its leaf. lone: leaves that are roots.
    """

    node: Ints
    left: Bools
    first: Ints
    player: Ints
    place: Ints
    leaf_first: Ints
    leaf: Ints
    lone: Ints

    @property
    def size(self) -> int:
        return len(self.node)


def paths(forest: Forest, owner: Ints) -> Paths:
    """owner (columns,): the player of each column. Raises ValueError when a path asks for too many players."""
    t = forest.trees
    at = np.flatnonzero((t.feature < 0) & (forest.parent >= 0))
    lone = at[forest.parent[at] == at]
    leaves = at[forest.parent[at] != at]
    current, own = leaves, np.arange(len(leaves))
    node, left, leaf = [], [], []
    while len(current):
        above = forest.parent[current]
        node.append(above)
        left.append(forest.from_left[current])
        leaf.append(own)
        more = forest.parent[above] != above
        current, own = above[more], own[more]
    nodes, sides, leafs = (np.concatenate(p) if p else np.zeros(0, dtype=np.int64) for p in (node, left, leaf))
    players = owner[t.feature[nodes]]
    order = np.lexsort((nodes, players, leafs))
    nodes, leafs, players = nodes[order], leafs[order], players[order]
    went: Bools = sides[order].astype(np.bool_)
    new = np.ones(len(nodes), dtype=np.bool_)
    new[1:] = (leafs[1:] != leafs[:-1]) | (players[1:] != players[:-1])
    first = np.flatnonzero(new)
    group_leaf = leafs[first]
    leaf_first = np.searchsorted(group_leaf, np.arange(len(leaves)))
    place = np.arange(len(first)) - leaf_first[group_leaf] if len(first) else first
    if len(place) and int(place.max()) >= MAX_PLAYERS_ON_PATH:
        raise ValueError(f"a path through its trees asks for more than {MAX_PLAYERS_ON_PATH} features")
    return Paths(nodes, went, first, players[first], place, leaf_first, leaves, lone)


def forest_game(forest: Forest, known: Paths, row: Floats, rows: Floats, players: int) -> Game:
    """The game of one input (d,) against reference rows (n, d), n >= 1."""
    t = forest.trees
    outputs = len(t.base)
    tree_of = np.searchsorted(np.sort(t.roots), np.arange(len(t.feature)), side="right") - 1
    output_of = t.output[np.argsort(t.roots)][tree_of]
    constant = t.base.copy()
    np.add.at(constant, output_of[known.lone], t.value[known.lone])
    leaf, code, share = _reached(forest, known, row, rows)
    own = _met(forest, known, row[None])[0]
    counts = np.diff(np.append(known.leaf_first, len(known.player)))[leaf]
    line = np.repeat(np.arange(len(leaf)), counts)
    group = np.repeat(known.leaf_first[leaf], counts) + np.arange(len(line)) - np.repeat(
        np.cumsum(counts) - counts, counts
    )  # fmt: skip
    asked = (code[line] >> known.place[group]) & 1 == 1  # the row and this part of the reference differ here
    worth = np.zeros((len(leaf) + 1, outputs))
    nodes = known.leaf[leaf]
    worth[np.arange(len(leaf)), output_of[nodes]] = t.value[nodes] * share
    worth[-1] = constant
    shape = (len(worth), players)
    a, b = (
        sparse.csr_matrix((np.ones(int(pick.sum())), (line[pick], known.player[group[pick]])), shape=shape)
        for pick in (asked & own[group], asked & ~own[group])
    )
    return Game(a, b, worth)


def _met(forest: Forest, known: Paths, rows: Floats) -> Bools:
    """(n, G): whether a row meets all conditions of a group."""
    nodes, at = np.unique(known.node, return_inverse=True)
    left = forest.goes_left(rows[:, forest.trees.feature[nodes]], nodes[None])
    met: Bools = np.logical_and.reduceat(left[:, at] == known.left, known.first, axis=1)
    return met


def _reached(forest: Forest, known: Paths, row: Floats, rows: Floats) -> tuple[Ints, Ints, Floats]:
    """Which leaves can be reached by mixing the row with a reference row, for which players the two differ, and the
    share of reference rows for which that is so: (U,) place among the leaves, (U,) bits by group, (U,)."""
    empty = np.zeros(0, dtype=np.int64)
    if not known.size:
        return empty, empty, np.zeros(0)
    own = _met(forest, known, row[None])
    weight = np.int64(1) << known.place
    step = max(1, _CHUNK // known.size)
    leaf, code, count = empty, empty, empty
    for start in range(0, len(rows), step):
        theirs = _met(forest, known, rows[start : start + step])
        dead = np.logical_or.reduceat(~own & ~theirs, known.leaf_first, axis=1)
        codes = np.add.reduceat((theirs != own) * weight, known.leaf_first, axis=1)
        where = np.nonzero(~dead)
        leaf, code = np.concatenate([leaf, where[1]]), np.concatenate([code, codes[where]])
        count = np.concatenate([count, np.ones(len(where[1]), dtype=np.int64)])
        leaf, code, count = _tallied(leaf, code, count)
    return leaf, code, count / len(rows)


def _tallied(leaf: Ints, code: Ints, count: Ints) -> tuple[Ints, Ints, Ints]:
    """Equal (leaf, code) once, with their counts added."""
    order = np.lexsort((code, leaf))
    leaf, code, count = leaf[order], code[order], count[order]
    new = np.ones(len(leaf), dtype=np.bool_)
    new[1:] = (leaf[1:] != leaf[:-1]) | (code[1:] != code[:-1])
    first = np.flatnonzero(new)
    return leaf[first], code[first], np.add.reduceat(count, first) if len(first) else count
