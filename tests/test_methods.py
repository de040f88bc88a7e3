"""Every method against an analytical truth or the library that is its reference; and what none of them can answer."""

from __future__ import annotations

import builtins
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xagent.errors import ConfigurationFault, UsageFault
from xagent.methods import METHODS, Game, MethodError, MethodNotApplicable, explain, method_named
from xagent.relevance import Target

EVERY = sorted(METHODS)
ROWS = sorted(set(METHODS) - {"grad_cam"})
LIGHT = sorted(name for name, method in METHODS.items() if method.extra is None)


def game(module: nn.Module, x: Tensor, b: Tensor | None = None, groups: Any = None, **more: Any) -> Game:
    """A game on output 1 against output 0 of a module, or on its only output; a player for each unit by default."""
    x = x[None]
    with torch.no_grad():
        outputs = module(x).shape[-1]
    target = Target.contrast(1, 0) if outputs > 1 else Target.value()
    units = x.shape[1] if x.ndim < 4 else x.shape[2] * x.shape[3]
    groups = groups or tuple((i,) for i in range(units))
    baseline = torch.zeros_like(x) if b is None else b[None]
    return Game(lambda inputs: module(inputs["input"]), {"input": x}, "input", target, baseline, groups, module, **more)


def mlp(d: int = 6, seed: int = 0) -> nn.Sequential:
    torch.manual_seed(seed)
    return nn.Sequential(nn.Linear(d, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, 2)).double().eval()


