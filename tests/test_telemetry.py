"""The trace of one prediction: every dialect of OTLP JSON reads alike or fails loudly, and the process is judged."""

from __future__ import annotations

import base64
import copy
import dataclasses
import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xagent.case import Case, SystemCard, load_case
from xagent.errors import InvalidCase
from xagent.evidence import Ledger
from xagent.telemetry import Reader, Span, read_trace, readers, register
from xagent.telemetry import _readers as readers_module
from xagent.tools import Context, NotApplicable
from xagent.tools.telemetry import Telemetry, TelemetryResult

TRACE = "5b8efff798038103d269b633813fc60c"
SHA = "ab" * 32
STEPS = ("fetch features", "transform", "predict", "deliver")
BASE = int(datetime(2026, 11, 2, 9, 30, tzinfo=UTC).timestamp()) * 10**9


def attribute(key: str, value: Any) -> dict[str, Any]:
    if isinstance(value, bool):
        return {"key": key, "value": {"boolValue": value}}
    if isinstance(value, int):
        return {"key": key, "value": {"intValue": str(value)}}
    if isinstance(value, float):
        return {"key": key, "value": {"doubleValue": value}}
    return {"key": key, "value": {"stringValue": value}}


def span(number: int, name: str, start: float, end: float, parent: int | None = 1, **more: Any) -> dict[str, Any]:
    """A span as OTLP specifies it; times in seconds after 09:30."""
    given = more.pop("attributes", {})
    attributes = given if isinstance(given, list) else [attribute(k, v) for k, v in given.items()]
    return {
        "traceId": TRACE,
        "spanId": f"{number:016x}",
        "parentSpanId": "" if parent is None else f"{parent:016x}",
        "name": name,
        "kind": 1 if parent else 2,
        "startTimeUnixNano": str(BASE + round(start * 1e9)),
        "endTimeUnixNano": str(BASE + round(end * 1e9)),
        "attributes": attributes,
        "status": {"code": 1},
        **more,
    }


def healthy() -> list[dict[str, Any]]:
    return [
        span(1, "POST /score", 0, 1.0, None),
        span(
            2,
            "fetch features",
            0.1,
            0.5,
            attributes={
                "xagent.step.kind": "fetch",
                "xagent.feature.income.event_time": "2026-11-02T08:30:00+00:00",
                "xagent.feature.income.source": "bureau",
            },
        ),
        span(3, "transform", 0.5, 0.6, attributes={"xagent.step.kind": "transform"}),
        span(
            4,
            "predict",
            0.6,
            0.9,
            attributes={
                "xagent.step.kind": "predict",
                "xagent.model.name": "credit",
                "xagent.model.version": "3.1",
                "xagent.model.sha256": SHA,
                "xagent.prediction.score": 0.7,
            },
        ),
        span(5, "deliver", 0.9, 0.95, attributes={"xagent.step.kind": "deliver"}),
    ]


def document(spans: list[dict[str, Any]], **resource: Any) -> dict[str, Any]:
    return {
        "resourceSpans": [
            {
                "resource": {"attributes": [attribute(k, v) for k, v in resource.items()]},
                "scopeSpans": [{"scope": {"name": "serving"}, "spans": spans}],
            }
        ]
    }


def write(folder: Path, *documents: Any) -> Path:
    path = folder / "trace.jsonl"
    path.write_text("\n".join(json.dumps(d) for d in documents))
    return path


def context(folder: Path, spans: list[dict[str, Any]] | None, **telemetry: Any) -> Context:
    if spans is not None:
        write(folder, document(spans))
    case: dict[str, Any] = {
        "schema": "xagent.case/1",
        "id": "a-1",
        "subject": "applicant 7",
        "model": {
            "format": "torch-export",
            "path": "model.pt2",
            "name": "credit",
            "version": "3.1",
            "output": {"kind": "logit", "classes": ["reject", "accept"]},
        },
        "input": {"kind": "tabular", "values": {"income": 1, "age": 30}},
        "prediction": {"label": "accept", "score": 0.7, "decided_at": "2026-11-02T09:30:01+00:00"},
    }
    if spans is not None:
        case["telemetry"] = {"path": "trace.jsonl", "expected_steps": list(STEPS), **telemetry}
    (folder / "case.json").write_text(json.dumps(case))
    card = SystemCard.model_validate(
        {
            "schema": "xagent.system/1",
            "name": "credit",
            "features": {"income": {"label": "Income", "stale_after_seconds": 7200}},
        }
    )
    loaded: Case = load_case(folder / "case.json")
    return Context(case=loaded, card=card, subject=SimpleNamespace(sha256={"model": SHA}))  # type: ignore[arg-type]


def judge(folder: Path, spans: list[dict[str, Any]], **telemetry: Any) -> TelemetryResult:
    return Telemetry().run(context(folder, spans, **telemetry))


