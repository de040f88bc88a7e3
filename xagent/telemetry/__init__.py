"""What the serving process recorded about itself: the trace of one prediction.

In: a telemetry file in one of a dozen formats, untrusted. Out: one frozen, typed trace. And the other way about: a run
of xagent itself as a trace, to a file or a collector, when asked.
"""

from xagent.telemetry._documents import MAX_TRACE_BYTES
from xagent.telemetry._emit import emit, recorded
from xagent.telemetry._mapping import STEP_KINDS
from xagent.telemetry._read import MAX_SPANS, read_trace, read_traces
from xagent.telemetry._readers import Reader, readers, register
from xagent.telemetry._trace import Event, Fact, Link, Origin, Payload, ProcessTrace, Source, Span
from xagent.telemetry._views import (
    Annotation,
    Fallback,
    FeatureRecord,
    Guardrail,
    ModelCall,
    Override,
    Sampling,
    fallbacks,
    features,
    guardrails,
    judgements,
    model_calls,
    overrides,
    payloads,
    retries,
    sampling,
    timeouts,
    versions,
)

__all__ = [
    "MAX_SPANS",
    "MAX_TRACE_BYTES",
    "STEP_KINDS",
    "Annotation",
    "Event",
    "Fact",
    "Fallback",
    "FeatureRecord",
    "Guardrail",
    "Link",
    "ModelCall",
    "Origin",
    "Override",
    "Payload",
    "ProcessTrace",
    "Reader",
    "Sampling",
    "Source",
    "Span",
    "emit",
    "fallbacks",
    "features",
    "guardrails",
    "judgements",
    "model_calls",
    "overrides",
    "payloads",
    "read_trace",
    "read_traces",
    "readers",
    "recorded",
    "register",
    "retries",
    "sampling",
    "timeouts",
    "versions",
]
