"""Activations that a model writes out in python (gelu_new, quick_gelu) are one operation to the tracer.

`0.5 x (1 + tanh(...))` taken apart would send half of the relevance into its constant. A module without parameters that
turns out, on a few probes, to work element by element with f(0) = 0 gets the identity rule as a whole.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from ._parts import modules
from ._rules_conserving import identity_rule
from ._step import carries, quiet

if TYPE_CHECKING:
    from ._mode import TraceMode

# by class and printed settings: f'(0) of an elementwise activation, or None
_PROBED: dict[tuple[type[nn.Module], str], float | None] = {}


@contextlib.contextmanager
def whole_activations(model: nn.Module, mode: TraceMode, noted: Callable[[Tensor], object]) -> Iterator[None]:
    """Trace every composite activation module of `model` as one operation; its result is `noted`.

    Hooks only, removed on exit.
    """
    handles = []
    try:
        for module in modules(model).values():
            slope = slope_at_zero(module)
            if slope is not None:
                handles += _attach(module, slope, mode, noted)
        yield
    finally:
        for handle in handles:
            handle.remove()


def _attach(module: nn.Module, slope: float, mode: TraceMode, noted: Callable[[Tensor], object]) -> list[Any]:
    entered: list[Tensor] = []

    def before(_module: nn.Module, args: tuple[Any, ...]) -> Any:
        if len(args) != 1 or not carries(args[0]):
            return None
        entered.append(args[0])
        return (args[0].detach(),)

    def after(_module: nn.Module, _args: tuple[Any, ...], value: Tensor) -> Any:
        if not entered:
            return None
        with quiet():  # the arithmetic of the rule is no operation of the model
            y = identity_rule(mode, entered.pop(), value, slope)
        noted(y)
        return y

    return [module.register_forward_pre_hook(before), module.register_forward_hook(after)]


def slope_at_zero(module: nn.Module) -> float | None:
    """f'(0) if `module` is an elementwise activation with f(0) = 0 that torch does not ship, else None."""
    if module._modules or type(module).__module__.startswith("torch."):
        return None
    if any(x is not None for x in (*module._parameters.values(), *module._buffers.values())):
        return None
    key = (type(module), repr(module))
    if key not in _PROBED:
        _PROBED[key] = _probe(module)
    return _PROBED[key]


def _probe(module: nn.Module) -> float | None:
    x = torch.linspace(-3, 3, 12, dtype=torch.float64).view(2, 6)
    elsewhere = x.clone()
    elsewhere[0, 0] = 5.0
    h = torch.full((2, 6), 1e-4, dtype=torch.float64)
    try:
        with torch.no_grad(), torch.random.fork_rng(devices=[]):
            given = x.clone()
            y, moved, mirrored = module(given), module(elsewhere), module(x.flip(0, 1))
            at_zero, slope = module(torch.zeros_like(x)), (module(h) - module(-h)) / 2e-4
    except Exception:  # a module that is no activation may refuse a probe in any way it likes
        return None
    if not isinstance(y, Tensor) or y.shape != x.shape or not y.is_floating_point() or torch.equal(y, x):
        return None
    if not torch.equal(given, x):  # works in place: its operations are traced one by one
        return None
    elementwise = torch.allclose(mirrored.flip(0, 1), y) and torch.allclose(moved.flatten()[1:], y.flatten()[1:])
    return float(slope[0, 0]) if elementwise and float(at_zero.abs().max()) < 1e-7 else None
