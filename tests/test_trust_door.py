"""Trust as its users meet it: the tool on awkward cases, calibration, thresholds as a setting, the plan, progress."""

from __future__ import annotations

import json
import re
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import xagent
from xagent._calibrate import GOOD, Graded, chosen, figures
from xagent._explain import explain_all
from xagent._plan import planned
from xagent.case import Case, SystemCard, load_case
from xagent.errors import ConfigurationFault, InvalidCase, UsageFault
from xagent.personas import persona_names
from xagent.settings import load_settings
from xagent.subject import Subject, load_subject
from xagent.tools import Context, run_tool
from xagent.tools._trust_setup import with_progress
from xagent.trust import Evidence, Trust, load_limits

ROOT = Path(__file__).parent.parent
FIXTURES = ROOT / "fixtures"
READERS = persona_names()
NAMES = list("abcde")
CREDIT = FIXTURES / "credit/case-declined.json"


class Product(nn.Module):
    """Nothing but a product: no list of separate reasons describes it."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = x[:, :4].prod(1, keepdim=True)
        return torch.cat([-z, z], 1)


class Linear(nn.Module):
    def __init__(self, weights: list[float]) -> None:
        super().__init__()
        self.layer = nn.Linear(len(weights), 1, bias=False)
        with torch.no_grad():
            self.layer.weight.copy_(torch.tensor([weights]))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = self.layer(x)
        return torch.cat([-z, z], 1)


class Constant(nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (0 * x[:, :2]) + torch.tensor([0.0, 1.0])


class Broken(nn.Module):
    """NaN as soon as anything but the case itself is asked."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        z = x.sum(1, keepdim=True)
        z = torch.where(x[:, :1] == 1.0, z, z * float("nan"))
        return torch.cat([-z, z], 1)


def trust_of(module: nn.Module, reference: pd.DataFrame, x: list[float], tmp_path: Path) -> Any:
    """The trust artifact of a live model; rows of the reference as given."""
    reference.to_csv(tmp_path / "reference.csv", index=False)
    spec = {"kind": "logits", "classes": ["no", "yes"]}
    case = Case.model_validate({
        "schema": "xagent.case/1", "id": "live", "subject": "nobody",
        "model": {"format": "live", "name": "m", "version": "1", "output": spec},
        "input": {"kind": "tabular", "values": dict(zip(NAMES, x, strict=True))},
        "prediction": {"label": "yes", "score": 0.5, "decided_at": "2026-01-01T00:00:00Z"},
        "reference": {"path": "reference.csv", "name": "known rows"},
    })  # fmt: skip
    case._folder = tmp_path
    subject = Subject.from_module(module.eval(), NAMES, case.model.output)
    ctx = Context(case=case, card=SystemCard(schema="xagent.system/1", name="s"), subject=subject)
    found = run_tool("relevance", ctx)
    return run_tool("trust", Context(**{**vars(ctx), "found": {"relevance": found}}))


def frame(rows: int, seed: int = 0) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(seed).normal(size=(rows, 5)), columns=NAMES)


@pytest.mark.parametrize("seed", range(4))
def test_a_linear_model_is_strong_whatever_the_order_of_rows_and_features(seed: int, tmp_path: Path) -> None:
    order = np.random.default_rng(seed).permutation(5)
    weights, x = np.array([2.0, -1.5, 1.0, 0.7, -0.4])[order], np.array([1.4, 0.8, 1.1, -0.9, 1.2])[order]
    rows = frame(300).sample(frac=1, random_state=seed)[[NAMES[i] for i in order]]
    rows.columns = NAMES
    data = trust_of(Linear(weights.tolist()), rows, x.tolist(), tmp_path).data
    assert data["level"] == "strong", data
    assert data["ratio"] == pytest.approx(1, abs=1e-5) and data["shapley"] == pytest.approx(1, abs=1e-5)
    assert data["sensitivity"]["first"] == "stays"


