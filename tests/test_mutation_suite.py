"""The published benchmark of the verifier, reduced: no lie of the first eleven classes passes, honest words do."""

from __future__ import annotations

import pytest

from benchmarks.narratives._ledgers import of_generated
from benchmarks.narratives._mutants import CLASSES, MUST
from benchmarks.narratives._naive import naive
from benchmarks.narratives.agreement import agreement
from benchmarks.narratives.mutations import Matrix, holds, measure, table


@pytest.fixture(scope="module")
def matrix() -> Matrix:
    """Five readers; other seeds than those that the rules were written against."""
    return measure(of_generated(range(700, 705)), seed=7, each=2, honest=2)


def test_every_lie_is_found_at_token_level(matrix: Matrix) -> None:
    assert len(CLASSES) == 14 and MUST == 11
    for number in range(1, len(CLASSES) + 1):
        assert matrix.made[number] >= 6, CLASSES[number - 1]
        assert matrix.found["verifier"][number] == matrix.made[number], CLASSES[number - 1]
    assert holds(matrix)


def test_honest_words_raise_no_alarm(matrix: Matrix) -> None:
    assert matrix.honest["tokens"] >= 10 and matrix.honest["prose"] >= 50
    assert not matrix.false


def test_rules_find_in_prose_what_numbers_alone_do_not(matrix: Matrix) -> None:
    ours, theirs = matrix.found["verify_text, not supported"], matrix.found["numbers within 10 %"]
    for number in (1, 4, 5, 9, 12, 13, 14):
        assert ours[number] > theirs[number], CLASSES[number - 1]
    assert "| 14 wrong comparison population |" in table(matrix)


@pytest.mark.parametrize("inverted", [False, True])
def test_rank_sign_and_value_are_read_back_from_the_text(inverted: bool) -> None:
    for reader in ("business_user", "data_scientist"):
        score = agreement(2, 8, reader, 50, inverted=inverted)
        assert score.inputs == score.rank == score.sign == score.value == 16
        assert score.corrected == 0


def test_naive_matching_is_what_the_table_says_it_is() -> None:
    ledger = of_generated(range(3, 4))[0].ledger
    value = float(ledger["decision.score"].value or 0)
    assert not naive(f"The score is {value * 108:.1f}%.", ledger, 0.25)
    assert naive("The score is 123456789.", ledger, 0.25)
