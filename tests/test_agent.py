"""The whole street on every shipped case: verified, conserved, deterministic, and nothing planted goes unsaid."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from readability import grades

from xagent import Report
from xagent._explain import explain_all
from xagent.agent import build_graph
from xagent.personas import persona_names

ROOT = Path(__file__).parent.parent
CASES = sorted((ROOT / "fixtures").glob("*/case*.json"))
READERS = persona_names()
TOLD_ALL = tuple(name for name in READERS if name != "customer")
case = pytest.mark.parametrize("path", CASES, ids=lambda p: f"{p.parent.name}-{p.stem}")


@cache
def reports(path: Path) -> Mapping[str, Report]:
    """The reports of a case for all built-in readers, made once."""
    return {report.data["persona"]["name"]: report for report in explain_all(path, READERS)}


def words(report: Report) -> str:
    """Everything that a report says in sentences."""
    narrative = report.data["narrative"]
    sentences = [s["text"] for section in narrative["sections"] for s in section["sentences"]]
    noted = [n["sentence"]["text"] for n in report.data["warnings"] + narrative["findings"]]
    return " ".join(noted + sentences)


@case
def test_every_sentence_is_verified_for_every_reader(path: Path) -> None:
    for report in reports(path).values():
        assert report.verification.verified == report.verification.total > 10
        assert report.data["verification"]["problems"] == []
        keys = "schema case persona language decision warnings findings narrative claims artifacts checklist"
        assert list(report.data) == [*keys.split(), "verification", "manifest"]


@case
def test_relevance_is_conserved(path: Path) -> None:
    report = reports(path)["data_scientist"]
    ledger = report.ledger
    parts = ("inputs", "baseline", "biases", "positions", "constants", "softmax", "unhandled")
    total = sum(float(ledger[f"relevance.ledger.{part}"].value or 0) for part in parts)
    score = float(ledger["relevance.score"].value or 0)
    assert abs(total - score) <= 1e-5 * max(abs(score), 1e-6)
    assert float(ledger["relevance.gap"].value or 0) <= 1e-5


@case
def test_the_prediction_is_reproduced(path: Path) -> None:
    assert reports(path)["regulator"].ledger["reproduction.state"].value == "ok"


@case
def test_a_figure_shown_to_two_readers_is_the_same_claim(path: Path) -> None:
    claims = [{c["id"]: c for c in report.data["claims"]} for report in reports(path).values()]
    for one in claims:
        for other in claims:
            for name in one.keys() & other.keys():
                assert one[name] == other[name]


@case
def test_every_figure_in_the_prose_is_a_token(path: Path) -> None:
    for report in reports(path).values():
        for section in report.data["narrative"]["sections"]:
            for sentence in section["sentences"]:
                rest = sentence["text"]
                for token in sorted(sentence["tokens"], key=lambda t: -len(t["text"])):
                    rest = rest.replace(token["text"], "")
                assert not re.search(r"\d", rest), sentence["text"]


def _planted() -> dict[str, Any]:
    return json.loads((ROOT / "fixtures/credit/planted.json").read_text())  # type: ignore[no-any-return]


@pytest.mark.parametrize("reader", TOLD_ALL)
def test_every_planted_fact_is_in_the_report(reader: str) -> None:
    """Drift, staleness, proxy, retry and override of the declined application are said to every reader."""
    report = reports(ROOT / "fixtures/credit/case-declined.json")[reader]
    kinds = {f["finding"].split(".")[0] + "." + f["finding"].split(".")[1] for f in report.data["warnings"]}
    notices = {f["id"] for f in report.data["findings"]}
    assert {"drift.on-driver", "stale.on-driver", "proxy.on-driver", "process.override"} <= kinds
    assert any(n.startswith("process.retry") for n in notices)
    world, text, ledger = _planted(), words(report), report.ledger
    here = world["cases"]["case-declined.json"]
    planted = (world["drifted"]["feature"], here["stale"], world["proxy"]["feature"])
    for name in planted:
        label = next(c.value for c in ledger.values() if c.id.endswith(".label") and c.feature == name)
        assert str(label).lower() in text.lower(), label
    for fact in (world["proxy"]["proxy_for"], *here["override"].values()):
        assert fact in text, fact
    assert ledger["telemetry.retries.count"].value == here["retries"]
    assert ledger["telemetry.feature." + here["imputed"] + ".imputed"].value == "yes"
    assert "exposure.imputed" in notices


def test_the_person_concerned_is_told_without_others_and_without_what_a_proxy_stands_for() -> None:
    report = reports(ROOT / "fixtures/credit/case-declined.json")["customer"]
    kinds = {warning["finding"].rpartition(".")[0] for warning in report.data["warnings"]}
    assert {"drift.on-driver", "stale.on-driver", "proxy.on-driver"} <= kinds
    world, text = _planted(), words(report)
    here = world["cases"]["case-declined.json"]
    label = next(c.value for c in report.ledger.values() if c.feature == world["proxy"]["feature"])
    assert str(label).lower() in text.lower()
    assert "You can ask whether such a point may be used." in text
    assert "Where: Ask for a review by a second underwriter" in text
    for secret in (world["proxy"]["proxy_for"], here["override"]["who"]):
        assert secret not in report.json


def test_the_planted_drivers_lead() -> None:
    report = reports(ROOT / "fixtures/credit/case-declined.json")["data_scientist"]
    ranked = [report.ledger[f"relevance.driver.{n}.name"].feature for n in range(1, 7)]
    here = _planted()["cases"]["case-declined.json"]
    assert ranked[:2] == here["top_drivers"]
    assert set(here["within_top_6"]) <= set(ranked)


def test_near_the_threshold_is_said() -> None:
    for report in reports(ROOT / "fixtures/credit/case-near-threshold.json").values():
        assert any(w["finding"].startswith("near-threshold") for w in report.data["warnings"])


def test_same_evidence_same_bytes(tmp_path: Path) -> None:
    """Across processes, hash seeds, time zones and locales."""
    made = []
    for seed, zone in (("1", "UTC"), ("77", "Pacific/Auckland")):
        out = tmp_path / seed
        environment = dict(os.environ, PYTHONHASHSEED=seed, TZ=zone)
        command = [sys.executable, "-m", "xagent.cli", "explain", "-q", "-p", "auditor,customer,business_user", "-o"]
        subprocess.run(
            [*command, str(out), str(ROOT / "fixtures/credit/case-declined.json")], check=True, env=environment
        )
        made.append({p.name: p.read_bytes() for p in sorted(out.iterdir()) if not p.name.endswith(".run.json")})
    assert len(made[0]) == 9
    for name, content in made[0].items():
        assert content == made[1][name], name


def test_the_readme_shows_the_graph_as_it_is() -> None:
    drawn = build_graph().compile().get_graph().draw_mermaid().strip()
    assert drawn in (ROOT / "README.md").read_text()


def test_the_run_record_says_what_was_asked_and_how_long_it_took() -> None:
    report = reports(ROOT / "fixtures/diagnosis/case.json")["regulator"]
    assert {ask["tool"] for ask in report.run["asks"]} >= {
        "relevance",
        "deviation",
        "drift",
        "serving",
        "process",
        "trust",
    }
    assert "seconds" in json.dumps(report.run)
    assert '"seconds":' not in re.sub(r'"data":.*', "", json.dumps(report.data["manifest"]))


@case
@pytest.mark.parametrize("reader", ["business_user", "customer"])
def test_plain_pages_read_easily(path: Path, reader: str) -> None:
    """Grade nine at most, over everything that the page says in sentences."""
    assert max(grades(words(reports(path)[reader]))) <= 9
