"""Every telemetry format gives the same typed trace: files of the real libraries, files by their published formats,
and random traces written and read back."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from telemetry_samples import SCALARS, as_console, as_jaeger, as_zipkin, made_by, spans

from xagent.errors import InvalidCase
from xagent.telemetry import Span, read_trace
from xagent.telemetry._write import to_otlp

SDK_WRITERS = {
    "otlp_file": "OTLP JSON",
    "protobuf_json": "OTLP JSON",
    "protobuf_snake": "OTLP JSON",
    "protobuf_garbled": "OTLP JSON",
    "console": "OpenTelemetry console",
    "zipkin": "Zipkin JSON v2",
}


@pytest.mark.parametrize("library", SDK_WRITERS)
def test_one_request_reads_alike_from_every_writer_of_opentelemetry(tmp_path: Path, library: str) -> None:
    trace = read_trace(made_by(library, tmp_path))
    assert trace.format == SDK_WRITERS[library]
    assert [s.name for s in trace.spans] == ["POST /score", "predict", "call bureau"]
    root, predict, call = trace.spans
    assert (root.parent_id, predict.parent_id, call.parent_id) == (None, root.span_id, predict.span_id)
    assert len(trace.trace_id) == 32
    assert {len(s.span_id) for s in trace.spans} == {16}
    assert root.kind in ("server", "unspecified")  # the Zipkin exporter leaves the kind out
    assert (predict.status, call.status, call.message) == ("ok", "error", "timed out")
    assert predict.attributes["xagent.prediction.score"] == 0.75
    assert predict.attributes["gen_ai.provider.name"] == "openai"
    assert root.get("service.version") == "9.1"
    assert [(e.name, e.attributes["attempt"]) for e in root.events] in ([("retry", 2)], [("retry", "2")])
    assert all(s.seconds is not None and s.seconds >= 0 for s in trace.spans)
    assert [p.key for p in predict.payloads] == ["gen_ai.prompt"]
    assert "Jane" not in repr(trace)
    assert bool(trace.mended) == library.startswith("protobuf")


def test_ids_that_were_garbled_are_mended_to_the_ones_that_were_written(tmp_path: Path) -> None:
    found = made_by("protobuf_garbled", tmp_path)
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
    trace = read_trace(path)
    assert trace.format == name
    assert list(trace.spans) == found


@settings(max_examples=40)
@given(found=spans(values=SCALARS.filter(lambda v: isinstance(v, str))))
def test_a_random_trace_survives_zipkin(found: list[Span], tmp_path_factory: pytest.TempPathFactory) -> None:
    """Zipkin has only text for tags, and no word for an internal span."""
    path = tmp_path_factory.mktemp("trace") / "trace.json"
    path.write_text(as_zipkin(found))
    expected = [dataclasses.replace(s, kind="unspecified" if s.kind == "internal" else s.kind) for s in found]
    assert list(read_trace(path).spans) == expected


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