# Reading


def snake(value: Any) -> Any:
    if isinstance(value, list):
        return [snake(v) for v in value]
    if not isinstance(value, dict):
        return value
    return {"".join("_" + c.lower() if c.isupper() else c for c in k): snake(v) for k, v in value.items()}


def with_base64_ids(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for s in spans:
        for key in ("traceId", "spanId", "parentSpanId"):
            s[key] = base64.b64encode(bytes.fromhex(s[key])).decode()
    return spans


def with_enum_names(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for s in spans:
        s["kind"] = {1: "SPAN_KIND_INTERNAL", 2: "SPAN_KIND_SERVER"}[s["kind"]]
        s["status"] = {"code": "STATUS_CODE_OK"}
    return spans


def with_numbers(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    for s in spans:
        s["startTimeUnixNano"], s["endTimeUnixNano"] = int(s["startTimeUnixNano"]), int(s["endTimeUnixNano"])
        s["somethingNew"] = {"deep": [1]}
    return spans


def bare_ok(spans: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Without what may be left out: an empty parent, an internal kind's number as text."""
    for s in spans:
        if not s["parentSpanId"]:
            del s["parentSpanId"]
        s["kind"] = str(s["kind"])
    return spans


DIALECTS = {
    "the specified form": lambda s: [document(s)],
    "a span a line, backwards": lambda s: [document([one]) for one in reversed(s)],
    "exported twice": lambda s: [document(s), document(s)],
    "snake case": lambda s: [snake(document(s))],
    "base64 ids": lambda s: [document(with_base64_ids(s))],
    "enum names": lambda s: [document(with_enum_names(s))],
    "all of MessageToDict": lambda s: [snake(document(with_enum_names(with_base64_ids(s))))],
    "numbers and unknown fields": lambda s: [document(with_numbers(s))],
    "what may be left out": lambda s: [document(bare_ok(s))],
    "upper case ids": lambda s: [document([{**o, "traceId": o["traceId"].upper()} for o in s])],
    "metrics between": lambda s: [{"resourceMetrics": []}, document(s), {"resource_logs": []}],
}


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_gives_the_same_trace(tmp_path: Path, dialect: str) -> None:
    expected = read_trace(write(tmp_path, document(healthy())))
    trace = read_trace(write(tmp_path, *DIALECTS[dialect](healthy())))
    assert trace == expected
    assert trace.trace_id == TRACE
    assert [s.span_id for s in trace.spans] == [f"{i:016x}" for i in range(1, 6)]
    assert [s.kind for s in trace.spans] == ["server", *["internal"] * 4]


def test_the_official_decoder_reads_what_we_read(tmp_path: Path) -> None:
    """As an oracle: `opentelemetry-proto-json` on the specified form, field by field."""
    from opentelemetry.proto_json.trace.v1.trace import TracesData

    original = document(healthy(), **{"service.name": "scoring"})
    decoded = TracesData.from_dict(original)
    (scope,) = decoded.resource_spans[0].scope_spans
    spans = read_trace(write(tmp_path, original)).spans
    assert [(s.trace_id, s.span_id, s.parent_id or "", s.name, s.start_ns, s.end_ns) for s in spans] == [
        (
            s.trace_id.hex(),
            s.span_id.hex(),
            s.parent_span_id.hex(),
            s.name,
            s.start_time_unix_nano,
            s.end_time_unix_nano,
        )
        for s in scope.spans
    ]
    assert read_trace(write(tmp_path, decoded.to_dict())) == read_trace(write(tmp_path, original))


@given(trace=st.binary(min_size=16, max_size=16).filter(any), one=st.binary(min_size=8, max_size=8).filter(any))
def test_ids_survive_every_encoding(trace: bytes, one: bytes, tmp_path_factory: pytest.TempPathFactory) -> None:
    encodings = (
        bytes.hex,
        lambda raw: raw.hex().upper(),
        lambda raw: "0x" + raw.hex(),
        lambda raw: base64.b64encode(raw).decode(),
        lambda raw: base64.urlsafe_b64encode(raw).decode().rstrip("="),
        lambda raw: base64.b64decode(raw.hex()).hex(),  # hex that was read as base64, written as hex again
    )
    folder = tmp_path_factory.mktemp("ids")
    for encode in encodings:
        root = span(1, "root", 0, 1, None, traceId=encode(trace), spanId=encode(one))
        found = read_trace(write(folder, document([root])))
        assert (found.trace_id, found.spans[0].span_id) == (trace.hex(), one.hex())


def broken(**change: Any) -> list[dict[str, Any]]:
    spans = healthy()
    spans[2].update(change)
    return spans


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"status": None}, ("status", "unset")),
        ({"status": {}}, ("status", "unset")),
        ({"attributes": [{"key": "a", "value": {}}]}, ("attributes", {"a": None})),
        ({"attributes": [{"key": "a"}]}, ("attributes", {"a": None})),
        ({"attributes": [{"key": "a", "value": {"intValue": 3}}]}, ("attributes", {"a": 3})),
        ({"attributes": [{"key": "a", "value": {"int_value": "3"}}]}, ("attributes", {"a": 3})),
        ({"attributes": [{"key": "a", "value": {"doubleValue": "NaN"}}]}, ("attributes", {"a": None})),
        ({"attributes": [{"key": "a", "value": {"bytesValue": "AAE="}}]}, ("attributes", {"a": "0001"})),
        ({"attributes": [{"key": "a", "value": {"newValue": 3}}]}, ("attributes", {"a": None})),
        (
            {"attributes": [{"key": "a", "value": {"arrayValue": {"values": [
                {"kvlistValue": {"values": [attribute("b", 1)]}}, {"arrayValue": {}}]}}}]},
            ("attributes", {"a": ({"b": 1}, ())}),
        ),
        ({"endTimeUnixNano": "0"}, ("end_ns", None)),
        ({"flags": 257}, ("sampled", True)),
        ({"droppedAttributesCount": 2, "droppedLinksCount": 1}, ("dropped", 3)),
    ],
)  # fmt: skip
def test_every_value_of_otlp_is_read(tmp_path: Path, change: dict[str, Any], expected: tuple[str, Any]) -> None:
    field, value = expected
    assert (
        getattr(read_trace(write(tmp_path, document([span(1, "root", 0, 1, None, **change)]))).spans[0], field) == value
    )


