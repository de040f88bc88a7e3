"""xagent's own run as a trace: `invoke_agent xagent` with one `execute_tool <name>` for every tool it ran.

Names follow OpenTelemetry's GenAI conventions. Nothing is recorded or sent unless a file or an endpoint is named, and
no content ever: names, states, counts, times and hashes only.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import time
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from xagent.errors import ConfigurationFault
from xagent.telemetry._trace import Span
from xagent.telemetry._values import iso_ns, text
from xagent.telemetry._write import to_otlp

Run = Mapping[str, Any]
_CLASS = re.compile(r"([A-Za-z_][A-Za-z0-9_.]{0,80}): ")


@contextmanager
def recorded(
    case_id: str, *, version: str, file: Path | None = None, endpoint: str | None = None
) -> Iterator[list[Run]]:
    """Time what happens within; the body appends the run record of each report to the list that it is given.

    On the way out, also after an error, the trace is emitted (see `emit`). Without file and endpoint nothing happens.
    Raises ConfigurationFault before anything runs when the file cannot be written or the exporter is not installed.
    """
    runs: list[Run] = []
    if file is None and endpoint is None:
        yield runs
        return
    check_target(file, endpoint)
    began, failed = time.time_ns(), None
    try:
        yield runs
    except BaseException as error:
        failed = type(error).__name__
        raise
    finally:
        times = {"started_ns": began, "ended_ns": time.time_ns()}
        emit(runs, case_id=case_id, version=version, file=file, endpoint=endpoint, failed=failed, **times)


def emit(
    runs: Sequence[Run],
    *,
    case_id: str,
    version: str,
    started_ns: int,
    ended_ns: int,
    file: Path | None = None,
    endpoint: str | None = None,
    failed: str | None = None,
) -> list[Span]:
    """Write one run as a line of OTLP JSON at the end of `file`, and send it to `endpoint` (OTLP over HTTP).

    runs: the run record of each report (`Report.run`). failed: class of the error that ended the run. Returns the
    spans. What cannot be written or sent is a RuntimeWarning: the reports are worth more than their trace.
    """
    spans = run_spans(runs, case_id=case_id, version=version, started_ns=started_ns, ended_ns=ended_ns, failed=failed)
    if file is not None:
        line = json.dumps(to_otlp(spans), separators=(",", ":"), ensure_ascii=False, allow_nan=False) + "\n"
        try:
            _append(file, line.encode())
        except OSError as error:
            warnings.warn(f"The trace of this run was not written to {file.name}: {error.strerror}.", RuntimeWarning, 2)
    if endpoint is not None:
        from xagent.telemetry._send import send

        if (fault := send(spans, endpoint, version)) is not None:
            warnings.warn(f"The trace of this run was not sent: {fault}", RuntimeWarning, 2)
    return spans


def check_target(file: Path | None, endpoint: str | None) -> None:
    """Raises ConfigurationFault when the file's folder is missing or closed, or OTLP over HTTP is not installed."""
    if file is not None and (
        file.is_dir() or not os.access(file if file.exists() else file.absolute().parent, os.W_OK)
    ):
        raise ConfigurationFault(f"telemetry.file: {file.name} cannot be written.", "Name a file in an open folder.")
    if endpoint is not None:
        from xagent.telemetry._send import require

        require()


