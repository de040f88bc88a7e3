"""What a trace says, under whatever name: aliases, a user's mapping, content that is not to be told, hostile files."""

from __future__ import annotations

import hashlib
import json
import re
import tomllib
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from xagent import telemetry
from xagent.errors import InvalidCase
from xagent.telemetry import Event, ProcessTrace, Span, read_trace
from xagent.telemetry._vocabulary import built_in
from xagent.telemetry._write import to_otlp

T, BASE = "5b8efff798038103d269b633813fc60c", 1793611800 * 10**9


def step(number: int, name: str = "step", parent: int | None = 1, **attributes: Any) -> Span:
    start = BASE + number * 10**6
    above = None if parent is None else f"{parent:016x}"
    return Span(T, f"{number:016x}", above, name, "internal", start, start + 10**9, attributes=attributes)


def written(folder: Path, *spans: Span) -> Path:
    path = folder / "trace.json"
    path.write_text(json.dumps(to_otlp(spans)))
    return path


def trace_of(folder: Path, *spans: Span, **options: Any) -> ProcessTrace:
    return read_trace(written(folder, *spans), **options)


# One language


def test_old_and_new_names_mean_the_same(tmp_path: Path) -> None:
    old = {"gen_ai.system": "openai", "gen_ai.usage.prompt_tokens": 12, "llm.response.model_name": "small-1"}
    (span,) = trace_of(tmp_path, step(1, parent=None, **old)).spans
    assert span.attributes["gen_ai.provider.name"] == "openai"
    assert span.attributes["gen_ai.usage.input_tokens"] == 12
    assert span.aliases["gen_ai.response.model"] == "llm.response.model_name"
    assert span.attributes["gen_ai.system"] == "openai"


def test_the_canonical_name_wins_and_then_the_earlier_line(tmp_path: Path) -> None:
    both = {"llm.model_name": "c", "llm.request.model_name": "b", "gen_ai.system": "y"}
    (span,) = trace_of(tmp_path, step(1, parent=None, **both, **{"gen_ai.provider.name": "x"})).spans
    assert (span.attributes["gen_ai.provider.name"], span.attributes["gen_ai.request.model"]) == ("x", "b")


def test_the_names_that_ship_are_sound() -> None:
    known = built_in()
    raw = tomllib.loads((files("xagent.telemetry") / "aliases.toml").read_text())["alias"]
    assert len({(a["from"], a["to"]) for a in raw}) == len(raw)
    for alias in known.aliases:
        assert known.is_canonical(alias.target.replace("*", "model.name")), alias.target
        assert alias.source != alias.target
        if alias.target == "xagent.step.kind":
            assert set((alias.values or {}).values()) <= set(telemetry.STEP_KINDS)
    assert not [key for key in known.types if known.rule(key).role], "a canonical key is content"


def test_names_of_openinference_are_the_ones_its_package_writes() -> None:
    from openinference.semconv.trace import SpanAttributes

    known = {value for name, value in vars(SpanAttributes).items() if name.isupper() and isinstance(value, str)}
    heads = {value.rsplit(".", 1)[0] for value in known} | known
    mine = ("llm.model_name", "llm.system", "llm.provider", "llm.token_count.prompt", "openinference.span.kind",
            "llm.token_count.prompt_details.cache_read", "embedding.model_name", "tool.name", "input.value",
            "output.value", "llm.input_messages", "llm.output_messages", "retrieval.documents")  # fmt: skip
    assert [name for name in mine if name not in heads] == []
    content = [SpanAttributes.INPUT_VALUE, SpanAttributes.OUTPUT_VALUE, SpanAttributes.LLM_INPUT_MESSAGES,
               SpanAttributes.USER_ID, SpanAttributes.SESSION_ID,
               SpanAttributes.LLM_PROMPT_TEMPLATE_VARIABLES]  # fmt: skip
    assert [name for name in content if built_in().rule(name).role is None] == []


MAPPING = """
schema = "xagent.mapping/1"
[attributes]
"acme.rev" = "xagent.model.version"
"acme.feat.*.ts" = "xagent.feature.*.event_time"
"acme.phase" = "xagent.step.kind"
"user.model" = "xagent.model.name"
[values."acme.phase"]
scoring = "predict"
[steps]
"call bureau" = "fetch"
[payloads]
person = ["acme.applicant.*"]
"""


def mapping(folder: Path, text: str = MAPPING) -> Path:
    path = folder / "mapping.toml"
    path.write_text(text)
    return path


