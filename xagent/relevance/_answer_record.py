"""Records an answer with the model's own sampling, and keeps the way back from tokens to characters."""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ._answer import Answer, trace_answer
from ._answer_forward import refuse_encoders
from ._answer_sources import Passage, Source, chunks, sentences, sources_from, tools, turns
from ._errors import RelevanceError

Messages = Sequence[Mapping[str, Any]]


@dataclass(frozen=True)
class Record:
    """A prompt and the answer that the model gave to it, as text and as tokens.

    prompt: the text that the tokenizer saw, chat template applied. prompt_ids (P,), answer_ids (T,): int64, CPU.
    prompt_offsets, answer_offsets: (start, end) in characters of prompt and answer for every token, half open.
    messages: the chat, empty for a plain prompt.
    """

    prompt: str
    answer: str
    prompt_ids: Tensor
    answer_ids: Tensor
    prompt_offsets: tuple[tuple[int, int], ...]
    answer_offsets: tuple[tuple[int, int], ...]
    messages: tuple[Mapping[str, Any], ...] = ()

    def sources(
        self, by: str | Sequence[str] | Mapping[str, str] | Sequence[Passage] = "sentences"
    ) -> tuple[Source, ...]:
        """Sources of the prompt: by "tokens", "sentences", "turns" or "tools" (the outputs of tools in a chat), or the
        chunks of text (a list, or by name: the documents of a retrieval prompt), or passages as given.

        In a chat, sentences are those of the messages; what the template adds belongs to no source.
        """
        if by == "tokens":
            places = enumerate(self.prompt_offsets)
            return tuple(Source(f"token.{i + 1}", (i,), self.prompt[a:b], a, b) for i, (a, b) in places)
        return sources_from(self._passages(by), self.prompt_offsets, self.prompt)

    def _passages(self, by: Any) -> tuple[Passage, ...]:
        if by in ("turns", "tools"):
            found = (turns if by == "turns" else tools)(self.prompt, self.messages)
            if not found:
                raise RelevanceError(f"The record has no {by}.", 'Record a chat, or say "sentences".')
            return found
        if by == "sentences":
            within = turns(self.prompt, self.messages) or (Passage("", 0, len(self.prompt)),)
            parts = [s for p in within for s in sentences(self.prompt, p.start, p.end)]
            return tuple(Passage(f"sentence.{i + 1}", s.start, s.end) for i, s in enumerate(parts))
        if isinstance(by, str):
            raise RelevanceError(
                f'There are no sources by "{by}".', "Say tokens, sentences, turns or tools, or list chunks."
            )
        if not isinstance(by, Mapping) and all(isinstance(x, Passage) for x in by):
            return tuple(by)
        return chunks(self.prompt, by)

    def explain(self, model: nn.Module, by: Any = "sentences", **options: Any) -> Answer:
        """`trace_answer` of this record; options are its keyword arguments."""
        return trace_answer(model, self.prompt_ids, self.answer_ids, self.sources(by), **options)


def record_answer(
    model: Any,
    tokenizer: Any,
    prompt: str | None = None,
    messages: Messages | None = None,
    *,
    max_new_tokens: int = 128,
    seed: int | None = None,
    template: Mapping[str, Any] | None = None,
    **generation: Any,
) -> Record:
    """Let `model.generate` answer a prompt or a chat, greedily, or sampled where a seed is given.

    tokenizer: a fast Hugging Face tokenizer. template: further arguments of its chat template (tools, documents).
    generation: further arguments of `generate` (temperature, top_p, stop_strings). A token that ends the answer is a
    part of it. The process's own random state is left as it is. Raises RelevanceError for a tokenizer without offsets
    or chat template, a model that cannot generate or has an encoder, and an empty answer.
    """
    refuse_encoders(model)
    if getattr(model, "generate", None) is None:
        raise RelevanceError("The model cannot generate.", "Record its answer: recorded(tokenizer, prompt, answer).")
    if (prompt is None) == (messages is None):
        raise RelevanceError("Give either a prompt or messages.")
    text = prompt if prompt is not None else templated(tokenizer, messages or (), template)
    encoded = _encoded(tokenizer, text, special=prompt is not None)
    ids = torch.tensor([encoded["input_ids"]], device=next(model.parameters()).device)
    if not ids.numel():
        raise RelevanceError("The prompt is empty.")
    options = {"max_new_tokens": max_new_tokens, "do_sample": seed is not None, **generation}
    if "stop_strings" in options:
        options.setdefault("tokenizer", tokenizer)
    with torch.no_grad(), _seeded(seed, ids.device):
        whole = model.generate(input_ids=ids, attention_mask=torch.ones_like(ids), **options)
    answer_ids = whole[0, ids.shape[1] :].cpu()
    if not len(answer_ids):
        raise RelevanceError("The model generated no token.", "Raise max_new_tokens.")
    return recorded(tokenizer, text, answer_ids, messages or (), special=prompt is not None)


