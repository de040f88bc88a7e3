"""captum and shap, called directly, each with the case's own baseline and players."""

from __future__ import annotations

import contextlib
import io
import logging
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ._cases import Case

WINDOW = 4
SAMPLES = 200
"""Coalitions for KernelSHAP and LIME; as in the published comparison that this table follows."""


def captum_gradient(case: Case, name: str, baseline: bool = True, **more: Any) -> Tensor:
    """Gradient methods of captum; the sum over each player's numbers."""
    import captum.attr

    method = getattr(captum.attr, name)(case.score)
    arguments = {"baselines": case.baseline, **more} if baseline else more
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # DeepLift announces its hooks
        return case.pool(method.attribute(case.x.clone().requires_grad_(), **arguments))


def captum_removal(case: Case, name: str, seed: int, **more: Any) -> Tensor:
    """Removal methods of captum on the players; the part that is no player is feature 0 and never differs."""
    import captum.attr

    torch.manual_seed(seed)
    np.random.seed(seed % 2**32)
    method = getattr(captum.attr, name)(case.score)
    mask = case.unit - int(case.unit.min())
    baseline = torch.where(case.unit >= 0, case.baseline, case.x)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        found = method.attribute(case.x, baselines=baseline, feature_mask=mask, **more)
    return _one_each(case, found)


def _one_each(case: Case, found: Tensor) -> Tensor:
    """captum repeats a player's value on each of its numbers: the mean over them, (players,)."""
    return case.pool(found) / case.pool(torch.ones_like(case.x)).clamp_min(1)


def captum_occlusion(case: Case) -> Tensor:
    """Windows of 4 x 4 pixels over an image; elsewhere feature ablation says the same."""
    import captum.attr

    if case.x.dim() != 4:
        raise ValueError("windows are for images")
    window = (case.x.shape[1], WINDOW, WINDOW)
    found = captum.attr.Occlusion(case.score).attribute(case.x, window, strides=window, baselines=case.baseline)
    return case.pool(found)


def _on_players(case: Case) -> Callable[[Any], Any]:
    def score(keep: Any) -> Any:
        return case.coalitions(torch.from_numpy(np.asarray(keep) > 0.5)).double().numpy()

    return score


def shap_kernel(case: Case, seed: int) -> Tensor:
    import shap

    np.random.seed(seed % 2**32)
    explainer = shap.KernelExplainer(_on_players(case), np.zeros((1, case.players)))
    return torch.from_numpy(explainer.shap_values(np.ones((1, case.players)), nsamples=SAMPLES, silent=True)[0])


def shap_permutation(case: Case, seed: int) -> Tensor:
    import shap

    masker = shap.maskers.Independent(np.zeros((1, case.players)))
    explainer = shap.PermutationExplainer(_on_players(case), masker, seed=seed)
    return _values(explainer(np.ones((1, case.players)), max_evals=max(SAMPLES, 2 * case.players + 1), silent=True))


def shap_partition(case: Case, seed: int) -> Tensor:
    """Owen values over neighbouring players."""
    import shap

    np.random.seed(seed % 2**32)
    masker = shap.maskers.Partition(np.zeros((1, case.players)), clustering=_neighbours(case.players))
    explainer = shap.PartitionExplainer(_on_players(case), masker)
    return _values(explainer(np.ones((1, case.players)), max_evals=SAMPLES, silent=True))


def _neighbours(players: int) -> Any:
    """A balanced tree over the order of the players, in scipy's linkage form."""
    nodes = [(i, 1) for i in range(players)]
    rows: list[list[float]] = []
    height = 0
    while len(nodes) > 1:
        height, above = height + 1, []
        for i in range(0, len(nodes) - 1, 2):
            (a, m), (b, n) = nodes[i], nodes[i + 1]
            above.append((players + len(rows), m + n))
            rows.append([a, b, height, m + n])
        nodes = above + nodes[len(nodes) // 2 * 2 :]
    return np.array(rows, float)


def _values(explanation: Any) -> Tensor:
    return torch.from_numpy(np.asarray(explanation.values)[0]).double()


class _Column(nn.Module):
    """(n,) -> (n, 1), which shap expects."""

    def __init__(self, score: nn.Module) -> None:
        super().__init__()
        self.score = score

    def forward(self, x: Tensor) -> Tensor:
        column: Tensor = self.score(x).unsqueeze(1)
        return column


def shap_deep(case: Case) -> Tensor:
    import shap

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        explainer = shap.DeepExplainer(_Column(case.score), case.baseline)
        found = explainer.shap_values(case.x.clone(), check_additivity=False)
    return case.pool(torch.from_numpy(np.asarray(found)).reshape(case.x.shape))


logging.getLogger("shap").setLevel(logging.ERROR)
