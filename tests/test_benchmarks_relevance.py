"""The benchmarks measure what they say: peers and engine agree where the truth is known, areas and signs are right."""

from __future__ import annotations

import importlib
import json
import sys
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

FOLDER = Path(__file__).parents[1] / "benchmarks" / "relevance"


def module(name: str) -> ModuleType:
    """A script of the benchmarks' folder; they import each other by their bare names."""
    if str(FOLDER) not in sys.path:
        sys.path.append(str(FOLDER))
    return importlib.import_module(name)


@pytest.fixture(scope="module")
def linear() -> Any:
    """f = w (x - b) + c in five columns and three units: columns 0 and 1, columns 2 and 3, column 4."""
    torch.manual_seed(0)
    unit = torch.tensor([[0, 0, 1, 1, 2]])
    network = nn.Sequential(nn.Linear(5, 2)).eval().requires_grad_(False)
    tasks = module("faithfulness_tasks")
    return tasks.asked(network, tasks.plain, torch.randn(1, 5), torch.randn(1, 5), unit, 3)


def true_units(question: Any) -> Tensor:
    scored, network = question.module, question.module.network[0]
    weight = network.weight[scored.target] - network.weight[scored.foil]
    return question.summed(weight * (question.x - question.baseline))


@pytest.mark.parametrize(
    "name",
    [
        "conserving, x - baseline", "fastest", "conserving, mean of 4 points", "conserving, top 8 refined",
        "captum IntegratedGradients (50)", "captum FeatureAblation", "captum DeepLift",
        "captum ShapleyValueSampling (25)", "shap Kernel (2n + 2048)", "shap DeepExplainer",
        pytest.param("shap Partition (500)", marks=pytest.mark.slow),  # compiles for half a minute
    ],
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")  # of captum, shap and numba
def test_every_method_is_right_about_a_linear_model(linear: Any, name: str) -> None:
    methods = {m.name: m for m in module("peers_methods").METHODS}
    question = linear
    if name == "fastest":  # explains against zeros
        question = type(linear)(linear.module, linear.x, torch.zeros_like(linear.x), linear.unit, linear.count)
    found = methods[name].run(question)
    torch.testing.assert_close(found.units, true_units(question), rtol=1e-4, atol=1e-5)
    assert found.gap < 1e-4


def test_the_area_rewards_the_true_order_only(linear: Any) -> None:
    area, truth = module("faithfulness").area, true_units(linear)
    best = area(linear, truth)
    assert best > 0
    assert area(linear, -truth) == pytest.approx(-best, rel=1e-5)
    assert all(area(linear, torch.tensor(order).double()) <= best + 1e-6 for order in ([0, 1, 2], [2, 0, 1], [1, 2, 0]))


def test_elements_of_no_unit_are_never_removed() -> None:
    peers, tasks = module("peers_question"), module("faithfulness_tasks")
    x, baseline = torch.ones(1, 4, 3), torch.zeros(1, 4, 3)
    unit = peers.token_units(4, [[1, 2], [3]])
    network = nn.Flatten().eval()
    question = tasks.asked(network, tasks.plain, x, baseline, unit, 2)
    kept = question.kept(torch.tensor([[False, True], [False, False]]))
    assert kept[:, :, 0].tolist() == [[1, 0, 0, 1], [1, 0, 0, 0]]
    assert question.summed(x).tolist() == [6.0, 3.0]


def test_true_contributions_turn_round_after_a_negation() -> None:
    signed = module("signed")
    good, bad = signed.START + signed.NEUTRAL, signed.START + signed.NEUTRAL + signed.WEIGHTED // 2
    ids = torch.tensor([[good, signed.NOT, good, bad, signed.START, signed.NOT, bad, signed.MASK, good, bad]])
    weight = float(signed.weights()[good])
    expected = [weight, 0, -weight, -weight, 0, 0, weight, 0, weight, -weight]
    assert signed.contributions(ids)[0].tolist() == pytest.approx(expected)


def test_agreement_of_the_truth_and_of_its_opposite() -> None:
    signed = module("signed")
    ids, truth = signed.texts(20, torch.Generator().manual_seed(0))
    made = signed.Signed(None, ids, truth, [], 1.0)
    right = signed.agreement(list(truth.double()), made)
    wrong = signed.agreement(list(-truth.double()), made)
    assert right.correlation[0] == pytest.approx(1)
    assert right.signs[0] == right.mass[0] == 1
    assert wrong.correlation[0] == pytest.approx(-1)
    assert wrong.signs[0] == 0


@pytest.mark.parametrize("name", ["llama", "bert", "resnet"])
def test_another_environment_sees_the_same_score(name: str, tmp_path: Path) -> None:
    sizes = (16, 4) if name == "resnet" else (1, 64, 8)
    torch.manual_seed(0)
    question = getattr(module("peers_models"), name)(*sizes).question
    exchange, foreign = module("peers_exchange"), module("peers_foreign")
    exchange.write(tmp_path, name, [question], ("lxt",))
    assert json.loads((tmp_path / "task.json").read_text())["count"] == 1
    work = foreign.Work(tmp_path)
    assert work.off() < 1e-5
    assert work.gradient(0).shape == question.x.shape


def test_conservation_is_measured_against_what_each_method_promises() -> None:
    attribution = module("peers_methods").Attribution
    assert attribution(torch.ones(2), 2.0, lambda: 2.0).gap == 0
    assert attribution(torch.ones(2), 1.0, lambda: 2.0).gap == 0.5


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore")
def test_the_one_command_runs(capsys: pytest.CaptureFixture[str]) -> None:
    module("peers").main(["--quick", "--only", "cost", "faithfulness", "--models", "mlp", "--tasks", "diagnosis"])
    said = capsys.readouterr().out
    assert "| conserving, top 8 refined |" in said
    assert "| captum DeepLift |" in said
    assert "shap DeepExplainer" in said


@pytest.mark.slow
def test_the_gpu_benchmark_runs_small_on_a_cpu(capsys: pytest.CaptureFixture[str]) -> None:
    module("gpu").main(["--device", "cpu", "--scale", "0.002", "--rounds", "1", "--only", "llama", "vit"])
    said = capsys.readouterr().out
    assert "answer by columns" in said
    assert "trace, gamma" in said
    assert "failed" not in said
