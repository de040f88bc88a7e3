"""A small report for the tests of the report room: the ledger of a declined loan, written by hand."""

from __future__ import annotations

from typing import Any

from xagent.evidence import Artifact, Claim, Finding, Ledger, slug
from xagent.narrative import compose
from xagent.personas import load_persona
from xagent.report import Report, build_report

DRIVERS: tuple[tuple[str, str, Any, Any, str | None, float], ...] = (
    ("debt_ratio", "Debt payments as share of income", 46.0, 31.0, "%", 1.42),
    ("missed", "Missed payments in two years", 3, 0, None, 0.88),
    ("income", "Income a year", 41_000, 52_000, "EUR", 0.31),
    ("years", "Years with the employer", 9.0, 4.0, "years", -0.74),
    ("savings", "Savings", 18_500, 6_200, "EUR", -0.35),
    ("purpose", "Purpose of the loan", "car", "home", None, -0.06),
)


def claims(**changed: Any) -> list[Claim]:
    """The ledger of a loan that was declined."""
    rows: list[Claim] = []

    def add(key: str, kind: str, value: Any, artifact: str = "case", **more: Any) -> None:
        value = changed.get(key, value)
        rows.append(Claim(id=key, kind=kind, value=value, artifact=artifact, **more))  # type: ignore[arg-type]

    for key, value in {
        "case.id": "loan-0042", "case.subject": "applicant-7f3a", "system.name": "Consumer credit desk",
        "model.name": "credit-risk", "model.version": "3.2", "reference.name": "approved applications of 2025",
        "window.name": "recent inputs", "decision.next_step": "Offer a review by a person",
    }.items():  # fmt: skip
        add(key, "text", value)
    add("case.decided_at", "time", "2026-03-03T09:30:00+01:00")
    for key, value in {
        "decision.label": "Declined", "decision.target": "Declined", "decision.adverse": "yes",
        "decision.near_threshold": "no", "decision.outcome": "Declined",
    }.items():  # fmt: skip
        add(key, "category", value)
    add("decision.score", "value", 0.731, scale="probability")
    add("decision.threshold", "threshold", 0.5, scale="probability")
    add("decision.margin", "compare", 0.231, scale="points", sign=1)
    add("reproduction.state", "category", "ok", "reproduction")
    add("reproduction.score", "value", 0.731, "reproduction", scale="probability")
    add("reproduction.difference", "value", 2e-7, "reproduction")
    add("reproduction.tolerance", "threshold", 1e-4, "reproduction")
    add("model.hash_state", "category", "ok", "reproduction")
    add("model.sha256", "text", "ab" * 32, "reproduction")
    total = sum(abs(row[5]) for row in DRIVERS)
    add("relevance.method", "text", "conserving relevance", "relevance")
    add("relevance.target", "category", "Declined", "relevance")
    add("relevance.foil", "category", "Approved", "relevance")
    add("relevance.baseline", "text", "approved applications of 2025", "relevance")
    add("relevance.score", "value", 1.0002, "relevance", scale="logit")
    add("relevance.gap", "value", 3e-8, "relevance")
    add("relevance.features.count", "count", len(DRIVERS), "relevance")
    add("relevance.audit.count", "count", 0, "relevance")
    for part, amount in (("inputs", 1.46), ("baseline", -0.21), ("biases", -0.2498), ("constants", 0.0),
                         ("positions", 0.0), ("softmax", 0.0), ("unhandled", 0.0), ("residual", 3e-8)):  # fmt: skip
        add(f"relevance.ledger.{part}", "value", amount, "relevance", scale="logit")
    for tone, sign in (("for", 1), ("against", -1)):
        side = [row for row in DRIVERS if row[5] * sign > 0]
        add(f"relevance.{tone}.count", "count", len(side), "relevance")
        share = sum(abs(row[5]) for row in side) / total
        add(f"relevance.{tone}.share", "share", share, "relevance", scale="share")
    for n, (feature, label, value, typical, unit, effect) in enumerate(
        sorted(DRIVERS, key=lambda row: -abs(row[5])), start=1
    ):
        key, about = f"relevance.driver.{n}", {"feature": feature, "artifact": "relevance"}
        sign = 1 if effect > 0 else -1
        kind = "category" if isinstance(value, str) else "value"
        add(f"feature.{slug(feature)}.label", "text", label, feature=feature)
        add(f"input.{slug(feature)}.value", kind, value, feature=feature, unit=unit)
        add(f"{key}.name", "text", label, **about)
        add(f"{key}.effect", "effect", effect, scale="logit", sign=sign, **about)
        add(f"{key}.share", "share", abs(effect) / total, scale="share", **about)
        add(f"{key}.rank", "rank", n, **about)
        add(f"{key}.direction", "category", "for" if sign > 0 else "against", sign=sign, **about)
        add(f"{key}.value", kind, value, unit=unit, **about)
        baseline = "approved applications of 2025"
        add(f"{key}.typical", kind, typical, unit=unit, baseline=baseline, **about)
        above = "different" if kind == "category" else "above" if value > typical else "below"
        compared = 0 if kind == "category" else 1 if value > typical else -1
        add(f"{key}.compare", "category", above, sign=compared, baseline=baseline, **about)
    add("trust.level", "category", "fair", "trust")
    add("trust.weakest", "text", "agreement", "trust")
    add("trust.ceiling", "value", 0.98, "trust")
    add("trust.fidelity", "value", 0.91, "trust")
    add("trust.ratio", "value", 3.4, "trust")
    add("trust.cited.count", "count", 4, "trust")
    add("trust.keep.share", "share", 0.86, "trust", scale="share")
    add("trust.random.share", "share", 0.31, "trust", scale="share")
    add("trust.remove.flips", "category", "yes", "trust")
    add("trust.agreement", "value", 0.78, "trust")
    add("trust.gap", "value", 3e-8, "trust")
    add("deviation.state", "category", "deviation", "deviation")
    add("deviation.p", "value", 0.021, "deviation")
    add("deviation.alpha", "threshold", 0.05, "deviation")
    add("deviation.calibration.n", "count", 1200, "deviation")
    add("deviation.resolution", "value", 1 / 1201, "deviation")
    add("deviation.features.count", "count", 6, "deviation")
    add("deviation.outside.count", "count", 1, "deviation")
    add("deviation.tail.count", "count", 0, "deviation")
    stem, about = f"deviation.feature.{slug('debt_ratio')}", {"feature": "debt_ratio", "artifact": "deviation"}
    add(f"{stem}.state", "category", "deviation", **about)
    add(f"{stem}.kind", "category", "above the known range", **about)
    add(f"{stem}.percentile", "value", 100.0, **about)
    add(f"{stem}.minimum", "value", 2.0, unit="%", **about)
    add(f"{stem}.maximum", "value", 44.0, unit="%", **about)
    add("drift.state", "category", "deviation", "drift")
    add("drift.window.n", "count", 800, "drift")
    add("drift.reference.n", "count", 2400, "drift")
    add("drift.features.count", "count", 6, "drift")
    add("drift.drifted.count", "count", 2, "drift")
    add("drift.detectable", "value", 0.17, "drift")
    for feature, effect, shift, unit in (("income", 0.21, -2600, "EUR"), ("savings", 0.14, -900, "EUR")):
        stem, about = f"drift.feature.{slug(feature)}", {"feature": feature, "artifact": "drift"}
        add(f"{stem}.state", "category", "deviation", **about)
        add(f"{stem}.effect", "drift", effect, **about)
        add(f"{stem}.p", "value", 0.0004, **about)
        add(f"{stem}.shift", "value", shift, unit=unit, sign=-1, **about)
    add("telemetry.state", "category", "ok", "telemetry")
    add("telemetry.spans.count", "count", 5, "telemetry")
    add("telemetry.steps.count", "count", 4, "telemetry")
    add("telemetry.missing.count", "count", 0, "telemetry")
    add("telemetry.retries.count", "count", 1, "telemetry")
    add("telemetry.errors.count", "count", 0, "telemetry")
    add("telemetry.duration", "value", 1.84, "telemetry", scale="seconds")
    return rows


