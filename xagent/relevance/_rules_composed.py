"""Operations that are one call to torch, but several to the rules: taken apart into operations that have one."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from ._step import Step, carries
from ._table import linear, register


@linear("lerp")
def lerp(step: Step, input: Tensor, end: Tensor, weight: Any) -> Any:
    """a + w (b - a)."""
    with step.mode:
        return input + (end - input) * weight


@linear("addcmul")
def addcmul(step: Step, input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Any:
    """a + value b c."""
    with step.mode:
        return input + tensor1 * tensor2 * value


@linear("addcdiv")
def addcdiv(step: Step, input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Any:
    """a + value b / c."""
    with step.mode:
        return input + tensor1 / tensor2 * value


@register("bilinear")
def bilinear(step: Step, input1: Tensor, input2: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """x W y + b: an equal share to each traced factor; b is booked."""
    y = step.shared()
    if not carries(bias):
        step.book(y, bias, "biases")
    return y


@register("cosine_similarity")
def cosine_similarity(step: Step, x1: Tensor, x2: Tensor, dim: int = 1, eps: float = 1e-8) -> Any:
    """x y / (|x| |y|): the norms are constants, x and y share by halves."""
    with step.mode:
        return ((x1 / _length(x1, dim, eps)) * (x2 / _length(x2, dim, eps))).sum(dim)


@register("pairwise_distance")
def pairwise_distance(
    step: Step, x1: Tensor, x2: Tensor, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False
) -> Any:
    """|x - y + eps|, a norm of a difference."""
    with step.mode:
        return torch.linalg.vector_norm(x1 - x2 + eps, p, -1, keepdim)


@register("cdist")
def distances(step: Step, x1: Tensor, x2: Tensor, p: float = 2.0, *args: Any, **kwargs: Any) -> Any:
    """|x_i - y_j| for all pairs, as norms of differences; holds all of these at once."""
    with step.mode:
        return torch.linalg.vector_norm(x1.unsqueeze(-2) - x2.unsqueeze(-3), p, -1)


def _length(x: Tensor, dim: int, eps: float) -> Tensor:
    length: Tensor = torch.linalg.vector_norm(x.detach(), dim=dim, keepdim=True)
    return length.clamp(min=eps)


@register("solve_triangular", "linalg_solve_triangular", "solve", "linalg_solve")
def solved(step: Step, A: Tensor, B: Tensor, **options: Any) -> Any:  # noqa: N803 - torch's own names
    """A^-1 B is linear in B; the matrix A is a constant."""
    return step.operation(A.detach() if carries(A) else A, B, **options)


@register("inv", "inverse", "linalg_inv", "pinv", "linalg_pinv")
def inverted(step: Step, *args: Any, **options: Any) -> Any:
    """The inverse of a matrix is a constant, as a divisor is."""
    return step.value()


@register(
    "_scaled_dot_product_flash_attention", "_scaled_dot_product_flash_attention_for_cpu",
    "_scaled_dot_product_efficient_attention", "_scaled_dot_product_attention_math",
    "_scaled_dot_product_cudnn_attention", "_scaled_dot_product_fused_attention_overrideable",
)  # fmt: skip
def attention_decomposed(step: Step, query: Tensor, key: Tensor, value: Tensor, *args: Any, **kwargs: Any) -> Any:
    """As `scaled_dot_product_attention`, in the form of a decomposed export; the first result is the output."""
    rest = tuple(x.detach() if carries(x) else x for x in args)
    return step.operation(query.detach(), key.detach(), value, *rest, **kwargs)


@register("_fused_rms_norm")
def rms_norm_decomposed(step: Step, input: Tensor, shape: Any, weight: Tensor | None, eps: float | None) -> Any:
    """As `rms_norm`; returns (y, 1 / rms)."""
    value, rstd = step.value()
    scale = rstd if weight is None else rstd * weight.detach()
    return step.carry(input, value, lambda gradient: gradient * scale), rstd


@register("native_group_norm")
def group_norm_decomposed(
    step: Step, input: Tensor, weight: Tensor | None, bias: Tensor | None, n: int, c: int, hw: int, group: int,
    eps: float,
) -> Any:  # fmt: skip
    """As `group_norm`; returns (y, mean, 1 / sigma)."""
    value, mean, rstd = step.value()
    shape, channels = (n, group, -1), (1, c, *[1] * (input.dim() - 2))
    scale = rstd.unsqueeze(-1)

    def back(gradient: Tensor) -> Tensor:
        gradient = gradient if weight is None else gradient * weight.view(channels)
        gradient = gradient.reshape(shape) * scale
        return (gradient - gradient.mean(-1, keepdim=True)).reshape(input.shape)

    y = step.carry(input, value, back)
    step.book(y, None if bias is None else bias.view(channels), "biases")
    return y, mean, rstd
