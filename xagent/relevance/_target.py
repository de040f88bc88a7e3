"""What is explained: a linear function of the model's output."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from ._errors import RelevanceError


@dataclass(frozen=True)
class Target:
    """A weighted sum of output columns, the same for every sample; `weights` are (column, weight) pairs."""

    weights: tuple[tuple[int, float], ...]

    @classmethod
    def index(cls, i: int) -> Target:
        """One column of the output, such as the logit of a class."""
        return cls(((i, 1.0),))

    @classmethod
    def contrast(cls, i: int, j: int) -> Target:
        """Column i minus column j: why i rather than j."""
        return cls(((i, 1.0), (j, -1.0)))

    @classmethod
    def value(cls) -> Target:
        """The only column of a regression."""
        return cls(((0, 1.0),))

    def score(self, output: Tensor) -> Tensor:
        """(batch, columns) or (batch,) -> (batch,). Raises RelevanceError for a column the output has not."""
        if output.dim() == 1:
            output = output.unsqueeze(1)
        if output.dim() != 2:
            raise RelevanceError(
                f"The output has shape {tuple(output.shape)}; a target needs (batch, columns).",
                "Give the tracer a forward that returns one row per sample.",
            )
        columns = output.shape[1]
        for column, _ in self.weights:
            if not -columns <= column < columns:
                raise RelevanceError(f"The target names column {column}, but the output has {columns}.")
        return torch.stack([weight * output[:, column] for column, weight in self.weights]).sum(0)
