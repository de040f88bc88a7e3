"""What a table tells about its columns: kind, levels, range, unit, a readable label. An author may overwrite it."""

from __future__ import annotations

import math
import re
import unicodedata
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from xagent.errors import InvalidCase

if TYPE_CHECKING:
    import pandas as pd

MAX_NAME = 500
MAX_LEVELS = 50
"""A text column with more levels than this gets none written down."""

_UNITS = {
    "eur": "EUR", "usd": "USD", "gbp": "GBP", "chf": "CHF", "inr": "INR", "jpy": "JPY", "sgd": "SGD",
    "pct": "%", "percent": "%", "mm": "mm", "cm": "cm", "km": "km", "kg": "kg", "mg": "mg", "ml": "ml", "mmhg": "mmHg",
    "years": "years", "yrs": "years", "months": "months", "weeks": "weeks", "days": "days", "hours": "hours",
    "minutes": "minutes", "seconds": "seconds", "ms": "ms", "celsius": "°C", "kmh": "km/h", "bpm": "bpm",
}  # fmt: skip
"""Endings of a column name that can only be a unit; single letters and words like `count` are left alone."""
_BRACKETED = re.compile(r"^(?P<name>.*\S)\s*[(\[](?P<unit>[^()\[\]0-9]{1,12})[)\]]$", re.S)
_SUFFIXED = re.compile(r"^(?P<name>.*[^\W_])[_\s.-]+(?P<unit>[A-Za-z]+)$", re.S)
_LOOKS_LIKE_UNIT = re.compile(
    r"[%°€$£]|^[A-Za-zµ]{1,6}/[A-Za-zµ0-9²³]{1,6}$|^(mm|cm|m|km|g|kg|mg|s|ms|h|l|ml|dl)[²³]?$"
)
_EMPTY_STEMS = {"n", "no", "num", "nr", "number", "count", "in", "per", "of", "total", "max", "min", "avg", "mean"}


def checked_names(frame: pd.DataFrame, field: str) -> pd.DataFrame:
    """The table with its column names as text. Raises InvalidCase when a name is empty, too long or there twice."""
    names = [str(name) for name in frame.columns]
    for position, name in enumerate(names):
        kinds = {unicodedata.category(char) for char in name}
        visible = any(kind[0] in "LNPS" for kind in kinds)
        if not visible or kinds & {"Cc", "Cs"} or len(name) > MAX_NAME:
            raise InvalidCase(
                f"{field}: column {position + 1} has no usable name.",
                f"Give it one of at most {MAX_NAME} characters, without line breaks.",
            )
    twice = [name for name, times in Counter(names).items() if times > 1]
    if twice:
        raise InvalidCase(f"{field}: the column {twice[0]!r} is there twice.", "Rename one of them.")
    if not names or not len(frame):
        raise InvalidCase(f"{field}: the table is empty.", "Give at least one row and one column.")
    result = frame.copy(deep=False)
    result.columns = names
    return result


def is_numeric(column: pd.Series[Any]) -> bool:
    """Whether a column can go into a model as it is: numbers or booleans."""
    from pandas.api.types import is_bool_dtype, is_complex_dtype, is_numeric_dtype

    return (is_numeric_dtype(column) or is_bool_dtype(column)) and not is_complex_dtype(column)


def feature_cards(
    frame: pd.DataFrame, names: Sequence[str], encoders: Mapping[str, Mapping[str, Any]] | None = None
) -> dict[str, dict[str, Any]]:
    """Entries of `features` of a system card, by column. encoders: what an encoder file says about a feature."""
    split = {name: split_unit(name) for name in names}
    labels = Counter(label for label, _ in split.values())
    cards: dict[str, dict[str, Any]] = {}
    for name in names:
        label, unit = split[name]
        # two columns that differ in their unit alone keep their whole names: a reader must tell them apart
        card: dict[str, Any] = {"label": label if labels[label] == 1 else name}
        if unit:
            card["unit"] = unit
        cards[name] = card | _observed(frame[name], (encoders or {}).get(name, {}))
    return cards


