"""The trust room on functions whose truth is known by hand."""

from __future__ import annotations

from itertools import permutations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xagent.trust import (
    LEVELS,
    Manifold,
    Trust,
    Undetermined,
    additive_fit,
    assess_trust,
    draw_coalitions,
    exact_shapley,
    group_players,
    judge,
    load_limits,
)

WEIGHTS = torch.tensor([3.0, -2.2, 1.7, 1.2, -0.9, 0.6, 0.4, -0.3, 0.2, 0.1], dtype=torch.float64)


def linear(weights, bias=0.5):
    return lambda keep: keep.double() @ weights + bias


def conjunction(n):
    """1 when all n are there: the least additive monotone function."""
    return lambda keep: keep.all(1).double()


def measured(score_fn, relevance, **options):
    found = assess_trust(score_fn, relevance, len(relevance), **options)
    assert isinstance(found, Trust), found
    return found


@settings(max_examples=25, deadline=None)
@given(order=st.permutations(range(10)), seed=st.integers(0, 2**31), scale=st.sampled_from([1e-3, 1.0, 1e4]))
def test_exact_relevance_of_a_linear_model_is_strong_in_any_order_of_the_features(order, seed, scale):
    weights = WEIGHTS[list(order)] * scale
    found = measured(linear(weights, 0.5 * scale), weights, seed=seed)
    assert found.level == "strong"
    assert found.ratio == pytest.approx(1, abs=1e-6)
    assert found.ceiling == pytest.approx(1, abs=1e-6)
    assert found.agreement == pytest.approx(1)
    assert found.gap == pytest.approx(0, abs=1e-9)
    assert [order[p] for p in found.evidence.cited] == [0, 2, 3, 5], "strongest drivers towards the outcome, in order"
    assert found.evidence.flips is True
    assert found.evidence.keep_share == pytest.approx(7.0 / 4.3)


@pytest.mark.parametrize("kind", ["random", "shuffled", "negated"])
def test_wrong_relevance_is_not_relied_on(kind):
    levels = []
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        wrong = {
            "random": torch.randn(10, generator=generator, dtype=torch.float64),
            "shuffled": WEIGHTS[torch.randperm(10, generator=generator)],
            "negated": -WEIGHTS,
        }[kind]
        found = measured(linear(WEIGHTS), wrong, seed=seed)
        levels.append(found.level)
        if kind == "negated":
            assert found.ratio == pytest.approx(-1, abs=1e-6)
    # Ten features: a random list has a correlation above 0.8 with the truth once in some 200 draws.
    assert levels.count("do not rely") >= (40 if kind == "negated" else 39)
    assert "strong" not in levels