def test_a_users_own_names_are_read(tmp_path: Path) -> None:
    own = {"acme.rev": "3.1", "acme.feat.income.net.ts": "2026-11-02T08:30:00Z", "acme.phase": "scoring",
           "acme.applicant.name": "Jane", "user.model": "credit"}  # fmt: skip
    spans = [step(1, "root", None), step(2, "score", **own), step(3, "call bureau", **{"acme.phase": "idle"})]
    trace = trace_of(tmp_path, *spans, mapping=mapping(tmp_path))
    _, score, bureau = trace.spans
    assert score.attributes["xagent.model.version"] == "3.1"
    assert score.attributes["xagent.step.kind"] == "predict"
    assert score.attributes["xagent.model.name"] == "credit"
    assert bureau.attributes["xagent.step.kind"] == "fetch"
    (feature,) = telemetry.features(trace)
    assert (feature.name, feature.event_times[0].origin.key) == ("income.net", "acme.feat.income.net.ts")
    assert [p.role for p in score.payloads] == ["person"]
    assert "Jane" not in repr(trace)
    assert "xagent.model.version" not in trace_of(tmp_path, *spans).spans[1].attributes


def test_a_users_name_comes_before_one_that_ships_and_after_the_canonical_one(tmp_path: Path) -> None:
    lines = 'schema = "xagent.mapping/1"\n[attributes]\n"acme.model" = "gen_ai.request.model"\n'
    own = {"llm.model_name": "shipped", "acme.model": "own"}
    both = [step(1, parent=None, **own), step(2, **own, **{"gen_ai.request.model": "canonical"})]
    trace = trace_of(tmp_path, *both, mapping=mapping(tmp_path, lines))
    assert [s.attributes["gen_ai.request.model"] for s in trace.spans] == ["own", "canonical"]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("", "which schema"),
        ('schema = "xagent.mapping/1"\n[attribute]', "unknown entry 'attribute'"),
        ('schema = "xagent.mapping/1"\nattributes = 1', "attributes is no table"),
        ('schema = "xagent.mapping/1"\n[attributes]\nacme.rev = "xagent.model.version"', "Quote names"),
        ('schema = "xagent.mapping/1"\n[attributes]\n"a" = "xagent.model.verison"', "mean 'xagent.model."),
        ('schema = "xagent.mapping/1"\n[attributes]\n"a" = "xagent.feature.*.source"', "stars"),
        ('schema = "xagent.mapping/1"\n[attributes]\n"error.type" = "xagent.model.name"', "already"),
        ('schema = "xagent.mapping/1"\n[values.a]\nb = "c"', "no entry of"),
        ('schema = "xagent.mapping/1"\n[steps]\na = "think"', "Use one of: fetch"),
        ('schema = "xagent.mapping/1"\n[payloads]\nsecrets = ["a"]', "Give lists"),
        ("schema = ", "not valid TOML"),
    ],
)
def test_a_wrong_mapping_is_refused_with_its_mend(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(InvalidCase, match=r"mapping\.toml") as refused:
        trace_of(tmp_path, step(1, parent=None), mapping=mapping(tmp_path, text))
    assert said in str(refused.value)


# What is not to be told


def test_content_is_hashed_and_kept_only_on_request(tmp_path: Path) -> None:
    secret = {"gen_ai.input.messages": "Jane", "user.id": "jane@example.org", "http.request.header.cookie": "abc",
              "db.query.text": "select Jane", "own.note": "x" * 1001, "Own.PASSWORD": "hunter2"}  # fmt: skip
    span = step(1, parent=None, **secret, **{"own.short": "kept", "gen_ai.usage.input_tokens": 3})
    redacted = trace_of(tmp_path, span)
    assert {p.key: p.role for p in redacted.spans[0].payloads} == {
        "gen_ai.input.messages": "input",
        "user.id": "person",
        "http.request.header.cookie": "secret",
        "db.query.text": "detail",
        "own.note": "other",
        "Own.PASSWORD": "secret",
    }
    assert set(redacted.spans[0].attributes) == {"own.short", "gen_ai.usage.input_tokens"}
    assert not [word for word in ("Jane", "jane", "abc", "xxx", "hunter2") if word in repr(redacted)]
    (_, asked), *_ = telemetry.payloads(redacted, "input")
    assert (asked.sha256, asked.size, asked.value) == (hashlib.sha256(b"Jane").hexdigest(), 4, None)
    assert telemetry.payloads(trace_of(tmp_path, span, keep_payloads=True), "input")[0][1].value == "Jane"


@given(value=st.recursive(st.text(max_size=5) | st.integers(-9, 9) | st.booleans(), lambda s: st.lists(s, max_size=3)))
def test_equal_content_has_equal_hashes(value: Any, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = tmp_path_factory.mktemp("hash")
    pair = [
        trace_of(folder, step(1, parent=None, **{"input.value": v})) for v in (value, json.loads(json.dumps(value)))
    ]
    first, second = (t.spans[0].payloads for t in pair)
    assert first == second
    assert len(first) == 1
    assert first[0].value is None


# Typed answers with their origin


def test_every_answer_names_where_it_stands(tmp_path: Path) -> None:
    trace = trace_of(
        tmp_path,
        Span(T, "1" * 16, None, "root", "server", BASE, BASE + 10**9, resource={"service.version": "9"}, dropped=2),
        step(2, "complete", **{"gen_ai.request.model": "large-1", "gen_ai.response.model": "small-1",
                               "xagent.fallback.of": "large", "http.resend_count": 2}),
        step(3, "dated", **{"gen_ai.request.model": "large-1", "gen_ai.response.model": "large-1-2026-10-01"}),
        step(4, "check", **{"gen_ai.guardrail.name": "pii", "gen_ai.guardrail.result.verdict": "BLOCKED_SOFT",
                            "gen_ai.guardrail.result.score": 0.25}),
        Span(T, f"{5:016x}", "1" * 16, "review", "internal", BASE + 5, BASE + 9, events=(
            Event("override", BASE + 7, {"xagent.override.who": "underwriter", "xagent.override.from": "reject",
                                         "xagent.override.to": "accept", "xagent.override.why": "payslip"}),)),
        step(6, "call", **{"http.status_code": 504}),
        step(7, "wait", **{"error.type": "ReadTimeout"}),
    )  # fmt: skip
    calls = {call.span.name: call for call in telemetry.model_calls(trace)}
    assert (calls["complete"].same, calls["dated"].same) == (False, True)
    (guard,) = telemetry.guardrails(trace)
    assert guard.name is not None and guard.name.origin.key == "gen_ai.guardrail.name"
    assert {(v.origin.key, v.value) for v in guard.verdicts} >= {
        ("gen_ai.guardrail.result.verdict", "BLOCKED_SOFT"),
        ("gen_ai.guardrail.result.score", 0.25),
    }
    (change,) = telemetry.overrides(trace)
    said = [f.value if f else None for f in (change.who, change.before, change.after, change.why, change.at)]
    assert said == ["underwriter", "reject", "accept", "payslip", None]
    assert (change.time_ns, change.who.origin.place if change.who else "") == (BASE + 7, "event")
    assert [f.of.value for f in telemetry.fallbacks(trace)] == ["large"]
    assert [(f.value, f.origin.key) for f in telemetry.retries(trace)] == [(2, "http.resend_count")]
    assert [f.value for f in telemetry.timeouts(trace)] == [504, "ReadTimeout"]
    assert [(f.key, f.origin.place) for f in telemetry.versions(trace)] == [("service.version", "resource")]
    assert telemetry.sampling(trace).dropped == 2
    assert trace.source is not None
    assert trace.source.sha256 == hashlib.sha256((tmp_path / "trace.json").read_bytes()).hexdigest()
    assert {f.origin.file for f in trace.facts("xagent.", "gen_ai.")} == {"trace.json"}


def test_own_time_leaves_out_children_and_counts_overlaps_once(tmp_path: Path) -> None:
    def lasting(number: int, parent: int | None, start: int, end: int | None) -> Span:
        above = None if parent is None else f"{parent:016x}"
        return Span(T, f"{number:016x}", above, "s", "internal", BASE + start, None if end is None else BASE + end)

    trace = trace_of(tmp_path, lasting(1, None, 0, 100), lasting(2, 1, 10, 40), lasting(3, 1, 30, 60),
                     lasting(4, 1, 90, 200), lasting(5, 2, 10, None))  # fmt: skip
    assert list(trace.self_ns().values()) == [40, 30, None, 30, 110]


@pytest.mark.parametrize(
    ("state", "share"),
    [("ot=th:8", 0.5), ("vendor=1,ot=rv:abc;th:c", 0.25), ("ot=th:0", 1.0), ("ot=rv:th:8", None), ("", None)],
)
def test_how_many_requests_were_recorded_is_read_from_the_trace_state(
    tmp_path: Path, state: str, share: float | None
) -> None:
    document = to_otlp([step(1, parent=None)])
    document["resourceSpans"][0]["scopeSpans"][0]["spans"][0]["traceState"] = state
    (tmp_path / "trace.json").write_text(json.dumps(document))
    found = telemetry.sampling(read_trace(tmp_path / "trace.json")).share
    assert (found.value if found else None) == share


# Hostile files


def hostile(**change: Any) -> str:
    spans = to_otlp([step(1, parent=None), step(2, parent=1)])
    spans["resourceSpans"][0]["scopeSpans"][0]["spans"][1].update(change)
    return json.dumps(spans)


def deep(levels: int) -> str:
    return '{"a":' * levels + "1" + "}" * levels


HOSTILE = {
    "nested a hundred thousand deep": (deep(100_000), "nested too deeply"),
    "nested two hundred deep": ('{"resourceSpans": [], "a": ' + deep(200) + "}", "nested more than 100"),
    "a number of a million digits": ('{"resourceSpans": ' + "9" * 1_000_000 + "}", "1000000 digits"),
    "a number of a hundred digits": ('{"resourceSpans": ' + "9" * 100 + "}", "a number of 100 digits"),
    "a number beyond range": ('{"resourceSpans": 1e999}', "out of range"),
    "not a number": ('{"resourceSpans": NaN}', "NaN is not a number"),
    "a key that stands twice": ('{"resourceSpans": [], "resourceSpans": []}', "stands twice"),
    "its own parent": (hostile(parentSpanId=f"{2:016x}"), "its own ancestor"),
    "two of one id": (hostile(spanId=f"{1:016x}", parentSpanId=""), "two different spans"),
    "a time beyond range": (hostile(startTimeUnixNano=str(2**70)), "readable as OTLP"),
    "a time before 1970": (hostile(startTimeUnixNano="-5"), "readable as OTLP"),
    "an id that is no text": (hostile(spanId=7), "readable as OTLP"),
    "spans that are no list": ('{"resourceSpans": {"scopeSpans": 3}}', "readable as OTLP"),
    "three thousand attributes": (
        hostile(attributes=[{"key": f"k{i}", "value": {"intValue": "1"}} for i in range(3000)]),
        "more than 2000",
    ),
    "an event that is a number": ('{"specversion": "1.0", "id": 3, "type": "t", "source": "s"}', "has no id"),
    "a jaeger trace of numbers": ('{"data": [{"traceID": "1", "spans": [3]}]}', "readable as Jaeger"),
    "a zipkin span with a negative time": ('[{"traceId": "1", "id": "1", "timestamp": -3, "tags": {}}]', "timestamp"),
    "a langfuse row without a time": ('[{"id": "a", "trace_id": "b", "type": "SPAN", "start_time": null}]', "start"),
    "an mlflow trace without ids": ('{"info": {}, "data": {"spans": [{"name": "a"}]}}', "readable as MLflow"),
    "a capture without metadata": ('{"captureData": {"endpointInput": 3}}', "eventMetadata"),
    "a run without an id": ('{"eventTime": "2026-11-02T00:00:00Z", "run": {}, "job": {}}', "runId"),
    "only a dataset": ('{"eventTime": "2026-11-02T00:00:00Z", "dataset": {}}', "holds no spans"),
    "numbers alone": ("1 2 3", "no JSON objects"),
    "packed": ("\x1f\x8b", "gzip"),
    "parquet": ("PAR1", "Parquet"),
}


@pytest.mark.parametrize("name", HOSTILE)
def test_a_hostile_file_gives_one_clear_error(tmp_path: Path, name: str) -> None:
    text, said = HOSTILE[name]
    path = tmp_path / "trace.json"
    path.write_bytes(text.encode("latin-1"))
    with pytest.raises(InvalidCase, match=r"trace\.json") as refused:
        read_trace(path)
    assert said in str(refused.value)
    assert len(str(refused.value)) < 700


def test_names_without_end_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("xagent.telemetry._vocabulary.MAX_KEYS", 10)
    assert trace_of(tmp_path, step(1, parent=None, **{f"own.{n}": 1 for n in range(10)}))
    with pytest.raises(InvalidCase, match=r"trace\.json.*more than 10 different names"):
        trace_of(tmp_path, step(1, parent=None, **{f"own.{n}": 1 for n in range(11)}))


def test_ancestors_in_a_circle_are_refused_and_a_long_chain_is_not(tmp_path: Path) -> None:
    chain = [step(n, parent=n - 1 or None) for n in range(1, 3000)]
    assert len(trace_of(tmp_path, *chain).spans) == 2999
    with pytest.raises(InvalidCase, match="its own ancestor"):
        trace_of(tmp_path, step(1, parent=3), *chain[1:3])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=8), inner, max_size=3),
    max_leaves=12,
)
SHAPES = [
    {"resourceSpans": None}, {"context": {"trace_state": "[]"}, "start_time": None},
    {"info": {}, "data": {"spans": []}},
    {"observations": []}, {"id": "a", "trace_id": "b", "type": "c", "start_time": "d"}, {"specversion": "1.0"},
    {"span_kind": "LLM", "context": {"trace_id": "a", "span_id": "b"}}, {"traceId": "1", "id": "1", "tags": {}},
    {"data": [{"traceID": "1", "spans": []}]}, {"captureData": {}}, {"eventTime": "x", "run": {}, "job": {}},
]  # fmt: skip


