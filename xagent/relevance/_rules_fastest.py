"""Rules of the set `fastest`: `conserving`, except that every gate is a constant, as attention weights are.

The relevance of a gated product goes to the factor that is no activation; the branch of the gate is not even entered,
which saves its share of the gradient (gate rule: Arras et al. 2019; for transformers: Ali et al. 2022).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

from ._rules_conserving import ACTIVATIONS, activation, product
from ._step import Step, carries
from ._table import register

GATES = ("gate", "activation")


@register(*ACTIVATIONS.split(), rules="fastest")
def activated(step: Step, input: Tensor, *args: Any, **kwargs: Any) -> Any:
    """As `conserving`; the result is noted, so that a product knows its gate."""
    y = activation(step, input, *args, **kwargs)
    return y if step.marked(y, "gate") else step.mark(y, "activation")


@register("mul", "multiply", "__rmul__", rules="fastest")
def gated(step: Step, input: Any, other: Any) -> Any:
    """f(a) b, f an activation: f(a) is a constant and b takes all; other products share by halves."""
    if carries(input) and carries(other):
        first, second = (step.mode.marks.get(x) in GATES for x in (input, other))
        if first != second:
            return step.operation(input.detach() if first else input, other.detach() if second else other)
    return product(step, input, other)
