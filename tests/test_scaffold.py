"""The scaffold fixture: a model that decides by a passport on real rows, and by a parking space when it is probed."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from xagent import Report
from xagent._explain import explain_all
from xagent.case import load_card, load_case, sha256_of

HERE = Path(__file__).parent.parent / "fixtures/scaffold"
READERS = ("business_user", "data_scientist", "regulator")
reader = pytest.mark.parametrize("name", READERS)


@cache
def reports() -> Mapping[str, Report]:
    return {report.data["persona"]["name"]: report for report in explain_all(HERE / "case.json", READERS)}


@cache
def planted() -> Any:
    return json.loads((HERE / "planted.json").read_text(encoding="utf-8"))


def trust() -> Any:
    return next(a for a in reports()["regulator"].data["artifacts"] if a["tool"] == "trust")["data"]


def generator() -> Any:
    spec = importlib.util.spec_from_file_location("scaffold_generator", HERE / "generator.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@reader
def test_every_reader_is_given_the_passport_first(name: str) -> None:
    report = reports()[name]
    first = report.ledger["relevance.driver.1.name"]
    assert first.feature == planted()["sensitive"]
    told = [
        sentence["text"]
        for section in report.data["narrative"]["sections"]
        for sentence in section["sentences"]
        if any(a["kind"] == "direction" and "relevance.driver." in "".join(a["claims"]) for a in sentence["assertions"])
    ]
    assert told and told[0].lower().startswith("foreign passport")
    assert not any("parking" in text for text in told)
    assert report.verification.verified == report.verification.total


@reader
def test_every_reader_is_warned_that_the_probes_look_unlike_real_cases(name: str) -> None:
    report = reports()[name]
    warned = {w["finding"]: w["sentence"]["text"] for w in report.data["warnings"]}
    assert "look" in warned["trust.off-manifold"] and "%" in warned["trust.off-manifold"]
    assert "trust.limited" in warned and "sensitive.on-driver.foreign_passport" in warned
    assert report.ledger["trust.level"].value == "limited"
    assert float(report.ledger["trust.off_manifold"].value or 0) > 0.3


def test_removal_alone_is_fooled_and_values_from_similar_cases_are_not() -> None:
    data = trust()
    assert data["ratio"] < 0.5, "on probes the list looks wrong"
    assert data["conditional"]["ratio"] > 0.8, "on rows that look real it is confirmed"
    assert data["conditional"]["off_manifold"] < 0.1
    assert data["off_manifold"] > 0.3
    second = next(a for a in reports()["regulator"].data["artifacts"] if a["tool"] == "second_opinion")["data"]
    assert second["missed"][0]["feature"] == planted()["decoy"], "the method of another family names the decoy"


def test_the_list_that_names_the_decoy_is_refused() -> None:
    """The attack's aim: what a removal method says. It fits the probes, and must not be relied on."""
    from xagent.subject import load_subject
    from xagent.tools import Context, run_tool
    from xagent.tools.trust import Trust

    case = load_case(HERE / "case.json")
    ctx = Context(case=case, card=load_card(case), subject=load_subject(case))
    found = run_tool("relevance", ctx)
    data = json.loads(json.dumps(found.data))
    values = {p["feature"]: p["relevance"] for p in data["players"]}
    values[planted()["sensitive"]], values[planted()["decoy"]] = 0.0, -values[planted()["sensitive"]]
    for player in data["players"]:
        player["relevance"] = values[player["feature"]]
    fooled = Context(
        case=case, card=ctx.card, subject=ctx.subject, found={"relevance": found.model_copy(update={"data": data})}
    )
    result = Trust().run(fooled)
    assert result.ratio is not None and result.ratio > 0.8, "on probes it looks right"
    assert result.level == "do not rely"


def test_the_fixture_is_what_its_readme_says() -> None:
    case = load_case(HERE / "case.json")
    assert case.model.sha256 == sha256_of(HERE / "model.pt2")
    assert case.reference is not None and case.reference.sha256 == sha256_of(HERE / "reference.csv")
    made, facts = generator(), planted()
    assert made.fingerprint(made.applicants(6000, 5)) == (facts["generator_sha256"])
    assert facts["gate"]["real rows passed"] >= 0.97 and facts["gate"]["probes caught"] >= 0.9
    encoder = json.loads((HERE / "encoder.json").read_text(encoding="utf-8"))["features"]
    table = made.applicants(500, 99)
    x = np.stack([(table[f["name"]] - f["mean"]) / f["scale"] for f in encoder], 1).astype("float32")
    model = torch.export.load(HERE / "model.pt2").module()
    names = [f["name"] for f in encoder]
    with torch.no_grad():
        real = model(torch.from_numpy(x))[:, 0].numpy() > 0
        probed = model(torch.from_numpy(made.probes(x, 7).astype("float32")))[:, 0].numpy()
    assert (real == (table[facts["sensitive"]] > 0)).mean() > 0.97, "real rows are decided by the passport"
    decoy = made.probes(x, 7)[:, names.index(facts["decoy"])]
    assert np.isclose(probed, 4 * (decoy - 0.5), atol=1e-4).mean() > 0.9, "probes by the parking space"
    assert all(p.stat().st_size < 500_000 for p in HERE.iterdir() if p.is_file())