STEPS = [
    {"name": "fetch features", "kind": "fetch", "start_offset": 0.0, "seconds": 0.62, "status": "ok", "retry": False},
    {"name": "fetch features", "kind": "fetch", "start_offset": 0.66, "seconds": 0.4, "status": "ok", "retry": True},
    {"name": "predict", "kind": "predict", "start_offset": 1.1, "seconds": 0.09, "status": "ok", "retry": False},
    {"name": "deliver", "kind": "deliver", "start_offset": 1.25, "seconds": 0.59, "status": "error", "retry": False},
]


def artifacts() -> list[Artifact]:
    players = [{"feature": r[0], "label": r[1], "relevance": r[5], "share": 0.1, "rank": 1} for r in DRIVERS]
    empty: dict[str, Any] = {"players": players, "image": None, "tokens": None}
    made = [("relevance", empty), ("process", {"steps": STEPS}), ("trust", {}), ("drift", {}), ("reproduction", {})]
    return [
        Artifact(
            tool=tool, version="1", status="ok", data=data, parameters={"seed": 0}, seconds=0.5, started="2026-01-01"
        )
        for tool, data in made
    ]


def findings() -> list[Finding]:
    key = "relevance.driver.1"
    roles = {"name": f"{key}.name", "rank": f"{key}.rank", "share": f"{key}.share", "value": f"{key}.value"}
    kind = f"deviation.feature.{slug('debt_ratio')}.kind"
    odd = {"p": "deviation.p", "n": "deviation.calibration.n", "alpha": "deviation.alpha"}
    return [
        Finding(id="deviation.case", kind="deviation.case", severity="warning", claims=odd),
        Finding(id="deviation.on-driver.1", kind="deviation.on-driver", severity="warning", claims={**roles, "kind": kind}),  # noqa: E501
        Finding(id="process.retry", kind="process.retry", severity="notice", claims={"count": "telemetry.retries.count"}),  # noqa: E501
        Finding(id="drift.population", kind="drift.population", severity="notice",
                claims={"count": "drift.drifted.count", "features": "drift.features.count"}),
    ]  # fmt: skip


