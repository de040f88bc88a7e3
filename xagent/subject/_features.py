"""One feature of a row: what an encoder file says about it, and one raw value turned into its columns."""

from __future__ import annotations

import math
from typing import Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator

from xagent.case import LARGEST
from xagent.subject._spec import Spec

Level = bool | int | str
Name = Annotated[str, Field(min_length=1, max_length=500)]
Levels = Annotated[tuple[Level, ...], Field(min_length=1, max_length=10_000)]


class Fill(Spec):
    """The number that stands in for a missing value, in raw units."""

    fill: float


class FillLevel(Spec):
    """The level that stands in for a missing value."""

    level: Level


class Numeric(Spec):
    """One column: (x - mean) / scale, then clipped to `clip`. Booleans count as 0 and 1."""

    name: Name
    kind: Literal["numeric"]
    mean: float = 0.0
    scale: float = Field(default=1.0, gt=0)
    clip: tuple[float, float] | None = None
    missing: Fill | None = None

    @property
    def width(self) -> int:
        return 1

    @model_validator(mode="after")
    def _ordered(self) -> Numeric:
        if self.clip is not None and self.clip[0] >= self.clip[1]:
            raise ValueError("clip must be [low, high]")
        return self


class _Leveled(Spec):
    """What one-hot and ordinal features share: levels in order, compared as text."""

    name: Name
    levels: Levels
    missing: FillLevel | None = None

    @model_validator(mode="after")
    def _distinct(self) -> _Leveled:
        if len(self.places) < len(self.levels):
            raise ValueError("levels must differ")
        if self.missing is not None and _text(self.missing.level) not in self.places:
            raise ValueError("missing.level is not one of the levels")
        return self

    @property
    def places(self) -> dict[str, int]:
        return {_text(level): place for place, level in enumerate(self.levels)}


class OneHot(_Leveled):
    """One column a level, 1 where the value is that level. `unknown: zeros` gives an unknown level no column at all."""

    kind: Literal["onehot"]
    unknown: Literal["error", "zeros"] = "error"

    @property
    def width(self) -> int:
        return len(self.levels)


class Ordinal(_Leveled):
    """One column: the level's place (0-based), standardised: (place - mean) / scale."""

    kind: Literal["ordinal"]
    mean: float = 0.0
    scale: float = Field(default=1.0, gt=0)

    @property
    def width(self) -> int:
        return 1


Feature = Annotated[Numeric | OneHot | Ordinal, Field(discriminator="kind")]


def encoded_number(feature: Numeric, value: Any) -> float:
    if value is None:
        if feature.missing is None:
            raise ValueError(
                "the value is missing", "Give a number, or let the encoder say what to fill in (`missing`)"
            )
        value = feature.missing.fill
    if not isinstance(value, (bool, int, float)):
        raise ValueError(f"{str(value)[:60]!r} is not a number", "Give a number without unit or separators.")
    try:
        encoded = (float(value) - feature.mean) / feature.scale
    except OverflowError:
        encoded = math.inf
    if math.isfinite(float(encoded)) and abs(encoded) < LARGEST:
        return min(max(encoded, feature.clip[0]), feature.clip[1]) if feature.clip else encoded
    raise ValueError(f"{str(value)[:60]} is not a finite number of usable size", "Give the real value.")


def encoded_level(feature: OneHot | Ordinal, value: Any) -> NDArray[np.float64] | float:
    places = feature.places
    if value is None:
        if feature.missing is None:
            raise ValueError(
                "the value is missing", "Give a level, or let the encoder say what to fill in (`missing`)."
            )
        value = feature.missing.level
    place = next((places[text] for text in _spellings(value) if text in places), None)
    if place is None and not (isinstance(feature, OneHot) and feature.unknown == "zeros"):
        raise ValueError(f"{str(value)[:60]!r} is not a level of this feature", f"Use one of {listed(list(places))}.")
    if isinstance(feature, Ordinal):
        return (float(place or 0) - feature.mean) / feature.scale
    row = np.zeros(feature.width)
    if place is not None:
        row[place] = 1.0
    return row


def _text(level: Level) -> str:
    return str(level).lower() if isinstance(level, bool) else str(level)


def _spellings(value: Any) -> list[str]:
    """How a value may be written among the levels: a table reads 1 as 1.0 and true as True."""
    if isinstance(value, bool):
        return [str(value).lower(), str(value), str(int(value))]
    if isinstance(value, float) and value.is_integer():
        return [str(int(value)), str(value)]
    if isinstance(value, str):
        return [value, value.lower()] if value in ("True", "False") else [value]
    return [str(value)]


def listed(names: list[str]) -> str:
    shown = ", ".join(repr(name) for name in names[:12])
    return shown + (f" and {len(names) - 12} more" if len(names) > 12 else "")
