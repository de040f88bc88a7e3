"""xagent's own run as a trace: read back by our reader, taken by a collector, and nowhere unless asked."""

from __future__ import annotations

import json
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest

from xagent.errors import ConfigurationFault
from xagent.telemetry import _send, emit, read_trace, recorded
from xagent.telemetry._emit import run_spans

START = 1793611800 * 10**9
RUN: dict[str, Any] = {
    "asks": [
        {"tool": "relevance", "why": "required by the reader and the case", "pass": 0},
        {"tool": "further_opinion", "why": "the explanation is weak", "pass": 1},
    ],
    "passes": 1,
    "repairs": 0,
    "tools": {
        "relevance": {"status": "ok", "started": "2026-11-02T09:30:00.250000+00:00", "seconds": 0.5},
        "drift": {"status": "failed", "started": "2026-11-02T09:30:00.100000+00:00", "seconds": 0.25,
                  "why": "ValueError: Jane is broken"},
        "further_opinion": {"status": "not_applicable", "started": "2026-11-02T09:30:01+00:00", "seconds": 0.0},
    },
    "llm": {"calls": [
        {"purpose": "wording:regulator", "started": "2026-11-02T09:30:01.500000+00:00", "seconds": 0.25,
         "outcome": "answered", "model": "large-1", "model_reported": "large-1", "prompt_sha256": "ab" * 32,
         "response": "Jane is a good customer"},
        {"purpose": "planning", "started": "2026-10-02T09:30:01+00:00", "seconds": 9.0, "outcome": "answered",
         "model": "large-1", "replayed": True},
    ]},
}  # fmt: skip


def given(**options: Any) -> dict[str, Any]:
    return {"case_id": "a-1", "version": "0.1.0", "started_ns": START, "ended_ns": START + 2 * 10**9, **options}


