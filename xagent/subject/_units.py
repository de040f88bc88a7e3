"""What an encoder gives the model and the reader: tensors by argument name, and the units a reason can name."""

from __future__ import annotations

from dataclasses import dataclass

from torch import Tensor


@dataclass(frozen=True)
class Player:
    """One unit that a reason can name.

    feature: the feature's name; `word.3` (1-based) in a text; `cell.2.5` (row.column, 1-based) in an image.
    label: the same in words: the feature's name, the word as it stands, `row 2, column 5`.
    index: positions along the unit axis of the traced tensor: columns; token positions; or
    flat pixels (row * width + column).
    """

    feature: str
    label: str
    index: tuple[int, ...]


@dataclass(frozen=True)
class Encoded:
    """One input, ready for the model.

    kind: tabular, text or image. inputs: the model's arguments by name, batch 1. traced: the key of `inputs` that
    carries relevance: `input` (1, d) or (1, C, H, W), or `inputs_embeds` (1, T, E). players: every unit, in order.
    missing: features that had no value and were filled by the encoder.
    """

    kind: str
    inputs: dict[str, Tensor]
    traced: str
    players: tuple[Player, ...]
    missing: tuple[str, ...] = ()
