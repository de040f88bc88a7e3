"""Did the process go as it should: each fault that is planted in a trace is found, and none that is not."""

from __future__ import annotations

import copy
import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from trace_samples import BASE, attribute, context, document, healthy, span, write

from xagent.errors import InvalidCase
from xagent.evidence import Ledger
from xagent.telemetry import Span, read_trace
from xagent.tools import NotApplicable
from xagent.tools._line import Line
from xagent.tools._process import StepSpan
from xagent.tools._process_norm import Norm, latencies
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


@settings(deadline=None)
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


# Norms


def ordinary(chance: np.random.Generator, number: int, leave_out: str = "", slow: str = "", by: float = 1.0) -> Any:
    """A request of three steps whose times are log-normal, as an OTLP document of its own trace."""
    spans, clock = [], 0.0
    for place, (name, typical) in enumerate({"fetch": 0.2, "predict": 0.05, "deliver": 0.01}.items()):
        seconds = typical * float(np.exp(chance.normal(0, 0.3))) * (by if name == slow else 1.0)
        if name != leave_out:
            spans.append(span(place + 2, name, clock, clock + seconds, attributes={"xagent.step.kind": name}))
        clock += seconds
    spans.append(span(1, "POST /score", 0, clock, None))
    return document([{**s, "traceId": f"{number + 1:032x}"} for s in spans])


def against(folder: Path, own: Any, baseline: list[Any], **more: Any) -> ProcessResult:
    ctx = context(folder, healthy(), expected_steps=[], baseline="baseline.jsonl", **more)
    (folder / "trace.jsonl").write_text(json.dumps(own))
    (folder / "baseline.jsonl").write_text("\n".join(json.dumps(d) for d in baseline))
    return Process().run(ctx)


def line(data: ProcessResult, check: str) -> Line:
    (found,) = [entry for entry in data.lines if entry.check == check]
    return found


def test_steps_are_learned_and_a_rare_gap_does_not_undo_them(tmp_path: Path) -> None:
    chance = np.random.default_rng(1)
    known = [ordinary(chance, i, leave_out="deliver" if i == 7 else "") for i in range(40)]
    data = against(tmp_path, ordinary(chance, 99, leave_out="predict"), known)
    assert (data.norm, data.norm_steps, data.missing) == ("learned", ("fetch", "predict", "deliver"), ("predict",))
    assert (line(data, "steps").state, line(data, "steps").threshold) == ("deviation", 0.95)
    assert [source.role for source in line(data, "steps").sources] == ["telemetry", "baseline traces"]
    whole = against(tmp_path, ordinary(chance, 98), known)
    assert (whole.missing, whole.out_of_order, whole.unexpected) == ((), (), ())
    often = [ordinary(chance, i, leave_out="deliver" if i % 5 == 0 else "") for i in range(40)]
    assert against(tmp_path, ordinary(chance, 97, leave_out="deliver"), often).missing == ()


def test_an_order_that_is_usual_is_part_of_the_norm(tmp_path: Path) -> None:
    chance = np.random.default_rng(2)
    swapped = document(
        [
            span(1, "POST /score", 0, 1, None),
            span(2, "predict", 0.1, 0.2, attributes={"xagent.step.kind": "predict"}),
            span(3, "fetch", 0.3, 0.5, attributes={"xagent.step.kind": "fetch"}),
            span(4, "deliver", 0.6, 0.7, attributes={"xagent.step.kind": "deliver"}),
        ]
    )
    data = against(tmp_path, swapped, [ordinary(chance, i) for i in range(30)])
    assert (data.out_of_order, line(data, "order").state) == (("predict",), "deviation")


def test_too_few_traces_are_no_norm(tmp_path: Path) -> None:
    chance = np.random.default_rng(3)
    data = against(tmp_path, ordinary(chance, 99, leave_out="predict"), [ordinary(chance, i) for i in range(19)])
    assert (data.norm, data.missing, data.baseline) == (None, (), 19)
    assert {line(data, check).state for check in ("steps", "order", "latency")} == {"cannot tell"}
    assert data.latency_p is None and data.state == "cannot tell"


def test_the_trace_itself_is_no_part_of_its_baseline(tmp_path: Path) -> None:
    chance = np.random.default_rng(4)
    known = [ordinary(chance, i) for i in range(30)]
    assert against(tmp_path, known[5], known).baseline == 29


