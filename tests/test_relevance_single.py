"""The relevance engine: constants, assignments and shares, one operation at a time."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from xagent.relevance import Target, Trace, Tracer


def through(function: Any, x: Tensor, rules: str = "conserving") -> Trace:
    """Trace sum(function(x)) per row."""
    return Tracer(nn.Module(), rules, forward=lambda i: function(i["x"]).flatten(1).sum(1)).trace(
        {"x": x}, ["x"], Target.value()
    )


def overwritten(x: Tensor) -> Tensor:
    y = x * 2
    y += 1
    y.sub_(0.5)
    F.relu(y, inplace=True)
    y[0:2].mul_(3)
    return y


CONSTANTS: dict[str, Any] = {
    "overwritten": overwritten,
    "minus": lambda x: x - 3 - torch.sub(x, x.new_ones(4), alpha=2),
    "masked score": lambda x: F.log_softmax(x.masked_fill(x == x.min(), -math.inf), -1)[:, 1:2],
    "scalar": lambda x: 2 - (x + 3) / 2,
    "in place": lambda x: (x * 2).add_(1).mul_(0.5).relu_(),
    "cat": lambda x: torch.cat([torch.ones(len(x), 1), x], 1) * 2,
    "where": lambda x: torch.where(x > 0, x, torch.tensor(-2.0)),
    "masked fill": lambda x: x.masked_fill(x < 0, 5.0),
    "pad": lambda x: F.pad(x, (1, 1), value=3.0),
    "maximum": lambda x: torch.maximum(x, torch.tensor(0.25)) + x.max(1, keepdim=True).values,
    "clamp": lambda x: x.clamp(min=-0.5, max=0.5) + x.clamp(min=0.1),
    "log softmax": lambda x: F.log_softmax(x, -1)[:, :1],
    "gate": lambda x: x * torch.sigmoid(1.7 * x) + torch.sigmoid(x),
    "power": lambda x: x**2 - x**3 / 3,
    "einsum": lambda x: torch.einsum("bi,bi->b", x, torch.tanh(x))[:, None],
    "addmm": lambda x: torch.addmm(x.new_ones(3), x, x.new_ones(4, 3)),
    "standardised": lambda x: ((x - x.mean(1, keepdim=True)) / (x.std(1, keepdim=True) + 1e-3))[:, :2],
    "normalised": lambda x: F.normalize(x, dim=1) + F.rms_norm(x, (4,)) + F.glu(torch.cat([x, x], 1)),
    "softmax as a weight": lambda x: x * x.softmax(-1) + x.softmax(-1),
    "interpolated": lambda x: F.interpolate(x[:, None], scale_factor=2.0, mode="linear", align_corners=False),
}


@pytest.mark.parametrize("name", CONSTANTS)
def test_constants_are_booked_exactly(name: str) -> None:
    x = torch.randn(2, 4, generator=torch.Generator().manual_seed(11)).double()
    with torch.no_grad():
        value = CONSTANTS[name](x).flatten(1).sum(1)
    torch.set_default_dtype(torch.float64)
    try:
        trace = through(CONSTANTS[name], x)
    finally:
        torch.set_default_dtype(torch.float32)
    torch.testing.assert_close(trace.score, value)
    assert trace.ledger.gap.max() < 1e-9
    assert trace.status == "exact"


def test_assignment_in_place() -> None:
    def assign(x: Tensor) -> Tensor:
        y = torch.full((len(x), 5), 7.0)
        y[:, 1:] = x
        y[:, 2] = 1.0
        return y * 2

    trace = through(assign, torch.randn(2, 4))
    assert trace.ledger.constants.tolist() == [16.0, 16.0]
    assert not trace.relevance["x"][:, 1].any()
    assert trace.ledger.gap.max() < 1e-6


def test_shares_of_products() -> None:
    x = torch.tensor([[2.0, 3.0]])
    halves = through(lambda v: v[:, :1] * v[:, 1:], x)
    assert halves.relevance["x"].tolist() == [[3.0, 3.0]]
    gated = through(lambda v: v[:, :1] * torch.sigmoid(v[:, 1:]).view(-1, 1), x)
    assert gated.relevance["x"][0, 1] == 0
    torch.testing.assert_close(gated.ledger.inputs, gated.score.double())
    weighted = through(lambda v: v[:, :1].softmax(-1) * v[:, 1:], x)
    assert weighted.relevance["x"].tolist() == [[0.0, 3.0]]


def test_a_score_that_does_not_depend_on_the_input_is_a_constant() -> None:
    trace = through(torch.ones_like, torch.randn(2, 4))
    assert not trace.relevance["x"].any()
    assert trace.ledger.constants.tolist() == trace.score.tolist() == [4.0, 4.0]
    assert trace.ledger.gap.max() == 0


def test_an_unused_input_gets_exactly_zero() -> None:
    tracer = Tracer(nn.Module(), forward=lambda i: i["a"][:, :1] * 2 + 1)
    trace = tracer.trace({"a": torch.randn(2, 3), "b": torch.randn(2, 4)}, ["a", "b"], Target.value())
    assert trace.relevance["b"].shape == (2, 4)
    assert not trace.relevance["b"].any()
    assert not trace.relevance["a"][:, 1:].any()
