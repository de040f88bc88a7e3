"""One feature of many cases: numbers with NaN for what is missing, or levels with None."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
from numpy.typing import NDArray

from xagent.case import LARGEST, FeatureCard
from xagent.errors import InvalidCase

if TYPE_CHECKING:
    import pandas as pd

ColumnKind = Literal["numeric", "date", "categorical"]


@dataclass(frozen=True)
class Shape:
    """How a feature is read everywhere: as the reference has it. truth: levels 0/1 and true/false mean the same."""

    kind: ColumnKind
    truth: bool = False
    levels: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Column:
    """values: (n,) float64 with NaN (numeric; dates in days since 1970), or (n,) object of str or None.

    unreadable: positions whose value could not be read as a number and counts as missing.
    """

    name: str
    kind: ColumnKind
    values: NDArray[Any]
    unreadable: frozenset[int] = field(default_factory=frozenset)

    @property
    def numeric(self) -> bool:
        return self.kind != "categorical"

    @cached_property
    def missing(self) -> NDArray[np.bool_]:
        """(n,) whether a value is missing."""
        if self.numeric:
            return np.asarray(np.isnan(self.values.astype(np.float64)), dtype=np.bool_)
        return np.asarray(self.codes < 0, dtype=np.bool_)

    @cached_property
    def present(self) -> NDArray[Any]:
        return self.values[~self.missing]

    @cached_property
    def ordered(self) -> NDArray[np.float64]:
        """The present numbers in rising order."""
        return np.sort(self.present.astype(np.float64))

    @cached_property
    def _coded(self) -> tuple[NDArray[np.int64], tuple[str, ...]]:
        import pandas as pd

        codes, names = pd.factorize(self.values)
        return np.asarray(codes, dtype=np.int64), tuple(names.tolist())

    @property
    def codes(self) -> NDArray[np.int64]:
        """(n,) places of the levels in `names`, -1 for a missing one."""
        return self._coded[0]

    @property
    def names(self) -> tuple[str, ...]:
        """The levels, in the order in which they first stand."""
        return self._coded[1]

    @cached_property
    def counts(self) -> dict[str, int]:
        """How many values each level has."""
        found = np.bincount(self.codes[self.codes >= 0], minlength=len(self.names)).tolist()
        return {name: count for name, count in zip(self.names, found, strict=True) if count}

    def take(self, index: NDArray[np.int64]) -> Column:
        return Column(self.name, self.kind, self.values[index])


def shape_of(reference: pd.Series[Any], value: Any, card: FeatureCard | None) -> Shape:
    """The kind that the system card states, else the one that the reference's values have.

    Both `str` and `object` columns hold levels, unless every value in them is a number.
    """
    kind = _kind(reference, value, card)
    if kind != "categorical":
        return Shape(kind)
    levels = frozenset(text for v in reference.unique() if (text := level_of(v)) is not None)
    return Shape(kind, truth=bool(levels) and levels <= {"0", "1", "true", "false"}, levels=levels)


def column_of(name: str, values: Sequence[Any] | pd.Series[Any], shape: Shape, strict: str | None) -> Column:
    """Values read in a given shape. strict: the place, with `{!r}` for the name, when an unreadable value is an error
    of the file; otherwise it counts as missing. Infinities are unreadable."""
    if shape.kind == "categorical":
        array = np.empty(len(values), dtype=object)
        array[:] = _levels(values, shape)
        return Column(name, shape.kind, array)
    numbers, unreadable = _days(values) if shape.kind == "date" else _numbers(values)
    if strict is not None and unreadable:
        wanted = "date" if shape.kind == "date" else "number"
        raise InvalidCase(
            f"{strict.format(name)} holds something that is not a {wanted} (row {min(unreadable) + 1}).",
            f"Correct the value (numbers go up to {LARGEST:g}), or state the feature's kind in the system card.",
        )
    return Column(name, shape.kind, numbers, unreadable)


def _kind(reference: pd.Series[Any], value: Any, card: FeatureCard | None) -> ColumnKind:
    from pandas.api import types

    if card is not None and "kind" in card.model_fields_set:
        stated: dict[str, ColumnKind] = {"numeric": "numeric", "integer": "numeric", "date": "date"}
        return stated.get(card.kind, "categorical")
    if types.is_datetime64_any_dtype(reference):
        return "date"
    present = reference.dropna()
    if len(present) == 0:
        return "numeric" if _is_number(value) else "categorical"
    if types.is_bool_dtype(reference) or isinstance(value, str):
        return "categorical"
    if types.is_numeric_dtype(reference) or all(_is_number(v) for v in present):
        return "numeric"
    return "categorical"


def _is_number(value: Any) -> bool:
    from decimal import Decimal

    return isinstance(value, int | float | Decimal | np.number) and not isinstance(value, bool)


def _is_missing(value: Any) -> bool:
    import pandas as pd

    return value is None or value is pd.NA or value is pd.NaT or (isinstance(value, float) and math.isnan(value))


def level_of(value: Any) -> str | None:
    """A level as text: whole numbers without a point, truth values in lower case; None for a missing one."""
    if _is_missing(value):
        return None
    if isinstance(value, bool | np.bool_):
        return "true" if value else "false"
    if _is_number(value) and math.isfinite(value) and value == int(value):
        return str(int(value))
    text = str(value)
    return text.lower() if text.lower() in {"true", "false"} else text


def _matched(level: str | None, shape: Shape) -> str | None:
    """The reference's spelling of a level: 1 for true, or 1234 for a code 01234 that a table was read without."""
    if level is None:
        return None
    if shape.truth:
        return {"1": "true", "0": "false"}.get(level, level)
    if level not in shape.levels and level.strip().isdigit() and level.strip().lstrip("0") in shape.levels:
        return level.strip().lstrip("0")
    return level


