"""What the serving process recorded about itself: the trace of one prediction.

In: a telemetry file, untrusted (OTLP JSON or JSON Lines). Out: one frozen, typed trace.
"""

from xagent.telemetry._read import MAX_SPANS, MAX_TRACE_BYTES, read_trace
from xagent.telemetry._readers import Reader, readers, register
from xagent.telemetry._trace import Event, ProcessTrace, Span

__all__ = [
    "MAX_SPANS",
    "MAX_TRACE_BYTES",
    "Event",
    "ProcessTrace",
    "Reader",
    "Span",
    "read_trace",
    "readers",
    "register",
]
