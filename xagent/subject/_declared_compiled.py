"""Terms of a declared model as arrays, ready to be added up."""

from __future__ import annotations

from typing import Any, Literal

import numpy as np

from xagent.subject._declared import DeclaredModel
from xagent.subject._trees import Bools, Floats


class Compiled:
    """One term as arrays: its columns, and its part in the scores for values of them.

    columns: places of its features. part(x) or part(x, y) gives (n, K) for values (n,); NaN is missing, a place below
    zero an unknown level. Numbers are computed as scikit-learn computes them: (x - mean) / scale first.
    """

    def __init__(self, term: Any, model: DeclaredModel) -> None:
        self.term, self.columns = term, tuple(model.places[name] for name in term.of)
        k = model.outputs
        self.missing = _line(term.missing, k)
        self.unknown = _line(getattr(term, "unknown", None), k)
        if term.kind == "linear":
            self.coefficient = _line(term.coefficient, k)
        elif term.kind == "pair":
            self.values = np.array([[_line(worth, k) for worth in line] for line in term.values])
            self.axes = tuple(None if axis is None else np.array(axis) for axis in term.axes)
        else:
            self.values = np.array([_line(worth, k) for worth in term.values])
            self.axis = np.array(getattr(term, "edges", None) or getattr(term, "x", None) or ())

    def part(self, *values: Floats) -> Floats:
        if self.term.kind == "pair" and self.term.border:
            return self._bordered(*values)
        blank: Bools = np.logical_or.reduce([np.isnan(v) for v in values])
        if self.term.kind == "pair":
            blank = blank | np.logical_or.reduce(
                [(v < 0) & (axis is None) for v, axis in zip(values, self.axes, strict=True)]
            )
        clean = [np.where(blank, 0.0, v) for v in values]
        result = self._known(*clean)
        if blank.any():
            result[blank] = np.nan if self.missing is None else self.missing
        return result

    def _bordered(self, *values: Floats) -> Floats:
        places = []
        for v, axis, size in zip(values, self.axes, self.values.shape, strict=False):
            clean = np.where(np.isnan(v), 0.0, v)
            inside = clean.astype(np.int64) if axis is None else np.searchsorted(axis, clean, side="right")
            unknown = (clean < 0) if axis is None else np.zeros(len(v), dtype=np.bool_)
            places.append(np.where(np.isnan(v), 0, np.where(unknown, size - 1, inside + 1)))
        found: Floats = self.values[places[0], places[1]].copy()
        return found

    def _known(self, *values: Floats) -> Floats:
        x, term = values[0], self.term
        if term.kind == "linear":
            assert self.coefficient is not None
            scaled: Floats = ((x - term.mean) / term.scale)[:, None] * self.coefficient
            return scaled
        if term.kind == "levels":
            found = self.values[np.maximum(x, 0).astype(np.int64)].copy()
            if (x < 0).any():
                found[x < 0] = np.nan if self.unknown is None else self.unknown
            return found
        if term.kind == "bins":
            side: Literal["right", "left"] = "right" if term.closed == "left" else "left"
            return self.values[np.searchsorted(self.axis, x, side=side)].copy()
        if term.kind == "points":
            return np.stack([np.interp(x, self.axis, column) for column in self.values.T], axis=1)
        places = [
            v.astype(np.int64) if axis is None else np.searchsorted(axis, v, side="right")
            for v, axis in zip(values, self.axes, strict=True)
        ]
        return self.values[places[0], places[1]].copy()


def _line(worth: Any, outputs: int) -> Floats | None:
    return None if worth is None else np.broadcast_to(np.asarray(worth, dtype=np.float64), (outputs,))
