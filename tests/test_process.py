"""Did the process go as it should: each fault that is planted in a trace is found, and none that is not."""

from __future__ import annotations

import copy
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_samples import BASE, context, document, healthy, span, write

from xagent.errors import InvalidCase
from xagent.evidence import Ledger
from xagent.telemetry import read_trace
from xagent.tools import NotApplicable
from xagent.tools.process import Process, ProcessResult


def judge(folder: Path, spans: list[dict[str, Any]], **more: Any) -> ProcessResult:
    return Process().run(context(folder, spans, **more))


def test_a_healthy_process_is_ok(tmp_path: Path) -> None:
    ctx = context(tmp_path, healthy())
    data = Process().run(ctx)
    assert data.state == "ok"
    assert data.override.state == "no"
    assert data.duration == 1.0
    assert [(s.name, s.start_offset) for s in data.steps][:2] == [("fetch features", 0.1), ("transform", 0.5)]
    claims = Ledger(Process().claims(ProcessResult.model_validate(data.model_dump(mode="json")), ctx))
    assert claims["telemetry.steps.count"].value == 4
    assert claims["telemetry.slowest.name"].value == "fetch features"
    assert "telemetry.override.who" not in claims
    assert set(Process().inputs(ctx)) == {"telemetry"}


def test_no_telemetry_is_not_applicable(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="names no telemetry"):
        Process().run(context(tmp_path, None))


def test_missing_and_misplaced_steps(tmp_path: Path) -> None:
    gone = judge(tmp_path, [s for s in healthy() if s["name"] != "transform"])
    assert (gone.state, gone.missing) == ("deviation", ("transform",))
    swapped = healthy()
    swapped[2].update(startTimeUnixNano=str(BASE + 910_000_000), endTimeUnixNano=str(BASE + 920_000_000))
    assert judge(tmp_path, swapped).out_of_order == ("predict", "deliver")
    unknown = judge(tmp_path, healthy(), expected_steps=[])
    assert (unknown.expected_state, unknown.state, unknown.override.state) == (
        "not supplied",
        "cannot tell",
        "cannot tell",
    )


def test_retries_count_once_however_they_are_recorded(tmp_path: Path) -> None:
    again = span(6, "fetch features", 0.505, 0.52, attributes={"http.request.resend_count": 1})
    first = healthy()
    first[1]["status"] = {"code": 2, "message": "timeout"}
    first[1]["events"] = [{"name": "retry", "timeUnixNano": str(BASE)}]
    data = judge(tmp_path, [*first, again])
    assert (data.retries, data.errors, data.steps_count) == (1, ("fetch features",), 4)
    assert [s.retry for s in data.steps if s.name == "fetch features"] == [False, True]
    side_by_side = judge(tmp_path, [*healthy(), span(6, "fetch features", 0.2, 0.4)])
    assert side_by_side.retries == 0


def test_an_error_counts_where_it_arose(tmp_path: Path) -> None:
    spans = healthy()
    spans[0]["status"] = spans[3]["status"] = {"code": 2}
    assert judge(tmp_path, spans).errors == ("predict",)


def test_a_human_override_is_reported_in_full(tmp_path: Path) -> None:
    marks = {"xagent.step.kind": "human", "xagent.override.who": "underwriter", "xagent.override.from": "reject",
             "xagent.override.to": "accept", "xagent.override.why": "payslip\nseen"}  # fmt: skip
    ctx = context(tmp_path, [*healthy(), span(6, "review", 0.9, 0.91, attributes=marks)])
    data = Process().run(ctx)
    claims = Ledger(Process().claims(data, ctx))
    assert data.state == "deviation"
    assert {k: claims[f"telemetry.override.{k}"].value for k in ("who", "from", "to", "why", "at")} == {
        "who": "underwriter",
        "from": "reject",
        "to": "accept",
        "why": "payslip seen",
        "at": "2026-11-02T09:30:00+00:00",
    }


def test_incomplete_traces_are_never_ok(tmp_path: Path) -> None:
    rootless = judge(tmp_path, healthy()[1:])
    assert (rootless.roots, rootless.orphans, rootless.state) == (0, 4, "cannot tell")
    early = healthy()
    early[1]["startTimeUnixNano"] = str(BASE - 10**9)
    assert judge(tmp_path, early).skewed == ("fetch features",)
    open_end = healthy()
    del open_end[4]["endTimeUnixNano"]
    data = judge(tmp_path, open_end)
    assert (data.unfinished, data.state, data.steps[3].seconds) == (1, "cannot tell", None)


def test_self_time_leaves_out_the_steps_within(tmp_path: Path) -> None:
    inner = span(6, "call bureau", 0.15, 0.45, 2, attributes={"xagent.step.kind": "fetch"})
    data = judge(tmp_path, [*healthy(), inner])
    seconds = {s.name: s.self_seconds for s in data.steps}
    assert seconds["fetch features"] == pytest.approx(0.1)
    assert seconds["call bureau"] == pytest.approx(0.3)


def bare(data: ProcessResult) -> ProcessResult:
    """Without what the file itself is."""
    lines = tuple(line.model_copy(update={"sources": ()}) for line in data.lines)
    return data.model_copy(update={"lines": lines, "format": "any"})


@given(order=st.permutations(range(5)))
def test_the_order_of_lines_changes_nothing(order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("order")
    spans = healthy()
    ctx = context(folder, spans)
    expected = bare(Process().run(ctx))
    write(folder, *[document([copy.deepcopy(spans[i])]) for i in order])
    assert bare(Process().run(ctx)) == expected


def test_a_trace_in_another_format_is_judged_alike(tmp_path: Path) -> None:
    """Zipkin says no more than OTLP, but for what the recorder threw away."""
    from telemetry_samples import as_zipkin

    ctx = context(tmp_path, healthy())
    expected = bare(Process().run(ctx))
    path = tmp_path / "trace.jsonl"
    path.write_text(as_zipkin(read_trace(path).spans))
    found = bare(Process().run(ctx))
    states = {line.check: line.state for line in found.lines}
    assert states.pop("sampling") == "not supplied"
    assert states == {line.check: line.state for line in expected.lines if line.check != "sampling"}
    left = {"lines": (), "lacks": ()}
    assert found.model_copy(update=left) == expected.model_copy(update=left)


@pytest.mark.parametrize("field", ["sha256", "baseline_sha256"])
def test_a_changed_file_is_refused(tmp_path: Path, field: str) -> None:
    with pytest.raises(InvalidCase, match=field):
        judge(tmp_path, healthy(), baseline="trace.jsonl", **{field: "0" * 64})


def test_a_fallback_is_told_with_its_reason(tmp_path: Path) -> None:
    marks = {"xagent.step.kind": "predict", "xagent.fallback.of": "predict", "xagent.fallback.why": "overload"}
    data = judge(tmp_path, [*healthy(), span(6, "predict by rules", 0.91, 0.92, attributes=marks)])
    assert [(f.step, f.of, f.why) for f in data.fallbacks] == [("predict by rules", "predict", "overload")]