def recorded(
    tokenizer: Any,
    prompt: str,
    answer: str | Tensor | Sequence[int],
    messages: Messages = (),
    special: bool = True,
) -> Record:
    """A record of an answer that was given elsewhere, as text or as token ids; nothing is generated.

    prompt: the text after the chat template. special: whether the tokenizer adds its special tokens to it.
    """
    encoded = _encoded(tokenizer, prompt, special)
    if isinstance(answer, str):
        later = _encoded(tokenizer, answer, special=False)
        ids, text = torch.tensor(later["input_ids"]), answer
        offsets = [(int(a), int(b)) for a, b in later["offset_mapping"]]
    else:
        ids = torch.as_tensor(answer).cpu().long()
        text, offsets = decoded(tokenizer, ids.tolist())
    places = tuple((int(a), int(b)) for a, b in encoded["offset_mapping"])
    return Record(prompt, text, torch.tensor(encoded["input_ids"]), ids, places, tuple(offsets), tuple(messages))


def templated(tokenizer: Any, messages: Messages, template: Mapping[str, Any] | None = None) -> str:
    """The text that the tokenizer's chat template makes of the messages, ready for the model's turn."""
    options = {"add_generation_prompt": True, **(template or {})}
    if not (getattr(tokenizer, "chat_template", None) or options.get("chat_template")):
        raise RelevanceError(
            "The tokenizer has no chat template.", 'Give template={"chat_template": ...}, or a plain prompt.'
        )
    try:
        return str(tokenizer.apply_chat_template(list(messages), tokenize=False, **options))
    except Exception as error:  # templates refuse messages in their own words (jinja2's, or a KeyError)
        raise RelevanceError(
            f"The chat template refuses these messages: {error}", "Check roles, their order, and the parts."
        ) from error


def decoded(tokenizer: Any, ids: Sequence[int]) -> tuple[str, list[tuple[int, int]]]:
    """Text and character offsets of generated tokens, by decoding every prefix (a token may be part of a character)."""
    options = {"skip_special_tokens": False, "clean_up_tokenization_spaces": False}
    text = str(tokenizer.decode(list(ids), **options))
    ends = [0]
    for count in range(1, len(ids) + 1):
        prefix = str(tokenizer.decode(list(ids[:count]), **options)) if count < len(ids) else text
        same = next(
            (i for i, (a, b) in enumerate(zip(prefix, text, strict=False)) if a != b), min(len(prefix), len(text))
        )
        ends.append(max(same, ends[-1]))
    return text, list(itertools.pairwise(ends))


def _encoded(tokenizer: Any, text: str, special: bool) -> Any:
    if not getattr(tokenizer, "is_fast", False):
        raise RelevanceError("The tokenizer gives no character offsets.", "Load the fast tokenizer (tokenizer.json).")
    return tokenizer(text, add_special_tokens=special, return_offsets_mapping=True)


@contextlib.contextmanager
def _seeded(seed: int | None, device: torch.device) -> Iterator[None]:
    devices = [device.index or 0] if device.type == "cuda" else []
    with torch.random.fork_rng(devices=devices):
        if seed is not None:
            torch.manual_seed(seed)
        yield