def test_awkward_references_and_models_are_stated_and_never_numbers(tmp_path: Path) -> None:
    x = [1.0, 1.0, 1.0, 1.0, 1.0]
    one_row = trust_of(Linear([1.0, 2.0, 3.0, 4.0, 5.0]), frame(1), x, tmp_path).data
    assert one_row["off_manifold"] is None and "reference population" in one_row["absent"]["off_manifold"]
    assert one_row["sensitivity"] is None and one_row["absent"]["sensitivity"]
    assert one_row["together"] == []
    flat = frame(200)
    flat[["c", "d"]] = 1.0
    constant = trust_of(Linear([1.0, 2.0, 3.0, 4.0, 5.0]), flat, x, tmp_path).data
    assert constant["together"] == [], "two constant columns are not correlated"
    assert constant["off_manifold"] is not None
    for module, words in ((Constant(), "does not change"), (Broken(), "not finite")):
        made = trust_of(module, frame(200), x, tmp_path)
        if made.status == "ok":
            assert made.data["level"] == "do not rely"
            assert words in made.data["absent"]["trust"]
            numbers = ("ceiling", "fidelity", "ratio", "keep_share", "agreement", "off_manifold", "gap", "shapley")
            assert all(made.data[key] is None for key in numbers)
        else:
            assert "relevance" in str(made.why), "a model without a finite score has no relevance to test"


@pytest.mark.parametrize("reader", READERS)
def test_when_the_explanation_fails_no_input_is_named_and_what_was_tried_is_said(reader: str) -> None:
    rng = np.random.default_rng(0)
    reference = pd.DataFrame(
        rng.choice([-1.0, 1.0], size=(200, 5)), columns=["Apple", "Birch", "Cedar", "Dogwood", "Elm"]
    )
    x = pd.DataFrame([[1.0] * 5], columns=reference.columns)
    report = xagent.explain(model=Product().eval(), x=x, reference=reference, persona=reader)
    assert report.ledger["trust.level"].value == "do not rely"
    assert any(w["finding"] == "trust.do-not-rely" for w in report.data["warnings"])
    sentences = [s for section in report.data["narrative"]["sections"] for s in section["sentences"]]
    sentences += [w["sentence"] for w in report.data["warnings"]]
    assert not any(a["kind"] == "direction" for s in sentences for a in s["assertions"])
    text = " ".join(s["text"] for s in sentences)
    assert not re.search("Apple|Birch|Cedar|Dogwood|Elm", text), text
    if reader != "customer":  # the person concerned gets no figures of the tests
        assert "What was tried" in text and "combinations tried: 32" in text
    handed = {
        "auditor": "A person who knows the case has to decide",
        "customer": "You can ask that a person decides your case and gives you the reasons",
    }
    assert handed.get(reader, "Hand this case to a person") in text
    words = re.sub(r"<(script|style).*?</\1>|<[^>]+>", " ", report.html, flags=re.DOTALL)
    assert "Influence of each input" not in words and "Driver by the other method" not in words


def test_the_sentence_of_the_regulator_carries_every_figure() -> None:
    report = explain_all(CREDIT, ["regulator"])[0]
    section = next(s for s in report.data["narrative"]["sections"] if s["id"] == "reliance")
    text = " ".join(s["text"] for s in section["sentences"])
    cited = {token["claim"] for s in section["sentences"] for token in s["tokens"]}
    wanted = "described.share reached.share reached.low reached.high keep.share random.share random.flips.share"
    assert {f"trust.{key}" for key in wanted.split()} <= cited
    assert {"trust.off_manifold", "trust.coalitions.count", "trust.baseline.kept.share"} <= cited
    ledger = report.ledger
    assert float(ledger["trust.described.share"].value or 0) == pytest.approx(
        float(ledger["trust.ceiling"].value or 0) ** 2
    )
    assert text.endswith("caused it.") or "They do not say that the decision was right or fair" in text
    places = [s["text"].startswith("Trust in this explanation") for s in section["sentences"]]
    assert places[0], "the level comes first, then the weakest point"
    assert "weakest point" in section["sentences"][1]["text"]


