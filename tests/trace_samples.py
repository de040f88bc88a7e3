"""A healthy trace in OTLP JSON and a case that names it, for tests that damage them."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from xagent.case import SystemCard, load_case
from xagent.evidence import Artifact
from xagent.tools import Context

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


def context(
    folder: Path,
    spans: list[dict[str, Any]] | None,
    *,
    case: dict[str, Any] | None = None,
    features: dict[str, Any] | None = None,
    replayed: float | None = 0.7,
    known: dict[str, str] | None = None,
    **telemetry: Any,
) -> Context:
    """A case about `healthy()`. case: keys beside or in place of the case's own. features: of the system card.
    replayed: what the model answered when it was run again. known: files of the subject."""
    if spans is not None:
        write(folder, document(spans))
    made: dict[str, Any] = {
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
        made["telemetry"] = {"path": "trace.jsonl", "expected_steps": list(STEPS), **telemetry}
    (folder / "case.json").write_text(json.dumps({**made, **(case or {})}))
    card = SystemCard.model_validate(
        {
            "schema": "xagent.system/1",
            "name": "credit",
            "features": features or {"income": {"label": "Income", "stale_after_seconds": 7200}},
        }
    )
    artifact = Artifact(
        tool="reproduction", version="1", status="ok", data={"recomputed": replayed}, parameters={}, seconds=0.0,
        started="2026-01-01",
    )  # fmt: skip
    subject: Any = SimpleNamespace(sha256={"model": SHA} if known is None else known)
    return Context(case=load_case(folder / "case.json"), card=card, subject=subject, found={"reproduction": artifact})
