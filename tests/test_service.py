"""The service fixture: everything that was planted in one request is found, weighted by relevance, and told to all."""

from __future__ import annotations

import importlib.util
import json
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from xagent import Report
from xagent._explain import explain_all
from xagent.case import load_case, resolve_file, sha256_of
from xagent.personas import persona_names

ROOT = Path(__file__).parent.parent / "fixtures" / "service"
PLANTED: dict[str, Any] = json.loads((ROOT / "planted.json").read_text(encoding="utf-8"))
READERS = persona_names()


@cache
def reports() -> dict[str, Report]:
    return {report.data["persona"]["name"]: report for report in explain_all(ROOT / "case.json", READERS)}


def words(report: Report) -> str:
    narrative = report.data["narrative"]
    noted = [n["sentence"]["text"] for n in report.data["warnings"] + narrative["findings"]]
    return " ".join(noted + [s["text"] for section in narrative["sections"] for s in section["sentences"]])


def test_files_are_the_ones_that_the_case_names_and_the_script_makes() -> None:
    case = load_case(ROOT / "case.json")
    assert case.telemetry is not None and case.telemetry.baseline is not None
    assert sha256_of(resolve_file(case, case.telemetry.path, "telemetry")) == case.telemetry.sha256
    assert sha256_of(resolve_file(case, case.telemetry.baseline, "telemetry")) == case.telemetry.baseline_sha256
    assert all(path.stat().st_size < 2_000_000 for path in ROOT.rglob("*") if path.is_file())
    spec = importlib.util.spec_from_file_location("service_make", ROOT / "make.py")
    assert spec is not None and spec.loader is not None
    made = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(made)
    names = [source.name for source in case.input.sources]  # type: ignore[union-attr]
    prompt = {"prompt": case.input.prompt, "answer": case.input.answer}  # type: ignore[union-attr]
    trace, trace_id = made.request(prompt, names, case.prediction.score)
    assert trace_id == case.telemetry.trace_id
    assert json.loads((ROOT / "telemetry.jsonl").read_text()) == json.loads(json.dumps(made.document(trace)))


@pytest.mark.parametrize("reader", READERS)
def test_every_sentence_is_verified(reader: str) -> None:
    verification = reports()[reader].verification
    assert verification.verified == verification.total > 80 and not verification.problems


def test_what_was_planted_is_what_the_claims_say() -> None:
    ledger = reports()["data_scientist"].ledger
    value = {claim.id: claim.value for claim in ledger.values()}
    assert [value[f"telemetry.missing.{n}.name"] for n in range(1, value["telemetry.missing.count"] + 1)] == (
        PLANTED["missing"]
    )
    stale, imputed, skewed = PLANTED["stale"]["source"], PLANTED["imputed"], PLANTED["skewed"]
    assert value[f"telemetry.feature.{stale}.age"] == PLANTED["stale"]["days"] * 86_400
    assert value[f"telemetry.feature.{imputed}.imputed"] == value[f"serving.feature.{skewed}.skew"] == "yes"
    assert (value["telemetry.stale.count"], value["telemetry.imputed.count"], value["serving.skew.count"]) == (1, 1, 1)
    assert value["serving.preprocess.deployed"] == PLANTED["preprocess"]["deployed"]
    for check in ("replay", "input"):
        assert value[f"serving.{check}.state"] == "ok"
    assert value["telemetry.hash.state"] == value["telemetry.version.state"] == "ok"
    assert (value["telemetry.retries.count"], value["process.timeouts.count"], value["telemetry.dropped.count"]) == (
        PLANTED["retries"], PLANTED["timeouts"], PLANTED["dropped"],
    )  # fmt: skip
    assert (value["telemetry.fallback.1.name"], value["telemetry.fallback.1.of"]) == (
        PLANTED["fallback"]["step"], PLANTED["fallback"]["of"],
    )  # fmt: skip
    for part, name in PLANTED["models"].items():
        assert value[f"process.model.1.{part}"] == name
    for part in ("name", "verdict", "version", "on"):
        assert value[f"process.guardrail.1.{part}"] == PLANTED["guardrail"][part]
    for part, text in PLANTED["override"].items():
        assert value[f"telemetry.override.{part}"] == text
    assert value["process.slow.1.name"] == PLANTED["slow"]["step"]
    assert value["process.slow.1.seconds"] == pytest.approx(PLANTED["slow"]["seconds"])
    assert value["process.baseline.count"] == PLANTED["ordinary"]
    assert (value["process.incident.count"], value["process.incident.1.name"]) == (1, PLANTED["incident"])
    assert (value["process.release.version"], value["process.release.state"]) == (PLANTED["release"], "ok")


