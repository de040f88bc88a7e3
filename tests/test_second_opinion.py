"""A second family of methods is run for every prediction, and what it sees otherwise is said to every reader."""

from __future__ import annotations

import dataclasses
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from readability import grades
from test_tools_core import COLUMNS, WEIGHTS, context, linear, network, run

from xagent import Report, explain
from xagent._explain import explain_all
from xagent.errors import UsageFault
from xagent.evidence import Artifact
from xagent.methods import METHODS, Attribution, Game
from xagent.settings import load_settings
from xagent.tools import Context, NotApplicable, run_tool
from xagent.tools._agreement import ABSENT, DRIVES, TOP, compare
from xagent.tools.further_opinion import FurtherOpinion
from xagent.tools.relevance import Relevance
from xagent.tools.second_opinion import BUDGET, OTHER_BUDGET, SecondOpinion, affordable

READERS = ("business_user", "data_scientist", "regulator")


def traced(ctx: Context, **more: Any) -> Context:
    """The context after the relevance tool, as the agent hands it on."""
    return dataclasses.replace(ctx, found={"relevance": run_tool("relevance", ctx)}, **more)


def doctored(ctx: Context, **wrong: float) -> Context:
    """The same with some relevances replaced."""
    data = json.loads(json.dumps(ctx.found["relevance"].data))
    for player in data["players"]:
        player["relevance"] = wrong.get(player["feature"], player["relevance"])
    found = ctx.found["relevance"].model_copy(update={"data": data})
    return dataclasses.replace(ctx, found={"relevance": found})


def text_of(report: Report) -> str:
    narrative = report.data["narrative"]
    noted = [w["sentence"]["text"] for w in report.data["warnings"]]
    return " ".join(noted + [s["text"] for part in narrative["sections"] for s in part["sentences"]])


# -- comparing two lists ----------------------------------------------------------------------------------------------

lists = st.lists(st.integers(-50, 50), min_size=2, max_size=12).filter(any)


@given(listed=lists, scale=st.floats(1e-6, 1e6), data=st.data())
def test_agreement_with_oneself_the_opposite_and_another_order(listed: list[int], scale: float, data: Any) -> None:
    none = [0.0] * len(listed)
    same, opposite = compare(listed, [v * scale for v in listed], none), compare(listed, [-v for v in listed], none)
    assert same and opposite
    assert set(same.states) == {"confirmed"} and set(opposite.states) == {"sign differs"}
    assert same.sign == same.overlap == 1 and opposite.sign == 0 and not same.missed
    assert same.cosine == pytest.approx(1) and opposite.cosine == pytest.approx(-1)
    assert same.rank is None or same.rank == pytest.approx(1)
    assert len(same.top) <= TOP and all(abs(listed[p]) >= DRIVES * max(map(abs, listed)) for p in same.top)
    other = data.draw(st.lists(st.integers(-50, 50), min_size=len(listed), max_size=len(listed)))
    order = data.draw(st.permutations(range(len(listed))))
    straight, shuffled = (
        compare(listed, other, none),
        compare([listed[p] for p in order], [other[p] for p in order], none),
    )
    assert straight and shuffled
    if len({abs(v) for v in listed}) == len(listed) == len({abs(v) for v in other}):
        assert [order[p] for p in shuffled.top] == list(straight.top) and shuffled.states == straight.states


def test_each_state_has_its_case() -> None:
    listed, other = [10.0, -8.0, 6.0, 4.0, 0.5], [10.0, 8.0, 0.2, 1.5, 9.0]
    found = compare(listed, other, [0, 0, 0, 0.9, 0])
    assert found and found.top == (0, 1, 2, 3) and found.missed == (4,)
    assert found.states == ("confirmed", "sign differs", "absent", "cannot tell")
    assert (found.sign, found.overlap) == (0.75, 0.75)
    assert compare([0.0, 0.0], [1.0, 2.0], [0, 0]) is None
    nothing = compare([1.0, 2.0], [0.0, 0.0], [0, 0])
    assert nothing and nothing.cosine is None and set(nothing.states) == {"absent"} and nothing.overlap == 0
    noisy = compare([10.0, 3.0], [10.0, -3.0], [0, 2.0])
    assert noisy and noisy.states == ("confirmed", "cannot tell")  # sampling alone could have turned it


