"""Every method of the table by name: ours, captum's, shap's, and two controls."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Literal

import torch
from torch import Tensor

from . import _ours, _peers
from ._cases import Case

Family = Literal["ours", "captum", "shap", "control"]


@dataclass(frozen=True)
class Method:
    """run(case, seed) -> (players,) float64. complete: claims a sum of f(x) - f(b)."""

    name: str
    family: Family
    run: Callable[[Case, int], Tensor]
    complete: bool = False


def _traced(rules: str, case: Case, seed: int) -> Tensor:
    return _ours.trace(case, rules)


def _ours_are() -> list[Method]:
    rules = ("conserving", "fastest", "attnlrp", "blend:0.75", "gamma", "z+", "gradient")
    found = [Method(name, "ours", partial(_traced, name)) for name in rules]
    found += [
        Method("conserving, path of 8", "ours", lambda case, seed: _ours.path(case, "conserving", 8)),
        Method("conserving + refine", "ours", lambda case, seed: _ours.trace_averaged(case, "conserving")),
        Method("conserving + refine + top 4", "ours", lambda case, seed: _ours.trace_refined(case, "conserving"), True),
        Method("attnlrp + refine + top 4", "ours", lambda case, seed: _ours.trace_refined(case, "attnlrp"), True),
        Method("conserving, refined on demand", "ours", lambda case, seed: _ours.default(case, seed=seed)),
        Method("refine + top 4, no trace", "ours", lambda case, seed: _ours.removal(case), True),
        Method("exact_shapley", "ours", lambda case, seed: _ours.enumerated(case), True),
    ]
    return found


def _captum_is() -> list[Method]:
    gradient, removal = _peers.captum_gradient, _peers.captum_removal
    return [
        Method("Saliency", "captum", lambda case, seed: gradient(case, "Saliency", baseline=False)),
        Method("InputXGradient", "captum", lambda case, seed: gradient(case, "InputXGradient", baseline=False)),
        Method("IntegratedGradients 50", "captum", lambda case, seed: gradient(case, "IntegratedGradients"), True),
        Method("DeepLift", "captum", lambda case, seed: gradient(case, "DeepLift"), True),
        Method("FeatureAblation", "captum", lambda case, seed: removal(case, "FeatureAblation", seed)),
        Method("Occlusion", "captum", lambda case, seed: _peers.captum_occlusion(case)),
        Method(
            "ShapleyValueSampling 25",
            "captum",
            lambda case, seed: removal(case, "ShapleyValueSampling", seed, n_samples=25, perturbations_per_eval=16),
            True,
        ),
        Method(
            "KernelShap 200",
            "captum",
            lambda case, seed: removal(case, "KernelShap", seed, n_samples=_peers.SAMPLES, perturbations_per_eval=64),
            True,
        ),
        Method(
            "Lime 200",
            "captum",
            lambda case, seed: removal(case, "Lime", seed, n_samples=_peers.SAMPLES, perturbations_per_eval=64),
        ),
    ]


def _shap_is() -> list[Method]:
    return [
        Method("KernelExplainer 200", "shap", _peers.shap_kernel, True),
        Method("PermutationExplainer 200", "shap", _peers.shap_permutation, True),
        Method("PartitionExplainer 200", "shap", _peers.shap_partition, True),
        Method("DeepExplainer", "shap", lambda case, seed: _peers.shap_deep(case), True),
    ]


def _random(case: Case, seed: int) -> Tensor:
    return torch.randn(case.players, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


METHODS = [
    *_ours_are(),
    *_captum_is(),
    *_shap_is(),
    Method("random", "control", _random),
    Method("all alike", "control", lambda case, seed: torch.ones(case.players, dtype=torch.float64)),
]
