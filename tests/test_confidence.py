"""Confidence and conformity of the model itself: what is promised holds on fresh data, and odd cases get words."""

from __future__ import annotations

import dataclasses
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.ensemble import RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from test_tools_core import COLUMNS, VALUES, context, linear, network, run

from xagent._explain import explain_all
from xagent.case import load_card, load_case
from xagent.errors import ConfigurationFault, InvalidCase
from xagent.evidence import Ledger
from xagent.subject import Subject, load_subject
from xagent.tools import Context, NotApplicable, run_tool
from xagent.tools import _confidence_cache as cache
from xagent.tools import _confidence_maths as maths
from xagent.tools._confidence_profiles import Tracing, profiles_of
from xagent.tools.confidence import ALPHA, Confidence
from xagent.tools.relevance import Relevance

STATES = {"ok", "deviation", "cannot tell", "not supplied"}
LINES = ("margin", "outcomes", "neighbours", "grounds", "weight")


# -- what conformal methods promise, on data drawn anew ---------------------------------------------------------------


def drawn(rng: np.random.Generator, n: int, shares: tuple[float, ...] = (0.6, 0.25, 0.15)) -> tuple[Any, Any]:
    """Three overlapping classes in the plane, and the scores of a model that shuns the last one."""
    truth = rng.choice(3, size=n, p=shares)
    centres = np.array([[0.0, 0.0], [1.6, 0.0], [0.0, 1.6]])
    x = centres[truth] + rng.normal(size=(n, 2))
    distance = ((x[:, None] - centres) ** 2).sum(2)
    return -0.7 * distance - np.array([0.0, 0.0, 1.5]), truth


def test_a_conformal_set_covers_the_truth_class_by_class_as_often_as_it_says() -> None:
    rng = np.random.default_rng(1)
    hits: list[tuple[int, bool, int]] = []
    for _ in range(60):
        logits, truth = drawn(rng, 400)
        fresh, answers = drawn(rng, 25, (1 / 3, 1 / 3, 1 / 3))  # class by class, so the mix may change
        for row, answer in zip(fresh, answers, strict=True):
            found = maths.prediction_set(logits, truth, row)
            assert found is not None and found.by_class
            hits.append((answer, answer in found.members, len(found.members)))
    for k in range(3):
        covered = [hit for answer, hit, _ in hits if answer == k]
        # 500 rows and 60 calibrations of 60 rows and more: one standard error is at most 0.015
        assert 0.9 - 0.045 < np.mean(covered) < 0.9 + 0.045 + 1 / 60, k
    assert 1.0 < np.mean([size for _, _, size in hits]) < 2.2, "the sets say something"


def test_few_rows_of_a_class_calibrate_together_and_too_few_not_at_all() -> None:
    rng = np.random.default_rng(2)
    covered = []
    for _ in range(40):
        logits, truth = drawn(rng, 100, (0.8, 0.15, 0.05))
        fresh, answers = drawn(rng, 25, (0.8, 0.15, 0.05))
        for row, answer in zip(fresh, answers, strict=True):
            found = maths.prediction_set(logits, truth, row)
            assert found is not None and not found.by_class
            covered.append(answer in found.members)
    assert 0.86 < np.mean(covered) < 0.95  # one standard error 0.011
    logits, truth = drawn(rng, maths.LEAST_LABELLED - 1)
    assert maths.prediction_set(logits, truth, logits[0]) is None
    assert maths.interval(logits[:, 0], logits[:, 0], 0.0) is None


def test_a_conformal_interval_covers_the_true_value_and_is_its_order_statistic() -> None:
    rng = np.random.default_rng(3)
    covered = []
    for _ in range(80):
        predicted = rng.normal(size=99)
        truth = predicted + rng.standard_t(4, size=99)
        bounds = maths.interval(predicted, truth, 0.0)
        assert bounds is not None
        half = np.sort(np.abs(truth - predicted))[math.ceil(0.9 * 100) - 1]
        assert bounds == pytest.approx((-half, half))
        covered.extend(np.abs(rng.standard_t(4, size=25)) <= bounds[1])
    assert abs(np.mean(covered) - 0.9) < 0.025  # 2,000 rows and 80 calibrations of 99: one standard error is 0.008


