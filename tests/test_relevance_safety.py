"""The relevance engine: own rules, operations without one, errors, and that nothing stays changed."""

from __future__ import annotations

import math
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from xagent.relevance import RULE_SETS, RelevanceError, Step, Target, Trace, Tracer, register
from xagent.relevance import _rules_conserving as conserving
from xagent.relevance import _rules_linear as linear
from xagent.relevance._table import spellings


def trace_of(function: Any, x: Tensor, rules: str = "conserving") -> Trace:
    return Tracer(nn.Module(), rules, forward=lambda i: function(i["x"])).trace({"x": x}, ["x"], Target.value())


@pytest.fixture
def own_rules() -> Iterator[None]:
    """Rules registered by a test are taken back."""
    before = dict(RULE_SETS["conserving"].rules)
    yield
    RULE_SETS["conserving"].rules = before


# --------------------------------------------------------------------------------------- rules and their absence


def test_an_operation_without_a_rule_is_audited_not_guessed() -> None:
    x = torch.rand(2, 3) + 1
    trace = trace_of(lambda v: torch.renorm(torch.lgamma(v * 2 + 3), 2, 0, 1.0)[:, -1], x)
    assert trace.status == "audited"
    assert trace.audit == {"torch.lgamma": 1, "torch.renorm": 1}
    assert trace.ledger.unhandled.abs().min() > 0
    assert trace.ledger.gap.max() < 1e-5


def test_an_own_rule_replaces_the_audit(own_rules: None) -> None:
    @register("lgamma")
    def log_gamma(step: Step, input: Tensor) -> Tensor:
        """All of f(x) goes to x."""
        value = step.value()
        ratio = value / input.detach()
        return step.carry(input, value, lambda gradient: gradient * ratio)

    trace = trace_of(lambda v: torch.lgamma(v).sum(1), torch.rand(2, 3) + 3)
    assert trace.status == "exact"
    torch.testing.assert_close(trace.ledger.inputs, trace.score.double(), rtol=1e-5, atol=1e-6)


def test_an_own_rule_for_an_own_operation_as_in_the_documentation(own_rules: None) -> None:
    """The example of docs/rules.md is run as it stands."""
    page = (Path(__file__).parent.parent / "docs" / "rules.md").read_text()
    example = page.split("```python")[1].split("```")[0]

    @torch.library.custom_op("relevance_test::cube", mutates_args=())
    def cube(x: Tensor) -> Tensor:
        return x**3

    exec(example, {"cube": torch.ops.relevance_test.cube.default})
    trace = trace_of(lambda v: torch.ops.relevance_test.cube(v).sum(1), torch.randn(2, 3))
    assert trace.status == "exact"
    torch.testing.assert_close(trace.ledger.inputs, trace.score.double(), rtol=1e-5, atol=1e-6)


def test_an_unknown_operation_in_place_is_audited_too() -> None:
    def digamma(v: Tensor) -> Tensor:
        y = v * 3
        y.digamma_()
        return y.sum(1)

    x = torch.rand(2, 3) + 1
    trace = trace_of(digamma, x)
    torch.testing.assert_close(trace.score, torch.digamma(x * 3).sum(1))
    assert trace.audit == {"torch.Tensor.digamma_": 1}
    assert trace.ledger.gap.max() < 1e-5


