"""Relevance by expert of a mixture, read from the products of expert outputs and routing weights."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._notes import Notes
from ._step import carries, quiet

if TYPE_CHECKING:
    from ._mode import TraceMode

# what a mixture does to its routing weights before it multiplies by them: moved, or one by one without moving
MOVED = frozenset({"view", "reshape", "__getitem__", "index_select", "unsqueeze", "squeeze", "flatten", "transpose",
                   "permute", "expand", "take_along_dim", "t", "select"})  # fmt: skip
KEPT = frozenset({"to", "type", "float", "contiguous", "clone", "masked_fill", "div", "__truediv__"})
PRODUCTS = frozenset({"mul", "__mul__", "__rmul__", "multiply"})


class Experts:
    """y_t = sum_k w_tk f_k(x_t): the relevance of an expert at a token is that of its term w_tk f_k(x_t).

    A module routes if it is called with the indices of the chosen experts and their weights, both (tokens, chosen), as
    the mixtures of transformers are. Which row of a product belongs to which weight is found by doing to a numbering
    of the weights whatever the module does to the weights: loops over experts, batched and grouped products alike.
    """

    def __init__(self, mode: TraceMode) -> None:
        self.mode = mode
        self.found: dict[str, Tensor] = {}  # by module: (tokens, experts)
        self._numbers: Notes[tuple[str, Tensor, Tensor]] = Notes()  # name, chosen experts, number of every weight

    def entering(self, name: str, module: nn.Module, given: tuple[Any, ...]) -> None:
        """Before `module` runs: note its routing weights, if it has some."""
        tables = [x for x in given if isinstance(x, Tensor) and x.dim() == 2]
        chosen = next((x for x in tables if x.dtype in (torch.int64, torch.int32)), None)
        if chosen is None:
            return
        weights = next((x for x in tables if x.is_floating_point() and x.shape == chosen.shape), None)
        if weights is None:
            return
        label, calls = name, 1
        while label in self.found:
            calls += 1
            label = f"{name}#{calls}"
        with quiet(), torch.no_grad():
            self.found[label] = torch.zeros(len(chosen), _count(module, chosen), device=chosen.device)
            numbers = torch.arange(chosen.numel(), device=chosen.device).view(chosen.shape)
        self._numbers[weights] = (label, chosen, numbers)

    def seen(self, name: str, operation: Callable[..., Any], args: Any, kwargs: dict[str, Any], y: Tensor) -> None:
        """After an operation: did it move routing weights, or weigh expert outputs with them?"""
        if not self._numbers:
            return
        if name in PRODUCTS:
            note = next((n for n in map(self._numbers.get, args) if n is not None), None)
            if note is not None and carries(y):
                self._record(*note, y)
            return
        note = self._numbers.get(args[0]) if args else None
        if note is None:
            return
        label, chosen, numbers = note
        if name in KEPT:
            self._numbers[y] = note
        elif name in MOVED:
            with quiet(), torch.no_grad():
                self._numbers[y] = (label, chosen, operation(numbers, *args[1:], **kwargs))

    def _record(self, label: str, chosen: Tensor, numbers: Tensor, y: Tensor) -> None:
        if y.dim() != numbers.dim() or numbers.shape != (*y.shape[:-1], 1):
            return  # no product of weights (..., 1) with outputs (..., width)
        value = self.mode.watched(y)
        experts = chosen.shape[1]

        def settle(gradient: Tensor) -> None:
            with quiet():
                amount = torch.linalg.vecdot(gradient, value[0]).flatten().detach()
                which = numbers.flatten()
                tokens, owners = which // experts, chosen.flatten()[which].long()
                table = self.found[label]
                owners = owners.clamp(max=table.shape[1] - 1)  # a masked slot of an expert that lives elsewhere
                wide = amount.to(torch.promote_types(amount.dtype, torch.float32))
                self.found[label] = table.to(wide.dtype).index_put((tokens, owners), wide, accumulate=True)

        y.register_hook(settle)  # type: ignore[no-untyped-call]

    def by_sample(self, batch: int) -> dict[str, Tensor]:
        """By module: (batch, positions, experts)."""
        return {name: x.view(batch, -1, x.shape[1]) for name, x in self.found.items() if len(x) % batch == 0}


def _count(module: nn.Module, chosen: Tensor) -> int:
    """How many experts there are."""
    stated = getattr(module, "num_experts", None)
    if isinstance(stated, int):
        return stated
    stacked = next((p for p in module.parameters(recurse=False) if p.dim() == 3), None)
    return len(stacked) if stacked is not None else int(chosen.max()) + 1
