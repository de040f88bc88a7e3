"""The template narrator: whatever the ledger, what it says is verified, complete and readable by its reader."""

from __future__ import annotations

import re
from typing import Any

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st
from narrative_samples import (
    AREAS,
    CREDIT,
    Feature,
    decision_claims,
    driver_claims,
    every_finding,
    ledger_of,
    process_claims,
    replaced,
    simple,
    without,
)
from readability import grades

from xagent.evidence import Claim, Finding, Ledger
from xagent.narrative import Narrative, Sentence, compose, default_policy, format_claim, render_value, verify
from xagent.personas import languages, load_persona, persona_names

KINDS = ("tabular", "text", "image", "regression")
PERSONAS = [load_persona(name) for name in persona_names()]
READERS = [load_persona(name, language) for language in languages() for name in persona_names()]
STATES = st.sampled_from(["ok", "deviation", "cannot tell", "not supplied", None])

numbers = st.floats(min_value=-1e12, max_value=1e12, allow_nan=False).map(lambda x: x + 0.0)
effects = st.floats(min_value=-50, max_value=50, allow_nan=False).map(lambda x: x + 0.0)
names = st.text(min_size=1, max_size=80)
units = st.sampled_from([None, "EUR", "% of income", "years", "°C", "kg/m²"])


@st.composite
def features(draw: st.DrawFn, kind: str) -> list[Feature]:
    count = draw(st.integers(1, 7))
    if kind == "image":
        cells = draw(
            st.lists(st.tuples(st.integers(1, 9), st.integers(1, 9)), min_size=count, max_size=count, unique=True)
        )
        return [Feature(f"cell.{r}.{c}", f"row {r}, column {c}", draw(effects)) for r, c in cells]
    if kind == "text":
        return [Feature(f"word.{i}", draw(names), draw(effects)) for i in range(1, count + 1)]
    found = []
    for i in range(count):
        value: Any = draw(numbers | st.integers(-99, 10**9) | names)
        typical: Any = draw(names if isinstance(value, str) else numbers | st.integers(-99, 10**9))
        decimals = draw(st.none() | st.integers(0, 3))
        found.append(Feature(f"f{i}", draw(names), draw(effects), value, typical, draw(units), decimals))
    return found


@st.composite
def ledgers(draw: st.DrawFn) -> Ledger:
    """Any prediction of any modality, with any of the four states and with claims missing."""
    kind = draw(st.sampled_from(KINDS))
    score, threshold = draw(st.floats(0, 1)), draw(st.none() | st.floats(0, 1))
    if kind == "regression":
        score, threshold = draw(numbers), draw(st.none() | numbers)
    population = draw(st.none() | names)
    drivers = driver_claims(draw(features("tabular" if kind == "regression" else kind)), population)
    ledger = Ledger([*decision_claims(score, threshold, regression=kind == "regression"), *drivers, *process_claims()])
    ledger = without(ledger, "reference.name")
    if population is not None:
        ledger = replaced(ledger, Claim(id="reference.name", kind="text", value=population, artifact="case"))
    for key in (
        "deviation.state",
        "drift.state",
        "telemetry.state",
        "reproduction.state",
        "trust.level",
        "model.hash_state",
    ):
        state = draw(st.sampled_from(["strong", "fair", "limited", None]) if key == "trust.level" else STATES)
        state = "ok" if key == "reproduction.state" and state == "deviation" else state
        ledger = without(ledger, key) if state is None else replaced(ledger, *simple({key: state}))
    return without(ledger, *draw(st.lists(st.sampled_from(["trust.", "telemetry.", "drift.", "case.id", "window"]))))


@settings(max_examples=120, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ledgers(), st.sampled_from(READERS))
def test_whatever_the_ledger_the_narrative_verifies(ledger: Ledger, persona: Any) -> None:
    """And every digit lies in what a token prints."""
    narrative = compose(ledger, [], persona)
    assert verify(narrative, ledger, persona, []) == []
    assert compose(ledger, [], persona) == narrative
    for sentence in narrative.sentences():
        literals = re.split(r"⟦[^⟦⟧]+⟧", sentence.frame)
        assert not re.search(r"\d", "".join(literals))
        assert printed(sentence, [token.text for token in sentence.tokens]) == sentence.text
        assert not any(c in sentence.text for c in "\u202e\u202d\u2066\x00\n\u200b")
        sentence.text.encode("utf-8")


