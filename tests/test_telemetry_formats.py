"""Every telemetry format gives the same typed trace: files of the real libraries, files by their published formats,
and random traces written and read back."""

from __future__ import annotations

import dataclasses
import hashlib
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemetry_samples import (
    KEYS,
    SCALARS,
    WORDS,
    as_console,
    as_jaeger,
    as_mlflow,
    as_phoenix,
    as_zipkin,
    made_by,
    spans,
)

from xagent.errors import InvalidCase
from xagent.telemetry import ProcessTrace, Span, read_trace, readers, timeouts
from xagent.telemetry._documents import read_documents
from xagent.telemetry._write import to_otlp


@pytest.fixture(scope="session")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folder of the files that real libraries make."""
    return tmp_path_factory.mktemp("made")


def bare(trace: ProcessTrace) -> list[Span]:
    """The spans without what reading adds: status messages also count as payloads."""
    return [dataclasses.replace(span, payloads=()) for span in trace.spans]


SDK_WRITERS = {
    "otlp_file": "OTLP JSON",
    "protobuf_json": "OTLP JSON",
    "protobuf_snake": "OTLP JSON",
    "protobuf_garbled": "OTLP JSON",
    "console": "OpenTelemetry console",
    "zipkin": "Zipkin JSON v2",
}


@pytest.mark.parametrize("library", SDK_WRITERS)
def test_one_request_reads_alike_from_every_writer_of_opentelemetry(made: Path, library: str) -> None:
    trace = read_trace(made_by(library, made))
    assert trace.format == SDK_WRITERS[library]
    assert [s.name for s in trace.spans] == ["POST /score", "predict", "call bureau"]
    root, predict, call = trace.spans
    assert (root.parent_id, predict.parent_id, call.parent_id) == (None, root.span_id, predict.span_id)
    assert len(trace.trace_id) == 32
    assert {len(s.span_id) for s in trace.spans} == {16}
    assert root.kind in ("server", "unspecified")  # the Zipkin exporter leaves the kind out
    assert (predict.status, call.status, call.message) == ("ok", "error", "")
    assert call.attributes["error.type"] == "timeout"
    assert [s.message for s in read_trace(made / f"{library}.json", keep_payloads=True).spans][2] == "timed out"
    assert predict.attributes["xagent.prediction.score"] == 0.75
    assert predict.attributes["gen_ai.provider.name"] == "openai"
    assert root.get("service.version") == "9.1"
    assert [(e.name, e.attributes["attempt"]) for e in root.events] in ([("retry", 2)], [("retry", "2")])
    assert all(s.seconds is not None and s.seconds >= 0 for s in trace.spans)
    assert [p.key for p in predict.payloads] == ["gen_ai.prompt"]
    assert "Jane" not in repr(trace)
    assert bool(trace.mended) == library.startswith("protobuf")
    assert ("keys were not in lowerCamelCase" in trace.mended) == (library == "protobuf_snake")


def test_ids_that_were_garbled_are_mended_to_the_ones_that_were_written(made: Path) -> None:
    found = made_by("protobuf_garbled", made)
    assert '"traceId": "' in found.read_text()
    written = json.loads(found.with_suffix(".otlp").read_text().splitlines()[0])
    original = written["resourceSpans"][0]["scopeSpans"][0]["spans"][0]
    trace = read_trace(found)
    assert trace.trace_id == original["traceId"]
    assert original["spanId"] in {s.span_id for s in trace.spans}
    assert trace.mended == ("enums were text", "ids were hex that had been read as base64")


WRITERS: dict[str, Callable[[Sequence[Span]], str]] = {
    "OTLP JSON": lambda found: json.dumps(to_otlp(found)),
    "OpenTelemetry console": as_console,
    "Jaeger JSON": as_jaeger,
}


@pytest.mark.parametrize("name", WRITERS)
@settings(max_examples=40)
@given(found=spans())
def test_a_random_trace_is_read_back_as_it_was(
    name: str, found: list[Span], tmp_path_factory: pytest.TempPathFactory
) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    path.write_text(WRITERS[name](found))
    trace = read_trace(path, keep_payloads=True)
    assert trace.format == name
    assert bare(trace) == found


@pytest.mark.parametrize(("write", "resource"), [(as_mlflow, True), (as_phoenix, False)])
@settings(max_examples=40)
@given(found=spans())
def test_a_random_trace_survives_what_keeps_no_kinds(
    write: Callable[[Sequence[Span]], str],
    resource: bool,
    found: list[Span],
    tmp_path_factory: pytest.TempPathFactory,
) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    path.write_text(write(found))
    expected = [dataclasses.replace(s, kind="unspecified", resource=s.resource if resource else {}) for s in found]
    assert bare(read_trace(path, keep_payloads=True)) == expected


NESTED = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=3).map(tuple), max_leaves=6)


@settings(max_examples=40)
@given(found=spans(values=NESTED | st.dictionaries(KEYS, NESTED, max_size=2)))
def test_nested_values_survive_otlp(found: list[Span], tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    path.write_text(json.dumps(to_otlp(found)))
    assert bare(read_trace(path, keep_payloads=True)) == found


@settings(max_examples=40)
@given(found=spans(values=WORDS))
def test_a_random_trace_survives_zipkin(found: list[Span], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Zipkin has only text for tags, and no word for an internal span."""
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    path.write_text(as_zipkin(found))
    expected = [dataclasses.replace(s, kind="unspecified" if s.kind == "internal" else s.kind) for s in found]
    assert bare(read_trace(path, keep_payloads=True)) == expected