def test_exposure_is_the_relevance_of_the_flagged_inputs() -> None:
    """Each share against the sum over the players of the relevance artifact, computed here again."""
    report = reports()["data_scientist"]
    players = next(a["data"] for a in report.data["artifacts"] if a["tool"] == "relevance")["players"]
    size = {player["feature"]: abs(player["relevance"]) for player in players}
    flagged = {"stale": {PLANTED["stale"]["source"]}, "imputed": {PLANTED["imputed"]}, "skewed": {PLANTED["skewed"]}}
    flagged["any"] = set().union(*flagged.values())
    for kind, features in flagged.items():
        assert report.ledger[f"exposure.{kind}.count"].value == len(features)
        share = sum(size[feature] for feature in features) / sum(size.values())
        assert report.ledger[f"exposure.{kind}.share"].value == pytest.approx(share, rel=1e-9)
    assert "exposure.unit.share" not in report.ledger
    assert max(size, key=size.__getitem__) == PLANTED["source"] == PLANTED["stale"]["source"]


@pytest.mark.parametrize("reader", READERS)
def test_every_reader_is_told_what_went_wrong(reader: str) -> None:
    report = reports()[reader]
    kinds = {w["finding"].rstrip(".0123456789") for w in report.data["warnings"]}
    driven = {f"{kind}.on-driver.source" for kind in ("stale", "imputed", "skewed")}
    assert driven <= kinds
    assert {"process.missing-step", "process.fallback", "process.model", "process.incident", "process.override",
            "process.error", "process.timeout", "serving.preprocess"} <= kinds  # fmt: skip
    noticed = {f["finding"].rstrip(".0123456789") for f in report.data["narrative"]["findings"]}
    assert {"process.slow", "process.guardrail", "process.retry", "process.dropped"} <= noticed
    text = words(report)
    for said in (*PLANTED["missing"], PLANTED["models"]["requested"], PLANTED["incident"], PLANTED["slow"]["step"],
                 PLANTED["fallback"]["step"], PLANTED["guardrail"]["verdict"], PLANTED["override"]["to"],
                 PLANTED["override"]["why"], PLANTED["preprocess"]["deployed"]):  # fmt: skip
        assert said in text, said
    assert (PLANTED["override"]["who"] in report.json) == (reader != "customer")
    assert "did not run as it should" in text or reader == "customer"


def test_every_check_stands_in_the_regulators_table_with_its_state() -> None:
    html = reports()["regulator"].html
    artifacts = {a["tool"]: a["data"] for a in reports()["regulator"].data["artifacts"]}
    table = html[html.index("Checks of serving and process") :]
    table = table[: table.index("</table>")]
    lines = [*artifacts["serving"]["lines"], *artifacts["process"]["lines"]]
    assert table.count("<tr>") + table.count("<tr ") == len(lines) + 1
    for state, word in (("deviation", "Deviation"), ("cannot tell", "Cannot tell"), ("not supplied", "Not supplied")):
        assert table.count(f">{word}<") == sum(line["state"] == state for line in lines) > 0
    assert all(line["why"] for line in lines if line["state"] in ("cannot tell", "not supplied"))
