"""The tracer: one ordinary forward under the function mode, one gradient, one account."""

from __future__ import annotations

import contextlib
import inspect
import threading
import weakref
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_leaves

from ._activations import whole_activations
from ._errors import RelevanceError
from ._ledger import ENTRIES, Books, Ledger, adds_up, balance
from ._mode import TraceMode, opened
from ._step import carries
from ._table import rule_set
from ._target import Target

Forward = Callable[[dict[str, Any]], Any]

# two traces of one model must not freeze and thaw its parameters under each other's hands
_LOCKS: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()


@dataclass(frozen=True)
class Trace:
    """The relevance of the inputs of one forward, and its account.

    relevance: by input name, signed, shape and dtype of the input: (x - baseline) * gradient.
    score: (batch,), the explained score in the model's dtype.
    ledger: where the score went, see `Ledger`.
    layers: by module name, (batch,) float64: relevance in the module's output, summed over its calls.
    audit: operations without a rule that relevance went through, with their number of calls. "unseen" stands for an
        operation that is no torch function (an `autograd.Function`, a kernel): then the ledger does not add up.
    status: "exact" if every operation had a rule, else "audited".
    """

    relevance: dict[str, Tensor]
    score: Tensor
    ledger: Ledger
    layers: dict[str, Tensor]
    audit: dict[str, int]
    status: Literal["exact", "audited"]


class Tracer:
    """Traces the score of a model back to its inputs.

    model: an `nn.Module` in evaluation mode, or the module of a loaded `torch.export` program. float32, float64, bf16.
    rules: the name of a rule set: "conserving" (nothing is lost) or "gradient" (torch's own gradient times input).
    forward: called with the inputs by name, returns (batch, columns); by default the model itself, whose output may be
        a tensor, a tuple or mapping with the tensor first, or have `.logits`.
    """

    def __init__(self, model: nn.Module, rules: str = "conserving", forward: Forward | None = None) -> None:
        self.model = model
        self.rules = rule_set(rules)
        self.forward: Forward = forward or self._call

    def trace(
        self,
        inputs: Mapping[str, Any],
        of: Sequence[str],
        target: Target,
        baseline: Mapping[str, Tensor] | None = None,
        layers: bool = False,
    ) -> Trace:
        """Explain `target` of model(inputs) by the inputs named in `of` (floating point, batch first).

        Raises RelevanceError (a ValueError) for an input that is missing or holds integers, a target that the output
        does not have, and a score that is not finite.
        """
        _check(self.model, inputs, of, baseline or {})
        with _lock(self.model):
            trace, uneven = self._once(inputs, of, target, baseline or {}, layers)
            batch = len(trace.score)
            folded = batch > 1 and (uneven or not adds_up(trace.ledger, trace.score.dtype))
            if folded and all(inputs[name].shape[0] == batch for name in of):
                return self._singly(batch, inputs, of, target, baseline or {}, layers)
        return trace

    def _once(
        self, inputs: Mapping[str, Any], of: Sequence[str], target: Target, baseline: Mapping[str, Tensor], layers: bool
    ) -> tuple[Trace, bool]:
        mode = TraceMode(self.rules)
        whole = whole_activations(self.model) if self.rules.whole_activations else contextlib.nullcontext()
        with torch.inference_mode(False), torch.enable_grad(), frozen(self.model), whole:
            leaves = {name: inputs[name].detach().clone().requires_grad_() for name in of}
            with recorded(self.model, mode.books, layers) as sums, mode:
                # a copy goes in, because a model may overwrite its input in place
                output = first_tensor(self.forward({**inputs, **{n: x.clone() for n, x in leaves.items()}}))
            score = target.score(output)
            if not bool(torch.isfinite(score).all()):
                raise RelevanceError("The explained score is not finite (NaN or infinite).", "Check the input values.")
            mode.books.batch = len(score)
            gradients: Sequence[Tensor | None] = [None] * len(leaves)
            if carries(score):
                seed = score.sum()
                seed.register_hook(mode.finish)  # type: ignore[no-untyped-call]
                with mode:  # to notice a forward that is recomputed now
                    gradients = opened(torch.autograd.grad)(seed, list(leaves.values()), allow_unused=True)
            else:
                mode.books.post(mode.origin(output), score)
        relevance: dict[str, Tensor] = {}
        for (name, leaf), gradient in zip(leaves.items(), gradients, strict=True):
            x = leaf.detach()
            if gradient is None:
                relevance[name] = torch.zeros_like(x)
                continue
            reference = baseline[name].to(x).expand_as(x) if name in baseline else None
            relevance[name] = (x if reference is None else x - reference) * gradient
            mode.books.post("inputs", relevance[name])
            if reference is not None:
                mode.books.post("baseline", reference * gradient)
        score = score.detach()
        ledger = balance(mode.books.closed(), score.cpu().double())
        if not mode.books.uneven and not adds_up(ledger, score.dtype):
            mode.audit["unseen"] = 1
        status: Literal["exact", "audited"] = "audited" if mode.audit else "exact"
        by_layer = {name: mode.books.total(f"layer:{name}") for name in sums}
        trace = Trace(relevance, score, ledger, by_layer, dict(sorted(mode.audit.items())), status)
        return trace, mode.books.uneven

    def _singly(self, batch: int, inputs: Mapping[str, Any], *rest: Any) -> Trace:
        """Sample by sample, for models that fold the batch into another dimension; exact, a gradient per sample."""
        of, target, baseline, layers = rest

        def row(values: Mapping[str, Any], i: int) -> dict[str, Any]:
            return {
                name: x[i : i + 1] if isinstance(x, Tensor) and x.dim() and x.shape[0] == batch else x
                for name, x in values.items()
            }

        parts = [self._once(row(inputs, i), of, target, row(baseline, i), layers)[0] for i in range(batch)]
        account = {name: torch.cat([getattr(part.ledger, name) for part in parts]) for name in ENTRIES}
        score = torch.cat([part.score for part in parts])
        return Trace(
            {name: torch.cat([part.relevance[name] for part in parts]) for name in of},
            score,
            balance(account, score.cpu().double()),
            {name: torch.cat([part.layers[name] for part in parts]) for name in parts[0].layers},
            parts[0].audit,
            parts[0].status,
        )

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


