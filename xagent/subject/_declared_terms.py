"""What a declared model is made of: its features, and the terms that add to its scores.

A file may be hostile: each type here bounds what it holds, and `_declared` bounds the whole."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from xagent.case import LARGEST
from xagent.subject._features import Levels, Name, _text
from xagent.subject._spec import Spec


def _rising(axis: tuple[float, ...]) -> tuple[float, ...]:
    if any(a >= b for a, b in pairwise(axis)):
        raise ValueError("edges and points must rise")
    return axis


Number = Annotated[float, Field(gt=-LARGEST, lt=LARGEST)]
Worth = Number | Annotated[tuple[Number, ...], Field(min_length=1, max_length=10_000)]
"""One number, or one for each score."""
Edges = Annotated[tuple[Number, ...], Field(min_length=1, max_length=100_000), AfterValidator(_rising)]


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


Feature = Annotated[NumericFeature | CategoricalFeature, Field(discriminator="kind")]
Known = Mapping[str, NumericFeature | CategoricalFeature]
"""The features of a model by name."""


class _Term(Spec, ABC):
    """missing: what the term adds when a value is missing; without it a missing value is refused."""

    missing: Worth | None = None

    @property
    @abstractmethod
    def of(self) -> tuple[str, ...]:
        """Names of the features that the term reads."""

    @abstractmethod
    def misfit(self, known: Known) -> str | None:
        """What does not go with the features that the term reads, all of which are known."""

    def worths(self) -> Iterator[Worth]:
        """Every number or list of the term, to be checked for its length."""
        if self.missing is not None:
            yield self.missing


class _OneFeature(_Term):
    feature: Name

    @property
    def of(self) -> tuple[str, ...]:
        return (self.feature,)


class LinearTerm(_OneFeature):
    """coefficient * (x - mean) / scale."""

    kind: Literal["linear"]
    coefficient: Worth
    mean: Number = 0.0
    scale: Number = 1.0

    def worths(self) -> Iterator[Worth]:
        yield from super().worths()
        yield self.coefficient

    def misfit(self, known: Known) -> str | None:
        return _not_numeric(self.kind, known[self.feature])

    @model_validator(mode="after")
    def _divides(self) -> LinearTerm:
        if abs(self.scale) < 1e-300:
            raise ValueError("scale must not be 0")
        return self


class LevelsTerm(_OneFeature):
    """One value for each level of a categorical feature, in the order of its levels. unknown: of any other level;
    without it such a level is refused."""

    kind: Literal["levels"]
    values: Annotated[tuple[Worth, ...], Field(min_length=1, max_length=10_000)]
    unknown: Worth | None = None

    def worths(self) -> Iterator[Worth]:
        yield from super().worths()
        yield from self.values
        if self.unknown is not None:
            yield self.unknown

    def misfit(self, known: Known) -> str | None:
        feature = known[self.feature]
        if not isinstance(feature, CategoricalFeature):
            return _unlike(self.kind, feature)
        return _miscounted(self.values, len(feature.levels))


class BinsTerm(_OneFeature):
    """One value for each bin between rising edges, one more than edges. A bin holds its lower edge (`closed: left`,
    x < edge lies below it) or its upper one (`right`)."""

    kind: Literal["bins"]
    edges: Edges
    values: Annotated[tuple[Worth, ...], Field(min_length=2, max_length=100_001)]
    closed: Literal["left", "right"] = "left"

    def worths(self) -> Iterator[Worth]:
        yield from super().worths()
        yield from self.values

    def misfit(self, known: Known) -> str | None:
        return _not_numeric(self.kind, known[self.feature]) or _miscounted(self.values, len(self.edges) + 1)


class PointsTerm(_OneFeature):
    """Straight lines between points (x, value), flat beyond the first and the last."""

    kind: Literal["points"]
    x: Annotated[Edges, Field(min_length=2)]
    values: Annotated[tuple[Worth, ...], Field(min_length=2, max_length=100_000)]

    def worths(self) -> Iterator[Worth]:
        yield from super().worths()
        yield from self.values

    def misfit(self, known: Known) -> str | None:
        return _not_numeric(self.kind, known[self.feature]) or _miscounted(self.values, len(self.x))


class PairTerm(_Term):
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

    @property
    def of(self) -> tuple[str, ...]:
        return self.features

    def worths(self) -> Iterator[Worth]:
        yield from super().worths()
        for line in self.values:
            yield from line

    def misfit(self, known: Known) -> str | None:
        sizes = []
        for name, axis in zip(self.features, self.axes, strict=True):
            feature = known[name]
            if (axis is None) != isinstance(feature, CategoricalFeature):
                return f"axes of {name[:60]!r}: edges for a numeric feature, null for a categorical one"
            cells = len(feature.levels) if isinstance(feature, CategoricalFeature) else len(axis or ()) + 1
            sizes.append(cells + 2 * self.border)
        fits = len(self.values) == sizes[0] and all(len(line) == sizes[1] for line in self.values)
        return None if fits else f"values must be {sizes[0]} lines of {sizes[1]}"

    @model_validator(mode="after")
    def _two(self) -> PairTerm:
        if self.features[0] == self.features[1]:
            raise ValueError("a pair needs two features")
        if self.border and self.missing is not None:
            raise ValueError("give either 'missing' or 'border'")
        return self


Term = Annotated[LinearTerm | LevelsTerm | BinsTerm | PointsTerm | PairTerm, Field(discriminator="kind")]


def _not_numeric(kind: str, feature: NumericFeature | CategoricalFeature) -> str | None:
    return None if isinstance(feature, NumericFeature) else _unlike(kind, feature)


def _unlike(kind: str, feature: NumericFeature | CategoricalFeature) -> str:
    return f"a {kind} term does not go with a {feature.kind} feature"


def _miscounted(values: Sequence[object], wanted: int) -> str | None:
    return None if len(values) == wanted else f"{wanted} values are needed, {len(values)} are given"
