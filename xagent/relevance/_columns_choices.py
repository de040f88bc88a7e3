"""Carriers where the real row chooses: attention weights, the experts of a token, the largest of several."""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from ._columns import CarrierMode, NoColumns
from ._columns_rules import carried

BLOCK = 256  # queries whose attention weights exist at a time


@carried("scaled_dot_product_attention", of="2:value")
def attention(
    mode: CarrierMode,
    operation: Any,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_mask: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Any:
    """y_i = A_0 v_i, A_0 = softmax(q_0 k_0^T + mask): weights once, for all carriers in one product (AH rule).

    query (rows, heads, S, d), key and value (rows, kv heads, S, d). Works on blocks of queries, so that weights never
    take more than heads x 256 x S values.
    """
    if not mode.carries(value) or value.shape[0] != mode.rows or mode.carries(attn_mask):
        raise NoColumns("Columns cannot follow this attention.", "Ask for rows.")
    q, k = mode.real(query)[0], mode.real(key)[0]
    mask = None if attn_mask is None else attn_mask.expand(*[1] * (4 - attn_mask.dim()), *attn_mask.shape)[0]
    rows, groups, length, width = value.shape
    heads, queries = q.shape[0], q.shape[1]
    k = k.repeat_interleave(heads // len(k), 0) if len(k) != heads else k
    factor = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    values = value.permute(1, 2, 0, 3).reshape(groups, length, rows * width)
    y = torch.empty(heads, queries, rows, width, dtype=value.dtype, device=value.device)
    size = BLOCK if value.is_cuda else BLOCK // 4  # small blocks waste less on the future, large ones fill a GPU
    for start in range(0, queries, size):
        end = min(start + size, queries)
        reach = min(end, length) if is_causal else length
        weights = (q[:, start:end] * factor) @ k[:, :reach].transpose(-1, -2)
        if is_causal:
            future = torch.ones(end - start, reach, dtype=torch.bool, device=q.device).triu(start + 1)
            weights.masked_fill_(future, -math.inf)
        if mask is not None:
            part = mask[:, start:end, :reach] if mask.shape[-2] > 1 else mask[..., :reach]
            weights = weights.masked_fill(~part, -math.inf) if part.dtype == torch.bool else weights + part
        weights = weights.softmax(-1).reshape(groups, -1, reach)
        y[:, start:end] = (weights @ values[:, :reach]).view(heads, end - start, rows, width)
    return mode.carry(y.permute(2, 0, 1, 3))


@carried("copy_")
def copied(mode: CarrierMode, operation: Any, input: Tensor, other: Tensor, *args: Any) -> Any:
    """x_i written into a part of a new tensor, which carries them from then on."""
    if not mode.carries(other) or len(input) != len(other):
        raise NoColumns("The model writes constants over traced values.", "Ask for rows.")
    whole = input._base
    if whole is not None:
        mode.carry(whole)
    return mode.carry(operation(input, other, *args))


@carried("index_add")
def scattered(mode: CarrierMode, operation: Any, input: Tensor, dim: int, index: Tensor, source: Tensor) -> Any:
    """y_i = sum of the x_i of the experts of a token, added to zeros."""
    per_row = max(len(input) // mode.rows, 1)
    home = torch.arange(mode.rows, device=index.device).repeat_interleave(max(len(index) // mode.rows, 1))
    if dim != 0 or not mode.carries(source) or len(index) != len(home) or bool((index // per_row != home).any()):
        raise NoColumns("An operation adds the rows of the batch to each other.", "Ask for rows.")
    if not mode.carries(input) and bool(input.any()):
        raise NoColumns("The model adds traced values to a constant in place.", "Ask for rows.")
    return mode.carry(operation(input, dim, index, source))


@carried("topk")
def largest(mode: CarrierMode, operation: Any, input: Tensor, k: int, dim: int = -1, *args: Any, **kwargs: Any) -> Any:
    """The values that are largest in row 0, of every row."""
    if dim % input.dim() == 0:
        raise NoColumns("The model chooses among the rows of the batch.", "Ask for rows.")
    index = mode.constant(operation(mode.real(input), k, dim, *args, **kwargs)[1])
    return torch.return_types.topk((mode.carry(input.gather(dim, index)), index))


@carried("max")
def maximum(mode: CarrierMode, operation: Any, input: Tensor, dim: Any = None, keepdim: bool = False) -> Any:
    """The value that is largest in row 0 along a dimension, of every row."""
    if not isinstance(dim, int) or dim % input.dim() == 0:
        raise NoColumns("The model chooses among the rows of the batch.", "Ask for rows.")
    index = mode.constant(operation(mode.real(input), dim, True)[1])
    y, place = (x if keepdim else x.squeeze(dim) for x in (input.gather(dim, index), index))
    return torch.return_types.max((mode.carry(y), place))


@carried("gather")
def gathered(mode: CarrierMode, operation: Any, input: Tensor, dim: int, index: Tensor) -> Any:
    """The same places of every row."""
    if dim % input.dim() == 0 or mode.carries(index) or len(index) != len(input):
        raise NoColumns("The model gathers across the rows of the batch.", "Ask for rows.")
    return mode.carry(operation(input, dim, index))


@carried("masked_fill")
def masked(mode: CarrierMode, operation: Any, input: Tensor, mask: Tensor, value: Any) -> Any:
    """x_i where the mask is false; the value, a constant, in row 0 and its ledger carrier."""
    if not mode.carries(input) or mode.carries(value) or mode.carries(mask):
        raise NoColumns("Columns cannot follow masked_fill here.", "Ask for rows.")
    return mode.carry(torch.where(mask, mode.only(value, input), input))
