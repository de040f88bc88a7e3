"""One intercepted operation, and what a rule may do with it.

A rule gets a `Step` and the operation's own arguments. It returns the operation's value, unchanged, attached to the
graph by a backward of its choice; relevance at any tensor h is h * gradient.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves, tree_map

from ._errors import RelevanceError

if TYPE_CHECKING:
    from ._mode import TraceMode

Backward = Callable[[Tensor], Tensor]

# inside, the mode that watches the gradient for recomputations is not asked: the engine's own arithmetic
quiet = torch._C.DisableTorchFunction


def carries(x: object) -> bool:
    """Whether x depends on a traced input, so that relevance can flow through it."""
    return isinstance(x, Tensor) and x.requires_grad and torch.is_grad_enabled()


class _Carry(torch.autograd.Function):
    """The value as it is; the gradient by the given linear map."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, held: tuple[Tensor], back: Backward) -> Tensor:
        # The value comes in a tuple: as an argument of its own, what is returned would be a view of it, and a model
        # that goes on in place (`nn.ReLU(inplace=True)`) would be refused.
        ctx.back, ctx.dtype = back, x.dtype
        with quiet():
            value = held[0]
            # `F.linear` returns a view of what it computed; the same memory under a tensor of its own is none
            return value.new_empty(0).set_(value) if value._is_view() else value  # type: ignore[call-overload]

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, None, None]:
        with quiet():
            return ctx.back(gradient).to(ctx.dtype), None, None


class _Halves(torch.autograd.Function):
    """a * b; half of the gradient to each factor."""

    @staticmethod
    def forward(ctx: Any, a: Tensor, b: Tensor) -> Tensor:
        ctx.save_for_backward(a, b)
        return a * b

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor, Tensor]:
        with quiet():
            a, b = ctx.saved_tensors
            half = gradient * 0.5
            to_a, to_b = half * b.conj(), half.mul_(a.conj())
            return to_a.sum_to_size(a.shape).to(a.dtype), to_b.sum_to_size(b.shape).to(b.dtype)


def carry(x: Tensor, value: Tensor, back: Backward) -> Tensor:
    """`value`, through which a gradient of its shape flows back to x as back(gradient), of x's shape.

    `back` is a linear map; what it needs must be computed now (a model may overwrite x in place later).
    """
    return _Carry.apply(x, (value,), back)  # type: ignore[no-any-return,no-untyped-call]


def halves(a: Tensor, b: Tensor) -> Tensor:
    """a * b, both traced, with half of the gradient to each."""
    return _Halves.apply(a, b)  # type: ignore[no-any-return,no-untyped-call]