@given(players=st.integers(2, 600), kind=st.sampled_from(["tabular", "text", "image", "generation"]))
def test_what_is_chosen_by_cost_stays_within_the_budget(players: int, kind: str) -> None:
    name, options = affordable(kind, players)
    cost = 2 * options["pairs"] * (players - 1) + 2 if "pairs" in options else METHODS[name].cost(players)
    assert METHODS[name].family == "removal" and METHODS[name].extra is None
    assert name == "occlusion" or cost <= BUDGET.get(kind, OTHER_BUDGET)
    if kind == "tabular" and players <= 12:
        assert name == "exact_shapley"


# -- the tool ---------------------------------------------------------------------------------------------------------


def test_two_families_agree_on_a_linear_model_to_the_last_digit(tmp_path: Path) -> None:
    ctx = traced(context(tmp_path, linear()))
    data, ledger = run(SecondOpinion(), ctx)
    reference = ctx.subject.background(ctx.subject.encode_table(pd.read_csv(tmp_path / "reference.csv")))
    truth = torch.tensor(WEIGHTS) * (torch.tensor(COLUMNS) - reference[0])
    by_player = [truth[0], truth[1], truth[2] + truth[3], truth[4], truth[5]]
    assert data.methods[1].name == "exact_shapley" and data.methods[1].forwards == 32
    assert data.methods[1].relevance == pytest.approx([float(v) for v in by_player], abs=1e-5)
    assert data.cosine == pytest.approx(1) and data.sign == data.overlap == 1 and data.rank == pytest.approx(1)
    assert ledger["agreement.state"].value == "ok" and ledger["agreement.disagree.count"].value == 0
    assert ledger["agreement.method.1.name"].value == "relevance propagation, conserving rules"
    assert ledger["agreement.driver.1.state"].value == "confirmed"
    assert run_tool("second_opinion", ctx).parameters["budget"] == 4096


def test_a_wrong_list_is_caught_driver_by_driver(tmp_path: Path) -> None:
    """Turned, invented and left out: each is seen, and named for what it is."""
    ctx = traced(context(tmp_path, linear()))
    listed = {p["feature"]: p["relevance"] for p in ctx.found["relevance"].data["players"]}
    top = sorted(listed, key=lambda f: -abs(listed[f]))
    data, ledger = run(
        SecondOpinion(), doctored(ctx, **{top[0]: -listed[top[0]], top[1]: 0.0, "age": abs(listed[top[0]]) / 2})
    )
    states = {driver.feature: driver.state for driver in data.drivers}
    assert states[top[0]] == "sign differs" and states["age"] == "absent"
    assert [driver.feature for driver in data.missed] == [top[1]]
    assert ledger["agreement.state"].value == "deviation" and ledger["agreement.disagree.count"].value == 3


def test_methods_are_chosen_by_settings_and_what_does_not_fit_says_so(tmp_path: Path) -> None:
    wanted = ("integrated_gradients", "grad_cam", "occlusion", "kernel_shap", "lime")
    ctx = traced(context(tmp_path, network()), methods=wanted)
    data, ledger = run(SecondOpinion(), ctx)
    assert [m.name for m in data.methods] == ["propagation", "occlusion", "kernel_shap", "lime", *wanted[:2]]
    assert data.chosen == "by the settings" and data.methods[4].parameters["steps"] == 64
    assert data.methods[5].status == "not applicable" and "image" in str(data.methods[5].why)
    assert ledger["agreement.method.5.gap"].value < 0.01 and "agreement.method.6.why" in ledger
    only, _ = run(SecondOpinion(), traced(context(tmp_path, network()), methods=("integrated_gradients",)))
    assert [m.family for m in only.methods] == ["propagation", "removal", "gradient"]  # always a second family
    many, _ = run(SecondOpinion(), traced(context(tmp_path, network()), methods=("exact_shapley",)))
    assert many.methods[1].name == "exact_shapley"
    with pytest.raises(UsageFault, match="entrails"):
        run_tool("second_opinion", traced(context(tmp_path, network()), methods=("entrails",)))


