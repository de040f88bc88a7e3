"""Langfuse exports: the trace that its interface downloads, its API's answers, and rows of the blob storage export.

Format: Langfuse's API reference (`Trace`, `Observation`, `ObservationV2`) and its list of exported fields. Keys stand
in camelCase or snake_case; times without a zone are UTC. Scores become events called `annotation`. A Langfuse trace is
a container without a span of its own, so it may have several roots.
"""

from __future__ import annotations

import dataclasses
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from xagent.telemetry._trace import Event, Span
from xagent.telemetry._values import any_ns, flat, free_id, plain, text

_CAMEL = re.compile(r"(?<=[a-z0-9])([A-Z])")
_TRACE_FIELDS = ("user_id", "session_id", "release", "environment", "trace_name", "version", "tags")
_TRACE_KEYS = {
    "user_id": "langfuse.user.id",
    "session_id": "langfuse.session.id",
    "release": "langfuse.release",
    "environment": "langfuse.environment",
    "trace_name": "langfuse.trace.name",
    "version": "langfuse.version",
    "tags": "langfuse.trace.tags",
}
_PARTS = ("usage_details", "cost_details", "model_parameters", "metadata")


def sniff_langfuse(records: Sequence[Any]) -> bool:
    """Whether the first record has `observations`, or is a row with an observation's type, or a page of such rows."""
    first = records[0] if records else None
    if not isinstance(first, Mapping):
        return False
    if isinstance(first.get("observations"), list):
        return True
    rows = first.get("data") if isinstance(first.get("data"), list) else [first]
    row = _snake(rows[0]) if rows and isinstance(rows[0], Mapping) else {}
    return {"id", "trace_id"} <= row.keys() and bool(
        {"start_time", "type"} <= row.keys() or {"name", "value", "data_type"} <= row.keys()
    )


def read_langfuse(records: Sequence[Any]) -> list[Span]:
    """Every observation of the file. Raises ValueError for a record that is none."""
    spans: list[Span] = []
    scores: list[Mapping[str, Any]] = []
    for number, record in enumerate(records, start=1):
        if not isinstance(record, Mapping):
            raise ValueError(f"record {number} is no object")
        if isinstance(record.get("observations"), list):
            whole = _snake(record.get("trace") or record)
            shared = _resource({**whole, "trace_name": whole.get("name")}, whole)
            rows = [{"trace_id": whole.get("id"), **_snake(o)} for o in record["observations"]]
            spans += [_span(row, shared, number) for row in rows]
            scores += [{"trace_id": whole.get("id"), **_snake(s)} for s in record.get("scores") or ()]
            continue
        for raw in record["data"] if isinstance(record.get("data"), list) else [record]:
            row = _snake(raw)
            if "start_time" in row:
                spans.append(_span(row, _resource(row, {}), number))
            elif "value" in row or "string_value" in row:
                scores.append(row)
            else:
                raise ValueError(f"record {number} is neither an observation nor a score")
    return _scored(spans, scores)


def _snake(row: Mapping[str, Any]) -> dict[str, Any]:
    return {_CAMEL.sub(lambda match: f"_{match.group(1)}", key).lower(): value for key, value in row.items()}


def _resource(row: Mapping[str, Any], whole: Mapping[str, Any]) -> dict[str, Any]:
    """What is said of the trace as a whole; for a row on its own, the trace's fields that it repeats."""
    found = {_TRACE_KEYS[f]: plain(row[f]) for f in _TRACE_FIELDS if row.get(f) not in (None, "", [])}
    if not whole:
        found.pop("langfuse.version", None)
    for part in ("input", "output"):
        if whole.get(part) is not None:
            found[f"langfuse.trace.{part}"] = plain(whole[part])
    own, _ = _metadata(whole.get("metadata"), "langfuse.trace.metadata")
    return {**found, **own}


