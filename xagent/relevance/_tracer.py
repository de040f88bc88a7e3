"""The tracer: one ordinary forward under the function mode, one gradient, one account."""

from __future__ import annotations

import contextlib
import threading
import weakref
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._activations import whole_activations
from ._check import all_called, check, floating, suspect
from ._chunks import batch_of, in_chunks, is_out_of_memory, joined_traces, rows_of
from ._eager import eager_inside
from ._errors import NotFinite, RelevanceError
from ._flow import Asked, flow, unseen
from ._foreign import refuse_foreign_patches
from ._inputs import Given, asked_for, given, signature_of
from ._ledger import Books, adds_up, balance
from ._mode import TraceMode
from ._output import first_tensor
from ._parts import parts_of
from ._precision import ENOUGH, LOW, checked, computed_in_float32, name_of, no_autocast, sixteen_bits
from ._rules_conserving import ACTIVATIONS
from ._table import rule_set
from ._target import Target
from ._trace import Trace, joined, without
from ._watch import Watch, frozen, substituted

if TYPE_CHECKING:
    from ._answer import Answer
    from ._answer_closure import Closure

__all__ = ["Trace", "Tracer", "first_tensor", "frozen"]

Forward = Callable[[dict[str, Any]], Any]

# two traces of one model must not freeze and thaw its parameters under each other's hands
_LOCKS: weakref.WeakKeyDictionary[nn.Module, threading.RLock] = weakref.WeakKeyDictionary()
_LOCKS_LOCK = threading.Lock()

# of what was booked may be missing if samples were taken apart within a dimension; a wrong split misses more
FOLDED = 2e-5

_HIDDEN = frozenset(ACTIVATIONS.split()) | {"relu", "leaky_relu", "prelu"}


