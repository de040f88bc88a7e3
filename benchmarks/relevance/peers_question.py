"""What every method is asked: one score, one input, its baseline, and the units that can be removed.

A unit is a word piece, a pixel, a cell or a group of columns. Every method explains the same number with the same
baseline and is judged by the same units, so that nothing but the method differs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor, nn

Forward = Callable[[Any, Tensor], Tensor]
"""(network, x) -> (batch, columns)."""

CHUNK = 256
"""Rows of one forward at most, so that thousands of removals of a large model fit into memory."""


class Scored(nn.Module):
    """The explained score as a module: x (batch, ...) -> (batch,), column `target` minus column `foil` if there is one.

    entry: hands x on unchanged; methods that ask for a layer name it.
    """

    def __init__(self, network: nn.Module, forward: Forward, target: int, foil: int | None = None) -> None:
        super().__init__()
        self.network, self.entry = network, nn.Identity()
        self.columns, self.target, self.foil = forward, target, foil

    def forward(self, x: Tensor) -> Tensor:
        columns = self.columns(self.network, self.entry(x))
        score = columns[:, self.target]
        return score if self.foil is None else score - columns[:, self.foil]


@dataclass(frozen=True)
class Question:
    """x, baseline: (1, ...) of one shape. unit: (1, ...) long, broadcasts against x: the number of the unit that each
    element belongs to, or -1 for elements that nobody removes. count: number of units.

    window: sides of the patch that Occlusion slides over an image, 0 where units are removed one by one.
    chunk: rows of one forward at most.
    """

    module: Scored
    x: Tensor
    baseline: Tensor
    unit: Tensor
    count: int
    window: int = 0
    chunk: int = CHUNK

    @property
    def gain(self) -> float:
        """f(x) - f(baseline), what path and coalition methods distribute."""
        both = self.scores(torch.cat([self.x, self.baseline]))
        return float(both[0] - both[1])

    @property
    def score(self) -> float:
        return float(self.scores(self.x)[0])

    def summed(self, attribution: Tensor) -> Tensor:
        """Attribution of the shape of x (1, ...) -> (units,), in float64."""
        unit = self.unit.expand_as(attribution).flatten()
        chosen = unit >= 0
        sums = torch.zeros(self.count, dtype=torch.float64)
        return sums.index_add_(0, unit[chosen], attribution.detach().double().flatten()[chosen])

    def kept(self, keep: Tensor) -> Tensor:
        """keep (rows, units) bool -> inputs (rows, ...) in which every other unit is as in the baseline."""
        always = torch.ones(len(keep), 1, dtype=torch.bool)
        mask = torch.cat([keep.bool(), always], 1)[:, self.unit[0]]  # -1 picks the last column: always kept
        return torch.where(mask, self.x, self.baseline)

    def scores(self, x: Tensor) -> Tensor:
        """(rows, ...) -> (rows,), without a graph, in chunks."""
        with torch.no_grad():
            return torch.cat([self.module(part) for part in x.split(self.chunk)]).double()

    def coalitions(self, keep: Tensor) -> Tensor:
        """keep (rows, units) -> score of every row (rows,); inputs are made chunk by chunk."""
        return torch.cat([self.scores(self.kept(part)) for part in keep.split(self.chunk)])

    def toward(self, target: int, foil: int | None) -> Question:
        """The same input with another score."""
        old = self.module
        return replace(self, module=Scored(old.network, old.columns, target, foil).eval())


def token_units(length: int, units: list[list[int]]) -> Tensor:
    """Positions of each unit -> (1, length, 1); a position in no unit gets -1."""
    unit = torch.full((1, length, 1), -1)
    for number, positions in enumerate(units):
        unit[0, positions] = number
    return unit


def cell_units(height: int, width: int, side: int) -> tuple[Tensor, int]:
    """Squares of an image, row by row: (1, 1, height, width) and their number."""
    rows, columns = torch.arange(height) // side, torch.arange(width) // side
    across = (width + side - 1) // side
    unit = rows[:, None] * across + columns[None, :]
    return unit[None, None], int(unit.max()) + 1
