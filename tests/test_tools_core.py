"""Relevance, reproduction, trust and the claims of a case, on small exported models."""

from __future__ import annotations

import csv
import json
import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from xagent.case import FeatureCard, SystemCard, load_card, load_case, read_table
from xagent.evidence import Artifact, Ledger, slug
from xagent.subject import TabularSubject, load_subject
from xagent.subject._estimator import Linear
from xagent.tools import Context, NotApplicable
from xagent.tools._case_claims import case_claims, level_words, value_facts
from xagent.tools.relevance import Relevance
from xagent.tools.reproduction import Reproduction
from xagent.tools.trust import Trust

ENCODER = {
    "schema": "xagent.encoder/1",
    "kind": "tabular",
    "features": [
        {"name": "income", "kind": "numeric", "mean": 40.0, "scale": 10.0},
        {"name": "debt", "kind": "numeric", "mean": 10.0, "scale": 5.0},
        {"name": "purpose", "kind": "onehot", "levels": ["car", "home"], "unknown": "error"},
        {"name": "age", "kind": "numeric", "mean": 40.0, "scale": 10.0, "missing": {"fill": 40.0}},
        {"name": "late payments", "kind": "numeric", "mean": 0.0, "scale": 1.0},
    ],
}
VALUES = {"income": 25.0, "debt": 20.0, "purpose": "car", "age": 40.0, "late payments": 1}
COLUMNS = [-1.5, 2.0, 1.0, 0.0, 0.0, 1.0]
WEIGHTS = [-0.8, 0.6, 0.4, -0.1, 0.3, 0.5]
CARD = {
    "schema": "xagent.system/1",
    "name": "Credit desk",
    "outcomes": {
        "repaid": {"label": "will repay", "favourable": True},
        "default": {"label": "will not repay", "favourable": False, "next_step": "Ask for a guarantor."},
    },
    "features": {
        "income": {"label": "Income", "unit": "kEUR", "decimals": 1},
        "purpose": {"label": "Purpose", "kind": "categorical", "levels": {"car": "a car", "home": "a home"}},
        "age": {"label": "Age", "sensitive": True, "kind": "integer"},
        "debt": {"label": "Debt", "proxy_for": "social standing"},
    },
}


def linear():
    module = nn.Linear(6, 1)
    with torch.no_grad():
        module.weight.copy_(torch.tensor([WEIGHTS]))
        module.bias.fill_(-0.2)
    return module


def network(outputs=1):
    torch.manual_seed(3)
    return nn.Sequential(nn.Linear(6, 16), nn.ReLU(), nn.Linear(16, 8), nn.Tanh(), nn.Linear(8, outputs))


def context(tmp_path, module, *, values=VALUES, card=CARD, output=None, prediction=None, reference=True, found=None):
    """A loaded case around `module`; the recorded score is the model's own unless `prediction` says otherwise."""
    batch = torch.export.Dim("batch", max=4096)
    program = torch.export.export(module.eval(), (torch.zeros(2, 6),), dynamic_shapes=({0: batch},))
    torch.export.save(program, tmp_path / "model.pt2")
    (tmp_path / "encoder.json").write_text(json.dumps(ENCODER))
    (tmp_path / "system.json").write_text(json.dumps(card))
    with (tmp_path / "reference.csv").open("w", newline="") as stream:
        rows = csv.writer(stream)
        rows.writerow(VALUES)
        rows.writerows(
            [40 + i % 7 - 3, 10 + i % 5 - 2, ["home", "car", "home"][i % 3], 35 + i % 11, 0] for i in range(210)
        )
    output = output or {"kind": "logit", "classes": ["repaid", "default"]}
    prediction = {"label": "default", "target": "default", "threshold": 0.5, **(prediction or {})}
    if output["kind"] == "value":
        prediction = {k: v for k, v in prediction.items() if k not in ("label", "target")} | {"scale": "value"}
    with torch.no_grad():
        answer = module(torch.tensor([COLUMNS]))[0]
    own = {"value": answer[0], "logit": torch.sigmoid(answer[0]), "logits": torch.softmax(answer, 0)[-1]}
    case = {
        "schema": "xagent.case/1",
        "id": "c1",
        "subject": "applicant-7",
        "system_card": "system.json",
        "model": {
            "format": "torch-export",
            "path": "model.pt2",
            "name": "m",
            "version": "1",
            "encoder": "encoder.json",
            "output": output,
        },
        "input": {"kind": "tabular", "values": values},
        "prediction": {"score": float(own[output["kind"]]), "decided_at": "2026-03-01T10:00:00+01:00", **prediction},
    }
    if reference:
        case["reference"] = {"path": "reference.csv", "name": "applicants of 2025"}
    (tmp_path / "case.json").write_text(json.dumps(case))
    loaded = load_case(tmp_path / "case.json")
    return Context(case=loaded, card=load_card(loaded), subject=load_subject(loaded, device="cpu"), found=found or {})


