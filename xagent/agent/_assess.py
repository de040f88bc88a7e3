"""Joining evidence: from artifacts to the ledger, and from single facts to findings."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import Any

from xagent.agent._confidence import about_the_confidence
from xagent.agent._finding import finding, value_of
from xagent.agent._process import about_the_process
from xagent.agent._state import Deps, Json
from xagent.evidence import Artifact, Claim, Finding, Ledger, slug
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
    "skewed": ("serving.feature.", ".skew", "yes"),
    "unit": ("serving.feature.", ".unit", "suspected"),
    "sensitive": ("feature.", ".sensitive", "yes"),
}


_WARNED = {
    "outside": "deviation.on-driver",
    "drifted": "drift.on-driver",
    "stale": "stale.on-driver",
    "imputed": "imputed.on-driver",
    "skewed": "skewed.on-driver",
    "unit": "unit.on-driver",
    "sensitive": "sensitive.on-driver",
}


def _exposures(ledger: Ledger, relevance: Artifact | None) -> Iterator[Claim]:
    """Share of the relevance that flagged inputs carry: sum |r_j| f_j / sum |r_j|, for every kind of flag, and for any
    flag at all; that an input is sensitive is no fault of it."""
    if relevance is None or relevance.status != "ok":
        return
    shares = {player["feature"]: player["share"] for player in relevance.data["players"]}
    flagged: set[str] = set()
    for kind, (prefix, part, value) in _FLAGS.items():
        hit = [f for f in shares if value_of(ledger, f"{prefix}{slug(f)}{part}") == value]
        flagged |= set() if kind == "sensitive" else set(hit)
        yield from _exposure(ledger, kind, hit, shares)
    yield from _exposure(ledger, "any", [f for f in shares if f in flagged], shares)


def _exposure(ledger: Ledger, kind: str, hit: list[str], shares: dict[str, float]) -> Iterator[Claim]:
    if not hit:
        return
    facts: dict[str, Any] = {"subject": ledger["case.subject"].subject, "artifact": "assess"}
    share = min(1.0, sum(shares[f] for f in hit))
    yield Claim(id=f"exposure.{kind}.count", kind="count", value=len(hit), **facts)
    yield Claim(id=f"exposure.{kind}.share", kind="share", value=share, scale="share", **facts)


def _findings(ledger: Ledger) -> Iterator[Finding]:
    yield from _about_the_answer(ledger)
    yield from _about_the_methods(ledger)
    yield from about_the_confidence(ledger)
    drivers = list(_about_the_drivers(ledger))
    yield from drivers
    yield from _about_the_population(ledger, [found.kind for found in drivers])
    yield from about_the_process(ledger)
    yield from _about_the_tools(ledger)


def _about_the_answer(ledger: Ledger) -> Iterator[Finding]:
    state = value_of(ledger, "reproduction.state")
    if state == "deviation":
        roles = {
            "recorded": "decision.score",
            "recomputed": "reproduction.score",
            "difference": "reproduction.difference",
        }
        yield finding(ledger, "reproduction.failed", "stop", roles)
    elif state != "ok":
        yield finding(ledger, "reproduction.cannot-tell", "warning", {})
    if value_of(ledger, "model.hash_state") == "deviation":
        yield finding(ledger, "model.hash-differs", "stop", {})
    level = value_of(ledger, "trust.level")
    if level in ("limited", "do not rely"):
        kind, severity = ("trust.limited", "warning") if level == "limited" else ("trust.do-not-rely", "stop")
        yield finding(ledger, kind, severity, {"level": "trust.level", "weakest": "trust.weakest"})  # type: ignore[arg-type]
    if value_of(ledger, "trust.off_manifold.state") == "deviation":
        yield finding(ledger, "trust.off-manifold", "warning", {"share": "trust.off_manifold"})
    if value_of(ledger, "decision.near_threshold") == "yes":
        roles = {"margin": "decision.margin", "threshold": "decision.threshold", "score": "decision.score"}
        yield finding(ledger, "near-threshold", "warning", roles)


_UNLIKE = {"sign differs": "turned", "absent": "gone"}


def _about_the_methods(ledger: Ledger) -> Iterator[Finding]:
    """A top driver of one family that the other family does not have, or that points the other way there."""
    count = value_of(ledger, "agreement.disagree.count")
    if not isinstance(count, int) or not count:
        return
    roles = {"count": "agreement.disagree.count", "method": "agreement.method.2.name"}
    found: dict[str, int] = {"turned": 0, "gone": 0, "extra": 0}
    for part in ("driver", "missed"):
        for n in range(1, TOP_DRIVERS + 1):
            state = value_of(ledger, f"agreement.{part}.{n}.state")
            role = "extra" if part == "missed" and state else _UNLIKE.get(str(state))
            if role:
                found[role] += 1
                roles[f"{role}{found[role]}"] = f"agreement.{part}.{n}.name"
                roles[f"{role}{found[role]}_state"] = f"agreement.{part}.{n}.state"
    yield finding(ledger, "methods.disagree", "warning", roles)


def _about_the_drivers(ledger: Ledger) -> Iterator[Finding]:
    if value_of(ledger, "deviation.state") == "deviation":
        roles = {"p": "deviation.p", "n": "deviation.calibration.n", "alpha": "deviation.alpha"}
        yield finding(ledger, "deviation.case", "warning", roles)
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
            ("skewed.on-driver", f"serving.feature.{part}.skew", "yes",
             {"value": f"{driver}.value", "offline": f"serving.feature.{part}.offline"}),
            ("unit.on-driver", f"serving.feature.{part}.unit", "suspected",
             {"value": f"{driver}.value", "likely": f"serving.feature.{part}.likely"}),
            ("sensitive.on-driver", f"feature.{part}.sensitive", "yes", {}),
        )  # fmt: skip
        for kind, claim, flagged, roles in rules:
            if value_of(ledger, claim) == flagged:
                yield finding(ledger, kind, "warning", always | roles, part)
        if f"feature.{part}.proxy_for" in ledger:
            yield finding(ledger, "proxy.on-driver", "warning", always | {"proxy": f"feature.{part}.proxy_for"}, part)


def _about_the_population(ledger: Ledger, said: list[str]) -> Iterator[Finding]:
    """What no warning about a single driver has said already; `said` holds the kinds of those warnings."""
    state = value_of(ledger, "drift.state")
    if state == "cannot tell":
        yield finding(ledger, "drift.cannot-tell", "notice", {"n": "drift.window.n"})
    elif state == "deviation" and "drift.on-driver" not in said:
        roles = {"count": "drift.drifted.count", "features": "drift.features.count"}
        yield finding(ledger, "drift.population", "notice", roles)
    for kind in _FLAGS:
        count = value_of(ledger, f"exposure.{kind}.count")
        if isinstance(count, int) and count > said.count(_WARNED[kind]):
            roles = {"share": f"exposure.{kind}.share", "count": f"exposure.{kind}.count"}
            yield finding(ledger, "exposure", "notice", roles, kind)


def _about_the_tools(ledger: Ledger) -> Iterator[Finding]:
    for claim_id in ledger:
        if claim_id.startswith("tool.") and claim_id.endswith(".name"):
            tool = claim_id.removeprefix("tool.").removesuffix(".name")
            failed = value_of(ledger, f"tool.{tool}.status") == "failed"
            kind, severity = ("tool.failed", "warning") if failed else ("tool.not-applicable", "notice")
            yield finding(ledger, kind, severity, {"tool": claim_id, "why": f"tool.{tool}.why"}, tool)  # type: ignore[arg-type]
