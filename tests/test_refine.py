"""Removal refinement: exact where the model is additive, right where units act together, and its account closes."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xagent.relevance import RelevanceError, Target, Tracer, refine


def scores_of(model: nn.Module, x: Tensor, baseline: Tensor) -> Callable[[Tensor], Tensor]:
    """Column 0 of the model with the units that are not kept taken from the baseline."""
    return lambda keep: model(torch.where(keep, x, baseline))[:, 0]


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 12))
def test_a_linear_model_is_left_as_it_is(seed: int, k: int) -> None:
    torch.manual_seed(seed)
    model, x, baseline = nn.Linear(8, 1).double(), torch.randn(1, 8).double(), torch.randn(1, 8).double()
    trace = Tracer(model).trace({"input": x}, ["input"], Target.value(), {"input": baseline})
    refined = refine(trace.relevance["input"][0], scores_of(model, x, baseline), k)
    torch.testing.assert_close(refined.relevance, trace.relevance["input"][0])
    assert refined.forwards == 2 * min(k, 8) + 2
    assert abs(refined.remainder) < 1e-9


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(1, 5))
def test_the_account_closes_and_others_keep_their_relevance(seed: int, k: int) -> None:
    torch.manual_seed(seed)
    model = nn.Sequential(nn.Linear(6, 9), nn.ReLU(), nn.Linear(9, 2))
    x, baseline = torch.randn(1, 6), torch.randn(1, 6)
    trace = Tracer(model).trace({"input": x}, ["input"], Target.index(0), {"input": baseline})
    before = trace.relevance["input"][0].double()
    refined = refine(before, scores_of(model, x, baseline), k)
    total = float(trace.ledger.total[0]) - float(before.sum()) + float(refined.relevance.sum()) + refined.remainder
    assert total == pytest.approx(float(trace.score[0]), rel=1e-5, abs=1e-5)
    others = torch.ones(6, dtype=torch.bool)
    others[refined.index] = False
    assert torch.equal(refined.relevance[others], before[others])
    assert len(refined.index) == k
    assert float(before[refined.index].abs().min()) >= float(before[others].abs().max() if others.any() else 0)


def test_units_that_act_only_together_share() -> None:
    """f = x0 * x1 + x2: with ones against zeros the Shapley value is a half each, and that is what comes out."""

    def score(keep: Tensor) -> Tensor:
        return (keep[:, 0] & keep[:, 1]).double() + keep[:, 2].double()

    relevance = torch.tensor([0.5, 0.5, 1.0])  # the half rule of the trace
    torch.testing.assert_close(refine(relevance, score, 3).relevance, torch.tensor([0.5, 0.5, 1.0]).double())
    lost = refine(torch.tensor([0.9, 0.0, 1.0]), score, 3)  # a trace that gives it to one of the two
    assert lost.relevance[1] == pytest.approx(1 / 3)
    assert lost.removal.tolist() == [1.0, 1.0, 1.0]
    assert lost.addition.tolist() == [1.0, 0.0, 0.0]  # by strength: unit 2, 0, 1


def test_one_of_two_that_would_do_is_not_wiped_out() -> None:
    """f = max(x0, x1): removing either changes nothing; the refinement still names both."""
    refined = refine(torch.tensor([0.5, 0.5]), lambda keep: keep.any(1).double(), 2)
    assert refined.removal.tolist() == [0.0, 0.0]
    torch.testing.assert_close(refined.relevance, torch.tensor([0.5, 0.5]).double())


def test_more_units_than_there_are() -> None:
    assert refine(torch.ones(3), lambda keep: keep.sum(1), 99).index.shape == (3,)


@pytest.mark.parametrize(
    ("relevance", "score", "k", "words"),
    [
        (torch.ones(2, 3), lambda keep: keep.sum(1), 1, "must be (units,)"),
        (torch.ones(0), lambda keep: keep.sum(1), 1, "must be (units,)"),
        (torch.ones(3), lambda keep: keep.sum(1), 0, "k must be at least 1"),
        (torch.ones(3), lambda keep: keep, 1, "for 4 rows"),
        (torch.ones(3), lambda keep: keep.sum(1) / 0, 1, "not finite"),
    ],
)
def test_what_cannot_be_refined(relevance: Tensor, score: Callable[[Tensor], Tensor], k: int, words: str) -> None:
    with pytest.raises(RelevanceError) as fault:
        refine(relevance, score, k)
    assert words in str(fault.value)