def split_unit(name: str) -> tuple[str, str | None]:
    """`annual_income_eur` -> (`annual income`, `EUR`); a name without a clear unit keeps all its words."""
    found = _BRACKETED.match(name)
    if found:
        raw = found["unit"].strip()
        unit = _UNITS.get(raw.lower(), raw if _LOOKS_LIKE_UNIT.search(raw) else None)
    else:
        found = _SUFFIXED.match(name)
        unit = _UNITS.get(found["unit"].lower()) if found else None
    if found and unit and _words(found["name"]).lower() not in _EMPTY_STEMS:
        return _words(found["name"]), unit
    return _words(name), None


def scalar(value: Any, field: str) -> bool | int | float | str | None:
    """A cell as plain JSON: missing values are None, dates ISO 8601 text. Raises InvalidCase for what is no scalar."""
    import numpy as np
    import pandas as pd

    if value is None or value is pd.NaT or value is pd.NA:
        return None
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, bool | int | str):
        return value
    if isinstance(value, float):
        if math.isnan(value):
            return None
        if math.isinf(value):
            raise InvalidCase(f"{field}: the value is infinite.", "Give a number, or null for a missing value.")
        return value
    if hasattr(value, "isoformat"):
        return str(value.isoformat())
    raise InvalidCase(f"{field}: a {type(value).__name__} is no value of a table.", "Give a number, a text or null.")


def row_values(frame: pd.DataFrame, row: int, names: Sequence[str], field: str) -> dict[str, Any]:
    """One row by position, counted from 0, as raw values. Raises InvalidCase when there is no such row."""
    if not 0 <= row < len(frame):
        raise InvalidCase(f"{field}: there is no row {row}.", f"Rows are counted from 0 to {len(frame) - 1}.")
    return {name: scalar(frame[name].iloc[row], f"{field}, column {name!r}") for name in names}


def _observed(column: pd.Series[Any], encoder: Mapping[str, Any]) -> dict[str, Any]:
    import numpy as np

    if encoder.get("kind") in ("onehot", "ordinal"):
        kind = "ordinal" if encoder["kind"] == "ordinal" else "categorical"
        return {"kind": kind, "levels": _levels(encoder.get("levels", ()))}
    present = column.dropna()
    if not is_numeric(column):
        found = sorted({str(value) for value in present.unique()})
        return {"kind": "categorical"} | ({"levels": _levels(found)} if 0 < len(found) <= MAX_LEVELS else {})
    numbers = np.asarray(present, dtype=float)
    numbers = numbers[np.isfinite(numbers)]
    if column.dtype == bool or (len(numbers) and set(np.unique(numbers)) <= {0.0, 1.0}):
        return {"kind": "boolean", "levels": {"0": "no", "1": "yes"}}
    if not len(numbers):
        return {"kind": "numeric"}
    whole = bool(np.all(numbers == np.round(numbers)))
    return {
        "kind": "integer" if whole else "numeric",
        "decimals": 0 if whole else _decimals(numbers),
        "minimum": float(numbers.min()),
        "maximum": float(numbers.max()),
    }


def _levels(levels: Any) -> dict[str, str]:
    """Words for levels: their own until somebody writes better ones. Booleans are keyed as JSON prints them."""
    names = [str(level).lower() if isinstance(level, bool) else str(level) for level in levels]
    return {name: name for name in names if name.strip() and len(name) <= MAX_NAME}


def _decimals(numbers: Any) -> int:
    """Enough decimals for three digits of a typical value, at most six."""
    import numpy as np

    typical = float(np.median(np.abs(numbers[numbers != 0]))) if np.any(numbers != 0) else 0.0
    return 2 if typical == 0 else min(6, max(0, 2 - math.floor(math.log10(typical))))


def _words(name: str) -> str:
    return " ".join(re.sub(r"[_\s]+", " ", name).split()) or name
