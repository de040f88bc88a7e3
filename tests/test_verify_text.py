"""Prose that somebody else wrote: figures in every format, names, signs, order; what no claim measures is said so."""

from __future__ import annotations

from fractions import Fraction

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrative_samples import ledger_of, replaced

from xagent.errors import ConfigurationFault
from xagent.evidence import Claim, Ledger
from xagent.narrative import Statement, compose, verify_text
from xagent.narrative._free_text_data import prose
from xagent.narrative._free_text_figures import figures, plain
from xagent.personas import load_persona, persona_names

LEDGER = ledger_of()


def found(text: str, kind: str, ledger: Ledger = LEDGER) -> list[str]:
    return [s.status for s in verify_text(text, ledger) if s.kind == kind]


@pytest.mark.parametrize(
    ("text", "value", "unit"),
    [
        (".9", "0.9", ""),
        ("1.2k", "1200", ""),
        ("1,234.5", "1234.5", ""),
        ("12 %", "12", "percent"),
        ("−3.5", "-3.5", ""),
        ("forty-six percent", "46", "percent"),
        ("one hundred and seventy-one months", "171", "time"),
        ("two thirds", "2/3", "fraction"),
        ("3.1e-9", "31/10000000000", ""),
        ("4.5 x 10^3", "4500", ""),
        ("€2,780", "2780", "EUR"),
        ("EUR 2,780", "2780", "EUR"),
        ("2780 euros", "2780", "EUR"),
        ("12 percentage points", "12", "points"),
        ("12 pp", "12", "points"),
        ("６２％", "62", "percent"),
        ("٤٦", "46", ""),
        ("½", "1/2", "fraction"),
        ("0.61 log-odds", "0.61", "odds"),
        ("17 minutes 3 seconds", "1023", "time"),
        ("1 234", "1234", ""),
        ("4\u200b6", "46", ""),
        ("2 million", "2000000", ""),
        ("0,62", "0.62", ""),
    ],
)
def test_a_figure_in_any_format(text: str, value: str, unit: str) -> None:
    (figure,) = figures(plain(text), prose().raw, ())
    seconds = figure.value * figure.seconds if figure.text.endswith("seconds") else figure.value
    assert (seconds, figure.unit) == (Fraction(value), unit)


@pytest.mark.parametrize(
    ("text", "kind", "status"),
    [
        ("Debt payments of 46% of income raised the risk.", "sign", "supported"),
        ("Debt payments of 46% of income lowered the risk.", "sign", "contradicted"),
        ("Debt payments did not speak for Declined.", "sign", "contradicted"),
        ("Debt payments spoke for Approved.", "sign", "contradicted"),
        ("Income spoke for Approved.", "sign", "supported"),
        ("Debt payments were 46% of income.", "value", "supported"),
        ("Debt payments were 46 EUR.", "value", "contradicted"),
        ("Debt payments were 64% of income.", "value", "contradicted"),
        ("Income was 52k EUR.", "value", "supported"),
        ("Income was 5.2k EUR.", "value", "contradicted"),
        ("The score is 62%.", "value", "supported"),
        ("The score is 0.62.", "value", "supported"),
        ("The score is 62 percentage points.", "value", "contradicted"),
        ("The score is 0.62 log-odds.", "value", "contradicted"),
        ("The threshold is 50%.", "threshold", "supported"),
        ("The threshold is 55%.", "threshold", "contradicted"),
        ("The score is below the threshold.", "threshold", "contradicted"),
        ("The score lies 12 percentage points above the limit.", "value", "supported"),
        ("A third of the weight came from debt payments.", "value", "supported"),
        ("Debt payments spoke for Declined, with a large part of the weight.", "value", "supported"),
        ("Debt payments spoke for Declined, with a small part of the weight.", "value", "contradicted"),
        ("Points that spoke for it have more than half of the weight.", "value", "supported"),
        ("Points that spoke against it have over half of the weight.", "value", "contradicted"),
        ("The most important input was debt payments.", "order", "supported"),
        ("The most important input was savings.", "order", "contradicted"),
        ("The strongest factor against Declined was income.", "order", "supported"),
        ("Income ranks second.", "order", "supported"),
        ("Income ranks third.", "order", "contradicted"),
        ("Income outweighed savings.", "order", "supported"),
        ("Savings outweighed income.", "order", "contradicted"),
        ("Income is higher than the usual 41,000 EUR.", "comparison", "supported"),
        ("Income is lower than the usual 41,000 EUR.", "comparison", "contradicted"),
        ("Age of the account is above the typical 6.5 years among recent inputs.", "population", "contradicted"),
        ("Purpose was home.", "category", "contradicted"),
        ("The value of purpose is “car”.", "category", "supported"),
        ("The model’s answer is Approved.", "category", "contradicted"),
        ("Applicant P-18 asked for a review.", "subject", "contradicted"),
        ("Income caused the outcome.", "causal", "unverifiable"),
        ("The outcome is clearly Declined.", "hedge", "unverifiable"),
        ("Blood pressure spoke against Declined.", "name", "contradicted"),
        ("The recent inputs have drifted.", "state", "contradicted"),
        ("The explanation passed its tests only in part.", "state", "contradicted"),
        ("Recorded on 20 November 2026.", "time", "supported"),
        ("Recorded on 21 November 2026.", "time", "contradicted"),
        (f"Model file: {'ab' * 31}ba.", "hash", "contradicted"),
    ],
)  # fmt: skip
def test_what_a_sentence_says(text: str, kind: str, status: str) -> None:
    assert found(text, kind) == [status], verify_text(text, LEDGER)


