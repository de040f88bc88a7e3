"""A language model may ask for more evidence: within bounds, from the registry, never less than what must run."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from narrative_samples import ledger_of

from xagent import Report
from xagent._explain import explain_all
from xagent.agent._planner import MOST_NAMED, MOST_ROUNDS, MOST_TOOLS, _judged
from xagent.agent.llm import ToolCall
from xagent.case import load_card, load_case
from xagent.evidence import Claim, Ledger
from xagent.narrative import compose, verify
from xagent.personas import load_persona, persona_names
from xagent.report import verify_report
from xagent.settings import load_settings
from xagent.subject import load_subject
from xagent.testing import ScriptedServer
from xagent.testing._scenarios import answering, question, tool_call
from xagent.testing._server import Reply, Script
from xagent.tools import Context, run_tool

ROOT = Path(__file__).parent.parent
TOLD = {"id", "kind", "label", "feature", "direction", "rank", "band", "outcome"}
CASE = ROOT / "fixtures/diagnosis/case.json"


def planned(script: Script | str, *personas: str) -> tuple[Report, ScriptedServer]:
    with ScriptedServer(script) as server:
        settings = load_settings(llm={"base_url": server.base_url, "model": "scripted", "timeout": 2.0})
        return explain_all(CASE, personas or ("business_user",), settings)[0], server


def asks(report: Report) -> list[dict[str, Any]]:
    return [ask for ask in report.run["asks"] if ask.get("by") == "planning"]


def calling(*calls: dict[str, Any]) -> Script:
    def script(body: dict[str, Any], number: int) -> Reply:
        return Reply(tool_calls=calls, finish="tool_calls") if body.get("tools") else answering()(body, number)

    return script


def test_a_tool_that_is_asked_for_runs_and_says_who_asked() -> None:
    call = tool_call("further_opinion", {"why": "The facts leave this open.", "method": "gradient_x_input"})
    report, server = planned(calling(call))
    ask = asks(report)[0]
    assert ask == {
        "tool": "further_opinion", "why": "The facts leave this open.", "by": "planning", "installed": True,
        "chosen": {"method": "gradient_x_input"}, "round": 1,
    }  # fmt: skip
    assert report.run["tools"]["further_opinion"]["status"] == "ok"
    assert "gradient" in str(report.ledger["further.method.name"].value)
    offered = {tool["function"]["name"] for tool in server.requests[0]["tools"]}
    assert not offered & {"relevance", "trust", "reproduction"}, "what must run is not up for choice"
    assert verify_report(report.data).problems == ()


def test_a_closer_look_is_the_score_of_the_model_with_one_value_changed() -> None:
    feature = "worst_radius"
    report, _ = planned(calling(tool_call("closer_look", {"why": "It leads.", "feature": feature})), "data_scientist")
    data = next(a["data"] for a in report.data["artifacts"] if a["tool"] == "closer_look")
    case = load_case(CASE)
    subject = load_subject(case)
    assert data["feature"] == feature and len(data["points"]) > 20
    for point in data["points"][::10]:
        values = {**case.input.values, feature: point["value"]}
        logits = subject.logits(subject.encode(case.input.model_copy(update={"values": values})).inputs)
        score = subject.score(logits, subject.target_index(case.prediction.target), case.prediction.scale)
        assert point["score"] == pytest.approx(float(score), abs=1e-6)
    scores = [point["score"] for point in data["points"]]
    assert report.ledger["closer.highest.score"].value == pytest.approx(max(scores))
    steps = np.diff(scores)
    assert data["shape"] == ("rising" if (steps >= 0).all() else "falling" if (steps <= 0).all() else "mixed")


def test_another_class_is_the_relevance_of_a_case_that_asks_for_it() -> None:
    case = load_case(ROOT / "fixtures/digits/case.json")
    ctx = Context(case, load_card(case), load_subject(case), requests={"other_class": {"target": "8"}})
    asked = run_tool("other_class", replace(ctx, found={"relevance": run_tool("relevance", ctx)}))
    prediction = case.prediction.model_copy(update={"target": "8"})
    other = run_tool("relevance", replace(ctx, case=case.model_copy(update={"prediction": prediction})))
    assert asked.status == "ok" and asked.data["target"] == "8" and asked.parameters["target"] == "8"
    assert asked.data["score"] == other.data["score"] < 0
    listed = [(d["feature"], d["relevance"]) for d in asked.data["drivers"]]
    assert listed == [(p["feature"], p["relevance"]) for p in other.data["players"][:6]]
    two = load_case(CASE)
    refused = run_tool("other_class", Context(two, load_card(two), load_subject(two)))
    assert refused.status == "not_applicable"


def test_what_must_run_runs_whatever_the_model_says() -> None:
    report, _ = planned(calling())
    assert {"relevance", "trust", "reproduction", "deviation", "drift", "serving", "process"} <= set(
        report.run["tools"]
    )
    assert asks(report) == [] and [c["purpose"] for c in report.run["llm"]["calls"]].count("planning") <= MOST_ROUNDS


def test_asks_are_bounded_in_number_and_come_to_an_end() -> None:
    report, server = planned("tool-call-loop")
    rounds = [body for body in server.requests if body.get("tools")]
    assert len(rounds) <= MOST_ROUNDS
    assert sum(ask["installed"] for ask in asks(report)) <= MOST_TOOLS * MOST_ROUNDS
    assert any("already" in ask.get("refused", "") for ask in asks(report))


@pytest.mark.parametrize(
    ("call", "reason"),
    [
        (tool_call("shell", {"command": "true"}), "no such tool"),
        (tool_call("relevance", {"why": "again"}), "already"),
        (tool_call("further_opinion", "{"), "not JSON"),
        (tool_call("further_opinion", "[" * 100_000), "not JSON"),
        (tool_call("further_opinion", "[]"), "not those that were offered"),
        (tool_call("further_opinion", {"why": "x", "path": "/etc"}), "not those that were offered"),
        (tool_call("further_opinion", {"why": "x"}), "not those that were offered"),
        (tool_call("further_opinion", {"why": "x", "method": "eval"}), "not those that were offered"),
        (tool_call("closer_look", {"why": "x", "feature": ["worst_radius"]}), "not those that were offered"),
        (tool_call("further_opinion", {"why": 3}), "not those that were offered"),
    ],
)
def test_a_nonsense_ask_is_refused_and_recorded(call: dict[str, Any], reason: str) -> None:
    report, _ = planned(calling(call))
    entries = asks(report)
    assert entries and all(reason in entry["refused"] and not entry["installed"] for entry in entries)
    assert "further_opinion" not in report.run["tools"] and "shell" not in report.run["tools"]


def test_a_flood_of_asks_is_counted_and_their_words_are_cut() -> None:
    calls = [tool_call("x" * 500 + "\n\x1b[31m", {"why": "y"}, str(n)) for n in range(16)]
    calls[0] = tool_call("closer_look", {"why": "z" * 5000 + "\u202e\n", "feature": "worst_radius"})
    report, _ = planned(calling(*calls))
    first = [entry for entry in asks(report) if entry["round"] == 1]
    assert len(first) == MOST_NAMED + 1 and first[-1]["refused"].startswith("8 more asks")
    assert len(first[0]["why"]) == 200 and all(entry["tool"].isprintable() for entry in first)


def test_the_planner_is_told_bands_and_states_and_no_value() -> None:
    _, server = planned(calling(), "business_user", "customer")
    data = question(server.requests[0])
    facts = {fact["id"]: fact for fact in data["facts"]}
    assert facts["trust.level"]["outcome"] and facts["relevance.driver.1.share"]["band"]
    assert all(set(fact) <= TOLD for fact in facts.values())
    assert data["readers"] == ["Business user"], "a reader that keeps language models out is not spoken for"
    assert json.loads(CASE.read_text())["subject"] not in json.dumps(data)


def test_no_reader_no_question() -> None:
    report, server = planned(calling(), "customer")
    assert server.requests == [] and report.run["llm"]["calls"] == []


def test_one_answer_adds_no_more_tools_than_it_may() -> None:
    offered: dict[str, dict[str, tuple[str, ...]]] = {name: {} for name in ("a", "b", "c")}
    calls = [ToolCall(name, name, '{"why": "x"}') for name in offered]
    entries = list(_judged(calls, offered, []))
    assert [entry["installed"] for entry in entries] == [True] * MOST_TOOLS + [False]
    assert "at once" in entries[-1]["refused"]


@pytest.mark.parametrize("language", ["en", "de"])
@pytest.mark.parametrize("reader", persona_names())
def test_what_the_asked_tools_found_is_said_to_every_reader(reader: str, language: str) -> None:
    about: dict[str, Any] = {"subject": "P-17", "artifact": "test", "feature": "income"}
    claims = [
        Claim(id="closer.feature.name", kind="text", value="income", **about),
        Claim(id="closer.count", kind="count", value=41, subject="P-17", artifact="test"),
        Claim(id="closer.lowest.score", kind="value", value=0.3, scale="probability", **about),
        Claim(id="closer.highest.score", kind="value", value=0.8, scale="probability", **about),
        Claim(id="other.target", kind="category", value="Approved", subject="P-17", artifact="test"),
        Claim(id="other.foil", kind="category", value="Declined", subject="P-17", artifact="test"),
        Claim(id="other.driver.1.name", kind="text", value="income", **about),
        Claim(id="other.driver.1.share", kind="share", scale="share", value=0.31, **about),
    ]
    ledger, persona = Ledger([*ledger_of().values(), *claims]), load_persona(reader, language)
    narrative = compose(ledger, [], persona)
    assert verify(narrative, ledger, persona, []) == []
    said = {token.claim for sentence in narrative.sentences() for token in sentence.tokens}
    assert {claim.id for claim in claims} <= said
