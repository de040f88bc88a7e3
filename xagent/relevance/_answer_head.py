"""The head of a language model for the answer's tokens alone: dot products instead of the whole vocabulary.

A score is linear in the logits, so that it needs one vector of the head for each token, not all of them:
"logit" W[y], "contrast" W[y] and W[foil], "centred" W[y] - mean W, "log_probability" W[y] - p^T W with fixed p.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

POSITIONS = 64  # whose whole logits exist at a time, for the probabilities


def head_of(model: nn.Module) -> nn.Linear | None:
    """The linear layer that makes the logits, if the model names one."""
    head = getattr(model, "get_output_embeddings", lambda: None)()
    return head if type(head) is nn.Linear else None


class NarrowHead(TorchFunctionMode):
    """While active, the head gives, for the last T positions, one column for each entry of `mixes`.

    mixes: hidden (T, width) of batch row 0 -> vectors (T, width) and their biases (T,) or None.
    output: (batch, T, columns) as the head gave it, None as long as it was not called.
    """

    def __init__(self, weight: Tensor, count: int, mixes: Sequence[Callable[[Tensor], Any]]) -> None:
        super().__init__()
        self.weight, self.count, self.mixes = weight, count, mixes
        self.output: Tensor | None = None

    def __torch_function__(
        self, operation: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        if operation is F.linear and len(args) > 1 and args[1] is self.weight:
            return self._narrow(args[0])
        return operation(*args, **kwargs) if kwargs else operation(*args)

    def _narrow(self, hidden: Tensor) -> Tensor:
        tail = hidden[:, -self.count :].unsqueeze(-2)  # (batch, T, 1, width)
        with torch._C.DisableTorchFunction(), torch.no_grad():
            first = hidden.detach()[0, -self.count :]
            mixed = [mix(first) for mix in self.mixes]
        columns = []
        for vectors, bias in mixed:
            y = torch.matmul(tail, vectors.unsqueeze(-1)).squeeze(-1)[..., 0]
            columns.append((y if bias is None else y + bias).unsqueeze(-1))
        self.output = columns[0] if len(columns) == 1 else torch.cat(columns, -1)
        return self.output

    def is_last(self, logits: Tensor) -> bool:
        """Whether the model returned the head's own values, so that any mixture of logits may be read from them."""
        y = self.output
        with torch.no_grad(), torch._C.DisableTorchFunction():
            return y is not None and logits.shape == y.shape and torch.equal(logits.detach().to(y.dtype), y.detach())


def picked(weight: Tensor, bias: Tensor | None, ids: Tensor) -> Callable[[Tensor], Any]:
    """The vector of one token id for every position."""
    return lambda hidden: (weight[ids], _bias(None if bias is None else bias[ids]))


def centred(weight: Tensor, bias: Tensor | None, ids: Tensor) -> Callable[[Tensor], Any]:
    """Less the mean of the vocabulary."""
    return lambda hidden: (weight[ids] - weight.mean(0), _bias(None if bias is None else bias[ids] - bias.mean()))


def expected(weight: Tensor, bias: Tensor | None, ids: Tensor) -> Callable[[Tensor], Any]:
    """Less the expectation under the model's own probabilities, which are constants."""

    def mix(hidden: Tensor) -> Any:
        vectors, biases = weight[ids], None if bias is None else bias[ids]
        for start in range(0, len(ids), POSITIONS):
            part = slice(start, start + POSITIONS)
            p = F.linear(hidden[part], weight, bias).softmax(-1)
            vectors[part] -= p @ weight
            if bias is not None and biases is not None:
                biases[part] -= p @ bias
        return vectors, _bias(biases)

    return mix


def _bias(values: Tensor | None) -> Tensor | None:
    """As a parameter, so that the ledger books it as a bias."""
    return None if values is None else nn.Parameter(values, requires_grad=False)
