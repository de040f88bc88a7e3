"""A finished report holds or does not: every part of its JSON that is changed is found, and the command says so."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from xagent._explain import explain_all
from xagent.evidence import sha256_json
from xagent.report import report_json, verify_report
from xagent.report._document import document_sha256

FIXTURES = Path(__file__).parent.parent / "fixtures"
Json = dict[str, Any]


@cache
def good(name: str = "diagnosis") -> Json:
    (report,) = explain_all(FIXTURES / name / "case.json", ["regulator"])
    return dict(report.data)


def rehashed(data: Json) -> Json:
    """Whoever changed it made the hashes fit."""
    for row in data["artifacts"]:
        row["sha256"] = sha256_json({k: v for k, v in row.items() if k not in ("sha256", "withheld")})
        data["manifest"]["artifacts"][row["tool"]] = row["sha256"]
    for part in ("claims", "findings", "narrative"):
        data["manifest"][part] = sha256_json(data[part])
    data["manifest"]["document"] = document_sha256(data)
    return data


def claim(data: Json, key: str) -> Json:
    return next(c for c in data["claims"] if c["id"] == key)


def artifact(data: Json, tool: str) -> Json:
    return next(a for a in data["artifacts"] if a["tool"] == tool)


def _value(data: Json) -> None:
    claim(data, "relevance.driver.1.share")["value"] = 0.9


def _score(data: Json) -> None:
    claim(data, "decision.score")["value"] = data["decision"]["score"] = 0.6


def _sign(data: Json) -> None:
    artifact(data, "relevance")["data"]["players"][0]["relevance"] *= -1


def _count(data: Json) -> None:
    claim(data, "relevance.for.count")["value"] += 1


def _text(data: Json) -> None:
    sentence = data["narrative"]["sections"][0]["sentences"][0]
    sentence["text"] = sentence["text"].replace(".", "!")


def _in_passing(data: Json) -> None:
    sentence = data["narrative"]["sections"][0]["sentences"][0]
    for part in ("frame", "text"):
        sentence[part] = sentence[part].removesuffix(".") + ", and a person changed the answer."


def _title(data: Json) -> None:
    data["persona"]["sections"][0]["title"] = data["narrative"]["sections"][0]["title"] = "Another title"


def _required(data: Json) -> None:
    data["persona"]["required"] = []


def _unverified(data: Json) -> None:
    data["verification"]["verified"] -= 1


def _missing_tool(data: Json) -> None:
    data["artifacts"] = [a for a in data["artifacts"] if a["tool"] != "relevance"]
    del data["manifest"]["artifacts"]["relevance"]


def _extra_key(data: Json) -> None:
    data["comment"] = "all is well"


CHANGES: list[tuple[Callable[[Json], None], str, str]] = [
    (_value, "hash", "evidence"),
    (_score, "hash", "evidence"),
    (_sign, "hash", "evidence"),
    (_count, "hash", "evidence"),
    (_text, "hash", "text"),
    (_in_passing, "hash", "state"),
    (_title, "reader", "reader"),
    (_required, "reader", "reader"),
    (_unverified, "record", "record"),
    (_missing_tool, "hash", "hash"),
    (_extra_key, "schema", "schema"),
]


def kinds(data: Json) -> set[str]:
    return {problem.kind for problem in verify_report(data).problems}


@pytest.mark.parametrize("name", ["diagnosis", "digits", "triage", "answer"])
def test_a_report_as_it_was_made_holds(name: str) -> None:
    verdict = verify_report(json.loads(json.dumps(good(name))))
    assert verdict.problems == ()
    assert verdict.claims / 2 < verdict.compared < verdict.claims and verdict.sentences > 10


@pytest.mark.parametrize(("change", "plain", "cunning"), CHANGES)
def test_a_changed_report_does_not(change: Callable[[Json], None], plain: str, cunning: str) -> None:
    """plain: found at once. cunning: found although every hash was made to fit."""
    data = copy.deepcopy(good())
    change(data)
    assert plain in kinds(data)
    assert cunning in kinds(rehashed(data))


def test_the_command_names_the_first_problems(tmp_path: Path) -> None:
    whole, bad = tmp_path / "whole.json", tmp_path / "bad.json"
    whole.write_text(report_json(good()), encoding="utf-8")
    data = copy.deepcopy(good())
    _score(data)
    bad.write_text(json.dumps(data))

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "xagent.cli", "verify", *args],
            capture_output=True,
            text=True,
            timeout=120,
            check=False,
        )

    assert run(str(whole)).returncode == 0
    done = run(str(whole), str(bad))
    assert done.returncode == 8 and "decision.score" in done.stderr and "whole.json: verified" in done.stdout
    (tmp_path / "x.json").write_text('{"a": 1, "a": 2}')
    assert run(str(tmp_path / "x.json")).returncode == 3
    assert run(str(tmp_path / "none.json")).returncode == 3
