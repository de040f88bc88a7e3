"""What the tools about the process share: the trace of the case, the file it came from, how a claim is made."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Literal

from xagent.case import resolve_file, sha256_of
from xagent.errors import InvalidCase
from xagent.evidence import Claim
from xagent.telemetry import ProcessTrace, read_trace
from xagent.tools._base import Context
from xagent.tools._line import Line, LineState, Source

State = LineState
NO_TRACE = "The case names no telemetry."
Kind = Literal["category", "count", "share", "text", "threshold", "time", "value"]


def trace_of(ctx: Context, *, keep_payloads: bool = False) -> ProcessTrace | None:
    """The trace that the case names, None without one. Raises InvalidCase for another file than the case's."""
    source = ctx.case.telemetry
    if source is None:
        return None
    path = resolve_file(ctx.case, source.path, "telemetry")
    if source.sha256 is not None and sha256_of(path) != source.sha256:
        raise InvalidCase(
            f"telemetry: {path.name} is not the file that the case names by its sha256.",
            "Restore that file, or correct telemetry.sha256.",
        )
    return read_trace(path, source.trace_id, mapping=ctx.mapping, keep_payloads=keep_payloads)


def trace_files(ctx: Context) -> dict[str, str]:
    """SHA-256 of the trace and of the user's own names, by role."""
    if ctx.case.telemetry is None:
        return {}
    found = {"telemetry": sha256_of(resolve_file(ctx.case, ctx.case.telemetry.path, "telemetry"))}
    if ctx.mapping and ctx.mapping.is_file():
        found["telemetry mapping"] = sha256_of(ctx.mapping)
    return found


def traced(trace: ProcessTrace | None) -> tuple[Source, ...]:
    """The trace's file as the source of a line."""
    if trace is None or trace.source is None:
        return ()
    return (Source(role="telemetry", sha256=trace.source.sha256),)


def overall(states: Iterable[State]) -> State:
    """The worst of several: a deviation, else what cannot be told, else ok, else nothing was supplied at all."""
    found = set(states)
    return next((state for state in ("deviation", "cannot tell", "ok") if state in found), "not supplied")


def state_of(lines: Iterable[Line], check: str) -> State:
    """The state of one line."""
    return next(line.state for line in lines if line.check == check)


def made(
    tool: str, key: str, kind: Kind, value: Any, pointer: str, *, seconds: bool = False, feature: str | None = None
) -> Claim:
    """A claim about the process; `seconds` for a length of time."""
    return Claim(
        id=key,
        kind=kind,
        subject="process",
        feature=feature,
        value=value,
        unit="s" if seconds else None,
        scale="seconds" if seconds else "share" if kind == "share" else "none",
        artifact=tool,
        pointer=pointer,
    )