class Tracer:
    """Traces the score of a model back to its inputs.

    model: an `nn.Module` in evaluation mode, or the module of a loaded `torch.export` program. float64, float32,
        bfloat16, float16. A compiled module is traced as the module that was compiled.
    rules: the name of a rule set: "conserving" (nothing is lost), "fastest", "attnlrp", "blend:0.25", "gamma",
        "gamma:0.25", "z+", or "gradient" (torch's own gradient times input). See docs/rules.md.
    forward: called with the inputs by name, returns (batch, columns); by default the model itself, whose output may be
        a tensor, a tuple, mapping or dataclass with the tensor first, or have `logits`.
    precision: of a model in 16 bits; any other is traced as it is. "model": in the model's own. "float32": activations
        and gradients in float32, weights in their dtype and cast for one operation at a time. "auto": in the model's
        own, and once more in float32 where the account then misses more than a hundredth of the score or is not
        finite. The trace says which (`trace.precision`) and how far its score is from the model's own in 16 bits
        (`trace.rounding`).
    """

    def __init__(
        self, model: nn.Module, rules: str = "conserving", forward: Forward | None = None, precision: str = "auto"
    ) -> None:
        self.model: nn.Module = getattr(model, "_orig_mod", model)
        self.rules = rule_set(rules)
        self.forward = forward
        self.precision = checked(precision)

    def trace(
        self,
        inputs: Mapping[str, Any] | Sequence[Any] | Tensor,
        of: Sequence[str | int] | None = None,
        target: Target | None = None,
        baseline: Mapping[str, Tensor] | None = None,
        layers: bool = False,
        heads: bool = False,
        neurons: bool = False,
        experts: bool = False,
    ) -> Trace:
        """Explain `target` of model(inputs) by what is named in `of` (floating point, batch first).

        inputs: the model's arguments: by name, or a tuple in the order of its forward, or its only one. They may hold
            anything that the model takes, tensors inside of mappings and lists included.
        of: names of inputs ("pixels"; "batch.pixels" and "images.0" inside of others), their positions, or names of
            modules ("embeddings.word_embeddings"): what the module returns is explained then, and relevance ends
            there. Its further calls in the same forward have the names "module#2" and so on. None: the only input
            that holds floating point values.
        target: what is explained; None is `Target.value()`, the only column of a regression.
        layers, heads, neurons, experts: also record the relevance inside the model; no further gradient is taken.

        A batch that does not fit into memory is traced in halves, and in halves of these.

        Raises RelevanceError (a ValueError) for an input that is missing or holds integers, a target that the output
        does not have, a score or relevance that is not finite, a single sample that does not fit into memory, and a
        process in which another tool has replaced functions of torch or transformers.
        """
        with parts_of(self.model):
            return self._asked(inputs, of, target, baseline, layers, heads, neurons, experts)

    def matrix(self, prompt: Any, answer: Any = None, sources: Any = None, **options: Any) -> Answer:
        """Explain every token of a language model's answer by the sources of its prompt: by rows or columns.

        prompt, answer: token ids, (P,) and (T,); or one `Record`, which knows both. sources: a list of `Source`, every
        token by default; of a record also "tokens", "sentences" (its default), "turns", "tools" or chunks of text.
        options: the keyword arguments of `trace_answer` (way, weights, seed, foils, sink, chunk, memory).
        """
        from ._answer_face import matrix

        return matrix(self, prompt, answer, sources, **options)

    def closure(self, matrix: Any, weights: Any = None, floor: float = 1e-3) -> Closure:
        """Hand what generated tokens absorbed back to the prompt: one triangular solve (see `Answer.closure`).

        matrix: an `Answer` made by rows, or its tokens, (T, P + T). weights: (T,) which answer tokens are asked about.
        """
        from ._answer_face import closure

        return closure(matrix, weights, floor)

    def _asked(
        self, inputs: Any, of: Any, target: Target | None, baseline: Mapping[str, Tensor] | None, *inside: bool
    ) -> Trace:
        refuse_foreign_patches(self.model)
        arguments = given(self.model, inputs)
        names = asked_for(self.model, arguments, of)
        own = {name if isinstance(name, str) else [*arguments.by_name][name]: x for name, x in (baseline or {}).items()}
        check(self.model, arguments, names, own)
        asked = Asked(names, target or Target.value(), own, *inside)
        rows = batch_of(arguments, names)

        def run(part: slice | None) -> Trace:
            if part is None:
                return self._precise(arguments, asked)
            some = arguments.mapped(lambda x: rows_of(x, part, rows))
            trace = self._precise(
                some, replace(asked, baseline={name: rows_of(x, part, rows) for name, x in own.items()})
            )
            if len(trace.score) != part.stop - part.start:
                raise RelevanceError("The batch does not fit into memory and cannot be split.", "Give fewer samples.")
            return trace

        with _lock(self.model), eager_inside(self.model):
            return joined_traces(in_chunks(run, rows))

    def _precise(self, inputs: Given, asked: Asked) -> Trace:
        """The trace in the precision asked for; of a float32 trace of 16 bits also the rounding."""
        low = sixteen_bits(self.model, inputs.tensors())
        first: Trace | None = None
        if self.precision != "float32" or low is None:
            try:
                first = self._traced(inputs, asked, low)
            except NotFinite:
                if self.precision == "model" or low is None:
                    raise
            else:
                narrow = low is not None or first.score.dtype in LOW  # the latter: a forward that autocasts
                enough = self.precision != "float32" and bool((first.ledger.gap <= ENOUGH).all())
                if self.precision == "model" or not narrow or enough:
                    return first
        if first is None:
            with torch.inference_mode(False), torch.no_grad():
                own = asked.target.linearised(self._output(inputs))[0]
        else:
            own = first.score
        try:
            wide = self._traced(inputs, asked, None, wide=True)
        except (RuntimeError, TypeError) as error:
            if is_out_of_memory(error):
                raise
            raise RelevanceError(
                f"The model cannot be computed in float32 ({str(error).partition(chr(10))[0]}).",
                'Trace with precision="model" and mind the gap of the ledger.',
            ) from error
        return replace(wide, rounding=wide.score.cpu().double() - own.detach().cpu().double())

    def _traced(self, inputs: Given, asked: Asked, low: torch.dtype | None, wide: bool = False) -> Trace:
        with no_autocast(wide):
            trace, uneven = self._once(inputs, asked, low, wide)
            if len(trace.score) > 1 and (uneven or not adds_up(trace.ledger, low or trace.score.dtype)):
                trace, _ = self._once(inputs, asked, low, wide, by_sample=True)
        if not bool(torch.isfinite(trace.ledger.inputs).all()):
            raise NotFinite("The relevance is not finite (NaN or infinite).", suspect(self.model))
        return trace

    def _once(
        self, inputs: Given, asked: Asked, low: torch.dtype | None, wide: bool, by_sample: bool = False
    ) -> tuple[Trace, bool]:
        """One forward and one gradient, or a gradient for every sample, whose bookings then are its own.

        The latter is for models that fold the batch into another dimension (tokens first, packed sequences).
        """
        mode = TraceMode(self.rules)
        watch = Watch(mode, asked.layers, asked.heads, asked.neurons, _HIDDEN, asked.experts)
        mode.watch = watch if watch.layers or watch.of_operations else None

        def noted(y: Tensor) -> None:
            mode.note(y, "activation")
            watch.hidden(y)

        leaves: dict[str, Tensor] = {}
        relevance: dict[str, Tensor] = {}

        def enter(name: str, x: Tensor) -> Tensor:
            leaves[name] = floating(name, x).detach().clone().requires_grad_()  # in float32 where that is the precision
            return leaves[name].clone()  # a copy goes in, because a model may overwrite its input in place

        modules = [name for name in asked.of if inputs.find(name) is None]
        whole = whole_activations(self.model, mode, noted) if self.rules.whole_activations else contextlib.nullcontext()
        with torch.inference_mode(False), torch.enable_grad(), frozen(self.model), whole:
            hooked = substituted(self.model, modules, enter)
            with hooked, watch.attached(self.model), computed_in_float32(wide), mode:
                entered = {name: enter(name, inputs.find(name)) for name in asked.of if name not in modules}
                output = self._output(replace(inputs, by_name=inputs.replaced(entered)))
            all_called(modules, leaves)
            score, linear = asked.target.linearised(output)
            if not bool(torch.isfinite(score).all()):
                raise NotFinite("The explained score is not finite (NaN or infinite).", suspect(self.model))
            books = []
            for part in range(len(score)) if by_sample else (slice(None),):
                books.append(Books(1 if by_sample else len(score)))
                mode.books = books[-1]
                flow(mode, asked, output, score[part], linear[part], leaves, by_sample, relevance)
        ledger = balance(joined([b.closed() for b in books]), score.detach().cpu().double())
        if not mode.books.uneven and not adds_up(ledger, low or score.dtype):
            mode.audit.update(unseen(linear))
        layers = joined([b.totals("layer", [*watch.names]) for b in books])
        final = score.detach()

        def remove(name: str, index: Tensor) -> Tensor:
            changed = without(leaves[name].detach(), asked.baseline.get(name), index)
            return final.unsqueeze(1) - self._repeated(inputs, asked, name, changed, len(final), wide).view(index.shape)

        trace = Trace(
            relevance,
            final,
            ledger,
            layers,
            dict(sorted(mode.audit.items())),
            "audited" if mode.audit else "exact",
            watch.reached("heads", len(final)),
            watch.reached("neurons"),
            remove,
            name_of(low or final.dtype),
            experts=watch.reached("experts", len(final)),
        )
        unsure = mode.books.folded and (low is not None or not adds_up(ledger, score.dtype, FOLDED))
        return trace, mode.books.uneven or unsure

    def _repeated(self, inputs: Given, asked: Asked, name: str, x: Tensor, batch: int, wide: bool) -> Tensor:
        """The scores with x (times * batch, ...) in the place of `name`; every other input is repeated."""
        times, rows = len(x) // batch, len(x)
        many = inputs.mapped(lambda v: v.repeat_interleave(times, 0) if v.shape[:1] == (batch,) else v)
        modules = [] if inputs.find(name) is not None else [name.partition("#")[0]]

        def run(part: slice | None) -> Tensor:
            some = many if part is None else many.mapped(lambda v: rows_of(v, part, rows))
            own = x if part is None else x[part]
            some = some if modules else replace(some, by_name=some.replaced({name: own}))

            def enter(label: str, value: Tensor) -> Tensor:
                return own.clone() if label == name else value

            with substituted(self.model, modules, enter), computed_in_float32(wide), no_autocast(wide):
                output = self._output(some)
            return asked.target.linearised(output)[0].detach()

        with torch.no_grad(), _lock(self.model), eager_inside(self.model):
            return torch.cat(in_chunks(run, rows))

    def _output(self, inputs: Given) -> Any:
        """What the model returns: on its inputs by name; in their order where its forward has other names for them."""
        if self.forward is not None:
            return self.forward(inputs.by_name)
        exported = getattr(self.model, "_in_spec", None)  # an exported program insists on how it was called
        if inputs.positional and exported is None:
            return self.model(*inputs.by_name.values())
        try:
            bound = signature_of(self.model.forward).bind(**inputs.by_name)
        except TypeError:
            return self.model(*inputs.by_name.values())
        if exported is not None:
            by_name = set(exported.children()[1].context)
            rest = {name: x for name, x in inputs.by_name.items() if name in by_name}
            return self.model(*(x for name, x in bound.arguments.items() if name not in by_name), **rest)
        return self.model(**inputs.by_name)


def _lock(model: nn.Module) -> threading.RLock:
    with _LOCKS_LOCK:
        return _LOCKS.setdefault(model, threading.RLock())