class Picture(nn.Module):
    """Convolutions as functions and as layers, so that nothing rests on how they are written."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(5)
        self.one, self.two, self.head = nn.Conv2d(2, 4, 3), nn.Conv2d(4, 3, 3, stride=2), nn.Linear(3, 2)

    def forward(self, input: Tensor) -> Tensor:
        held = torch.nn.functional.conv2d(input, self.one.weight, self.one.bias).relu()
        return self.head(self.two(held).relu().mean((2, 3)))  # type: ignore[no-any-return]


@pytest.mark.parametrize("name", ROWS)
@given(seed=st.integers(0, 10_000), d=st.integers(1, 8))
@settings(max_examples=5, deadline=None)
def test_a_linear_model_has_one_answer(name: str, seed: int, d: int) -> None:
    """w * (x - b) by every method; groups of columns get the sum of theirs."""
    torch.manual_seed(seed)
    module, x, b = nn.Linear(d, 2).double(), torch.randn(d).double(), torch.randn(d).double()
    w = (module.weight[1] - module.weight[0]).detach()
    for groups in (tuple((i,) for i in range(d)), (tuple(range(d)),)):
        found = explain(game(module, x, b, groups), name)
        truth = torch.stack([(w * (x - b))[list(group)].sum() for group in groups])
        torch.testing.assert_close(found.relevance, truth, rtol=1e-5, atol=1e-6)  # captum regresses in single precision
        assert found.gap < 1e-5 and found.full - found.empty == pytest.approx(float(truth.sum()))


@pytest.mark.parametrize("name", ROWS)
def test_a_constant_model_gives_nothing_to_anybody(name: str) -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(4, 2), nn.ReLU(), nn.Linear(2, 2)).double()
    with torch.no_grad():
        module[0].weight.zero_()
    found = explain(game(module, torch.randn(4).double()), name)
    assert float(found.relevance.abs().max()) < 1e-6 and found.gap < 1e-6 and found.full == found.empty


@pytest.mark.parametrize("name", EVERY)
def test_a_model_that_answers_nan_is_refused(name: str) -> None:
    class Broken(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return (torch.sqrt(-x.flatten(1).abs() - 1)[:, :2]) + torch.zeros(len(x), 2)

    x = torch.ones(2, 4, 4) if name == "grad_cam" else torch.ones(4)
    with pytest.raises(MethodError, match="finite" if name != "grad_cam" else "finite|convolution"):
        explain(game(Broken(), x), name)


@pytest.mark.parametrize("name", EVERY)
def test_a_model_without_gradients_gets_removal_methods_alone(name: str) -> None:
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(60, 4))
    fitted = LogisticRegression().fit(rows, rows[:, 0] > 0)

    def forward(inputs: dict[str, Tensor]) -> Tensor:
        z = torch.from_numpy(fitted.decision_function(inputs["input"].numpy()))
        return torch.stack([torch.zeros_like(z), z], 1)

    x = torch.from_numpy(rows[:1])
    bare = Game(forward, {"input": x}, "input", Target.index(1), torch.zeros_like(x), ((0,), (1,), (2,), (3,)))
    if METHODS[name].family == "removal":
        truth = torch.from_numpy(fitted.coef_[0] * rows[0])
        torch.testing.assert_close(explain(bare, name).relevance, truth, rtol=1e-6, atol=1e-7)
    else:
        with pytest.raises(MethodNotApplicable) as caught:
            explain(bare, name)
        assert str(caught.value).endswith(".") and caught.value.hint


def test_integrated_gradients_are_captums_and_sum_to_the_change() -> None:
    from captum.attr import IntegratedGradients

    module, x, b = mlp(), torch.randn(6).double(), torch.randn(6).double()
    found = explain(game(module, x, b), "integrated_gradients", steps=200)
    ours = IntegratedGradients(lambda rows: module(rows)[:, 1] - module(rows)[:, 0])
    theirs = ours.attribute(x[None], b[None], n_steps=200, method="gausslegendre")[0]
    torch.testing.assert_close(found.relevance, theirs.double(), rtol=1e-6, atol=1e-8)
    assert found.gap < 1e-2 and found.parameters["steps"] == 200 and found.forwards >= 600
    coarse = explain(game(module, x, b), "integrated_gradients", steps=1)
    assert coarse.gap > 10 * found.gap  # the error is measured, not assumed


def test_gradient_x_input_is_captums() -> None:
    from captum.attr import InputXGradient

    module, x = mlp(), torch.randn(6).double()
    theirs = InputXGradient(lambda rows: module(rows)[:, 1] - module(rows)[:, 0]).attribute(x[None].requires_grad_())[0]
    torch.testing.assert_close(explain(game(module, x.detach()), "gradient_x_input").relevance, theirs.detach())


def test_deep_lift_covers_layers_and_refuses_functions_that_it_does_not_see() -> None:
    from captum.attr import DeepLift

    module, x, b = mlp(), torch.randn(6).double(), torch.randn(6).double()
    found = explain(game(module, x, b), "deep_lift")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        deep = DeepLift(module)
        theirs = deep.attribute(x[None], b[None], target=1) - deep.attribute(x[None], b[None], target=0)
    torch.testing.assert_close(found.relevance, theirs[0].detach(), rtol=1e-5, atol=1e-7)
    assert found.gap < 1e-5

    class Hidden(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.inner = mlp()

        def forward(self, rows: Tensor) -> Tensor:
            return torch.tanh(3 * self.inner(rows)) * self.inner(rows).exp()

    class Unseen(nn.Module):
        """Bends by a function, which hooks on layers pass by in silence: only the sum gives it away."""

        def __init__(self) -> None:
            super().__init__()
            self.inner = nn.Linear(6, 2).double()

        def forward(self, rows: Tensor) -> Tensor:
            return torch.tanh(3 * self.inner(rows))

    with pytest.raises(MethodNotApplicable, match="does not cover"):
        explain(game(Hidden(), x, b), "deep_lift")
    with pytest.raises(MethodNotApplicable, match="its sum misses"):
        explain(game(Unseen(), x, b), "deep_lift")
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in module.modules())


def test_grad_cam_finds_the_last_convolution_of_layers_functions_and_programs() -> None:
    from captum.attr import LayerGradCam

    module, x = Picture().eval(), torch.randn(2, 9, 11)
    found = explain(game(module, x), "grad_cam")

    def lead(rows: Tensor) -> Tensor:
        out = module(rows)
        return out[:, 1] - out[:, 0]  # type: ignore[no-any-return]

    cam = LayerGradCam(lead, module.two).attribute(x[None])
    wanted = torch.nn.functional.interpolate(cam.double(), (9, 11), mode="bilinear")[0, 0].reshape(-1).detach()
    assert found.units is not None
    torch.testing.assert_close(found.units, wanted, rtol=1e-5, atol=1e-7)
    assert found.parameters["layer"] == "convolution 2 of 2" and found.parameters["channels"] == 3
    batch = {0: torch.export.Dim("batch", max=64)}
    program = torch.export.export(module, (torch.zeros(2, 2, 9, 11),), dynamic_shapes=(batch,)).module()
    torch.testing.assert_close(explain(game(program, x), "grad_cam").units, found.units, rtol=1e-5, atol=1e-7)
    with pytest.raises(MethodNotApplicable, match="convolution"):
        explain(game(nn.Sequential(nn.Flatten(), nn.Linear(198, 2)), x), "grad_cam")
    with pytest.raises(MethodNotApplicable, match="image"):
        explain(game(mlp(), torch.randn(6).double()), "grad_cam")


def test_removal_methods_meet_at_the_shapley_values_of_captum() -> None:
    from captum.attr import ShapleyValues

    module, x, b = mlp(5, 3), torch.randn(5).double(), torch.randn(5).double()
    one = game(module, x, b)

    def lead(rows: Tensor) -> Tensor:
        out = module(rows)
        return (out[:, 1] - out[:, 0]).detach()  # type: ignore[no-any-return]

    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        truth = ShapleyValues(lead).attribute(x[None], b[None], perturbations_per_eval=200)[0].double()
    torch.testing.assert_close(explain(one, "exact_shapley").relevance, truth, rtol=1e-5, atol=1e-7)
    torch.testing.assert_close(explain(one, "kernel_shap").relevance, truth, rtol=1e-4, atol=1e-6)
    sampled = explain(one, "permutation", pairs=200)
    assert sampled.gap < 1e-9
    assert bool(((sampled.relevance - truth).abs() <= 5 * sampled.error + 1e-9).all())
    assert float(sampled.error.max()) < 0.1 * float(truth.abs().max())
    near = explain(one, "lime", samples=4000).relevance
    assert float(torch.corrcoef(torch.stack([near, truth]))[0, 1]) > 0.9


def test_occlusion_is_the_loss_of_one_and_blind_to_stand_ins() -> None:
    class Either(nn.Module):
        def forward(self, rows: Tensor) -> Tensor:
            return rows[:, :2].amax(1, keepdim=True)

    one = game(Either(), torch.ones(3).double())
    assert explain(one, "occlusion").relevance.tolist() == [0, 0, 0]
    assert explain(one, "exact_shapley").relevance.tolist() == [0.5, 0.5, 0]


@pytest.mark.parametrize("name", ["permutation", "kernel_shap", "lime"])
def test_sampled_methods_follow_their_seed_alone(name: str) -> None:
    """The process-wide generators neither steer them nor are moved by them."""
    one = game(mlp(14, 1), torch.randn(14).double())
    torch.manual_seed(1)
    np.random.seed(1)
    first = explain(one, name, seed=7).relevance
    ahead = (torch.rand(1), np.random.rand())
    torch.manual_seed(1)
    np.random.seed(1)
    assert (torch.rand(1), np.random.rand()) == ahead
    assert torch.equal(first, explain(one, name, seed=7).relevance)
    assert not torch.equal(first, explain(one, name, seed=8).relevance)


def test_tokens_and_pixels_are_units_like_columns() -> None:
    torch.manual_seed(2)
    w = torch.randn(5, 3).double()

    def forward(inputs: dict[str, Tensor]) -> Tensor:
        masked = inputs["inputs_embeds"] * inputs["attention_mask"][..., None]
        return torch.stack([torch.zeros(len(masked)).double(), (masked * w).sum((1, 2))], 1)

    x, b = torch.randn(1, 5, 3).double(), torch.randn(1, 1, 3).double()
    inputs = {"inputs_embeds": x, "attention_mask": torch.ones(1, 5)}
    groups = ((0, 1), (3,))
    one = Game(forward, inputs, "inputs_embeds", Target.contrast(1, 0), b, groups)
    per_token = ((x - b)[0] * w).sum(1)
    truth = torch.stack([per_token[:2].sum(), per_token[3]])
    for name in sorted(set(LIGHT) - {"propagation", "grad_cam"}):
        torch.testing.assert_close(explain(one, name).relevance, truth)
    v = torch.randn(2, 4, 4).double()
    flat = nn.Sequential(nn.Flatten(), nn.Linear(32, 2)).double()
    pixel = ((flat[1].weight[1] - flat[1].weight[0]).reshape(2, 4, 4) * v).sum(0).reshape(-1).detach()
    cells = ((0, 1, 4, 5), (15,))
    truth = torch.stack([pixel[list(cell)].sum() for cell in cells])
    for name in sorted(set(LIGHT) - {"grad_cam"}):
        torch.testing.assert_close(explain(game(flat, v, None, cells), name).relevance, truth)


@pytest.mark.parametrize("name", EVERY)
def test_the_cost_that_is_told_covers_the_rows_that_are_scored(name: str) -> None:
    x = torch.randn(2, 4, 4) if name == "grad_cam" else torch.randn(9).double()
    module = Picture().eval() if name == "grad_cam" else mlp(9)
    if name == "grad_cam":
        x = torch.randn(2, 9, 11)
    one, rows = game(module, x, groups=tuple((i,) for i in range(9))), 0

    def counted(inputs: dict[str, Tensor]) -> Tensor:
        nonlocal rows
        out = module(inputs["input"])
        rows += len(out) * (3 if out.requires_grad and torch.is_grad_enabled() else 1)
        return out  # type: ignore[no-any-return]

    found = explain(Game(counted, one.inputs, "input", one.target, one.baseline, one.groups, module), name)
    assert rows <= METHODS[name].cost(9) + 4 and found.forwards <= METHODS[name].cost(9)


@pytest.mark.parametrize("name", ["deep_lift", "kernel_shap", "lime"])
def test_a_missing_library_is_named_with_its_install_line(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    import sys

    real = builtins.__import__

    def without(module: str, *args: Any, **more: Any) -> Any:
        if module.split(".", maxsplit=1)[0] in ("captum", "shap"):
            raise ImportError(module)
        return real(module, *args, **more)

    for loaded in [m for m in sys.modules if m.split(".")[0] in ("captum", "shap")]:
        monkeypatch.setitem(sys.modules, loaded, None)
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationFault) as caught:
        explain(game(mlp(), torch.randn(6).double()), name)
    assert caught.value.hint == "pip install 'xagent[methods]'"


def test_what_cannot_be_asked_is_said() -> None:
    with pytest.raises(UsageFault, match="occlusion"):
        method_named("tea leaves")
    with pytest.raises(MethodNotApplicable, match="12 players"):
        explain(game(mlp(13), torch.randn(13).double()), "exact_shapley")
    with pytest.raises(MethodNotApplicable, match="coalitions"):
        explain(game(mlp(), torch.randn(6).double()), "kernel_shap", samples=3)
    with pytest.raises(MethodError, match="no input"):
        Game(lambda i: i["input"], {"input": torch.ones(1, 2)}, "input", Target.value(), torch.zeros(1, 2), ())
    assert {method.family for method in METHODS.values()} == {"propagation", "gradient", "removal"}


def test_the_page_on_second_opinions_runs_and_lists_every_method(capsys: pytest.CaptureFixture[str]) -> None:
    page = (Path(__file__).parent.parent / "docs/second-opinions.md").read_text()
    exec(page.split("```python\n")[1].split("```")[0], {"__name__": "reader"})
    assert capsys.readouterr().out.count("tensor(") == 2
    rows = [line.split("|")[1:6] for line in page.splitlines() if line.startswith("| `")]
    listed = {row[0].strip(" `"): (row[1].strip(), row[4].strip(" `")) for row in rows}
    assert listed == {name: (method.family, method.extra or "") for name, method in METHODS.items()}
