"""Subjects of answers: a language model, teacher-forced over a prompt and the answer that was recorded."""

from __future__ import annotations

import inspect
from typing import Any

import torch
from torch import Tensor

from xagent.case import GenerationInput
from xagent.errors import InvalidCase, UsageFault
from xagent.subject._passages import Part, parts_of, positions_of
from xagent.subject._subject import CHUNK, Input, tensor_of
from xagent.subject._template import chat_text
from xagent.subject._tokens import TokenSubject
from xagent.subject._units import Encoded, Exchange, Player

MAX_TOKENS = 4096
MAX_ANSWER = 512
MAX_SOURCES = 400
SINK = 1
"""So many first tokens of a prompt belong to no source: attention leaves there what it does not need."""
_CHUNK_NUMBERS = 2**27
"""Logits in one batch of altered prompts: half a GiB in single precision."""


class AnswerSubject(TokenSubject):
    """Answers. The traced tensor is `inputs_embeds` (1, P + T - 1, E), prompt and answer but its last token; a player
    is a source of the prompt with all its tokens. `forward` answers (batch, 2): the sum over the answer's tokens of
    their logits, which is what relevance explains, and of their log-probabilities, which is what a case records.

    tokenizer: a fast Hugging Face tokenizer. limit: largest number of tokens, prompt and answer together. template:
    what makes a prompt of a chat.
    """

    kind = "generation"

    def __init__(
        self, *args: Any, tokenizer: Any, limit: int = MAX_TOKENS, template: str | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        assert self.module is not None
        self.tokenizer, self.limit, self.template = tokenizer, limit, template
        given = inspect.signature(self.module.forward).parameters
        flexible = any(p.kind is p.VAR_KEYWORD for p in given.values())
        self._extra: dict[str, Any] = {"use_cache": False} if flexible or "use_cache" in given else {}
        self._keeps = "logits_to_keep" in given
        # A pad token that also ends texts would end this one; an unknown word says nothing but that there is a word.
        pad = tokenizer.pad_token_id if tokenizer.pad_token_id != tokenizer.eos_token_id else None
        self.blank = next((i for i in (tokenizer.mask_token_id, pad, tokenizer.unk_token_id) if i is not None), None)

    def encode(self, input: Input) -> Encoded:
        if not isinstance(input, GenerationInput):
            raise InvalidCase(
                f"input.kind: the model writes answers, the case holds {input.kind}.", "Set it to 'generation'."
            )
        text = self.prompt_text(input)
        prompt_ids, offsets = self._tokens(text, "input.prompt", special=not self._opened(input, text))
        answer_ids, answer_tokens = self._answer(input)
        self._check_sizes(len(prompt_ids), len(answer_ids))
        parts = parts_of(input, text, offsets)
        players, kept = self._players(parts, positions_of(parts, offsets, text, SINK), input)
        traced = self._embedded([*prompt_ids, *answer_ids[:-1]])
        exchange = Exchange(
            prompt=text,
            prompt_ids=torch.tensor(prompt_ids),
            answer_ids=torch.tensor(answer_ids),
            prompt_tokens=tuple(
                text[a:b] or str(self.tokenizer.decode([i])) for i, (a, b) in zip(prompt_ids, offsets, strict=True)
            ),
            answer_tokens=answer_tokens,
            kinds=tuple(part.kind for part in kept),
            texts=tuple(text[part.start : part.end] for part in kept),
        )
        inputs = {"inputs_embeds": traced, "answer_ids": torch.tensor([answer_ids], device=self.device)}
        return Encoded("generation", inputs, "inputs_embeds", players, exchange=exchange)

    def prompt_text(self, input: GenerationInput) -> str:
        """The text that the model was shown. Raises InvalidCase when the chat template cannot be applied."""
        if input.prompt is not None:
            return input.prompt
        bos, eos = (str(token or "") for token in (self.tokenizer.bos_token, self.tokenizer.eos_token))
        return chat_text(self.template, input.messages, bos, eos)

    def encode_texts(self, texts: list[str]) -> list[Encoded]:
        """Prompts without an answer: their embeddings alone, for comparing populations."""
        found = []
        for number, text in enumerate(texts, 1):
            ids, _ = self._tokens(text, f"text {number}", special=not self._begins(text))
            if len(ids) > self.limit:
                raise InvalidCase(f"text {number}: it has {len(ids)} tokens, the limit is {self.limit}.", "Shorten it.")
            found.append(Encoded("generation", {"inputs_embeds": self._embedded(ids)}, "inputs_embeds", ()))
        return found

    def forward(self, inputs: dict[str, Tensor]) -> Tensor:
        x, answer = inputs["inputs_embeds"], inputs["answer_ids"]
        count = answer.shape[1]
        extra = {**self._extra, **({"logits_to_keep": count} if self._keeps else {})}
        assert self.module is not None
        logits = tensor_of(self.module(inputs_embeds=x, **extra))[:, -count:]
        own = logits.gather(2, answer.to(logits.device)[..., None])[..., 0]
        # The recorded score needs no gradient, no relevance goes through it, and 16 bits are too few for it.
        wide = torch.promote_types(logits.dtype, torch.float32)
        likely = (own.detach().to(wide) - logits.detach().to(wide).logsumexp(-1)).sum(1)
        return torch.stack([own.sum(1).to(wide), likely], 1)

    def score(self, logits: Tensor, target: int | None = None, scale: str = "log_probability") -> Tensor:
        """(batch,) float64: the log-probability of the answer, or the sum of its logits (scale `logit`)."""
        if scale not in ("log_probability", "logit"):
            raise UsageFault(f"There is no scale {scale!r} for an answer.", "Use log_probability or logit.")
        return logits.double()[:, 1 if scale == "log_probability" else 0]

    def _chunk(self, inputs: dict[str, Tensor]) -> int:
        assert self.module is not None
        config: Any = self.module.config
        words = int(getattr(config, "vocab_size", 0) or 50_000)
        length = inputs["inputs_embeds"].shape[1]
        kept = inputs["answer_ids"].shape[1] if self._keeps else length
        return max(1, min(CHUNK, _CHUNK_NUMBERS // max(kept * words, length * 4096)))

    def _players(
        self, parts: list[Part], positions: list[tuple[int, ...]], input: GenerationInput
    ) -> tuple[tuple[Player, ...], list[Part]]:
        kept = [(part, held) for part, held in zip(parts, positions, strict=True) if held]
        if len(kept) < len(parts) and parts[0].kind not in ("sentence", "token"):
            lost = next(part.label for part, held in zip(parts, positions, strict=True) if not held)
            raise InvalidCase(
                f"input.sources: {lost!r} has no token of its own in the prompt.",
                "Join it with the passage beside it; the first token of a prompt belongs to no source.",
            )
        if not kept:
            raise InvalidCase(
                "input.prompt: it holds nothing that could be weighed.", "Give the prompt that the model was shown."
            )
        if len(kept) > MAX_SOURCES:
            raise InvalidCase(
                f"input.by: the prompt falls into {len(kept)} parts, at most {MAX_SOURCES} are weighed.",
                "Name the passages in input.sources, or set 'by' to 'sentences' or 'turns'.",
            )
        players = tuple(Player(f"source.{n}", part.label or "(space)", held) for n, (part, held) in enumerate(kept, 1))
        return players, [part for part, _ in kept]

    def _answer(self, input: GenerationInput) -> tuple[list[int], tuple[str, ...]]:
        """Token ids of the answer, and each token as it stands in the text."""
        if input.answer_ids is None:
            ids, offsets = self._tokens(input.answer, "input.answer", special=False)
            return ids, tuple(input.answer[a:b] for a, b in offsets)
        ids = list(input.answer_ids)
        if max(ids) >= len(self.tokenizer):
            raise InvalidCase(
                f"input.answer_ids: the model has no token {max(ids)}.", "Give the ids of this model's tokenizer."
            )
        if "".join(str(self.tokenizer.decode(ids)).split()) != "".join(input.answer.split()):
            raise InvalidCase(
                "input.answer_ids: these tokens are another text than input.answer.",
                "Leave out the ids, or correct them.",
            )
        return ids, tuple(str(self.tokenizer.decode([i])) for i in ids)

    def _tokens(self, text: str, field: str, special: bool) -> tuple[list[int], list[tuple[int, int]]]:
        coded = self._coded(text, field, add_special_tokens=special)
        if not coded["input_ids"]:
            raise InvalidCase(
                f"{field}: the model's tokenizer makes no token of it.", "Give the text as the model was shown it."
            )
        return list(coded["input_ids"]), [(int(a), int(b)) for a, b in coded["offset_mapping"]]

    def _check_sizes(self, prompt: int, answer: int) -> None:
        if answer > MAX_ANSWER:
            raise InvalidCase(
                f"input.answer: it has {answer} tokens, at most {MAX_ANSWER} are explained.",
                "Give the part that matters.",
            )
        if prompt + answer > self.limit:
            raise InvalidCase(
                f"input.prompt: prompt and answer have {prompt + answer} tokens, the limit is {self.limit}.",
                "A part of the prompt would explain another answer, so this one cannot be explained here.",
            )

    def _opened(self, input: GenerationInput, text: str) -> bool:
        """Whether the text holds its special tokens already: templates write them, and so do some records."""
        return bool(input.messages) or self._begins(text)

    def _begins(self, text: str) -> bool:
        bos = self.tokenizer.bos_token
        return bool(bos) and text.startswith(str(bos))
