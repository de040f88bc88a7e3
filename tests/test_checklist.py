"""A checklist row is never blank, says only what case, card and claims say, and counts what is missing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from xagent.case import Case, SystemCard
from xagent.evidence import Claim, Ledger
from xagent.law import load_checklist
from xagent.personas import load_persona
from xagent.report._checklist import NOT_PROVIDED, count_states, fill_checklist

LAW = load_checklist()
CASE: dict[str, Any] = {"id": "loan-1", "subject": "applicant-7", "reference": {"period": "2024"}}
CARD = json.loads(
    SystemCard.model_validate(
        {
            "schema": "xagent.system/1",
            "name": "Loan check",
            "version": "3",
            "purpose": "Sort applications",
            "classification": "Annex III, point 5(b)",
            "provider": {"name": "Maker Ltd"},
            "deployer": {"name": "Bank", "contact": "bank@example.org"},
            "complaints": "complaints@example.org",
            "regimes": ["GDPR", "AI Act"],
            "automation": "recommendation",
            "legal_basis": "contract",
            "chain": "Rules, model, clerk",
            "performance": [{"metric": "AUC", "value": 0.8125, "segment": "all", "n": 1200}],
            "metric_reason": "Ranking matters",
            "oversight": {"person": "Clerk", "competence": "trained", "authority": "may overrule"},
            "retention": {"period": "6 months"},
            "features": {
                "inc": {"label": "Income", "unit": "EUR", "source": "payroll"},
                "age": {"label": "Age", "sensitive": True, "source": "form"},
            },
        }
    ).model_dump_json(by_alias=True)
)


def claim(key: str, value: Any, kind: Any = "text", **more: Any) -> Claim:
    return Claim(id=key, value=value, kind=kind, artifact="case", **more)


CLAIMS = [
    claim("decision.score", 0.3125, "value", scale="probability"),
    claim("decision.label", "refused", "category"),
    claim("input.inc.value", 41000, "value", unit="EUR", feature="inc"),
    claim("feature.inc.label", "Income", feature="inc"),
    claim("input.job.value", "missing", "category", feature="job"),
    *(
        c
        for n in range(1, 13)
        for c in (
            claim(f"relevance.driver.{n}.name", f"Factor {'abcdefghijkl'[n - 1]}"),
            claim(f"relevance.driver.{n}.share", 0.5 if n == 1 else 0.01, "share", scale="share"),
            claim(f"relevance.driver.{n}.direction", "for", "category", sign=1),
        )
    ),
    claim("model.sha256", "ab" * 32),
    claim("model.name", "net"),
    claim("case.decided_at", "2026-11-20T09:30:00Z", "time"),
]


def fill(card: Any = CARD, claims: Any = CLAIMS, **more: Any) -> dict[str, dict[str, Any]]:
    given_ = {"case": CASE, "persona": load_persona("regulator"), "verification": None, "manifest": None} | more
    return {row["id"]: row for row in fill_checklist(LAW, card=card, ledger=Ledger(claims), **given_)}


def test_a_full_row_shows_its_labelled_parts_in_order() -> None:
    row = fill()["A2"]
    assert row["state"] == "provided"
    assert row["value"] == (
        "provider: Maker Ltd; deployer: Bank; deployer's contact: bank@example.org; complaints: complaints@example.org"
    )
    assert row["source"] == "card.provider.name, card.deployer.name, card.deployer.contact, card.complaints"
    assert row["articles"][-1] == "AI Act Art. 85"


def test_a_needed_part_that_lacks_makes_the_row_missing_and_says_which() -> None:
    row = fill()["A33"]
    assert (row["state"], row["value"]) == ("missing", "kept for: 6 months; kept at: Not provided")


def test_claims_are_printed_by_the_readers_policy_and_named() -> None:
    rows = fill(manifest={"versions": {"xagent": "1"}})
    assert rows["A4"]["value"] == "decision: loan-1; subject: applicant-7; decided: 20 November 2026 at 09:30 UTC"
    assert rows["A9"]["value"] == "values: Income = 41,000 EUR · job = missing; sources: Age = form · Income = payroll"
    assert rows["A9"]["claims"] == ["feature.inc.label", "input.inc.value", "input.job.value"]
    assert "ab" * 32 in rows["A17"]["value"]  # a hash is never cut
    assert rows["A18"]["value"].startswith("performance: metric AUC, value 0.8125, segment all, n 1200; why")
    assert rows["A10"]["value"].startswith("personal attributes used: Age = yes; left out: Not provided")


@pytest.mark.parametrize(
    ("written", "printed"),
    [
        ("2026-06-22T00:00:00Z", "22 June 2026"),
        ("2026-06-22T01:30:00+02:00", "21 June 2026 at 23:30 UTC"),
        ("0001-01-01T00:00:00+23:00", "0001-01-01T00:00:00+23:00"),
    ],
)
def test_times_of_a_card_are_dates(written: str, printed: str) -> None:
    row = fill({**CARD, "validation": {"status": "done", "date": written}})["A19"]
    assert row["value"] == f"status: done; date: {printed}"


def test_drivers_stand_in_their_order() -> None:
    value = fill()["A13"]["value"]
    assert value.startswith("factors: Factor a (direction for, share 50")
    assert value.index("Factor b") < value.index("Factor j") < value.index("Factor k")  # 2 before 10 before 11


def test_a_duty_that_starts_later_is_not_applicable_until_then() -> None:
    row = fill()["A34"]
    assert (row["state"], row["value"]) == ("not_applicable", "Not applicable before 2 December 2027")
    assert fill({**CARD, "standards": "prEN 18229-1"})["A34"]["state"] == "provided"


def test_a_state_is_words() -> None:
    states = [claim("deviation.state", "ok", "category"), claim("drift.state", "deviation", "category")]
    assert fill(claims=states)["A11"]["value"] == "input: no deviation; drift: deviation"


def test_what_a_persona_may_not_see_stays_out() -> None:
    secret = claim("relevance.method", "secret method", visibility="data_scientist")
    row = fill(claims=[*CLAIMS, secret])["A12"]
    assert "secret" not in row["value"]
    assert row["claims"] == []


def test_verification_and_manifest_fill_their_rows() -> None:
    rows = fill(
        verification={"total": 40, "verified": 40, "problems": []},
        manifest={"versions": {"xagent": "0.1.0"}, "artifacts": {"drift": "ff"}, "inputs": {"model": "ee"}},
    )
    assert rows["A29"]["value"] == "statements: 40; verified: 40"
    assert rows["A1"]["value"].endswith("software version: 0.1.0")
    assert rows["A28"]["value"] == "files: model ee"


BLANKS = st.sampled_from([None, "", " ", "\u200b", "\u00a0\u2028", "\u202e", [], {}, [None], ["  "]])


@settings(max_examples=150, deadline=None)
@given(
    kept=st.sets(st.sampled_from(sorted(CARD))),
    blanked=st.dictionaries(st.sampled_from(sorted(CARD)), BLANKS, max_size=8),
    claims=st.sets(st.sampled_from(range(len(CLAIMS)))),
)
def test_never_blank_whatever_is_known(kept: set[str], blanked: dict[str, Any], claims: set[int]) -> None:
    card = {key: blanked.get(key, CARD[key]) for key in sorted(kept)}
    rows = list(fill(card, [CLAIMS[i] for i in sorted(claims)]).values())
    assert [row["id"] for row in rows] == [field.id for field in LAW.fields]
    for row in rows:
        assert row["articles"]
        assert row["source"]
        shown = row["value"].replace(NOT_PROVIDED, "x")
        assert row["value"].isprintable()
        assert not any(part.strip().endswith(":") for part in shown.split(";"))
        assert (row["state"] == "missing") == (NOT_PROVIDED in row["value"])
    counts = count_states(rows)
    assert sum(counts.values()) == len(rows) == 36
    assert counts["missing"] == sum(NOT_PROVIDED in row["value"] for row in rows)


@settings(max_examples=100, deadline=None)
@given(text=st.text(max_size=60))
def test_hostile_text_stays_one_printable_line(text: str) -> None:
    row = fill({**CARD, "fairness": text})["A31"]
    assert row["value"] == NOT_PROVIDED or row["value"].startswith("monitoring: ")
    assert "\n" not in row["value"]
    assert not {"\u202e", "\u200b", "\x00"} & set(row["value"])


def test_empty_evidence_is_counted_as_missing() -> None:
    rows = fill({"name": "x"}, [])
    states = count_states(list(rows.values()))
    assert states == {"provided": 0, "missing": 35, "not_applicable": 1}
    assert rows["A16"]["value"] == NOT_PROVIDED
    assert rows["A3"]["value"].startswith("system: x; version: Not provided")


def test_the_shipped_fixture_card_fills_without_inventing(fixtures: Path) -> None:
    folder = fixtures / "diagnosis"
    card = json.loads((folder / "system.json").read_text(encoding="utf-8"))
    case = Case.model_validate_json((folder / "case.json").read_text(encoding="utf-8")).public()
    rows = fill(card, [], case=case)
    assert rows["A14"]["state"] == "missing"  # nothing in a card can stand in for a computed variation
