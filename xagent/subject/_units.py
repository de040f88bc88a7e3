"""What an encoder gives the model and the reader: tensors by argument name, and the units a reason can name."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Player:
    """One unit that a reason can name.

    feature: the feature's name; `word.3` (1-based) in a text; `cell.2.5` (row.column, 1-based) in an image;
    `source.2` (1-based) in a prompt.
    label: the same in words: the feature's name, the word as it stands, `row 2, column 5`, a passage's name or opening.
    index: positions along the unit axis of the traced tensor: columns; token positions; or
    flat pixels (row * width + column).
    """

    feature: str
    label: str
    index: tuple[int, ...]


@dataclass(frozen=True)
class Exchange:
    """Prompt and answer of a language model, as text and as tokens.

    prompt: the text that the model was shown. prompt_ids (P,), answer_ids (T,): int64 on the CPU. prompt_tokens,
    answer_tokens: each token as it stands in the text. kinds, texts: of every player, what it is and its full text.
    """

    prompt: str
    prompt_ids: Tensor
    answer_ids: Tensor
    prompt_tokens: tuple[str, ...]
    answer_tokens: tuple[str, ...]
    kinds: tuple[str, ...]
    texts: tuple[str, ...]


@dataclass(frozen=True)
class Encoded:
    """One input, ready for the model.

    kind: tabular, text, image or generation. inputs: the model's arguments by name, batch 1. traced: the key of
    `inputs` that carries relevance: `input` (1, d) or (1, C, H, W), or `inputs_embeds` (1, T, E). players: every unit,
    in order.
    missing: features that had no value and were filled by the encoder. exchange: of a generation.
    """

    kind: str
    inputs: dict[str, Tensor]
    traced: str
    players: tuple[Player, ...]
    missing: tuple[str, ...] = ()
    exchange: Exchange | None = None


def blanked(encoded: Encoded, blank: Tensor) -> Tensor:
    """The traced tensor (1, T, E) with `blank` (1, 1, E) at every position of a player, all else as it is."""
    traced = encoded.inputs[encoded.traced]
    owned = torch.zeros(traced.shape[1], dtype=torch.bool, device=traced.device)
    owned[[position for player in encoded.players for position in player.index]] = True
    return torch.where(owned[None, :, None], blank, traced.detach())
