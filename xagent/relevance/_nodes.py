"""Tensors whose relevance is recorded while one gradient flows: what is kept of them, and what is known without."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from torch import Tensor

from ._step import quiet

if TYPE_CHECKING:
    from ._mode import TraceMode

Recorder = Callable[[Tensor, Tensor], None]


class Node:
    """A tensor whose value is kept until its gradient comes.

    names: of the layers that return it. recorders: called with its gradient and its value.
    """

    def __init__(self, mode: TraceMode, tensor: Tensor) -> None:
        self.mode, self.version = mode, tensor._version
        self.names: list[str] = []
        self.recorders: list[Recorder] = []
        self.recorded: dict[str, str] = {}  # by kind, the module in which it was met
        self._value = mode.watched(tensor)
        self._arrived: list[tuple[Edge, Tensor, Tensor | None]] = []
        tensor.register_hook(self._settle)  # type: ignore[no-untyped-call]

    def _settle(self, gradient: Tensor) -> None:
        arrived, self._arrived = self._arrived, []
        books, value = self.mode.books, self._value[0]
        books.uneven |= bool(self.names or arrived) and not books.fits(value)  # no account would tell a wrong split
        with quiet():
            for record in self.recorders:
                record(gradient, value)
            amount = books.inner(gradient, value) if self.names or arrived else gradient
            for name in self.names:
                books.entries.setdefault(f"layer:{name}", []).append(amount)
            for edge, part, booked in arrived:
                alone = part.data_ptr() == gradient.data_ptr() and part.shape == gradient.shape
                through = amount if alone else books.inner(part, value)
                through = through if booked is None else through + booked
                for name in edge.names:
                    books.entries.setdefault(f"layer:{name}", []).append(through)

    def reached_by(self, edge: Edge, part: Tensor, booked: Tensor | None) -> None:
        """`part` of the gradient came along an edge; its relevance is told apart when the whole gradient is there.

        As long as `part` is held here nothing is added to it in place, so that it is the whole only if it came alone.
        """
        self._arrived.append((edge, part, booked))


class Edge:
    """From a node x to y = x W^T + b. The relevance of y is what x receives from it, plus what b takes.

    So y itself is not kept. names: of the layers that return y, which has this `version`.
    """

    def __init__(self, node: Node) -> None:
        self.node = node
        self.names: list[str] = []
        self.version = 0

    def arrived(self, part: Tensor, booked: Tensor | None) -> None:
        """y received its gradient; x receives `part` for it, and `booked`, (batch,), went to b."""
        if self.names:
            self.node.reached_by(self, part, booked)
