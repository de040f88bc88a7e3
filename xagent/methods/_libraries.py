"""Methods that other libraries bring: LIME by captum, KernelSHAP by shap, both over coalitions of players."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from importlib import import_module
from typing import Any

import numpy as np
import torch
from torch import Tensor

from xagent.errors import ConfigurationFault
from xagent.methods._game import Attribution, Game, MethodNotApplicable

SAMPLES = 512
_ONE_AT_A_TIME = threading.Lock()


def library(module: str, name: str) -> Any:
    """A library of the extra `methods`. Raises ConfigurationFault with the install line when it is not there."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return import_module(module)
    except ImportError as error:
        raise ConfigurationFault(f"This method needs {name}.", "pip install 'xagent[methods]'") from error


@contextmanager
def seeded(seed: int) -> Iterator[None]:
    """These libraries draw from the process-wide generators: seeded within, put back afterwards, one call at a time."""
    with _ONE_AT_A_TIME, torch.random.fork_rng(devices=[]), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        before = np.random.get_state()
        torch.manual_seed(seed)
        np.random.seed(seed)
        try:
            yield
        finally:
            np.random.set_state(before)


def kernel_shap(game: Game, *, samples: int = SAMPLES, seed: int = 0) -> Attribution:
    """Shapley values by weighted regression over coalitions (Lundberg and Lee 2017), by shap, without a penalty.

    samples: coalitions at most; all of them are taken where they are fewer. Complete by construction.
    """
    _enough(samples, game.players, "KernelSHAP")
    explainer: Any = library("shap.explainers", "shap").KernelExplainer
    p = game.players

    def model(rows: Any) -> Any:
        return game.score(torch.from_numpy(np.asarray(rows) > 0.5)).numpy()

    with seeded(seed):
        values = explainer(model, np.zeros((1, p))).shap_values(
            np.ones((1, p)), nsamples=samples, l1_reg=0, silent=True
        )
    full, empty = game.ends()
    relevance = torch.from_numpy(np.asarray(values, dtype=np.float64).reshape(-1))
    parameters = {"samples": samples, "seed": seed}
    return Attribution("kernel_shap", relevance, full, empty, parameters, min(samples, 2**p) + 4, True)


def lime(game: Game, *, samples: int = SAMPLES, width: float = 0.25, seed: int = 0) -> Attribution:
    """Weights of a local linear model over coalitions (Ribeiro, Singh and Guestrin 2016), by captum.

    Each player stays with probability one half; a coalition weighs exp(-d**2 / (2 * width**2)), d being the share of
    players that left. No penalty. The weights describe the score near the whole input and make no claim to sum to it.
    """
    _enough(samples, game.players, "LIME")
    attr: Any = library("captum.attr", "captum")
    linear: Any = library("captum._utils.models.linear_model", "captum").SkLearnLinearRegression
    p = game.players

    def score(rows: Tensor) -> Tensor:
        return game.score(rows > 0.5)

    def near(_: Tensor, __: Tensor, keep: Tensor, **more: Any) -> Tensor:
        return torch.exp(-((1 - keep.double().mean()) ** 2) / (2 * width**2))

    def draw(original: Tensor, **more: Any) -> Tensor:
        return torch.randint(0, 2, original.shape, generator=generator).to(original)

    generator = torch.Generator().manual_seed(seed)
    with seeded(seed):
        base = attr.LimeBase(score, linear(), near, draw, True, lambda keep, *_, **__: keep, None)
        values = base.attribute(torch.ones(1, p), n_samples=samples, perturbations_per_eval=min(samples, 64))
    full, empty = game.ends()
    parameters = {"samples": samples, "width": width, "seed": seed}
    return Attribution("lime", values.reshape(-1).double(), full, empty, parameters, samples + 2, False)


def _enough(samples: int, players: int, name: str) -> None:
    if samples < players + 2:
        raise MethodNotApplicable(
            f"{name} needs more coalitions than players: {samples} for {players}.", f"Take at least {players + 2}."
        )
