"""The claims that follow from the process around a prediction."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xagent.evidence import Claim
from xagent.tools._process_result import Override, ProcessResult
from xagent.tools._traced import Kind, made, state_of

_LINES = {"latency": "latency", "answering model": "model", "guardrails": "guardrail", "sampling": "sampling",
          "completeness": "complete", "clocks": "clock", "time line": "timeline"}  # fmt: skip


def claims(data: ProcessResult, version: str) -> Iterator[Claim]:
    """Claims of the result, names of steps and people in the words of the trace. version: of the model explained."""
    yield _claim("telemetry.state", "category", data.state, "/state")
    yield _claim("telemetry.expected.state", "category", data.expected_state, "/expected_state")
    yield _claim("telemetry.override.state", "category", data.override.state, "/override/state")
    places = {line.check: i for i, line in enumerate(data.lines)}
    for check, key in _LINES.items():
        state = state_of(data.lines, check)
        yield _claim(f"process.{key}.state", "category", state, f"/lines/{places[check]}/state")
    for key, count, pointer in (
        ("telemetry.spans.count", data.spans, "/spans"),
        ("telemetry.steps.count", data.steps_count, "/steps_count"),
        ("telemetry.missing.count", len(data.missing), "/missing"),
        ("telemetry.order.count", len(data.out_of_order), "/out_of_order"),
        ("telemetry.retries.count", data.retries, "/retries"),
        ("telemetry.errors.count", len(data.errors), "/errors"),
        ("telemetry.fallback.count", len(data.fallbacks), "/fallbacks"),
        ("telemetry.orphans.count", data.orphans, "/orphans"),
        ("telemetry.skew.count", len(data.skewed), "/skewed"),
        ("telemetry.dropped.count", data.dropped, "/dropped"),
        ("process.timeouts.count", len(data.timeouts), "/timeouts"),
        ("process.guardrail.count", len(data.guardrails), "/guardrails"),
    ):
        yield _claim(key, "count", count, pointer)
    for key, names, pointer in (
        ("telemetry.missing", data.missing, "/missing"),
        ("telemetry.order", data.out_of_order, "/out_of_order"),
        ("telemetry.errors", data.errors, "/errors"),
        ("process.timeout", data.timeouts, "/timeouts"),
    ):
        for i, name in enumerate(names):
            yield _claim(f"{key}.{i + 1}.name", "text", name, f"{pointer}/{i}")
    yield from _norm(data)
    yield from _times(data)
    yield from _stand_ins(data)
    yield from _override(data.override)
    yield from _happenings(data, version)


def _norm(data: ProcessResult) -> Iterator[Claim]:
    if data.norm is not None:
        yield _claim("process.norm.origin", "category", data.norm, "/norm")
        yield _claim("process.norm.steps.count", "count", len(data.norm_steps), "/norm_steps")
    if data.baseline:
        yield _claim("process.baseline.count", "count", data.baseline, "/baseline")
    if data.sampling_share is not None:
        yield _claim("process.sampling.share", "share", data.sampling_share, "/sampling_share")


def _times(data: ProcessResult) -> Iterator[Claim]:
    if data.duration is not None:
        yield _claim("telemetry.duration", "value", data.duration, "/duration", seconds=True)
    timed = [i for i, step in enumerate(data.steps) if step.self_seconds is not None]
    if timed:
        slowest = max(timed, key=lambda i: (data.steps[i].self_seconds or 0.0, -i))
        at = f"/steps/{slowest}"
        yield _claim("telemetry.slowest.name", "text", data.steps[slowest].name, f"{at}/name")
        seconds = data.steps[slowest].self_seconds
        yield _claim("telemetry.slowest.seconds", "value", seconds, f"{at}/self_seconds", seconds=True)
    if data.latency_p is not None:
        yield _claim("process.latency.p", "value", data.latency_p, "/latency_p")
        place = next(i for i, line in enumerate(data.lines) if line.check == "latency")
        for key, part in (("alpha", "threshold"), ("resolution", "resolution")):
            value = getattr(data.lines[place], part)
            yield _claim(f"process.latency.{key}", "threshold", value, f"/lines/{place}/{part}")
    yield _claim("process.slow.count", "count", len(data.slow), "/latency")
    for n, i in enumerate(data.slow, start=1):
        step, at, key = data.latency[i], f"/latency/{i}", f"process.slow.{n}"
        yield _claim(f"{key}.name", "text", step.name, f"{at}/name")
        yield _claim(f"{key}.seconds", "value", step.seconds, f"{at}/seconds", seconds=True)
        yield _claim(f"{key}.usual", "value", step.typical, f"{at}/typical", seconds=True)
        yield _claim(f"{key}.faster", "share", step.faster, f"{at}/faster")
        yield _claim(f"{key}.n", "count", step.n, f"{at}/n")


def _stand_ins(data: ProcessResult) -> Iterator[Claim]:
    for i, fallback in enumerate(data.fallbacks):
        yield _claim(f"telemetry.fallback.{i + 1}.name", "text", fallback.step, f"/fallbacks/{i}/step")
        yield _claim(f"telemetry.fallback.{i + 1}.of", "text", fallback.of, f"/fallbacks/{i}/of")
        if fallback.why is not None:
            yield _claim(f"telemetry.fallback.{i + 1}.why", "text", fallback.why, f"/fallbacks/{i}/why")
    for n, i in enumerate(data.substituted, start=1):
        for part in ("requested", "answered"):
            name = getattr(data.models[i], part)
            yield _claim(f"process.model.{n}.{part}", "text", name, f"/models/{i}/{part}")
    for i, guardrail in enumerate(data.guardrails):
        for part in ("name", "version", "on", "verdict", "why"):
            text = getattr(guardrail, part)
            if text is not None:
                yield _claim(f"process.guardrail.{i + 1}.{part}", "text", text, f"/guardrails/{i}/{part}")


def _override(override: Override) -> Iterator[Claim]:
    roles = (("who", "who"), ("from", "before"), ("to", "after"), ("why", "why"))
    for key, field in roles:
        if (text := getattr(override, field)) is not None:
            yield _claim(f"telemetry.override.{key}", "text", text, f"/override/{field}")
    if override.at is not None:
        yield _claim("telemetry.override.at", "time", override.at, "/override/at")
    if override.count > 1:
        yield _claim("process.override.count", "count", override.count, "/override/count")


def _happenings(data: ProcessResult, version: str) -> Iterator[Claim]:
    single = (("release", data.release), ("change", data.change))
    for key, moment in single:
        if moment is not None:
            yield _claim(f"process.{key}.name", "text", moment.name, f"/{key}/name")
            yield _claim(f"process.{key}.at", "time", moment.at, f"/{key}/at")
            yield _claim(f"process.{key}.before", "value", moment.seconds, f"/{key}/seconds", seconds=True)
            if moment.version is not None:
                yield _claim(f"process.{key}.version", "text", moment.version, f"/{key}/version")
                state = "ok" if moment.version == version else "deviation"
                yield _claim(f"process.{key}.state", "category", state, f"/{key}/version")
    yield _claim("process.incident.count", "count", len(data.incidents), "/incidents")
    for i, incident in enumerate(data.incidents):
        yield _claim(f"process.incident.{i + 1}.name", "text", incident.name, f"/incidents/{i}/name")
        yield _claim(f"process.incident.{i + 1}.at", "time", incident.at, f"/incidents/{i}/at")


def _claim(key: str, kind: Kind, value: Any, pointer: str, *, seconds: bool = False) -> Claim:
    return made("process", key, kind, value, pointer, seconds=seconds)
