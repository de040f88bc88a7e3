"""What every method is given, and what every method gives back."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from xagent.errors import XagentError
from xagent.relevance import Target

CHUNK_ELEMENTS = 2**24
"""Numbers in one batch of altered inputs: 64 MiB in single precision."""
Parameter = bool | int | float | str


class MethodError(XagentError, ValueError):
    """A method cannot give an answer that means anything; the message names the method and the cause."""


class MethodNotApplicable(MethodError):
    """The method does not fit this model or this input; the message says why, in one sentence."""


@dataclass(frozen=True)
class Game:
    """One score of one input, and the players whose part in it is asked for.

    forward: inputs by name, batch m -> (m, K); differentiable for gradient methods. inputs: the model's arguments,
    batch 1. traced: the key of the one that carries relevance: (1, d) columns, (1, T, E) tokens or (1, C, H, W)
    pixels. target: what is explained of the output. baseline: what "not there" looks like, broadcastable to the
    traced tensor. groups: for each player its positions along the unit axis (columns, tokens, or flat pixels
    row * W + column); no position has two owners. module: the network, for methods that look inside.
    score_fn: keep (m, P) bool -> (m,) score with the other players replaced, where the owner of the model has its own
    way to leave players out; by default they take the positions of the baseline.
    """

    forward: Callable[[dict[str, Tensor]], Tensor]
    inputs: Mapping[str, Tensor]
    traced: str
    target: Target
    baseline: Tensor
    groups: tuple[tuple[int, ...], ...]
    module: nn.Module | None = None
    score_fn: Callable[[Tensor], Tensor] | None = None

    def __post_init__(self) -> None:
        if not self.groups:
            raise MethodError("There is no input whose part in the score could be asked for.", "Give at least one.")
        if self.x.ndim not in (2, 3, 4) or len(self.x) != 1:
            raise MethodError(
                f"The traced input {self.traced!r} has shape {tuple(self.x.shape)}.",
                "It must be (1, d), (1, T, E) or (1, C, H, W).",
            )

    @property
    def x(self) -> Tensor:
        """The traced tensor, batch 1."""
        return self.inputs[self.traced]

    @property
    def b(self) -> Tensor:
        """The baseline in the shape and precision of the traced tensor."""
        return self.baseline.to(self.x).expand_as(self.x)

    @property
    def players(self) -> int:
        return len(self.groups)

    def score(self, keep: Tensor) -> Tensor:
        """keep (m, P) bool -> (m,) float64 on the CPU, without gradients. Raises MethodError for NaN or infinity."""
        if self.score_fn is not None:
            scores = self.score_fn(keep)
        else:
            rows = max(1, min(512, CHUNK_ELEMENTS // max(self.x.numel(), 1)))
            with torch.no_grad():
                scores = torch.cat([self.of(self.ablated(part)) for part in torch.split(keep, rows)])
        return finite(scores.detach().cpu().double())

    def of(self, traced: Tensor) -> Tensor:
        """(m,) score of traced inputs (m, ...), with a graph where they have one."""
        inputs = {name: t.expand(len(traced), *t.shape[1:]) for name, t in self.inputs.items()}
        return self.target.score(self.forward({**inputs, self.traced: traced}))

    def ablated(self, keep: Tensor) -> Tensor:
        """(m, ...) traced inputs in which the positions of players that are not kept are the baseline's."""
        owner = torch.zeros(self.players, self.units, dtype=torch.float32)
        for place, group in enumerate(self.groups):
            owner[place, list(group)] = 1
        removed = ((~keep.bool().cpu()).float() @ owner > 0).to(self.x.device)
        x = self.x
        mask = removed.reshape(len(keep), 1, *x.shape[2:]) if x.ndim == 4 else removed
        return torch.where(mask[..., None] if x.ndim == 3 else mask, self.b, x)

    @property
    def units(self) -> int:
        """Positions along the unit axis."""
        return self.x.shape[2] * self.x.shape[3] if self.x.ndim == 4 else self.x.shape[1]

    def per_unit(self, values: Tensor) -> Tensor:
        """(units,) float64 from values shaped like the traced tensor: summed over embedding or channels."""
        row = values.detach()[0].cpu().double()
        return row.sum(-1) if self.x.ndim == 3 else row.sum(0).reshape(-1) if self.x.ndim == 4 else row

    def per_player(self, units: Tensor) -> Tensor:
        """(P,) float64 from (units,)."""
        return torch.stack([units[list(group)].sum() for group in self.groups])

    def ends(self) -> tuple[float, float]:
        """f(x) and f(baseline): with every player there, and with none."""
        every = torch.tensor([True, False])[:, None].expand(2, self.players)
        full, empty = self.score(every).tolist()
        return full, empty


@dataclass(frozen=True)
class Attribution:
    """Signed relevance towards the target, and how it was made.

    relevance: (P,) float64, one for each player. units: (units,) float64, where the method gives finer values.
    error: (P,) standard error of a sampled method, zeros for any other. full, empty: score with all players and with
    none. parameters: what was chosen, for the record. forwards: model rows that it took; a row with its gradient
    counts as three. complete: the method claims that the list sums to full - empty.
    """

    method: str
    relevance: Tensor
    full: float
    empty: float
    parameters: Mapping[str, Parameter]
    forwards: int
    complete: bool
    units: Tensor | None = None
    error: Tensor = field(default_factory=lambda: torch.zeros(0, dtype=torch.float64))

    def __post_init__(self) -> None:
        finite(self.relevance)
        if not self.error.numel():
            object.__setattr__(self, "error", torch.zeros_like(self.relevance))

    @property
    def gap(self) -> float:
        """|sum - (full - empty)| as a part of the larger of |full - empty| and sum |relevance|; from 0.

        Without finer values than players, positions that no player owns are in neither sum. 0 where both are within
        the rounding of the scores in single precision, in which some methods regress: a share of noise says nothing.
        """
        listed = self.relevance if self.units is None else self.units
        change = self.full - self.empty
        size = max(abs(change), float(listed.abs().sum()))
        noise = torch.finfo(torch.float32).eps * max(abs(self.full), abs(self.empty))
        return abs(float(listed.sum()) - change) / size if size > noise else 0.0


def finite(values: Tensor) -> Tensor:
    """The values, unless one of them is no finite number: MethodError."""
    if not bool(values.isfinite().all()):
        raise MethodError("The model's score or its gradient is not a finite number.", "Check the model and its input.")
    return values


def differentiable(game: Game, traced: Tensor, name: str) -> Tensor:
    """(m,) score of traced inputs with a graph. Raises MethodNotApplicable where the model gives no gradient."""
    try:
        score = game.of(traced)
    except (RuntimeError, TypeError) as error:
        if "requires grad" not in str(error):
            raise
        score = traced.detach()
    if not score.requires_grad:
        raise MethodNotApplicable(f"{name} needs gradients, and this model gives none.", "Choose a removal method.")
    finite(score.detach())
    return score


def chunks(game: Game, rows: Tensor) -> tuple[Tensor, ...]:
    """Traced inputs (m, ...) in batches that fit into memory with their graph."""
    size = max(1, min(64, math.ceil(CHUNK_ELEMENTS / 8 / max(game.x.numel(), 1))))
    return torch.split(rows, size)
