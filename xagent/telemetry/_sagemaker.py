"""SageMaker data capture: JSON Lines of `{"captureData": {...}, "eventMetadata": {...}, "eventVersion": "0"}`.

Format: AWS's guide to data capture for Model Monitor. Each record becomes one instant with the request and the answer.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import Any

from xagent.telemetry._trace import Span
from xagent.telemetry._values import flat, free_id, iso_ns, plain, text

LACKS = {
    "durations": "Data capture gives the moment of the inference, not how long it took.",
    "parents": "Data capture has no parents; one record holds one request and its answer.",
    "status": "Data capture does not say whether a step failed.",
    "steps": "Only the request and the answer are recorded, none of the steps between them.",
    "versions": "Data capture names no version or hash of the model.",
}


def sniff_sagemaker(records: Sequence[Any]) -> bool:
    """Whether the first record has `captureData`."""
    return bool(records) and isinstance(records[0], Mapping) and "captureData" in records[0]


def read_sagemaker(records: Sequence[Any]) -> list[Span]:
    """Every record of the file. Raises ValueError for one that is no capture or has no id and time."""
    return [_span(record, number) for number, record in enumerate(records, start=1)]


def _span(record: Any, number: int) -> Span:
    if not isinstance(record, Mapping) or not isinstance(record.get("captureData"), Mapping):
        raise ValueError(f"record {number} has no captureData")
    metadata = record.get("eventMetadata")
    if not isinstance(metadata, Mapping):
        raise ValueError(f"record {number} has no eventMetadata")
    found = flat({k: v for k, v in metadata.items() if k != "inferenceTime"}, "sagemaker.eventMetadata")
    for side, captured in record["captureData"].items():
        if not isinstance(captured, Mapping):
            raise ValueError(f"captureData.{text(side)} of record {number} is no object")
        prefix = f"sagemaker.{text(side)}"
        found |= flat({k: v for k, v in captured.items() if k != "data"}, prefix)
        if captured.get("data") is not None:
            found[f"{prefix}.data"] = _data(captured, number)
    return Span(
        trace_id=free_id(metadata.get("inferenceId") or metadata.get("eventId"), f"eventId of record {number}"),
        span_id=free_id(metadata.get("eventId"), f"eventId of record {number}"),
        parent_id=None,
        name="InvokeEndpoint",
        kind="server",
        start_ns=iso_ns(metadata.get("inferenceTime"), f"inferenceTime of record {number}"),
        end_ns=None,
        attributes=found,
        instant=True,
    )


def _data(captured: Mapping[str, Any], number: int) -> Any:
    if str(captured.get("encoding")).upper() != "BASE64":
        return plain(captured["data"])
    try:
        return base64.b64decode(captured["data"], validate=True)
    except (binascii.Error, ValueError, TypeError):
        raise ValueError(f"record {number} has data that is not the base64 it is said to be") from None
