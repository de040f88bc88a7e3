"""What a persona withholds, coarsens and renames: narrators honour it, the verifier enforces it, reports keep it."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrative_samples import every_finding, ledger_of, replaced, simple
from test_report_sample import artifacts, report

from xagent.evidence import Claim, Ledger
from xagent.narrative import Narrative, Sentence, Token, compose, verify
from xagent.personas import Persona, load_persona, persona_names, visible_claims
from xagent.report import verify_report

CUSTOMER = load_persona("customer")
BUSINESS = load_persona("business_user")
TOP = "relevance.driver.1"


def own(**changes: Any) -> Persona:
    """The business user with other rules, under a name of their own."""
    return Persona.model_validate({**BUSINESS.public(), "name": "desk", **changes})


def text(narrative: Narrative) -> str:
    return " ".join(sentence.text for sentence in narrative.sentences())


def kinds(narrative: Narrative, ledger: Ledger, persona: Persona) -> set[str]:
    return {problem.kind for problem in verify(narrative, ledger, persona)}


def with_sentence(narrative: Narrative, sentence: Sentence) -> Narrative:
    first, *rest = narrative.sections
    first = first.model_copy(update={"sentences": (*first.sentences, sentence)})
    return narrative.model_copy(update={"sections": (first, *rest)})


def sensitive(proxy: bool = False) -> Ledger:
    part = {"id": "feature.debt_ratio.proxy_for", "kind": "text", "value": "ethnic origin"}
    if not proxy:
        part = {"id": "feature.debt_ratio.sensitive", "kind": "category", "value": "yes"}
    return replaced(ledger_of(), Claim(**part, feature="debt_ratio", artifact="system_card"))


@pytest.mark.parametrize("proxy", [True, False])
def test_a_sensitive_input_is_named_and_its_value_is_not(proxy: bool) -> None:
    ledger = sensitive(proxy)
    seen = visible_claims(ledger, CUSTOMER)
    assert visible_claims(seen, CUSTOMER) == seen
    told = compose(ledger, [], CUSTOMER)
    assert "Debt payments spoke for “Declined”" in text(told)
    assert "46" not in text(told) and "ethnic" not in text(told)
    assert verify(told, ledger, CUSTOMER) == []
    assert "46% of income" in text(compose(ledger, [], BUSINESS))
    value = Token(claim="input.debt_ratio.value", policy="round(0)", text="46% of income")
    false = Sentence(
        id="x", frame=f"The value is ⟦{value.claim}|round(0)⟧.", text="The value is 46% of income.", tokens=(value,)
    )
    assert "hidden" in kinds(with_sentence(told, false), ledger, CUSTOMER)


def test_withheld_claims_are_nowhere_in_a_report() -> None:
    ledger, findings = every_finding()
    made = report("customer", list(ledger.values()), findings=findings)
    ids = {claim["id"] for claim in made.data["claims"]}
    assert not [key for key in ids if CUSTOMER.withholds(key)]
    assert "desk 4" not in made.json and "KeyError" not in made.html  # who changed it, and errors of the program
    smuggled = {
        **made.data,
        "claims": sorted([*made.data["claims"], ledger["model.sha256"].public()], key=lambda c: c["id"]),
    }
    assert ("hidden", "model.sha256") in {(p.kind, p.token) for p in verify_report(smuggled).problems}


@pytest.mark.parametrize("language", ["en", "de"])
def test_what_those_who_decide_do_next_is_not_told_to_the_person_concerned(language: str) -> None:
    ledger = replaced(ledger_of(), *simple({"decision.next_step": "Tell the applicant in writing"}))
    for name in persona_names():
        reader = load_persona(name, language)
        told = compose(ledger, [], reader)
        assert verify(told, ledger, reader) == []
        assert ("Tell the applicant in writing" in text(told)) == (name != "customer"), name


def test_what_is_withheld_is_not_said_to_be_missing() -> None:
    persona = own(required=[], disclosure={"withhold": ["confidence.*", "telemetry.*"]}, voice="technical")
    ledger = ledger_of()
    told = text(compose(ledger, [], persona))
    assert "not checked how sure" not in told and "process around the model was not checked" not in told
    lie = compose(ledger_of(), [], own(required=[], voice="technical"))
    sentence = next(s for s in lie.sentences() if "how sure the model itself is" in s.text)
    assert "hidden" in kinds(with_sentence(compose(ledger, [], persona), sentence), ledger, persona)


def test_unprinted_claims_back_words_and_are_refused_as_figures() -> None:
    persona = own(disclosure={"unprinted": [f"{TOP}.share"]}, voice="technical", required=[])
    ledger = ledger_of()
    told = compose(ledger, [], persona)
    assert f"{TOP}.share" not in {t.claim for s in told.sentences() for t in s.tokens}
    free = compose(ledger, [], own(voice="technical", required=[]))
    sentence = next(s for s in free.sentences() if any(t.claim == f"{TOP}.share" for t in s.tokens))
    assert "hidden" in kinds(with_sentence(told, sentence.model_copy(update={"id": "x"})), ledger, persona)


def test_a_figure_that_shall_be_coarse_is_refused_when_it_is_exact() -> None:
    persona = own(precision={"policies": {"relevance.*.share": "band", "decision.score": "percent(1)"}})
    ledger = ledger_of()
    told = compose(ledger, [], persona)
    assert verify(told, ledger, persona) == []
    assert "a large part of the weight" in text(told) and "62.0%" in text(told)
    exact = compose(ledger, [], own())
    assert "precision" in kinds(exact, ledger, persona)


def test_aliases_are_printed_read_back_and_refused_when_they_colour() -> None:
    persona = own(aliases={"debt_ratio": "what goes to debts", "income": "wages"})
    ledger = ledger_of()
    told = compose(ledger, [], persona)
    assert verify(told, ledger, persona) == []
    assert "What goes to debts spoke for" in text(told) and "Debt payments" not in text(told)
    assert "value" in kinds(compose(ledger, [], own()), ledger, persona)
    made = report("customer")
    assert made.data["persona"]["aliases"] == {}
    coloured = own(aliases={"income": "excellent wages"})
    assert "vocabulary" in kinds(compose(ledger, [], coloured), ledger, coloured)


def test_no_model_words_a_sentence_for_a_reader_who_gets_none() -> None:
    ledger = ledger_of()
    told = compose(ledger, [], CUSTOMER)
    first, *rest = told.sections
    worded = [s.model_copy(update={"author": "llm"}) for s in first.sentences]
    false = told.model_copy(update={"sections": (first.model_copy(update={"sentences": tuple(worded)}), *rest)})
    assert kinds(false, ledger, CUSTOMER) == {"persona"}


def test_what_a_language_model_is_given() -> None:
    assert CUSTOMER.given_to_llm("decision.score") == "nothing"
    open_ = own(redaction={"values": ["*"]})
    assert open_.given_to_llm("decision.score") == "value"
    assert open_.given_to_llm("input.debt_ratio.value") == open_.given_to_llm(f"{TOP}.value") == "band"
    inside = own(redaction={"values": ["*"], "inputs": True, "hide": ["telemetry.*"]})
    assert inside.given_to_llm("input.debt_ratio.value") == "value"
    assert inside.given_to_llm("telemetry.override.who") == "nothing"
    assert BUSINESS.given_to_llm("decision.score") == "band"


patterns = st.sampled_from(
    ["relevance.ledger.*", "drift.*", "telemetry.*", "trust.f*", "*.p", "model.*", "input.*", "deviation.calibration.n"]
)


@settings(max_examples=40, deadline=None)
@given(st.sampled_from(persona_names()), st.lists(patterns, max_size=4, unique=True), st.sampled_from(["show", "name"]))
def test_whatever_is_withheld_the_narrative_verifies_and_is_silent_about_it(
    name: str, withhold: list[str], sensitive_: str
) -> None:
    withhold = [pattern for pattern in withhold if pattern != "drift.*"] + ["drift.feature.*"] * ("drift.*" in withhold)
    base = load_persona(name).public()
    rules = {"withhold": withhold, "sensitive": sensitive_}
    persona = Persona.model_validate({**base, "name": "some", "required": [], "disclosure": rules})
    ledger, findings = every_finding()
    narrative = compose(ledger, findings, persona)
    assert verify(narrative, ledger, persona, findings) == []
    cited = {t.claim for s in narrative.sentences() for t in s.tokens}
    assert not [key for key in cited if persona.withholds(key)]


def test_simple_claims_stay(  # the rules take nothing from a reader without them
) -> None:
    ledger = replaced(ledger_of(), *simple({"deviation.state": "ok"}))
    assert visible_claims(ledger, BUSINESS) == ledger


def test_a_report_without_reasons_of_tools_still_holds() -> None:
    """What is left out of an artifact makes it a withheld one, whose hash stands for the whole."""
    tools = artifacts()
    why = {"tool": "fairness", "status": "not_applicable", "why": "There is no secret.", "data": {}}
    tools.append(tools[0].model_copy(update=why))
    made = report("customer", artifacts=tools)
    row = next(a for a in made.data["artifacts"] if a["tool"] == "fairness")
    assert row["withheld"] and row["why"] is None and "no secret" not in made.json
    assert "fairness" not in {p.token for p in verify_report(made.data).problems if p.kind == "hash"}
