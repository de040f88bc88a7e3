"""The declarative encoder of rows: raw values to columns and back, by a JSON file (`xagent.encoder/1`) and no code."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, TypeAdapter, ValidationError, model_validator

from xagent.case import LARGEST
from xagent.errors import InvalidCase
from xagent.subject._features import (
    Feature,
    Level,
    Numeric,
    OneHot,
    Ordinal,
    encoded_level,
    encoded_number,
    listed,
)
from xagent.subject._image import ImageEncoder
from xagent.subject._spec import Spec
from xagent.subject._units import Player

if TYPE_CHECKING:
    import pandas as pd

MAX_BYTES = 16 * 1024**2
MAX_COLUMNS = 200_000


class TabularEncoder(Spec):
    """Rows to (n, width) arrays. Columns stand in feature order; a one-hot feature expands in level order."""

    schema_: Literal["xagent.encoder/1"] = Field(alias="schema")
    kind: Literal["tabular"]
    features: tuple[Feature, ...] = Field(min_length=1, max_length=10_000)

    @model_validator(mode="after")
    def _unique(self) -> TabularEncoder:
        if len({feature.name for feature in self.features}) < len(self.features):
            raise ValueError("feature names must differ")
        if self.width > MAX_COLUMNS:
            raise ValueError(f"more than {MAX_COLUMNS} columns")
        return self

    @property
    def width(self) -> int:
        return sum(feature.width for feature in self.features)

    def players(self) -> tuple[Player, ...]:
        result, start = [], 0
        for feature in self.features:
            result.append(Player(feature.name, feature.name, tuple(range(start, start + feature.width))))
            start += feature.width
        return tuple(result)

    def encode(self, values: Mapping[str, Any], field: str = "input.values") -> tuple[NDArray[np.float64], list[str]]:
        """One row as (1, width), and the features whose missing value was filled. Raises InvalidCase."""
        names = [feature.name for feature in self.features]
        if extra := sorted(set(values) - set(names)):
            raise InvalidCase(
                f"{field}.{extra[0]}: the model has no feature {extra[0]!r}.",
                f"Remove it; the features are {listed(names)}.",
            )
        row, filled = np.zeros((1, self.width)), []
        for feature, player in zip(self.features, self.players(), strict=True):
            if feature.name not in values:
                raise InvalidCase(
                    f"{field}: the feature {feature.name!r} is missing.", "Add it; null says that its value is unknown."
                )
            value, where = values[feature.name], f"{field}.{feature.name}"
            if value is None:
                filled.append(feature.name)
            row[:, list(player.index)] = _columns(feature, [value], np.zeros(1, dtype=np.intp), where, rows=False)
        return row, filled

    def encode_table(self, frame: pd.DataFrame, field: str = "reference") -> NDArray[np.float64]:
        """Many rows, (n, width). Columns of the table that are no features are ignored. Raises InvalidCase."""
        import pandas as pd

        if len(frame) == 0:
            raise InvalidCase(f"{field}: the table has no rows.", "Give at least one row below the header.")
        result = np.zeros((len(frame), self.width))
        for feature, player in zip(self.features, self.players(), strict=True):
            if feature.name not in frame.columns:
                raise InvalidCase(
                    f"{field}: the table has no column {feature.name!r}.",
                    f"Its columns must include {listed([f.name for f in self.features])}.",
                )
            if list(frame.columns).count(feature.name) > 1:
                raise InvalidCase(f"{field}: the column {feature.name!r} stands twice.", "Keep one of them.")
            column, where = frame[feature.name], f"{field}.{feature.name}"
            fast = _fast_numbers(feature, column) if isinstance(feature, Numeric) else None
            if fast is not None:
                result[:, player.index[0]] = fast
                continue
            codes, distinct = pd.factorize(column)  # missing values get code -1, whatever the column's dtype
            values = [*(v.item() if isinstance(v, np.generic) else v for v in distinct), None]
            codes = np.where(codes < 0, len(values) - 1, codes)
            if not (codes == len(values) - 1).any():
                values.pop()
            result[:, list(player.index)] = _columns(feature, values, codes, where, rows=True)
        return result

    def decode(self, row: NDArray[np.float64]) -> dict[str, float | Level | None]:
        """Raw values of one encoded row (width,). A one-hot of zeros is None; a clipped number comes back clipped."""
        result: dict[str, float | Level | None] = {}
        for feature, player in zip(self.features, self.players(), strict=True):
            part = row[list(player.index)]
            if isinstance(feature, Numeric):
                result[feature.name] = float(part[0]) * feature.scale + feature.mean
            elif isinstance(feature, OneHot):
                result[feature.name] = feature.levels[int(part.argmax())] if part.max() > 0 else None
            else:
                place = round(float(part[0]) * feature.scale + feature.mean)
                result[feature.name] = feature.levels[min(max(place, 0), len(feature.levels) - 1)]
        return result


def load_encoder(path: Path, field: str = "model.encoder") -> TabularEncoder | ImageEncoder:
    """The encoder in a JSON file. Raises InvalidCase that names the key at fault."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidCase(f"{field}: {path.name} is larger than {MAX_BYTES // 2**20} MiB.", "Shorten it.")
        data = json.loads(path.read_text(encoding="utf-8"))
        return _ENCODER.validate_python(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top level"
        said = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise InvalidCase(f"{field}: {path.name}: {place}: {said}.", "Correct that entry.") from None
    except (ValueError, RecursionError) as error:
        raise InvalidCase(f"{field}: {path.name} is not valid JSON ({error}).", "Mend the file.") from error
    except OSError as error:
        raise InvalidCase(f"{field}: {path.name} cannot be read ({error.strerror}).", "Check the path.") from error


_ENCODER: TypeAdapter[TabularEncoder | ImageEncoder] = TypeAdapter(
    Annotated[TabularEncoder | ImageEncoder, Field(discriminator="kind")]
)


def _columns(
    feature: Numeric | OneHot | Ordinal, values: list[Any], codes: NDArray[np.intp], where: str, *, rows: bool
) -> NDArray[np.float64]:
    """Columns (n, width) of one feature: each distinct value is encoded once, then spread by `codes` (n,)."""
    encoded = np.zeros((len(values), feature.width))
    for place, value in enumerate(values):
        if rows and isinstance(feature, Numeric) and isinstance(value, str):
            value = _read_number(value)  # noqa: PLW2901 - one bad cell makes pandas read the whole column as text
        try:
            encoded[place] = (
                encoded_number(feature, value) if isinstance(feature, Numeric) else encoded_level(feature, value)
            )
        except ValueError as error:
            row = f" in row {int(np.argmax(codes == place)) + 1}" if rows else ""
            raise InvalidCase(f"{where}: {error.args[0]}{row}.", error.args[1]) from None
    spread: NDArray[np.float64] = encoded[codes]
    return spread


def _fast_numbers(feature: Numeric, column: pd.Series[Any]) -> NDArray[np.float64] | None:
    """The column (n,) encoded in one go, or None when each value must be judged by itself."""
    if column.dtype.kind not in "biuf":
        return None
    raw = column.to_numpy(dtype=np.float64, na_value=np.nan)
    gaps = np.isnan(raw)
    if gaps.any():
        if feature.missing is None:
            return None
        raw = np.where(gaps, feature.missing.fill, raw)
    with np.errstate(over="ignore", invalid="ignore"):
        encoded: NDArray[np.float64] = (raw - feature.mean) / feature.scale
    if not (np.abs(encoded) < LARGEST).all():
        return None
    return encoded if feature.clip is None else np.clip(encoded, *feature.clip)


def _read_number(text: str) -> float | str:
    try:
        return float(text)
    except ValueError:
        return text
