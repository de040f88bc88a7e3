"""The carriers' side of the rules: how row i of an operation follows from row i of its operands and from row 0.

Notation: x_i is row i of a traced operand, x_0 its real value, c a constant. Each rule is the transpose of the rule of
the same operation in `conserving` (or `fastest`); an operation that is not here cannot be followed, and rows are used.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._pytree import tree_leaves

from ._columns import CARRIED_OPERANDS, CARRIER_RULES, LOOKS, CarrierMode, CarrierRule, NoColumns
from ._columns_activations import ratio
from ._rules_norms import rms_scale
from ._table import spellings

# the order of values in memory stays: where the first dimension still holds the rows, they are in front
ORDERED = (
    "view reshape view_as reshape_as flatten unflatten squeeze unsqueeze contiguous clone alias to type _to_copy float "
    "double half bfloat16 type_as neg negative dropout"
)
MOVES = (
    "permute transpose swapaxes movedim expand expand_as repeat repeat_interleave chunk split split_with_sizes unbind "
    "select slice narrow index_select getitem roll flip iter"
)
VIEWS = (
    "view reshape view_as reshape_as flatten unflatten squeeze unsqueeze permute transpose swapaxes movedim expand "
    "expand_as repeat chunk split split_with_sizes unbind select slice narrow getitem iter"
)
ACTIVATIONS = (
    "gelu silu mish tanh elu selu celu relu6 hardtanh hardswish erf square pow softplus sigmoid clamp clamp_min "
    "clamp_max"
)
QUERIES = (
    "exp exp2 sqrt rsqrt reciprocal log std var cos logsumexp softmax eq ne lt le gt ge isnan isinf isfinite argmax "
    "any all detach"
)


def carried(*names: str, of: str | None = None) -> Callable[[CarrierRule], CarrierRule]:
    """Decorator: the rule of every spelling of these operations.

    of: the operands whose carriers count, as "place:name place:name"; all, where it is not given.
    """

    def keep(function: CarrierRule) -> CarrierRule:
        for name in names:
            for spelling in spellings(name):
                CARRIER_RULES[spelling] = function
                if of is not None:
                    pairs = [pair.split(":") for pair in of.split()]
                    CARRIED_OPERANDS[spelling] = tuple((int(place), operand) for place, operand in pairs)
        return function

    return keep


LOOKS.update(spelling for name in VIEWS.split() for spelling in spellings(name))


@carried(*ORDERED.split(), of="0:self 0:input")
def ordered(mode: CarrierMode, operation: Any, *args: Any, **kwargs: Any) -> Any:
    """y_i = x_i, seen in another shape or type."""
    x = args[0]
    if not mode.carries(x) or (any(isinstance(a, torch.dtype) for a in args[1:]) and "view" in mode.name(operation)):
        raise NoColumns(f"Columns cannot follow {mode.name(operation)} here.", "Ask for rows.")
    return mode.carry(operation(*args, **kwargs), mode.notes.get(x, ""))


@carried(*MOVES.split(), of="0:self 0:input")
def moved(mode: CarrierMode, operation: Any, *args: Any, **kwargs: Any) -> Any:
    """y_i = move(x_i): values are moved within their row; that the rows stay in front is seen on row numbers."""
    x = args[0]
    others = [t for t in tree_leaves((args[1:], kwargs)) if isinstance(t, Tensor)]
    if not mode.carries(x) or (any(mode.carries(t) for t in others) and operation not in EXPAND_AS):
        raise NoColumns(f"Columns cannot follow {mode.name(operation)} here.", "Ask for rows.")
    y = operation(*args, **kwargs)
    key = repr((operation, x.shape, x.stride(), args[1:], sorted(kwargs.items()))) if not others else ""
    if not key or key not in mode.led:
        probe = operation(_numbers(mode, x), *args[1:], **kwargs)
        for z in tree_leaves(probe):
            _rows_lead(mode, operation, z)
        mode.led.add(key)
    return mode.carry(y, mode.notes.get(x, ""))


EXPAND_AS = set(spellings("expand_as"))


def _numbers(mode: CarrierMode, like: Tensor) -> Tensor:
    """The number of its row at every value, without memory of its own."""
    numbers = torch.arange(mode.rows, device=like.device, dtype=torch.int32).repeat_interleave(len(like) // mode.rows)
    return numbers.view(-1, *[1] * (like.dim() - 1)).expand(like.shape)


def _rows_lead(mode: CarrierMode, operation: Any, z: Tensor) -> None:
    if z.dim() and len(z) % mode.rows == 0:
        same = [d for d in range(1, z.dim()) if z.stride(d) == 0 and z.shape[d]]
        for d in same:  # one value stands for all along these
            z = z.narrow(d, 0, 1)
        if bool((z == _numbers(mode, z)).all()):
            return
    raise NoColumns(f"The operation {mode.name(operation)} mixes the rows of the batch.", "Ask for rows.")


@carried("sum", "mean", "cumsum")
def reduced(mode: CarrierMode, operation: Any, input: Tensor, dim: Any = None, *args: Any, **kwargs: Any) -> Any:
    """y_i = sum of x_i along dimensions other than the first."""
    dims = (dim,) if isinstance(dim, int) else dim
    if dims is None or any(d % input.dim() == 0 for d in dims):
        raise NoColumns(f"The operation {mode.name(operation)} mixes the rows of the batch.", "Ask for rows.")
    return mode.carry(operation(input, dim, *args, **kwargs))


@carried("add", "__radd__", "sub", "subtract", "rsub", "__rsub__")
def summed(mode: CarrierMode, operation: Any, input: Any, other: Any, alpha: float = 1) -> Any:
    """y_i = a_i +- b_i; a constant c is added to row 0 and to the carrier of its ledger entry."""
    if not mode.carries(input):
        input = mode.only(input, like=other)
    if not mode.carries(other):
        other = mode.only(other, like=input)
    plain = alpha == 1 and "add" in mode.name(operation)
    y = mode.by_rest(torch.add, input, other) if plain else None
    if y is None:
        y = operation(input, other, alpha=alpha) if alpha != 1 else operation(input, other)
    return mode.carry(y)


@carried("cat", "concat", "concatenate")
def joined(mode: CarrierMode, operation: Any, tensors: Any, dim: int = 0) -> Any:
    """y_i = [a_i, b_i]; constants as in a sum."""
    like = next(x for x in tensors if mode.carries(x))
    if dim % like.dim() == 0 or any(not mode.carries(x) and x.dim() != like.dim() for x in tensors):
        raise NoColumns("The model joins along the batch.", "Ask for rows.")
    return mode.carry(operation([x if mode.carries(x) else mode.only(x, like) for x in tensors], dim))


@carried("mul", "multiply", "__rmul__")
def product(mode: CarrierMode, operation: Any, input: Any, other: Any) -> Any:
    """y_i = c x_i; of two traced factors y_i = (a_i b_0 + a_0 b_i) / 2, or a_0 b_i where a is a gate."""
    if not (mode.carries(input) and mode.carries(other)):
        traced = input if mode.carries(input) else other
        y = mode.by_rest(torch.mul, input, other)
        y = operation(input, other) if y is None else y
        if y.dim() != traced.dim() or len(y) != len(traced):
            raise NoColumns("A product changes the shape of the batch.", "Ask for rows.")
        return mode.carry(y)
    if input.dim() != other.dim() or len(input) != len(other):
        raise NoColumns("A product joins tensors whose batches differ.", "Ask for rows.")
    first, second = (mode.notes[x] == "gate" for x in (input, other))
    if mode.gates == "constant":
        either = [mode.notes[x] in ("gate", "activation") for x in (input, other)]
        first, second = either if either[0] != either[1] else (first, second)
    a, b = mode.by_row(input), mode.by_row(other)
    if first != second:
        return mode.carry((a[:1] * b if first else a * b[:1]).flatten(0, 1))
    half_a, half_b = a[:1] * 0.5, b[:1] * 0.5  # halves are exact
    firsts = mode.rests(input, other) if input.shape == other.shape and input.dtype == other.dtype else []
    if not firsts:
        return mode.carry(torch.addcmul(a * half_b, half_a, b).flatten(0, 1))
    y = mode.resting(input.new_empty(input.shape), firsts)
    for i, start in enumerate(firsts):
        torch.mul(input[i, start:], half_b[0, 0, start:], out=y[i, start:])
        y[i, start:].addcmul_(half_a[0, 0, start:], other[i, start:])
    return mode.carry(y)


@carried("div", "divide", "true_divide", "__truediv__", of="0:input")
def quotient(mode: CarrierMode, operation: Any, input: Any, other: Any, **kwargs: Any) -> Any:
    """y_i = a_i / b_0: the divisor is a constant."""
    if mode.carries(other):
        other = mode.constant(mode.real(other))
    y = operation(input, other, **kwargs)
    return mode.carry(y) if mode.carries(input) else y


@carried(*ACTIVATIONS.split())
def activation(mode: CarrierMode, operation: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """y_i = x_i (f(x_0) - f(0)) / x_0; f(0) is a constant (identity rule, Achtibat et al. 2024)."""
    if not mode.carries(input) or any(isinstance(x, Tensor) for x in (*args, *kwargs.values())):
        raise NoColumns(f"Columns cannot follow {mode.name(operation)} with these arguments.", "Ask for rows.")
    probe = torch.tensor([-1e-4, 0.0, 1e-4], dtype=torch.float64)
    below, zero, above = operation(probe, *args, **kwargs).tolist()
    x0 = mode.real(input)
    value = operation(x0, *args, **kwargs)
    if not all(abs(v) < 1e3 for v in (below, zero, above)):
        return mode.constant(value)
    slope = (above - below) / 2e-4
    if zero == 0:
        return mode.carry(ratio(mode, input, value, slope), "activation")
    wide = torch.float64 if x0.device.type != "mps" else torch.float32
    change = operation(x0.to(wide), *args, **kwargs) - zero
    y = ratio(mode, input, value, slope, change)
    row = mode.entry_row("constants", zero)
    if row is not None:
        mode.by_row(y)[row] += zero
    return mode.carry(y, "gate")


@carried("relu", "leaky_relu")
def rectifier(mode: CarrierMode, operation: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """y_i = x_i f(x_0) / x_0 (homogeneous: Euler); torch's own slope at zero, that of the negative side."""
    value = operation(mode.real(input), *args, **kwargs)
    slope = -float(operation(torch.tensor(-1.0), *args, **kwargs))
    return ratio(mode, input, value, slope)


