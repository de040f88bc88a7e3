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


MAKERS: dict[str, Callable[[Path], None]] = {
    f.__name__: f for f in (otlp_file, console, zipkin, protobuf_json, protobuf_snake, protobuf_garbled)
}

if __name__ == "__main__":
    MAKERS[sys.argv[1]](Path(sys.argv[2]))
