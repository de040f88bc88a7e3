"""Case and system card for objects in memory: a model, one input, and the rows it is compared with."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xagent.bring._table import checked_names, feature_cards, row_values, scalar
from xagent.case import (
    Case,
    GenerationInput,
    OutputSpec,
    RecordedPrediction,
    SystemCard,
    load_card,
    load_case,
    sha256_of,
)
from xagent.errors import InvalidCase, UsageFault

if TYPE_CHECKING:
    import pandas as pd


def live_case(
    x: Any,
    reference: pd.DataFrame | Sequence[str] | Any | None,
    prediction: RecordedPrediction | Mapping[str, Any],
    *,
    folder: Path,
    output: OutputSpec | Mapping[str, Any],
    name: str = "model",
    version: str = "live",
    feature_names: Sequence[str] | None = None,
    card: SystemCard | Mapping[str, Any] | None = None,
    case_id: str = "live",
    subject: str = "this-input",
    reference_name: str = "the reference rows",
) -> tuple[Case, SystemCard]:
    """The case and the card of a model that exists only in memory (`model.format` is `live`).

    x: a row (dictionary, Series, one-row DataFrame, or array (d,) or (1, d) in the order of the columns), a text,
    `{"pixels": array (h, w) or (h, w, c)}`, or a `GenerationInput`. reference: DataFrame of rows, texts, or images
    (n, h, w[, c]) for such an x; None when there is none. prediction: what the model answered, see
    `record_prediction`. output: what its numbers mean. feature_names: which columns the model takes, and in which
    order; by default those of x, in the order of the reference. card: what is known of the system; features that it
    does not describe get what the reference tells.

    Tools read populations from files, so `case.json`, `system.json` and the reference are written into `folder`, which
    the caller makes and removes. Raises InvalidCase, naming the column or field.
    """
    folder = Path(folder)
    cards: dict[str, Any] = {}
    if isinstance(x, str):
        value: dict[str, Any] = {"kind": "text", "text": x}
        path = None if reference is None else _texts_file(reference, folder)
    elif isinstance(x, GenerationInput):
        value = _plain(x)
        path = None if reference is None else _texts_file(reference, folder)
    elif isinstance(x, Mapping) and set(x) == {"pixels"}:
        value = {"kind": "image", "pixels": _nested(x["pixels"])}
        path = None if reference is None else _pixels_file(reference, folder)
    else:
        frame = None if reference is None else _frame(reference, feature_names)
        values = _row(x, frame, feature_names)
        value = {"kind": "tabular", "values": values}
        path = None if frame is None else _table_file(frame, list(values), folder)
        if frame is not None:
            cards = feature_cards(frame, list(values))
    data: dict[str, Any] = {
        "schema": "xagent.case/1",
        "id": case_id,
        "subject": subject,
        "system_card": "system.json",
        "model": {"format": "live", "name": name, "version": version, "output": _plain(output)},
        "input": value,
        "prediction": _plain(prediction),
    }
    if path is not None:
        data["reference"] = {"path": path.name, "sha256": sha256_of(path), "name": reference_name}
    _write(folder / "system.json", _card(card, name, data["model"]["output"], cards))
    _write(folder / "case.json", data)
    case = load_case(folder / "case.json")
    return case, load_card(case)


def with_answer(case: Case, output: OutputSpec, prediction: RecordedPrediction) -> tuple[Case, SystemCard]:
    """A live case with what its model really answers, and the card with an outcome for each class; files as well."""
    files = [case.folder / name for name in ("case.json", "system.json")]
    data, card = (json.loads(path.read_text(encoding="utf-8")) for path in files)
    data["model"]["output"], data["prediction"] = _plain(output), _plain(prediction)
    card["outcomes"] = {label: {"label": label} for label in output.classes} | card["outcomes"]
    _write(files[0], data)
    _write(files[1], card)
    case = load_case(files[0])
    return case, load_card(case)


def _card(card: SystemCard | Mapping[str, Any] | None, name: str, output: Any, features: dict[str, Any]) -> Any:
    known = {} if card is None else _plain(card)
    outcomes = {label: {"label": label} for label in output.get("classes") or ()}
    return {
        **{"schema": "xagent.system/1", "name": name},
        **known,
        "outcomes": outcomes | dict(known.get("outcomes") or {}),
        "features": features | dict(known.get("features") or {}),
    }


def _row(x: Any, frame: pd.DataFrame | None, names: Sequence[str] | None) -> dict[str, Any]:
    import numpy as np
    import pandas as pd

    if isinstance(x, pd.DataFrame):
        table = checked_names(x, "x")
        if len(table) != 1:
            raise InvalidCase(f"x: the table holds {len(table)} rows.", "Give one row.")
        found = row_values(table, 0, list(table.columns), "x")
    elif isinstance(x, Mapping | pd.Series):
        items = list(x.items())
        found = {str(key): scalar(value, f"x, {str(key)!r}") for key, value in items}
        if len(found) != len(items):
            raise InvalidCase("x: two values have the same name.", "Name each feature once.")
    else:
        array = np.asarray(x.detach().cpu() if hasattr(x, "detach") else x)
        if array.ndim == 2 and len(array) == 1:
            array = array[0]
        columns = list(names or ([] if frame is None else frame.columns)) or [
            f"feature {i + 1}" for i in range(array.size)
        ]
        if array.ndim != 1 or len(array) != len(columns):
            raise InvalidCase(
                f"x: an array of shape {array.shape} does not fit {len(columns)} features.",
                "Give one row, with feature_names in its order.",
            )
        found = {key: scalar(value, f"x, {key!r}") for key, value in zip(columns, array.tolist(), strict=True)}
    wanted = list(names) if names is not None else list(found)
    if names is None and frame is not None and set(found) <= set(frame.columns):
        wanted = [column for column in frame.columns if column in found]
    for key in wanted:
        if key not in found:
            raise InvalidCase(f"x: the value of {key!r} is missing.", "Add it; None says that its value is unknown.")
        if frame is not None and key not in frame.columns:
            raise InvalidCase(f"reference: there is no column {key!r}.", "Name the columns as in x.")
    return {key: found[key] for key in wanted}


def _frame(reference: Any, names: Sequence[str] | None) -> pd.DataFrame:
    import numpy as np
    import pandas as pd

    if isinstance(reference, pd.DataFrame):
        return checked_names(reference, "reference")
    array = np.asarray(reference.detach().cpu() if hasattr(reference, "detach") else reference)
    if array.ndim != 2:
        raise InvalidCase(f"reference: an array of shape {array.shape} is no table.", "Give a DataFrame, or (n, d).")
    columns = list(names) if names is not None else [f"feature {i + 1}" for i in range(array.shape[1])]
    if len(columns) != array.shape[1]:
        raise InvalidCase(f"reference: {array.shape[1]} columns, but {len(columns)} names.", "Name each column.")
    return checked_names(pd.DataFrame(array, columns=columns), "reference")


def _table_file(frame: pd.DataFrame, names: Sequence[str], folder: Path) -> Path:
    """The columns of the features as CSV; what a CSV would not give back as it was is refused."""
    from pandas.api.types import is_numeric_dtype

    from xagent.case import read_table

    path = folder / "reference.csv"
    table = frame[list(names)]
    try:
        table.to_csv(path, index=False, lineterminator="\n", encoding="utf-8")
    except UnicodeEncodeError as error:
        raise InvalidCase(f"reference: a text is no Unicode ({error.reason}).", "Mend that column.") from None
    back = read_table(path, "reference")
    for name in names:
        before, after = table[name], back[name]
        if is_numeric_dtype(before) != is_numeric_dtype(after) and before.notna().any():
            raise InvalidCase(
                f"reference: the texts in column {name!r} read as numbers.",
                "Make the column numeric, or put a letter into its levels.",
            )
        if int(before.isna().sum()) != int(after.isna().sum()):
            raise InvalidCase(
                f"reference: a text in column {name!r} reads as a missing value (such as 'NaN').",
                "Rename that level.",
            )
    return path


def _texts_file(reference: Any, folder: Path) -> Path:
    path = folder / "reference.jsonl"
    texts = [str(text) for text in reference]
    lines = (json.dumps({"text": text}) for text in texts if text.strip())
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")
    return path


def _pixels_file(reference: Any, folder: Path) -> Path:
    import numpy as np

    path = folder / "reference.npz"
    array = np.asarray(reference.detach().cpu() if hasattr(reference, "detach") else reference, dtype=float)
    np.savez(path, pixels=array)
    return path


def _nested(pixels: Any) -> Any:
    import numpy as np

    return np.asarray(pixels.detach().cpu() if hasattr(pixels, "detach") else pixels, dtype=float).tolist()


def _plain(data: Any) -> Any:
    if hasattr(data, "model_dump"):
        return data.model_dump(mode="json", by_alias=True, exclude_none=True)
    if not isinstance(data, Mapping):
        raise UsageFault(f"card: a {type(data).__name__} is no system card.", "Give a SystemCard or a mapping.")
    return dict(data)


def _write(path: Path, data: Any) -> None:
    try:
        text = json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False, default=_json_of)
        path.write_text(text + "\n", encoding="utf-8")
    except (TypeError, ValueError) as error:
        raise InvalidCase(f"{path.name} cannot be written ({error}).", "Give plain numbers and texts.") from None


def _json_of(value: Any) -> Any:
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", by_alias=True)
    if hasattr(value, "isoformat"):
        return value.isoformat()
    raise TypeError(f"a {type(value).__name__} has no place in a case")
