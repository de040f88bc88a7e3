"""Was the input served wrongly: replay, identity, age, imputation, skew and units, each in one of four states."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from trace_samples import SHA, attribute, context, healthy, span

from xagent.errors import InvalidCase
from xagent.evidence import Ledger
from xagent.tools._line import Line
from xagent.tools._serving_units import ALPHA, tail_of, unit_error
from xagent.tools.serving import Serving, ServingResult


def judge(folder: Path, spans: list[dict[str, Any]], **more: Any) -> ServingResult:
    return Serving().run(context(folder, spans, **more))


@pytest.mark.parametrize(
    ("change", "version", "hashed"),
    [
        ({}, "ok", "ok"),
        ({"xagent.model.version": "3.0"}, "deviation", "ok"),
        ({"xagent.model.version": "default"}, "cannot tell", "ok"),
        ({"xagent.model.version": None, "xagent.model.sha256": None}, "cannot tell", "cannot tell"),
        ({"xagent.model.name": "fraud"}, "deviation", "ok"),
        ({"xagent.model.sha256": "cd" * 32}, "ok", "deviation"),
        ({"xagent.model.sha256": "sha256:" + SHA.upper()}, "ok", "ok"),
        ({"xagent.model.sha256": "n/a"}, "ok", "cannot tell"),
    ],
)
def test_deployed_against_explained(tmp_path: Path, change: dict[str, Any], version: str, hashed: str) -> None:
    spans = healthy()
    kept = [a for a in spans[3]["attributes"] if a["key"] not in change]
    spans[3]["attributes"] = kept + [attribute(k, v) for k, v in change.items() if v is not None]
    data = judge(tmp_path, spans)
    assert (data.version.state, data.hash.state) == (version, hashed)
    assert (data.state == "ok") == (version == hashed == "ok")


def test_another_model_beside_it_is_no_deviation(tmp_path: Path) -> None:
    marks = {"xagent.step.kind": "predict", "xagent.model.name": "fraud", "xagent.model.version": "9"}
    data = judge(tmp_path, [*healthy(), span(6, "fraud check", 0.91, 0.92, attributes=marks)])
    assert (data.state, data.version.deployed) == ("ok", "3.1")


@pytest.mark.parametrize(
    ("time", "state", "age"),
    [
        ("2026-11-02T07:30:00+00:00", "deviation", 7201.0),
        ("2026-11-02T07:30:01Z", "ok", 7200.0),
        ("2026-11-02T10:30:01+00:00", "deviation", -3600.0),
        ("2026-11-02T07:30:00", "cannot tell", None),
        ("yesterday", "cannot tell", None),
    ],
)
def test_age_of_an_input(tmp_path: Path, time: str, state: str, age: float | None) -> None:
    spans = healthy()
    spans[1]["attributes"][1] = attribute("xagent.feature.income.event_time", time)
    found = judge(tmp_path, spans).features[0]
    assert (found.name, found.state, found.age) == ("income", state, age)


def test_of_several_times_the_oldest_counts(tmp_path: Path) -> None:
    later = {"xagent.feature.income.event_time": "2026-11-02T09:00:00Z"}
    found = judge(tmp_path, [*healthy(), span(6, "read cache", 0.2, 0.3, 2, attributes=later)]).features
    assert [(f.name, f.age) for f in found] == [("income", 3601.0)]


def test_a_limited_input_without_a_time_cannot_be_judged(tmp_path: Path) -> None:
    spans = healthy()
    spans[1]["attributes"] = [
        attribute("xagent.feature.a.b.imputed", True),
        attribute("xagent.feature.age.imputed", "no"),
    ]
    data = judge(tmp_path, spans)
    assert [(f.name, f.state, f.imputed) for f in data.features] == [
        ("a.b", "not supplied", True),
        ("age", "not supplied", False),
        ("income", "cannot tell", False),
    ]


def test_a_fallback_of_another_version_is_seen(tmp_path: Path) -> None:
    marks = {"xagent.step.kind": "predict", "xagent.model.version": "2.0", "xagent.fallback.of": "predict"}
    data = judge(tmp_path, [*healthy(), span(6, "predict by rules", 0.91, 0.92, attributes=marks)])
    assert (data.version.state, data.version.deployed) == ("deviation", "2.0, 3.1")


def test_a_users_own_names_reach_the_tool(tmp_path: Path) -> None:
    spans = healthy()
    for part in spans[3]["attributes"]:
        part["key"] = part["key"].replace("xagent.model.", "acme.")
    ctx = context(tmp_path, spans)
    assert Serving().run(ctx).version.state == "cannot tell"
    mapping = tmp_path / "mapping.toml"
    lines = [f'"acme.{part}" = "xagent.model.{part}"' for part in ("name", "version", "sha256")]
    mapping.write_text("\n".join(['schema = "xagent.mapping/1"', "[attributes]", *lines]))
    mapped = dataclasses.replace(ctx, mapping=mapping)
    data = Serving().run(mapped)
    assert (data.state, data.version.state, data.hash.state) == ("ok", "ok", "ok")
    assert set(Serving().inputs(mapped)) == {"model", "telemetry", "telemetry mapping"}


def line(data: ServingResult, check: str) -> Line:
    (found,) = [entry for entry in data.lines if entry.check == check]
    return found


def states(data: ServingResult) -> dict[str, str]:
    return {entry.check: entry.state for entry in data.lines}


def with_attributes(place: int, **attributes: Any) -> list[dict[str, Any]]:
    spans = healthy()
    spans[place]["attributes"] += [attribute(key.replace("__", "."), value) for key, value in attributes.items()]
    return spans


CHECKS = ["replay", "logged score", "logged input", "model version", "model file", "preprocessing", "age of inputs",
          "imputed inputs", "training-serving skew", "units"]  # fmt: skip


def test_every_check_is_a_line_and_without_evidence_nothing_is_ok(tmp_path: Path) -> None:
    data = Serving().run(context(tmp_path, None))
    assert [entry.check for entry in data.lines] == CHECKS
    assert data.state == "not supplied" and set(states(data).values()) == {"not supplied"}
    assert all(entry.why for entry in data.lines)
    full = judge(tmp_path, healthy())
    assert full.state == "ok" and line(full, "replay").sources[-1].role == "telemetry"
    assert line(full, "replay").sources[0].sha256 == SHA and len(line(full, "replay").sources[-1].sha256) == 64
    claims = Ledger(Serving().claims(full, context(tmp_path, healthy())))
    assert claims["telemetry.feature.income.age"].value == 3601.0
    assert claims["telemetry.feature.income.state"].value == claims["serving.replay.state"].value == "ok"


@pytest.mark.parametrize(
    ("replayed", "logged", "state"),
    [(0.7, 0.7, "ok"), (0.70009, 0.7, "ok"), (0.7002, 0.7, "deviation"), (None, 0.7, "cannot tell"),
     (0.7, None, "cannot tell")],
)  # fmt: skip
def test_replay_against_the_log(tmp_path: Path, replayed: float | None, logged: float | None, state: str) -> None:
    spans = healthy()
    if logged is None:
        spans[3]["attributes"] = spans[3]["attributes"][:-1]
    data = judge(tmp_path, spans, replayed=replayed)
    assert line(data, "replay").state == state
    assert (data.state == "ok") == (state == "ok")


@pytest.mark.parametrize(
    ("content", "state"),
    [
        ('{"income": 1, "age": 30}', "ok"),
        ('{"inputs": [{"age": 30, "income": 1.0, "branch": 7}]}', "ok"),
        ('{"income": 1, "age": 31}', "deviation"),
        ('{"income": 1}', "cannot tell"),
        ("[0.2, -1.3]", "cannot tell"),
        ("not json", "cannot tell"),
    ],
)
def test_the_logged_input_is_the_one_explained(tmp_path: Path, content: str, state: str) -> None:
    data = judge(tmp_path, with_attributes(0, input__value=content))
    assert line(data, "logged input").state == state
    if state == "deviation":  # content of an inner step may be the input in another form
        assert line(judge(tmp_path, with_attributes(2, input__value=content)), "logged input").state == "cannot tell"
    assert content not in data.model_dump_json()


@pytest.mark.parametrize(
    ("stated", "encoder", "trace", "state"),
    [
        (None, None, {}, "not supplied"),
        ("7", None, {}, "cannot tell"),
        ("7", None, {"version": "7"}, "ok"),
        ("7", None, {"version": "8"}, "deviation"),
        (None, None, {"version": "8"}, "cannot tell"),
        (None, "ab" * 32, {"sha256": "ab" * 32}, "ok"),
        (None, "ab" * 32, {"sha256": "cd" * 32}, "deviation"),
        ("7", "ab" * 32, {"version": "8", "sha256": "ab" * 32}, "deviation"),
        ("7", "ab" * 32, {"version": "latest"}, "cannot tell"),
    ],
)
def test_preprocessing(
    tmp_path: Path, stated: str | None, encoder: str | None, trace: dict[str, str], state: str
) -> None:
    spans = with_attributes(2, **{f"xagent__preprocess__{key}": value for key, value in trace.items()})
    known = {"model": SHA} | ({"encoder": encoder} if encoder else {})
    case = {"serving": {"preprocess_version": stated}} if stated else {}
    assert judge(tmp_path, spans, case=case, known=known).preprocess.state == state


@pytest.mark.parametrize(
    ("offline", "more", "differ"),
    [
        ({"income": 1, "age": 30}, {}, []),
        ({"income": 1.0000005, "age": 30.0}, {}, []),
        ({"income": 1.00001}, {}, ["income"]),
        ({"income": 1.4}, {"tolerances": {"income": 0.5}}, []),
        ({"income": 1.6, "age": None}, {"tolerances": {"income": 0.5}}, ["age", "income"]),
        ({"age": "30"}, {}, []),
    ],
)
def test_skew_is_every_feature_beyond_its_tolerance_and_no_other(
    tmp_path: Path, offline: dict[str, Any], more: dict[str, Any], differ: list[str]
) -> None:
    ctx = context(tmp_path, healthy(), case={"serving": {"offline": {"values": offline, **more}}})
    data = Serving().run(ctx)
    assert [f.name for f in data.skewed] == differ
    assert (data.compared, line(data, "training-serving skew").state) == (
        len(offline),
        "deviation" if differ else "ok",
    )
    flagged = {c.feature for c in Serving().claims(data, ctx) if c.id.endswith(".skew")}
    assert flagged == set(differ)


def test_an_offline_row_about_something_else_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCase, match="'shoe size' is no input"):
        judge(tmp_path, healthy(), case={"serving": {"offline": {"values": {"shoe size": 43}}}})


def test_what_was_filled_in_is_counted_and_a_default_is_only_suspected(tmp_path: Path) -> None:
    features = {"income": {"label": "Income"}, "age": {"label": "Age", "default": 30}}
    default = judge(tmp_path, healthy(), features=features)
    assert (default.imputed, line(default, "imputed inputs").state) == ((), "cannot tell")
    denied = judge(tmp_path, with_attributes(1, xagent__feature__age__imputed=False), features=features)
    assert line(denied, "imputed inputs").state == "ok"
    rows = {"input": {"kind": "tabular", "values": {"income": None, "age": 31}}}
    missing = judge(tmp_path, healthy(), features=features, case=rows)
    assert [f.name for f in missing.imputed] == ["income"]
    assert line(missing, "imputed inputs").state == "deviation"


# Units


def amounts(chance: np.random.Generator, sigma: float, n: int, width: int) -> np.ndarray:
    return np.exp(chance.normal(8, sigma, (n, width)))


def suspected(value: float, reference: np.ndarray, features: int = 1) -> Any:
    outcome = unit_error(value, reference, ALPHA / features)
    assert outcome is not None
    return outcome[0]


@pytest.mark.parametrize("sigma", [0.2, 0.6, 1.2])
def test_ordinary_rows_are_rarely_suspected(sigma: float) -> None:
    """At most 1 % of rows, over fifty log-normal features, a quarter of which are as skewed as incomes."""
    chance = np.random.default_rng(5)
    reference, rows = amounts(chance, sigma, 1000, 50), amounts(chance, sigma, 400, 50)
    tails = [(tail_of(c, ALPHA / 100), tail_of(1 / c, ALPHA / 100)) for c in reference.T]
    far = [any(v > up.limit or 1 / v > down.limit for v, (up, down) in zip(row, tails, strict=True)) for row in rows]
    assert sum(far) <= 400 * ALPHA + 3 * (400 * ALPHA) ** 0.5


def test_heavy_tails_are_not_taken_for_errors_of_a_unit() -> None:
    chance = np.random.default_rng(6)
    reference, rows = 1 + chance.pareto(1.5, (2000, 20)), 1 + chance.pareto(1.5, (500, 20))
    flagged = sum(
        any(suspected(v, column, 20) is not None for v, column in zip(row, reference.T, strict=True))
        for row in rows[:150]
    )
    assert flagged <= 150 * ALPHA + 3 * (150 * ALPHA) ** 0.5


@pytest.mark.parametrize("factor", [10.0, 100.0, 1000.0, 0.1, 0.01, 0.001])
def test_planted_factors_are_found_as_often_as_stated(factor: float) -> None:
    """Power is what the resolution says, and the factor that is named is the one that was planted."""
    chance = np.random.default_rng(7)
    reference, rows = amounts(chance, 0.4, 1500, 1)[:, 0], amounts(chance, 0.4, 200, 1)[:, 0]
    found = [suspected(float(v * factor), reference) for v in rows]
    hits = [f for f in found if f is not None]
    assert len(hits) >= 0.97 * len(rows)
    right = [h.factor == pytest.approx(factor) for h in hits]
    assert sum(right) >= 0.97 * len(rows)
    assert hits[0].likely == pytest.approx(rows[next(i for i, f in enumerate(found) if f)])


@pytest.mark.parametrize("sigma", [0.3, 0.7, 1.1])
def test_resolution_is_the_power_at_a_factor_of_ten(sigma: float) -> None:
    chance = np.random.default_rng(8)
    reference, rows = amounts(chance, sigma, 2000, 1)[:, 0], amounts(chance, sigma, 300, 1)[:, 0]
    outcome = unit_error(float(np.median(reference)), reference, ALPHA)
    assert outcome is not None
    up, down = (np.mean([suspected(float(v * f), reference) is not None for v in rows]) for f in (10.0, 0.1))
    assert outcome[1] == pytest.approx((up + down) / 2, abs=0.08)


@pytest.mark.parametrize(
    ("value", "reference"),
    [
        (0.0, np.linspace(1, 50, 500)),
        (9.0, np.linspace(1, 50, 99)),
        (-9.0, np.linspace(1, 50, 500)),
        (40.0, np.repeat([1.0, 2.0, 3.0, 4.0], 200)),
    ],
)
def test_where_a_tail_says_nothing_nothing_is_said(value: float, reference: np.ndarray) -> None:
    assert unit_error(value, reference, ALPHA) is None


def test_a_negative_amount_keeps_its_sign() -> None:
    reference = -np.exp(np.random.default_rng(9).normal(3, 0.3, 500))
    found = suspected(-2000.0, reference)
    assert (found.factor, found.likely) == (100.0, -20.0)


def table(folder: Path, factor: float = 1.0, spans: Any = None) -> Any:
    chance = np.random.default_rng(10)
    values = np.exp(chance.normal(10, 0.3, 400))
    rows = "\n".join(f"{v:.2f},{20 + i % 60}" for i, v in enumerate(values))
    (folder / "reference.csv").write_text(f"income,age\n{rows}\n")
    served = {"kind": "tabular", "values": {"income": round(float(np.median(values)) * factor, 2), "age": 40}}
    return context(
        folder,
        healthy() if spans is None else spans or None,
        case={"input": served, "reference": {"path": "reference.csv", "name": "applicants"}},
    )


def test_a_unit_error_reaches_the_claims(tmp_path: Path) -> None:
    fine = Serving().run(table(tmp_path))
    assert (line(fine, "units").state, fine.unit_compared) == ("ok", 2)
    ctx = table(tmp_path, 100.0)
    data = Serving().run(ctx)
    claims = Ledger(Serving().claims(ServingResult.model_validate(data.model_dump(mode="json")), ctx))
    assert line(data, "units").state == data.state == "deviation"
    assert claims["serving.feature.income.unit"].value == "suspected"
    assert claims["serving.feature.income.factor"].value == 100.0
    assert claims["serving.feature.income.likely"].value == pytest.approx(
        ctx.case.input.values["income"] / 100, rel=1e-9
    )
    assert "serving.feature.age.unit" not in claims


def test_units_in_order_are_no_proof_that_all_was_served_well(tmp_path: Path) -> None:
    """Without a trace nobody knows what the model was given; a row that was computed again says a part of it."""
    data = Serving().run(table(tmp_path, spans=[]))
    assert (line(data, "units").state, line(data, "replay").state, data.state) == ("ok", "not supplied", "not supplied")
    silent = healthy()
    silent[3]["attributes"] = silent[3]["attributes"][:-1]
    assert judge(tmp_path, silent).state == "cannot tell"
    again = {"serving": {"offline": {"values": {"income": 1}}}}
    assert Serving().run(context(tmp_path, None, case=again)).state == "cannot tell"
