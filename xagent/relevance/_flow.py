"""One gradient of one forward: what it brings to the books, and what it went through unseen."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.utils.checkpoint import CheckpointError

from ._errors import RelevanceError
from ._kinds import opened
from ._ledger import Books
from ._mode import TraceMode
from ._output import first_tensor
from ._precision import LOW
from ._step import carries
from ._target import Target


@dataclass(frozen=True)
class Asked:
    """A question: the arguments of `Tracer.trace` without the inputs."""

    of: tuple[str, ...]
    target: Target
    baseline: dict[str, Tensor]
    layers: bool
    heads: bool
    neurons: bool
    experts: bool = False


def flow(
    mode: TraceMode,
    asked: Asked,
    output: Any,
    score: Tensor,
    linear: Tensor,
    leaves: Mapping[str, Tensor],
    again: bool,
    relevance: dict[str, Tensor],
) -> None:
    """One gradient of `linear`; adds what it brings to the books and to the relevance of every leaf."""
    if score is not linear and asked.target.function is not None:
        mode.books.post(asked.target.entry, (score.double() - linear.detach().double()).reshape(mode.books.batch))
    gradients: Sequence[Tensor | None] = [None] * len(leaves)
    if carries(linear):
        seed = linear.sum()
        mode.finished, mode.only_once = False, not again
        seed.register_hook(mode.finish)  # type: ignore[no-untyped-call]
        try:
            with mode:  # to notice a forward that is recomputed now
                gradients = opened(torch.autograd.grad)(
                    seed, list(leaves.values()), retain_graph=again, allow_unused=True
                )
        except CheckpointError:  # it was recomputed where the mode does not look, and without its rules
            raise RelevanceError(
                "The model recomputes its forward during the gradient (checkpointing), which would falsify the trace.",
                "Switch gradient checkpointing off.",
            ) from None
    else:
        mode.books.post(mode.origin(first_tensor(output)), linear.reshape(mode.books.batch))
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        amount = _relevance(mode.books, leaf, gradient, asked.baseline.get(name))
        relevance[name] = relevance[name] + amount if name in relevance else amount


def _relevance(books: Books, leaf: Tensor, gradient: Tensor | None, baseline: Tensor | None) -> Tensor:
    """(x - baseline) * gradient, booked; the products of 16 bits in float32."""
    x = leaf.detach()
    x = x.float() if x.dtype in LOW else x
    if gradient is None:
        return torch.zeros_like(x)
    if baseline is None:
        relevance = x * gradient
    else:
        reference = baseline.to(x).expand_as(x)
        relevance = (x - reference) * gradient
        books.post("baseline", reference * gradient)
    books.post("inputs", relevance)
    return relevance


def unseen(score: Tensor) -> dict[str, int]:
    """Why an account does not add up: the `autograd.Function`s in the graph of the score, with their number.

    The mode sees torch's functions alone; these, and what kernels outside of torch are wrapped in, go past it.
    """
    found: dict[str, int] = {}
    nodes, known = [score.grad_fn], set()
    while nodes:
        node = nodes.pop()
        if node is None or node in known:
            continue
        known.add(node)
        nodes.extend(following for following, _ in node.next_functions)
        function = getattr(type(node), "_forward_cls", None)
        if function is not None and not function.__module__.startswith(("xagent.relevance", "torch.")):
            name = f"unseen: {function.__module__}.{function.__qualname__}"
            found[name] = found.get(name, 0) + 1
    return found or {"unseen": 1}
