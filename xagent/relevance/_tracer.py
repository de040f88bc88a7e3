"""The tracer: one ordinary forward under the function mode, one gradient, one account."""

from __future__ import annotations

import contextlib
import inspect
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from ._activations import whole_activations
from ._check import all_called, check, floating, suspect
from ._errors import RelevanceError
from ._ledger import Books, adds_up, balance
from ._mode import TraceMode, opened
from ._output import first_tensor
from ._rules_conserving import ACTIVATIONS
from ._step import carries
from ._table import rule_set
from ._target import Target
from ._trace import Trace, joined, without
from ._watch import Watch, frozen, substituted

__all__ = ["Trace", "Tracer", "first_tensor", "frozen"]

Forward = Callable[[dict[str, Any]], Any]

# two traces of one model must not freeze and thaw its parameters under each other's hands
_LOCKS: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()

_HIDDEN = frozenset(ACTIVATIONS.split()) | {"relu", "leaky_relu", "prelu"}


@dataclass(frozen=True)
class _Asked:
    """A question: the arguments of `Tracer.trace` without the inputs."""

    of: tuple[str, ...]
    target: Target
    baseline: dict[str, Tensor]
    layers: bool
    heads: bool
    neurons: bool


class Tracer:
    """Traces the score of a model back to its inputs.

    model: an `nn.Module` in evaluation mode, or the module of a loaded `torch.export` program. float32, float64, bf16.
        A compiled module is traced as the module that was compiled.
    rules: the name of a rule set: "conserving" (nothing is lost), "fastest", "attnlrp", "blend:0.25", "gamma",
        "gamma:0.25", "z+", or "gradient" (torch's own gradient times input). See docs/rules.md.
    forward: called with the inputs by name, returns (batch, columns); by default the model itself, whose output may be
        a tensor, a tuple, mapping or dataclass with the tensor first, or have `logits`.
    """

    def __init__(self, model: nn.Module, rules: str = "conserving", forward: Forward | None = None) -> None:
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.rules = rule_set(rules)
        self.forward: Forward = forward or self._call

    def trace(
        self,
        inputs: Mapping[str, Any],
        of: Sequence[str],
        target: Target,
        baseline: Mapping[str, Tensor] | None = None,
        layers: bool = False,
        heads: bool = False,
        neurons: bool = False,
    ) -> Trace:
        """Explain `target` of model(inputs) by what is named in `of` (floating point, batch first).

        of: names of inputs, or of modules ("embeddings.word_embeddings"): what the module returns is explained then,
            and relevance ends there. Its further calls in the same forward have the names "module#2" and so on.
        layers, heads, neurons: also record the relevance inside the model; no further gradient is taken.

        Raises RelevanceError (a ValueError) for an input that is missing or holds integers, a target that the output
        does not have, and a score or relevance that is not finite.
        """
        check(self.model, inputs, of, baseline or {})
        asked = _Asked(tuple(of), target, dict(baseline or {}), layers, heads, neurons)
        with _lock(self.model):
            trace, uneven = self._once(inputs, asked)
            if len(trace.score) > 1 and (uneven or not adds_up(trace.ledger, trace.score.dtype)):
                trace, _ = self._once(inputs, asked, by_sample=True)
        if not bool(torch.isfinite(trace.ledger.inputs).all()):
            raise RelevanceError("The relevance is not finite (NaN or infinite).", suspect(self.model))
        return trace

    def _once(self, inputs: Mapping[str, Any], asked: _Asked, by_sample: bool = False) -> tuple[Trace, bool]:
        """One forward and one gradient, or a gradient for every sample, whose bookings then are its own.

        The latter is for models that fold the batch into another dimension (tokens first, packed sequences).
        """
        mode = TraceMode(self.rules)
        watch = Watch(mode, asked.layers, asked.heads, asked.neurons, _HIDDEN)
        mode.watch = watch if asked.heads or asked.neurons else None

        def noted(y: Tensor) -> None:
            mode.note(y, "activation")
            watch.hidden(y)

        leaves: dict[str, Tensor] = {}
        relevance: dict[str, Tensor] = {}

        def enter(name: str, x: Tensor) -> Tensor:
            leaves[name] = floating(name, x).detach().clone().requires_grad_()
            return leaves[name].clone()  # a copy goes in, because a model may overwrite its input in place

        modules = [name for name in asked.of if name not in inputs]
        whole = whole_activations(self.model, noted) if self.rules.whole_activations else contextlib.nullcontext()
        with torch.inference_mode(False), torch.enable_grad(), frozen(self.model), whole:
            with substituted(self.model, modules, enter), watch.attached(self.model), mode:
                given = {name: enter(name, inputs[name]) for name in asked.of if name in inputs}
                output = self.forward({**inputs, **given})
            all_called(modules, leaves)
            score, linear = asked.target.linearised(output)
            if not bool(torch.isfinite(score).all()):
                raise RelevanceError("The explained score is not finite (NaN or infinite).", suspect(self.model))
            books = []
            for part in range(len(score)) if by_sample else (slice(None),):
                books.append(Books(1 if by_sample else len(score)))
                mode.books = books[-1]
                _flow(mode, asked, output, score[part], linear[part], leaves, by_sample, relevance)
        ledger = balance(joined([b.closed() for b in books]), score.detach().cpu().double())
        if not mode.books.uneven and not adds_up(ledger, score.dtype):
            mode.audit["unseen"] = 1
        layers = joined([{name: b.total(f"layer:{name}") for name in watch.names} for b in books])
        final = score.detach()

        def remove(name: str, index: Tensor) -> Tensor:
            changed = without(leaves[name].detach(), asked.baseline.get(name), index)
            return final.unsqueeze(1) - self._repeated(inputs, asked, name, changed, len(final)).view(index.shape)

        trace = Trace(
            relevance,
            final,
            ledger,
            layers,
            dict(sorted(mode.audit.items())),
            "audited" if mode.audit else "exact",
            watch.reached("heads"),
            watch.reached("neurons"),
            remove,
        )
        return trace, mode.books.uneven

    def _repeated(self, inputs: Mapping[str, Any], asked: _Asked, name: str, x: Tensor, batch: int) -> Tensor:
        """The scores with x (times * batch, ...) in the place of `name`; every other input is repeated."""
        times = len(x) // batch
        many = {
            key: v.repeat_interleave(times, 0) if isinstance(v, Tensor) and v.shape[:1] == (batch,) else v
            for key, v in inputs.items()
        }
        modules = [] if name in inputs else [name.partition("#")[0]]
        with torch.no_grad(), _lock(self.model):
            with substituted(self.model, modules, lambda label, value: x.clone() if label == name else value):
                output = self.forward({**many, **({} if modules else {name: x})})
            return asked.target.linearised(output)[0].detach()

    def _call(self, inputs: dict[str, Any]) -> Any:
        """The model on its inputs by name; in their order where its forward has other names for them."""
        signature = inspect.signature(self.model.forward)
        exported = getattr(self.model, "_in_spec", None)  # an exported program insists on how it was called
        try:
            bound = signature.bind(**inputs)
        except TypeError:
            return self.model(*inputs.values())
        if exported is not None:
            by_name = set(exported.children()[1].context)
            rest = {name: x for name, x in inputs.items() if name in by_name}
            return self.model(*(x for name, x in bound.arguments.items() if name not in by_name), **rest)
        return self.model(**inputs)


def _flow(
    mode: TraceMode,
    asked: _Asked,
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
        mode.finished = False
        seed.register_hook(mode.finish)  # type: ignore[no-untyped-call]
        with mode:  # to notice a forward that is recomputed now
            gradients = opened(torch.autograd.grad)(seed, list(leaves.values()), retain_graph=again, allow_unused=True)
    else:
        mode.books.post(mode.origin(first_tensor(output)), linear.reshape(mode.books.batch))
    for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
        amount = _relevance(mode.books, leaf, gradient, asked.baseline.get(name))
        relevance[name] = relevance[name] + amount if name in relevance else amount


def _relevance(books: Books, leaf: Tensor, gradient: Tensor | None, baseline: Tensor | None) -> Tensor:
    """(x - baseline) * gradient, booked."""
    x = leaf.detach()
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


def _lock(model: nn.Module) -> threading.RLock:
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(model, threading.RLock())
