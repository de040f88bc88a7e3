"""Every method behind one signature: a `Question` in; out the attribution of its units, and what it should add up to.

Ours are one trace each. Peers are called through their own public interface with their usual settings: 50 steps for
integrated gradients, 500 evaluations for shap's partition explainer, 2 * units + 2048 for the kernel explainer.
"""

from __future__ import annotations

import contextlib
import io
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import torch
from peers_question import Question
from torch import Tensor

from xagent.relevance import Target, Tracer, refine

STEPS = 50


@dataclass(frozen=True)
class Attribution:
    """units: (units,) float64. account: what the method says it distributed, everything booked included.

    due: gives the number that the account should equal: the score for relevance, f(x) - f(baseline) for the others. It
        is a function, because the forwards it takes are not the method's.
    """

    units: Tensor
    account: float
    due: Callable[[], float]

    @property
    def gap(self) -> float:
        due = self.due()
        return abs(self.account - due) / max(abs(due), 1e-9)


Method = Callable[[Question], Attribution]


@dataclass(frozen=True)
class Listed:
    """A method by name. ours: made with this engine. needs: inputs it can be asked about.

    slow: not repeated when timed.
    evaluations: set where the number of forwards can be chosen; then a large model is timed with fewer and scaled.
    """

    name: str
    run: Method
    ours: bool = False
    needs: frozenset[str] = frozenset({"text", "vit", "image", "table"})
    slow: bool = False
    scaled: Callable[[int], int] | None = None


# ours -----------------------------------------------------------------------------------------------------------------


def trace(q: Question, rules: str, against_baseline: bool = False) -> Attribution:
    """One trace. With a baseline, (x - baseline) * gradient; the baseline's part is in the ledger."""
    baseline = {"x": q.baseline} if against_baseline else None
    result = Tracer(q.module, rules).trace({"x": q.x}, ["x"], Target.value(), baseline)
    return Attribution(
        q.summed(result.relevance["x"]), float(result.ledger.total[0]), lambda: float(result.ledger.score[0])
    )


def refined(q: Question, k: int, rules: str = "conserving") -> Attribution:
    """A trace, then the k strongest units removed and added for real, in one batch of 2k + 2 forwards."""
    first = trace(q, rules, against_baseline=True)
    result = refine(first.units, q.coalitions, k)
    account = first.account - float(first.units.sum()) + float(result.relevance.sum()) + result.remainder
    return Attribution(result.relevance, account, first.due)


def along(q: Question, points: int = 4, rules: str = "conserving") -> Attribution:
    """The mean of traces at Gauss-Legendre points between baseline and input, in one batch."""
    places, weights = np.polynomial.legendre.leggauss(points)
    share = torch.tensor((places + 1) / 2, dtype=q.x.dtype).view(-1, *[1] * (q.x.dim() - 1))
    x = q.baseline + share * (q.x - q.baseline)
    result = Tracer(q.module, rules).trace({"x": x}, ["x"], Target.value(), {"x": q.baseline})
    whole = result.relevance["x"] / share  # (x - baseline) * gradient at the point
    parts = [float(w) / 2 * q.summed(part[None]) for w, part in zip(weights, whole, strict=True)]
    units = torch.stack(parts).sum(0)
    return Attribution(units, float(units.sum()), lambda: q.gain)


# captum ---------------------------------------------------------------------------------------------------------------


def input_x_gradient(q: Question) -> Attribution:
    from captum.attr import InputXGradient

    result = InputXGradient(q.module).attribute(q.x.clone().requires_grad_())
    return Attribution(q.summed(result), float(result.detach().sum()), lambda: q.score)


def integrated(q: Question, steps: int = STEPS) -> Attribution:
    from captum.attr import IntegratedGradients

    result = IntegratedGradients(q.module).attribute(
        q.x, baselines=q.baseline, n_steps=steps, internal_batch_size=min(steps, q.chunk)
    )
    return Attribution(q.summed(result), float(result.detach().sum()), lambda: q.gain)


def layer_integrated(q: Question, steps: int = STEPS) -> Attribution:
    from captum.attr import LayerIntegratedGradients

    result = LayerIntegratedGradients(q.module, q.module.entry).attribute(
        q.x, baselines=q.baseline, n_steps=steps, internal_batch_size=min(steps, q.chunk)
    )
    return Attribution(q.summed(result), float(result.detach().sum()), lambda: q.gain)