def profiles(rng: np.random.Generator, n: int) -> Any:
    """Relevances of twelve inputs, the first three of which decide."""
    weight = np.array([5.0, 4.0, 3.0, *[0.3] * 9])
    return rng.gamma(2.0, weight, size=(n, 12)) * rng.choice([1, 1, 1, -1], size=(n, 12))


def test_p_values_of_exchangeable_profiles_are_uniform_and_never_below_their_resolution() -> None:
    rng = np.random.default_rng(4)
    found = []
    for _ in range(400):
        shape = profiles_of(profiles(rng, 100)).shape
        found.append(maths.profile_p(shape[:-1], shape[-1], 1.0))
    p = np.array(found)
    assert p.min() >= 1 / 100
    for level in (0.05, 0.2, 0.5, 0.8):
        assert abs((p <= level).mean() - level) < 3.3 * math.sqrt(level * (1 - level) / len(p)), level


def test_a_planted_odd_profile_is_found_with_power() -> None:
    rng = np.random.default_rng(5)
    hits = 0
    for _ in range(60):
        amounts = profiles(rng, 200)
        amounts[-1] = np.roll(amounts[-1], 4)  # the same sizes, on inputs that hardly ever decide
        shape = profiles_of(amounts).shape
        hits += maths.profile_p(shape[:-1], shape[-1], 1.0) <= ALPHA
    assert hits >= 57


@settings(deadline=None, max_examples=200)
@given(
    rows=st.lists(st.lists(st.integers(-3, 3), min_size=3, max_size=3), min_size=2, max_size=30),
    data=st.data(),
    norm=st.sampled_from([1.0, 2.0]),
)
def test_neighbours_do_not_depend_on_the_order_of_rows_and_are_those_of_plain_loops(
    rows: list[list[int]], data: Any, norm: float
) -> None:
    known, own = np.array(rows[:-1], dtype=float), np.array(rows[-1], dtype=float)
    found = maths.nearest(known, own, 4, norm)
    order = data.draw(st.permutations(range(len(known))))
    other = maths.nearest(known[order], own, 4, norm)
    assert 1 / (len(known) + 1) <= found.p <= 1 and 0 <= found.percentile <= 100
    assert (other.p, other.percentile) == (found.p, found.percentile)
    everyone = np.concatenate([known, own[None]])
    gaps = [[np.linalg.norm(a - b, norm) for b in everyone] for a in everyone]
    means = [np.mean(sorted(g for j, g in enumerate(row) if j != i)[:4]) for i, row in enumerate(gaps)]
    assert found.distance == pytest.approx(means[-1], abs=1e-6)
    assert found.p == np.mean([m >= means[-1] - 1e-6 for m in means])
    assert np.sort(np.array(gaps[-1][:-1])[found.places]) == pytest.approx(sorted(gaps[-1][:-1])[:4], abs=1e-6)


def test_identical_rows_are_never_unusual_and_log_odds_do_not_saturate() -> None:
    same = maths.nearest(np.full((40, 3), 0.1), np.full(3, 0.1), 5)
    assert (same.p, same.distance, same.percentile) == (1.0, 0.0, 50.0)
    odds = maths.log_odds(np.array([[0.0, 900.0], [0.0, 901.0]]))
    assert odds.tolist() == [[-900.0, 900.0], [-901.0, 901.0]]


# -- the tool ---------------------------------------------------------------------------------------------------------


