"""Which operations carriers have to take part in: what ends in a scale, a gate's weight or a query is of row 0 alone.

A short forward over two tokens is recorded. Whatever does not reach the scores through operands whose carriers count
(queries and keys of attention, a norm's mean square, a router) is computed for the real row only in the real pass.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

Plan = list[tuple[str, bool]]  # name of every operation in its order, and whether carriers take part in it


class AnotherPath(Exception):
    """The model took other steps than in the recorded forward."""


def name_of(operation: Callable[..., Any]) -> str:
    """What an operation is called in a plan."""
    return str(getattr(operation, "__name__", operation))


class Recorder:
    """Notes, operation by operation, which carriers depend on which."""

    def __init__(self) -> None:
        self.names: list[str] = []
        self.uses: list[list[int]] = []
        self.roots: list[int] = []
        self.carrying: set[int] = set()  # operations whose result is carried at all, and not a constant
        self.booked: set[tuple[int, str]] = set()  # operation and the ledger entry of a constant it added
        self.made_by: Any = WeakTensorKeyDictionary()

    def begin(self, operation: Callable[..., Any], used: Iterable[Tensor], root: bool) -> int:
        """An operation starts; `used` are the operands whose carriers count. Returns its number."""
        self.names.append(name_of(operation))
        self.uses.append([self.made_by[x] for x in used if x in self.made_by])
        if root:
            self.roots.append(len(self.names) - 1)
        return len(self.names) - 1

    def made(self, x: Tensor, number: int) -> None:
        """Operation `number` has made x."""
        self.made_by[x] = number
        self.carrying.add(number)

    def book(self, entry: str) -> None:
        """The operation that runs adds a constant under this ledger entry."""
        self.booked.add((len(self.names) - 1, entry))

    def plan(self, result: Tensor) -> Plan:
        """What has to be carried for `result`."""
        waiting = [*self.roots, *([self.made_by[result]] if result in self.made_by else [])]
        live = set(waiting)
        while waiting:
            new = [x for x in self.uses[waiting.pop()] if x not in live]
            live.update(new)
            waiting.extend(new)
        return [(name, i in live or i not in self.carrying) for i, name in enumerate(self.names)]

    def entries(self, plan: Plan) -> set[str]:
        """The ledger entries that reach the result."""
        return {entry for number, entry in self.booked if plan[number][1]}
