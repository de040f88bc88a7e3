"""`Tracer.matrix` and `Tracer.closure`: what a tracer offers for whole answers of language models."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._answer import Answer, trace_answer
from ._answer_closure import Closure, close, weights_of
from ._answer_record import Record
from ._answer_sources import Passage, Source
from ._errors import RelevanceError

if TYPE_CHECKING:
    from ._tracer import Tracer

Sources = str | Sequence[Source] | Sequence[Passage] | Sequence[str] | Mapping[str, str] | None


def matrix(tracer: Tracer, prompt: Any, answer: Any = None, sources: Sources = None, **options: Any) -> Answer:
    """See `Tracer.matrix`."""
    options = {"rules": tracer.rules, "precision": tracer.precision, **options}
    if isinstance(prompt, Record):
        if answer is not None:
            raise RelevanceError("The record holds the answer already.", "Give either a record, or prompt and answer.")
        named = sources is not None and not isinstance(sources, str) and all(isinstance(s, Source) for s in sources)
        chosen: Any = sources if named else prompt.sources("sentences" if sources is None else sources)  # type: ignore[arg-type]
        return trace_answer(tracer.model, prompt.prompt_ids, prompt.answer_ids, chosen, **options)
    if isinstance(prompt, str) or answer is None or isinstance(answer, str):
        raise RelevanceError(
            "Prompt and answer are token ids, or one record.", "Make a record: recorded(tokenizer, prompt, answer)."
        )
    if sources is not None and (isinstance(sources, str) or not all(isinstance(s, Source) for s in sources)):
        raise RelevanceError("Sources of token ids are a list of Source.", "By name they need a record.")
    return trace_answer(tracer.model, prompt, answer, sources, **options)  # type: ignore[arg-type]


def closure(found: Answer | Tensor, weights: Tensor | Sequence[float] | None, floor: float) -> Closure:
    """See `Tracer.closure`."""
    if isinstance(found, Answer):
        return found.closure(weights, floor)
    lines = torch.as_tensor(found).detach().cpu().double()
    if lines.dim() != 2 or lines.shape[1] <= lines.shape[0] or not bool(torch.isfinite(lines).all()):
        raise RelevanceError("A matrix for a closure is (T, P + T), one finite line for each answer token.")
    prompt = lines.shape[1] - len(lines)
    scores, w = lines.sum(1), weights_of(weights, len(lines))
    handed, kept, through = close(lines[:, prompt:], lines[:, :prompt], scores, w, floor)
    return Closure(handed, handed.new_zeros(0), 0.0, float(handed.sum()), 0.0, kept, through, float(w @ scores))