def run(tool, ctx):
    """Result and claims, through JSON as an artifact stores them; the claims must not contradict one another."""
    data = tool.result.model_validate_json(tool.run(ctx).model_dump_json())
    claims = list(tool.claims(data, ctx))
    assert len({c.id for c in claims}) == len(claims)
    for claim in claims:
        assert not isinstance(claim.value, float) or math.isfinite(claim.value), claim.id
        assert claim.artifact == tool.name
        assert resolves(claim.pointer, data.model_dump(mode="json")), claim
    return data, Ledger(claims)


def resolves(pointer, data):
    for part in pointer.split("/")[1:]:
        data = data[int(part)] if isinstance(data, list) else data[part.replace("~1", "/").replace("~0", "~")]
    return True


def with_relevance(ctx):
    data = Relevance().run(ctx).model_dump(mode="json")
    found = {"relevance": Artifact(tool="relevance", version="1", status="ok", data=data)}
    return Context(case=ctx.case, card=ctx.card, subject=ctx.subject, seed=ctx.seed, found=found)


def test_relevance_of_a_linear_model_is_weight_times_distance_from_the_average(tmp_path):
    ctx = context(tmp_path, linear())
    data, ledger = run(Relevance(), ctx)
    mean = ctx.subject.encode_table(read_table(tmp_path / "reference.csv", "reference")).double().mean(0)
    parts = [w * (x - float(m)) for w, x, m in zip(WEIGHTS, COLUMNS, mean, strict=True)]
    expected = dict(zip(VALUES, [parts[0], parts[1], parts[2] + parts[3], parts[4], parts[5]], strict=True))
    assert {p.feature: p.relevance for p in data.players} == pytest.approx(expected, abs=1e-5)
    assert ledger["relevance.driver.1.name"].value == "Income"
    assert ledger["relevance.driver.1.name"].feature == "income"
    assert ledger["relevance.driver.1.effect"].sign == 1, "a low income pushes towards default"
    assert ledger["relevance.driver.1.direction"].value == "for"
    assert ledger["relevance.target"].value == "will not repay"
    assert ledger["relevance.foil"].value == "will repay"
    assert ledger["relevance.baseline"].value == "applicants of 2025"


def test_signs_turn_with_the_target(tmp_path):
    towards = run(Relevance(), context(tmp_path, linear()))[0]
    other = run(Relevance(), context(tmp_path, linear(), prediction={"target": "repaid", "label": "repaid"}))[0]
    assert other.score == pytest.approx(-towards.score)
    assert [p.relevance for p in other.players] == pytest.approx([-p.relevance for p in towards.players])


