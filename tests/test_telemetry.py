"""The trace of one prediction: every dialect of OTLP JSON reads alike or fails loudly."""

from __future__ import annotations

import base64
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from trace_samples import TRACE, attribute, document, healthy, span, write

from xagent.errors import InvalidCase
from xagent.telemetry import Reader, Span, read_trace, readers, register
from xagent.telemetry import _readers as readers_module

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