def test_a_verdict_needs_enough_traces_and_never_says_less_than_its_resolution(tmp_path: Path) -> None:
    chance = np.random.default_rng(5)
    slow = ordinary(chance, 999, slow="predict", by=60)
    few = against(tmp_path, slow, [ordinary(chance, i) for i in range(60)])
    assert (line(few, "latency").state, few.latency_p) == ("cannot tell", pytest.approx(1 / 61))
    enough = against(tmp_path, slow, [ordinary(chance, i) for i in range(120)])
    found = line(enough, "latency")
    assert (found.state, found.value, found.resolution, found.n) == (
        "deviation", pytest.approx(1 / 121), pytest.approx(1 / 121), 120,
    )  # fmt: skip
    assert [s.name for s in enough.latency if s.slow] == ["predict"]
    worst = enough.latency[0]
    assert (worst.name, worst.faster, worst.n) == ("predict", 1.0, 120)
    assert worst.typical == pytest.approx(0.05, rel=0.15)


def test_p_values_of_ordinary_requests_are_uniform_and_slow_steps_are_found() -> None:
    """False alarms at 5 % within three standard errors, whatever the number of steps; power for one step ten times as
    slow as usual, told by name."""
    chance = np.random.default_rng(6)

    def row(slow: float = 1.0) -> list[StepSpan]:
        times = np.exp(chance.normal(0, 0.4, 8)) * np.array([1, 10, 0.1, 1, 2, 3, 1, 5])
        times[3] *= slow
        return [
            StepSpan(Span("t" * 32, "s" * 16, None, f"step {i}", "internal", 0, 1), "step", False, float(t))
            for i, t in enumerate(times)
        ]

    def norm(n: int) -> Norm:
        rows = tuple({s.span.name: s.self_seconds or 0.0 for s in row()} for _ in range(n))
        return Norm(n, (), (), rows)

    p = np.array([latencies(row(), norm(60))[0] for _ in range(300)], dtype=float)
    assert np.mean(p <= 0.05) <= 0.05 + 3 * (0.05 * 0.95 / 300) ** 0.5
    assert 0.4 <= p.mean() <= 0.6
    found = [latencies(row(10.0), norm(150)) for _ in range(60)]
    assert np.mean([value is not None and value <= 0.01 for value, _ in found]) >= 0.97
    assert {steps[0].name for _, steps in found} == {"step 3"}


# What else a trace says


def told(folder: Path, *more: dict[str, Any], **case: Any) -> Ledger:
    ctx = context(folder, [*healthy(), *more], **case)
    return Ledger(Process().claims(Process().run(ctx), ctx))


@pytest.mark.parametrize(
    ("attributes", "state", "count"),
    [
        ({}, "not supplied", 0),
        ({"gen_ai.request.model": "large", "gen_ai.response.model": "large"}, "ok", 0),
        ({"gen_ai.request.model": "large", "gen_ai.response.model": "large-2026-10-01"}, "ok", 0),
        ({"gen_ai.request.model": "large", "gen_ai.response.model": "small"}, "deviation", 1),
        ({"gen_ai.request.model": "large"}, "cannot tell", 0),
    ],
)
def test_requested_against_answering_model(tmp_path: Path, attributes: dict[str, Any], state: str, count: int) -> None:
    claims = told(tmp_path, span(6, "chat", 0.91, 0.92, attributes=attributes))
    assert claims["process.model.state"].value == state
    assert sum(key.endswith(".answered") for key in claims) == count


def test_a_guardrail_is_told_in_its_own_words_and_none_proves_nothing(tmp_path: Path) -> None:
    assert told(tmp_path)["process.guardrail.state"].value == "not supplied"
    marks = {
        "xagent.step.kind": "guardrail",
        "xagent.guardrail.name": "filter",
        "xagent.guardrail.verdict": "B-2",
    }
    claims = told(tmp_path, span(6, "check", 0.91, 0.92, attributes=marks))
    assert (claims["process.guardrail.state"].value, claims["process.guardrail.1.verdict"].value) == (
        "ok",
        "B-2",
    )
    silent = told(tmp_path, span(6, "check", 0.91, 0.92, attributes={"xagent.step.kind": "guardrail"}))
    assert silent["process.guardrail.state"].value == "cannot tell"


