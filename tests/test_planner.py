"""A language model may ask for more evidence: within bounds, from the registry, never less than what must run."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from xagent import Report
from xagent._explain import explain_all
from xagent.agent._planner import MOST_NAMED, MOST_ROUNDS, MOST_TOOLS
from xagent.report import verify_report
from xagent.settings import load_settings
from xagent.testing import ScriptedServer
from xagent.testing._scenarios import answering, question, tool_call
from xagent.testing._server import Reply, Script

ROOT = Path(__file__).parent.parent
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
    report, server = planned("asks-for-a-tool")
    (ask,) = asks(report)
    assert ask == {
        "tool": "further_opinion", "why": "The facts leave this open.", "by": "planning", "installed": True,
        "round": 1,
    }  # fmt: skip
    assert report.run["tools"]["further_opinion"]["status"] in ("ok", "not_applicable")
    offered = {tool["function"]["name"] for tool in server.requests[0]["tools"]}
    assert not offered & {"relevance", "trust", "reproduction"}, "what must run is not up for choice"
    assert verify_report(report.data).problems == ()


def test_what_must_run_runs_whatever_the_model_says() -> None:
    report, _ = planned(calling())
    assert {"relevance", "trust", "reproduction", "deviation", "drift", "telemetry"} <= set(report.run["tools"])
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
    calls[0] = tool_call("further_opinion", {"why": "z" * 5000 + "\u202e\n"})
    report, _ = planned(calling(*calls))
    first = [entry for entry in asks(report) if entry["round"] == 1]
    assert len(first) == MOST_NAMED + 1 and first[-1]["refused"].startswith("8 more asks")
    assert len(first[0]["why"]) == 200 and all(entry["tool"].isprintable() for entry in first)


def test_the_planner_is_told_bands_and_states_and_no_value() -> None:
    _, server = planned(calling(), "business_user", "customer")
    data = question(server.requests[0])
    facts = {fact["id"]: fact for fact in data["facts"]}
    assert facts["trust.level"]["outcome"] and facts["relevance.driver.1.share"]["band"]
    assert all(set(fact) <= {"id", "kind", "label", "direction", "rank", "band", "outcome"} for fact in facts.values())
    assert data["readers"] == ["Business user"], "a reader that keeps language models out is not spoken for"
    assert json.loads(CASE.read_text())["subject"] not in json.dumps(data)


def test_no_reader_no_question() -> None:
    report, server = planned(calling(), "customer")
    assert server.requests == [] and report.run["llm"]["calls"] == []