REFUSED = {
    "no spans at all": [document([])],
    "only metrics": [{"resourceSpans": []}, {"resourceMetrics": [{}]}],
    "unknown format": [{"hello": "world"}],
    "an unknown line": [document(healthy()), {"hello": "world"}],
    "no span id": [document(broken(spanId=""))],
    "no trace id": [document(broken(traceId=""))],
    "an id of zeros": [document(broken(spanId="0" * 16))],
    "a short id": [document(broken(spanId="abcd"))],
    "no start": [document(broken(startTimeUnixNano="0"))],
    "an unknown kind": [document(broken(kind="SPAN_KIND_MAGIC"))],
    "an unknown status": [document(broken(status={"code": 7}))],
    "attributes of a wrong type": [document(broken(attributes="none"))],
    "two spans of one id": [document([*healthy(), span(3, "another", 0, 1)])],
    "an integer of 65 bits": [document(broken(attributes=[{"key": "a", "value": {"intValue": str(2**63)}}]))],
    "a number as text": [document(broken(attributes=[{"key": "a", "value": {"stringValue": 3}}]))],
    "a yes as text": [document(broken(attributes=[{"key": "a", "value": {"boolValue": "yes"}}]))],
    "a status by a wrong name": [document(broken(status={"code": "STATUS_CODE_FINE"}))],
    "two spellings of a key": [document(broken(span_id="0" * 15 + "9"))],
}


@pytest.mark.parametrize("why", REFUSED)
def test_what_is_no_trace_is_refused_by_name(tmp_path: Path, why: str) -> None:
    with pytest.raises(InvalidCase, match=r"trace\.jsonl"):
        read_trace(write(tmp_path, *REFUSED[why]))


@pytest.mark.parametrize("text", ["", "{", '{"resourceSpans": [', "\xff\xfe", "[" * 100_000, '{"resourceSpans": NaN}'])
def test_files_that_are_not_json_are_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "trace.jsonl"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidCase, match=r"trace\.jsonl"):
        read_trace(path)