def xagent_cli(*words: str, cwd: Path | None = None, **env: str) -> subprocess.CompletedProcess[str]:
    import os

    return subprocess.run(
        [sys.executable, "-m", "xagent.cli", *words], capture_output=True, text=True, timeout=300, cwd=cwd,
        env={**os.environ, **env}, check=False,
    )  # fmt: skip


def graded(ratio: float, cosine: float, source: str = "own") -> Graded:
    trust = Trust(
        level="fair", weakest="fidelity", ceiling=0.95, fidelity=ratio * 0.95, ratio=ratio, interval=(ratio, ratio),
        evidence=Evidence((0,), "tested", beaten=1.0), agreement=0.9, shapley=None, off_manifold=0.0, order=None,
        gap=None, sensitivity=None, conditional=None, full=1.0, background=0.0, coalitions=256, groups=10,
        exhaustive=False, rows=300, version="2",
    )  # fmt: skip
    return Graded(source, cosine, trust)


def test_chosen_thresholds_keep_what_the_levels_promise() -> None:
    """Lists whose cosine follows the ratio, but only from a ratio of 0.97 on as it does elsewhere from 0.95."""
    generator = np.random.default_rng(0)
    ratios = generator.uniform(0.3, 1.0, 800)
    cosines = np.clip(0.9 + 2.5 * (ratios - 0.97) + 0.01 * generator.normal(size=800), -1, 1)
    pool = [graded(float(r), float(c)) for r, c in zip(ratios, cosines, strict=True)]
    pool += [graded(-0.2, -0.1, "random")] * 20
    found = chosen(pool, load_limits())
    above = [g.cosine for g in pool if g.trust.ratio is not None and g.trust.ratio >= found["strong"]]
    assert found["strong"] > 0.96 and sum(c > GOOD for c in above) >= 0.95 * len(above)
    assert 1 >= found["strong"] >= found["fair"] >= found["limited"] >= 0.5
    after = figures(pool, type(load_limits())(**{**vars(load_limits()), "fidelity": found}))
    assert after["good_given_strong"] >= 0.95 and after["spoilt_refused"] == 1.0
    assert chosen(pool[:5], load_limits()) == load_limits().fidelity, "too few lists to learn from"


def test_calibrate_writes_thresholds_that_a_run_then_uses(tmp_path: Path) -> None:
    out = tmp_path / "levels.toml"
    scaffold = str(FIXTURES / "diagnosis/case.json")
    done = xagent_cli("calibrate", scaffold, "--out", str(out), "--rows", "6", "-q")
    assert done.returncode == 0, done.stderr
    assert "| fidelity ratio for strong | 0.95 |" in done.stdout
    written = tomllib.loads(out.read_text(encoding="utf-8"))
    case = load_case(scaffold)
    assert written["model"]["sha256"] == case.model.sha256
    assert written["measured"]["rows"] == 6
    again = xagent_cli("calibrate", scaffold, "--out", str(tmp_path / "again.toml"), "--rows", "6", "-q")
    assert again.returncode == 0 and (tmp_path / "again.toml").read_bytes() == out.read_bytes()
    refused = xagent_cli("calibrate", scaffold, "--out", str(out), "-q")
    assert refused.returncode == UsageFault.exit_code and "--force" in refused.stderr

    report = explain_all(case, ["regulator"], load_settings(trust={"levels": out}))[0]
    artifact = next(a for a in report.data["artifacts"] if a["tool"] == "trust")
    import hashlib

    assert artifact["inputs_sha256"]["levels"] == hashlib.sha256(out.read_bytes()).hexdigest()
    assert artifact["parameters"]["levels"]["version"] == "3+calibrated"
    assert artifact["data"]["limits"]["fidelity"] == written["fidelity"]
    assert report.ledger["trust.calibrated.name"].value == case.model.name
    with pytest.raises(ConfigurationFault, match="another model"):
        explain_all(CREDIT, ["regulator"], load_settings(trust={"levels": out}))


