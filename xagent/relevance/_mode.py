"""The one function mode: sees every torch operation of one ordinary forward and applies the table of rules to it."""

from __future__ import annotations

import weakref
from collections.abc import Callable, Iterable, Iterator
from functools import wraps
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves

from ._errors import RelevanceError
from ._kinds import EMBEDDINGS, is_composite, kind_of, opened, out_of_place
from ._ledger import Books
from ._notes import Notes
from ._step import Step, quiet
from ._table import RuleSet
from ._watch import Watch


class Cell(list[Tensor]):
    """A tensor that somebody still needs as it is; a list, but one that can be referred to weakly."""


class TraceMode(TorchFunctionMode):
    """While active, every operation is traced by its rule. Nothing is patched; outside the `with` nothing changes."""

    def __init__(self, rules: RuleSet) -> None:
        super().__init__()
        self.rules = rules
        self.books = Books()
        self.audit: dict[str, int] = {}
        self.marks: Notes[str] = Notes()
        self.watch: Watch | None = None  # who wants to see the operations
        self._watched: dict[int, list[weakref.ref[Cell]]] = {}  # by storage: values that must outlive overwriting
        self.finished = False
        self.only_once = False  # one gradient will flow, and what the rules hold for it may be overwritten by it

    def __torch_function__(
        self, operation: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kind = kind_of(operation)
        if kind.question:
            return operation(*args, **kwargs) if kwargs else operation(*args)
        kwargs = kwargs or {}
        recording = torch.is_grad_enabled()
        if self.finished and not recording:  # the bookings themselves
            return operation(*args, **kwargs)
        if not (recording and args and isinstance(args[0], Tensor) and args[0].requires_grad):  # else it is traced
            leaves = list(tensors_in((*args, *kwargs.values()) if kwargs else args))
            if not recording or not any(x.requires_grad for x in leaves):
                return self._constant(operation, args, kwargs, leaves)
        if self.finished:
            raise RelevanceError(
                "The model recomputes its forward during the gradient (checkpointing), which would falsify the trace.",
                "Switch gradient checkpointing off.",
            )
        plain, args, kwargs, in_place = out_of_place(operation, kind, args, kwargs)
        rule = self.rules.get(plain)
        if rule is None:
            if is_composite(operation):
                with self:
                    return opened(operation)(*args, **kwargs)
            rule = _in_place_unhandled if kind.ends_in_place else _unhandled
        if not in_place:
            if kind.overwrites and self._watched and args:
                self.rescue(args[0])
            y = rule(Step(self, plain, args, kwargs), *args, **kwargs)
            if self.watch is not None and self.watch.of_operations:
                self.watch.seen(kind_of(plain).name, plain, args, kwargs, y)
            return y
        target = args[0]
        self.rescue(target)
        args = (target.clone(), *args[1:])
        target.copy_(rule(Step(self, plain, args, kwargs), *args, **kwargs))
        if self.watch is not None and self.watch.of_operations:
            self.watch.seen(kind_of(plain).name, plain, args, kwargs, target)
        return target

    def watched(self, x: Tensor) -> Cell:
        """The value of x as it is now, in a cell; copied only if the model overwrites it."""
        with quiet():
            cell = Cell([x.detach()])
            self._watched.setdefault(x.untyped_storage().data_ptr(), []).append(weakref.ref(cell))
        return cell

    def rescue(self, target: Any) -> None:
        """`target` is about to be overwritten: keep what is still needed of its storage."""
        if self._watched and isinstance(target, Tensor):
            for reference in self._watched.pop(target.untyped_storage().data_ptr(), []):
                cell = reference()
                if cell is not None:
                    cell[0] = cell[0].clone()

    def _constant(self, operation: Callable[..., Any], args: Any, kwargs: dict[str, Any], leaves: list[Tensor]) -> Any:
        """An operation on constants; what it makes of positions is still a position."""
        if self._watched and args and kind_of(operation).overwrites:
            self.rescue(args[0])
        y = operation(*args, **kwargs)
        note = "positions" if operation in EMBEDDINGS else next(filter(None, map(self.marks.get, leaves)), None)
        if not note and leaves and all(_is_bias(x) for x in leaves):
            note = "biases"
        if note:
            self.note(y, note)
        if self.watch is not None and self.watch.experts is not None and isinstance(y, Tensor):
            self.watch.experts.seen(kind_of(operation).name, operation, args, kwargs, y)
        return y

    def finish(self, _: Tensor) -> None:
        """The gradient has begun: from now on nothing may be traced."""
        self.finished = True

    def note(self, y: Any, note: str) -> None:
        """Note the origin of every tensor in y."""
        for x in tree_leaves(y):
            if isinstance(x, Tensor) and not isinstance(x, nn.Parameter):
                self.marks[x] = note

    def origin(self, addend: Any) -> str:
        """The ledger entry of a constant that is added: biases, positions, softmax or constants."""
        if isinstance(addend, Tensor):
            if _is_bias(addend):
                return "biases"
            note = self.marks.get(addend) or "constants"
            return note if note in ("biases", "positions", "softmax") else "constants"
        return "constants"

    def origin_of(self, tree: Any) -> str:
        """The ledger entry of the first constant in a tree of arguments that has one of its own."""
        origins = [self.origin(x) for x in tree_leaves(tree) if isinstance(x, Tensor) and not x.requires_grad]
        return next((entry for entry in origins if entry != "constants"), "constants")

    def count(self, operation: Callable[..., Any]) -> None:
        """Name an operation in the audit."""
        known = resolve_name(operation) or resolve_name(getattr(operation, "__wrapped__", operation))
        name = known or str(getattr(operation, "__name__", operation))
        self.audit[name] = self.audit.get(name, 0) + 1


def tensors_in(values: Iterable[Any]) -> Iterator[Tensor]:
    """The tensors among arguments; what torch operations take is a value or a sequence of values."""
    for x in values:
        if isinstance(x, Tensor):
            yield x
        elif isinstance(x, (list, tuple)):
            yield from tensors_in(x)


def _is_bias(x: Tensor) -> bool:
    return isinstance(x, nn.Parameter) and x.dim() == 1


def _unhandled(step: Step, *args: Any, **kwargs: Any) -> Any:
    return step.unhandled()


def _in_place_unhandled(step: Step, *args: Any, **kwargs: Any) -> Any:
    """Works on a copy that is written back, so that the relevance before and after can be told apart."""

    @wraps(step.operation)
    def on_a_copy(x: Tensor, *rest: Any, **options: Any) -> Any:
        return step.operation(x.clone(), *rest, **options)

    y = Step(step.mode, on_a_copy, args, kwargs).unhandled()
    step.mode.rescue(args[0])  # what has just been accounted for
    args[0].copy_(y)
    return args[0]
