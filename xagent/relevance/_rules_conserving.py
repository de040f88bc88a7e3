"""Rules of the set `conserving`: every operation hands on exactly the relevance it receives, less booked constants.

Gates share a product by halves, attention weights and normalising scales are constants. Each rule is the formula of its
docstring, written as a backward: the relevance of x is x * gradient.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from ._backward import to_values
from ._kinds import kind_of
from ._step import Step, carries, carry, halves
from ._table import register

if TYPE_CHECKING:
    from ._mode import TraceMode

ACTIVATIONS = (
    "gelu silu mish tanh elu selu celu relu6 hardtanh hardswish erf tanhshrink softsign softshrink hardshrink "
    "threshold square pow float_power clamp clamp_min clamp_max clip sin tan asin atan arctan sinh asinh arcsinh atanh "
    "frac fmod remainder sinc special_sinc erfinv special_erfinv i0 special_i0 entr special_entr logit "
    "special_logit expm1 log1p sigmoid expit hardsigmoid softplus logsigmoid log_sigmoid cosh special_expit "
    "special_erf nan_to_num rad2deg deg2rad"
)
CONSTANTS = (
    "exp exp2 sqrt rsqrt reciprocal log log2 log10 std var std_mean var_mean cos logsumexp logcumsumexp sign sgn round "
    "logaddexp logaddexp2 floor_divide unique unique_consecutive floor ceil trunc fix heaviside "
    "erfc softmin gumbel_softmax __rpow__ __rtruediv__ __rdiv__"
)


SQUARES = frozenset({"pow", "square", "__pow__"})


@register(*ACTIVATIONS.split())
def activation(step: Step, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Identity rule: the gradient is (f(x) - f(0)) / x, f(0) is booked (Achtibat et al. 2024; Jafari et al. 2025).

    At x = 0 it is f'(0). With f(0) != 0 (sigmoid) the value is noted as a gate: a product takes it as a constant.
    Where f has no finite value and slope at zero (x ** -0.5), the result is a constant.
    """
    if not carries(input) or any(carries(x) for x in (*args, *kwargs.values())):
        return step.value()
    if input.is_complex():
        return step.unhandled()
    if any(isinstance(x, Tensor) and x.dim() for x in (*args, *kwargs.values())):
        return _element_by_element(step, input, *args, **kwargs)
    if step.kwargs == {} and (args == (2,) or not args) and kind_of(step.operation).name in SQUARES:
        cell = step.mode.watched(input)  # x^2 / x = x; no division, and nothing is kept that is not there anyway
        return step.carry(input, step.value(), lambda gradient: gradient * cell[0])
    at_zero, slope = _near_zero(step)
    value = step.value()
    if at_zero is None:
        return value
    if at_zero == 0:
        return identity_rule(step.mode, input, value, slope)
    exact = torch.float64 if input.device.type != "mps" else torch.float32  # y - f(0) loses digits near zero
    with torch.no_grad():
        change = step.operation(input.detach().to(exact), *args, **kwargs) - at_zero
    result = identity_rule(step.mode, input, value, slope, change)
    step.book(result, at_zero, "constants")
    step.mark(result, "gate")
    return result


def _element_by_element(step: Step, x: Tensor, *args: Any, **kwargs: Any) -> Any:
    """The identity rule where f differs by element (bounds of a clamp): f(0) is measured for each."""
    value = step.value()
    with torch.no_grad():
        at_zero = step.operation(torch.zeros_like(x), *args, **kwargs)
    if value.shape != x.shape or not bool(at_zero.isfinite().all()):
        return value
    result = identity_rule(step.mode, x, value, 0.0, value - at_zero)
    step.book(result, at_zero, "constants")
    return result


def identity_rule(mode: TraceMode, x: Tensor, value: Tensor, slope: float, change: Tensor | None = None) -> Tensor:
    """`value` = f(x) elementwise, with gradient change / x and `slope` at x = 0; change = f(x) - f(0), or f(x)."""
    with torch.no_grad():
        change = value.detach() if change is None else change
        wide = torch.promote_types(x.dtype, torch.float32)  # a ratio rounded to bf16 would not conserve
        ratio = (change.to(wide) / x.detach().to(wide)).nan_to_num_(nan=slope)  # 0 / 0 only

    def back(gradient: Tensor) -> Tensor:
        if mode.only_once and gradient.dtype == ratio.dtype:
            return ratio.mul_(gradient)  # its memory is at hand; new memory costs more than the product
        return gradient * ratio

    return carry(x, value.detach(), back)


def _near_zero(step: Step) -> tuple[float | None, float]:
    """f(0) and f'(0) of an elementwise operation, measured once; (None, 0) where they are not finite."""
    key = repr((step.operation, step.args[1:], sorted(step.kwargs.items())))
    if key not in _MEASURED:
        h = 1e-4
        with torch.no_grad():
            probe = torch.tensor([-h, 0.0, h], dtype=torch.float64, device="cpu")
            below, zero, above = step.operation(probe, *step.args[1:], **step.kwargs).tolist()
        slope = (above - below) / (2 * h)
        finite = all(abs(v) < 1e3 for v in (below, zero, above, slope))
        _MEASURED[key] = (zero, slope) if finite else (None, 0.0)
    return _MEASURED[key]


_MEASURED: dict[str, tuple[float | None, float]] = {}


@register(*CONSTANTS.split())
def constant(step: Step, *args: Any, **kwargs: Any) -> Any:
    """Normalisers and other f without a value at zero to refer to are constants (LN rule, Ali et al. 2022)."""
    return step.value()


