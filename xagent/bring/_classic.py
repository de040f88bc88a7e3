"""What a file of trees or of a declared model tells about itself, and the inputs that go with it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xagent.bring._input import Json, _as_its_kind, _encoder_file, _given_values, _refuse_absent, tabular_inputs
from xagent.bring._model import Shape
from xagent.bring._table import checked_names, feature_cards, row_values
from xagent.case import read_table
from xagent.errors import InvalidCase

if TYPE_CHECKING:
    from xagent.bring._case import Draft

_SUFFIXES = (".json", ".ubj", ".txt")


@dataclass(frozen=True)
class Classic:
    """format: as a case names it. kind: of the outputs, as `OutputSpec` has it; outputs: how many numbers come out.
    columns: that go in; names: of them, empty when the file has none; levels: of categorical ones, by name."""

    format: str
    kind: str
    outputs: int
    columns: int
    names: tuple[str, ...]
    levels: dict[str, Sequence[Any]]


def classic_model(path: Path) -> Classic | None:
    """None for a file of another kind. Raises InvalidCase for one that is broken."""
    if path.suffix not in _SUFFIXES or not path.is_file():
        return None
    from xagent.subject import read_classic

    format_, read = read_classic(path)
    model: Any = read
    if format_ == "declared":
        kinds = {"identity": "value", "logit": "logit", "softmax": "logits"}
        levels = {f.name: f.levels for f in model.features if f.kind == "categorical"}
        names = tuple(f.name for f in model.features)
        return Classic(format_, kinds[model.link], model.outputs, len(names), names, levels)
    trees = model.forest.trees
    return Classic(format_, model.scores, len(trees.base), trees.columns, model.names, dict(model.levels))


def classic_inputs(
    draft: Draft, given: Any, model: Classic, notes: list[str]
) -> tuple[Json, Json | None, dict[str, Json]]:
    """The input, the encoder (None when raw values go in under the model's own names) and the features' cards."""
    if not model.names or (model.format != "declared" and _encoder_file(draft) is not None):
        return tabular_inputs(draft, given, Shape((None, model.columns), (None, model.outputs)), notes)
    if draft.reference.suffix not in (".csv", ".parquet"):
        raise InvalidCase(f"--reference: {draft.reference.name} is no table.", "Give rows as CSV or Parquet.")
    frame = checked_names(read_table(draft.reference, "--reference"), "--reference")
    names = list(model.names)
    _refuse_absent(names, frame, "--reference")
    encoders: dict[str, Any] = {
        name: {"kind": "onehot", "levels": list(levels)} for name, levels in model.levels.items()
    }
    cards = feature_cards(frame, names, encoders)
    values = _given_values(given, names) if given is not None else row_values(frame, draft.row or 0, names, "--row")
    for name in names:
        values[name] = _as_its_kind(values[name], cards[name]["kind"], encoders.get(name, {}).get("kind"))
    notes.append("Raw values go into the model under the names that its file has.")
    notes.append("Kinds, levels and ranges of the features are what the model file and the reference hold.")
    return {"kind": "tabular", "values": values}, None, cards