def test_a_zipkin_server_that_shares_its_callers_id_becomes_its_child(tmp_path: Path) -> None:
    def span(ident: str, parent: str | None, service: str, kind: str, start: int, **more: object) -> dict[str, object]:
        return {"traceId": "a" * 16, "id": ident, "parentId": parent, "name": f"{kind} {service}", "kind": kind,
                "timestamp": 1_700_000_000_000_000 + start, "duration": 10 - start,
                "localEndpoint": {"serviceName": service}, **more}  # fmt: skip

    path = tmp_path / "trace.json"
    records = [
        span("b" * 16, None, "web", "CLIENT", 0),
        span("b" * 16, None, "score", "SERVER", 1, shared=True),
        span("c" * 16, "b" * 16, "score", "CLIENT", 2),
    ]
    path.write_text(json.dumps(records))
    caller, server, below = read_trace(path).spans
    assert server.parent_id == caller.span_id != server.span_id
    assert below.parent_id == server.span_id


@given(start=st.integers(1, 2**63 - 1))
def test_times_keep_every_nanosecond(start: int, tmp_path_factory: pytest.TempPathFactory) -> None:
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    path.write_text(json.dumps(to_otlp([Span("1" * 32, "2" * 16, None, "step", "internal", start, None)])))
    assert read_trace(path).start_ns == start


