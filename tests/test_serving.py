"""Was the input served wrongly: replay, identity, age, imputation, skew and units, each in one of four states."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from trace_samples import SHA, attribute, context, healthy, span

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