def printed(sentence: Sentence, tokens: list[str]) -> str:
    literals = re.split(r"⟦[^⟦⟧]+⟧", sentence.frame)
    return literals[0] + "".join(text + after for text, after in zip(tokens, literals[1:], strict=True))


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(ledgers(), st.sampled_from(READERS), st.data())
def test_whatever_the_ledger_a_token_that_says_something_else_is_found(
    ledger: Ledger, persona: Any, data: st.DataObject
) -> None:
    """A character of one token changed, in text and list alike."""
    narrative = compose(ledger, [], persona)
    places = [(n, i) for n, part in enumerate(narrative.sections) for i, s in enumerate(part.sentences) if s.tokens]
    n, i = data.draw(st.sampled_from(places))
    sentence = narrative.sections[n].sentences[i]
    index = data.draw(st.integers(0, len(sentence.tokens) - 1))
    texts = [token.text for token in sentence.tokens]
    at = data.draw(st.integers(0, max(0, len(texts[index]) - 1)))
    more = data.draw(st.sampled_from(["", *"0123456789axZ−+%., ４\u0430"]))
    told = texts[index][:at] + more + texts[index][at + data.draw(st.integers(0, 1)) :]
    assume(told != texts[index])
    texts[index] = told
    tokens = [t.model_copy(update={"text": text}) for t, text in zip(sentence.tokens, texts, strict=True)]
    changed = sentence.model_copy(update={"text": printed(sentence, texts), "tokens": tuple(tokens)})
    part = narrative.sections[n]
    part = part.model_copy(update={"sentences": (*part.sentences[:i], changed, *part.sentences[i + 1 :])})
    bad = narrative.model_copy(update={"sections": (*narrative.sections[:n], part, *narrative.sections[n + 1 :])})
    assert {p.kind for p in verify(bad, ledger, persona, [])} & {"value", "text"}


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda p: p.name)
@pytest.mark.parametrize("kind", KINDS)
def test_samples_verify_and_survive_json(kind: str, persona: Any) -> None:
    ledger = ledger_of(kind)
    narrative = compose(ledger, [], persona)
    assert verify(narrative, ledger, persona, []) == []
    assert Narrative.model_validate(narrative.public()) == narrative
    assert [section.id for section in narrative.sections] == [section.id for section in persona.sections]


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda p: p.name)
def test_every_finding_has_words_and_warnings_come_first(persona: Any) -> None:
    ledger, findings = every_finding()
    narrative = compose(ledger, findings, persona)
    assert verify(narrative, ledger, persona, findings) == []
    assert {text.finding for text in (*narrative.warnings, *narrative.findings)} == {f.id for f in findings}
    assert narrative.warnings[0].severity == "stop"
    other = [t for t in narrative.warnings if "found something that a person" in t.sentence.text]
    assert [t.finding for t in other] == ["of.a-plug-in"]


@pytest.mark.parametrize("persona", PERSONAS, ids=lambda p: p.name)
def test_an_explanation_that_failed_its_tests_gives_no_reasons(persona: Any) -> None:
    ledger = replaced(ledger_of(), *simple({"trust.level": "do not rely"}))
    roles = {"level": "trust.level", "weakest": "trust.weakest"}
    findings = [Finding(id="trust.do-not-rely", kind="trust.do-not-rely", severity="stop", claims=roles)]
    narrative = compose(ledger, findings, persona)
    assert verify(narrative, ledger, persona, findings) == []
    assert not any(a.kind == "direction" for s in narrative.sentences() for a in s.assertions)
    handed = "Hand this case to a person", "You can ask that a person decides your case and gives you the reasons"
    assert any(words in _text(narrative) for words in handed)
    assert "drivers" not in {figure.id for figure in narrative.figures}


def test_no_evidence_against_is_said() -> None:
    ledger = Ledger([*decision_claims(), *driver_claims([f for f in CREDIT if f.effect > 0]), *process_claims()])
    narrative = compose(ledger, [], load_persona("business_user"))
    assert "No input spoke against this answer." in _text(narrative)
    assert verify(narrative, ledger, load_persona("business_user")) == []