def _span(row: Mapping[str, Any], shared: Mapping[str, Any], number: int) -> Span:
    kind = text(row.get("type")).upper()
    level = text(row.get("level")).upper()
    end = row.get("end_time")
    found: dict[str, Any] = {"langfuse.observation.type": kind, "langfuse.observation.level": level}
    model = row.get("model") or row.get("provided_model_name")
    for key, value in (
        ("model.name", model),
        ("prompt.name", row.get("prompt_name")),
        ("prompt.version", row.get("prompt_version")),
        ("version", row.get("version")),
        ("input", row.get("input")),
        ("output", row.get("output")),
    ):
        if value is not None:
            found[f"langfuse.observation.{key}"] = plain(value)
    resource = shared
    for part in _PARTS:
        own, recorded_by = _metadata(row.get(part), f"langfuse.observation.{part}")
        found.update(own)
        resource = {**resource, **recorded_by} if recorded_by else resource
    return Span(
        trace_id=free_id(row.get("trace_id"), "trace_id"),
        span_id=free_id(row.get("id"), f"id of record {number}"),
        parent_id=free_id(parent, "parent_observation_id") if (parent := row.get("parent_observation_id")) else None,
        name=text(row.get("name")) or "(no name)",
        kind="unspecified",
        start_ns=any_ns(row.get("start_time"), "start_time", naive_is_utc=True),
        end_ns=any_ns(end, "end_time", naive_is_utc=True) if end and kind != "EVENT" else None,
        status="error" if level == "ERROR" else "unset",
        message=text(row.get("status_message")),
        attributes={key: value for key, value in found.items() if value != ""},
        resource=resource,
        instant=kind == "EVENT",
    )


def _metadata(value: Any, prefix: str) -> tuple[dict[str, Any], dict[str, Any]]:
    """(attributes, resource attributes). What came in by OpenTelemetry keeps its attributes under their own names."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return {prefix: value}, {}
    if not isinstance(value, Mapping):
        return ({prefix: plain(value)}, {}) if value not in (None, []) else ({}, {})
    rest = {k: v for k, v in value.items() if k not in ("attributes", "resourceAttributes", "scope")}
    inner, outer = value.get("attributes"), value.get("resourceAttributes")
    own = flat(rest, prefix) if rest else {}
    if isinstance(inner, Mapping):
        own = {**flat(inner, ""), **own}
    return own, flat(outer, "") if isinstance(outer, Mapping) and outer else {}


def _scored(spans: list[Span], scores: Sequence[Mapping[str, Any]]) -> list[Span]:
    places = {(s.trace_id, s.span_id): i for i, s in enumerate(spans)}
    firsts: dict[str, int] = {}
    for i, span in enumerate(spans):
        if span.parent_id is None:
            firsts.setdefault(span.trace_id, i)
    for score in scores:
        trace_id, target = str(score.get("trace_id")), score.get("observation_id")
        place = places.get((trace_id, str(target))) if target else firsts.get(trace_id)
        if place is None and spans:
            raise ValueError(f"the score {text(score.get('name'))!r} belongs to no observation of the file")
        if place is not None:
            spans[place] = dataclasses.replace(spans[place], events=(*spans[place].events, _annotation(score)))
    return spans


def _annotation(score: Mapping[str, Any]) -> Event:
    moment = score.get("timestamp") or score.get("created_at")
    value = score.get("value") if score.get("value") is not None else score.get("string_value")
    source = text(score.get("source")).lower()
    said = {
        "xagent.annotation.name": text(score.get("name")),
        "xagent.annotation.value": plain(value),
        "xagent.annotation.source": "human" if source == "annotation" else source,
        "xagent.annotation.who": text(score.get("author_user_id")),
        "xagent.annotation.why": text(score.get("comment")),
    }
    return Event(
        "annotation",
        any_ns(moment, "timestamp", naive_is_utc=True) if moment else 0,
        {key: given for key, given in said.items() if given not in (None, "")},
    )