@given(data=st.data(), shape=st.sampled_from(SHAPES))
def test_no_file_brings_a_reader_down(
    data: st.DataObject, shape: dict[str, Any], tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Any JSON in any place of any format: a trace or an InvalidCase, nothing else."""
    path = tmp_path_factory.mktemp("hostile") / "trace.json"
    broken = {key: data.draw(JSON | st.just(value)) for key, value in shape.items()}
    more = data.draw(st.dictionaries(st.sampled_from(
        ["name", "timestamp", "startTime", "events", "attributes", "status", "end_time", "time", "scores", "parentId",
         "eventMetadata", "eventType", "annotations", "localEndpoint", "metadata", "level", "status_code", "id"]
    ), JSON, max_size=4))  # fmt: skip
    path.write_text(json.dumps({**more, **broken}))
    try:
        read_trace(path)
    except InvalidCase as refused:
        assert "trace.json" in str(refused)


# What the page says is done


def blocks(language: str) -> list[str]:
    page = (Path(__file__).parent.parent / "docs" / "telemetry.md").read_text()
    return re.findall(rf"```{language}\n(.*?)```", page, flags=re.DOTALL)


def test_the_page_lists_every_format_and_key() -> None:
    page = (Path(__file__).parent.parent / "docs" / "telemetry.md").read_text()
    for reader in telemetry.readers():
        assert reader.name.split()[0] in page, reader.name
    for key in built_in().types:
        if key.startswith("xagent.") and not key.startswith(("xagent.annotation", "xagent.dataset", "xagent.job")):
            head, _, last = key.replace("*", "<name>").rpartition(".")
            assert (head in page and f"{last}`" in page) or key in ("xagent.case.id", "xagent.code.version"), key


def test_the_mapping_of_the_page_is_read(tmp_path: Path) -> None:
    own = {"acme.model_rev": "3.1", "acme.phase": "scoring", "acme.applicant.name": "Jane"}
    trace = trace_of(tmp_path, step(1, parent=None, **own), mapping=mapping(tmp_path, blocks("toml")[0]))
    (span,) = trace.spans
    assert (span.attributes["xagent.model.version"], span.attributes["xagent.step.kind"]) == ("3.1", "predict")
    assert [p.role for p in span.payloads] == ["person"]


def test_the_settings_of_the_page_are_taken(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from xagent.settings import load_settings

    monkeypatch.chdir(tmp_path)
    (tmp_path / "xagent.toml").write_text(blocks("toml")[1])
    assert load_settings().telemetry.endpoint == "http://localhost:4318"
    assert load_settings(telemetry={"file": Path("other.jsonl")}).telemetry.endpoint == "http://localhost:4318"


def test_the_questions_and_the_reader_of_the_page_work(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from xagent.telemetry import _readers

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(_readers, "_READERS", list(_readers._READERS))
    ask, add = blocks("python")
    exec(add, {"__name__": "page"})
    record = {"acme_step": "score", "request": "r-1", "id": "1", "ns": 10**18, "tags": {"xagent.model.version": "3.1"}}
    (tmp_path / "trace.jsonl").write_text(json.dumps(record))
    exec(ask, {"__name__": "page"})
    said = capsys.readouterr().out
    assert "xagent.model.version 3.1 trace.jsonl 1 xagent.model.version" in said
    assert "Acme writes no durations." in said


@pytest.mark.parametrize(
    ("asked", "answered", "same"),
    [
        ("large-1", "large-1", True),
        ("large-1", "large-1-2026-10-01", True),
        ("large", "large:20261001", True),
        ("large-1", "large-10", False),
        ("large-1", "large-1-mini", False),
        ("large-1-2026-10-01", "large-1", False),
        ("large-1", None, None),
        (None, "large-1", None),
    ],
)
def test_a_dated_name_is_the_same_model_and_a_smaller_one_is_not(
    tmp_path: Path, asked: str | None, answered: str | None, same: bool | None
) -> None:
    named = {"gen_ai.request.model": asked, "gen_ai.response.model": answered}
    span = step(1, parent=None, **{key: value for key, value in named.items() if value})
    (call,) = telemetry.model_calls(trace_of(tmp_path, span))
    assert call.same is same
