"""OTLP over HTTP by OpenTelemetry's own exporter, which is imported only when an endpoint is named."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from urllib.parse import urlsplit, urlunsplit

from xagent.errors import ConfigurationFault
from xagent.telemetry._trace import Span

TIMEOUT = 5.0
"""Seconds in which the collector must have taken the trace, repeats included."""


def require() -> None:
    """Raises ConfigurationFault, with the install line, when the exporter is not installed."""
    try:
        found = find_spec("opentelemetry.exporter.otlp.proto.http") and find_spec("opentelemetry.sdk")
    except ModuleNotFoundError:
        found = None
    if found is None:
        raise ConfigurationFault(
            "telemetry.endpoint needs OpenTelemetry's exporter, which is not installed.",
            'Install it: pip install "xagent[otel]"',
        )


def send(spans: Sequence[Span], endpoint: str, version: str) -> str | None:
    """Send spans to a collector. Returns None, or one sentence on why it did not take them."""
    require()
    from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
    from opentelemetry.sdk.trace.export import SpanExportResult

    exporter = OTLPSpanExporter(endpoint=_traces(endpoint), timeout=TIMEOUT)
    try:
        result = exporter.export([_readable(span, version) for span in spans])
    except Exception as error:
        return f"{type(error).__name__} from {_host(endpoint)}."
    finally:
        exporter.shutdown()
    return None if result is SpanExportResult.SUCCESS else f"{_host(endpoint)} did not take it."


def _traces(endpoint: str) -> str:
    """A base address stands for its `/v1/traces`, as OpenTelemetry's own setting does."""
    parts = urlsplit(endpoint)
    return urlunsplit(parts._replace(path="/v1/traces")) if parts.path in ("", "/") else endpoint


def _host(endpoint: str) -> str:
    return urlsplit(endpoint).hostname or "the collector"


def _readable(span: Span, version: str) -> object:
    from opentelemetry.sdk.resources import Resource
    from opentelemetry.sdk.trace import Event, ReadableSpan
    from opentelemetry.sdk.util.instrumentation import InstrumentationScope
    from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags

    def context(span_id: str) -> SpanContext:
        flags = TraceFlags(TraceFlags.SAMPLED)
        return SpanContext(int(span.trace_id, 16), int(span_id, 16), is_remote=False, trace_flags=flags)

    return ReadableSpan(
        name=span.name,
        context=context(span.span_id),
        parent=context(span.parent_id) if span.parent_id else None,
        resource=Resource(dict(span.resource)),
        attributes=dict(span.attributes),
        events=[Event(e.name, dict(e.attributes), e.time_ns) for e in span.events],
        kind=SpanKind[span.kind.upper()],
        status=Status(StatusCode[span.status.upper()]),
        start_time=span.start_ns,
        end_time=span.end_ns,
        instrumentation_scope=InstrumentationScope(span.scope, version),
    )
