"""A forest of decision trees as plain arrays: checked, then run by NumPy.

No library's loader ever sees a model file: a reader of the format fills these arrays, and `Forest` refuses whatever is
no forest. Missing values are NaN.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]
Bools = NDArray[np.bool_]

MAX_NODES = 10_000_000
MAX_TREES = 100_000
MAX_DEPTH = 512
MAX_TABLE = 2**27
LARGEST_VALUE = 1e30
_CHUNK = 2**21
NONE, ZERO, NAN = 0, 1, 2
"""What counts as missing at a node of LightGBM: nothing (NaN is read as 0), zero and NaN, or NaN."""
ALMOST_ZERO = float(np.float32(1e-35))


@dataclass(frozen=True)
class Trees:
    """What a reader of a format has found: nodes of all trees one after the other, N of them, T trees.

    style: `xgboost` goes left when the value, in single precision, is below the threshold; `lightgbm` when it is not
    above it, in double precision. roots: first node of each tree. output (T,): place of the score that a tree adds to.
    feature, left, right (N,): -1 at a leaf for all three; children are places among all nodes. threshold, value (N,):
    the latter at leaves. default_left (N,): where a missing value goes. missing (N,): NONE, ZERO or NAN. table (N,):
    line of `goes_left` for a categorical split, else -1. goes_left: (lines, codes + 1) booleans by category code, the
    last one for a code beyond the line. base: (K,) constant of each score.
    """

    style: Literal["xgboost", "lightgbm"]
    roots: Ints
    output: Ints
    feature: Ints
    threshold: Floats
    left: Ints
    right: Ints
    default_left: Bools
    missing: Ints
    value: Floats
    table: Ints
    goes_left: Bools
    base: Floats
    columns: int


@dataclass(frozen=True)
class Forest:
    """Trees that are trees: every node is reached once, from its own root, within MAX_DEPTH steps.

    Raises ValueError that says what is wrong. parent, from_left (N,): how a node is reached; a root is its own parent.
    """

    trees: Trees
    parent: Ints = field(init=False)
    from_left: Bools = field(init=False)
    depth: int = field(init=False)

    def __post_init__(self) -> None:
        t = self.trees
        nodes = len(t.feature)
        if not 0 < len(t.roots) <= MAX_TREES:
            raise ValueError(f"it holds {len(t.roots)} trees; 1 to {MAX_TREES} are read")
        if nodes > MAX_NODES:
            raise ValueError(f"it holds more than {MAX_NODES} nodes")
        inner = t.left >= 0
        if not np.array_equal(inner, t.right >= 0):
            raise ValueError("a node has one child")
        if bool((inner & ((t.feature < 0) | (t.feature >= t.columns))).any()):
            raise ValueError(f"a split names a feature outside the {t.columns} that the model has")
        if not np.isfinite(t.threshold[inner & (t.table < 0)]).all():
            raise ValueError("a threshold is not a finite number")
        values = t.value[~inner]
        if not (np.abs(values) < LARGEST_VALUE).all() or not (np.abs(t.base) < LARGEST_VALUE).all():
            raise ValueError("the value of a leaf or the base score is not a number of usable size")
        if bool(((t.output < 0) | (t.output >= len(t.base))).any()):
            raise ValueError("a tree adds to a score that the model does not have")
        parent, from_left, depth = _walked(t, inner)
        for name, found in (("parent", parent), ("from_left", from_left), ("depth", depth)):
            object.__setattr__(self, name, found)

    def margins(self, rows: Floats) -> Floats:
        """(n, K) scores of rows (n, d): base plus the leaves' values, summed in double precision."""
        t = self.trees
        result = np.tile(t.base, (len(rows), 1))
        step = max(1, _CHUNK // len(t.roots))
        for start in range(0, len(rows), step):
            part = rows[start : start + step]
            node = np.tile(t.roots, (len(part), 1))
            line = np.arange(len(part))[:, None]
            for _ in range(self.depth):
                feature = t.feature[node]
                at_leaf = feature < 0
                if at_leaf.all():
                    break
                left = self.goes_left(part[line, np.maximum(feature, 0)], node)
                node = np.where(at_leaf, node, np.where(left, t.left[node], t.right[node]))
            leaves = t.value[node]
            for place in range(len(t.base)):
                result[start : start + step, place] += leaves[:, t.output == place].sum(axis=1)
        return result

    def goes_left(self, value: Floats, node: Ints) -> Bools:
        """Whether a value goes left at a node; both arrays broadcast. At a leaf the answer means nothing."""
        t = self.trees
        threshold = t.threshold[node]
        blank = np.isnan(value)
        if t.style == "xgboost":
            left = value.astype(np.float32) < threshold.astype(np.float32)
        else:
            kind = t.missing[node]
            number = np.where(blank & (kind != NAN), 0.0, value)
            left = number <= threshold
            blank = (blank & (kind == NAN)) | ((kind == ZERO) & (np.abs(number) <= ALMOST_ZERO))
        left = np.where(blank, t.default_left[node], left)
        if len(t.goes_left):
            left = np.where(t.table[node] >= 0, self._in_table(value, node), left)
        return np.asarray(left, dtype=np.bool_)

    def _in_table(self, value: Floats, node: Ints) -> Bools:
        """The same at categorical splits: a code is cut to a whole number, and NaN goes the default way."""
        t = self.trees
        last = t.goes_left.shape[1] - 1
        code = np.trunc(np.where(np.isnan(value), -1.0, value))
        place = np.where((code >= 0) & (code < last), code, last).astype(np.int64)
        found = t.goes_left[np.maximum(t.table[node], 0), place]
        return np.where(np.isnan(value), t.default_left[node], found)


def _walked(t: Trees, inner: Bools) -> tuple[Ints, Bools, int]:
    """Parents, sides and depth, by one walk down all trees at once. Raises ValueError for what is no tree."""
    nodes = len(t.feature)
    first = np.sort(t.roots)
    if len(np.unique(first)) < len(first) or first[0] != 0 or first[-1] >= nodes:
        raise ValueError("two trees start at the same node")
    tree_of = np.searchsorted(first, np.arange(nodes), side="right")
    parent = np.full(nodes, -1, dtype=np.int64)
    from_left = np.zeros(nodes, dtype=np.bool_)
    parent[t.roots] = t.roots
    level, depth = t.roots, 0
    while True:
        level = level[inner[level]]
        if not len(level):
            return parent, from_left, depth
        depth += 1
        if depth > MAX_DEPTH:
            raise ValueError(f"a tree is deeper than {MAX_DEPTH} levels")
        children = np.concatenate([t.left[level], t.right[level]])
        above = np.concatenate([level, level])
        if int(children.max()) >= nodes or bool((tree_of[children] != tree_of[above]).any()):
            raise ValueError("a node names a child outside its tree")
        if bool((parent[children] >= 0).any()) or len(np.unique(children)) < len(children):
            raise ValueError("a node is reached twice, so this is no tree")
        parent[children] = above
        from_left[t.left[level]] = True
        level = children