def applicants(n: int, seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    return pd.DataFrame(
        {
            "income": rng.normal(40, 10, n).round(2),
            "debt": rng.normal(10, 5, n).round(2),
            "purpose": rng.choice(["car", "home"], n),
            "age": rng.normal(40, 10, n).round(),
            "late payments": rng.poisson(0.3, n),
        }
    )


def known(folder: Path, module: Any, frame: pd.DataFrame, reference: dict[str, Any] | None = None, **more: Any) -> Any:
    """A case whose reference population is `frame`."""
    context(folder, module, **more)
    frame.to_csv(folder / "reference.csv", index=False)
    case = json.loads((folder / "case.json").read_text())
    case["reference"] = {"path": "reference.csv", "name": "applicants of 2025"} | (reference or {})
    (folder / "case.json").write_text(json.dumps(case))
    loaded = load_case(folder / "case.json")
    return Context(case=loaded, card=load_card(loaded), subject=load_subject(loaded, device="cpu"))


def outcomes(ctx: Context, frame: pd.DataFrame, seed: int = 1) -> list[str]:
    """Outcomes drawn from the model's own probabilities: a calibrated model."""
    chance = torch.sigmoid(ctx.subject.logits({"input": ctx.subject.encode_table(frame)})[:, 1]).numpy()
    return np.where(np.random.default_rng(seed).random(len(frame)) < chance, "default", "repaid").tolist()


def labelled(folder: Path, module: Any, frame: pd.DataFrame, **more: Any) -> Context:
    truth = outcomes(known(folder, module, frame), frame)
    return known(folder, module, frame.assign(outcome=truth), {"label": "outcome"}, **more)


def states(data: Any) -> dict[str, str]:
    found = {line: getattr(data, line).state for line in LINES}
    assert set(found.values()) <= STATES
    for line in LINES:
        assert (found[line] in ("cannot tell", "not supplied")) == (getattr(data, line).why is not None), line
    return found


def test_every_line_of_a_labelled_case_is_told_and_right(tmp_path: Path) -> None:
    frame = applicants(900)
    ctx = labelled(tmp_path, linear(), frame)
    data, ledger = run(Confidence(), ctx)
    rows = ctx.subject.encode_table(frame)
    scores = ctx.subject.logits({"input": rows})[:, 1].double()
    own = float((torch.tensor(COLUMNS) @ linear().weight[0] + linear().bias).detach())
    assert data.margin.value == pytest.approx(abs(own), abs=1e-5)
    assert data.margin.below == pytest.approx(float((scores.abs() < abs(own)).double().mean()), abs=1e-3)
    assert ledger["confidence.margin.percentile"].value == pytest.approx(100 * data.margin.below)
    assert data.outcomes.by_class and data.outcomes.n == 900
    # the nearest rows, by plain loops: every input at variance one, both columns of the purpose together
    spread = rows.double().std(0, correction=0)
    spread[2:4] = (rows[:, 2:4].double().var(0, correction=0).sum()).sqrt()
    gaps = (((rows.double() - torch.tensor(COLUMNS).double()) / spread) ** 2).sum(1)
    near = gaps.argsort()[:20]
    assert data.neighbours.k == 20
    assert data.neighbours.same == pytest.approx(float((scores[near] >= 0).double().mean()))
    truth = pd.read_csv(tmp_path / "reference.csv")["outcome"].to_numpy()[near.numpy()]
    assert data.neighbours.true == pytest.approx(float((truth == "default").mean()))
    same = int((scores >= 0).sum())
    assert data.grounds.n == data.weight.n == same and data.grounds.resolution == 1 / (same + 1)
    assert data.grounds.p is not None and data.grounds.p >= data.grounds.resolution
    assert ledger["confidence.seen"].value == "cannot tell"


@pytest.mark.parametrize("make", [linear, network])
def test_profiles_made_together_are_those_of_the_relevance_tool(tmp_path: Path, make: Any) -> None:
    frame = applicants(40)
    ctx = known(tmp_path, make(), frame)
    encoded = ctx.subject.encode(ctx.case.input)
    rows = ctx.subject.encode_table(frame)
    tracing = Tracing(ctx, encoded, 1, ctx.subject.background(rows))
    together = tracing.of_rows(rows, ctx.subject.logits({"input": rows}).double().numpy())
    for i in (0, 17, 39):
        values = {k: v.item() if hasattr(v, "item") else v for k, v in frame.iloc[i].items()}
        case = ctx.case.model_copy(update={"input": ctx.case.input.model_copy(update={"values": values})})
        single = {p.feature: p.relevance for p in Relevance().run(dataclasses.replace(ctx, case=case)).players}
        amounts = np.array([[single[player.feature] for player in encoded.players]])
        assert together.total[i] == pytest.approx(np.abs(amounts).sum(), rel=1e-4)
        assert together.shape[i] == pytest.approx(profiles_of(amounts).shape[0], abs=1e-4)


def test_words_traced_together_have_the_relevance_that_they_have_alone(fixtures: Path) -> None:
    case = load_case(fixtures / "triage/case.json")
    ctx = Context(case=case, card=load_card(case), subject=load_subject(case, device="cpu"))
    lines = (fixtures / "triage/reference.jsonl").read_text(encoding="utf-8").splitlines()[:9]
    texts = ctx.subject.encode_texts([json.loads(line)["text"] for line in lines])
    logits = np.concatenate([ctx.subject.logits(t.inputs).double().numpy() for t in texts])
    tracing = Tracing(ctx, texts[0], 1, None)
    centre = np.zeros(texts[0].inputs["inputs_embeds"].shape[2])
    together = tracing.of_texts(texts, logits, centre)
    for i, text in enumerate(texts):
        alone = tracing.of_texts([text], logits[i : i + 1], centre)
        assert together.total[i] == pytest.approx(alone.total[0], rel=1e-4)
        assert together.shape[i] == pytest.approx(alone.shape[0], abs=1e-5)


def test_an_answer_on_odd_grounds_is_flagged_to_every_reader(tmp_path: Path) -> None:
    """Every known default rests on income and debt; this one on late payments alone."""
    module = linear()
    frame = applicants(900).assign(**{"late payments": lambda t: t.index % 5 * 0.01})
    odd = {"income": 40.0, "debt": 10.0, "purpose": "home", "age": 40.0, "late payments": 6.0}
    score = float(torch.sigmoid(module(torch.tensor([[0.0, 0.0, 0.0, 1.0, 0.0, 6.0]])).detach())[0])
    ctx = known(tmp_path, module, frame, values=odd, prediction={"score": score})
    data, _ = run(Confidence(), ctx)
    assert data.grounds.state == "deviation" and data.grounds.p == data.grounds.resolution
    assert data.neighbours.far and data.neighbours.state == "cannot tell"
    for report in explain_all(ctx.case, personas=("business_user", "data_scientist", "regulator")):
        told = {w["finding"]: w for w in report.data["warnings"]}
        assert "The model rarely decides on such grounds" in told["confidence.rare-grounds"]["sentence"]["text"]


def test_fixtures_answer_each_line(fixtures: Path) -> None:
    wanted = {
        "credit/case-declined.json": ("only", "ok"),
        "credit/case-near-threshold.json": ("full", "deviation"),
        "digits/case.json": ("only", None),
        "triage/case.json": ("only", "ok"),
        "diagnosis/case.json": (None, "ok"),
    }
    for name, (verdict, near) in wanted.items():
        case = load_case(fixtures / name)
        ctx = Context(case=case, card=load_card(case), subject=load_subject(case, device="cpu"))
        data, _ = run(Confidence(), ctx)
        assert data.outcomes.verdict == verdict and (near is None or data.neighbours.state == near), name
        assert data.grounds.state == "ok" and data.grounds.resolution <= ALPHA, name
        assert states(data)["outcomes"] == ("not supplied" if verdict is None else data.outcomes.state)


# -- what is missing, small or odd ------------------------------------------------------------------------------------


def test_without_a_reference_nothing_is_compared_and_the_rest_is_said(tmp_path: Path) -> None:
    data, ledger = run(Confidence(), context(tmp_path, linear(), reference=False))
    assert set(states(data).values()) == {"not supplied"}
    assert data.margin.value and data.weight.total and not data.weight.nothing
    assert "confidence.set.coverage" not in ledger and "confidence.seen" not in ledger


def test_without_outcomes_no_set_is_made_up(tmp_path: Path) -> None:
    data, ledger = run(Confidence(), known(tmp_path, linear(), applicants(300)))
    assert data.outcomes.state == "not supplied" and data.neighbours.true is None
    assert not [key for key in ledger if key.startswith("confidence.set.") and key[15:] not in ("state", "why")]


def test_one_row_and_few_outcomes_cannot_tell(tmp_path: Path) -> None:
    data, _ = run(Confidence(), known(tmp_path, linear(), applicants(1)))
    assert set(states(data).values()) == {"cannot tell", "not supplied"}
    frame = applicants(200).assign(outcome=["default"] * 9 + [None] * 191)
    data, ledger = run(Confidence(), known(tmp_path, linear(), frame, {"label": "outcome"}))
    assert data.outcomes.state == "cannot tell" and ledger["confidence.set.n"].value == 9


def test_constant_features_and_a_constant_model_give_statements_not_numbers(tmp_path: Path) -> None:
    frame = pd.DataFrame([VALUES] * 300)
    data, _ = run(Confidence(), known(tmp_path, network(), frame))
    assert data.neighbours.p == 1.0 and data.margin.percentile == 50.0
    module = linear()
    with torch.no_grad():
        module.weight.zero_()
    data, ledger = run(Confidence(), known(tmp_path, module, applicants(300), prediction={"label": "repaid"}))
    assert data.weight.nothing and data.weight.state == "deviation" and data.grounds.state == "cannot tell"
    assert ledger["confidence.relevance.nothing"].value == "yes" and data.grounds.p is None


def test_scores_that_are_no_numbers(tmp_path: Path) -> None:
    class Broken(torch.nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return (x[:, :1] - 1.0).sqrt()  # NaN below one

    ctx = known(tmp_path, Broken(), applicants(300), prediction={"score": 0.5})
    artifact = run_tool("confidence", ctx)
    assert artifact.status == "failed" and "not a finite number" in (artifact.why or "")
    fine = ctx.case.input.model_copy(update={"values": VALUES | {"income": 70.0}})
    data, ledger = run(Confidence(), dataclasses.replace(ctx, case=ctx.case.model_copy(update={"input": fine})))
    assert data.unusable > 0 and data.unusable + data.compared == 300
    assert ledger["confidence.unusable.count"].value == data.unusable


@pytest.mark.parametrize("threshold", [None, 0.2, 30.0])
def test_a_regression_has_an_interval_and_neighbours(tmp_path: Path, threshold: float | None) -> None:
    frame = applicants(500)
    noise = np.random.default_rng(0).normal(size=500)
    output = {"kind": "value", "unit": "EUR"}
    more = {"output": output, "prediction": {"threshold": threshold}}
    ctx = known(tmp_path, linear(), frame, **more)
    value = ctx.subject.logits({"input": ctx.subject.encode_table(frame)})[:, 0].numpy() + noise
    ctx = known(tmp_path, linear(), frame.assign(paid=value), {"label": "paid"}, **more)
    data, ledger = run(Confidence(), ctx)
    low, high = ledger["confidence.interval.low"], ledger["confidence.interval.high"]
    assert low.unit == high.unit == "EUR" and (high.value - low.value) / 2 == pytest.approx(1.645, abs=0.25)
    assert data.neighbours.true_median is not None and data.neighbours.low <= data.neighbours.median
    assert data.grounds.n == 500
    if threshold is None:
        assert data.margin.state == "not supplied" and data.outcomes.crosses is None and data.neighbours.same is None
    else:
        assert data.outcomes.crosses == (low.value < threshold <= high.value)
        assert data.outcomes.state == ("deviation" if data.outcomes.crosses else "ok")
        assert data.neighbours.same is not None
    explain_all(ctx.case, personas=("business_user", "data_scientist", "regulator"))  # every sentence verifies


def test_more_classes_use_each_rows_own_runner_up(tmp_path: Path) -> None:
    classes = ["low", "middle", "high"]
    more = {"output": {"kind": "logits", "classes": classes}, "prediction": {"label": "low", "target": "low"}}
    frame = applicants(400)
    ctx = known(tmp_path, network(3), frame, **more)
    logits = ctx.subject.logits({"input": ctx.subject.encode_table(frame)}).double().numpy()
    weights = Tracing(ctx, ctx.subject.encode(ctx.case.input), 0, None).weights(logits).numpy()
    assert (weights[:, 0] == 1).all() and (weights.sum(1) == 0).all()
    assert (weights * logits).sum(1) == pytest.approx(logits[:, 0] - logits[:, 1:].max(1))
    data, _ = run(Confidence(), ctx)
    top = np.sort(ctx.subject.logits(ctx.subject.encode(ctx.case.input).inputs)[0].double().numpy())
    assert data.margin.value == pytest.approx(top[-1] - top[-2])


def test_a_written_answer_has_no_margin(fixtures: Path) -> None:
    case = load_case(fixtures / "answer/case.json")
    ctx = Context(case=case, card=load_card(case), subject=load_subject(case, device="cpu"))
    with pytest.raises(NotApplicable, match="no class and no value"):
        Confidence().run(ctx)


@pytest.mark.parametrize("estimator", [LogisticRegression(), RandomForestClassifier(20, random_state=0)])
def test_models_without_a_module_have_profiles_too(tmp_path: Path, estimator: Any) -> None:
    frame = applicants(300)[["income", "debt", "age"]]
    estimator.fit(frame, np.where(frame["income"] < 40, "default", "repaid"))
    ctx = known(tmp_path, linear(), applicants(300), {"label": None})
    subject = Subject.from_estimator(estimator, frame)
    values = {"income": 25.0, "debt": 20.0, "age": 40.0}
    case = ctx.case.model_copy(
        update={
            "input": ctx.case.input.model_copy(update={"values": values}),
            "model": ctx.case.model.model_copy(update={"output": subject.output}),
            "prediction": ctx.case.prediction.model_copy(update={"scale": "probability"}),
        }
    )
    data, _ = run(Confidence(), dataclasses.replace(ctx, case=case, subject=subject))
    assert data.grounds.n > 99 and data.grounds.p is not None and data.weight.total > 0
    assert data.neighbours.same == 1.0


@pytest.mark.parametrize(
    ("column", "label", "words"),
    [
        (["paid"] * 60, "outcome", "'paid' is not one of model.output.classes"),
        (["repaid"] * 60, "result", "has no column 'result'"),
        ([1, 0] * 30, "outcome", "'1' is not one of model.output.classes"),
    ],
)
def test_outcomes_that_are_not_the_models_are_refused(
    tmp_path: Path, column: list[Any], label: str, words: str
) -> None:
    ctx = known(tmp_path, linear(), applicants(60).assign(outcome=column), {"label": label})
    with pytest.raises(InvalidCase, match=words):
        run_tool("confidence", ctx)


def test_the_outcome_cannot_be_an_input(tmp_path: Path) -> None:
    with pytest.raises(InvalidCase, match=r"reference.label 'debt' is an input"):
        known(tmp_path, linear(), applicants(60), {"label": "debt"})


# -- what is kept for the next case -----------------------------------------------------------------------------------


def test_what_was_computed_is_kept_and_gives_the_same_bytes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "kept"
    ctx = dataclasses.replace(labelled(tmp_path, network(), applicants(300)), cache=folder)
    cache.forget()
    first = Confidence().run(ctx).model_dump_json()
    assert len(list(folder.glob("confidence-*.npz"))) == 2 and not list(folder.glob("*.part"))
    traced: list[int] = []
    of_rows = Tracing.of_rows

    def counted(self: Tracing, rows: torch.Tensor, logits: Any) -> Any:
        traced.append(len(rows))
        return of_rows(self, rows, logits)

    monkeypatch.setattr(Tracing, "of_rows", counted)
    assert Confidence().run(ctx).model_dump_json() == first and traced == [1]
    cache.forget()
    assert Confidence().run(ctx).model_dump_json() == first and traced == [1, 1]
    other = dataclasses.replace(ctx, rules="gradient")
    Confidence().run(other)
    assert len(traced) == 4 and traced[2] > 1, "other rules, other profiles"
    for path in folder.iterdir():
        path.write_bytes(b"PK no archive")
    cache.forget()
    assert Confidence().run(ctx).model_dump_json() == first and len(traced) == 6
    cache.forget()
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigurationFault, match="cannot be written"):
        run_tool("confidence", dataclasses.replace(ctx, cache=tmp_path / "file"))


def test_a_model_without_a_file_is_never_kept() -> None:
    cache.forget()
    made: list[int] = []

    def make() -> dict[str, Any]:
        made.append(1)
        return {"a": np.zeros(1)}

    for _ in range(2):
        cache.remembered(None, None, make)
        cache.remembered({"a": 1}, None, make)
    assert len(made) == 3


def test_claims_and_findings_of_every_verdict_verify(tmp_path: Path) -> None:
    """Each verdict is worded for each reader, whatever the ledger around it."""
    from narrative_samples import ledger_of

    from xagent.agent._confidence import about_the_confidence
    from xagent.narrative import compose, verify
    from xagent.personas import load_persona, persona_names
    from xagent.tools._confidence_result import Grounds, Margin, Neighbours, Open, Outcomes, Weight

    ctx = labelled(tmp_path, linear(), applicants(200))
    case = ctx.case.model_copy(update={"subject": "P-17"})
    ctx = dataclasses.replace(ctx, case=case)
    data = Confidence().run(ctx)
    base = ledger_of("tabular")
    held = tuple(Open(name=name, p=0.4) for name in ("default", "repaid"))
    few = {"why": "There are too few known cases to compare with (3).", "n": 3}
    variants: list[dict[str, Any]] = [
        {
            "outcomes": Outcomes(
                state="deviation", verdict=v, coverage=0.9, n=90, by_class=b, answer_p=0.2, open=held[:k]
            )
        }
        for v, k, b in (("several", 2, True), ("full", 2, False), ("empty", 0, True), ("other", 1, True))
    ]
    variants += [
        {"grounds": Grounds(state="deviation", alpha=0.01, n=120, p=1 / 121, resolution=1 / 121)},
        {"weight": Weight(state="deviation", total=0.0, nothing=True, n=120)},
        {"weight": Weight(state="deviation", total=0.2, below=0.01, percentile=1.0, n=120)},
        {"neighbours": Neighbours(state="deviation", n=200, k=20, same=0.2, true=0.1, percentile=50.0, p=0.5)},
        {
            "neighbours": Neighbours(
                state="cannot tell", far=True, n=200, k=20, same=0.2, percentile=99.9, p=0.005, why="Far."
            )
        },
        {"margin": Margin(state="deviation", value=0.01, near_zero=True, below=0.0, percentile=0.0, n=200)},
        {
            "margin": Margin(state="cannot tell", value=0.3, near_zero=False, **few),
            "outcomes": Outcomes(state="cannot tell", coverage=0.9, **few),
            "neighbours": Neighbours(state="cannot tell", **few),
            "grounds": Grounds(state="cannot tell", alpha=0.01, **few),
            "weight": Weight(state="cannot tell", total=1.0, **few),
        },
        {"used_in_training": True},
        {"used_in_training": False, "unusable": 4},
    ]
    for change in variants:
        claims = list(Confidence().claims(data.model_copy(update=change), ctx))
        for without in (False, True):
            ledger = Ledger([*(c for c in base.values() if not (without and c.id == "decision.threshold")), *claims])
            findings = list(about_the_confidence(ledger))
            for name in persona_names():
                persona = load_persona(name)
                problems = verify(compose(ledger, findings, persona), ledger, persona, findings)
                own = [p for p in problems if p.kind != "required" or "confidence" in (p.token or "")]
                assert own == [], (change, name)