@register("mul", "multiply", "__rmul__")
def product(step: Step, input: Any, other: Any) -> Any:
    """a b: half of the relevance to each factor (half rule, Jafari et al. 2025; gates: Arras et al. 2019).

    A gate (sigmoid) that meets another factor is a constant and the factor takes all.
    """
    if not carries(input) or not carries(other):
        return step.plain()
    gates = step.marked(input, "gate"), step.marked(other, "gate")
    if gates == (True, False):
        return step.operation(input.detach(), other)
    if gates == (False, True):
        return step.operation(input, other.detach())
    return halves(input, other)


@register("prod")
def all_factors(step: Step, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """x_1 ... x_n: an equal share to each (uniform rule)."""
    dim = args[0] if args else kwargs.get("dim")
    count = input.numel() if not isinstance(dim, int) else input.shape[dim]
    return step.operation(step.scaled(input, 1 / max(count, 1)), *args, **kwargs)


@register("cumprod")
def factors_so_far(step: Step, input: Tensor, dim: int, *args: Any, **kwargs: Any) -> Any:
    """The product of the first k factors: 1 / k of its relevance to each of them."""
    y = step.plain()
    shape = [1] * y.dim()
    shape[dim] = -1
    factors = torch.arange(1, y.shape[dim] + 1, dtype=y.dtype, device=y.device).view(shape)
    return step.carry(y, y.detach(), lambda gradient: gradient / factors)


@register("grid_sampler", "grid_sampler_2d", "grid_sampler_3d")
def sampled(step: Step, input: Tensor, grid: Tensor, *args: Any, **kwargs: Any) -> Any:
    """Interpolation is linear in the image; the places where it is read are constants."""
    return step.operation(input, grid.detach(), *args, **kwargs)


@register("div", "divide", "true_divide", "__truediv__")
def quotient(step: Step, input: Any, other: Any, **kwargs: Any) -> Any:
    """a / b: b is a constant, a takes all."""
    return step.operation(input, other.detach() if carries(other) else other, **kwargs)


@register(
    "matmul",
    "__rmatmul__",
    "mm",
    "bmm",
    "mv",
    "dot",
    "vdot",
    "inner",
    "outer",
    "kron",
    "tensordot",
    "einsum",
    "_sparse_mm",
    "smm",
    "multi_dot",
    "linalg_multi_dot",
    "vecdot",
    "linalg_vecdot",
    "cross",
    "linalg_cross",
    "chain_matmul",
)
def matrix_product(step: Step, *args: Any, **kwargs: Any) -> Any:
    """A B with n traced factors: 1/n of the relevance to each (uniform rule, Achtibat et al. 2024)."""
    return step.shared()


@register("addmm", "baddbmm", "addmv", "addbmm")
def product_and_sum(step: Step, input: Tensor, *args: Any, beta: float = 1, **kwargs: Any) -> Any:
    """beta * input + alpha * A B: the product as `matrix_product`; an untraced input is booked."""
    addend = input
    if carries(input):  # only the factors share
        addend, input = input, torch.zeros_like(input)
        product = Step(step.mode, step.operation, (input, *args), {**kwargs, "beta": beta}).shared()
        return product + addend * beta
    y = step.shared()
    step.book(y, addend, sign=beta)
    return y


@register("softmax", "_softmax", "_safe_softmax")
def softmax(step: Step, *args: Any, **kwargs: Any) -> Any:
    """Attention weights are constants (AH rule, Ali et al. 2022): all relevance goes through the values."""
    return step.mark(step.value(), "softmax")


@register("log_softmax", "_log_softmax")
def log_softmax(step: Step, input: Tensor, dim: int | None = None, *args: Any, **kwargs: Any) -> Any:
    """x - log sum exp(x): linear in x, the normaliser is a constant, booked as softmax."""
    if dim is None:
        return step.unhandled()
    value = step.value()
    y = step.carry(input, value, lambda gradient: gradient)
    step.book(y, torch.logsumexp(input.detach(), dim, keepdim=True), "softmax", sign=-1)
    return y


@register("scaled_dot_product_attention")
def attention(
    step: Step,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
    **kwargs: Any,
) -> Any:
    """softmax(Q K^T) V with constant weights (AH rule, Ali et al. 2022); the fused kernel stays in use.

    On the CPU the weights are computed again for the gradient of V, which costs half of the kernel's own backward.
    """
    query, key, mask = query.detach(), key.detach(), attn_mask.detach() if attn_mask is not None else None
    if not carries(value):
        return step.mark(step.value(), "softmax")
    if dropout_p or kwargs or value.device.type != "cpu" or not key.dim() == query.dim() == value.dim() >= 3:
        return step.operation(
            query, key, value, mask, dropout_p, is_causal, scale=scale, enable_gqa=enable_gqa, **kwargs
        )
    factor = query.shape[-1] ** -0.5 if scale is None else scale
    shape = value.shape
    groups = query.shape[-3] // key.shape[-3] if enable_gqa else 1

    def back(gradient: Tensor) -> Tensor:
        keys = key.repeat_interleave(groups, -3) if groups > 1 else key
        reached = to_values(gradient, query, keys, mask, is_causal, factor)
        if groups > 1:  # heads that share their values
            reached = reached.view(*reached.shape[:-3], shape[-3], groups, *reached.shape[-2:]).sum(-3)
        return reached.sum_to_size(shape)

    return step.carry(value, step.value(), back)


@register("glu")
def gated_linear_unit(step: Step, input: Tensor, dim: int = -1) -> Any:
    """a sigmoid(b), [a, b] = x: the gate is a constant, a takes all."""
    gate = torch.sigmoid(input.detach().chunk(2, dim)[1])
    return step.carry(input, step.value(), lambda g: torch.cat([g * gate, torch.zeros_like(g)], dim))
