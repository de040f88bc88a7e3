"""Rules of the sets `attnlrp` and `blend:ALPHA`: relevance also flows through the attention weights.

O = A V, A = softmax(S), S = Q K^T. A share alpha of O's relevance goes to A and 1 - alpha to V (alpha = 1/2 is AttnLRP,
Achtibat et al. 2024; alpha = 0 is `conserving`). The softmax takes the first-order Taylor rule R_S = S (R_A/S-wise
gradient), i.e. torch's own gradient; it loses relevance, which the ledger names `softmax`. Q and K share by halves.
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._step import Step, carries
from ._table import register


@register("softmax", "_softmax", "_safe_softmax", rules="attnlrp")
def softmax(step: Step, *args: Any, **kwargs: Any) -> Any:
    """R_i = x_i (R_i / s_i ... - s_i sum_j R_j): torch's gradient; what is lost is booked as softmax."""
    return step.mark(step.residual("softmax"), "softmax")


@register("matmul", "bmm", "__rmatmul__", rules="attnlrp")
def weighted_sum(step: Step, input: Any, other: Any, **kwargs: Any) -> Any:
    """A V with attention weights A: alpha to A, 1 - alpha to V; any other product by halves."""
    if carries(input) and carries(other) and step.marked(input, "softmax"):
        alpha = step.mode.rules.strength
        return step.operation(step.scaled(input, alpha), step.scaled(other, 1 - alpha), **kwargs)
    return step.shared()


@register("scaled_dot_product_attention", rules="attnlrp")
def attention(
    step: Step, query: Tensor, key: Tensor, value: Tensor, attn_mask: Any = None, *args: Any, **kwargs: Any
) -> Any:
    """The same in one kernel: alpha / 2 to Q, alpha / 2 to K, alpha to a learned mask, 1 - alpha to V."""
    alpha = step.mode.rules.strength
    shares = (alpha / 2, alpha / 2, 1 - alpha, alpha)
    operands = (query, key, value, attn_mask)
    entered = [x.view_as(x) if carries(x) else x for x in operands]
    scaled = [step.scaled(x, share) if carries(x) else x for x, share in zip(entered, shares, strict=True)]
    y = step.operation(*scaled, *args, **kwargs)
    for sign, tensors in ((1.0, [y]), (-1.0, [x for x in entered if carries(x)])):
        for x in tensors:
            step.account(x, "softmax", sign)
    return y
