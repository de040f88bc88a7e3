"""What subjects of texts and of answers share: a tokenizer, and a token that stands for no word."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from xagent.errors import InvalidCase
from xagent.subject._subject import Subject
from xagent.subject._units import Encoded, blanked


class TokenSubject(Subject):
    """A subject that reads tokens. The traced tensor is `inputs_embeds` (1, T, E).

    tokenizer: a fast Hugging Face tokenizer. blank: id of the token that stands for no word: mask, pad or unknown.
    """

    tokenizer: Any
    blank: int | None

    def background(self, reference: Tensor | None = None, encoded: Encoded | None = None) -> Tensor:
        """(1, T, E) for `encoded`: a blank in the place of every player, all else as it is; (1, 1, E), the blank alone,
        without. A tokenizer that has no blank token gives zeros. `reference` is not used."""
        vector = self._embedded([0 if self.blank is None else self.blank])
        blank = torch.zeros_like(vector) if self.blank is None else vector
        return blank if encoded is None else blanked(encoded, blank)

    @torch.no_grad()
    def _embedded(self, ids: list[int]) -> Tensor:
        """(1, T, E) embeddings of the tokens."""
        assert self.module is not None
        tokens = torch.tensor([ids], device=self.device)
        with self.lock:
            embedded: Tensor = self.module.get_input_embeddings()(tokens)  # type: ignore[operator]
        return embedded.clone()

    def _coded(self, text: str, field: str, **options: Any) -> Any:
        """What the tokenizer makes of a text, with the offsets of its tokens; nothing is cut off."""
        try:
            return self.tokenizer(text, return_offsets_mapping=True, truncation=False, **options)
        except Exception as error:  # the tokenizers library raises nothing narrower
            raise InvalidCase(
                f"{field}: the model's tokenizer cannot read the text ({error}).", "Save the model's own tokenizer."
            ) from error