def test_an_unknown_file_names_what_was_tried(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    path.write_text('{"hello": 1, "world": 2}')
    with pytest.raises(InvalidCase, match=r"'hello', 'world'.*Tried: OTLP JSON, OpenTelemetry console, .*Zipkin"):
        read_trace(path)


# Files by the published formats. Each holds one request of 2 November 2026, 09:30 UTC.

T = "5b8efff798038103d269b633813fc60c"
LANGFUSE_API = {  # GET /api/public/traces/{id}, as Langfuse's API reference describes it
    "id": "t-1",
    "timestamp": "2026-11-02T09:30:00.000Z",
    "name": "loan question",
    "userId": "jane",
    "release": "r9",
    "metadata": {"xagent.model.version": "3.1"},
    "observations": [
        {"id": "o-1", "traceId": "t-1", "type": "SPAN", "name": "answer", "startTime": "2026-11-02T09:30:00.000Z",
         "endTime": "2026-11-02T09:30:02.000Z", "parentObservationId": None, "level": "DEFAULT", "input": "Jane?"},
        {"id": "o-2", "traceId": "t-1", "type": "GENERATION", "name": "complete", "model": "large-1",
         "startTime": "2026-11-02T09:30:00.250Z", "endTime": "2026-11-02T09:30:01.500Z",
         "parentObservationId": "o-1", "level": "ERROR", "statusMessage": "Jane is unknown",
         "usageDetails": {"input": 12, "output": 0}},
    ],
    "scores": [{"id": "s-1", "traceId": "t-1", "observationId": "o-2", "name": "correct", "value": 0,
                "source": "ANNOTATION", "comment": "payslip seen", "timestamp": "2026-11-02T11:00:00Z"}],
}  # fmt: skip
LANGFUSE_ROWS = [  # observations/ of the blob storage export: snake_case, times in UTC without saying so
    {"id": "o-1", "trace_id": "t-1", "type": "SPAN", "name": "answer", "start_time": "2026-11-02 09:30:00.000000",
     "end_time": "2026-11-02 09:30:02.000000", "parent_observation_id": None, "level": "DEFAULT", "input": "Jane?"},
    {"id": "o-2", "trace_id": "t-1", "type": "GENERATION", "name": "complete", "provided_model_name": "large-1",
     "start_time": "2026-11-02 09:30:00.250000", "end_time": "2026-11-02 09:30:01.500000",
     "parent_observation_id": "o-1", "level": "ERROR", "status_message": "Jane is unknown",
     "usage_details": {"input": 12, "output": 0}},
]  # fmt: skip
PHOENIX_FRAME = [  # get_spans_dataframe().to_json(orient="records", lines=True), times as pandas writes them
    {"name": "answer", "span_kind": "CHAIN", "parent_id": None, "start_time": 1793611800000,
     "end_time": 1793611802000, "status_code": "OK", "status_message": "", "events": [],
     "context.span_id": "00000000000000a1", "context.trace_id": T, "attributes.input.value": "Jane?"},
    {"name": "complete", "span_kind": "LLM", "parent_id": "00000000000000a1", "start_time": 1793611800250,
     "end_time": 1793611801500, "status_code": "ERROR", "status_message": "Jane is unknown", "events": [],
     "context.span_id": "00000000000000a2", "context.trace_id": T, "attributes.llm.model_name": "large-1",
     "attributes.llm.token_count": {"prompt": 12, "completion": 0}},
]  # fmt: skip
PHOENIX_REST = {  # GET /v1/projects/{project}/spans, as phoenix's OpenAPI document describes it
    "data": [
        {"id": "U3Bhbjox", "name": "answer", "context": {"trace_id": T, "span_id": "00000000000000a1"},
         "span_kind": "CHAIN", "parent_id": None, "start_time": "2026-11-02T09:30:00+00:00",
         "end_time": "2026-11-02T09:30:02+00:00", "status_code": "OK", "status_message": "",
         "attributes": {"input.value": "Jane?"}, "events": []},
        {"id": "U3Bhbjoy", "name": "complete", "context": {"trace_id": T, "span_id": "00000000000000a2"},
         "span_kind": "LLM", "parent_id": "00000000000000a1", "start_time": "2026-11-02T10:30:00.250000+01:00",
         "end_time": "2026-11-02T09:30:01.500000+00:00", "status_code": "ERROR", "status_message": "Jane is unknown",
         "attributes": {"llm.model_name": "large-1", "llm.token_count.prompt": 12}, "events": []},
    ],
    "next_cursor": None,
}  # fmt: skip
MLFLOW_2 = {  # Trace.to_json() of mlflow 2.14 to 2.22
    "info": {"request_id": "5b8efff7", "experiment_id": "0", "timestamp_ms": 1793611800000, "execution_time_ms": 2000,
             "status": "ERROR", "request_metadata": {"mlflow.trace_schema.version": "2"}, "tags": {}},
    "data": {
        "spans": [
            {"name": "answer", "context": {"span_id": "0x00000000000000a1", "trace_id": "0x" + T}, "parent_id": None,
             "start_time": 1793611800000000000, "end_time": 1793611802000000000, "status_code": "OK",
             "status_message": "", "attributes": {"mlflow.spanInputs": '"Jane?"', "mlflow.spanType": '"CHAIN"'},
             "events": []},
            {"name": "complete", "context": {"span_id": "0x00000000000000a2", "trace_id": "0x" + T},
             "parent_id": "0x00000000000000a1", "start_time": 1793611800250000000, "end_time": 1793611801500000000,
             "status_code": "ERROR", "status_message": "Jane is unknown",
             "attributes": {"mlflow.spanType": '"LLM"', "mlflow.llm.model": '"large-1"',
                            "gen_ai.usage.prompt_tokens": "12"}, "events": []},
        ],
        "request": '"Jane?"',
        "response": None,
    },
}  # fmt: skip
AZURE = [  # JSON Lines of the data collector, as Azure's article on collecting production data prints them
    {"specversion": "1.0", "id": f"725aa8af-{part}", "source": "/subscriptions/x/endpoints/credit/deployments/blue",
     "type": f"azureml.inference.{part}", "datacontenttype": "application/json", "time": "2026-11-02T09:30:00Z",
     "data": [{"name": "Jane"}], "correlationid": "3711655d", "xrequestid": "3711655d", "modelversion": "default",
     "collectdatatype": "pandas.core.frame.DataFrame", "agent": "monitoring-sdk/0.1.2", "contentrange": "bytes 0-9/10"}
    for part in ("inputs", "outputs")
]  # fmt: skip
KSERVE_BINARY = [  # the logger's HTTP requests, headers and body as a message dumper writes them
    {"headers": {"Ce-Id": "3711655d", "Ce-Type": f"org.kubeflow.serving.inference.{part}", "Ce-Specversion": "1.0",
                 "Ce-Source": "http://localhost:9081/", "Ce-Time": "2026-11-02T09:30:00Z",
                 "Content-Type": "application/json"},
     "data": {"instances": ["Jane"]}}
    for part in ("request", "response")
]  # fmt: skip
SAGEMAKER = [  # JSON Lines of data capture, as AWS's guide to Model Monitor prints them
    {"captureData": {"endpointInput": {"observedContentType": "text/csv", "mode": "INPUT", "data": "Jane,1",
                                       "encoding": "CSV"},
                     "endpointOutput": {"observedContentType": "application/x-recordio", "mode": "OUTPUT",
                                        "data": "SmFuZQ==", "encoding": "BASE64"}},
     "eventMetadata": {"eventId": "d4f1", "inferenceId": "3711655d", "inferenceTime": "2026-11-02T09:30:00Z"},
     "eventVersion": "0"}
]  # fmt: skip
BY_HAND = {
    "langfuse api": ("Langfuse export", LANGFUSE_API),
    "langfuse download": ("Langfuse export", {"trace": {"id": "t-1"}, "observations": LANGFUSE_API["observations"]}),
    "langfuse page": ("Langfuse export", {"data": LANGFUSE_API["observations"], "meta": {"cursor": None}}),
    "langfuse rows": ("Langfuse export", LANGFUSE_ROWS),
    "phoenix frame": ("Phoenix spans", PHOENIX_FRAME),
    "phoenix rest": ("Phoenix spans", PHOENIX_REST),
    "mlflow 2": ("MLflow trace JSON", MLFLOW_2),
    "azure": ("CloudEvents", AZURE),
    "kserve binary": ("CloudEvents", KSERVE_BINARY),
    "sagemaker": ("SageMaker data capture", SAGEMAKER),
}


def written(folder: Path, content: object, name: str = "trace.json") -> Path:
    path = folder / name
    path.write_text(json.dumps(content))
    return path


@pytest.mark.parametrize("name", [n for n in BY_HAND if n.split()[0] in ("langfuse", "phoenix", "mlflow")])
def test_one_llm_request_reads_alike_from_every_llm_tool(tmp_path: Path, name: str) -> None:
    kind, content = BY_HAND[name]
    trace = read_trace(written(tmp_path, content))
    assert trace.format == kind
    answer, complete = trace.spans
    assert (answer.name, complete.name) == ("answer", "complete")
    assert (answer.parent_id, complete.parent_id) == (None, answer.span_id)
    assert answer.start_ns == 1793611800 * 10**9
    assert (complete.start_ns - answer.start_ns, complete.seconds, answer.seconds) == (250_000_000, 1.25, 2.0)
    assert complete.status == "error"
    assert complete.attributes["gen_ai.request.model"] == "large-1"
    assert complete.attributes["gen_ai.usage.input_tokens"] == 12
    assert complete.attributes["xagent.step.kind"] == "predict"
    assert "xagent.step.kind" not in answer.attributes
    assert "input" in {p.role for p in answer.payloads}
    assert "jane" not in repr(trace).lower()


def test_what_langfuse_says_of_a_trace_and_its_scores_is_kept(tmp_path: Path) -> None:
    trace = read_trace(written(tmp_path, LANGFUSE_API))
    (version,) = trace.facts("xagent.model.version")
    assert (version.value, version.origin.key) == ("3.1", "langfuse.trace.metadata.xagent.model.version")
    assert (version.origin.place, version.origin.file) == ("resource", "trace.json")
    said = {fact.key: fact.value for fact in trace.facts("xagent.annotation.")}
    assert said["xagent.annotation.source"] == "human"
    assert said["xagent.annotation.why"] == "payslip seen"
    orphaned = {**LANGFUSE_API, "scores": [{"name": "x", "value": 1, "observationId": "o-9"}]}
    with pytest.raises(InvalidCase, match="belongs to no observation"):
        read_trace(written(tmp_path, orphaned))


def test_mlflow_of_today_by_the_library_itself(made: Path) -> None:
    path = made_by("mlflow", made)
    trace = read_trace(path)
    answer, retrieve, complete = trace.spans
    assert (trace.format, len(trace.trace_id)) == ("MLflow trace JSON", 32)
    assert read_trace(path, f"tr-{trace.trace_id}") == trace
    assert retrieve.attributes["own.list"] == (1, 2)
    assert [type(retrieve.attributes[f"own.{k}"]) for k in ("k", "share", "flag", "text")] == [int, float, bool, str]
    assert [s.attributes.get("xagent.step.kind") for s in trace.spans] == [None, "fetch", "predict"]
    assert (complete.status, complete.attributes["gen_ai.request.model"]) == ("error", "large-1")
    assert [e.name for e in complete.events] == ["exception"]
    assert answer.get("xagent.model.version") == "3.1"
    assert {f.value for f in trace.facts("xagent.annotation.who", "xagent.annotation.value")} == {"underwriter", False}
    assert "jane" not in repr(trace).lower()
    asked = read_trace(path, keep_payloads=True).spans[0].payloads
    assert {"question": "Is Jane creditworthy?"} in [p.value for p in asked if p.role == "input"]


def test_a_langgraph_run_under_openinference(made: Path) -> None:
    trace = read_trace(made_by("langgraph", made))
    graph, ask, lookup, model, check = trace.spans
    assert [s.name for s in trace.roots] == ["LangGraph"] == [graph.name]
    assert (ask.parent_id, check.parent_id) == (graph.span_id, graph.span_id)
    assert (lookup.parent_id, model.parent_id) == (ask.span_id, ask.span_id)
    assert [s.attributes.get("xagent.step.kind") for s in trace.spans] == [None, None, "tool", "predict", None]
    assert lookup.attributes["gen_ai.tool.name"] == "lookup"
    assert [s.status for s in trace.spans] == ["error", "ok", "ok", "ok", "error"]
    assert {fact.value for fact in timeouts(trace)} == {"timeout", "TimeoutError"}
    assert {"input", "output"} <= {p.role for p in model.payloads}
    assert "Jane" not in repr(trace)


@pytest.mark.parametrize("name", ["library", "azure", "kserve binary"])
def test_cloudevents_are_instants_joined_by_their_request(tmp_path: Path, made: Path, name: str) -> None:
    path = made_by("cloudevents", made) if name == "library" else written(tmp_path, BY_HAND[name][1])
    trace = read_trace(path)
    assert (trace.format, len(trace.spans)) == ("CloudEvents", 2)
    assert all(s.instant and s.end_ns is None and s.seconds is None and s.parent_id is None for s in trace.spans)
    assert sorted(p.role for s in trace.spans for p in s.payloads) == ["input", "output"]
    assert {"durations", "parents", "status", "steps"} == set(trace.lacks)
    assert "Jane" not in repr(trace)


def test_bytes_are_hashed_as_bytes(tmp_path: Path, made: Path) -> None:
    (answer,) = [p for s in read_trace(made_by("cloudevents", made)).spans for p in s.payloads if p.role == "output"]
    assert (answer.sha256, answer.size) == (hashlib.sha256(b"\x01\x02").hexdigest(), 2)
    (span,) = read_trace(written(tmp_path, SAGEMAKER), keep_payloads=True).spans
    assert {p.key: p.value for p in span.payloads} == {
        "sagemaker.endpointInput.data": "Jane,1",
        "sagemaker.endpointOutput.data": b"Jane",
    }
    assert {p.sha256 for p in span.payloads} == {hashlib.sha256(raw).hexdigest() for raw in (b"Jane,1", b"Jane")}


@pytest.mark.parametrize("gone", ["id", "source", "type", "specversion"])
def test_an_event_without_what_cloudevents_require_is_refused(tmp_path: Path, gone: str) -> None:
    second = {k: v for k, v in AZURE[1].items() if k != gone}
    with pytest.raises(InvalidCase, match=f"event 2 has no {gone}"):
        read_trace(written(tmp_path, [AZURE[0], second]))


def test_lineage_of_a_feature_table_by_the_library_itself(made: Path) -> None:
    trace = read_trace(made_by("openlineage", made))
    above, below = trace.spans
    assert (trace.format, trace.trace_id) == ("OpenLineage events", above.span_id)
    assert (above.name, above.end_ns, above.status) == ("nightly", None, "unset")
    assert (below.name, below.seconds, below.status, below.parent_id) == ("features", 7.5, "error", above.span_id)
    facts = {fact.key: fact.value for fact in trace.facts("xagent.dataset.", "xagent.code.version")}
    assert facts == {
        "xagent.dataset.name": "loans",
        "xagent.dataset.version": "v7",
        "xagent.code.version": "5f2a",
    }
    assert "Jane" not in repr(trace)


def test_every_file_is_claimed_by_one_reader_alone(tmp_path: Path, made: Path) -> None:
    files = [made_by(library, made) for library in (*SDK_WRITERS, "mlflow", "cloudevents", "openlineage")]
    files += [written(tmp_path, content, f"{name}.json") for name, (_, content) in BY_HAND.items()]
    found = [Span(T, "a" * 16, None, "step", "internal", 10**18, 10**18, resource={"service.name": "s"})]
    (tmp_path / "jaeger").write_text(as_jaeger(found))
    for path in [*files, tmp_path / "jaeger"]:
        records, _, _ = read_documents(path)
        assert [r.name for r in readers() if r.sniff(records)] == [read_trace(path).format], path.name


def test_of_jaegers_references_only_a_parent_of_this_trace_is_the_parent(tmp_path: Path) -> None:
    def reference(kind: str, trace_id: str, span_id: str) -> dict[str, str]:
        return {"refType": kind, "traceID": trace_id, "spanID": span_id}

    def span(ident: str, *references: dict[str, str], **more: object) -> dict[str, object]:
        return {"traceID": "abc", "spanID": ident, "operationName": "step", "references": list(references),
                "startTime": 1793611800000000 + int(ident, 16), "duration": 5, "tags": [], "logs": [],
                "process": {"serviceName": "scoring", "tags": []}, **more}  # fmt: skip

    spans = [
        span("1", flags=1),
        span("2", reference("FOLLOWS_FROM", "abc", "9"), reference("CHILD_OF", "abc", "1")),
        span("3", reference("CHILD_OF", "def", "8")),
        span("4", parentSpanID="2"),
    ]
    trace = read_trace(written(tmp_path, {"data": [{"traceID": "abc", "spans": spans}]}))
    assert trace.trace_id == "abc".rjust(32, "0")
    assert [s.parent_id and int(s.parent_id, 16) for s in trace.spans] == [None, 1, None, 2]
    assert [[int(k.span_id, 16) for k in s.links] for s in trace.spans] == [[], [9], [8], []]
    assert [s.sampled for s in trace.spans] == [True, None, None, None]
    assert trace.spans[3].get("service.name") == "scoring"


def test_a_langfuse_event_is_an_instant_and_keeps_what_came_by_opentelemetry(tmp_path: Path) -> None:
    metadata = {
        "attributes": {"xagent.override.who": "underwriter", "gen_ai.prompt": "Jane?"},
        "resourceAttributes": {"service.version": "9"},
        "note": "about Jane",
    }
    event = {"id": "o-3", "traceId": "t-1", "type": "EVENT", "name": "override", "level": "DEFAULT",
             "startTime": "2026-11-02T09:31:00Z", "endTime": "2026-11-02T09:31:00Z", "metadata": metadata}  # fmt: skip
    (span,) = read_trace(written(tmp_path, [event])).spans
    assert (span.instant, span.end_ns, span.status) == (True, None, "unset")
    assert span.attributes["xagent.override.who"] == "underwriter"
    assert span.get("service.version") == "9"
    assert {p.key for p in span.payloads} == {"gen_ai.prompt", "langfuse.observation.metadata.note"}


def test_lineage_of_part_of_a_pipeline_belongs_to_the_run_at_its_top(tmp_path: Path) -> None:
    """As OpenLineage 2-0-2 describes the parent facet with its root. An end without a start has no length."""
    parent = {"run": {"runId": "middle"}, "job": {"namespace": "n", "name": "m"},
              "root": {"run": {"runId": "top"}, "job": {"namespace": "n", "name": "t"}}}  # fmt: skip
    run, job = {"runId": "low", "facets": {"parent": parent}}, {"namespace": "n", "name": "low"}
    event = {"eventType": "COMPLETE", "eventTime": "2026-11-02T02:00:00Z", "run": run, "job": job}
    trace = read_trace(written(tmp_path, [event, {"eventTime": "2026-11-02T02:00:00Z", "job": {"name": "x"}}]))
    (span,) = trace.spans
    assert (trace.trace_id, span.parent_id, trace.orphans) == ("top", "middle", (span,))
    assert (span.instant, span.end_ns, span.status) == (True, None, "ok")