@pytest.mark.parametrize("outputs", [1, 3])
def test_relevance_and_ledger_sum_to_the_score(tmp_path, outputs):
    output = {"kind": "logits", "classes": ["a", "b", "default"]} if outputs == 3 else None
    ctx = context(tmp_path, network(outputs), output=output)
    data, ledger = run(Relevance(), ctx)
    rest = sum(v for k, v in data.ledger.items() if k not in ("inputs", "residual"))
    assert sum(p.relevance for p in data.players) + rest == pytest.approx(data.score, abs=1e-4)
    assert sum(data.ledger.values()) == pytest.approx(data.score, abs=1e-4)
    assert data.gap < 1e-3
    assert sum(p.share for p in data.players) == pytest.approx(1)
    assert [p.rank for p in data.players] == [1, 2, 3, 4, 5]
    shares = [ledger[f"relevance.{d}.share"].value for d in ("for", "against")]
    assert sum(shares) == pytest.approx(1)
    logits = ctx.subject.logits(ctx.subject.encode(ctx.case.input).inputs)[0]
    others = [float(v) for i, v in enumerate(logits) if i != data.target_index]
    assert data.score == pytest.approx(float(logits[data.target_index]) - max(others), abs=1e-5)
    assert run(Trust(), with_relevance(ctx))[0].score == pytest.approx(data.score, abs=1e-5)


def test_drivers_are_compared_with_the_reference(tmp_path):
    _, ledger = run(Relevance(), context(tmp_path, linear()))
    by_feature = {c.feature: c.id.rsplit(".", 1)[0] for c in ledger.values() if c.id.endswith(".name")}
    income, purpose = by_feature["income"], by_feature["purpose"]
    value, typical, compare = (ledger[f"{income}.{part}"] for part in ("value", "typical", "compare"))
    assert (value.value, value.unit, value.decimals) == (25.0, "kEUR", 1)
    assert (typical.value, typical.baseline, typical.unit) == (40.0, "applicants of 2025", "kEUR")
    assert (compare.value, compare.sign) == ("below", -1)
    assert ledger[f"{by_feature['debt']}.compare"].value == "above"
    assert ledger[f"{by_feature['age']}.compare"].value == "equal"
    assert ledger[f"{purpose}.value"].value == "a car"
    assert ledger[f"{purpose}.typical"].value == "a home"
    assert (ledger[f"{purpose}.compare"].value, ledger[f"{purpose}.compare"].sign) == ("different", None)


def test_a_missing_value_and_no_reference(tmp_path):
    ctx = context(tmp_path, linear(), values={**VALUES, "age": None}, reference=False)
    _, ledger = run(Relevance(), ctx)
    assert ledger["relevance.baseline"].value == "an input of zeros"
    last = ledger["relevance.driver.5.name"]
    assert last.feature == "age"
    assert ledger["relevance.driver.5.value"].value == "missing"
    assert ledger["relevance.driver.5.direction"].value == "neither"
    assert "relevance.driver.5.typical" not in ledger
    assert "relevance.driver.5.compare" not in ledger


def test_regression_explains_the_value(tmp_path):
    ctx = context(tmp_path, network(), output={"kind": "value", "unit": "EUR"}, prediction={"threshold": None})
    data, ledger = run(Relevance(), ctx)
    assert data.foil is None
    assert "relevance.foil" not in ledger
    assert (ledger["relevance.score"].unit, ledger["relevance.score"].scale) == ("EUR", "raw")
    _, trust = run(Trust(), with_relevance(ctx))
    assert "trust.remove.flips" not in trust


@pytest.mark.parametrize("coefficients", [True, False])
def test_a_model_without_a_module_is_explained_by_coefficients_or_removal(tmp_path, coefficients):
    ctx = context(tmp_path, linear())
    traced = run(Relevance(), ctx)[0]

    class Outside(TabularSubject):
        def _call(self, inputs):
            return inputs["input"] @ torch.tensor(WEIGHTS) - 0.2

    subject = Outside(
        None, ctx.subject.output, device=ctx.subject.device, dtype=ctx.subject.dtype, encoder=ctx.subject.encoder
    )
    if coefficients:
        known = Linear(torch.tensor([[0.0] * 6, WEIGHTS], dtype=torch.float64), torch.tensor([0.0, -0.2]))
        subject.linear_coefficients = lambda: known
    other = Context(case=ctx.case, card=ctx.card, subject=subject)
    data, ledger = run(Relevance(), other)
    assert [p.relevance for p in data.players] == pytest.approx([p.relevance for p in traced.players], abs=1e-5)
    assert data.gap < 1e-5
    assert ("removal" in ledger["relevance.method"].value) is not coefficients
    trust = run(Trust(), with_relevance(other))[0]
    assert (trust.agreement is None) is not coefficients, "removal is no second opinion on itself"
    assert ("agreement" in trust.absent) is not coefficients