def run_spans(
    runs: Sequence[Run],
    *,
    case_id: str,
    version: str,
    started_ns: int,
    ended_ns: int,
    failed: str | None = None,
) -> list[Span]:
    """One run as spans, by start. Ids follow from the case and the start, so that they are unique and not random."""
    trace_id = _digest(32, "xagent", case_id, started_ns)
    root_id = _digest(16, trace_id, "root")
    first = runs[0] if runs else {}
    resource = {"service.name": "xagent", "service.version": version}
    root = Span(
        trace_id=trace_id,
        span_id=root_id,
        parent_id=None,
        name="invoke_agent xagent",
        kind="internal",
        start_ns=started_ns,
        end_ns=ended_ns,
        status="error" if failed else "ok",
        attributes={
            "gen_ai.operation.name": "invoke_agent",
            "gen_ai.agent.name": "xagent",
            "xagent.case.id": text(case_id),
            "xagent.run.reports": len(runs),
            **{f"xagent.run.{key}": first[key] for key in ("passes", "repairs") if isinstance(first.get(key), int)},
            **({"xagent.run.llm.calls": len(calls)} if (calls := _calls(runs)) else {}),
            **({"error.type": failed} if failed else {}),
        },
        resource=resource,
        scope="xagent",
    )
    reasons = {ask["tool"]: ask.get("why") for ask in first.get("asks", ()) if ask.get("pass")}
    tools = [
        _span(root, f"execute_tool {name}", done, _tool(name, done, reasons.get(name)), _failure(done))
        for name, done in first.get("tools", {}).items()
        if done.get("started")
    ]
    return sorted([root, *tools, *_chats(root, runs)], key=lambda span: (span.start_ns, span.span_id))


def _span(root: Span, name: str, timed: Run, attributes: Mapping[str, Any], failure: str | None) -> Span:
    start = iso_ns(timed["started"], "started")
    return Span(
        trace_id=root.trace_id,
        span_id=_digest(16, root.trace_id, name, start),
        parent_id=root.span_id,
        name=name,
        kind="internal" if name.startswith("execute_tool") else "client",
        start_ns=start,
        end_ns=start + round((timed.get("seconds") or 0.0) * 1e9),
        status="error" if failure else "ok",
        attributes={**attributes, **({"error.type": failure} if failure else {})},
        resource=root.resource,
        scope=root.scope,
    )


def _tool(name: str, done: Run, asked_because: str | None) -> dict[str, Any]:
    return {
        "gen_ai.operation.name": "execute_tool",
        "gen_ai.tool.name": name,
        "gen_ai.tool.type": "function",
        "xagent.tool.status": text(done.get("status")),
        **({"xagent.tool.asked_because": text(asked_because)} if asked_because else {}),
    }


def _failure(done: Run) -> str | None:
    """The class of error that a tool failed with, where its record says so."""
    if done.get("status") != "failed":
        return None
    match = _CLASS.match(done.get("why") or "")
    return match[1] if match else "failed"


def _calls(runs: Sequence[Run]) -> list[Run]:
    """Questions to a language model, each once: those of the planner stand in the record of every reader."""
    calls: dict[str, Run] = {}
    for run in runs:
        for call in run.get("llm", {}).get("calls", ()):
            calls.setdefault(json.dumps(call, sort_keys=True, default=str), call)
    return list(calls.values())


def _chats(root: Span, runs: Sequence[Run]) -> list[Span]:
    """The questions that were asked in this run; those that a record answered only count."""
    return [
        _span(
            root,
            f"chat {text(call.get('model')) or 'model'} {text(call.get('purpose'))}".strip(),
            call,
            {
                "gen_ai.operation.name": "chat",
                **{
                    key: text(call[field])
                    for key, field in (
                        ("gen_ai.request.model", "model"),
                        ("gen_ai.response.model", "model_reported"),
                        ("xagent.prompt.sha256", "prompt_sha256"),
                        ("xagent.response.sha256", "response_sha256"),
                    )
                    if call.get(field)
                },
            },
            None if call.get("outcome") == "answered" else "failed",
        )
        for call in _calls(runs)
        if call.get("started") and not call.get("replayed")
    ]


def _append(file: Path, line: bytes) -> None:
    """One write at the end, so that runs side by side never mix their lines."""
    handle = os.open(file, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(handle, line)
    finally:
        os.close(handle)


def _digest(digits: int, *parts: object) -> str:
    return hashlib.sha256(" ".join(map(str, parts)).encode()).hexdigest()[:digits]