def test_what_no_mode_can_see_is_named() -> None:
    class Square(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x * x

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * 2 * ctx.saved_tensors[0]

    trace = trace_of(lambda v: Square.apply(v).sum(1), torch.tensor([[1.0, 2.0]]))  # type: ignore[no-untyped-call]
    assert trace.status == "audited"
    (name,) = trace.audit
    assert name.startswith("unseen: ")
    assert name.endswith("Square")
    assert trace.ledger.gap[0] == pytest.approx(1.0)


def test_recomputing_the_forward_is_refused() -> None:
    with pytest.raises(RelevanceError, match="checkpointing"):
        trace_of(
            lambda v: checkpoint(lambda z: (z * torch.full((3,), 2.0)).sum(1), v, use_reentrant=False),
            torch.randn(2, 3),
        )


def test_the_table_names_operations_that_exist() -> None:
    tables = (linear.SHAPES, linear.LINEAR, linear.HOMOGENEOUS, linear.AFFINE, linear.PRODUCTS, conserving.ACTIVATIONS)
    for name in " ".join((*tables, conserving.CONSTANTS)).split():
        assert spellings(name), name


@pytest.mark.parametrize(
    "name", ["gelu", "silu", "tanh", "softplus", "sigmoid", "hardswish", "elu", "mish", "softshrink"]
)
def test_the_identity_rule_at_and_near_zero(name: str) -> None:
    function = getattr(F, name)
    x = torch.tensor([[0.0, 1e-12, -1e-7, 1e-3, -20.0, 20.0]])
    trace = trace_of(lambda v: function(v).sum(1), x)
    assert torch.isfinite(trace.relevance["x"]).all()
    assert trace.ledger.gap.max() < 1e-5


# --------------------------------------------------------------------------------------------------------- errors


@pytest.mark.parametrize(
    ("inputs", "of", "says"),
    [
        ({"x": torch.ones(1, 3), "ids": torch.ones(1, 3, dtype=torch.long)}, ["ids"], '"ids" holds torch.int64'),
        ({"x": torch.ones(1, 3)}, ["z"], '"z"'),
        ({"x": torch.full((1, 3), math.nan)}, ["x"], "not finite"),
        ({"x": torch.ones(1, 3)}, [], "`of`"),
    ],
)
def test_wrong_inputs_are_named(inputs: dict[str, Tensor], of: list[str], says: str) -> None:
    tracer = Tracer(nn.Module(), forward=lambda i: i["x"])
    with pytest.raises(ValueError, match=says) as caught:
        tracer.trace(inputs, of, Target.index(0))
    assert isinstance(caught.value, RelevanceError)


def test_wrong_targets_rules_baselines_and_modes_are_named() -> None:
    x = {"input": torch.ones(1, 3)}
    net = nn.Sequential(nn.Linear(3, 2), nn.Dropout()).eval()
    with pytest.raises(RelevanceError, match="column 2"):
        Tracer(net).trace(x, ["input"], Target.index(2))
    with pytest.raises(RelevanceError, match="nonsense"):
        Tracer(net, "nonsense")
    with pytest.raises(RelevanceError, match=r"\(1, 3\)"):
        Tracer(net).trace(x, ["input"], Target.index(0), baseline={"input": torch.ones(1, 4)})
    with pytest.raises(RelevanceError, match="training mode"):
        Tracer(net.train()).trace(x, ["input"], Target.index(0))


# ------------------------------------------------------------------------------------------------- nothing changes


def test_threads_may_share_a_model() -> None:
    model = nn.Sequential(nn.Linear(3, 4), nn.GELU(), nn.Linear(4, 2))
    x = {"input": torch.randn(2, 3)}
    alone = Tracer(model).trace(x, ["input"], Target.index(0))
    with ThreadPoolExecutor(4) as pool:
        traces = list(pool.map(lambda _: Tracer(model).trace(x, ["input"], Target.index(0), layers=True), range(24)))
    assert all(torch.equal(t.relevance["input"], alone.relevance["input"]) for t in traces)
    assert all(t.ledger.gap.max() < 1e-5 for t in traces)
    assert all(p.requires_grad for p in model.parameters())


def test_tracing_inside_inference_mode() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.GELU())
    x = torch.randn(2, 3)
    outside = Tracer(model).trace({"input": x}, ["input"], Target.index(0))
    with torch.inference_mode():
        inside = Tracer(model).trace({"input": x * 1}, ["input"], Target.index(0))
    assert torch.equal(inside.relevance["input"], outside.relevance["input"])


def test_a_model_may_go_on_in_place_after_any_operation() -> None:
    torch.manual_seed(0)
    for before in (nn.Tanh(), nn.GELU(), nn.SiLU(), nn.Sigmoid(), nn.LayerNorm(5), nn.Identity()):
        model = nn.Sequential(nn.Linear(4, 5), before, nn.ReLU(inplace=True), nn.Dropout(0.5, inplace=True))
        model = nn.Sequential(model, nn.Linear(5, 2)).eval()
        x = torch.randn(3, 4)
        trace = Tracer(model).trace({"input": x}, of=["input"], target=Target.index(1))
        torch.testing.assert_close(trace.score, model(x)[:, 1].detach())
        assert bool((trace.ledger.gap <= 1e-5).all())
