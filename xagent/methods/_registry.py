"""All methods by name: to which family they belong, what they need, what they cost."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from xagent.errors import UsageFault
from xagent.methods import _deep_lift, _grad_cam, _gradient, _libraries, _removal
from xagent.methods._game import Attribution, Game

Family = Literal["propagation", "gradient", "removal"]
Need = Literal["module", "gradients", "convolution", "players"]


@dataclass(frozen=True)
class Method:
    """One method. words: its name in a sentence. needs: what the game must offer. cost: model rows for P players with
    the parameters' defaults, a row with its gradient counted as three. extra: what to install for it, None for nothing.
    """

    name: str
    words: str
    family: Family
    needs: frozenset[Need]
    run: Callable[..., Attribution]
    cost: Callable[[int], int]
    extra: str | None = None


def _method(
    name: str,
    words: str,
    family: Family,
    needs: set[Need],
    run: Callable[..., Attribution],
    cost: Callable[[int], int],
    extra: str | None = None,
) -> Method:
    return Method(name, words, family, frozenset(needs), run, cost, extra)


_ALL = (
    _method("propagation", "relevance propagation", "propagation", {"module"}, _gradient.propagation, lambda p: 5),
    _method("gradient_x_input", "gradient times input", "gradient", {"gradients"}, _gradient.gradient_x_input,
            lambda p: 5),
    _method("integrated_gradients", "integrated gradients", "gradient", {"gradients"}, _gradient.integrated_gradients,
            lambda p: 3 * _gradient.STEPS + 2),
    _method("deep_lift", "DeepLift", "gradient", {"module", "gradients"}, _deep_lift.deep_lift, lambda p: 8, "methods"),
    _method("grad_cam", "Grad-CAM", "gradient", {"gradients", "convolution"}, _grad_cam.grad_cam, lambda p: 5),
    _method("occlusion", "removal of one input at a time", "removal", {"players"}, _removal.occlusion, lambda p: p + 2),
    _method("permutation", "Shapley values by sampled orders", "removal", {"players"}, _removal.permutation,
            lambda p: 2 * _removal.PAIRS * (p - 1) + 2),
    _method("exact_shapley", "exact Shapley values", "removal", {"players"}, _removal.exact_shapley, lambda p: 2**p),
    _method("kernel_shap", "KernelSHAP", "removal", {"players"}, _libraries.kernel_shap,
            lambda p: min(_libraries.SAMPLES, 2**p) + 4, "methods"),
    _method("lime", "LIME", "removal", {"players"}, _libraries.lime, lambda p: _libraries.SAMPLES + 2, "methods"),
)  # fmt: skip
METHODS: Mapping[str, Method] = {method.name: method for method in _ALL}


def method_named(name: str) -> Method:
    """Raises UsageFault, naming all methods, for one that there is not."""
    if name not in METHODS:
        raise UsageFault(f"There is no method {name!r}.", f"Choose of {', '.join(sorted(METHODS))}.")
    return METHODS[name]


def explain(game: Game, name: str, **parameters: Any) -> Attribution:
    """Run one method. Raises UsageFault, MethodNotApplicable, MethodError, ConfigurationFault (extra not installed)."""
    return method_named(name).run(game, **parameters)
