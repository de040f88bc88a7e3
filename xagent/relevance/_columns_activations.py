"""Activations of carriers: the identity rule, and modules that write an activation out in python."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from ._activations import slope_at_zero
from ._columns import CarrierMode


@contextlib.contextmanager
def whole_activations_carried(model: nn.Module, mode: CarrierMode) -> Iterator[None]:
    """Composite activation modules (gelu_new) as one operation, as `whole_activations` does for a trace."""
    handles: list[Any] = []
    entered: list[Tensor] = []

    def before(_module: nn.Module, args: tuple[Any, ...]) -> Any:
        if len(args) != 1 or not mode.carries(args[0]):
            return None
        entered.append(args[0])
        with torch._C.DisableTorchFunction():  # hooks run under the mode
            return (mode.real(args[0]).clone(),)

    def attach(module: nn.Module, slope: float) -> None:
        def after(_module: nn.Module, _args: tuple[Any, ...], value: Tensor) -> Any:
            with torch._C.DisableTorchFunction():
                if not entered:
                    return None
                x = entered.pop()
                y = mode.carry(ratio(mode, x, value, slope), "activation")
                mode.whole(x, y)
                return y

        handles.extend([module.register_forward_pre_hook(before), module.register_forward_hook(after)])

    try:
        for module in model.modules():
            slope = slope_at_zero(module)
            if slope is not None:
                attach(module, slope)
        yield
    finally:
        for handle in handles:
            handle.remove()


def ratio(mode: CarrierMode, x: Tensor, value: Tensor, slope: float, change: Tensor | None = None) -> Tensor:
    """Identity rule: row i = x_i (f(x_0) - f(0)) / x_0, row 0 = value = f(x_0); `slope` where x_0 = 0."""
    x0 = mode.real(x)
    factor = torch.where(x0 == 0, slope, (value if change is None else change) / x0).to(x.dtype)
    firsts = mode.rests(x)
    if firsts:
        y = mode.resting(torch.empty_like(x), firsts)
        for i, first in enumerate(firsts):
            torch.mul(x[i, first:], factor[0, first:], out=y[i, first:])
    else:
        y = (mode.by_row(x) * factor).flatten(0, 1)
    y[: len(value)] = value
    return mode.carry(y)  # type: ignore[no-any-return]
