"""Near the limit, an unusual case, a failed explanation, a failed check: each reader's own words and order."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import pytest
from narrative_samples import decision_claims, ledger_of, replaced, simple, without
from readability import grades

from xagent.evidence import Claim, Finding, Ledger, Severity
from xagent.narrative import Narrative, compose, verify
from xagent.personas import Persona, load_persona, persona_names

READERS = [load_persona(name) for name in persona_names()]
KINDS = ("tabular", "text", "image", "regression")


@dataclass(frozen=True)
class Situation:
    """What went wrong, the finding about it, and what each reader must then be told: to do, and not to conclude."""

    severity: Severity
    roles: dict[str, str]
    advice: dict[str, tuple[str, str]]


SITUATIONS = {
    "near-threshold": Situation(
        "warning",
        {"margin": "decision.margin", "threshold": "decision.threshold", "score": "decision.score"},
        {
            "business_user": ("let a person decide", "A small change could turn the answer"),
            "customer": ("You can ask for a person to look at your case again", "A small fact could turn the answer"),
            "regulator": ("The file has to show that this person could decide otherwise", "does not tell cases"),
            "auditor": ("Ask for the record of the human review", "no evidence for or against where the limit was set"),
            "data_scientist": ("Have a person look at it before it counts as a label", "does not tell cases"),
        },
    ),
    "deviation.case": Situation(
        "warning",
        {"p": "deviation.p", "n": "deviation.calibration.n", "alpha": "deviation.alpha"},
        {
            "business_user": ("ask somebody who knows such cases", "Its answer may not hold here"),
            "customer": ("You can ask for a person who knows such cases", "Its answer may not fit you"),
            "regulator": ("judge the case on its own facts", "does not cover inputs unlike those"),
            "auditor": ("Log the case for monitoring", "The measured quality on record may not be cited for it"),
            "data_scientist": ("Look at the flagged inputs first", "neither was ever tested on such inputs"),
        },
    ),
    "trust.do-not-rely": Situation(
        "stop",
        {"level": "trust.level", "weakest": "trust.weakest"},
        {
            "business_user": ("Hand this case to a person", "Give no reasons of your own for this answer"),
            "customer": ("You can ask that a person decides your case", "Nobody should name a reason"),
            "regulator": ("Hand this case to a person", "none may be taken from this report into a notice"),
            "auditor": ("Do not sign off the explanation", "it says nothing about the decision"),
            "data_scientist": ("Find the test that failed", "No ranking, sign or share of this explanation"),
        },
    ),
    "tool.failed": Situation(
        "warning",
        {"tool": "tool.drift.name", "why": "tool.drift.why"},
        {
            "business_user": ("Ask for the check before you act", "does not say whether that part is in order"),
            "customer": ("You can ask that it is made up for", "That says nothing about you"),
            "regulator": ("The check has to be made up for", "may not be taken to be in order"),
            "auditor": ("Have a failed check run again", "a gap and not a pass"),
            "data_scientist": ("Run it alone, with the same seed", "absent, and not zero"),
        },
    ),
}  # fmt: skip


def arisen(situation: str, kind: str) -> tuple[Ledger, list[Finding]]:
    """A sample in which the situation has arisen, and its finding."""
    ledger = ledger_of(kind)
    if situation == "near-threshold":
        near = decision_claims(40_010.0, 40_000.0, regression=True) if kind == "regression" else decision_claims(0.51)
        ledger = replaced(replaced(ledger, *near), *simple({"decision.near_threshold": "yes"}))
    elif situation == "deviation.case":
        ledger = replaced(ledger, *simple({"deviation.state": "deviation", "deviation.p": 0.002}))
    elif situation == "trust.do-not-rely":
        ledger = replaced(ledger, *simple({"trust.level": "do not rely"}))
    else:
        parts = {"name": "drift", "status": "failed", "why": "KeyError: 'x'."}
        failed = [Claim(id=f"tool.drift.{k}", kind="text", value=v, artifact="assess") for k, v in parts.items()]
        counts = {"checks.ok.count": 6, "checks.failed.count": 1, "checks.inapplicable.count": 1}
        ledger = replaced(without(ledger, "drift."), *failed, *simple(counts))
    spec = SITUATIONS[situation]
    roles = {role: claim for role, claim in spec.roles.items() if claim in ledger}
    ident = "tool.failed.drift" if situation == "tool.failed" else situation
    return ledger, [Finding(id=ident, kind=situation, severity=spec.severity, claims=roles)]


def told(narrative: Narrative) -> str:
    return " ".join(sentence.text for sentence in narrative.sentences())


@pytest.mark.parametrize("persona", READERS, ids=lambda p: p.name)
@pytest.mark.parametrize("situation", SITUATIONS)
@pytest.mark.parametrize("kind", KINDS)
def test_each_reader_is_told_what_to_do_and_what_not_to_conclude(kind: str, situation: str, persona: Persona) -> None:
    ledger, findings = arisen(situation, kind)
    narrative = compose(ledger, findings, persona)
    assert verify(narrative, ledger, persona, findings) == []
    assert narrative.warnings[0].finding == findings[0].id
    assert narrative.sentences()[0] == narrative.warnings[0].sentence
    for words in SITUATIONS[situation].advice[persona.name]:
        assert words in told(narrative), words
    if persona.reading_grade:
        assert max(grades(told(narrative))) <= persona.reading_grade
    if situation == "trust.do-not-rely":
        assert not any(a.kind in ("direction", "order") for s in narrative.sentences() for a in s.assertions)
        labels = [
            str(c.value) for key, c in ledger.items() if key.startswith("relevance.driver.") and key.endswith(".name")
        ]
        assert not [name for name in labels if len(name) > 3 and name in told(narrative)]


@pytest.mark.parametrize("situation", SITUATIONS)
def test_no_two_readers_are_warned_in_the_same_words(situation: str) -> None:
    ledger, findings = arisen(situation, "tabular")
    warnings = [compose(ledger, findings, persona).warnings[0].sentence.text for persona in READERS]
    assert len(set(warnings)) == len(READERS)


@pytest.mark.parametrize("persona", READERS, ids=lambda p: p.name)
def test_all_four_at_once(persona: Persona) -> None:
    """The most serious first, each told once, and no reason given."""
    ledger = ledger_of()
    findings: list[Finding] = []
    for situation in SITUATIONS:
        changed, found = arisen(situation, "tabular")
        plain = ledger_of()
        new = [claim for key, claim in changed.items() if plain.get(key) != claim]
        gone = [key for key in plain if key not in changed]
        ledger = replaced(without(ledger, *gone) if gone else ledger, *new)
        findings += found
    narrative = compose(ledger, findings, persona)
    assert verify(narrative, ledger, persona, findings) == []
    assert [w.severity for w in narrative.warnings] == ["stop", "warning", "warning", "warning"]
    assert len({w.finding for w in narrative.warnings}) == 4


def test_a_reason_slipped_into_a_failed_explanation_is_refused() -> None:
    ledger, findings = arisen("trust.do-not-rely", "tabular")
    persona = load_persona("customer")
    narrative = compose(ledger, findings, persona)
    sound = ledger_of()
    driver = next(s for s in compose(sound, [], persona).sentences() if s.id == "relevance.driver.1")
    sections = [
        s.model_copy(update={"sentences": (*s.sentences, driver)}) if s.id == "reasons" else s
        for s in narrative.sections
    ]
    false = narrative.model_copy(update={"sections": tuple(sections)})
    assert "do-not-rely" in kinds(verify(false, ledger, persona, findings))


def kinds(problems: Sequence[Any]) -> set[str]:
    return {problem.kind for problem in problems}
