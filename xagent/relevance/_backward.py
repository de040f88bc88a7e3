"""Backwards that are cheaper than torch's own, because most of what a product receives may be zero or is not needed."""

from __future__ import annotations

import torch
from torch import Tensor

from ._ledger import Books

BLOCK = 1 << 20  # numbers of attention weights that are held at once


LOOKS = 4  # full gradients in a row after which no more zeros are looked for


def through(gradient: Tensor, weight: Tensor, books: Books) -> Tensor:
    """gradient (..., out) @ weight (out, in), without the rows of the gradient that are zero.

    A score that is read at one position (a class token, the last token) reaches the layers above the last attention
    at this position alone. Three rows are looked at first; only if they are zero are all of them. Below that attention
    gradients are full, so after a few of them nobody looks any more. On the CPU only: elsewhere looking means waiting.
    """
    width = gradient.shape[-1]
    weight = weight.to(gradient.dtype)  # 16-bit weights traced in float32 (`Float32Mode`); else it is the same tensor
    if books.full < LOOKS and gradient.device.type == "cpu" and gradient.numel() >= 16 * width:
        flat = gradient.reshape(-1, width)
        rows = len(flat)
        if bool(flat[int(rows * 0.37) :: int(rows * 0.23)].any()):
            books.full += 1
        else:
            used = flat.abs().amax(1).nonzero().flatten()
            if len(used) <= rows // 2:
                result = flat.new_zeros(rows, weight.shape[1])
                if len(used):
                    result[used] = flat[used] @ weight
                return result.view(*gradient.shape[:-1], weight.shape[1])
            books.full += 1
    return torch.matmul(gradient, weight)


def to_values(gradient: Tensor, query: Tensor, key: Tensor, mask: Tensor | None, causal: bool, scale: float) -> Tensor:
    """A^T gradient with attention weights A = softmax(scale Q K^T + mask): what reaches the values if A is a constant.

    gradient (..., heads, queries, d), query and key (..., heads, tokens, d). A is computed again, in blocks of queries;
    torch's own backward would compute the gradients of Q and K too. Softmax in float32.
    """
    queries, keys = query.shape[-2], key.shape[-2]
    used = _few(gradient) if len(gradient.shape) == 4 else None
    if used is not None:
        gradient, query = gradient.index_select(-2, used), query.index_select(-2, used)
        mask = mask.index_select(-2, used) if mask is not None and mask.shape[-2] > 1 else mask
        queries = len(used)
    places = torch.arange(queries, device=query.device) if used is None else used
    step = max(16, BLOCK // max(1, query.shape[:-2].numel() * keys))
    if causal and used is None:
        step = min(step, max(64, queries // 4))  # what comes later is not computed
    result: Tensor | None = None
    for first in range(0, queries, step):
        last = min(first + step, queries)
        g = gradient[..., first:last, :]
        seen = min(last, keys) if causal and used is None else keys
        weights = torch.matmul(query[..., first:last, :] * scale, key[..., :seen, :].transpose(-1, -2))
        if weights.dtype.itemsize < 4:
            weights = weights.float()
        if causal:
            future = torch.arange(seen, device=weights.device) > places[first:last, None]
            weights.masked_fill_(future, float("-inf"))
        if mask is not None:
            part = mask[..., first:last, :] if mask.shape[-2] > 1 else mask
            weights = weights.masked_fill_(~part, float("-inf")) if part.dtype == torch.bool else weights + part
        weights = torch.softmax(weights, -1)
        if mask is not None:
            weights.nan_to_num_(nan=0.0)  # a query that may look at nothing
        new = torch.matmul(weights.to(g.dtype).transpose(-1, -2), g)
        if result is None and seen == keys:
            result = new
        else:
            result = torch.zeros(*new.shape[:-2], keys, new.shape[-1], dtype=new.dtype) if result is None else result
            result[..., :seen, :] += new
    return result if result is not None else gradient.new_zeros(*gradient.shape[:-2], keys, gradient.shape[-1])


def _few(gradient: Tensor) -> Tensor | None:
    """The queries (batch, heads, queries, d) with a gradient, if at most half of them have one."""
    queries = gradient.shape[-2]
    if queries < 16 or bool(gradient[..., int(queries * 0.37) :: int(queries * 0.23), :].any()):
        return None
    used = gradient.abs().amax((0, 1, 3)).nonzero().flatten()
    return used if len(used) <= queries // 2 else None
