"""A change that is told really crosses the threshold, and only inputs that may change are varied."""

from __future__ import annotations

from pathlib import Path

import pytest

from xagent.case import Case, TabularInput, load_card, load_case
from xagent.subject import load_subject
from xagent.tools import Context, NotApplicable, claims_of, run_tool
from xagent.tools.counterfactual import Counterfactual, CounterfactualResult


def context(path: Path) -> Context:
    case = load_case(path)
    return Context(case, load_card(case), load_subject(case))


def score(ctx: Context, values: dict[str, object]) -> float:
    """The model's score of a row, by the way that a single case takes."""
    row = TabularInput.model_validate({"kind": "tabular", "values": values})
    logits = ctx.subject.logits(ctx.subject.encode(row).inputs)
    return float(ctx.subject.score(logits, ctx.subject.target_index(ctx.case.prediction.target), "probability")[0])


def test_each_change_is_real_and_allowed(fixtures: Path) -> None:
    ctx = context(fixtures / "credit/case-near-threshold.json")
    data = Counterfactual().run(ctx)
    assert isinstance(data, CounterfactualResult) and data.changes
    values = ctx.case.input.values  # type: ignore[union-attr]
    for change in data.changes:
        card = ctx.card.feature(change.feature)
        assert card.mutable and not card.sensitive and card.proxy_for is None
        after = score(ctx, {**values, change.feature: change.value})
        assert after == pytest.approx(change.score, abs=1e-6)
        assert (after >= data.threshold) != (score(ctx, values) >= data.threshold)
        if card.direction == "increase":
            assert change.value > change.current  # type: ignore[operator]
        if card.direction == "decrease":
            assert change.value < change.current  # type: ignore[operator]
    assert not {"age", "postal_area"} & set(data.tried)
    assert [c.distance for c in data.changes] == sorted(c.distance for c in data.changes)


def test_a_smaller_step_of_the_same_kind_would_not_have_done(fixtures: Path) -> None:
    """Nothing that the population holds between the present value and the one that is told crosses the threshold."""
    ctx = context(fixtures / "credit/case-near-threshold.json")
    change = next(c for c in Counterfactual().run(ctx).changes if isinstance(c.value, float))
    values = ctx.case.input.values  # type: ignore[union-attr]
    between = (float(change.current) + change.value) / 2
    near = score(ctx, {**values, change.feature: change.current + 0.02 * (between - float(change.current))})  # type: ignore[operator]
    assert (near >= 0.5) == (score(ctx, values) >= 0.5)


def test_where_the_question_does_not_arise_the_artifact_says_why(fixtures: Path) -> None:
    for name, why in (("digits", "rows of a table"), ("triage", "rows of a table"), ("diagnosis", "can be changed")):
        artifact = run_tool("counterfactual", context(fixtures / name / "case.json"))
        assert artifact.status == "not_applicable" and why in str(artifact.why)
    ctx = context(fixtures / "credit/case-declined.json")
    bare = ctx.case.prediction.model_copy(update={"threshold": None})
    case: Case = ctx.case.model_copy(update={"prediction": bare})
    with pytest.raises(NotApplicable, match="no threshold"):
        Counterfactual().run(Context(case, ctx.card, ctx.subject))


def test_the_agent_asks_for_it_and_says_why(fixtures: Path) -> None:
    from xagent import explain

    report = explain(fixtures / "credit/case-near-threshold.json", persona="business_user")
    asked = [ask for ask in report.run["asks"] if ask["tool"] == "counterfactual"]
    assert [ask["pass"] for ask in asked] == [1] and "threshold" in asked[0]["why"]
    text = " ".join(s["text"] for part in report.data["narrative"]["sections"] for s in part["sentences"])
    assert "set to" in text and "in place of" in text
    artifact = run_tool("counterfactual", context(fixtures / "credit/case-near-threshold.json"))
    ids = {c.id for c in claims_of(artifact, context(fixtures / "credit/case-near-threshold.json"))}
    assert {"counterfactual.count", "counterfactual.1.score"} <= ids