def ablation(q: Question) -> Attribution:
    """captum's FeatureAblation, unit by unit; elements that belong to no unit stay as they are."""
    from captum.attr import FeatureAblation

    baseline, groups = _grouped(q)
    result = FeatureAblation(q.module).attribute(
        q.x, baselines=baseline, feature_mask=groups, perturbations_per_eval=min(q.chunk, q.count)
    )
    return _by_group(q, result)


def occlusion(q: Question) -> Attribution:
    """captum's Occlusion with patches side by side."""
    from captum.attr import Occlusion

    window = (q.x.shape[1], q.window, q.window)
    result = Occlusion(q.module).attribute(
        q.x, window, strides=window, baselines=q.baseline, perturbations_per_eval=min(q.chunk, q.count)
    )
    return _by_group(q, result)


def deep_lift(q: Question) -> Attribution:
    from captum.attr import DeepLift

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it announces its hooks with every call
        result = DeepLift(q.module).attribute(q.x, baselines=q.baseline)
    return Attribution(q.summed(result), float(result.detach().sum()), lambda: q.gain)


def shapley_sampling(q: Question, samples: int = 25) -> Attribution:
    """captum's ShapleyValueSampling with its default number of orders."""
    from captum.attr import ShapleyValueSampling

    baseline, groups = _grouped(q)
    torch.manual_seed(0)
    result = ShapleyValueSampling(q.module).attribute(
        q.x, baselines=baseline, feature_mask=groups, n_samples=samples, perturbations_per_eval=min(q.chunk, q.count)
    )
    return _by_group(q, result)


def _grouped(q: Question) -> tuple[Tensor, Tensor]:
    """Baseline and group numbers: what nobody removes shares a last group, whose baseline is x itself."""
    frozen = q.unit < 0
    return torch.where(frozen, q.x, q.baseline), torch.where(frozen, q.count, q.unit)


def _by_group(q: Question, result: Tensor) -> Attribution:
    """captum repeats a group's value at each of its elements: take one of each."""
    unit = q.unit.expand_as(result).flatten()
    values = torch.zeros(q.count, dtype=torch.float64)
    chosen = unit >= 0
    values[unit[chosen]] = result.detach().double().flatten()[chosen]
    return Attribution(values, float(values.sum()), lambda: q.gain)


# shap -----------------------------------------------------------------------------------------------------------------


def partition(q: Question, evaluations: int = 500) -> Attribution:
    import shap
    from scipy.cluster.hierarchy import linkage

    class Masks(shap.maskers.Masker):  # type: ignore[misc]
        """Hands the coalitions themselves to the scoring function."""

        shape = (None, q.count)
        clustering = linkage(_places(q), "complete")  # neighbours first

        def __call__(self, mask: Any, x: Any) -> Any:
            return np.asarray(mask, dtype=float)[None]

    explainer = shap.explainers.Partition(_by_mask(q), Masks())
    with contextlib.redirect_stderr(io.StringIO()):
        values = explainer(np.ones((1, q.count)), max_evals=evaluations, silent=True, batch_size=q.chunk).values
    units = torch.as_tensor(np.asarray(values).reshape(-1), dtype=torch.float64)
    return Attribution(units, float(units.sum()), lambda: q.gain)


def kernel(q: Question, evaluations: int | None = None) -> Attribution:
    import shap

    np.random.seed(0)
    explainer = shap.KernelExplainer(_by_mask(q), np.zeros((1, q.count)))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        values = explainer.shap_values(
            np.ones((1, q.count)), nsamples=evaluations or kernel_evaluations(q.count), silent=True
        )
    units = torch.as_tensor(np.asarray(values).reshape(-1), dtype=torch.float64)
    return Attribution(units, float(units.sum()), lambda: q.gain)


def kernel_evaluations(units: int) -> int:
    """shap's own choice."""
    return 2 * units + 2048


