"""Rules of the sets `gamma`, `gamma:NUMBER` and `z+`: dense layers and convolutions favour what speaks for the outcome.

With contributions x_i w_ij of which p_j > 0 is the positive sum and n_j < 0 the negative one (z = p + n, the bias
included), an output z_j > 0 hands its relevance on by x w + gamma (x w)+, an output z_j < 0 by x w + gamma (x w)-
(Montavon et al. 2019; for inputs of either sign: Andeol et al. 2021). `z+` is the limit of a large gamma (for z > 0 the
z+ rule of Montavon et al. 2017). Everything else is `conserving`.

The efficient form: with m = |x| |w| and s = sign(z) the denominator is d = (1 + gamma/2) z + gamma/2 s m, so one
more product suffices forwards, and backwards R = x ((1 + gamma/2) w^T g z/d + gamma/2 sign(x) |w|^T s g z/d).
|d| >= |z|: nothing is divided by a small number.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from ._rules_conserving import product_and_sum
from ._rules_linear import convolution, dense
from ._step import Step, carries
from ._table import register

Layer = Callable[[Tensor, Tensor, Tensor | None], Tensor]


@register("linear", rules="gamma")
def gamma_dense(step: Step, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """x W^T + b by the gamma rule."""
    if not carries(input) or carries(weight) or carries(bias):
        return dense(step, input, weight, bias)
    return favoured(step, step.operation, input, weight, bias, bias)


@register(
    "conv1d", "conv2d", "conv3d", "conv_transpose1d", "conv_transpose2d", "conv_transpose3d", "convolution",
    rules="gamma",
)  # fmt: skip
def gamma_convolution(
    step: Step, input: Tensor, weight: Tensor, bias: Tensor | None = None, *args: Any, **kwargs: Any
) -> Any:
    """w * x + b by the gamma rule."""
    if not carries(input) or carries(weight) or carries(bias):
        return convolution(step, input, weight, bias, *args, **kwargs)
    along = None if bias is None else bias.view(-1, *[1] * (weight.dim() - 2))
    return favoured(step, lambda x, w, b: step.operation(x, w, b, *args, **kwargs), input, weight, bias, along)


@register("addmm", rules="gamma")
def gamma_addmm(step: Step, input: Tensor, mat1: Tensor, mat2: Tensor, *, beta: float = 1, alpha: float = 1) -> Any:
    """b + x W by the gamma rule."""
    if carries(input) or not carries(mat1) or carries(mat2) or beta != 1 or alpha != 1:
        return product_and_sum(step, input, mat1, mat2, beta=beta, alpha=alpha)
    return favoured(step, lambda x, w, b: step.operation(b, x, w), mat1, mat2, input, input)


def favoured(step: Step, layer: Layer, x: Tensor, weight: Tensor, bias: Tensor | None, along: Tensor | None) -> Tensor:
    """layer(x, weight, bias), traced by the gamma rule; `along` is the bias in the shape that the output adds."""
    gamma = step.mode.rules.strength
    c, d = (0.5, 0.5) if math.isinf(gamma) else (1 + gamma / 2, gamma / 2)
    z = layer(x, weight, bias)
    m = layer(x.abs(), weight.detach().abs(), None if bias is None else bias.detach().abs())
    value, sign = z.detach(), torch.sign(z.detach())
    if along is not None:
        step.book(z, along, "biases")
        step.book(m, along.detach().abs(), "biases")
    mixed = z * c + m * (sign * d)
    ratio = (value / mixed.detach()).nan_to_num_(nan=0.0)  # 0 / 0 only
    return step.carry(mixed, value, lambda gradient: gradient * ratio)
