"""Rows of an answer: one backward for each answer token, or one for any weighted sum of them."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor

from ._activations import whole_activations
from ._answer_forward import Script, visible
from ._answer_memory import segmented
from ._errors import NotFinite
from ._kinds import opened
from ._ledger import ENTRIES
from ._mode import TraceMode
from ._step import carries
from ._table import RuleSet
from ._watch import frozen

BLOCK = 32  # answer tokens that share one graph: what a later token costs more is paid for 16 on average only


@dataclass
class Traced:
    """What one way of tracing found: one line for each answer token, or a single one for their weighted sum.

    parts: (lines, parts) float64, relevance by token (rows, span) or by group of tokens (columns).
    entries: ledger entry -> (lines,) float64, without `inputs`. scores: (lines,) float64.
    """

    parts: Tensor
    entries: dict[str, Tensor]
    scores: Tensor
    audit: dict[str, int]


def rows(script: Script, rules: RuleSet, chunk: int = 1, block: int = BLOCK, segments: bool = False) -> Traced:
    """One line for each answer token; parts are tokens, (T, P + T).

    Causal stop: the tokens are traced in blocks, each over the prefix that it can see. Within a block one graph of
    `chunk` equal batch rows is kept, and one backward gives `chunk` lines. The graph of a block is the memory it
    needs; with `segments` it is that of one decoder layer, for one more forward a backward.
    """
    lines: list[Traced] = []
    for first in range(0, script.answer, block):
        last = min(first + block, script.answer)
        copies = min(chunk, last - first)
        with graph(script, rules, first, last, copies, segments) as (leaf, scores, mode):
            for start in range(0, last - first, copies):
                picked = torch.arange(start, min(start + copies, last - first), device=scores.device)
                seeds = torch.zeros_like(scores)
                seeds[torch.arange(len(picked), device=scores.device), picked] = 1
                lines.append(backward(script, leaf, scores, seeds, mode, len(picked), segments))
        if copies > 1 and mode.books.uneven:  # experts fold the copies into the tokens: bookings cannot be split
            return rows(script, rules, 1, block, segments)
    audit: dict[str, int] = {}
    for line in lines:
        audit |= line.audit
    return Traced(
        torch.cat([line.parts for line in lines]),
        {name: torch.cat([line.entries[name] for line in lines]) for name in lines[0].entries},
        torch.cat([line.scores for line in lines]),
        audit,
    )


def span(script: Script, rules: RuleSet, weights: Tensor, segments: bool = False) -> Traced:
    """One line for sum_t weights_t score_t by a single backward; exact, since the backward is linear in its seed."""
    with graph(script, rules, 0, script.answer, 1, segments) as (leaf, scores, mode):
        return backward(script, leaf, scores, weights.to(scores).view(1, -1), mode, 1, segments)


@contextlib.contextmanager
def graph(
    script: Script, rules: RuleSet, first: int, last: int, copies: int, segments: bool = False
) -> Iterator[tuple[Tensor, Tensor, TraceMode]]:
    """Leaf (copies, P + last - 1, width), scores (copies, last - first), and the mode that keeps the books."""
    mode = TraceMode(rules)
    mode.books.batch = copies

    def noted(y: Tensor) -> None:
        mode.note(y, "activation")

    whole = whole_activations(script.model, mode, noted) if rules.whole_activations else contextlib.nullcontext()
    parts = segmented(script.model, mode) if segments else contextlib.nullcontext()
    # segments run the model again during the gradient, so that all of this lasts until the end
    with torch.inference_mode(False), torch.enable_grad(), frozen(script.model), visible(script.model), whole, parts:
        x = script.embeddings[:, : script.prompt + last - 1]
        leaf = x.expand(copies, *x.shape[1:]).clone().requires_grad_()
        with mode:
            logits, narrow = script.logits(leaf.clone(), first, last)
        scores = script.scores(logits, narrow, first, last)
        if not bool(torch.isfinite(scores).all()):
            raise NotFinite("A score of the answer is not finite (NaN or infinite).", "Check the model's weights.")
        mode.finished = True
        yield leaf, scores, mode


def backward(
    script: Script, leaf: Tensor, scores: Tensor, seeds: Tensor, mode: TraceMode, lines: int, segments: bool = False
) -> Traced:
    """`lines` lines for seeds (copies, answer tokens), from one gradient."""
    mode.books.entries.clear()
    values = (scores.detach() * seeds).sum(1)
    parts = torch.zeros(lines, script.length, dtype=torch.float64)
    if carries(scores):
        # the mode notices a forward that is recomputed now; segments, which do just that, look for themselves
        with contextlib.nullcontext() if segments else mode:
            (gradient,) = opened(torch.autograd.grad)(
                scores, [leaf], grad_outputs=[seeds], retain_graph=True, allow_unused=True
            )
        if gradient is not None:
            x = leaf.detach()
            wide = torch.float32 if x.dtype.itemsize < 4 else x.dtype
            parts[:, : x.shape[1]] = (x.to(wide) * gradient.to(wide))[:lines].sum(-1).cpu().double()
    else:
        mode.books.post("constants", values)
    entries = {name: mode.books.total(name)[:lines] for name in ENTRIES if name != "inputs"}
    return Traced(parts, entries, values[:lines].cpu().double(), dict(mode.audit))
