"""Methods that read gradients: one backward pass, or an average of many along a straight line."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from xagent.methods._game import Attribution, Game, MethodNotApplicable, Parameter, chunks, differentiable
from xagent.relevance import Tracer

STEPS = 64


def propagation(game: Game, *, rules: str = "conserving", seed: int = 0) -> Attribution:
    """Relevance propagation by the tracer, as (x - baseline) * modified gradient. Needs a module.

    Bach et al. (2015), with the rules of xagent.relevance. Biases and constants hold a part of the score, so the list
    alone is not complete.
    """
    del seed
    if game.module is None:
        raise MethodNotApplicable(
            "Propagation needs a network to trace, and there is none.", "Choose a removal method."
        )
    full, empty = game.ends()
    trace = Tracer(game.module, rules=rules, forward=game.forward).trace(
        dict(game.inputs), of=[game.traced], target=game.target, baseline={game.traced: game.b}
    )
    units = game.per_unit(trace.relevance[game.traced])
    parameters = {"rules": rules}
    return Attribution("propagation", game.per_player(units), full, empty, parameters, 5, False, units)


def gradient_x_input(game: Game, *, seed: int = 0) -> Attribution:
    """(x - baseline) * gradient at x: the first-order part of the change (Shrikumar et al. 2016).

    Complete only for a model that is linear between x and the baseline.
    """
    del seed
    x = game.x.detach().clone().requires_grad_()
    with torch.enable_grad():
        score = differentiable(game, x, "Gradient x input")
        gradient = torch.autograd.grad(score.sum(), x)[0]
    units = game.per_unit((game.x - game.b) * gradient)
    full, empty = game.ends()
    return Attribution("gradient_x_input", game.per_player(units), full, empty, {}, 5, False, units)


def integrated_gradients(game: Game, *, steps: int = STEPS, seed: int = 0) -> Attribution:
    """(x - baseline) * mean gradient on the line between them (Sundararajan, Taly and Yan 2017).

    steps: nodes of Gauss-Legendre quadrature. Complete up to the error of the quadrature, which `gap` measures.
    """
    del seed
    if steps < 1:
        raise MethodNotApplicable(f"Integrated gradients cannot take {steps} steps.", "Take at least one.")
    nodes, weights = (torch.from_numpy(part) for part in np.polynomial.legendre.leggauss(steps))
    places = ((nodes + 1) / 2).reshape(-1, *[1] * (game.x.ndim - 1))
    mean = torch.zeros(game.x.shape[1:], dtype=torch.float64)
    x, b = game.x.detach(), game.b.detach()
    for place, weight in zip(chunks(game, places), chunks(game, weights / 2), strict=True):
        points: Tensor = (b + place.to(x) * (x - b)).requires_grad_()
        with torch.enable_grad():
            score = differentiable(game, points, "Integrated gradients")
            gradient = torch.autograd.grad(score.sum(), points)[0]
        mean += torch.tensordot(weight, gradient.cpu().double(), dims=1)
    units = game.per_unit((x - b).cpu().double() * mean)
    full, empty = game.ends()
    parameters: dict[str, Parameter] = {"steps": steps, "quadrature": "Gauss-Legendre"}
    return Attribution(
        "integrated_gradients", game.per_player(units), full, empty, parameters, 3 * steps + 2, True, units
    )
