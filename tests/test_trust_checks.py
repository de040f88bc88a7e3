"""Groups, baselines, fill-in and thresholds of the trust room, on functions whose truth is known by hand."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import spearmanr

from xagent.errors import ConfigurationFault
from xagent.trust import (
    ConditionalFill,
    Manifold,
    Trust,
    Undetermined,
    assess_trust,
    cells,
    compare_baselines,
    correlated,
    exact_shapley,
    judge,
    limits_of,
    load_limits,
    neighbours,
    probe,
    read_limits,
    removal_order_z,
    shapley_of,
)

WEIGHTS = torch.tensor([3.0, -2.2, 1.7, 1.2, -0.9, 0.6, 0.4, -0.3, 0.2, 0.1], dtype=torch.float64)
SHIPPED = Path("xagent/trust/levels.toml")


def rows(n: int = 300, seed: int = 0) -> torch.Tensor:
    """Columns 0, 1, 2 are one quantity; 3 follows it in rank alone; 4 and 5 stand alone; 6 is constant."""
    rng = np.random.default_rng(seed)
    one = rng.normal(size=n)
    noise = 0.05 * rng.normal(size=(2, n))
    found = [one, one + noise[0], -one + noise[1], np.exp(6 * one), rng.normal(size=n), rng.normal(size=n), np.ones(n)]
    return torch.tensor(np.stack(found, 1))


def test_features_are_bundled_above_the_stated_correlation_and_never_in_chains() -> None:
    x = rows()
    assert abs(np.corrcoef(x[:, 0], x[:, 3])[0, 1]) < 0.5
    assert abs(spearmanr(x[:, 0], x[:, 3]).statistic) > 0.999
    found = correlated(x, torch.arange(7), 0.9)
    assert found.together() == [(0, 1, 2, 3)]
    assert found.how == "correlation" and found.bundles == found.blocks == 4
    assert 0.9 <= found.correlation[0] < 1 == found.correlation[1]
    assert correlated(x, torch.arange(7), 1.0).together() == [(0, 3)], "the same ranks"
    # a, b and c: a like b, b like c, a unlike c. Complete linkage takes the closer pair alone.
    rng = np.random.default_rng(1)
    a, c = rng.normal(size=(2, 500))
    chain = torch.tensor(np.stack([a, a + c * 0.9, c], 1))
    assert len(correlated(chain, torch.arange(3), 0.6).together()) == 1
    assert all(len(group) == 2 for group in correlated(chain, torch.arange(3), 0.6).together())


def test_levels_of_a_category_belong_to_one_player_and_all_alike_are_left_apart() -> None:
    x = rows()
    owner = torch.tensor([0, 1, 1, 2, 3, 4, 5])
    found = correlated(x, owner, 0.9)
    assert found.together() == [(0, 1, 2)]
    same = x[:, :1].expand(-1, 4)
    assert correlated(same, torch.arange(4), 0.9).bundles == 4, "one bundle would leave nothing to weigh"


def test_many_features_share_blocks_by_closeness_and_only_the_close_are_named() -> None:
    rng = np.random.default_rng(0)
    factors = rng.normal(size=(400, 20))
    x = torch.tensor(np.repeat(factors, 5, axis=1) + 0.7 * rng.normal(size=(400, 100)))
    found = correlated(x, torch.arange(100), 0.9)
    assert found.together() == [] and found.bundles == 100
    assert found.blocks <= 64
    assert len(set(found.block[:5].tolist()) & set(found.block[5:].tolist())) == 0, "blocks follow the factors"
    drawn = probe(lambda keep: keep.double() @ torch.ones(100).double(), 100, grouping=found)
    assert not isinstance(drawn, str) and len(drawn.keep) >= 4 * found.blocks


@given(st.integers(1, 40), st.integers(1, 40))
@settings(max_examples=60, deadline=None)
def test_cells_fall_into_whole_rectangles(height: int, width: int) -> None:
    found = cells(height, width)
    grid = found.block.view(height, width)
    assert found.blocks <= 64 and set(grid.flatten().tolist()) == set(range(found.blocks))
    for block in range(found.blocks):
        down, across = torch.where(grid == block)
        area = int(down.max() - down.min() + 1) * int(across.max() - across.min() + 1)
        assert area == len(down), "a rectangle without holes"


def test_bundled_features_are_probed_together() -> None:
    """Two copies of one input in a product: apart they look useless, together they carry the score."""
    found = correlated(rows(), torch.arange(7), 0.9)
    seen = []

    def score(keep: torch.Tensor) -> torch.Tensor:
        seen.append(keep)
        return (keep[:, 0] | keep[:, 1]).double() + 0.1 * keep[:, 4].double()

    probes = probe(score, 7, grouping=found)
    assert not isinstance(probes, str)
    assert bool((seen[0][:, 0] == seen[0][:, 3]).all())
    assert probes.shapley is not None
    torch.testing.assert_close(probes.shapley, torch.tensor([1.0, 0.1, 0.0, 0.0]).double())


@given(st.integers(2, 9), st.integers(0, 2**16))
@settings(max_examples=25, deadline=None)
def test_shapley_of_shuffled_coalitions_is_that_of_the_game(players: int, seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    table = torch.randn(2**players, generator=generator, dtype=torch.float64)

    def game(keep: torch.Tensor) -> torch.Tensor:
        return table[(keep.long() << torch.arange(players)).sum(1)]

    every = ((torch.arange(2**players)[:, None] >> torch.arange(players)) & 1 == 1)[
        torch.randperm(2**players, generator=generator)
    ]
    torch.testing.assert_close(shapley_of(every, game(every)), exact_shapley(game, players))


def test_twelve_players_are_enumerated_and_thirteen_are_sampled() -> None:
    for players, coalitions in ((12, 4096), (13, 256)):
        weights = torch.linspace(-1, 2, players).double()
        found = assess_trust(lambda keep, w=weights: keep.double() @ w, weights, players)
        assert isinstance(found, Trust)
        assert found.coalitions == coalitions and found.exhaustive == (players == 12)
        assert (found.shapley == pytest.approx(1)) if players == 12 else found.shapley is None
    assert isinstance(few := assess_trust(lambda k: k.double() @ WEIGHTS, WEIGHTS, 10, exact=0), Trust)
    assert not few.exhaustive


def test_a_list_far_from_the_exact_values_is_not_strong_however_faithful_it_looks() -> None:
    best = {"ceiling": 1.0, "ratio": 1.0, "beaten": 1.0}
    assert judge(load_limits(), **best, shapley=0.95)[0] == "strong"
    assert judge(load_limits(), **best, shapley=0.85) == ("fair", "shapley")
    assert judge(load_limits(), **best, shapley=0.3) == ("limited", "shapley")
    assert judge(load_limits(), **{**best, "ratio": 0.5}, shapley=0.95) == ("limited", "fidelity")
    assert judge(load_limits(), **{**best, "ratio": 0.5}, shapley=0.85) == ("do not rely", "fidelity")


def test_baselines_that_move_the_first_driver_lower_the_level() -> None:
    listed = torch.tensor([3.0, -2.0, 1.0, 0.5, 0.1]).double()
    same, scaled = listed.clone(), 0.4 * listed
    moved = torch.tensor([1.0, -2.0, 1.0, 0.5, 0.1]).double()
    turned = torch.tensor([-3.0, -2.0, 1.0, 0.5, 0.1]).double()
    gone = torch.tensor([0.01, -2.0, 1.0, 0.5, 0.1]).double()
    seen = {
        name: compare_baselines(listed, {"a": same, "b": other})
        for name, other in (("scaled", scaled), ("moved", moved), ("turned", turned), ("gone", gone))
    }
    assert {name: found.first for name, found in seen.items() if found} == {
        "scaled": "stays", "moved": "moves", "turned": "lost", "gone": "lost",
    }  # fmt: skip
    assert seen["gone"] and seen["gone"].moved == (0,) and seen["gone"].kept == 0.75
    assert seen["gone"].worst == seen["gone"].first_under == "b" and seen["gone"].flipped == 0.5
    tied = compare_baselines(listed, {"b": torch.tensor([1.9, -2.0, 1.0, 0.5, 0.1]).double()})
    assert tied and tied.first == "stays", "nearly the largest still counts as first"
    assert compare_baselines(listed, {}) is None
    assert compare_baselines(torch.zeros(3), {"a": torch.ones(3)}) is None
    best = {"ceiling": 1.0, "ratio": 1.0, "beaten": 1.0}
    levels = [judge(load_limits(), **best, flipped=f)[0] for f in (0.0, 0.25, 0.5)]
    assert levels == ["strong", "fair", "limited"]


def test_fill_in_keeps_what_is_kept_and_stays_among_real_rows() -> None:
    generator = torch.Generator().manual_seed(0)
    along, own = torch.randn(2, 600, 1, generator=generator)
    reference = torch.cat([along, along + 0.02 * own, torch.rand(600, 1, generator=generator)], 1)
    x = reference[along[:, 0].abs().argmin()].clone()
    fill = ConditionalFill(x, reference, torch.arange(3), seed=1)
    keep = torch.tensor([[True, False, True], [False, False, False], [True, True, True], [True, True, False]])
    made = fill.fill(keep)
    assert made.shape == (4, 10, 3)
    assert bool((made[0, :, [0, 2]] == x[[0, 2]]).all()) and bool((made[2] == x).all())
    assert bool((made[0, :, 1] - x[0]).abs().max() < 0.3), "the second column is filled in to fit the first"
    assert float(made[1, :, 0].std()) > 0.3, "with nothing kept, rows come from everywhere"
    assert not bool((made[3, :, 2] == x[2]).any()), "the case itself is no neighbour"
    assert torch.equal(made, ConditionalFill(x, reference, torch.arange(3), seed=1).fill(keep))
    space = Manifold(reference)
    assert space.outside(made.flatten(0, 1)).double().mean() < 0.1
    far = torch.where(keep[:1], torch.tensor([2.5, 0.0, 0.5]), reference.mean(0))
    assert bool(space.outside(far).all()), "the mean in the place of the second column fits no row"
    with pytest.raises(ValueError, match="30"):
        ConditionalFill(x, reference[:20], torch.arange(3))


@given(st.integers(2, 300), st.integers(1, 30), st.integers(0, 1000))
@settings(max_examples=30, deadline=None)
def test_distances_to_a_population_are_those_of_all_pairs(n: int, d: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    rows, probes = torch.tensor(100 + rng.normal(size=(n, d))), torch.tensor(100 + 1.5 * rng.normal(size=(40, d)))
    apart = torch.cdist(rows / rows.std(0), rows / rows.std(0)).fill_diagonal_(float("inf")).min(1).values
    space = Manifold(rows)
    assert space.limit == pytest.approx(float(torch.quantile(apart, 0.99)), rel=1e-3)
    far = torch.cdist(probes / rows.std(0), rows / rows.std(0)).min(1).values
    clear = (far / space.limit - 1).abs() > 1e-3
    assert torch.equal(space.outside(probes)[clear], (far > space.limit)[clear])


def scaffolded(weight: float) -> tuple:
    """A game whose mean-filled coalitions follow player 1 and whose conditional ones follow player 0."""
    probes = lambda keep: weight * keep[:, 1].double() + 1.0  # noqa: E731
    real = lambda keep: weight * keep[:, 0].double() + 1.0  # noqa: E731
    return probes, (real, lambda keep: torch.zeros(len(keep)))


def test_off_the_manifold_the_conditional_checks_decide_and_cap_the_level() -> None:
    score, conditional = scaffolded(2.0)
    outside = lambda keep: torch.ones(len(keep))  # noqa: E731
    right, wrong = torch.tensor([2.0, 0.0, 0.0]), torch.tensor([0.0, 2.0, 0.0])
    asked = {"outside": outside, "conditional": conditional, "threshold": None}
    found, fooled = (assess_trust(score, listed, 3, **asked) for listed in (right, wrong))
    assert isinstance(found, Trust) and isinstance(fooled, Trust)
    assert (found.level, found.weakest, found.off_manifold) == ("limited", "off-manifold", 1.0)
    assert isinstance(found.conditional, Trust) and found.conditional.ratio == pytest.approx(1)
    assert found.ratio == pytest.approx(0, abs=1e-9), "the ordinary figure is kept beside it"
    assert fooled.ratio == pytest.approx(1) and fooled.level == "do not rely"
    inside = assess_trust(score, wrong, 3, outside=lambda keep: torch.zeros(len(keep)), conditional=conditional)
    assert isinstance(inside, Trust) and inside.conditional is None
    alone = assess_trust(score, wrong, 3, outside=outside, threshold=None)
    assert isinstance(alone, Trust) and alone.level == "limited"


def test_removal_order_tells_a_good_list_from_a_shuffled_one() -> None:
    score = lambda keep: keep.double() @ WEIGHTS  # noqa: E731
    good, bad, none = (removal_order_z(score, r) for r in (WEIGHTS, -WEIGHTS, WEIGHTS.roll(5)))
    assert good is not None and bad is not None and none is not None
    assert good > 2 and bad == pytest.approx(-good) and none < good
    assert removal_order_z(lambda keep: torch.ones(len(keep)), WEIGHTS) is None
    found = assess_trust(score, WEIGHTS, 10, order=True)
    assert isinstance(found, Trust) and found.order == pytest.approx(good)
    best = {"ceiling": 1.0, "ratio": 1.0, "beaten": 1.0}
    assert judge(load_limits(), **best, order=1.5) == ("do not rely", "order")


@settings(max_examples=30, deadline=None)
@given(order=st.permutations(range(10)), seed=st.integers(0, 2**31), exact=st.sampled_from([0, 12]))
def test_a_linear_model_is_strong_whatever_the_order_of_rows_and_features(order, seed, exact) -> None:
    """Its own weights against the mean of a reference, with grouping, places and baselines as the tool has them."""
    generator = torch.Generator().manual_seed(3)
    reference = torch.randn(200, 10, generator=generator, dtype=torch.float64)[
        torch.randperm(200, generator=torch.Generator().manual_seed(seed))
    ][:, list(order)]
    weights = WEIGHTS[list(order)]
    x = torch.full((10,), 1.5, dtype=torch.float64)
    mean, other = reference.mean(0), reference[:100].mean(0)
    listed = weights * (x - mean)
    found = assess_trust(
        lambda keep: torch.where(keep, x, mean) @ weights,
        listed,
        10,
        seed,
        grouping=correlated(reference, torch.arange(10), 0.9),
        outside=lambda keep: torch.zeros(len(keep)),
        baselines={"half": weights * (x - other)},
        exact=exact,
    )
    assert isinstance(found, Trust) and found.level == "strong"


@pytest.mark.parametrize("kind", ["random", "negated", "shuffled"])
def test_spoilt_lists_are_refused_at_a_stated_rate_on_a_curved_model(kind: str) -> None:
    """Twelve inputs, pairs that act together; a spoilt list that by luck lies near the truth is not counted."""
    refused = spoilt = 0
    for seed in range(40):
        generator = torch.Generator().manual_seed(seed)
        single = torch.randn(12, generator=generator, dtype=torch.float64)
        pair = 0.5 * torch.randn(12, 12, generator=generator, dtype=torch.float64).triu(1)

        def score(keep: torch.Tensor, single=single, pair=pair) -> torch.Tensor:
            k = keep.double()
            return k @ single + ((k @ pair) * k).sum(1)

        truth = exact_shapley(score, 12)
        listed = {
            "random": torch.randn(12, generator=generator, dtype=torch.float64),
            "negated": -truth,
            "shuffled": truth.roll(1 + seed % 11),
        }[kind]
        if float(torch.cosine_similarity(listed, truth, dim=0)) >= 0.7:
            continue
        spoilt += 1
        found = assess_trust(score, listed, 12, seed)
        refused += found.level == "do not rely"
        assert found.level not in ("strong", "fair")
    assert spoilt >= 35 and refused == spoilt


def test_nothing_is_a_number_where_there_is_nothing_to_measure() -> None:
    one = torch.ones(4)
    for score, listed in (
        (lambda keep: torch.full((len(keep),), float("nan")), one),
        (lambda keep: torch.ones(len(keep)), one),
        (lambda keep: keep.sum(1).double(), torch.zeros(4)),
    ):
        found = assess_trust(score, listed, 4, baselines={"b": one}, outside=lambda k: torch.ones(len(k)), order=True)
        assert isinstance(found, Undetermined)
        assert not any(isinstance(v, int | float) for v in vars(found).values())
    with pytest.raises(ValueError, match="two rows"):
        Manifold(torch.ones(1, 3))
    constant = Manifold(torch.ones(5, 3))
    assert constant.outside(torch.tensor([[1.0, 1.0, 1.0], [1.0, 1.0, 2.0]])).tolist() == [False, True]
    assert neighbours(1).blocks == 1


def test_thresholds_of_a_user_are_read_or_refused_with_the_key(tmp_path: Path) -> None:
    text = (Path(__file__).parent.parent / SHIPPED).read_text(encoding="utf-8")
    path = tmp_path / "levels.toml"
    path.write_text(text.replace("strong = 0.95", "strong = 0.97"), encoding="utf-8")
    assert read_limits(path).fidelity["strong"] == 0.97
    assert read_limits(path).sha256 != load_limits().sha256
    for old, new, words in (
        ("strong = 0.95", "strong = 0.85", "fidelity.strong is below fidelity.fair"),
        ("strong = 0.95", "strong = 1.95", "fidelity.strong must be a number"),
        ("strong = 0.95", "strong = nan", "fidelity.strong must be a number"),
        ("strong = 0.95", 'strong = "high"', "fidelity.strong must be a number"),
        ("floor = 0.2", "flor = 0.2", "[ceiling] must have exactly"),
        ("[gap]", "[gaps]", "has no table [gap]"),
        ('schema = "xagent.levels/1"', 'schema = "other"', "schema is not"),
        ("[gap]", "[gap", "not valid TOML"),
    ):
        assert old in text
        with pytest.raises(ConfigurationFault) as fault:
            limits_of(text.replace(old, new), "mine.toml")
        assert words in str(fault.value) and "mine.toml" in str(fault.value)
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        read_limits(tmp_path / "absent.toml")