def test_where_there_is_no_second_family_it_says_so(tmp_path: Path) -> None:
    from sklearn.ensemble import RandomForestClassifier
    from sklearn.linear_model import LogisticRegression

    rng = np.random.default_rng(0)
    rows = rng.normal(size=(80, 3))
    frame = pd.DataFrame(rows, columns=["a", "b", "c"])
    for estimator, status in (
        (RandomForestClassifier(5, random_state=0), "not_applicable"),
        (LogisticRegression(), "ok"),
    ):
        fitted = estimator.fit(frame, rows[:, 0] + 0.3 * rows[:, 1] > 0)
        report = explain(model=fitted, x=frame.iloc[0], reference=frame, persona="data_scientist")
        artifact = next(a for a in report.data["artifacts"] if a["tool"] == "second_opinion")
        assert artifact["status"] == status
        assert "leaving inputs out" in artifact["why"] if status != "ok" else artifact["data"]["cosine"] > 0.999
    bare = context(tmp_path, linear())
    with pytest.raises(NotApplicable, match="no relevance"):
        SecondOpinion().run(bare)
    failed = Artifact.model_validate({**run_tool("relevance", bare).model_dump(), "status": "failed", "data": {}})
    with pytest.raises(NotApplicable, match="no relevance"):
        SecondOpinion().run(dataclasses.replace(bare, found={"relevance": failed}))
    zero = doctored(traced(bare), **dict.fromkeys(("income", "debt", "purpose", "age", "late payments"), 0.0))
    with pytest.raises(NotApplicable, match="relevance of zero"):
        SecondOpinion().run(zero)
    one = json.loads(json.dumps(traced(bare).found["relevance"].data)) | {"players": []}
    alone = traced(bare).found["relevance"].model_copy(update={"data": one})
    with pytest.raises(NotApplicable, match="only one input"):
        SecondOpinion().run(dataclasses.replace(bare, found={"relevance": alone}))


def test_a_model_that_stops_giving_numbers_fails_the_tool_and_not_the_run(tmp_path: Path) -> None:
    ctx = traced(context(tmp_path, linear()))
    ctx.subject.logits = lambda inputs: torch.full((len(inputs["input"]), 2), float("nan"))  # type: ignore[method-assign]
    artifact = run_tool("second_opinion", ctx)
    assert artifact.status == "failed" and "finite" in str(artifact.why)


# -- the reports ------------------------------------------------------------------------------------------------------


def turned(monkeypatch: pytest.MonkeyPatch, how: Any) -> None:
    """Put a removal method in place whose list is changed by `how`."""
    for name in ("permutation", "occlusion", "exact_shapley"):
        method = METHODS[name]

        def wrong(game: Game, *, real: Any = method.run, **options: Any) -> Attribution:
            made: Attribution = real(game, **options)
            return dataclasses.replace(made, relevance=how(made.relevance.clone()), error=made.error)

        monkeypatch.setitem(METHODS, name, dataclasses.replace(method, run=wrong))  # type: ignore[arg-type]


