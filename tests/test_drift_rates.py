"""How often a window without drift is flagged, and one with drift found: 50 features, fixed seeds, against oracles."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray
from scipy.stats import ks_2samp, wasserstein_distance

from xagent.tools import _drift_joint as joints
from xagent.tools import _stats
from xagent.tools._columns import Column
from xagent.tools._drift_features import LEVEL
from xagent.tools._drift_onset import onset_of, sub_windows

FEATURES, KNOWN = 50, 10_000


def flags(reference: NDArray[np.float64], window: NDArray[np.float64]) -> NDArray[np.bool_]:
    """(features,) what a report flags; both (features, n), rows in rising order."""
    tests = [_stats.test_numbers(a, b) for a, b in zip(reference, window, strict=True)]
    p = _stats.adjusted([t.p for t in tests])
    return np.array([q <= LEVEL and t.effect >= t.floor for t, q in zip(tests, p, strict=True)])


@pytest.mark.parametrize(("rows", "most", "least"), [(50, 0.12, 0.0), (200, 0.12, 0.55), (1000, 0.02, 0.97)])
def test_few_false_flags_and_a_shift_of_a_third_of_a_deviation_found(rows: int, most: float, least: float) -> None:
    """100 reports; a reference of its own for every tenth. Recall is of three features moved by 0.3."""
    rng = np.random.default_rng(5)
    wrong, found = 0, []
    for report in range(100):
        if report % 10 == 0:
            reference = np.sort(rng.normal(size=(FEATURES, KNOWN)), axis=1)
        window = np.sort(rng.normal(size=(FEATURES, rows)), axis=1)
        wrong += bool(flags(reference, window).any())
        window[:3] += 0.3
        found.append(flags(reference, window)[:3].mean())
    assert wrong / 100 <= most
    assert np.mean(found) >= least


@settings(max_examples=80)
@given(
    st.lists(st.integers(-20, 20), min_size=2, max_size=60),
    st.lists(st.integers(-20, 20), min_size=2, max_size=60),
    st.sampled_from([1.0, 0.1, 1e6]),
)
def test_distances_are_those_of_scipy(before: list[int], after: list[int], unit: float) -> None:
    known, recent = np.sort(np.array(before) * unit), np.sort(np.array(after) * unit)
    oracle = ks_2samp(known, recent, method="asymp")
    test = _stats.test_numbers(known, recent)
    assert test.effect == pytest.approx(float(oracle.statistic), abs=1e-12)
    assert test.p == pytest.approx(max(float(oracle.pvalue), 1e-300), rel=1e-9)
    expected, spread = float(wasserstein_distance(known, recent)), float(np.std(known))
    found = _stats.wasserstein(known, recent)
    assert (found is None) == (spread == 0)
    if found is not None:
        assert found == pytest.approx(expected / spread, rel=1e-9, abs=1e-9)


def test_the_stability_index_has_no_band_where_chance_reaches_it() -> None:
    rng = np.random.default_rng(6)
    reference = np.sort(rng.normal(size=KNOWN))
    bands = {100: (None, "0.25 or more"), 200: ("below 0.1", "0.1 to 0.25"), 1000: ("below 0.1",)}
    highest = {}
    for rows, allowed in bands.items():
        found = [_stats.stability_index(reference, np.sort(rng.normal(size=rows))) for _ in range(100)]
        highest[rows] = max(index[0] for index in found if index)
        assert all(index and _stats.stability_band(index[0], rows) in allowed for index in found)
    assert highest[100] > 0.1 > highest[1000]
    moved = _stats.stability_index(reference, np.sort(rng.normal(1, 1, size=1000)))
    assert moved is not None and _stats.stability_band(moved[0], 1000) == "0.25 or more"


# Telling two samples apart


def test_a_classifier_without_anything_to_find_is_at_chance() -> None:
    """60 pairs of samples: at most 1 % of p at most 0.01, with room for two more; the area is never printed alone."""
    rng = np.random.default_rng(7)
    found = [
        joints.separated(rng.normal(size=(120, 8)), rng.normal(size=(120, 8)), seed, squares=True) for seed in range(60)
    ]
    assert sum(f.p <= joints.ALPHA for f in found) <= 3
    assert all(f.p >= f.resolution for f in found)
    assert abs(np.mean([f.chance for f in found]) - 0.5) < 0.05
    assert 0.3 < np.mean([f.p for f in found]) < 0.7


def test_a_broken_correlation_is_seen_by_products_alone() -> None:
    rng = np.random.default_rng(8)
    common = rng.normal(size=(300, 1))
    known = 0.9 * common + 0.44 * rng.normal(size=(300, 6))
    apart = rng.normal(size=(300, 6))
    assert joints.separated(known, apart, 0, squares=True).auc > 0.8
    assert joints.separated(known, apart, 0, squares=False).auc < 0.6
    moved = joints.separated(known, known + 0.8, 0, squares=False)
    assert moved.auc > joints.AUC_FLOOR and moved.p == moved.resolution


# When it began


def numbers(values: NDArray[np.float64]) -> Column:
    return Column("x", "numeric", values)


@pytest.mark.parametrize("began", [0, 300, 700])
@pytest.mark.parametrize("kind", ["mean", "spread", "missing", "levels"])
def test_the_onset_is_found(began: int, kind: str) -> None:
    rng = np.random.default_rng(10)
    late = np.arange(1000) >= began
    if kind == "levels":
        known = Column("x", "categorical", rng.choice(["a", "b"], 4000, p=[0.8, 0.2]).astype(object))
        changed = rng.choice(["a", "b", "c"], 1000, p=[0.5, 0.3, 0.2])
        after = Column(
            "x", "categorical", np.where(late, changed, rng.choice(["a", "b"], 1000, p=[0.8, 0.2])).astype(object)
        )
    else:
        known, drawn = numbers(rng.normal(size=4000)), rng.normal(size=1000)
        changed = {"mean": drawn + 1, "spread": drawn * 2.5, "missing": np.where(rng.random(1000) < 0.4, np.nan, drawn)}
        after = numbers(np.where(late, changed[kind], drawn))
    mixed = rng.permutation(1000)  # the file is out of order, the times are not
    order, stamps = np.argsort(mixed), [f"t{i}" for i in range(1000)]
    found = onset_of(known, after.take(mixed), order, stamps)
    assert found is not None
    assert abs(found.row - began) <= 40
    assert abs(found.sub_window - (began // 100 + 1)) <= 1
    assert found.at == f"t{found.row}"
    assert len(found.effects) == 10


def test_short_windows_have_no_time_line() -> None:
    assert [sub_windows(n) for n in (0, 1, 99, 100, 499, 10**6)] == [0, 0, 0, 2, 9, 10]
    column = numbers(np.zeros(99))
    assert onset_of(column, column, np.arange(99), None) is None
