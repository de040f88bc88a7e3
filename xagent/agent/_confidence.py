"""Findings about the model itself: rare grounds, open answers, neighbours that point elsewhere, idle inputs."""

from __future__ import annotations

from collections.abc import Iterator

from xagent.evidence import Finding, Ledger, Severity


def about_the_confidence(ledger: Ledger) -> Iterator[Finding]:
    """What the confidence tool found out of the ordinary. What rests on the list of drivers is left out where that
    list failed its tests."""
    reliable = _value(ledger, "trust.level") != "do not rely"
    if reliable and _value(ledger, "confidence.grounds.state") == "deviation":
        yield _finding(ledger, "rare-grounds", "warning", p="grounds.p", alpha="grounds.alpha", n="grounds.n")
    verdict = _value(ledger, "confidence.set.verdict")
    if verdict in ("several", "full", "empty", "other"):
        severity: Severity = "warning" if verdict in ("empty", "other") else "notice"
        roles = {"count": "set.count", "coverage": "set.coverage", "other": "set.class.1.name"}
        yield _finding(ledger, "ambiguous", severity, **roles)
    elif _value(ledger, "confidence.interval.crosses") == "yes":
        yield _finding(ledger, "ambiguous", "notice", low="interval.low", high="interval.high")
    if _value(ledger, "confidence.neighbours.state") == "deviation":
        same = _value(ledger, "confidence.neighbours.same.share")
        roles = {"k": "neighbours.k", "same": "neighbours.same.share", "true": "neighbours.true.share"}
        if same is None:
            roles |= {"low": "neighbours.low", "high": "neighbours.high"}
        yield _finding(ledger, "neighbours-disagree", "notice", **roles)
    if _value(ledger, "confidence.relevance.nothing") == "yes":
        yield _finding(ledger, "low-relevance", "warning", nothing="relevance.nothing")
    elif reliable and _value(ledger, "confidence.relevance.state") == "deviation":
        yield _finding(ledger, "low-relevance", "notice", state="relevance.state")
    if _value(ledger, "confidence.margin.near_zero") == "yes" and "decision.threshold" not in ledger:
        yield _finding(ledger, "low-margin", "warning", near="margin.near_zero")


def _finding(ledger: Ledger, kind: str, severity: Severity, **roles: str) -> Finding:
    bound = {role: f"confidence.{claim}" for role, claim in roles.items() if f"confidence.{claim}" in ledger}
    return Finding(id=f"confidence.{kind}", kind=f"confidence.{kind}", severity=severity, claims=bound)


def _value(ledger: Ledger, claim: str) -> object:
    return ledger[claim].value if claim in ledger else None