def test_size_is_limited(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write(tmp_path, document(healthy()))
    monkeypatch.setattr("xagent.telemetry._read.MAX_SPANS", 4)
    with pytest.raises(InvalidCase, match="more than 4 spans"):
        read_trace(path)
    monkeypatch.setattr("xagent.telemetry._documents.MAX_TRACE_BYTES", 10)
    with pytest.raises(InvalidCase, match="larger than"):
        read_trace(path)


def test_the_trace_is_chosen_never_guessed(tmp_path: Path) -> None:
    other = [{**s, "traceId": "f" * 32} for s in healthy()[:2]]
    path = write(tmp_path, document(healthy()), document(other))
    with pytest.raises(InvalidCase, match="2 traces"):
        read_trace(path)
    assert len(read_trace(path, TRACE).spans) == 5
    assert len(read_trace(path, "f" * 32).spans) == 2
    with pytest.raises(InvalidCase, match="does not hold the trace"):
        read_trace(path, "e" * 32)


def test_another_format_is_one_registered_reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(readers_module, "_READERS", list(readers_module._READERS))

    def read(documents: Any) -> list[Span]:
        return [Span(TRACE, "1" * 16, None, d["step"], "internal", 1, 2) for d in documents]

    register(Reader("steps", lambda documents: all("step" in d for d in documents), read))
    assert [r.name for r in readers()][-1] == "steps"
    assert read_trace(write(tmp_path, {"step": "predict"})).format == "steps"
    with pytest.raises(ValueError, match="already"):
        register(Reader("steps", bool, read))


# Judging


def test_a_healthy_process_is_ok(tmp_path: Path) -> None:
    ctx = context(tmp_path, healthy())
    data = Telemetry().run(ctx)
    assert data.state == "ok"
    assert (data.version.state, data.hash.state, data.score_state, data.override.state) == ("ok", "ok", "ok", "no")
    assert data.duration == 1.0
    assert [(s.name, s.start_offset) for s in data.steps][:2] == [("fetch features", 0.1), ("transform", 0.5)]
    claims = Ledger(Telemetry().claims(TelemetryResult.model_validate(data.model_dump(mode="json")), ctx))
    assert claims["telemetry.steps.count"].value == 4
    assert claims["telemetry.slowest.name"].value == "fetch features"
    assert claims["telemetry.feature.income.age"].value == 3601.0
    assert claims["telemetry.feature.income.state"].value == "ok"
    assert "telemetry.override.who" not in claims
    assert set(Telemetry().inputs(ctx)) == {"telemetry"}


def test_no_telemetry_is_not_applicable(tmp_path: Path) -> None:
    with pytest.raises(NotApplicable, match="names no telemetry"):
        Telemetry().run(context(tmp_path, None))


def test_a_changed_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCase, match="sha256"):
        judge(tmp_path, healthy(), sha256="0" * 64)


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


def test_a_fallback_of_another_version_is_seen(tmp_path: Path) -> None:
    marks = {"xagent.step.kind": "predict", "xagent.model.version": "2.0", "xagent.fallback.of": "predict"}
    data = judge(tmp_path, [*healthy(), span(6, "predict by rules", 0.91, 0.92, attributes=marks)])
    assert [(f.step, f.of) for f in data.fallbacks] == [("predict by rules", "predict")]
    assert (data.version.state, data.version.deployed) == ("deviation", "2.0, 3.1")


def test_another_model_beside_it_is_no_deviation(tmp_path: Path) -> None:
    marks = {"xagent.step.kind": "predict", "xagent.model.name": "fraud", "xagent.model.version": "9"}
    data = judge(tmp_path, [*healthy(), span(6, "fraud check", 0.91, 0.92, attributes=marks)])
    assert (data.state, data.version.deployed, data.unexpected) == ("ok", "3.1", ("fraud check",))


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


def test_a_human_override_is_reported_in_full(tmp_path: Path) -> None:
    marks = {"xagent.step.kind": "human", "xagent.override.who": "underwriter", "xagent.override.from": "reject",
             "xagent.override.to": "accept", "xagent.override.why": "payslip\nseen"}  # fmt: skip
    ctx = context(tmp_path, [*healthy(), span(6, "review", 0.9, 0.91, attributes=marks)])
    data = Telemetry().run(ctx)
    claims = Ledger(Telemetry().claims(data, ctx))
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


@given(order=st.permutations(range(5)))
def test_the_order_of_lines_changes_nothing(order: list[int], tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("order")
    spans = healthy()
    ctx = context(folder, spans)
    expected = Telemetry().run(ctx)
    write(folder, *[document([copy.deepcopy(spans[i])]) for i in order])
    assert Telemetry().run(ctx) == expected


def test_a_users_own_names_reach_the_tool(tmp_path: Path) -> None:
    spans = healthy()
    for part in spans[3]["attributes"]:
        part["key"] = part["key"].replace("xagent.model.", "acme.")
    ctx = context(tmp_path, spans)
    assert Telemetry().run(ctx).version.state == "cannot tell"
    mapping = tmp_path / "mapping.toml"
    lines = [f'"acme.{part}" = "xagent.model.{part}"' for part in ("name", "version", "sha256")]
    mapping.write_text("\n".join(['schema = "xagent.mapping/1"', "[attributes]", *lines]))
    mapped = dataclasses.replace(ctx, mapping=mapping)
    assert Telemetry().run(mapped) == Telemetry().run(context(tmp_path, healthy()))
    assert set(Telemetry().inputs(mapped)) == {"telemetry", "telemetry mapping"}


def test_a_trace_in_another_format_is_judged_alike(tmp_path: Path) -> None:
    """Zipkin says no more than OTLP, so the process it tells of is the same."""
    from telemetry_samples import as_zipkin

    ctx = context(tmp_path, healthy())
    expected = Telemetry().run(ctx)
    path = tmp_path / "trace.jsonl"
    path.write_text(as_zipkin(read_trace(path).spans))
    assert Telemetry().run(ctx).model_copy(update={"format": expected.format}) == expected