def test_an_image_names_at_most_four_areas_and_points_to_the_heat_map() -> None:
    narrative = compose(ledger_of("image"), [], load_persona("regulator"))
    areas = [s for s in _sentences(narrative, "factors") if "area at" in s.text]
    assert len(areas) == 4 < len(AREAS)
    assert any("counted against" in s.text for s in areas)
    assert "heat map shows every area" in _text(narrative)


@pytest.mark.parametrize("kind", KINDS)
def test_business_text_is_plain(kind: str) -> None:
    text = _text(compose(ledger_of(kind), [], load_persona("business_user")))
    assert max(grades(text)) <= 9
    assert not re.search(r"shap|log-odds|logit|relevance|attribution|p-value", text, re.IGNORECASE)
    assert len(text.split()) < 450


def test_what_is_missing_is_said() -> None:
    ledger = replaced(without(ledger_of(), "drift", "trust"), *simple({"deviation.state": "not supplied"}))
    text = _text(compose(ledger, [], load_persona("business_user")))
    assert "Drift was not checked." in text
    assert "No known cases were supplied" in text
    assert "It was not tested how far this explanation can be trusted." in text


def test_a_hidden_claim_is_not_told() -> None:
    ledger = ledger_of()
    secret = ledger["relevance.driver.1.value"].model_copy(update={"visibility": "regulator"})
    ledger = replaced(ledger, secret)
    assert "46% of income" not in _text(compose(ledger, [], load_persona("business_user")))
    assert "46% of income" in _text(compose(ledger, [], load_persona("regulator")))


@pytest.mark.parametrize(
    ("value", "more", "policy", "text"),
    [
        (0.125, {"scale": "probability"}, "percent(0)", "12%"),
        (0.135, {"scale": "probability"}, "percent(0)", "14%"),
        (2.5, {}, "round(0)", "2"),
        (-0.04, {}, "round(1)", "0.0"),
        (-1234.5, {"unit": "EUR"}, "round(1)", "−1,234.5 EUR"),
        (0.5, {}, "signed(1)", "+0.5"),
        (-0.123, {"scale": "points"}, "points(1)", "12.3 percentage points"),
        (0.01, {"scale": "points"}, "points(0)", "1 percentage point"),
        (3.14e-9, {}, "sci(1)", "3.1e−9"),
        (200_000, {"scale": "seconds"}, "duration", "2 days 8 hours"),
        (59.97, {"scale": "seconds"}, "duration", "1 minute"),
        ("2026-11-20T23:30:00-05:00", {"kind": "time"}, "time", "21 November 2026 at 04:30 UTC"),
        ("a\u202eb\u0000\n<b>{{x}}⟦y⟧", {"kind": "text"}, "name", "ab <b>{{x}}[y]"),
        ("שלום", {"kind": "text"}, "name", "\u2068שלום\u2069"),
        ("x" * 61, {"kind": "text"}, "name", "x" * 59 + "…"),
        ("", {"kind": "text"}, "name", "(empty)"),
    ],
)
def test_rendering(value: Any, more: dict[str, Any], policy: str, text: str) -> None:
    claim = Claim(**({"id": "a.b", "kind": "value", "artifact": "t", "value": value} | more))
    assert render_value(claim, policy) == text


def test_table_cells_carry_their_sign_and_small_things_do_not_look_like_nothing() -> None:
    persona = load_persona("business_user")
    ledger = ledger_of()
    assert format_claim(ledger["decision.margin"], None, persona) == "+12 percentage points"
    small = Claim(id="s.share", kind="share", value=0.0004, scale="share", artifact="t")
    assert render_value(small, default_policy(small, persona)) == "0.04%"
    near = decision_claims(0.502, 0.5)
    text = _text(compose(Ledger([*near, *driver_claims(CREDIT), *process_claims()]), [], persona))
    assert "0.2 percentage points above the limit" in text


def _sentences(narrative: Narrative, section: str) -> list[Sentence]:
    return [s for part in narrative.sections if part.id == section for s in part.sentences]


def _text(narrative: Narrative) -> str:
    return " ".join(
        [w.sentence.text for w in narrative.warnings] + [s.text for part in narrative.sections for s in part.sentences]
    )
