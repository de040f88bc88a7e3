# ruff: noqa: E501, RUF028 - tables of claims are easier to read on one line each
"""Ledgers as the tools would build them, for tests of the narrator and the verifier."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from benchmarks.narratives._ledgers import side_claims
from xagent.evidence import Claim, Finding, Ledger, slug

POPULATION = "applicants of the year before"


@dataclass(frozen=True)
class Feature:
    """One input of a sample. effect: signed; value and typical: of one type, or None for words and areas."""

    name: str
    label: str
    effect: float
    value: float | str | None = None
    typical: float | str | None = None
    unit: str | None = None
    decimals: int | None = None


CREDIT = (
    Feature("debt_ratio", "debt payments", 0.92, 46.0, 31.0, "% of income", 0),
    Feature("late", "late payments in the last year", 0.55, 3, 1),
    Feature("age_of_account", "age of the account", 0.31, 1.25, 6.5, "years", 1),
    Feature("purpose", "purpose", 0.08, "car", "home"),
    Feature("income", "income", -0.61, 52_000.0, 41_000.0, "EUR", 0),
    Feature("savings", "savings", -0.22, 9_100.0, 4_000.0, "EUR", 0),
    Feature("owner", "owns a home", -0.05, "yes", "yes"),
    Feature("channel", "channel", 0.0, "branch", "branch"),
)
WORDS = (
    Feature("word.3", "not", 1.4),
    Feature("word.4", "worth", -0.9),
    Feature("word.9", "the", 0.3),
    Feature("word.1", "It", -0.1),
)
AREAS = tuple(
    Feature(f"cell.{r}.{c}", f"row {r}, column {c}", e)
    for r, c, e in ((2, 5, 0.9), (3, 5, 0.7), (4, 1, -0.6), (6, 6, 0.5), (7, 2, 0.4), (1, 1, -0.2))
)


def driver_claims(features: Sequence[Feature], population: str | None = POPULATION) -> list[Claim]:
    """Claims of the relevance tool and of the case for these inputs, ranked by the size of their effects."""
    claims: list[Claim] = []
    total = sum(abs(f.effect) for f in features) or 1.0
    ranked = sorted(features, key=lambda f: -abs(f.effect))
    for n, f in enumerate(ranked, start=1):
        s, sign = slug(f.name), (f.effect > 0) - (f.effect < 0)
        d = f"relevance.driver.{n}"
        shared: dict[str, Any] = {"feature": f.name, "subject": "P-17"}
        number = isinstance(f.value, int | float)
        shown: dict[str, Any] = {"unit": f.unit, "decimals": f.decimals, "scale": "raw" if number else "none"}
        kind = "value" if number else "category"
        claims += [
            Claim(id=f"feature.{s}.label", kind="text", value=f.label, artifact="system_card", **shared),
            Claim(id=f"{d}.name", kind="text", value=f.label, artifact="relevance", **shared),
            Claim(id=f"{d}.effect", kind="effect", value=f.effect, sign=sign, scale="logit", artifact="relevance", **shared),
            Claim(id=f"{d}.share", kind="share", value=abs(f.effect) / total, scale="share", artifact="relevance", **shared),
            Claim(id=f"{d}.rank", kind="rank", value=n, artifact="relevance", **shared),
            Claim(
                id=f"{d}.direction", kind="category", value={1: "for", -1: "against", 0: "neither"}[sign],
                sign=sign, artifact="relevance", **shared,
            ),
        ]  # fmt: skip
        if f.value is None:
            continue
        for key in (f"input.{s}.value", f"{d}.value"):
            claims.append(Claim(id=key, kind=kind, value=f.value, artifact="case", **shared, **shown))
        if f.typical is None or population is None:
            continue
        if isinstance(f.value, str) or isinstance(f.typical, str):
            outcome, way = ("same", 0) if f.value == f.typical else ("different", None)
        else:
            way = (f.value > f.typical) - (f.value < f.typical)
            outcome = {1: "above", -1: "below", 0: "equal"}[way]
        base: dict[str, Any] = {"baseline": population, "artifact": "relevance", "feature": f.name}
        claims += [
            Claim(id=f"{d}.typical", kind=kind, value=f.typical, subject="population", **base, **shown),
            Claim(id=f"{d}.compare", kind="category", value=outcome, sign=way, subject="P-17", **base),
        ]
    return [*claims, *side_claims([f.effect for f in features])]


def simple(values: dict[str, Any], **more: Any) -> list[Claim]:
    """Claims whose kind follows from the type of their value."""
    claims = []
    for key, value in values.items():
        kind = "count" if isinstance(value, int) and not isinstance(value, bool) else "value"
        kind = "category" if isinstance(value, str) else kind
        claims.append(Claim(id=key, kind=more.get("kind", kind), value=value, artifact=more.get("artifact", "test")))
    return claims


def decision_claims(score: float = 0.62, threshold: float | None = 0.5, *, regression: bool = False) -> list[Claim]:
    who: dict[str, Any] = {"subject": "P-17", "artifact": "case"}
    if regression:
        claims = [Claim(id="decision.score", kind="value", value=score, unit="EUR", scale="raw", **who)]
    else:
        claims = [
            Claim(id="decision.label", kind="category", value="Declined", **who),
            Claim(id="decision.target", kind="category", value="Declined", **who),
            Claim(id="decision.score", kind="value", value=score, scale="probability", **who),
            Claim(id="decision.adverse", kind="category", value="yes", **who),
            Claim(id="relevance.target", kind="category", value="Declined", artifact="relevance"),
            Claim(id="relevance.foil", kind="category", value="Approved", artifact="relevance"),
        ]
    if threshold is not None:
        margin = score - threshold
        sign = (margin > 0) - (margin < 0)
        scale = "raw" if regression else "points"
        unit = "EUR" if regression else None
        claims += [
            Claim(id="decision.threshold", kind="threshold", value=threshold, unit=unit, scale="raw" if regression else "probability", **who),
            Claim(id="decision.margin", kind="compare", value=margin, sign=sign, unit=unit, scale=scale, **who),
            Claim(id="decision.near_threshold", kind="category", value="yes" if abs(margin) < 0.05 else "no", **who),
        ]  # fmt: skip
    return claims


def process_claims() -> list[Claim]:
    words = {
        "case.id": "loan-17", "case.subject": "P-17", "system.name": "Credit desk", "model.name": "scorer",
        "model.version": "3.2", "model.sha256": "ab" * 32, "relevance.method": "conserving relevance",
        "relevance.baseline": POPULATION, "reference.name": POPULATION, "window.name": "recent inputs",
        "decision.next_step": "Ask for the last three pay slips.", "trust.weakest": "agreement",
    }  # fmt: skip
    claims = [Claim(id=key, kind="text", value=value, artifact="case") for key, value in words.items()]
    claims.append(Claim(id="case.decided_at", kind="time", value="2026-11-20T14:05:00+01:00", artifact="case"))
    claims += simple(
        {
            "trust.level": "fair", "trust.ceiling": 0.97, "trust.fidelity": 0.91, "trust.ratio": 0.938, "trust.agreement": 0.62,
            "trust.gap": 2.1e-7, "trust.cited.count": 8, "trust.remove.flips": "yes", "deviation.state": "ok",
            "deviation.p": 0.31, "deviation.alpha": 0.05, "deviation.calibration.n": 1200, "deviation.outside.count": 0,
            "drift.state": "ok", "drift.features.count": 8, "drift.window.n": 640, "drift.reference.n": 1200,
            "drift.drifted.count": 0, "drift.detectable": 0.11, "telemetry.state": "ok", "telemetry.steps.count": 6,
            "telemetry.retries.count": 0, "telemetry.errors.count": 0, "telemetry.missing.count": 0,
            "telemetry.override.state": "no", "reproduction.state": "ok", "reproduction.score": 0.62,
            "reproduction.difference": 3.1e-9, "reproduction.tolerance": 1e-4, "model.hash_state": "ok",
            "relevance.score": 1.08, "relevance.gap": 1.3e-8, "relevance.audit.count": 0, "relevance.ledger.inputs": 0.98,
            "relevance.ledger.residual": 0.0, "relevance.ledger.biases": 0.1,
        }
    )  # fmt: skip
    claims += [
        Claim(id="trust.keep.share", kind="share", value=0.87, scale="share", artifact="trust"),
        Claim(id="trust.random.share", kind="share", value=0.22, scale="share", artifact="trust"),
        Claim(id="trust.off_manifold", kind="share", value=0.12, scale="share", artifact="trust"),
        Claim(id="telemetry.duration", kind="value", value=1.42, scale="seconds", unit="s", artifact="telemetry"),
    ]
    return claims


def replaced(ledger: Ledger, *claims: Claim) -> Ledger:
    """The ledger with these claims in place of those of the same id."""
    ids = {claim.id for claim in claims}
    return Ledger([*(c for c in ledger.values() if c.id not in ids), *claims])


def without(ledger: Ledger, *prefixes: str) -> Ledger:
    return Ledger(c for c in ledger.values() if not c.id.startswith(prefixes))


def ledger_of(kind: str = "tabular") -> Ledger:
    """A complete ledger: tabular, text, image or regression."""
    features = {"tabular": CREDIT, "text": WORDS, "image": AREAS, "regression": CREDIT}[kind]
    regression = kind == "regression"
    decision = decision_claims(41_250.5, 40_000.0, regression=True) if regression else decision_claims()
    return Ledger([*decision, *driver_claims(features), *process_claims()])


def every_finding() -> tuple[Ledger, list[Finding]]:
    """A tabular ledger in which everything went wrong, and all the findings that follow."""
    s = slug("debt_ratio")
    f: dict[str, Any] = {"feature": "debt_ratio", "artifact": "test"}
    base = replaced(
        ledger_of(),
        *simple(
            {
                "reproduction.state": "deviation", "model.hash_state": "deviation", "trust.level": "limited",
                "deviation.state": "deviation", "drift.state": "deviation", "telemetry.state": "deviation",
                "telemetry.retries.count": 2, "telemetry.errors.count": 1, "telemetry.override.state": "yes",
                "telemetry.version.state": "deviation", "decision.near_threshold": "yes", "exposure.outside.count": 1,
                "exposure.imputed.count": 1, "drift.drifted.count": 1,
            }
        ),
        Claim(id="reproduction.score", kind="value", value=0.5, scale="probability", artifact="reproduction"),
        Claim(id="exposure.outside.share", kind="share", value=0.33, scale="share", artifact="assess"),
    )  # fmt: skip
    more = [
        Claim(id=f"deviation.feature.{s}.kind", kind="category", value="above the known range", **f),
        Claim(id=f"deviation.feature.{s}.state", kind="category", value="deviation", **f),
        Claim(id=f"drift.feature.{s}.state", kind="category", value="deviation", **f),
        Claim(id=f"drift.feature.{s}.effect", kind="drift", value=0.23, **f),
        Claim(id=f"telemetry.feature.{s}.age", kind="value", value=200_000.0, scale="seconds", **f),
        Claim(id=f"telemetry.feature.{s}.limit", kind="value", value=86_400.0, scale="seconds", **f),
        Claim(id=f"telemetry.feature.{s}.imputed", kind="category", value="yes", **f),
        Claim(id=f"feature.{s}.sensitive", kind="category", value="yes", **f),
        Claim(id=f"feature.{s}.proxy_for", kind="text", value="health", **f),
        Claim(id="telemetry.missing.1.name", kind="text", value="guardrail", artifact="telemetry"),
        Claim(id="telemetry.override.who", kind="text", value="desk 4", artifact="telemetry"),
        Claim(id="telemetry.override.from", kind="text", value="Approved", artifact="telemetry"),
        Claim(id="telemetry.override.to", kind="text", value="Declined", artifact="telemetry"),
        Claim(id="telemetry.version.deployed", kind="text", value="3.1", artifact="telemetry"),
        Claim(id="tool.drift.name", kind="text", value="drift", artifact="assess"),
        Claim(id="tool.drift.status", kind="text", value="failed", artifact="assess"),
        Claim(id="telemetry.fallback.1.name", kind="text", value="cached score", artifact="telemetry"),
        Claim(id="telemetry.fallback.1.of", kind="text", value="live score", artifact="telemetry"),
        Claim(id="telemetry.order.1.name", kind="text", value="guardrail", artifact="telemetry"),
        Claim(id="telemetry.order.count", kind="count", value=1, artifact="telemetry"),
        Claim(id="telemetry.hash.state", kind="category", value="cannot tell", artifact="telemetry"),
        Claim(id="tool.drift.why", kind="text", value="KeyError: 'x'.", artifact="assess"),
    ]
    d = "relevance.driver.1"
    on = {"name": f"{d}.name", "rank": f"{d}.rank", "share": f"{d}.share"}
    rows: list[tuple[str, str, dict[str, str]]] = [
        ("reproduction.failed", "stop", {"recorded": "decision.score", "recomputed": "reproduction.score", "difference": "reproduction.difference"}),
        ("model.hash-differs", "stop", {}),
        ("trust.limited", "warning", {"level": "trust.level", "weakest": "trust.weakest"}),
        ("deviation.case", "warning", {"p": "deviation.p", "n": "deviation.calibration.n", "alpha": "deviation.alpha"}),
        ("deviation.on-driver", "warning", {**on, "kind": f"deviation.feature.{s}.kind", "value": f"input.{s}.value"}),
        ("drift.on-driver", "warning", {**on, "effect": f"drift.feature.{s}.effect"}),
        ("stale.on-driver", "warning", {**on, "age": f"telemetry.feature.{s}.age", "limit": f"telemetry.feature.{s}.limit"}),
        ("imputed.on-driver", "warning", on),
        ("sensitive.on-driver", "warning", on),
        ("proxy.on-driver", "warning", {**on, "proxy": f"feature.{s}.proxy_for"}),
        ("process.retry", "notice", {"count": "telemetry.retries.count"}),
        ("process.error", "warning", {"count": "telemetry.errors.count"}),
        ("process.missing-step", "warning", {"name": "telemetry.missing.1.name"}),
        ("process.override", "warning", {"who": "telemetry.override.who", "from": "telemetry.override.from", "to": "telemetry.override.to"}),
        ("process.version", "warning", {"deployed": "telemetry.version.deployed", "version": "model.version"}),
        ("process.fallback", "warning", {"name": "telemetry.fallback.1.name", "of": "telemetry.fallback.1.of"}),
        ("process.order", "warning", {"name": "telemetry.order.1.name", "count": "telemetry.order.count"}),
        ("process.unverified", "notice", {}),
        ("near-threshold", "warning", {"margin": "decision.margin", "threshold": "decision.threshold", "score": "decision.score"}),
        ("tool.failed", "warning", {"tool": "tool.drift.name", "why": "tool.drift.why"}),
        ("drift.population", "notice", {"count": "drift.drifted.count", "features": "drift.features.count"}),
        ("of.a-plug-in", "warning", {"thing": "deviation.p"}),
    ]  # fmt: skip
    findings = [Finding(id=k, kind=k, severity=sev, claims=roles) for k, sev, roles in rows]  # type: ignore[arg-type]
    findings.append(
        Finding(
            id="exposure.outside",
            kind="exposure",
            severity="notice",
            claims={"share": "exposure.outside.share", "count": "exposure.outside.count"},
        )  # fmt: skip
    )
    return Ledger([*base.values(), *more]), findings
