"""Normalisations of the set `conserving`: centring is linear, the scale a constant (LN rule, Ali et al. 2022)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._rules_linear import book_shift
from ._step import Step, carries
from ._table import register


@register("layer_norm")
def layer_norm(
    step: Step,
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *args: Any,
) -> Any:
    """(x - mean) g / sigma + b: subtracting the mean is linear, sigma a constant (LN rule, Ali et al. 2022)."""
    with torch.no_grad():
        value, _, rstd = torch.native_layer_norm(input, normalized_shape, weight, bias, eps)
    return _centred(step, input, normalized_shape, weight, bias, value, rstd)


@register("native_layer_norm")
def layer_norm_decomposed(
    step: Step, input: Tensor, normalized_shape: Any, weight: Tensor | None, bias: Tensor | None, eps: float
) -> Any:
    """As `layer_norm`, in the form of a decomposed export; returns (y, mean, rstd)."""
    value, mean, rstd = step.value()
    return _centred(step, input, normalized_shape, weight, bias, value, rstd), mean, rstd


def _centred(
    step: Step, x: Tensor, shape: Any, weight: Tensor | None, bias: Tensor | None, value: Tensor, rstd: Tensor
) -> Tensor:
    if not carries(x) or carries(weight):
        return step.unhandled()  # type: ignore[no-any-return]
    dims = tuple(range(-len(shape), 0))
    kept = (weight.detach(), rstd.detach()) if weight is not None else (rstd.detach(),)

    def back(gradient: Tensor) -> Tensor:
        gradient = gradient * kept[0]
        gradient -= gradient.mean(dims, keepdim=True)
        return gradient.mul_(kept[-1]) if len(kept) > 1 else gradient

    y = step.carry(x, value, back)
    step.book(y, bias, "biases")
    return y


@register("rms_norm")
def rms_norm(
    step: Step, input: Tensor, normalized_shape: Any, weight: Tensor | None = None, eps: float | None = None
) -> Any:
    """x g / rms(x): the root mean square is a constant (LN rule, Ali et al. 2022)."""
    with torch.no_grad():
        scale = rms_scale(input.detach(), len(normalized_shape), weight, eps)
    return step.carry(input, step.value(), lambda gradient: gradient * scale)


def rms_scale(x: Tensor, dims: int, weight: Tensor | None, eps: float | None) -> Tensor:
    """g / rms(x) over the last `dims` dimensions, at least in float32; eps: that of x's dtype, if None."""
    wide = x.float() if x.dtype.itemsize < 4 else x
    floor = torch.finfo(x.dtype).eps if eps is None else eps
    scale = torch.rsqrt(wide.square().mean(tuple(range(-dims, 0)), keepdim=True) + floor)
    return scale if weight is None else scale * weight


@register(torch.group_norm, torch.ops.aten.group_norm.default, torch.nn.functional.group_norm)
def group_norm(
    step: Step,
    input: Tensor,
    num_groups: int,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *args: Any,
) -> Any:
    """As `layer_norm`, over groups of channels."""
    shape = (input.shape[0], num_groups, -1)
    channels = (-1, *[1] * (input.dim() - 2))
    with torch.no_grad():
        groups = input.detach().reshape(shape)
        groups = groups.float() if groups.dtype.itemsize < 4 else groups
        scale = torch.rsqrt(groups.var(-1, correction=0, keepdim=True) + eps)

    def back(gradient: Tensor) -> Tensor:
        gradient = gradient if weight is None else gradient * weight.view(channels)
        gradient = gradient.reshape(shape) * scale
        return (gradient - gradient.mean(-1, keepdim=True)).reshape(input.shape)

    y = step.carry(input, step.value(), back)
    step.book(y, None if bias is None else bias.view(channels), "biases")
    return y


@register(torch.instance_norm, torch.ops.aten.instance_norm.default)
def instance_norm(
    step: Step,
    input: Tensor,
    weight: Tensor | None,
    bias: Tensor | None,
    running_mean: Tensor | None,
    running_var: Tensor | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
    *args: Any,
) -> Any:
    """As `group_norm`, every channel a group of its own."""
    if use_input_stats:
        return group_norm(step, input, input.shape[1], weight, bias, eps)
    y = step.plain()
    given = {"running_mean": running_mean, "running_var": running_var, "weight": weight, "bias": bias, "eps": eps}
    book_shift(step, y, given)
    return y
