"""What is explained: a number for every sample, made from the model's output."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from ._errors import RelevanceError
from ._output import first_tensor, mapped

Function = Callable[[Any], Tensor]


@dataclass(frozen=True)
class Target:
    """A weighted sum of output columns, the same for every sample; `weights` are (column, weight) pairs.

    function: of the columns (kind "columns") or of the whole output ("output"), instead of the weights; it is explained
        by its gradient, and what it adds to its own linearisation is booked under `entry` of the ledger.
    position: which one of the positions is meant where the output is (batch, positions, columns).
    """

    weights: tuple[tuple[int, float], ...] = ()
    function: Function | None = None
    kind: Literal["columns", "output"] = "columns"
    entry: str = "constants"
    position: int | None = None

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

    @classmethod
    def linear(cls, weights: Mapping[int, float]) -> Target:
        """Any weighted sum of columns: {column: weight}."""
        if not weights:
            raise RelevanceError("A linear target needs at least one column.")
        return cls(tuple(sorted(weights.items())))

    @classmethod
    def log_probability(cls, i: int) -> Target:
        """log softmax(output)_i. Its gradient weighs column i against all others by their probabilities."""
        return cls(((i, 1.0),), lambda columns: columns.log_softmax(1)[:, i], entry="softmax")

    @classmethod
    def margin(cls, i: int) -> Target:
        """Column i minus the largest of the others, which may be another one for every sample."""

        def lead(columns: Tensor) -> Tensor:
            if columns.shape[1] < 2:
                raise RelevanceError("A margin needs at least two columns.")
            own = torch.arange(columns.shape[1], device=columns.device) == i % columns.shape[1]
            return columns[:, i] - columns.masked_fill(own, -torch.inf).amax(1)

        return cls(((i, 1.0),), lead)

    @classmethod
    def of_output(cls, function: Function) -> Target:
        """Any differentiable function of what the model returns (dict, tuple, dataclass ...) with shape (batch,)."""
        return cls(function=function, kind="output")

    def at(self, position: int) -> Target:
        """The same target at one position of an output (batch, positions, columns), such as a token."""
        return dataclasses.replace(self, position=position)

    def columns(self, output: Tensor) -> Tensor:
        """The output as (batch, columns). Raises RelevanceError where it has another form or lacks a named column."""
        if output.dim() == 3 and self.position is not None:
            if not -output.shape[1] <= self.position < output.shape[1]:
                raise RelevanceError(f"The target names position {self.position}, the output has {output.shape[1]}.")
            output = output[:, self.position]
        if output.dim() == 1:
            output = output.unsqueeze(1)
        if output.dim() != 2:
            raise RelevanceError(
                f"The output has shape {tuple(output.shape)}; a target needs (batch, columns).",
                "Give the tracer a forward that returns one row per sample, or say where: Target.index(3).at(-1).",
            )
        count = output.shape[1]
        for column, _ in self.weights:
            if not -count <= column < count:
                raise RelevanceError(f"The target names column {column}, but the output has {count}.")
        return output

    def score(self, output: Tensor) -> Tensor:
        """(batch, columns) or (batch,) -> (batch,). Raises RelevanceError for a column the output has not."""
        columns = self.columns(output)
        if self.function is not None:
            return self.function(columns)
        return torch.stack([weight * columns[:, column] for column, weight in self.weights]).sum(0)

    def linearised(self, output: Any) -> tuple[Tensor, Tensor]:
        """What is explained of a model's raw output: the score (batch,), and its linear part (batch,) with a graph.

        For a weighted sum both are the same tensor. For a function f the linear part is sum(output * f'(output)).
        """
        if self.kind == "output":
            return self._of_tensors(output)
        tensor = first_tensor(output)
        return self._of_tensors(tensor) if self.function is not None else (self.score(tensor),) * 2

    def _of_tensors(self, output: Any) -> tuple[Tensor, Tensor]:
        assert self.function is not None
        leaves: list[Tensor] = []
        sources: list[Tensor] = []

        def leaf(x: Tensor) -> Tensor:
            if not x.is_floating_point():
                return x
            sources.append(x)
            leaves.append(x.detach().clone().requires_grad_())
            return leaves[-1]

        copy = mapped(output, leaf)
        with torch.enable_grad():
            score = self.function(copy) if self.kind == "output" else self.score(copy)
        if not isinstance(score, Tensor) or score.dim() != 1 or not score.is_floating_point():
            raise RelevanceError("The target's function must return one number for every sample, shape (batch,).")
        if not score.requires_grad:
            return score.detach(), torch.zeros_like(score)
        slopes = torch.autograd.grad(score.sum(), leaves, allow_unused=True)
        parts = [
            _per_sample(torch.where(slope == 0, 0, x * slope), len(score))
            for x, slope in zip(sources, slopes, strict=True)
            if slope is not None
        ]
        return score.detach(), torch.stack(parts).sum(0)


def _per_sample(x: Tensor, batch: int) -> Tensor:
    if x.dim() == 0 or x.shape[0] != batch:
        raise RelevanceError("The target's function reads an output whose first dimension is not the batch.")
    return x.reshape(batch, -1).sum(1)