def _levels(values: Sequence[Any] | pd.Series[Any], shape: Shape) -> Any:
    """(n,) levels; each different value is looked at once."""
    import pandas as pd

    if not isinstance(values, pd.Series) or (
        values.dtype == object and pd.api.types.infer_dtype(values, skipna=True) != "string"
    ):  # 1, 1.0 and True are one value to a hash table
        return [_matched(level_of(v), shape) for v in values]
    codes, found = pd.factorize(values)
    names = np.empty(len(found) + 1, dtype=object)  # a code of -1, a missing value, takes the last
    names[:-1] = [_matched(level_of(v), shape) for v in found]
    return names[codes]


def _numbers(values: Sequence[Any] | pd.Series[Any]) -> tuple[NDArray[np.float64], frozenset[int]]:
    import pandas as pd

    series = pd.Series(values, dtype=object) if not isinstance(values, pd.Series) else values
    numbers = pd.to_numeric(series, errors="coerce").to_numpy(dtype=np.float64, na_value=np.nan).copy()
    return _checked(numbers, series)


def _days(values: Sequence[Any] | pd.Series[Any]) -> tuple[NDArray[np.float64], frozenset[int]]:
    import pandas as pd

    series = pd.Series(values, dtype=object) if not isinstance(values, pd.Series) else values
    if series.dtype.kind not in "M":  # a number is a date only where it is written like one: 20260914
        series = series.map(lambda v: str(v) if _is_number(v) else v, na_action="ignore")
    times = pd.to_datetime(series, errors="coerce", utc=True, format="ISO8601")
    seconds = (times - pd.Timestamp(0, tz="UTC")).dt.total_seconds()
    return _checked(seconds.to_numpy(dtype=np.float64, na_value=np.nan) / 86_400, series)


def _checked(numbers: NDArray[np.float64], series: pd.Series[Any]) -> tuple[NDArray[np.float64], frozenset[int]]:
    """NaN for everything that is not a number of usable size, and where something stood that was not read."""
    usable = np.abs(numbers) <= LARGEST
    lost = ~usable & ~series.isna().to_numpy()
    numbers = np.where(usable, numbers, np.nan)
    return numbers, frozenset(int(i) for i in np.flatnonzero(lost))
