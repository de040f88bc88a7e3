"""The teacher-forced forward over prompt and answer, shared by every way to explain an answer."""

from __future__ import annotations

import contextlib
import inspect
from collections.abc import Iterator, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn

from ._answer_head import NarrowHead, centred, expected, head_of, picked
from ._eager import eager_inside
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
        refuse_encoders(model)
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
        self._narrow = head_of(model) is not None

    @property
    def length(self) -> int:
        """Tokens of prompt and answer, P + T."""
        return self.prompt + self.answer

    def logits(self, x: Tensor, first: int, last: int) -> tuple[Tensor, bool]:
        """(batch, P + last - 1, width) -> logits (batch, last - first, columns) of answer tokens first..last-1.

        The head computes the one or two columns that the scores need (then the second result is true), or the whole
        vocabulary where the model does more to its logits than a function of each of them.
        """
        if self._narrow:
            head = self._head(first, last)
            with head:
                try:
                    logits = self._logits(x, last - first)
                except RelevanceError:
                    raise
                except (RuntimeError, IndexError):  # the model reads its logits by token
                    if head.output is None:
                        raise
                    logits = x
            if head.is_last(logits) or (head.output is not None and self._each_by_itself(logits, head.output)):
                return logits, True
            self._narrow = False
            if head.output is None:
                return logits, False
        return self._logits(x, last - first), False

    def _logits(self, x: Tensor, keep: int) -> Tensor:
        extra = {**self._extra, **({"logits_to_keep": keep} if self._keeps else {})}
        return first_tensor(self.model(inputs_embeds=x, **extra))[:, -keep:]

    def _head(self, first: int, last: int) -> NarrowHead:
        layer = head_of(self.model)
        assert layer is not None
        bias, ids = layer.bias, [x[first:last] for x in (self.targets, self.foils) if x is not None]
        make = {"centred": centred, "log_probability": expected}.get(self.seed, picked)
        return NarrowHead(layer.weight, last - first, [make(layer.weight, bias, each) for each in ids])

    def _each_by_itself(self, logits: Tensor, narrow: Tensor) -> bool:
        """Whether the model changes every logit by a function of its own (a soft cap): seen on 16 tokens, once."""
        if self.seed in ("centred", "log_probability") or logits.shape != narrow.shape:
            return False
        layer = head_of(self.model)
        assert layer is not None
        some = torch.randperm(len(layer.weight), generator=torch.Generator().manual_seed(0))[:16].to(logits.device)
        mixes = [picked(layer.weight, layer.bias, i[None]) for i in some]
        with torch.no_grad():
            x = self.embeddings[:, : min(2, self.prompt)]
            try:
                with NarrowHead(layer.weight, 1, mixes):
                    few = self._logits(x, 1)
            except (RuntimeError, IndexError):
                return False
            whole = self._logits(x, 1)[..., some]
            close = 1e-4 if x.dtype.itemsize >= 4 else 2e-2
            return few.shape == whole.shape and bool((few - whole).abs().max() <= close * whole.abs().max())

    def scores(self, logits: Tensor, narrow: bool, first: int, last: int) -> Tensor:
        """What `logits` returned -> (batch, last - first); whatever is fixed is taken from batch row 0."""
        if narrow:
            return logits[..., 0] - logits[..., 1] if logits.shape[-1] == 2 else logits[..., 0]
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


def refuse_encoders(model: nn.Module) -> None:
    """Raise RelevanceError for a model whose answer does not stand behind its prompt in one sequence."""
    if getattr(getattr(model, "config", None), "is_encoder_decoder", False):
        raise RelevanceError(
            "The model has an encoder and a decoder; whole answers are explained for decoder-only models.",
            "Trace one answer token at a time: Tracer.trace of inputs_embeds with decoder_input_ids.",
        )


def _ids(values: Tensor | Sequence[int], name: str, device: torch.device) -> Tensor:
    ids = torch.as_tensor(values, device=device)
    ids = ids[0] if ids.dim() == 2 and len(ids) == 1 else ids
    if ids.dim() != 1 or not len(ids) or ids.is_floating_point():
        raise RelevanceError(f"{name} must be a non-empty list of token ids.", "Give one sequence, without padding.")
    return ids.long()


@contextlib.contextmanager
def visible(model: nn.Module, experts: bool = False) -> Iterator[None]:
    """Attention through torch's own kernel inside, where the model can switch, compiled parts as written; then back.

    experts: also experts one by one, as carriers need them, and not in one grouped product.
    """
    with contextlib.ExitStack() as restore:
        restore.enter_context(eager_inside(model))
        for config in {id(c): c for c in _configs(model)}.values() if experts else ():
            was = config._experts_implementation_internal
            restore.callback(setattr, config, "_experts_implementation_internal", was)
            config._experts_implementation_internal = "eager"
        yield


def _configs(model: nn.Module) -> Iterator[Any]:
    for module in model.modules():
        config: Any = getattr(module, "config", None)
        if getattr(config, "_experts_implementation_internal", None) not in (None, "eager"):
            yield config