def test_calibrate_says_what_it_needs(tmp_path: Path) -> None:
    answer = xagent_cli("calibrate", str(FIXTURES / "answer/case.json"), "--out", str(tmp_path / "a.toml"), "-q")
    assert answer.returncode == InvalidCase.exit_code and "reference" in answer.stderr
    bare = json.loads((FIXTURES / "diagnosis/case.json").read_text(encoding="utf-8"))
    del bare["reference"]
    (tmp_path / "case.json").write_text(json.dumps(bare))
    for name in ("model.pt2", "encoder.json", "system.json", "telemetry.jsonl", "window.csv"):
        (tmp_path / name).write_bytes((FIXTURES / "diagnosis" / name).read_bytes())
    none = xagent_cli("calibrate", "case.json", "-q", cwd=tmp_path)
    assert none.returncode == InvalidCase.exit_code and "names no reference" in none.stderr
    assert not (tmp_path / "levels.toml").exists()
    wrong = xagent_cli("explain", "case.json", "--json", cwd=tmp_path, XAGENT_TRUST__LEVELS="absent.toml")
    assert wrong.returncode == ConfigurationFault.exit_code and "absent.toml" in wrong.stderr


@pytest.mark.parametrize("path", sorted(FIXTURES.glob("*/case*.json")), ids=lambda p: p.parent.name)
def test_the_plan_runs_nothing_and_is_no_less_than_what_trust_then_takes(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    case = load_case(path)
    subject = load_subject(case)  # which tries one blank row
    with monkeypatch.context() as patched:
        patched.setattr("xagent._plan.load_subject", lambda *_, **__: subject)
        patched.setattr(Subject, "logits", lambda *_: pytest.fail("a row went through the model"))
        patched.setattr(Subject, "forward", lambda *_: pytest.fail("a row went through the model"))
        plan = planned(case, READERS, load_settings())
    steps = {step.tool: step for step in plan.steps}
    assert {"relevance", "trust", "reproduction"} <= set(steps)
    report = explain_all(case, ["regulator"])[0]
    taken = next(a for a in report.data["artifacts"] if a["tool"] == "trust")["data"]["rows"]
    assert (steps["trust"].rows or 0) >= taken > 0
    players = next(a for a in report.data["artifacts"] if a["tool"] == "relevance")["data"]["players"]
    assert plan.players == len(players)
    assert any("nothing was run" in line for line in plan.lines())


def test_dry_run_prints_the_plan_and_writes_no_report(tmp_path: Path) -> None:
    done = xagent_cli("explain", str(CREDIT), "--dry-run", "-p", "all", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert re.search(r"trust +[\d,]+ rows +required by [a-z_, ]*business_user", done.stdout)
    assert "on demand: " in done.stdout and list(tmp_path.iterdir()) == []


def test_long_checks_say_how_far_they_have_come(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 0.4, 1.5, 1.9, 3.2, 3.3, 3.4, 3.5, 3.6])
    monkeypatch.setattr("xagent.tools._trust_setup.time.monotonic", lambda: next(clock))
    said: list[tuple[str, str, float | None]] = []
    ctx = Context(case=None, card=None, subject=None, progress=lambda *words: said.append(words))  # type: ignore[arg-type]
    score = with_progress(ctx, lambda keep: keep.sum(1).double(), "trust")
    keep = torch.ones(2100, 3, dtype=torch.bool)
    assert torch.equal(score(keep), torch.full((2100,), 3.0, dtype=torch.float64))
    assert said == [("trust", "1,024 of 2,100 probes", 1.5), ("trust", "2,048 of 2,100 probes", 3.2)]


def test_the_order_of_removal_is_measured_when_it_is_asked_for() -> None:
    plain, asked = (
        explain_all(CREDIT, ["data_scientist"], load_settings(trust={"order": o}))[0] for o in (False, True)
    )
    assert "trust.order.z" not in plain.ledger
    assert float(asked.ledger["trust.order.z"].value or 0) > 2
    text = " ".join(s["text"] for section in asked.data["narrative"]["sections"] for s in section["sentences"])
    assert "Order of removal, compared with random orders" in text