def first_tensor(output: Any) -> Tensor:
    """The scores in what a model returns: `.logits`, or the first tensor."""
    output = getattr(output, "logits", output)
    found = [x for x in tree_leaves(output) if isinstance(x, Tensor)]
    if not found:
        raise RelevanceError("The model returns no tensor.", "Give the tracer a forward that returns the scores.")
    return found[0]


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient inside; all as before outside."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


@contextlib.contextmanager
def recorded(model: nn.Module, books: Books, wanted: bool) -> Iterator[list[str]]:
    """Book the relevance of every module's (first) output under "layer:<name>"; yields the names that were reached."""
    reached: list[str] = []

    def record(name: str, output: Any) -> None:
        tensor = next((x for x in tree_leaves(output) if carries(x)), None)
        if tensor is None:
            return
        value = tensor.detach().clone()  # a later module may overwrite it in place
        if name not in reached:
            reached.append(name)
        tensor.register_hook(lambda gradient: books.add(f"layer:{name}", gradient, value))

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any], None]:
        return lambda _module, _inputs, output: record(name, output)

    modules = [(name, module) for name, module in model.named_modules() if name] if wanted else []
    handles = []
    try:
        for name, module in modules:
            handles.append(module.register_forward_hook(hook_for(name)))
        yield reached
    finally:
        for handle in handles:
            handle.remove()


def _lock(model: nn.Module) -> threading.RLock:
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(model, threading.RLock())


def _check(model: nn.Module, inputs: Mapping[str, Any], of: Sequence[str], baseline: Mapping[str, Tensor]) -> None:
    if isinstance(of, str) or not of:
        raise RelevanceError("`of` must list the names of the inputs to explain.")
    for name in of:
        x = inputs.get(name)
        if not isinstance(x, Tensor):
            raise RelevanceError(
                f'There is no tensor called "{name}" among the inputs.', f"Known: {', '.join(inputs)}."
            )
        if not x.is_floating_point():
            raise RelevanceError(
                f'The input "{name}" holds {x.dtype} values; relevance flows only through floating point.',
                "Name an embedding of it instead (inputs_embeds).",
            )
        if name in baseline and not _broadcasts(baseline[name], x):
            raise RelevanceError(f'The baseline of "{name}" does not have the shape {tuple(x.shape)}.')
    for name in baseline:
        if name not in of:
            raise RelevanceError(f'The baseline names "{name}", which is not traced.')
    random = (nn.modules.dropout._DropoutNd, nn.modules.batchnorm._BatchNorm)
    if any(isinstance(module, random) and module.training for module in model.modules()):
        raise RelevanceError("The model is in training mode.", "Call model.eval() first.")


def _broadcasts(baseline: Tensor, x: Tensor) -> bool:
    try:
        return bool(baseline.expand_as(x).shape == x.shape)
    except RuntimeError:
        return False