def test_an_input_without_influence_has_no_shares(tmp_path):
    module = linear()
    with torch.no_grad():
        module.weight.zero_()
    ctx = context(tmp_path, module)
    _, ledger = run(Relevance(), ctx)
    assert not [key for key in ledger if key.endswith(".share")]
    assert {ledger[f"relevance.driver.{n}.direction"].value for n in range(1, 6)} == {"neither"}
    data, trust = run(Trust(), with_relevance(ctx))
    assert set(trust) == {"trust.level", "trust.weakest", "trust.why"}
    assert data.level == "do not rely"


def test_reproduction(tmp_path):
    own = run(Reproduction(), context(tmp_path, network()))[0].recomputed
    label = "default" if own >= 0.5 else "repaid"
    for score, named, state in [(own, label, "ok"), (own + 5e-5, label, "ok"), (own + 3e-4, label, "deviation")]:
        ctx = context(tmp_path, network(), prediction={"score": score, "label": named})
        data, ledger = run(Reproduction(), ctx)
        assert data.state == state
        assert ledger["reproduction.difference"].value == pytest.approx(own - score, abs=1e-7)
    wrong = "repaid" if label == "default" else "default"
    data, ledger = run(Reproduction(), context(tmp_path, network(), prediction={"label": wrong}))
    assert (data.state, data.label_state, data.label) == ("deviation", "deviation", label)
    assert ledger["reproduction.state"].value == "deviation"


def test_reproduction_accepts_the_class_that_the_threshold_picks(tmp_path):
    own = run(Reproduction(), context(tmp_path, linear()))[0].recomputed
    assert own > 0.5
    prediction = {"label": "repaid", "threshold": (1 + own) / 2}
    assert run(Reproduction(), context(tmp_path, linear(), prediction=prediction))[0].state == "ok"


def test_trust_of_a_linear_model_is_strong_and_the_decision_flips(tmp_path):
    ctx = with_relevance(context(tmp_path, linear()))
    data, ledger = run(Trust(), ctx)
    assert data.ceiling == pytest.approx(1, abs=1e-5)
    assert data.ratio == pytest.approx(1, abs=1e-5)
    assert data.agreement == pytest.approx(1, abs=1e-5)
    assert data.gap == pytest.approx(0, abs=1e-5)
    assert data.cited[0] == "income"
    assert ledger["trust.remove.flips"].value == "yes"
    assert ledger["trust.keep.share"].value > ledger["trust.random.share"].value
    assert 0 <= ledger["trust.off_manifold"].value <= 1
    again, _ = run(Trust(), ctx)
    assert again == data


def test_trust_notices_a_list_that_was_tampered_with(tmp_path):
    ctx = with_relevance(context(tmp_path, linear()))
    for player in ctx.found["relevance"].data["players"]:
        player["relevance"] *= -1
    data, ledger = run(Trust(), ctx)
    assert data.ratio == pytest.approx(-1, abs=1e-5)
    assert ledger["trust.level"].value == "do not rely"
    assert ledger["trust.weakest"].value == "fidelity"


def test_a_decision_turns_at_its_own_threshold(tmp_path):
    """The same case is over a threshold of 0.5 and under one of 0.95; the reasons cited change sides."""
    over = run(Trust(), with_relevance(context(tmp_path, linear())))[0]
    under = run(
        Trust(), with_relevance(context(tmp_path, linear(), prediction={"threshold": 0.99, "label": "repaid"}))
    )[0]
    assert "income" in over.cited
    assert "income" not in under.cited
    assert under.cited == (), "nothing speaks for repaying here"
    assert under.flips is None