@carried(*QUERIES.split(), of="")
def constant(mode: CarrierMode, operation: Any, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """y_i = f(x_0): scales, attention weights and questions about values are constants of row 0."""
    rest = [mode.real(x) for x in args]
    y = mode.constant(operation(mode.real(input), *rest, **{name: mode.real(x) for name, x in kwargs.items()}))
    if "softmax" in getattr(operation, "__name__", ""):
        mode.origins[y] = "softmax"
    return y


@carried("zeros_like", "ones_like", "empty_like", "full_like", "new_zeros", "new_ones", "new_empty", "new_full", of="")
def blank(mode: CarrierMode, operation: Any, *args: Any, **kwargs: Any) -> Any:
    """A new constant in the shape of the traced tensor, with memory of its own for every row."""
    return operation(*args, **kwargs)


@carried("matmul", "mm", "bmm")
def matrix_product(mode: CarrierMode, operation: Any, input: Tensor, other: Tensor) -> Any:
    """y_i = x_i W or A x_i; of two traced factors half of each with the other's row 0 (uniform rule)."""
    if mode.carries(input) and mode.carries(other):
        if input.dim() != other.dim() or input.dim() < 3 or len(input) != len(other):
            raise NoColumns("A matrix product joins tensors whose batches differ.", "Ask for rows.")
        a, b = mode.by_row(input), mode.by_row(other)
        return mode.carry(((a @ b[:1] + a[:1] @ b) * 0.5).flatten(0, 1))
    traced = input if mode.carries(input) else other
    y = operation(input, other)
    if (traced is other and traced.dim() < 3) or y.dim() != traced.dim() or len(y) != len(traced):
        raise NoColumns("A matrix product mixes the rows of the batch.", "Ask for rows.")
    return mode.carry(y)


@carried("linear")
def dense(mode: CarrierMode, operation: Any, input: Tensor, weight: Tensor, bias: Tensor | None = None) -> Any:
    """y_i = x_i W^T; the bias is added to row 0 and to its ledger carrier."""
    if not mode.carries(input) or mode.carries(weight):
        raise NoColumns("A layer's weights depend on the input.", "Ask for rows.")
    return mode.carry(_with_bias(mode, _times(mode, input, weight.t()), bias))


@carried("addmm")
def dense_transposed(
    mode: CarrierMode, operation: Any, input: Tensor, mat1: Tensor, mat2: Tensor, beta: float = 1, alpha: float = 1
) -> Any:
    """y_i = x_i W + b, as GPT-2 writes it."""
    if mode.carries(input) or mode.carries(mat2) or input.dim() != 1 or beta != 1 or alpha != 1:
        raise NoColumns("Columns cannot follow this addmm.", "Ask for rows.")
    return mode.carry(_with_bias(mode, _times(mode, mat1, mat2), input))


def _times(mode: CarrierMode, x: Tensor, matrix: Tensor) -> Tensor:
    """x (..., n) @ matrix (n, m); tokens before a carrier's first, which are zero, are left out on a CPU."""
    width, out = matrix.shape
    if not any(mode.starts) or x.numel() != mode.rows * mode.length * width:
        return x @ matrix
    rows = x if x.dim() == 3 and len(x) == mode.rows else x.reshape(mode.rows, mode.length, width)
    firsts = mode.rests(rows)
    if not firsts:
        return x @ matrix
    y = mode.resting(x.new_empty(mode.rows, mode.length, out), firsts)
    for i, first in enumerate(firsts):
        torch.mm(rows[i, first:], matrix, out=y[i, first:])
    return y if rows is x else y.view(*x.shape[:-1], out)


def _with_bias(mode: CarrierMode, y: Tensor, bias: Tensor | None) -> Tensor:
    if bias is not None:
        rows = mode.by_row(y)
        rows[0] += bias
        row = mode.entry_row(mode.origin(bias), bias)
        if row is not None:
            rows[row] += bias
    return y


@carried("layer_norm")
def layer_norm(
    mode: CarrierMode,
    operation: Any,
    input: Tensor,
    normalized_shape: Any,
    weight: Tensor | None = None,
    bias: Tensor | None = None,
    eps: float = 1e-5,
    *args: Any,
) -> Any:
    """y_i = (x_i - mean x_i) g / sigma_0; the bias as in `dense` (LN rule, Ali et al. 2022)."""
    dims = tuple(range(-len(normalized_shape), 0))
    value, _, rstd = torch.native_layer_norm(mode.real(input), list(normalized_shape), weight, bias, eps)
    scale = rstd if weight is None else rstd * weight
    y = (mode.by_row(input - input.mean(dims, keepdim=True)) * scale).flatten(0, 1).to(input.dtype)
    y = _with_bias(mode, y, bias)
    y[: len(value)] = value
    return mode.carry(y)


@carried("rms_norm")
def rms_norm(
    mode: CarrierMode, operation: Any, input: Tensor, normalized_shape: Any, weight: Any = None, eps: Any = None
) -> Any:
    """y_i = x_i g / rms(x_0) (LN rule, Ali et al. 2022)."""
    scale = rms_scale(mode.real(input), len(normalized_shape), weight, eps)
    return mode.carry((mode.by_row(input) * scale).flatten(0, 1).to(input.dtype))
