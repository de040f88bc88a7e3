"""Models and populations that allow no measurement: the whole way to the report, which says so and prints no number."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from torch import Tensor, nn

from xagent.agent import run
from xagent.case import Case, OutputSpec, SystemCard
from xagent.personas import load_persona
from xagent.report import Report
from xagent.settings import load_settings
from xagent.subject import Subject

NAMES = list("abcdef")


class Scored(nn.Module):
    """(n, 6) -> (n, 2): zero and what `score` makes of the rows."""

    def __init__(self, score: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.score = score

    def forward(self, x: Tensor) -> Tensor:
        z = self.score(x)
        return torch.stack([torch.zeros_like(z), z], 1)


def weighted(x: Tensor) -> Tensor:
    return x @ torch.arange(1.0, 7.0)


def nowhere(x: Tensor) -> Tensor:
    return weighted(x) * torch.nan


def here_only(x: Tensor) -> Tensor:
    return torch.where(x[:, 0] < 0.2, torch.nan, weighted(x))


def constant(x: Tensor) -> Tensor:
    return 0 * weighted(x) + 1.0


def table(rows: int = 200) -> pd.DataFrame:
    return pd.DataFrame(np.random.default_rng(0).normal(size=(rows, 6)), columns=NAMES)


def report(folder: Path, score: Callable[[Tensor], Tensor], frame: pd.DataFrame, values: dict[str, float]) -> Report:
    frame.to_csv(folder / "reference.csv", index=False)
    spec = OutputSpec(kind="logits", classes=("no", "yes"))
    subject = Subject.from_module(Scored(score).eval(), NAMES, spec)
    data: dict[str, Any] = {
        "schema": "xagent.case/1", "id": "awkward", "subject": "nobody",
        "model": {"format": "live", "name": "scored", "version": "1", "output": spec.model_dump()},
        "input": {"kind": "tabular", "values": values},
        "prediction": {"label": "yes", "score": 0.95, "threshold": 0.5, "decided_at": "2026-01-01T00:00:00Z"},
        "reference": {"path": "reference.csv", "name": "rows"},
    }  # fmt: skip
    case = Case.model_validate(data)
    case._folder = folder
    card = SystemCard(schema="xagent.system/1", name="test")
    return run(case, card, subject, [load_persona("data_scientist")], load_settings())[0]


def told(found: Report) -> tuple[list[str], dict[str, Any], dict[str, Any]]:
    """Findings in the order of the report, the artifact of trust, and the claims by id."""
    artifacts = {a["tool"]: a for a in found.data["artifacts"]}
    claims = found.data["claims"]
    by_id = claims if isinstance(claims, dict) else {c["id"]: c for c in claims}
    return [w["finding"] for w in found.data["warnings"]], artifacts["trust"], by_id


AT = dict.fromkeys(NAMES, 0.5)


@pytest.mark.parametrize(
    ("score", "values", "why"),
    [
        (constant, AT, "does not change"),
        (here_only, AT, "not finite"),
        (weighted, dict(table().mean()), "does not change"),
    ],
)
def test_where_nothing_can_be_measured_the_report_says_why_and_gives_no_number(
    tmp_path: Path, score: Callable[[Tensor], Tensor], values: dict[str, float], why: str
) -> None:
    findings, trust, claims = told(report(tmp_path, score, table(), values))
    assert "trust.do-not-rely" in findings
    assert trust["data"]["level"] == "do not rely"
    assert why in str(claims["trust.why"]["value"])
    numbers = ("trust.fidelity", "trust.ratio", "trust.ceiling", "trust.keep.share", "trust.agreement")
    assert not [key for key in numbers if key in claims]


def test_a_model_that_gives_no_number_reproduces_nothing_and_the_report_says_so_first(tmp_path: Path) -> None:
    findings, trust, claims = told(report(tmp_path, nowhere, table(), AT))
    assert findings[0] == "reproduction.failed"
    assert claims["reproduction.state"]["value"] == "deviation"
    assert "reproduction.score" not in claims
    assert trust["status"] == "not_applicable"
    assert not [key for key in claims if key.startswith("relevance.")]


def test_one_reference_row_and_a_constant_column_are_no_obstacle_and_are_named(tmp_path: Path) -> None:
    _, trust, claims = told(report(tmp_path, weighted, table(1), AT))
    assert trust["data"]["level"] == "strong"  # of a linear model the list is exact
    assert "two rows or more" in trust["data"]["absent"]["off_manifold"]
    assert "trust.off_manifold" not in claims
    frame = table()
    frame["c"] = 1.0
    _, trust, _ = told(report(tmp_path, weighted, frame, AT))
    assert trust["data"]["level"] == "strong"
