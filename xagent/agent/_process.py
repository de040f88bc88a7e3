"""Findings about how the prediction was served, and about the process around it."""

from __future__ import annotations

from collections.abc import Iterator

from xagent.agent._finding import finding, value_of
from xagent.evidence import Finding, Ledger

_MOST = 200
# kind: severity, pattern of the claim that there is one of, roles by the last part of that claim's siblings
_EACH = (
    ("process.missing-step", "warning", "telemetry.missing", "name", ("name",)),
    ("process.fallback", "warning", "telemetry.fallback", "name", ("name", "of", "why")),
    ("process.model", "warning", "process.model", "answered", ("requested", "answered")),
    ("process.incident", "warning", "process.incident", "name", ("name", "at")),
    ("process.slow", "notice", "process.slow", "name", ("name", "seconds", "usual", "n")),
    ("process.guardrail", "notice", "process.guardrail", "verdict", ("name", "verdict", "version", "on")),
)
_COUNTED = (
    ("process.error", "warning", "telemetry.errors.count"),
    ("process.timeout", "warning", "process.timeouts.count"),
    ("process.retry", "notice", "telemetry.retries.count"),
)
_STATED: tuple[tuple[str, str, str, str, dict[str, str]], ...] = (
    ("serving.replay", "warning", "serving.replay.state", "deviation",
     {"logged": "serving.replay.logged", "score": "serving.replay.score"}),
    ("serving.input", "warning", "serving.input.state", "deviation", {}),
    ("serving.preprocess", "warning", "serving.preprocess.state", "deviation",
     {"deployed": "serving.preprocess.deployed"}),
    ("process.release", "warning", "process.release.state", "deviation",
     {"name": "process.release.name", "inforce": "process.release.version", "version": "model.version"}),
    ("process.incomplete", "notice", "process.complete.state", "cannot tell", {}),
    ("process.dropped", "notice", "process.sampling.state", "cannot tell", {"count": "telemetry.dropped.count"}),
)  # fmt: skip


def about_the_process(ledger: Ledger) -> Iterator[Finding]:
    """What went otherwise than it should, and what cannot be verified."""
    for kind, severity, stem, named, parts in _EACH:
        for n in range(1, _MOST + 1):
            if f"{stem}.{n}.{named}" in ledger:
                roles = {part: f"{stem}.{n}.{part}" for part in parts}
                yield finding(ledger, kind, severity, roles, str(n))  # type: ignore[arg-type]
    if "telemetry.order.1.name" in ledger:
        roles = {"name": "telemetry.order.1.name", "count": "telemetry.order.count"}
        yield finding(ledger, "process.order", "warning", roles)
    if value_of(ledger, "telemetry.override.state") == "yes":
        roles = {part: f"telemetry.override.{part}" for part in ("who", "from", "to", "why", "at")}
        yield finding(ledger, "process.override", "warning", roles)
    for kind, severity, claim in _COUNTED:
        count = value_of(ledger, claim)
        if isinstance(count, int) and count > 0:
            yield finding(ledger, kind, severity, {"count": claim})  # type: ignore[arg-type]
    for kind, severity, claim, value, roles in _STATED:
        if value_of(ledger, claim) == value:
            yield finding(ledger, kind, severity, roles)  # type: ignore[arg-type]
    if "deviation" in (value_of(ledger, "telemetry.version.state"), value_of(ledger, "telemetry.hash.state")):
        roles = {"deployed": "telemetry.version.deployed", "version": "model.version"}
        yield finding(ledger, "process.version", "warning", roles)
    elif value_of(ledger, "telemetry.hash.state") == "cannot tell":
        yield finding(ledger, "process.unverified", "notice", {})
