"""DeepLift by captum, for the networks whose every bend its rules know."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from xagent.methods._game import Attribution, Game, MethodNotApplicable, differentiable
from xagent.methods._libraries import library, seeded

TOLERANCE = 1e-3
"""Largest gap of a network that the rules cover: single precision and no more."""


class _Scored(nn.Module):
    """The score as a module, with the network inside it, where captum's hooks find its layers."""

    def __init__(self, game: Game) -> None:
        super().__init__()
        assert game.module is not None
        self.network = game.module
        self._game = game

    def forward(self, traced: Tensor) -> Tensor:
        return self._game.of(traced)[:, None]


def deep_lift(game: Game, *, seed: int = 0) -> Attribution:
    """DeepLift, rescale rule (Shrikumar, Greenside and Kundaje 2017). Needs a module and the extra `methods`.

    The rule is exact in its sum wherever each activation is a layer of its own that runs once. Where the sum misses
    the change of the score, some operation has no rule, and the method is said not to apply: MethodNotApplicable.
    """
    if game.module is None:
        raise MethodNotApplicable("DeepLift needs a network, and there is none.", "Choose a removal method.")
    deep: Any = library("captum.attr", "captum").DeepLift
    training = game.module.training
    with seeded(seed):
        differentiable(game, game.x.detach().clone().requires_grad_(), "DeepLift")
        try:
            values = deep(_Scored(game).train(training)).attribute(
                game.x.detach().clone(), game.b.detach().clone(), target=0
            )
        except (RuntimeError, AssertionError, TypeError) as error:
            raise MethodNotApplicable(
                f"DeepLift does not cover this network ({str(error).splitlines()[0][:160]}).",
                "Choose integrated_gradients.",
            ) from error
    units = game.per_unit(values)
    full, empty = game.ends()
    found = Attribution("deep_lift", game.per_player(units), full, empty, {"rule": "rescale"}, 8, True, units)
    if found.gap > TOLERANCE:
        raise MethodNotApplicable(
            f"DeepLift does not cover this network: its sum misses the change of the score by {found.gap:.1%}.",
            "Choose integrated_gradients.",
        )
    return found