def test_noise_on_the_relevance_lowers_the_ratio_step_by_step():
    noise = torch.randn(10, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    ratios = [measured(linear(WEIGHTS), WEIGHTS + s * noise).ratio for s in (0, 0.3, 1, 3)]
    assert ratios == sorted(ratios, reverse=True)
    assert ratios[-1] < 0.8


def test_a_conjunction_has_a_low_ceiling_and_its_best_list_still_reaches_it():
    found = measured(conjunction(5), torch.ones(5))
    # R² of the best additive fit of AND over n fair coins is n / (2**n - 1).
    assert found.ceiling == pytest.approx((5 / 31) ** 0.5, abs=1e-6)
    assert found.ratio == pytest.approx(1, abs=1e-6)
    assert found.level == "limited"
    assert found.weakest == "ceiling"


def test_an_exclusive_or_can_be_described_by_no_list():
    found = measured(lambda keep: (keep.sum(1) % 2).double(), torch.tensor([1.0, 0.9, 0.8]))
    assert (found.ratio, found.interval, found.level, found.weakest) == (None, None, "do not rely", "ceiling")


def test_the_ceiling_is_measured_on_coalitions_that_it_was_not_fitted_to():
    """A score that depends on the whole coalition like a hash: a fit of 20 weights to noise must not count."""
    codes = torch.pow(1.7, torch.arange(20).double()) * 12.9898
    ceilings = [
        measured(lambda keep: torch.sin(keep.double() @ codes * 43.7), torch.ones(20), seed=s).ceiling for s in range(8)
    ]
    assert abs(sum(ceilings) / 8) < 0.12


def test_degenerate_cases_are_statements_without_numbers():
    one = torch.ones(4)
    cases = {
        "constant": assess_trust(lambda keep: torch.full((len(keep),), 7.0), one, 4),
        "no relevance": assess_trust(linear(one.double()), torch.zeros(4), 4),
        "one player": assess_trust(linear(torch.ones(1).double()), torch.ones(1), 1),
        "all together": assess_trust(conjunction(24), torch.ones(24), 24),
    }
    nan = torch.tensor(float("nan"))
    not_finite = [
        assess_trust(lambda keep: torch.where(keep[:, 0], nan, 1.0), one, 4),
        assess_trust(linear(one.double()), torch.tensor([1.0, float("inf"), 0.0, 1.0]), 4),
    ]
    for reason, found in [*cases.items(), *(("not finite", f) for f in not_finite)]:
        assert isinstance(found, Undetermined), reason
        assert found.reason == reason
        assert found.level in ("limited", "do not rely")
        assert not any(isinstance(v, int | float) for v in vars(found).values())
        assert found.why.endswith(".")


def test_nan_only_in_the_evidence_test_is_noticed():
    calls = []

    def score(keep):
        calls.append(len(keep))
        scores = keep.double() @ WEIGHTS
        return scores if len(calls) == 1 else torch.full_like(scores, float("nan"))

    found = assess_trust(score, WEIGHTS, 10)
    assert isinstance(found, Undetermined)
    assert found.reason == "not finite"


def test_the_outcome_may_be_the_other_class():
    """A score below the threshold: the reasons cited are those that pull it down."""
    found = measured(linear(-WEIGHTS, -0.5), -WEIGHTS)
    assert found.evidence.cited == (0, 2, 3, 5)
    assert found.evidence.flips is True
    assert found.level == "strong"


def test_a_regression_has_no_decision_to_flip():
    found = measured(linear(WEIGHTS, 100), WEIGHTS, threshold=None)
    assert found.evidence.flips is None
    assert found.evidence.cited == (0, 2, 3, 5)


def test_when_nothing_speaks_for_the_outcome_nothing_is_cited():
    found = measured(linear(-WEIGHTS.abs(), 100), -WEIGHTS.abs())
    assert found.evidence.state == "nothing cited"
    assert found.evidence.keep_share is None
    assert (found.level, found.weakest) == ("fair", "evidence")


def test_no_share_of_a_margin_that_is_hardly_there():
    on_the_line = measured(linear(WEIGHTS, -3.8 + 1e-3), WEIGHTS)
    assert on_the_line.evidence.keep_share is None
    assert on_the_line.evidence.random_share is None
    assert on_the_line.evidence.flips is True


def test_equal_inputs_leave_the_evidence_test_without_an_answer():
    found = measured(linear(torch.ones(8).double()), torch.ones(8))
    assert found.evidence.state == "no contrast"
    assert found.evidence.beaten is None
    assert found.level == "fair"


def test_many_players_are_probed_in_contiguous_groups():
    weights = torch.sin(torch.arange(75)).double() + 0.2
    found = measured(linear(weights), weights)
    assert found.groups == 32
    assert found.coalitions == 256
    assert found.level == "strong"
    group = group_players(75)
    assert bool((group.diff() >= 0).all())
    assert set(torch.bincount(group).tolist()) == {2, 3}


@given(n=st.integers(1, 40), seed=st.integers(0, 1000))
@settings(max_examples=40, deadline=None)
def test_coalitions_are_balanced_and_repeatable(n, seed):
    drawn, again = draw_coalitions(n, seed), draw_coalitions(n, seed)
    assert torch.equal(drawn.a, again.a)
    assert torch.equal(drawn.b, again.b)
    assert torch.equal(drawn.b[0::2], ~drawn.b[1::2])
    assert drawn.exhaustive == (n <= 8)
    if drawn.exhaustive:
        assert len(torch.unique(drawn.b, dim=0)) == 2**n


def test_ridge_recovers_an_additive_function_and_shrinks_noise():
    drawn = draw_coalitions(10, 3)
    fit = additive_fit(drawn.a, linear(WEIGHTS)(drawn.a))
    torch.testing.assert_close(fit[:-1], WEIGHTS, atol=1e-6, rtol=0)
    assert float(fit[-1]) == pytest.approx(0.5, abs=1e-6)
    noise = torch.randn(128, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    assert float(additive_fit(drawn.a, noise)[:-1].norm()) < float(
        torch.linalg.lstsq(drawn.a.double(), noise)[0].norm()
    )


def test_shapley_values_match_the_definition():
    def game(keep):
        k = keep.double()
        return 2 * k[:, 0] * k[:, 1] - 3 * k[:, 2] + k[:, 0] * k[:, 2] * k[:, 3] + 0.5

    expected = torch.zeros(4, dtype=torch.float64)
    orders = list(permutations(range(4)))
    for order in orders:
        keep = torch.zeros(1, 4, dtype=torch.bool)
        for player in order:
            before = game(keep)
            keep[0, player] = True
            expected[player] += float(game(keep) - before) / len(orders)
    torch.testing.assert_close(exact_shapley(game, 4), expected)
    with pytest.raises(ValueError, match="12"):
        exact_shapley(game, 13)


def test_off_manifold_probes_cap_the_level():
    generator = torch.Generator().manual_seed(0)
    along = torch.randn(500, 1, generator=generator)
    reference = torch.cat([along, along, torch.zeros(500, 1)], dim=1)
    manifold = Manifold(reference)
    probes = torch.tensor([[0.1, 0.1, 0.0], [2.0, -2.0, 0.0], [0.0, 0.0, 1.0]])
    assert manifold.outside(probes).tolist() == [False, True, True]
    assert not bool(manifold.outside(reference[:5]).any())
    even = Manifold(torch.arange(100.0)[:, None])
    step = even.limit * float(torch.arange(100.0).std())
    assert step == pytest.approx(1), "the nearest neighbour of every row is one away"
    assert even.outside(torch.tensor([[99.9], [100.1]])).tolist() == [False, True]
    found = measured(linear(WEIGHTS), WEIGHTS, outside=lambda keep: torch.arange(len(keep)) % 2 == 0)
    assert found.off_manifold == 0.5
    assert (found.level, found.weakest) == ("limited", "off-manifold")


def test_each_check_lowers_the_level_at_its_own_thresholds():
    limits = load_limits()
    best = {"ceiling": 1.0, "ratio": 1.0, "beaten": 1.0, "agreement": 1.0, "off_manifold": 0.0, "gap": 0.0}
    assert judge(limits, **best)[0] == "strong"
    for name, worsening, expected in [
        ("ratio", [0.95, 0.94, 0.89, 0.79], [3, 2, 1, 0]),
        ("ceiling", [0.8, 0.79, 0.69, 0.19], [3, 2, 1, 0]),
        ("beaten", [0.9, 0.6, 0.4], [3, 2, 0]),
        ("off_manifold", [0.2, 0.21, 0.31], [3, 2, 1]),
        ("agreement", [0.7, 0.69, -0.2], [3, 2, 1]),
        ("gap", [0.05, 0.06], [3, 1]),
    ]:
        levels = [judge(limits, **{**best, name: value}) for value in worsening]
        assert [LEVELS.index(level) for level, _ in levels] == expected, name
        key = {"ratio": "fidelity", "beaten": "evidence", "off_manifold": "off-manifold"}.get(name, name)
        assert levels[-1][1] == key


def test_same_seed_same_answer():
    def score(keep):
        k = keep.double()
        return k @ WEIGHTS + 2 * k[:, 0] * k[:, 1]

    assert measured(score, WEIGHTS, seed=5) == measured(score, WEIGHTS, seed=5)
    low, high = measured(score, WEIGHTS, seed=5, exact=0).interval
    assert -1 <= low < high <= 1
