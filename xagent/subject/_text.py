"""Subjects of texts: a transformer fed with embeddings, and the words a reason can name."""

from __future__ import annotations

import re
from typing import Any

import torch
from torch import Tensor

from xagent.case import TextInput
from xagent.errors import InvalidCase
from xagent.subject._subject import Input
from xagent.subject._tokens import TokenSubject
from xagent.subject._units import Encoded, Player

MAX_TOKENS = 512
_WORD = re.compile(r"[^\w\s]*\w+(?:['’-]\w+)*[^\w\s]*|[^\w\s]+")


class TextSubject(TokenSubject):
    """Texts. The traced tensor is `inputs_embeds` (1, T, E); a player is a word with all its tokens.

    tokenizer: a fast Hugging Face tokenizer. limit: largest number of tokens, special ones included; a longer text is
    refused, because explaining a part of it would explain another prediction.
    """

    kind = "text"

    def __init__(self, *args: Any, tokenizer: Any, limit: int = MAX_TOKENS, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.tokenizer = tokenizer
        self.limit = limit
        blank = next(
            (i for i in (tokenizer.mask_token_id, tokenizer.pad_token_id, tokenizer.unk_token_id) if i is not None),
            None,
        )
        self.blank = blank

    def encode(self, input: Input) -> Encoded:
        if not isinstance(input, TextInput):
            raise InvalidCase(f"input.kind: the model takes text, not {input.kind}.", "Set it to 'text'.")
        return self._encode(input.text, "input.text")

    def encode_texts(self, texts: list[str]) -> list[Encoded]:
        return [self._encode(text, f"text {number}") for number, text in enumerate(texts, 1)]

    def _encode(self, text: str, field: str) -> Encoded:
        coded = self._coded(text, field, return_special_tokens_mask=True)
        ids = list(coded["input_ids"])
        if len(ids) > self.limit:
            raise InvalidCase(
                f"{field}: the text has {len(ids)} tokens, the model reads at most {self.limit}.",
                "Give the passage that the model was shown.",
            )
        players = words(text, coded["offset_mapping"], coded["special_tokens_mask"])
        if not players:
            raise InvalidCase(f"{field}: the text holds no word that the model reads.", "Give a text with words.")
        mask = torch.ones((1, len(ids)), dtype=torch.long, device=self.device)
        inputs = {"inputs_embeds": self._embedded(ids), "attention_mask": mask}
        return Encoded("text", inputs, "inputs_embeds", players)

    def token_ids(self, text: str) -> Tensor:
        """(1, T) token ids, special tokens included, as the model itself would be called."""
        return torch.tensor([self.tokenizer(text)["input_ids"]], device=self.device)


def words(text: str, offsets: list[tuple[int, int]], special: list[int]) -> tuple[Player, ...]:
    """Words, with the positions of their tokens and of the punctuation that touches them; it is left out of the label.

    A token that reaches over several words joins them into one player, so that no token has two owners. Tokens of
    nothing but space go to the word before them (the first word when there is none).
    """
    spans = [match.span() for match in _WORD.finditer(text)]
    groups: list[tuple[int, int, list[int]]] = []  # first word, last word, token positions
    loose: list[int] = []
    for position, ((start, end), is_special) in enumerate(zip(offsets, special, strict=True)):
        if is_special:
            continue
        touched = [place for place, (a, b) in enumerate(spans) if a < end and start < b] if start < end else []
        if touched:
            first, last, held = touched[0], touched[-1], [*loose, position]
            loose = []
            while groups and groups[-1][1] >= first:
                earlier = groups.pop()
                first, last, held = min(first, earlier[0]), max(last, earlier[1]), [*earlier[2], *held]
            groups.append((first, last, held))
        elif groups:
            groups[-1][2].append(position)
        else:
            loose.append(position)
    return tuple(
        Player(f"word.{number}", _bare(text[spans[first][0] : spans[last][1]]), tuple(held))
        for number, (first, last, held) in enumerate(groups, 1)
    )


def _bare(word: str) -> str:
    """The word without the punctuation around it; punctuation that stands alone is itself."""
    return re.sub(r"^[^\w\s]+|[^\w\s]+$", "", word) or word