class Step:
    """One call of `operation(*args, **kwargs)` in which at least one argument carries relevance."""

    def __init__(self, mode: TraceMode, operation: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> None:
        self.mode, self.operation, self.args, self.kwargs = mode, operation, args, kwargs

    def plain(self) -> Any:
        """The operation with torch's own gradient."""
        return self.operation(*self.args, **self.kwargs)

    def value(self) -> Any:
        """The operation's value without a gradient: relevance stops here, the result is a constant."""
        with torch.no_grad():
            y = self.operation(*self.args, **self.kwargs)
        if isinstance(y, Tensor):
            return y.detach() if y.requires_grad else y  # an operation may return its argument
        return tree_map(detached, y)

    def carry(self, x: Tensor, value: Tensor, back: Backward) -> Tensor:
        """See `carry`."""
        return carry(x, value, back)

    def scaled(self, x: Tensor, share: float) -> Tensor:
        """x, through which only `share` of the gradient flows back."""
        return self.carry(x, x.detach(), lambda gradient: gradient * share) if carries(x) else x

    def shared(self) -> Any:
        """The operation, a product, with an equal share of the gradient for every factor that carries relevance."""
        if self.traced() < 2:
            return self.plain()
        share = 1 / self.traced()

        def shared(x: Any) -> Any:
            return self.scaled(x, share) if carries(x) else x

        return self.operation(*tree_map(shared, self.args), **tree_map(shared, self.kwargs))

    def traced(self) -> int:
        """How many arguments carry relevance."""
        return sum(carries(x) for x in tree_leaves((self.args, self.kwargs)))

    def book(self, y: Tensor, addend: Tensor | float | None, entry: str | None = None, sign: float = 1) -> None:
        """Account for `sign * addend`, a constant contained in the sum y, under a ledger entry.

        Without an entry it is decided by where the addend comes from: biases, positions, softmax or constants.
        """
        if not carries(y):
            return
        booking = self.booking(addend, entry, sign)
        if booking is None:
            return

        def settle(gradient: Tensor) -> None:
            booking(gradient)

        y.register_hook(settle)  # type: ignore[no-untyped-call]

    def booking(
        self, addend: Tensor | float | None, entry: str | None = None, sign: float = 1
    ) -> Callable[[Tensor], Tensor] | None:
        """What books `sign * addend`, once it is called with the gradient of the sum; None if there is nothing.

        It returns what was booked, (batch,).
        """
        if addend is None or (not isinstance(addend, Tensor) and addend == 0):
            return None
        name = entry or self.mode.origin(addend)
        version = _version(addend)
        constant = addend.detach() if isinstance(addend, Tensor) else addend
        mode = self.mode  # not the step, which holds the operation's arguments

        def settle(gradient: Tensor) -> Tensor:
            with quiet():
                if _version(constant) != version:
                    raise RelevanceError("The model overwrites a constant in place after adding it.")
                return mode.books.add(name, gradient, constant * sign if sign != 1 else constant)

        return settle

    def affine(self) -> Any:
        """An operation that is linear in what carries relevance and moves the other arguments along (cat, where)."""
        y = self.plain()
        with torch.no_grad():
            offset = self.operation(*tree_map(_zeroed, self.args), **tree_map(_zeroed, self.kwargs))
        self.book(y, offset, self.mode.origin_of((self.args, self.kwargs)))
        return y

    def residual(self, entry: str) -> Any:
        """The operation with torch's own gradient; what it gains or loses in relevance is booked under `entry`."""
        handles: list[Tensor] = []

        def handle(x: Any) -> Any:
            if not carries(x):
                return x
            handles.append(x.view_as(x))
            return handles[-1]

        y = self.operation(*tree_map(handle, self.args), **tree_map(handle, self.kwargs))
        outputs = [t for t in tree_leaves(y) if carries(t)]
        for sign, tensors in ((1.0, outputs), (-1.0, handles if outputs else [])):
            for tensor in tensors:
                self.account(tensor, entry, sign)
        return y

    def account(self, x: Tensor, entry: str, sign: float) -> None:
        """Book `sign` times the relevance at x, as it is now; copied only if the model overwrites it."""
        cell, mode = self.mode.watched(x), self.mode

        def settle(gradient: Tensor) -> None:
            with quiet():
                mode.books.entries.setdefault(entry, []).append(mode.books.inner(gradient, cell[0]) * sign)

        x.register_hook(settle)  # type: ignore[no-untyped-call]

    def unhandled(self) -> Any:
        """No rule fits: torch's own gradient, named in the audit, its residual booked as unhandled. Never guessed."""
        y = self.residual("unhandled")
        if any(carries(t) for t in tree_leaves(y)):
            self.mode.count(self.operation)
        return y

    def mark(self, y: Tensor, note: str) -> Tensor:
        """Note what y is ("gate", "softmax"), for the operations that meet it later."""
        self.mode.marks[y] = note
        return y

    def marked(self, y: object, note: str) -> bool:
        """Whether y, or what it is a view of, has this note."""
        return isinstance(y, Tensor) and self.mode.marks.get(y) == note


def _version(x: object) -> int:
    return x._version if isinstance(x, Tensor) and not x.is_inference() else 0


def detached(x: Any) -> Any:
    """A tensor cut off from the graph; anything else as it is."""
    return x.detach() if isinstance(x, Tensor) else x


def _zeroed(x: Any) -> Any:
    return torch.zeros_like(x) if carries(x) or (isinstance(x, Tensor) and x.requires_grad) else detached(x)
