"""What tests of the engine share: random models in evaluation mode, and random inputs."""

from __future__ import annotations

import torch
from torch import Tensor, nn


def randomised(model: nn.Module, seed: int = 0, dtype: torch.dtype = torch.float64) -> nn.Module:
    """Evaluation mode; weights, biases, scales of norms and running statistics are all random, so that leaving one out
    shows."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, tensor in [*model.named_parameters(), *model.named_buffers()]:
            if "running_var" in name:
                tensor.uniform_(0.5, 2.0, generator=generator)
            elif tensor.is_floating_point():
                tensor.normal_(0, 0.5, generator=generator)
    return model.eval().to(dtype)


def values(*shape: int, seed: int = 1) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Attending(nn.Module):
    """Attention of a sequence to itself: with the weights wanted, torch folds heads into the batch."""

    def __init__(self, need_weights: bool) -> None:
        super().__init__()
        self.attention = nn.MultiheadAttention(8, 2, batch_first=True)
        self.need_weights = need_weights

    def forward(self, x: Tensor) -> Tensor:
        return self.attention(x, x, x, need_weights=self.need_weights)[0]  # type: ignore[no-any-return]