def test_the_last_of_several_overrides_counts(tmp_path: Path) -> None:
    def review(number: int, at: float, to: str, **more: str) -> dict[str, Any]:
        marks = {"xagent.step.kind": "human", "xagent.override.to": to, **more}
        return span(number, f"review {number}", at, at + 0.01, attributes=marks)

    when = {"xagent.override.at": "2026-11-02T10:15:00+01:00"}
    claims = told(tmp_path, review(6, 0.92, "accept", **when), review(7, 0.91, "refer"))
    assert claims["process.override.count"].value == 2
    assert (claims["telemetry.override.to"].value, claims["telemetry.override.at"].value) == (
        "accept",
        "2026-11-02T09:15:00+00:00",
    )


def test_what_the_recorder_left_out_is_told(tmp_path: Path) -> None:
    share = span(6, "note", 0.91, 0.92, attributes={"xagent.sampling.share": 0.1}, droppedEventsCount=2)
    claims = told(tmp_path, share)
    assert (claims["process.sampling.share"].value, claims["telemetry.dropped.count"].value) == (0.1, 2)
    assert claims["process.sampling.state"].value == claims["telemetry.state"].value == "cannot tell"


def test_timeouts_count_once_where_they_arose(tmp_path: Path) -> None:
    inner = span(6, "call bureau", 0.2, 0.4, 2, status={"code": 2, "message": "deadline exceeded"})
    spans = [*healthy(), inner]
    spans[1]["attributes"].append(attribute("error.type", "TimeoutError"))
    data = judge(tmp_path, spans)
    assert (data.timeouts, data.errors) == (("call bureau",), ("call bureau",))


TIMES = [
    {"kind": "release", "name": "summer", "version": "3.0", "at": "2026-08-01T00:00:00Z"},
    {"kind": "release", "name": "autumn", "version": "3.1", "at": "2026-10-01T00:00:00Z"},
    {"kind": "release", "name": "winter", "version": "3.2", "at": "2026-11-02T09:30:02Z"},
    {"kind": "change", "name": "new index", "at": "2026-11-01T09:30:01Z"},
    {"kind": "incident", "name": "over", "at": "2026-11-01T00:00:00Z", "until": "2026-11-02T09:30:00Z"},
]


def test_the_time_line_is_read_at_the_decision(tmp_path: Path) -> None:
    claims = told(tmp_path, case={"timeline": TIMES})
    assert (claims["process.release.name"].value, claims["process.release.state"].value) == ("autumn", "ok")
    assert (claims["process.change.before"].value, claims["process.incident.count"].value) == (86_400.0, 0)
    assert claims["process.timeline.state"].value == claims["telemetry.state"].value == "ok"
    open_now = [*TIMES, {"kind": "incident", "name": "bureau down", "at": "2026-11-02T09:30:01Z"}]
    claims = told(tmp_path, case={"timeline": open_now})
    assert (claims["process.incident.1.name"].value, claims["process.timeline.state"].value) == (
        "bureau down",
        "deviation",
    )
    early = told(tmp_path, case={"timeline": [t for t in TIMES if t["name"] != "autumn"]})
    assert (early["process.release.version"].value, early["process.release.state"].value) == ("3.0", "deviation")


def test_what_a_format_cannot_say_is_not_supplied(tmp_path: Path) -> None:
    """CloudEvents have no durations, no parents and no errors."""
    ctx = context(tmp_path, healthy(), expected_steps=[], trace_id=None)
    events = [
        {"specversion": "1.0", "id": "r-1", "source": "kserve", "type": f"org.kubeflow.serving.inference.{kind}",
         "time": "2026-11-02T09:30:00Z", "data": {}}
        for kind in ("request", "response")
    ]  # fmt: skip
    (tmp_path / "trace.jsonl").write_text("\n".join(json.dumps(event) for event in events))
    data = Process().run(ctx)
    silent = [entry for entry in data.lines if entry.state == "not supplied"]
    assert {"steps", "completeness", "clocks", "latency"} <= {entry.check for entry in silent}
    assert all(entry.why for entry in silent) and data.state == "cannot tell"