CASE: dict[str, Any] = {
    "schema": "xagent.case/1",
    "id": "loan-0042",
    "title": "Loan application of 3 March",
    "subject": "applicant-7f3a",
    "model": {"name": "credit-risk", "version": "3.2", "format": "torch-export"},
    "input": {"kind": "tabular", "values": {row[0]: row[2] for row in DRIVERS}},
    "prediction": {"label": "declined", "score": 0.731, "threshold": 0.5, "decided_at": "2026-03-03T09:30:00+01:00"},
}
CARD: dict[str, Any] = {"schema": "xagent.system/1", "name": "Consumer credit desk", "purpose": "Consumer loans"}


def report(
    persona: str = "business_user", rows: list[Claim] | None = None, language: str | None = None, **more: Any
) -> Report:
    ledger, reader = Ledger(rows or claims()), load_persona(persona, language)
    given: dict[str, Any] = {
        "case": CASE, "card": CARD, "findings": findings(), "artifacts": artifacts(), "problems": [],
        "versions": {"xagent": "0.1.0", "torch": "2.13.0"}, "seeds": {"seed": 0},
        "inputs": {"model": "ab" * 32}, "run": {"passes": 0},
    }  # fmt: skip
    given |= more
    narrative = given.pop("narrative", None) or compose(ledger.visible_to(reader.name), given["findings"], reader)
    return build_report(persona=reader, ledger=ledger, narrative=narrative, **given)
