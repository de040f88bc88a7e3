"""The seam for formats: what a reader is, and which ones there are."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from xagent.telemetry import _cloudevents, _openlineage, _sagemaker
from xagent.telemetry._cloudevents import read_cloudevents, sniff_cloudevents
from xagent.telemetry._console import read_console, sniff_console
from xagent.telemetry._jaeger import read_jaeger, sniff_jaeger
from xagent.telemetry._langfuse import read_langfuse, sniff_langfuse
from xagent.telemetry._mlflow import read_mlflow, sniff_mlflow
from xagent.telemetry._openlineage import read_openlineage, sniff_openlineage
from xagent.telemetry._otlp import read_otlp, sniff_otlp
from xagent.telemetry._phoenix import read_phoenix, sniff_phoenix
from xagent.telemetry._sagemaker import read_sagemaker, sniff_sagemaker
from xagent.telemetry._trace import Span
from xagent.telemetry._zipkin import read_zipkin, sniff_zipkin


@dataclass(frozen=True)
class Reader:
    """One telemetry format.

    sniff: does this look like it? read: every span of the file. Both get the JSON records of the file in order (one
    for a plain JSON file, one a line for JSON Lines, the members of a list). `read` raises ValueError, TypeError or
    KeyError, with a message for the user, for anything that it cannot turn into a span; it never skips one silently.
    lacks: what the format cannot say, by topic, as `ProcessTrace.lacks`.
    """

    name: str
    sniff: Callable[[Sequence[Any]], bool]
    read: Callable[[Sequence[Any]], list[Span]]
    lacks: Mapping[str, str] = field(default_factory=dict)


_MICROSECONDS = {"precision": "Times are whole microseconds, so steps shorter than that have no length."}
_READERS: list[Reader] = [
    Reader("OTLP JSON", sniff_otlp, read_otlp),
    Reader("OpenTelemetry console", sniff_console, read_console, _MICROSECONDS),
    Reader("MLflow trace JSON", sniff_mlflow, read_mlflow, {"kinds": "MLflow does not keep the kind of a span."}),
    Reader(
        "Langfuse export",
        sniff_langfuse,
        read_langfuse,
        {
            "status": "Langfuse marks errors; an observation without one is not said to be ok.",
            "root": "A Langfuse trace has no span of its own, so several observations may have no parent.",
        },
    ),
    Reader(
        "Phoenix spans",
        sniff_phoenix,
        read_phoenix,
        {"resource": "Phoenix keeps nothing of the program that recorded, such as its version."},
    ),
    Reader("Jaeger JSON", sniff_jaeger, read_jaeger, _MICROSECONDS),
    Reader(
        "Zipkin JSON v2",
        sniff_zipkin,
        read_zipkin,
        {**_MICROSECONDS, "types": "Zipkin's tags are text; numbers are read back for keys that xagent knows."},
    ),
    Reader("CloudEvents", sniff_cloudevents, read_cloudevents, _cloudevents.LACKS),
    Reader("SageMaker data capture", sniff_sagemaker, read_sagemaker, _sagemaker.LACKS),
    Reader("OpenLineage events", sniff_openlineage, read_openlineage, _openlineage.LACKS),
]


def register(reader: Reader) -> None:
    """Add a format; the first whose `sniff` says yes reads the file. Raises ValueError when the name is taken."""
    if any(known.name == reader.name for known in _READERS):
        raise ValueError(f"there is already a telemetry reader called {reader.name!r}")
    _READERS.append(reader)


def readers() -> tuple[Reader, ...]:
    """All formats, in the order in which they are tried."""
    return tuple(_READERS)
