"""A model that is a sum of terms, as a JSON file of ours (`xagent.model/1`): coefficients and tables, no code.

Linear, logistic and multinomial regression, scorecards, generalised additive models and explainable boosting machines
with their pairs are all sums of terms. A number that differs by class is written as a list, one for each score.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from itertools import pairwise
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import Field, ValidationError, model_validator

from xagent.case import LARGEST
from xagent.subject._features import Levels, Name, _text
from xagent.subject._spec import Spec
from xagent.subject._trees import Bools, Floats

MAX_BYTES = 64 * 1024**2
MAX_CELLS = 10_000_000
Number = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
Worth = Number | Annotated[tuple[Number, ...], Field(min_length=1, max_length=10_000)]
Edges = Annotated[tuple[Number, ...], Field(min_length=1, max_length=100_000)]


class NumericFeature(Spec):
    """A number."""

    name: Name
    kind: Literal["numeric"]


class CategoricalFeature(Spec):
    """One of `levels`, compared as text."""

    name: Name
    kind: Literal["categorical"]
    levels: Levels

    @model_validator(mode="after")
    def _distinct(self) -> CategoricalFeature:
        if len({_text(level) for level in self.levels}) < len(self.levels):
            raise ValueError("levels must differ")
        return self


class _Term(Spec):
    """missing: what the term adds when a value is missing; without it a missing value is refused."""

    missing: Worth | None = None

    def of(self) -> tuple[str, ...]:
        raise NotImplementedError

    def worths(self) -> Iterator[Any]:
        """Every number or list of the term, to be checked for its length."""
        if self.missing is not None:
            yield self.missing


class LinearTerm(_Term):
    """coefficient * (x - mean) / scale."""

    kind: Literal["linear"]
    feature: Name
    coefficient: Worth
    mean: Number = 0.0
    scale: Number = 1.0

    def of(self) -> tuple[str, ...]:
        return (self.feature,)

    def worths(self) -> Iterator[Any]:
        yield from super().worths()
        yield self.coefficient

    @model_validator(mode="after")
    def _divides(self) -> LinearTerm:
        if abs(self.scale) < 1e-300:
            raise ValueError("scale must not be 0")
        return self


class LevelsTerm(_Term):
    """One value for each level of a categorical feature, in the order of its levels. unknown: of any other level;
    without it such a level is refused."""

    kind: Literal["levels"]
    feature: Name
    values: Annotated[tuple[Worth, ...], Field(min_length=1, max_length=10_000)]
    unknown: Worth | None = None

    def of(self) -> tuple[str, ...]:
        return (self.feature,)

    def worths(self) -> Iterator[Any]:
        yield from super().worths()
        yield from self.values
        if self.unknown is not None:
            yield self.unknown


class _Stepped(_Term):
    @model_validator(mode="after")
    def _rising(self) -> _Stepped:
        for axis in getattr(self, "axes", None) or (getattr(self, "edges", None), getattr(self, "x", None)):
            if axis is not None and any(a >= b for a, b in pairwise(axis)):
                raise ValueError("edges and points must rise")
        return self


class BinsTerm(_Stepped):
    """One value for each bin between rising edges, one more than edges. A bin holds its lower edge (`closed: left`,
    x < edge lies below it) or its upper one (`right`)."""

    kind: Literal["bins"]
    feature: Name
    edges: Edges
    values: Annotated[tuple[Worth, ...], Field(min_length=2, max_length=100_001)]
    closed: Literal["left", "right"] = "left"

    def of(self) -> tuple[str, ...]:
        return (self.feature,)

    def worths(self) -> Iterator[Any]:
        yield from super().worths()
        yield from self.values


class PointsTerm(_Stepped):
    """Straight lines between points (x, value), flat beyond the first and the last."""

    kind: Literal["points"]
    feature: Name
    x: Annotated[tuple[Number, ...], Field(min_length=2, max_length=100_000)]
    values: Annotated[tuple[Worth, ...], Field(min_length=2, max_length=100_000)]

    def of(self) -> tuple[str, ...]:
        return (self.feature,)

    def worths(self) -> Iterator[Any]:
        yield from super().worths()
        yield from self.values


class PairTerm(_Stepped):
    """A table of two features: one line for each bin or level of the first, in it one value for each of the second.

    axes: rising edges of a number, as in bins closed to the left, or null for the levels of a categorical feature.
    missing: what the term adds when either value is missing or unknown. border: the table has two more lines and
    columns instead, the first for a missing value and the last for an unknown level.
    """

    kind: Literal["pair"]
    features: tuple[Name, Name]
    axes: tuple[Edges | None, Edges | None]
    values: Annotated[tuple[tuple[Worth, ...], ...], Field(min_length=1, max_length=100_003)]
    border: bool = False

    def of(self) -> tuple[str, ...]:
        return self.features

    def worths(self) -> Iterator[Any]:
        yield from super().worths()
        for line in self.values:
            yield from line

    @model_validator(mode="after")
    def _two(self) -> PairTerm:
        if self.features[0] == self.features[1]:
            raise ValueError("a pair needs two features")
        if self.border and self.missing is not None:
            raise ValueError("give either 'missing' or 'border'")
        return self


Term = Annotated[LinearTerm | LevelsTerm | BinsTerm | PointsTerm | PairTerm, Field(discriminator="kind")]


class DeclaredModel(Spec):
    """features: columns in order. intercept: of every score. link: what the sums are: a value (identity), the logit of
    the second of two classes, or a logit for each class (softmax)."""

    schema_: Literal["xagent.model/1"] = Field(alias="schema")
    link: Literal["identity", "logit", "softmax"]
    features: tuple[Annotated[NumericFeature | CategoricalFeature, Field(discriminator="kind")], ...] = Field(
        min_length=1, max_length=10_000
    )
    intercept: Worth
    terms: tuple[Term, ...] = Field(max_length=100_000)

    @property
    def outputs(self) -> int:
        return len(self.intercept) if isinstance(self.intercept, tuple) else 1

    @property
    def places(self) -> dict[str, int]:
        return {feature.name: place for place, feature in enumerate(self.features)}

    @model_validator(mode="after")
    def _fits(self) -> DeclaredModel:
        known = {feature.name: feature for feature in self.features}
        if len(known) < len(self.features):
            raise ValueError("feature names must differ")
        if (self.link == "softmax") != (self.outputs > 1):
            raise ValueError("link 'softmax' needs an intercept for each of at least two classes, any other link one")
        cells = 0
        for number, term in enumerate(self.terms):
            for name in term.of():
                if name not in known:
                    raise ValueError(f"term {number + 1} names the unknown feature {name[:60]!r}")
            for worth in term.worths():
                if (len(worth) if isinstance(worth, tuple) else 1) != self.outputs:
                    raise ValueError(f"term {number + 1} has a value that is not one for each of {self.outputs} scores")
                cells += self.outputs
            if cells > MAX_CELLS:
                raise ValueError(f"more than {MAX_CELLS} values")
            if (wrong := _misfit(term, known)) is not None:
                raise ValueError(f"term {number + 1}: {wrong}")
        return self


def _misfit(term: Any, known: dict[str, Any]) -> str | None:
    kinds = [known[name].kind for name in term.of()]
    if term.kind == "pair":
        for name, kind, axis in zip(term.features, kinds, term.axes, strict=True):
            if (axis is None) != (kind == "categorical"):
                return f"axes of {name[:60]!r}: edges for a numeric feature, null for a categorical one"
        sizes = [
            len(known[name].levels) if axis is None else len(axis) + 1
            for name, axis in zip(term.features, term.axes, strict=True)
        ]
        sizes = [size + 2 * term.border for size in sizes]
        fits = len(term.values) == sizes[0] and all(len(line) == sizes[1] for line in term.values)
        return None if fits else f"values must be {sizes[0]} lines of {sizes[1]}"
    if (term.kind == "levels") != (kinds[0] == "categorical"):
        return f"a {term.kind} term does not go with a {kinds[0]} feature"
    wanted = {
        "levels": lambda: len(known[term.feature].levels),
        "bins": lambda: len(term.edges) + 1,
        "points": lambda: len(term.x),
    }.get(term.kind)
    if wanted is not None and len(term.values) != wanted():
        return f"{wanted()} values are needed, {len(term.values)} are given"
    return None


def read_declared(content: bytes) -> DeclaredModel:
    """Raises ValueError that names the entry at fault."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    try:
        data = json.loads(content.decode(), parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    try:
        return DeclaredModel.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top level"
        said = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {said}") from None


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, which is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key in it stands twice")
    return result


class Compiled:
    """One term as arrays: its columns, and its part in the scores for values of them.

    columns: places of its features. part(x) or part(x, y) gives (n, K) for values (n,); NaN is missing, a place below
    zero an unknown level. Numbers are computed as scikit-learn computes them: (x - mean) / scale first.
    """

    def __init__(self, term: Any, model: DeclaredModel) -> None:
        self.term, self.columns = term, tuple(model.places[name] for name in term.of())
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
