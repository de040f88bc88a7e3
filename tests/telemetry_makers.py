"""Makes telemetry files with the real libraries: `python telemetry_makers.py LIBRARY FILE`. One process a library, as
most of them set up state of the whole process."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any


def _sdk(exporter: Any) -> None:
    """One request by the OpenTelemetry SDK: a root, a step with a model, a failed call below it that was repeated."""
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor
    from opentelemetry.trace import SpanKind, Status, StatusCode

    resource = Resource.create({"service.name": "scoring", "service.version": "9.1"})
    provider = TracerProvider(resource=resource, shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    tracer = provider.get_tracer("serving", "1.2")
    with tracer.start_as_current_span("POST /score", kind=SpanKind.SERVER) as root:
        root.add_event("retry", {"attempt": 2})
        with tracer.start_as_current_span("predict") as span:
            span.set_attributes(
                {
                    "xagent.step.kind": "predict",
                    "xagent.model.version": "3.1",
                    "xagent.prediction.score": 0.75,
                    "own.count": 3,
                    "own.flag": True,
                    "own.list": [1, 2],
                    "gen_ai.system": "openai",
                    "gen_ai.prompt": "Is Jane creditworthy?",
                }
            )
            span.set_status(Status(StatusCode.OK))
            with tracer.start_as_current_span("call bureau", kind=SpanKind.CLIENT) as call:
                call.set_status(Status(StatusCode.ERROR, "timed out"))
    provider.shutdown()


def otlp_file(path: Path) -> None:
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter

    _sdk(FileSpanExporter(str(path)))


def console(path: Path) -> None:
    from opentelemetry.sdk.trace.export import ConsoleSpanExporter

    with path.open("w") as out:
        _sdk(ConsoleSpanExporter(out=out))


def _finished() -> Any:
    from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

    memory = InMemorySpanExporter()
    _sdk(memory)
    return memory.get_finished_spans()


def zipkin(path: Path) -> None:
    from opentelemetry.exporter.zipkin.json.v2 import JsonV2Encoder
    from opentelemetry.exporter.zipkin.node_endpoint import NodeEndpoint

    path.write_text(JsonV2Encoder().serialize(_finished(), NodeEndpoint()))


def protobuf_json(path: Path) -> None:
    """The dialect of protobuf's own JSON: base64 ids and enums by name."""
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    path.write_text(MessageToJson(encode_spans(_finished())))


def protobuf_snake(path: Path) -> None:
    """The same with the field names of the .proto file."""
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.exporter.otlp.proto.common.trace_encoder import encode_spans

    path.write_text(MessageToJson(encode_spans(_finished()), preserving_proto_field_name=True))


def protobuf_garbled(path: Path) -> None:
    """OTLP JSON read by protobuf's own reader, which takes the hex ids for base64, and ids then written as hex."""
    import json

    from google.protobuf.json_format import MessageToDict, Parse
    from opentelemetry.proto.trace.v1.trace_pb2 import TracesData

    clean = path.with_suffix(".otlp")
    otlp_file(clean)
    groups: list[Any] = []
    for line in clean.read_text().splitlines():
        message = Parse(line, TracesData(), ignore_unknown_fields=True)
        written = MessageToDict(message)
        for group, raw in zip(written["resourceSpans"], message.resource_spans, strict=True):
            for scope, raw_scope in zip(group["scopeSpans"], raw.scope_spans, strict=True):
                for span, raw_span in zip(scope["spans"], raw_scope.spans, strict=True):
                    span["traceId"], span["spanId"] = raw_span.trace_id.hex(), raw_span.span_id.hex()
                    if raw_span.parent_span_id:
                        span["parentSpanId"] = raw_span.parent_span_id.hex()
        groups += written["resourceSpans"]
    path.write_text(json.dumps({"resourceSpans": groups}))


def mlflow(path: Path) -> None:
    """A trace as `mlflow.get_trace(...).to_json()` gives it, taken where the exporter would send it to a server."""
    import os

    os.environ.update(MLFLOW_TRACKING_URI="http://127.0.0.1:9", MLFLOW_ENABLE_ASYNC_TRACE_LOGGING="false")
    import mlflow as library
    from mlflow.entities import AssessmentSource, Feedback
    from mlflow.entities.trace_location import MlflowExperimentLocation
    from mlflow.tracing.export.mlflow_v3 import MlflowV3SpanExporter
    from mlflow.tracing.trace_manager import InMemoryTraceManager

    taken: list[Any] = []

    def export(self: Any, spans: Any) -> None:
        taken.extend(
            InMemoryTraceManager.get_instance().pop_trace(s.context.trace_id).trace for s in spans if s.parent is None
        )

    MlflowV3SpanExporter.export = export
    library.tracing.set_destination(MlflowExperimentLocation(experiment_id="0"))
    with library.start_span("answer", span_type="CHAIN") as root:
        root.set_inputs({"question": "Is Jane creditworthy?"})
        with library.start_span("retrieve", span_type="RETRIEVER") as span:
            span.set_attributes({"own.k": 3, "own.share": 0.5, "own.flag": True, "own.list": [1, 2], "own.text": "a"})
        try:
            with library.start_span("complete", span_type="CHAT_MODEL") as span:
                span.set_attribute("mlflow.llm.model", "large-1")
                raise TimeoutError("no answer for Jane")
        except TimeoutError:
            pass
        root.set_outputs("yes")
        library.update_current_trace(tags={"xagent.model.version": "3.1"}, metadata={"mlflow.trace.user": "jane"})
    (trace,) = taken
    judged = AssessmentSource(source_type="HUMAN", source_id="underwriter")
    trace.info.assessments.append(Feedback(name="correct", value=False, source=judged, rationale="payslip seen"))
    path.write_text(trace.to_json(pretty=True))


