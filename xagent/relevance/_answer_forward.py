"""The teacher-forced forward over prompt and answer, shared by every way to explain an answer."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ._errors import RelevanceError
from ._output import first_tensor

Seed = Literal["logit", "centred", "log_probability", "contrast"]
SEEDS = ("logit", "centred", "log_probability", "contrast")


class Script:
    """Prompt and answer of one decoder-only language model, and the scores that are read from its logits.

    model: takes `inputs_embeds` (batch, tokens, width), returns logits (batch, tokens, vocabulary); in evaluation mode.
    prompt_ids, answer_ids: (P,) and (T,) integers, P and T at least 1. Answer token t is scored at position P + t - 1.
    seed: what the score of answer token y_t is, always linear in the logits z at its position:
        "logit" z[y_t]; "centred" z[y_t] - mean z, mostly positive, as closures need; "log_probability" z[y_t] - sum p z
        with fixed p = softmax z, whose gradient is that of the log-probability; "contrast" z[y_t] - z[foil_t].
    foils: (T,) token ids, for "contrast" alone.
    """

    def __init__(
        self,
        model: nn.Module,
        prompt_ids: Tensor | Sequence[int],
        answer_ids: Tensor | Sequence[int],
        seed: Seed = "logit",
        foils: Tensor | Sequence[int] | None = None,
    ) -> None:
        if any(module.training for module in model.modules()):
            raise RelevanceError("The model is in training mode.", "Call model.eval() first.")
        if seed not in SEEDS or (seed == "contrast") != (foils is not None):
            raise RelevanceError(f'The seed "{seed}" does not fit.', f"Known: {', '.join(SEEDS)}; foils for contrast.")
        self.model, self.seed = model, seed
        embed = getattr(model, "get_input_embeddings", lambda: None)()
        if embed is None:
            raise RelevanceError("The model has no get_input_embeddings().", "Give a decoder-only language model.")
        device = next(embed.parameters()).device
        prompt, answer = (_ids(x, name, device) for x, name in ((prompt_ids, "prompt_ids"), (answer_ids, "answer_ids")))
        self.prompt, self.answer = len(prompt), len(answer)
        self.targets = answer
        self.foils = None if foils is None else _ids(foils, "foils", device)
        if self.foils is not None and len(self.foils) != self.answer:
            raise RelevanceError(f"There are {len(self.foils)} foils for {self.answer} answer tokens.")
        ids = torch.cat([prompt, answer])
        size = getattr(embed, "num_embeddings", None)
        if size is not None and (int(ids.min()) < 0 or int(ids.max()) >= size):
            raise RelevanceError(
                f"A token id lies outside the vocabulary of {size}.", "Check prompt_ids and answer_ids."
            )
        with torch.no_grad():  # the last answer token explains nothing
            self.embeddings: Tensor = embed(ids[None, :-1]).detach()
        parameters = inspect.signature(model.forward).parameters
        flexible = any(p.kind is p.VAR_KEYWORD for p in parameters.values())
        self._extra = {"use_cache": False} if flexible or "use_cache" in parameters else {}
        self._keeps = "logits_to_keep" in parameters

    @property
    def length(self) -> int:
        """Tokens of prompt and answer, P + T."""
        return self.prompt + self.answer

    def logits(self, x: Tensor, first: int, last: int) -> Tensor:
        """(batch, P + last - 1, width) -> logits (batch, last - first, vocabulary) of answer tokens first..last-1."""
        keep = last - first
        extra = {**self._extra, **({"logits_to_keep": keep} if self._keeps else {})}
        return first_tensor(self.model(inputs_embeds=x, **extra))[:, -keep:]

    def scores(self, logits: Tensor, first: int, last: int) -> Tensor:
        """(batch, last - first, vocabulary) -> (batch, last - first); whatever is fixed is taken from batch row 0."""
        at = self.targets[first:last].view(1, -1, 1).expand(len(logits), -1, 1)
        own = logits.gather(2, at)[..., 0]
        if self.seed == "centred":
            return own - logits.mean(-1)
        if self.seed == "log_probability":
            p = logits[:1].detach().softmax(-1)
            return own - (p * logits).sum(-1)
        if self.foils is not None:
            foil = self.foils[first:last].view(1, -1, 1).expand(len(logits), -1, 1)
            return own - logits.gather(2, foil)[..., 0]
        return own


def _ids(values: Tensor | Sequence[int], name: str, device: torch.device) -> Tensor:
    ids = torch.as_tensor(values, device=device)
    ids = ids[0] if ids.dim() == 2 and len(ids) == 1 else ids
    if ids.dim() != 1 or not len(ids) or ids.is_floating_point():
        raise RelevanceError(f"{name} must be a non-empty list of token ids.", "Give one sequence, without padding.")
    return ids.long()


@contextlib.contextmanager
def visible_attention(model: nn.Module) -> Iterator[None]:
    """Attention through torch's own kernel inside, where the model can switch; as before outside."""
    was = getattr(getattr(model, "config", None), "_attn_implementation", None)
    switch: Any = getattr(model, "set_attn_implementation", None)
    if switch is None or was in (None, "eager", "sdpa"):
        yield
        return
    switch("sdpa")
    try:
        yield
    finally:
        switch(was)
