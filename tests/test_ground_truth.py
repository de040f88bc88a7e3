"""Whether the planted truth is found: the cheapest tasks of benchmarks/ground_truth at small size.

The bounds leave a margin to the figures measured in benchmarks/README.md.
"""

from __future__ import annotations

import pytest
import torch

from benchmarks.ground_truth import _cache, t01_units, t02_tabular, t08_scaffold, t11_suppressor
from benchmarks.ground_truth import _ours as ours
from benchmarks.ground_truth._cases import Case, Task, cosine, mean_and_error
from benchmarks.ground_truth._shapley import shapley
from benchmarks.ground_truth.calibration import SPOILT, graded
from xagent.trust import exact_shapley, refined


@pytest.fixture(autouse=True, scope="module")
def _weights(tmp_path_factory: pytest.TempPathFactory) -> None:
    """Every run trains anew."""
    _cache.use_folder(tmp_path_factory.mktemp("ground-truth"))
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def tabular(_weights: None) -> list[Case]:
    return t02_tabular.cases(1, True)


@pytest.fixture(scope="module")
def scaffolded(_weights: None) -> list[Case]:
    return t08_scaffold.cases(1, True)


def test_the_truth_is_the_shapley_value_that_the_trust_room_computes(tabular: list[Case]) -> None:
    case = tabular[0]
    torch.testing.assert_close(case.truth, exact_shapley(case.coalitions, case.players), rtol=1e-6, atol=1e-6)


def test_refinement_passes_all_units_and_a_trace_the_linear_ones() -> None:
    cases = t01_units.cases(0, False)
    assert t01_units.missed(cases, [ours.trace_refined(case, "conserving") for case in cases]) == []
    missed = t01_units.missed(cases, [ours.trace(case, "conserving") for case in cases])
    assert {name.split(" (")[0] for name in missed}.isdisjoint({"xor, one", "dummy", "bias"})
    assert len(missed) <= 7


def test_the_planted_rule_is_found_and_refinement_comes_closer(tabular: list[Case]) -> None:
    assert t02_tabular.accuracy(1) > 0.85

    def reached(found: list[torch.Tensor]) -> float:
        return mean_and_error([cosine(a, case.truth) for a, case in zip(found, tabular, strict=True)])[0]

    assert reached([ours.trace(case, "conserving") for case in tabular]) > 0.95
    assert reached([ours.path(case, "conserving", 8) for case in tabular]) > 0.98
    assert reached([ours.trace_refined(case, "conserving") for case in tabular]) > 0.995


def test_refined_relevance_sums_to_the_change_of_the_score_and_is_exact_for_few_players(tabular: list[Case]) -> None:
    def score(keep: torch.Tensor) -> torch.Tensor:
        return keep[:, 0] * keep[:, 1] * 3.0 - 2.0 * keep[:, 2] + 0.5 * keep[:, 3] * keep[:, 4]

    torch.testing.assert_close(refined(score, torch.zeros(5)), shapley(score, 5))
    case = tabular[1]
    values = refined(case.coalitions, ours.trace(case, "conserving"))
    ends = case.coalitions(torch.tensor([[True], [False]]).expand(2, case.players))
    assert float(values.sum()) == pytest.approx(float(ends[0] - ends[1]), abs=1e-4)


def test_the_scaffold_fools_removal_but_neither_the_trace_nor_the_flag(scaffolded: list[Case]) -> None:
    task = t08_scaffold.TASK
    on_demand = task.figures(scaffolded, [ours.default(case) for case in scaffolded])
    assert on_demand["sensitive first"][0] == 1
    assert on_demand["flag raised"][0] == 1
    fooled = task.figures(scaffolded, [ours.removal(case) for case in scaffolded])
    assert fooled["sensitive first"][0] < 0.5
    assert fooled["flag raised"][0] == 1


def test_a_suppressor_is_named_as_used_and_not_associated() -> None:
    cases = t11_suppressor.cases(1, True)
    figures = t11_suppressor.TASK.figures(cases, [ours.trace(case, "conserving") for case in cases])
    assert figures["said"][0] == 1
    assert figures["cosine"][0] > 0.98


@pytest.mark.parametrize("task", [t01_units.TASK, t08_scaffold.TASK, t11_suppressor.TASK], ids=lambda task: task.id)
def test_spoilt_explanations_are_refused_and_nothing_wrong_passes_for_limited(task: Task) -> None:
    rows = graded(task, task.cases(1, True)[:6], 1)
    wrong = [row for row in rows if row.cosine < 0.7]
    assert {row.level for row in wrong if row.source in SPOILT} == {"do not rely"}
    assert {row.level for row in wrong} == {"do not rely"}


def test_exact_is_relied_on_and_spoilt_explanations_are_not(tabular: list[Case]) -> None:
    rows = graded(t02_tabular.TASK, tabular[:4], 1)
    by = {(row.source, row.level) for row in rows}
    assert {level for source, level in by if source in {"random", "negated", "shuffled"}} == {"do not rely"}
    assert {level for source, level in by if source == "exact"} <= {"strong", "fair", "limited"}
    assert all(row.cosine > 0.7 for row in rows if row.level in {"strong", "fair"})