@pytest.mark.parametrize("case", ["credit/case-declined.json", "triage/case.json", "digits/case.json"])
def test_disagreement_is_said_to_every_reader(case: str, fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def worse(relevance: Any) -> Any:
        place = int(relevance.abs().argmax())
        relevance[place] = -relevance[place]
        return relevance

    turned(monkeypatch, worse)
    reports = explain_all(fixtures / case, READERS)
    name = str(reports[0].ledger["relevance.driver.1.name"].value)
    assert reports[0].ledger["agreement.driver.1.state"].value == "sign differs"
    for report in reports:
        assert report.verification.verified == report.verification.total
        (warning,) = [w for w in report.data["warnings"] if w["finding"] == "methods.disagree"]
        assert name in warning["sentence"]["text"] and warning["severity"] == "warning"
        asked = [ask for ask in report.run["asks"] if ask["tool"] == "further_opinion"]
        assert len(asked) == 1 and ("disagree" in asked[0]["why"] or "limited" in asked[0]["why"])
        assert "further method" in text_of(report)
    assert max(grades(text_of(reports[0]))) <= 9


def test_many_disagreements_still_make_sentences(fixtures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def reversed_(relevance: Any) -> Any:
        return -relevance[relevance.abs().argsort().argsort(descending=False).flip(0)]

    turned(monkeypatch, reversed_)
    for report in explain_all(fixtures / "diagnosis/case.json", READERS):
        assert report.verification.verified == report.verification.total
        assert [w for w in report.data["warnings"] if w["finding"] == "methods.disagree"]


def test_agreement_is_said_and_nothing_further_is_asked(fixtures: Path) -> None:
    for report in explain_all(fixtures / "triage/case.json", READERS):
        assert not [w for w in report.data["warnings"] if w["finding"] == "methods.disagree"]
        assert report.ledger["agreement.state"].value == "ok"
        assert "same main points" in text_of(report) or "confirms every driver" in text_of(report)
        assert "further_opinion" not in {ask["tool"] for ask in report.run["asks"]}


def test_limited_trust_asks_for_a_further_method_and_records_why(
    fixtures: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from xagent.tools.trust import Trust

    real = Trust.run
    monkeypatch.setattr(
        Trust, "run", lambda self, ctx: real(self, ctx).model_copy(update={"level": "limited", "weakest": "ceiling"})
    )
    report = explain(fixtures / "diagnosis/case.json", persona="business_user")
    (asked,) = [ask for ask in report.run["asks"] if ask["tool"] == "further_opinion"]
    assert "limited" in asked["why"] and asked["installed"]
    artifact = next(a for a in report.data["artifacts"] if a["tool"] == "further_opinion")
    assert artifact["data"]["method"]["name"] == "integrated_gradients" and artifact["data"]["method"]["gap"] < 0.01
    assert artifact["data"]["cosine_second"] > 0.9 and "further method" in text_of(report)
    assert max(grades(text_of(report))) <= 9


def test_the_further_method_of_a_model_without_gradients_takes_inputs_out_together(tmp_path: Path) -> None:
    ctx = traced(context(tmp_path, network()))
    module = ctx.subject.module
    ctx.subject._call = lambda inputs: module(**inputs)  # type: ignore[method-assign]
    ctx.subject.module = None
    data, ledger = run(FurtherOpinion(), ctx)
    assert data.method.name == "exact_shapley" and data.cosine_second is None
    assert ledger["further.top.count"].value == len(data.drivers)


def test_methods_can_be_named_on_the_command_line_and_in_the_settings(fixtures: Path, tmp_path: Path) -> None:
    case = str(fixtures / "digits/case.json")
    command = [sys.executable, "-m", "xagent.cli", "explain", "-q", "-p", "data_scientist", "--json", case, "--methods"]
    done = subprocess.run([*command, "grad_cam, occlusion"], capture_output=True, text=True, check=True)
    artifact = next(a for a in json.loads(done.stdout)["artifacts"] if a["tool"] == "second_opinion")
    assert [m["name"] for m in artifact["data"]["methods"]] == ["propagation", "occlusion", "grad_cam"]
    assert artifact["parameters"]["methods"] == ["grad_cam", "occlusion"]
    wrong = subprocess.run([*command, "tea_leaves"], capture_output=True, text=True, check=False)
    assert wrong.returncode == 2 and "tea_leaves" in wrong.stderr and "occlusion" in wrong.stderr
    assert load_settings(methods=("lime",)).methods == ("lime",)


def test_the_relevance_artifact_is_read_and_not_made_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    ctx = traced(context(tmp_path, network()))
    monkeypatch.setattr(Relevance, "run", lambda *_: pytest.fail("traced again"))
    assert SecondOpinion().run(ctx).cosine
    assert ABSENT < DRIVES