def cloudevents(path: Path) -> None:
    """A request and its answer as KServe's logger sends them, in the structured form of the CloudEvents library."""
    from datetime import UTC, datetime

    from cloudevents.core.formats.json import JSONFormat
    from cloudevents.core.v1.event import CloudEvent

    lines = []
    for second, kind, data in ((1, "request", {"instances": [[6.8, 2.8]]}), (2, "response", b"\x01\x02")):
        attributes = {
            "specversion": "1.0",
            "id": "36549dcd-4b2c-4f43-96f8-9d51ae9cd5bb",
            "source": "http://localhost:9081/",
            "type": f"org.kubeflow.serving.inference.{kind}",
            "time": datetime(2026, 11, 2, 9, 30, second, tzinfo=UTC),
            "datacontenttype": "application/json" if isinstance(data, dict) else "application/octet-stream",
            "inferenceservicename": "credit",
            "namespace": "default",
            "component": "predictor",
            "endpoint": "default",
        }
        lines.append(JSONFormat().write(CloudEvent(attributes=attributes, data=data)).decode())
    path.write_text("\n".join(lines))


def openlineage(path: Path) -> None:
    """A pipeline with one job below it that read a versioned table, failed, and said why."""
    from openlineage.client import event_v2 as ol
    from openlineage.client.facet_v2 import (
        dataset_version_dataset,
        error_message_run,
        parent_run,
        source_code_location_job,
    )
    from openlineage.client.serde import Serde

    above, below = "01890000-0000-7000-8000-00000000000a", "01890000-0000-7000-8000-00000000000b"
    parent = parent_run.ParentRunFacet(
        run=parent_run.Run(runId=above), job=parent_run.Job(namespace="risk", name="nightly")
    )
    error = error_message_run.ErrorMessageRunFacet(message="row of Jane is broken", programmingLanguage="PYTHON")
    code = source_code_location_job.SourceCodeLocationJobFacet(type="git", url="https://example.org/x", version="5f2a")
    table = ol.InputDataset(
        "warehouse",
        "loans",
        facets={"version": dataset_version_dataset.DatasetVersionDatasetFacet(datasetVersion="v7")},
    )

    def event(kind: Any, time: str, run: Any, job: Any, inputs: Any = ()) -> str:
        return Serde.to_json(
            ol.RunEvent(
                eventType=kind, eventTime=time, run=run, job=job, inputs=list(inputs), producer="https://example.org"
            )
        )

    nightly, features = ol.Job("risk", "nightly"), ol.Job("risk", "features", facets={"sourceCodeLocation": code})
    path.write_text(
        "\n".join(
            [
                event(
                    ol.RunState.FAIL,
                    "2026-11-02T03:00:09+01:00",
                    ol.Run(below, facets={"parent": parent, "errorMessage": error}),
                    features,
                ),
                event(ol.RunState.START, "2026-11-02T02:00:00Z", ol.Run(above), nightly),
                event(
                    ol.RunState.START,
                    "2026-11-02T02:00:01.5Z",
                    ol.Run(below, facets={"parent": parent}),
                    features,
                    [table],
                ),
            ]
        )
    )


def langgraph(path: Path) -> None:
    """A LangGraph run under OpenInference's instrumentation: a model, a tool, and a node that fails."""
    from typing import TypedDict

    from langchain_core.language_models.fake_chat_models import GenericFakeChatModel
    from langchain_core.messages import AIMessage
    from langchain_core.tools import tool
    from langgraph.graph import END, START, StateGraph
    from openinference.instrumentation.langchain import LangChainInstrumentor
    from opentelemetry.exporter.otlp.json.file import FileSpanExporter
    from opentelemetry.sdk.trace import TracerProvider
    from opentelemetry.sdk.trace.export import SimpleSpanProcessor

    provider = TracerProvider(shutdown_on_exit=False)
    provider.add_span_processor(SimpleSpanProcessor(FileSpanExporter(str(path))))
    LangChainInstrumentor().instrument(tracer_provider=provider)
    State = TypedDict("State", {"question": str, "answer": str}, total=False)  # noqa: UP013
    model = GenericFakeChatModel(messages=iter([AIMessage("Jane is creditworthy")]))

    @tool
    def lookup(name: str) -> str:
        """Look a person up."""
        return f"{name} pays on time"

    def ask(state: Any) -> Any:
        return {"answer": model.invoke(state["question"] + lookup.invoke({"name": "Jane"})).content}

    def check(state: Any) -> Any:
        raise TimeoutError("Jane took too long")

    graph = StateGraph(State)
    graph.add_node("ask", ask)
    graph.add_node("check", check)
    graph.add_edge(START, "ask")
    graph.add_edge("ask", "check")
    graph.add_edge("check", END)
    try:
        graph.compile().invoke({"question": "Is Jane creditworthy?"})
    except TimeoutError:
        provider.shutdown()


MAKERS: dict[str, Callable[[Path], None]] = {
    f.__name__: f
    for f in (
        otlp_file,
        console,
        zipkin,
        protobuf_json,
        protobuf_snake,
        protobuf_garbled,
        mlflow,
        cloudevents,
        openlineage,
        langgraph,
    )
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]))
