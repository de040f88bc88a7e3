"""The input to be explained: a row of the reference or a file, and what the model needs to take it."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xagent.bring._model import Shape, identity_features, identity_pixels
from xagent.bring._table import checked_names, feature_cards, is_numeric, row_values
from xagent.case import read_table
from xagent.errors import InvalidCase, UsageFault

if TYPE_CHECKING:
    import pandas as pd

    from xagent.bring._case import Draft

Json = dict[str, Any]
MAX_INPUT_BYTES = 32 * 1024 * 1024
_MEND_ENCODER = (
    "Put encoder.json beside the model (or name it with --encoder), or name the columns that go in with --features."
)


def read_input(path: Path) -> Any:
    """The content of an input file: a JSON value, the single row of a CSV as a dictionary, or a text."""
    if path.stat().st_size > MAX_INPUT_BYTES:
        raise UsageFault(f"--input: {path.name} is too large for one input.", "Give a single row, text or image.")
    if path.suffix in (".csv", ".parquet"):
        table = checked_names(read_table(path, "--input"), "--input")
        if len(table) != 1:
            raise UsageFault(f"--input: {path.name} holds {len(table)} rows.", "Give a table of one row.")
        return row_values(table, 0, list(table.columns), "--input")
    try:
        text = path.read_text(encoding="utf-8")
        return json.loads(text, parse_constant=_refuse) if path.suffix == ".json" else text
    except (ValueError, RecursionError) as error:
        raise InvalidCase(f"--input: {path.name} cannot be read ({error}).", "Give UTF-8 JSON, CSV or text.") from None


def tabular_inputs(draft: Draft, given: Any, shape: Shape, notes: list[str]) -> tuple[Json, Json, dict[str, Json]]:
    """The input, the encoder and the cards of the features of a model that takes rows (batch, inputs)."""
    frame = checked_names(read_table(draft.reference, "--reference"), "--reference")
    encoder = _encoder_file(draft)
    if encoder is not None and encoder.get("kind") != "tabular":
        raise InvalidCase(
            "encoder.json: its kind is not 'tabular', but the reference is a table.", "Give rows or pixels."
        )
    if encoder is None:
        names = _columns(draft, frame, shape)
        encoder = identity_features(names)
        notes.append("There is no encoder.json: every column goes into the model as it is (mean 0, scale 1).")
    else:
        names = _names_of(encoder)
        _refuse_absent(names, frame, "encoder.json")
    by_name = {feature["name"]: feature for feature in encoder["features"]}
    cards = feature_cards(frame, names, by_name)
    values = _given_values(given, names) if given is not None else row_values(frame, draft.row or 0, names, "--row")
    for name in names:
        values[name] = _as_its_kind(values[name], cards[name]["kind"], by_name[name].get("kind"))
    units = sorted({card["unit"] for card in cards.values() if "unit" in card})
    notes.append("Kinds, levels and ranges of the features are what the reference holds.")
    if units:
        notes.append(f"Units were read off column names: {', '.join(units)}.")
    return {"kind": "tabular", "values": values}, encoder, cards


def image_inputs(draft: Draft, given: Any, shape: Shape, notes: list[str]) -> tuple[Json, Json]:
    """The input and the encoder of a model that takes images (batch, channels, height, width)."""
    import numpy as np

    try:
        with np.load(draft.reference, allow_pickle=False) as archive:
            pixels = np.asarray(archive["pixels"], dtype=float)
    except (OSError, ValueError, KeyError) as error:
        raise InvalidCase(
            f"--reference: {draft.reference.name} holds no images ({error}).",
            "Save numpy.savez(file, pixels=array) with (n, height, width) or (n, height, width, channels).",
        ) from None
    if pixels.ndim not in (3, 4) or not len(pixels) or not np.isfinite(pixels).all():
        raise InvalidCase(
            "--reference: 'pixels' must be finite and have 3 or 4 dimensions.",
            "Give whole images without missing pixels.",
        )
    encoder = _encoder_file(draft)
    height, width = pixels.shape[1:3]
    channels = pixels.shape[3] if pixels.ndim == 4 else 1
    if encoder is None:
        if shape.input[1:] != (channels, height, width):
            raise InvalidCase(
                f"The model takes {_sizes(shape.input[1:])}, but an image has {_sizes((channels, height, width))} "
                "(channels x height x width).",
                "Put encoder.json beside the model, or give images of that size.",
            )
        encoder = identity_pixels(height, width, channels)
        notes.append("There is no encoder.json: pixels go into the model as they are.")
    if given is None:
        if not 0 <= (draft.row or 0) < len(pixels):
            raise InvalidCase(
                f"--row: there is no image {draft.row}.", f"They are counted from 0 to {len(pixels) - 1}."
            )
        given = pixels[draft.row or 0].tolist()
    pixels_of = given.get("pixels") if isinstance(given, Mapping) else given
    return {"kind": "image", "pixels": pixels_of}, encoder


def text_inputs(draft: Draft, given: Any) -> Json:
    """The input of a model that takes texts."""
    if given is None:
        lines = read_texts(draft.reference, "--reference")
        row = draft.row or 0
        if not 0 <= row < len(lines):
            raise InvalidCase(f"--row: there is no text {row}.", f"They are counted from 0 to {len(lines) - 1}.")
        given = lines[row]
    text = given.get("text") if isinstance(given, Mapping) else given
    if not isinstance(text, str) or not text.strip():
        raise InvalidCase("The input is no text.", 'Give a text file, or JSON like {"text": "..."}.')
    return {"kind": "text", "text": text}


def read_texts(path: Path, field: str) -> list[str]:
    """The texts of a JSONL file, one `{"text": ...}` a line. Raises InvalidCase, naming the line."""
    if path.suffix != ".jsonl":
        raise InvalidCase(f"{field}: {path.name} is no .jsonl file.", 'Give one {"text": "..."} a line.')
    texts: list[str] = []
    try:
        # split at line feeds only: a text may hold other characters that Python takes for the end of a line
        for number, line in enumerate(path.read_text(encoding="utf-8").split("\n"), 1):
            if line.strip():
                data = json.loads(line)
                if not isinstance(data, dict) or not isinstance(data.get("text"), str) or not data["text"].strip():
                    raise ValueError(f"line {number} has no text")
                texts.append(data["text"])
    except (ValueError, RecursionError) as error:
        raise InvalidCase(f"{field}: {path.name} cannot be read ({error}).", "Mend that line.") from None
    return texts


def _encoder_file(draft: Draft) -> Json | None:
    path = draft.encoder or draft.model.parent / "encoder.json"
    if not path.exists():
        if draft.encoder is not None:
            raise UsageFault(f"--encoder: there is no {path}.", "Check the path.")
        return None
    try:
        data = json.loads(path.read_text(encoding="utf-8"), parse_constant=_refuse)
    except (OSError, ValueError, RecursionError) as error:
        raise InvalidCase(f"{path.name} cannot be read ({error}).", "Mend it, or move it away.") from None
    if not isinstance(data, dict):
        raise InvalidCase(f"{path.name} is no JSON object.", "Mend it, or move it away.")
    return data


def _names_of(encoder: Json) -> list[str]:
    features = encoder.get("features")
    if not isinstance(features, list) or not all(
        isinstance(f, dict) and isinstance(f.get("name"), str) for f in features
    ):
        raise InvalidCase("encoder.json: 'features' is no list of features with a name.", "Mend the file.")
    return [feature["name"] for feature in features]


def _columns(draft: Draft, frame: pd.DataFrame, shape: Shape) -> list[str]:
    """Columns that go into the model as they are. Raises InvalidCase when that cannot be told or does not work."""
    wanted = shape.input[1] if len(shape.input) == 2 else None
    if wanted is None:
        raise InvalidCase(
            f"The model takes {_sizes(shape.input)}, but the reference is a table.",
            "Give images (.npz) for such a model.",
        )
    _refuse_absent(draft.features, frame, "--features")
    if len(set(draft.features)) != len(draft.features):
        raise UsageFault("--features names a column twice.", "Name each once, in the order the model takes them.")
    numeric = [name for name in frame.columns if is_numeric(frame[name])]
    names = list(draft.features) or numeric
    if not_numeric := [name for name in names if name not in numeric]:
        raise InvalidCase(f"--features: the column {not_numeric[0]!r} holds no numbers.", _MEND_ENCODER)
    if len(names) != wanted:
        named = f"{len(names)} are named" if draft.features else f"the reference has {len(names)} columns of numbers"
        other = [name for name in frame.columns if name not in numeric]
        texts = f" and {len(other)} of text" if other and not draft.features else ""
        raise InvalidCase(f"The model takes {wanted} inputs, but {named}{texts}.", _MEND_ENCODER)
    for name in names:
        if bool(frame[name].isna().any()):
            raise InvalidCase(
                f"--reference: the column {name!r} has missing values, and nobody says how the model fills them.",
                "Write an encoder.json with 'missing', or leave those rows out.",
            )
    return names


def _refuse_absent(names: Sequence[str], frame: pd.DataFrame, field: str) -> None:
    absent = [name for name in names if name not in frame.columns]
    if absent:
        raise InvalidCase(f"{field}: the reference has no column {absent[0]!r}.", "Correct the name.")


def _given_values(given: Any, names: Sequence[str]) -> Json:
    if isinstance(given, Mapping) and isinstance(given.get("values"), Mapping):
        given = given["values"]
    if not isinstance(given, Mapping):
        raise InvalidCase("--input is no row.", "Give a JSON object with a value for each feature.")
    for name in names:
        if name not in given:
            raise InvalidCase(f"--input: the value of {name!r} is missing.", "Add it; null says that it was missing.")
    return {name: given[name] for name in names}


def _as_its_kind(value: Any, kind: str, encoded: str | None) -> Any:
    """Whole numbers without a fraction; a boolean that goes in as a number as 0 or 1."""
    if isinstance(value, bool):
        return int(value) if encoded == "numeric" else value
    if isinstance(value, float) and kind in ("integer", "boolean") and value.is_integer():
        return int(value)
    return value


def _sizes(sizes: Sequence[int | None]) -> str:
    return " x ".join("any" if size is None else str(size) for size in sizes)


def _refuse(constant: str) -> float:
    raise ValueError(f"{constant} is not a number; use null for a missing value")
