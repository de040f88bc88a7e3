"""How often an ordinary row is called unusual, and an unusual one found: 50 features, fixed seeds."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray

from xagent.tools import _conformal as conformal
from xagent.tools._columns import Column
from xagent.tools._deviation_profile import Profile, fitted
from xagent.tools._population import Reference, Rows
from xagent.tools.deviation import ALPHA, MINIMUM_ROWS

Table = tuple[NDArray[np.float64], NDArray[np.object_]]
NUMBERS, LEVELS = 40, 10
REFERENCES, ASKED = 3, 500


def table(rng: np.random.Generator, n: int) -> Table:
    """Forty numbers in four groups that share 60 % of their variance, the first one skewed; ten with levels."""
    common = rng.normal(size=(n, 4))[:, np.arange(NUMBERS) % 4]
    numbers = np.sqrt(0.6) * common + np.sqrt(0.4) * rng.normal(size=(n, NUMBERS))
    numbers[:, 0] = np.exp(10 + 0.3 * numbers[:, 0])
    return numbers, rng.choice(["a", "b", "c", "d"], (n, LEVELS), p=[0.5, 0.3, 0.15, 0.05]).astype(object)


def rows(made: Table) -> Rows:
    numbers = [Column(f"x{i}", "numeric", made[0][:, i]) for i in range(NUMBERS)]
    levels = [Column(f"c{i}", "categorical", made[1][:, i]) for i in range(LEVELS)]
    return Rows(len(made[0]), (*numbers, *levels), None, "simulated")


def p_of(profile: Profile, asked: Rows) -> NDArray[np.float64]:
    """(n,) Bonferroni over the scores of each row."""
    assert profile.scorer is not None
    scores = profile.scorer.scores(asked)
    return np.asarray(
        np.minimum.reduce([conformal.p_values(profile.calibration[n], s) for n, s in scores.items()]) * len(scores)
    )


@pytest.fixture(scope="module")
def references() -> list[tuple[Profile, Table]]:
    found = []
    for seed in range(REFERENCES):
        made = table(np.random.default_rng([1, seed]), 4000)
        known = rows(made)
        found.append((fitted(Reference(known.columns, known, known.n, {}, None), seed, ALPHA, MINIMUM_ROWS), made))
    return found


def flagged(references: list[tuple[Profile, Table]], change: Callable[[Table, Table], None], n: int = ASKED) -> float:
    shares = []
    for seed, (profile, known) in enumerate(references):
        asked = table(np.random.default_rng([2, seed]), n)
        change(asked, known)
        shares.append((p_of(profile, rows(asked)) <= ALPHA).mean())
    return float(np.mean(shares))


def test_one_ordinary_row_in_a_hundred_is_flagged(references: list[tuple[Profile, Table]]) -> None:
    """9,000 rows and 2,000 calibration rows each: standard deviation of the rate below 0.2 points."""
    rate = flagged(references, lambda asked, known: None, n=3000)
    assert 0.004 <= rate <= 0.016


def beyond(asked: Table, known: Table) -> None:
    least, most = known[0][:, 7].min(), known[0][:, 7].max()
    asked[0][:, 7] = most + 0.3 * (most - least)


def novel(asked: Table, known: Table) -> None:
    asked[1][:, 3] = "a level that nobody saw"


def times_ten(asked: Table, known: Table) -> None:
    asked[0][:, 0] *= 10


def ten_moved(asked: Table, known: Table) -> None:
    """Up or down by chance, as ten separate faults would."""
    asked[0][:, 10:20] += 1.5 * np.random.default_rng(9).choice([-1, 1], (len(asked[0]), 10))


@pytest.mark.parametrize(("change", "least"), [(beyond, 0.99), (novel, 0.99), (times_ten, 0.99), (ten_moved, 0.85)])
def test_unusual_rows_are_found(
    references: list[tuple[Profile, Table]], change: Callable[[Table, Table], None], least: float
) -> None:
    assert flagged(references, change) >= least


@pytest.mark.parametrize("n", [60, 400, 4000])
def test_p_is_valid_at_every_level_and_never_too_small(n: int) -> None:
    """P(p <= a) <= a: 8 references of n rows, 250 rows each."""
    found = []
    for seed in range(8):
        known = rows(table(np.random.default_rng([3, seed]), n))
        profile = fitted(Reference(known.columns, known, n, {}, None), seed, ALPHA, MINIMUM_ROWS)
        p = p_of(profile, rows(table(np.random.default_rng([4, seed]), 250)))
        held = len(next(iter(profile.calibration.values())))
        assert p.min() >= 3 / (held + 1) - 1e-12
        found.append(p)
    p = np.concatenate(found)
    for level in (0.05, 0.1, 0.2):
        assert (p <= level).mean() <= level + 0.025