def deep_shap(q: Question) -> Attribution:
    """shap's DeepExplainer with the baseline as its only background row."""
    import shap

    with warnings.catch_warnings(), contextlib.redirect_stdout(io.StringIO()):
        warnings.simplefilter("ignore")
        explainer = shap.DeepExplainer(_Column(q.module), q.baseline)
        values = explainer.shap_values(q.x.clone(), check_additivity=False)
    result = torch.as_tensor(np.asarray(values), dtype=torch.float64).reshape(q.x.shape)
    return Attribution(q.summed(result), float(result.detach().sum()), lambda: q.gain)


class _Column(torch.nn.Module):
    """(batch,) as (batch, 1)."""

    def __init__(self, module: torch.nn.Module) -> None:
        super().__init__()
        self.module = module

    def forward(self, x: Tensor) -> Tensor:
        return self.module(x).unsqueeze(1)  # type: ignore[no-any-return]


def _places(q: Question) -> Any:
    """(units, 1 or 2): where the units are; the cells of an image in rows and columns."""
    side = round(q.count**0.5)
    numbers = np.arange(q.count, dtype=float)
    return np.stack([numbers // side, numbers % side], 1) if q.window else numbers[:, None]


def _by_mask(q: Question) -> Callable[[Any], Any]:
    def score(masks: Any) -> Any:
        return q.coalitions(torch.from_numpy(np.asarray(masks) > 0.5)).numpy()

    return score


# controls -------------------------------------------------------------------------------------------------------------


def chance(q: Question) -> Attribution:
    units = torch.rand(q.count, generator=torch.Generator().manual_seed(int(q.x.double().sum() * 1e6) % 2**31))
    return Attribution(units.double() - 0.5, float("nan"), lambda: float("nan"))


TABLE_OR_IMAGE = frozenset({"table", "image"})
IMAGE, TEXT = frozenset({"image"}), frozenset({"text"})

METHODS = (
    Listed("conserving", partial(trace, rules="conserving"), ours=True),
    Listed("conserving, x - baseline", partial(trace, rules="conserving", against_baseline=True), ours=True),
    Listed("fastest", partial(trace, rules="fastest"), ours=True),
    Listed("attnlrp", partial(trace, rules="attnlrp"), ours=True, needs=frozenset({"text", "vit"})),
    Listed("attnlrp, x - baseline", partial(trace, rules="attnlrp", against_baseline=True), ours=True, needs=TEXT),
    Listed(
        "blend:0.25, x - baseline", partial(trace, rules="blend:0.25", against_baseline=True), ours=True, needs=TEXT
    ),
    Listed("gamma", partial(trace, rules="gamma"), ours=True, needs=frozenset({"image", "vit"})),
    Listed("gamma, x - baseline", partial(trace, rules="gamma", against_baseline=True), ours=True, needs=IMAGE),
    Listed("conserving, mean of 4 points", along, ours=True),
    Listed("conserving, top 8 refined", partial(refined, k=8), ours=True),
    Listed("conserving, top 64 refined", partial(refined, k=64), ours=True, slow=True),
    Listed("attnlrp, top 64 refined", partial(refined, k=64, rules="attnlrp"), ours=True, slow=True, needs=TEXT),
    Listed("captum InputXGradient", input_x_gradient),
    Listed("captum IntegratedGradients (50)", integrated, slow=True),
    Listed("captum IntegratedGradients (8)", partial(integrated, steps=8)),
    Listed("captum LayerIntegratedGradients (50)", layer_integrated, slow=True, needs=frozenset({"text", "vit"})),
    Listed("captum FeatureAblation", ablation, slow=True),
    Listed("captum Occlusion", occlusion, slow=True, needs=IMAGE),
    Listed("captum DeepLift", deep_lift, needs=TABLE_OR_IMAGE),
    Listed("captum ShapleyValueSampling (25)", shapley_sampling, slow=True),
    Listed("shap Partition (500)", partition, slow=True, scaled=lambda units: 500),
    Listed("shap Kernel (2n + 2048)", kernel, slow=True, scaled=kernel_evaluations),
    Listed("shap DeepExplainer", deep_shap, needs=TABLE_OR_IMAGE),
    Listed("random", chance),
)


def fitting(kind: str, names: Iterable[str] | None = None) -> list[Listed]:
    """The methods that can be asked about an input of this kind, in order."""
    return [m for m in METHODS if kind in m.needs and (names is None or m.name in set(names))]