def test_an_input_that_outweighs_one_that_is_told_is_missed() -> None:
    text = "Late payments in the last year spoke for Declined. Income spoke against it."
    (omission,) = [s for s in verify_text(text, LEDGER) if s.kind == "omission"]
    assert omission.text == "debt_ratio" and omission.status == "unverifiable"


def test_other_names_and_hidden_claims() -> None:
    text = "Wages spoke for Declined."
    assert found(text, "sign") == []
    assert [s.status for s in verify_text(text, LEDGER, aliases={"income": "wages"}) if s.kind == "sign"] == [
        "contradicted"
    ]
    hidden = replaced(LEDGER, LEDGER["decision.threshold"].model_copy(update={"visibility": "regulator"}))
    for reader, status in (("business_user", "unverifiable"), ("regulator", "supported")):
        statements = verify_text("The threshold is 50%.", hidden, load_persona(reader))
        assert [s.status for s in statements] == [status]


def test_a_language_without_rules_and_a_text_without_end_are_refused() -> None:
    with pytest.raises(ConfigurationFault):
        prose("xx")
    with pytest.raises(ValueError, match="200000"):
        verify_text("a" * 200_001, LEDGER)


@pytest.mark.parametrize("kind", ["tabular", "text", "image", "regression"])
@pytest.mark.parametrize("reader", persona_names())
def test_our_own_text_is_supported_in_every_statement(kind: str, reader: str) -> None:
    ledger, persona = ledger_of(kind), load_persona(reader)
    text = "\n".join(s.text for s in compose(ledger, [], persona).sentences() if not s.id.startswith("figure."))
    wrong = [s for s in verify_text(text, ledger, persona) if s.status != "supported"]
    assert wrong == []


@settings(max_examples=150, deadline=None)
@given(st.text(max_size=200))
def test_any_text_is_read_to_the_end_and_alike_each_time(text: str) -> None:
    first = verify_text(text, LEDGER)
    assert first == verify_text(text, LEDGER)
    assert all(isinstance(s, Statement) and s.why for s in first)


@settings(max_examples=60, deadline=None)
@given(st.floats(0.01, 0.99).map(lambda x: round(x, 4)), st.integers(0, 2))
def test_a_rounded_score_is_supported_and_another_is_not(score: float, digits: int) -> None:
    claim = Claim(id="decision.score", kind="value", value=score, scale="probability", subject="P-17", artifact="case")
    ledger = Ledger([claim])
    percent = round(Fraction(repr(score)) * 100, digits)
    assert found(f"The score is {float(percent):.{digits}f}%.", "value", ledger) == ["supported"]
    assert found(f"The score is {float(percent) + 2:.{digits}f}%.", "value", ledger) == ["contradicted"]
