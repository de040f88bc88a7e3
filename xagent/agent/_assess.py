"""Joining evidence: from artifacts to the ledger, and from single facts to findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from xagent.agent._confidence import about_the_confidence
from xagent.agent._state import Deps, Json
from xagent.evidence import Artifact, Claim, Finding, Ledger, Severity, slug
from xagent.tools import case_claims, claims_of

TOP_DRIVERS = 6
"""A driver is a top driver while its rank is at most this; what happens further down is counted in the exposures."""

_SEVERITY = {"stop": 0, "warning": 1, "notice": 2}


def assess_evidence(deps: Deps, artifacts: dict[str, Json]) -> tuple[Ledger, list[Finding]]:
    """The ledger of all that is known, and the findings that join it, the most serious first."""
    ctx = deps.context(artifacts)
    claims = list(case_claims(deps.case, deps.card, deps.subject.encode(deps.case.input).players))
    for name in sorted(ctx.found):
        artifact = ctx.found[name]
        claims.extend(claims_of(artifact, ctx))
        claims.extend(_tool_claims(artifact))
    claims.extend(_check_counts(ctx.found.values()))
    claims.extend(_exposures(Ledger(claims), ctx.found.get("relevance")))
    ledger = Ledger(claims)
    findings = sorted(_findings(ledger), key=lambda f: _SEVERITY[f.severity])
    return ledger, findings


def _tool_claims(artifact: Artifact) -> Iterator[Claim]:
    """Name, reason and status of a tool that gave no result."""
    if artifact.status != "ok":
        facts = {"name": artifact.tool, "why": artifact.why or "no reason given", "status": artifact.status}
        for part, value in facts.items():
            yield Claim(
                id=f"tool.{artifact.tool}.{part}", kind="text", subject="process", value=value, artifact="assess"
            )


def _check_counts(artifacts: Iterable[Artifact]) -> Iterator[Claim]:
    """How many tools gave a result, failed, or do not apply."""
    found: list[str] = [artifact.status for artifact in artifacts]
    for part, status in (("ok", "ok"), ("failed", "failed"), ("inapplicable", "not_applicable")):
        yield Claim(
            id=f"checks.{part}.count", kind="count", subject="process", value=found.count(status), artifact="assess"
        )


_FLAGS: dict[str, tuple[str, str, str]] = {
    # exposure: (prefix, part, value that counts as flagged)
    "outside": ("deviation.feature.", ".state", "deviation"),
    "drifted": ("drift.feature.", ".state", "deviation"),
    "stale": ("telemetry.feature.", ".state", "deviation"),
    "imputed": ("telemetry.feature.", ".imputed", "yes"),
    "sensitive": ("feature.", ".sensitive", "yes"),
}


_WARNED = {
    "outside": "deviation.on-driver",
    "drifted": "drift.on-driver",
    "stale": "stale.on-driver",
    "imputed": "imputed.on-driver",
    "sensitive": "sensitive.on-driver",
}


def _exposures(ledger: Ledger, relevance: Artifact | None) -> Iterator[Claim]:
    """Share of the relevance that flagged inputs carry: sum |r_j| f_j / sum |r_j|, for every kind of flag."""
    if relevance is None or relevance.status != "ok":
        return
    shares = {player["feature"]: player["share"] for player in relevance.data["players"]}
    for kind, (prefix, part, flagged) in _FLAGS.items():
        hit = [f for f in shares if _value(ledger, f"{prefix}{slug(f)}{part}") == flagged]
        if hit:
            subject = ledger["case.subject"].subject
            share = min(1.0, sum(shares[f] for f in hit))
            yield Claim(id=f"exposure.{kind}.count", kind="count", subject=subject, value=len(hit), artifact="assess")
            yield Claim(
                id=f"exposure.{kind}.share",
                kind="share",
                subject=subject,
                value=share,
                scale="share",
                artifact="assess",
            )


def _findings(ledger: Ledger) -> Iterator[Finding]:
    yield from _about_the_answer(ledger)
    yield from _about_the_methods(ledger)
    yield from about_the_confidence(ledger)
    drivers = list(_about_the_drivers(ledger))
    yield from drivers
    yield from _about_the_population(ledger, [finding.kind for finding in drivers])
    yield from _about_the_process(ledger)
    yield from _about_the_tools(ledger)


def _about_the_answer(ledger: Ledger) -> Iterator[Finding]:
    state = _value(ledger, "reproduction.state")
    if state == "deviation":
        roles = {
            "recorded": "decision.score",
            "recomputed": "reproduction.score",
            "difference": "reproduction.difference",
        }
        yield _finding(ledger, "reproduction.failed", "stop", roles)
    elif state != "ok":
        yield _finding(ledger, "reproduction.cannot-tell", "warning", {})
    if _value(ledger, "model.hash_state") == "deviation":
        yield _finding(ledger, "model.hash-differs", "stop", {})
    level = _value(ledger, "trust.level")
    if level in ("limited", "do not rely"):
        kind, severity = ("trust.limited", "warning") if level == "limited" else ("trust.do-not-rely", "stop")
        yield _finding(ledger, kind, severity, {"level": "trust.level", "weakest": "trust.weakest"})  # type: ignore[arg-type]
    if _value(ledger, "trust.off_manifold.state") == "deviation":
        yield _finding(ledger, "trust.off-manifold", "warning", {"share": "trust.off_manifold"})
    if _value(ledger, "decision.near_threshold") == "yes":
        roles = {"margin": "decision.margin", "threshold": "decision.threshold", "score": "decision.score"}
        yield _finding(ledger, "near-threshold", "warning", roles)


_UNLIKE = {"sign differs": "turned", "absent": "gone"}


def _about_the_methods(ledger: Ledger) -> Iterator[Finding]:
    """A top driver of one family that the other family does not have, or that points the other way there."""
    count = _value(ledger, "agreement.disagree.count")
    if not isinstance(count, int) or not count:
        return
    roles = {"count": "agreement.disagree.count", "method": "agreement.method.2.name"}
    found: dict[str, int] = {"turned": 0, "gone": 0, "extra": 0}
    for part in ("driver", "missed"):
        for n in range(1, TOP_DRIVERS + 1):
            state = _value(ledger, f"agreement.{part}.{n}.state")
            role = "extra" if part == "missed" and state else _UNLIKE.get(str(state))
            if role:
                found[role] += 1
                roles[f"{role}{found[role]}"] = f"agreement.{part}.{n}.name"
                roles[f"{role}{found[role]}_state"] = f"agreement.{part}.{n}.state"
    yield _finding(ledger, "methods.disagree", "warning", roles)


def _about_the_drivers(ledger: Ledger) -> Iterator[Finding]:
    if _value(ledger, "deviation.state") == "deviation":
        roles = {"p": "deviation.p", "n": "deviation.calibration.n", "alpha": "deviation.alpha"}
        yield _finding(ledger, "deviation.case", "warning", roles)
    for n in range(1, TOP_DRIVERS + 1):
        name = ledger.get(f"relevance.driver.{n}.name")
        if name is None or name.feature is None:
            return
        part, driver = slug(name.feature), f"relevance.driver.{n}"
        always = {"name": f"{driver}.name", "rank": f"{driver}.rank", "share": f"{driver}.share"}
        rules: tuple[tuple[str, str, str, dict[str, str]], ...] = (
            ("deviation.on-driver", f"deviation.feature.{part}.state", "deviation",
             {"kind": f"deviation.feature.{part}.kind", "value": f"{driver}.value"}),
            ("drift.on-driver", f"drift.feature.{part}.state", "deviation", {"effect": f"drift.feature.{part}.effect"}),
            ("stale.on-driver", f"telemetry.feature.{part}.state", "deviation",
             {"age": f"telemetry.feature.{part}.age", "limit": f"telemetry.feature.{part}.limit"}),
            ("imputed.on-driver", f"telemetry.feature.{part}.imputed", "yes", {}),
            ("sensitive.on-driver", f"feature.{part}.sensitive", "yes", {}),
        )  # fmt: skip
        for kind, claim, flagged, roles in rules:
            if _value(ledger, claim) == flagged:
                yield _finding(ledger, kind, "warning", always | roles, part)
        if f"feature.{part}.proxy_for" in ledger:
            yield _finding(ledger, "proxy.on-driver", "warning", always | {"proxy": f"feature.{part}.proxy_for"}, part)


def _about_the_population(ledger: Ledger, said: list[str]) -> Iterator[Finding]:
    """What no warning about a single driver has said already; `said` holds the kinds of those warnings."""
    state = _value(ledger, "drift.state")
    if state == "cannot tell":
        yield _finding(ledger, "drift.cannot-tell", "notice", {"n": "drift.window.n"})
    elif state == "deviation" and "drift.on-driver" not in said:
        roles = {"count": "drift.drifted.count", "features": "drift.features.count"}
        yield _finding(ledger, "drift.population", "notice", roles)
    for kind in _FLAGS:
        count = _value(ledger, f"exposure.{kind}.count")
        if isinstance(count, int) and count > said.count(_WARNED[kind]):
            roles = {"share": f"exposure.{kind}.share", "count": f"exposure.{kind}.count"}
            yield _finding(ledger, "exposure", "notice", roles, kind)


def _about_the_process(ledger: Ledger) -> Iterator[Finding]:
    for n in range(1, 201):
        if f"telemetry.missing.{n}.name" not in ledger:
            break
        yield _finding(ledger, "process.missing-step", "warning", {"name": f"telemetry.missing.{n}.name"}, str(n))
    for n in range(1, 201):
        if f"telemetry.fallback.{n}.name" not in ledger:
            break
        roles = {"name": f"telemetry.fallback.{n}.name", "of": f"telemetry.fallback.{n}.of"}
        yield _finding(ledger, "process.fallback", "warning", roles, str(n))
    if "telemetry.order.1.name" in ledger:
        roles = {"name": "telemetry.order.1.name", "count": "telemetry.order.count"}
        yield _finding(ledger, "process.order", "warning", roles)
    if _value(ledger, "telemetry.override.state") == "yes":
        roles = {part: f"telemetry.override.{part}" for part in ("who", "from", "to", "why", "at")}
        yield _finding(ledger, "process.override", "warning", roles)
    for kind, claim, severity in (
        ("process.error", "telemetry.errors.count", "warning"),
        ("process.retry", "telemetry.retries.count", "notice"),
    ):
        count = _value(ledger, claim)
        if isinstance(count, int) and count > 0:
            yield _finding(ledger, kind, severity, {"count": claim})  # type: ignore[arg-type]
    if "deviation" in (_value(ledger, "telemetry.version.state"), _value(ledger, "telemetry.hash.state")):
        roles = {"deployed": "telemetry.version.deployed", "version": "model.version"}
        yield _finding(ledger, "process.version", "warning", roles)
    elif _value(ledger, "telemetry.hash.state") == "cannot tell":
        yield _finding(ledger, "process.unverified", "notice", {})


def _about_the_tools(ledger: Ledger) -> Iterator[Finding]:
    for claim_id in ledger:
        if claim_id.startswith("tool.") and claim_id.endswith(".name"):
            tool = claim_id.removeprefix("tool.").removesuffix(".name")
            failed = _value(ledger, f"tool.{tool}.status") == "failed"
            kind, severity = ("tool.failed", "warning") if failed else ("tool.not-applicable", "notice")
            yield _finding(ledger, kind, severity, {"tool": claim_id, "why": f"tool.{tool}.why"}, tool)  # type: ignore[arg-type]


def _finding(ledger: Ledger, kind: str, severity: Severity, roles: dict[str, str], part: str = "") -> Finding:
    """A finding with those of its roles that the ledger can fill."""
    bound = {role: claim for role, claim in roles.items() if claim in ledger}
    return Finding(id=f"{kind}.{part}" if part else kind, kind=kind, severity=severity, claims=bound)


def _value(ledger: Ledger, claim: str) -> object:
    return ledger[claim].value if claim in ledger else None
