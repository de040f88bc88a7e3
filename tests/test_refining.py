"""A list that falls short is refined by removal: when, by what, what is recorded, and where it is left alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from xagent.case import Case, OutputSpec, SystemCard, load_card, load_case
from xagent.evidence import Artifact
from xagent.subject import Subject, load_subject
from xagent.tools import Context, run_tool
from xagent.tools._registry import claims_of
from xagent.trust import exact_shapley, refined, refined_rows

FIXTURES = Path(__file__).parent.parent / "fixtures"
CARD = SystemCard(schema="xagent.system/1", name="test")


class Both(nn.Module):
    """Two inputs that count only together, up to a limit beyond which no slope says anything of them."""

    rows = 0

    def forward(self, x: Tensor) -> Tensor:
        self.rows += len(x)
        together = 4 - torch.relu(4 - 8 * torch.relu(x[:, 0] + x[:, 1] - 2.5))
        z = together + 0.3 * x[:, 2] - 0.2 * x[:, 3]
        return torch.stack([torch.zeros_like(z), z - 1], 1)


def context(folder: Path, features: int, **more: Any) -> Context:
    names = [f"f{i}" for i in range(features)]
    table = pd.DataFrame(np.random.default_rng(0).normal(size=(400, features)), columns=names)
    table.to_csv(folder / "reference.csv", index=False)
    values = dict.fromkeys(names, 0.5) | {"f0": 2.0, "f1": 2.0}
    spec = OutputSpec(kind="logits", classes=("no", "yes"))
    data: dict[str, Any] = {
        "schema": "xagent.case/1", "id": "both", "subject": "nobody",
        "model": {"format": "live", "name": "both", "version": "1", "output": spec.model_dump()},
        "input": {"kind": "tabular", "values": values},
        "prediction": {"label": "yes", "score": 0.9, "threshold": 0.5, "decided_at": "2026-01-01T00:00:00Z"},
        "reference": {"path": "reference.csv", "name": "drawn rows"},
    }  # fmt: skip
    case = Case.model_validate(data)
    case._folder = folder
    subject = Subject.from_module(Both().eval(), names, spec)
    return Context(case=case, card=CARD, subject=subject, **more)


def run(ctx: Context, *names: str) -> dict[str, Artifact]:
    found: dict[str, Artifact] = {}
    for name in names:
        found[name] = run_tool(name, replace(ctx, found=dict(found)))
        assert found[name].status == "ok", found[name].why
    return found


@pytest.mark.parametrize(("features", "by"), [(14, "removal"), (6, "exact")])
def test_a_list_that_falls_short_is_refined_and_trust_is_measured_on_the_new_one(
    tmp_path: Path, features: int, by: str
) -> None:
    found = run(context(tmp_path, features), "relevance", "trust", "second_opinion")
    data, trust = found["relevance"].data, found["trust"].data
    seen = data["refined"]
    assert (seen["state"], seen["by"]) == ("refined", by)
    assert seen["before"] < 0.9 < seen["after"]
    assert seen["rows"] == (refined_rows(features) if by == "removal" else 0)
    assert {p["feature"] for p in data["players"][:2]} == {"f0", "f1"}
    # the slope had nothing to say of these two
    size = max(abs(p["relevance"]) for p in data["players"])
    assert max(map(abs, seen["traced"][:2])) < 0.1 * size
    assert trust["ratio"] == pytest.approx(seen["after"])
    assert trust["level"] in ("strong", "fair")
    assert trust["agreement"] is None  # the list is itself made by removal
    assert sum(p["relevance"] for p in data["players"]) == pytest.approx(trust["score"] - trust["background_score"])


def test_what_was_refined_is_said_and_compared_with_the_trace(tmp_path: Path) -> None:
    ctx = context(tmp_path, 14)
    found = run(ctx, "relevance", "second_opinion")
    ledger = {c.id: c for c in claims_of(found["relevance"], ctx)}
    assert "refined by removal" in str(ledger["relevance.method"].value)
    assert ledger["relevance.refined.state"].value == "refined"
    assert ledger["relevance.refined.rows"].value == refined_rows(14)
    other = found["second_opinion"].data
    assert [m["family"] for m in other["methods"]] == ["removal", "propagation"]
    assert other["methods"][1]["relevance"] == pytest.approx(found["relevance"].data["refined"]["traced"])
    assert {d["state"] for d in other["drivers"] if d["feature"] in ("f0", "f1")} == {"absent"}


def test_the_coalitions_are_asked_once_for_both_tools_and_anew_when_the_model_has_changed(tmp_path: Path) -> None:
    ctx = context(tmp_path, 14)
    assert ctx.subject.module is not None
    model = ctx.subject.module.network
    assert isinstance(model, Both)
    found = run(ctx, "relevance")
    ctx = replace(ctx, found=found)
    model.rows = 0
    first = run_tool("trust", ctx)
    spent = model.rows
    assert first.data["coalitions"] == 256
    model.forward = lambda x: Both.forward(model, x) * 2.0  # type: ignore[method-assign]
    model.rows = 0
    assert run_tool("trust", ctx).data["score"] == pytest.approx(2 * first.data["score"])
    assert model.rows >= spent + 256 + 14  # two halves of coalitions, and each input alone


def test_it_is_left_alone_when_it_is_switched_off_or_off_the_data(tmp_path: Path) -> None:
    found = run(context(tmp_path, 14, refine=False), "relevance", "trust")
    assert found["relevance"].data["refined"] is None
    assert found["trust"].data["level"] == "do not rely"
    case = load_case(FIXTURES / "scaffold" / "case.json")
    ctx = Context(case=case, card=load_card(case), subject=load_subject(case))
    data = run(ctx, "relevance")["relevance"].data
    assert data["refined"]["state"] == "off the data"
    assert data["refined"]["off_manifold"] > 0.3
    assert "refined" not in data["method"]


def test_refinement_is_exact_for_few_players_and_complete_for_many() -> None:
    def score(keep: Tensor) -> Tensor:
        weights = torch.arange(1.0, keep.shape[1] + 1, dtype=torch.float64)
        return 3 * keep[:, 0] * keep[:, 1] + keep.double() @ weights

    torch.testing.assert_close(refined(score, torch.ones(5)), exact_shapley(score, 5))
    many = refined(score, torch.ones(40))
    assert float(many.sum()) == pytest.approx(3 + 40 * 41 / 2)