def test_what_is_written_is_read_back(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    spans = emit([RUN], **given(file=file))
    emit([RUN], **given(file=file, started_ns=START + 1))
    assert len(file.read_text().splitlines()) == 2
    trace = read_trace(file, spans[0].trace_id)
    assert [(s.name, s.start_ns, s.seconds, s.status) for s in trace.spans] == [
        ("invoke_agent xagent", START, 2.0, "ok"),
        ("execute_tool drift", START + 100_000_000, 0.25, "error"),
        ("execute_tool relevance", START + 250_000_000, 0.5, "ok"),
        ("execute_tool further_opinion", START + 10**9, 0.0, "ok"),
        ("chat large-1 wording:regulator", START + 1_500_000_000, 0.25, "ok"),
    ]
    root, drift, _, further, chat = trace.spans
    assert trace.roots == (root,)
    assert {s.parent_id for s in trace.spans[1:]} == {root.span_id}
    assert root.attributes["xagent.case.id"] == "a-1"
    assert root.attributes["xagent.run.llm.calls"] == 2
    assert drift.attributes["error.type"] == "ValueError"
    assert further.attributes["xagent.tool.asked_because"] == "the explanation is weak"
    assert chat.attributes["gen_ai.response.model"] == "large-1"
    assert root.get("service.version") == "0.1.0"
    assert "Jane" not in file.read_text()
    for read, made in zip(trace.spans, spans, strict=True):
        assert made.attributes.items() <= read.attributes.items()
        assert (read.span_id, read.parent_id, read.kind, read.resource) == (
            made.span_id, made.parent_id, made.kind, made.resource)  # fmt: skip


def test_equal_runs_have_equal_ids_and_different_ones_different() -> None:
    first, again, later = (run_spans([RUN], **given(started_ns=start)) for start in (START, START, START + 1))
    assert first == again
    assert {s.span_id for s in first}.isdisjoint({s.span_id for s in later})


def test_a_run_that_fails_leaves_its_trace(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    with pytest.raises(KeyError), recorded("a-1", version="0", file=file):
        raise KeyError("Jane")
    (root,) = read_trace(file).spans
    assert (root.status, root.attributes["error.type"]) == ("error", "KeyError")
    assert root.seconds is not None
    assert root.seconds >= 0
    assert "Jane" not in file.read_text()


def test_nothing_is_recorded_unless_asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(socket, "socket", lambda *a, **k: pytest.fail("a socket was opened"))
    with recorded("a-1", version="0") as runs:
        runs.append(RUN)
    assert list(tmp_path.iterdir()) == []


def test_telemetry_loads_no_exporter_until_an_endpoint_is_named() -> None:
    code = (
        "import sys, xagent.telemetry\n"
        "print([m for m in sys.modules if m.startswith(('opentelemetry', 'requests', 'google.protobuf'))])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


@contextmanager
def collector(status: int = 200) -> Iterator[tuple[str, list[tuple[str, bytes]]]]:
    """A loopback OTLP collector: (address, what it was sent)."""
    taken: list[tuple[str, bytes]] = []

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            taken.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(status)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *args: Any) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    try:
        yield f"http://127.0.0.1:{server.server_port}", taken
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def test_a_collector_takes_what_the_file_holds(tmp_path: Path) -> None:
    from google.protobuf.json_format import MessageToJson
    from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest

    with collector() as (address, taken):
        spans = emit([RUN], **given(file=tmp_path / "runs.jsonl", endpoint=address))
    ((path, body),) = taken
    assert path == "/v1/traces"
    (tmp_path / "sent.json").write_text(MessageToJson(ExportTraceServiceRequest.FromString(body)))
    sent, filed = read_trace(tmp_path / "sent.json"), read_trace(tmp_path / "runs.jsonl")
    assert sent.spans == filed.spans
    assert len(sent.spans) == len(spans)
    assert b"Jane" not in body


def test_a_collector_that_refuses_is_named_and_the_run_goes_on() -> None:
    with collector(status=400) as (address, _), pytest.warns(RuntimeWarning, match=r"not sent: 127\.0\.0\.1"):
        assert emit([RUN], **given(endpoint=address))


def test_a_target_that_cannot_be_is_named_before_anything_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with (
        pytest.raises(ConfigurationFault, match=r"runs\.jsonl"),
        recorded("a", version="0", file=tmp_path / "gone" / "runs.jsonl"),
    ):
        pytest.fail("the run began")
    monkeypatch.setattr(_send, "find_spec", lambda name: None)
    with (
        pytest.raises(ConfigurationFault, match=r"xagent\[otel\]"),
        recorded("a", version="0", endpoint="http://127.0.0.1:9"),
    ):
        pytest.fail("the run began")


def test_runs_side_by_side_keep_their_lines_apart(tmp_path: Path) -> None:
    file = tmp_path / "runs.jsonl"
    threads = [
        threading.Thread(target=emit, args=([RUN],), kwargs=given(file=file, started_ns=START + n)) for n in range(20)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    lines = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(lines) == 20


def test_a_whole_run_is_recorded_where_the_settings_say(tmp_path: Path) -> None:
    from xagent import explain
    from xagent.settings import load_settings

    file = tmp_path / "runs.jsonl"
    case = Path(__file__).parent.parent / "fixtures" / "diagnosis" / "case.json"
    report = explain(case, "data_scientist", load_settings(telemetry={"file": file}))
    trace = read_trace(file)
    tools = report.run["tools"]
    assert {s.name for s in trace.spans} == {"invoke_agent xagent", *(f"execute_tool {name}" for name in tools)}
    (root,) = trace.roots
    assert root.end_ns is not None
    assert all(root.start_ns <= s.start_ns <= (s.end_ns or 0) <= root.end_ns + 10**6 for s in trace.spans)
    assert report.data["case"]["id"] == root.attributes["xagent.case.id"]


@pytest.mark.parametrize("endpoint", ["collector:4318", "http://user:word@collector", "ftp://collector"])
def test_an_endpoint_that_is_none_is_refused(endpoint: str) -> None:
    from xagent.settings import load_settings

    with pytest.raises(ConfigurationFault, match=r"telemetry\.endpoint"):
        load_settings(telemetry={"endpoint": endpoint})