def test_trust_without_relevance_is_not_applicable(tmp_path):
    with pytest.raises(NotApplicable, match="relevance"):
        Trust().run(context(tmp_path, linear()))


def test_case_claims(tmp_path):
    ctx = context(tmp_path, linear(), prediction={"score": 0.52, "decision": "default"})
    claims = list(case_claims(ctx.case, ctx.card, ctx.subject.encode(ctx.case.input).players))
    ledger = Ledger(claims)
    assert len(ledger) == len(claims)
    sources = {"case": ctx.case.public(), "system_card": json.loads((tmp_path / "system.json").read_text())}
    for claim in claims:
        assert resolves(claim.pointer, sources[claim.artifact]), claim
    said = {key: claim.value for key, claim in ledger.items()}
    assert said["decision.label"] == said["decision.outcome"] == "will not repay"
    assert said["decision.margin"] == 0.02
    assert (ledger["decision.margin"].sign, ledger["decision.margin"].scale) == (1, "points")
    assert said["decision.near_threshold"] == "yes"
    assert said["decision.adverse"] == "yes"
    assert said["decision.next_step"] == "Ask for a guarantor."
    assert said["case.decided_at"].startswith("2026-03-01T10")
    assert said["feature.age.sensitive"] == "yes"
    assert said["feature.debt.proxy_for"] == "social standing"
    assert said["input.late-payments.value"] == 1
    assert said["input.purpose.value"] == "a car"
    assert "feature.income.sensitive" not in said


def test_names_that_look_alike_do_not_collide(tmp_path):
    ctx = context(tmp_path, linear())
    names = ["a b", "a_b", "a-b", "A b", "ä b", "a.b", "~/", "", "x" * 200, "x" * 201]
    values = {name or "?": 1 for name in names}
    case = ctx.case.model_copy(update={"input": ctx.case.input.model_copy(update={"values": values})})
    keys = [
        c.id for c in case_claims(case, SystemCard(schema="xagent.system/1", name="s")) if c.id.startswith("input.")
    ]
    assert len(set(keys)) == len(values)
    assert f"input.{slug('a b')}.value" in keys


@pytest.mark.parametrize(
    ("value", "card", "words"),
    [
        (True, {"kind": "boolean"}, "yes"),
        (0, {"kind": "boolean"}, "no"),
        (True, {"kind": "boolean", "levels": {"true": "owns a home", "false": "rents"}}, "owns a home"),
        (1, {"kind": "boolean", "levels": {"true": "owns a home"}}, "owns a home"),
        (2.0, {"kind": "ordinal", "levels": {"2": "middle"}}, "middle"),
        (3.0, {"kind": "categorical"}, "3"),
        ("x", {"kind": "numeric"}, "x"),
        (None, {"kind": "numeric"}, "missing"),
    ],
)
def test_levels_are_told_in_the_words_of_the_card(value, card, words):
    card = FeatureCard(label="f", **card)
    assert value_facts(value, card) == {"kind": "category", "value": words}
    if value is not None:
        assert level_words(value, card) == words


def test_modules_are_imported_before_tools_run_side_by_side():
    """What a tool imports while it runs and says so is there before the fan-out; a package of its own needs is not."""
    code = (
        "import sys\nfrom xagent.case import load_case\nfrom xagent.tools import load_modules\n"
        "load_modules(['deviation', 'drift'], load_case('fixtures/credit/case-declined.json'))\n"
        "print(sorted(m for m in ('crepes', 'scipy.stats', 'sklearn.neighbors', 'transformers') if m in sys.modules))"
    )
    root = Path(__file__).parents[1]
    done = subprocess.run([sys.executable, "-c", code], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "['crepes', 'scipy.stats', 'sklearn.neighbors']"
