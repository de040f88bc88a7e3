"""Random ledgers as the tools would build them, and the narratives of the shipped fixtures."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xagent.evidence import Claim, Finding, Ledger, slug
from xagent.narrative import Narrative, compose
from xagent.personas import Persona, load_persona, persona_names

ROOT = Path(__file__).parents[2]
PERSONAS = persona_names()
POPULATIONS = ("loans of the year before", "patients of the ward", "policies of the region", "requests of the quarter")
OUTCOMES = (("Declined", "Approved"), ("malignant tissue", "benign tissue"), ("suspicious", "harmless"))
_NUMERIC = (
    ("monthly income", "EUR", 0, 900, 9000),
    ("debt payments", "% of income", 0, 2, 80),
    ("savings balance", "EUR", 0, 50, 90000),
    ("years with the employer", "years", 1, 0, 35),
    ("late payments in the last year", None, 0, 0, 9),
    ("body temperature", "°C", 1, 35, 41),
    ("blood sugar", "mg/dl", 0, 60, 240),
    ("resting pulse", "bpm", 0, 45, 140),
    ("distance to the branch", "km", 1, 0, 300),
    ("used share of the card limits", "%", 1, 0, 100),
    ("failed logins", None, 0, 0, 40),
    ("packets per minute", None, 0, 10, 90000),
    ("area of the nucleus", "µm²", 2, 20, 900),
)
_CATEGORY = (
    ("purpose of the loan", ("buying a car", "improving the home", "paying for studies")),
    ("housing situation", ("rents the home", "owns the home", "lives with parents")),
    ("postal area", ("harbour district", "north side", "south side")),
    ("kind of contract", ("open-ended", "fixed-term", "freelance")),
)


@dataclass(frozen=True)
class Told:
    """A verified narrative, its evidence and its reader."""

    name: str
    ledger: Ledger
    findings: tuple[Finding, ...]
    persona: Persona
    narrative: Narrative


def generated(seed: int, features: int = 8, *, inverted: bool = False) -> Ledger:
    """A tabular prediction with that many inputs. inverted: signs turned and order reversed, the values kept."""
    rng = random.Random(seed)
    population, (target, foil) = rng.choice(POPULATIONS), rng.choice(OUTCOMES)
    chosen: list[Any] = rng.sample([*_NUMERIC, *_CATEGORY], features)
    sizes = sorted((round(rng.uniform(0.02, 1.0) * 1.9 ** (features - i), 4) for i in range(features)), reverse=True)
    signs = [rng.choice((1, -1)) for _ in sizes]
    signs[:2] = [1, -1] if rng.random() < 0.5 else [-1, 1]
    if inverted:
        chosen, signs = chosen[::-1], [-s for s in signs[::-1]]
    score, threshold = round(rng.uniform(0.53, 0.97), 4), rng.choice((0.3, 0.5))
    return Ledger(
        [
            *_case(rng, seed, target, foil, score, threshold, population),
            *_drivers(seed, chosen, sizes, signs, population),
        ]
    )


def _case(
    rng: random.Random, seed: int, target: str, foil: str, score: float, threshold: float, population: str
) -> list[Claim]:
    who: dict[str, Any] = {"subject": f"person-{seed:04d}", "artifact": "case"}
    claims = [
        Claim(id="case.id", kind="text", value=f"case-{seed:04d}", **who),
        Claim(id="case.subject", kind="text", value=f"person-{seed:04d}", **who),
        Claim(
            id="case.decided_at",
            kind="time",
            value=f"2026-{rng.randint(1, 12):02d}-{rng.randint(1, 28):02d}T09:30:00Z",
            **who,
        ),
        Claim(id="decision.label", kind="category", value=target, **who),
        Claim(id="decision.target", kind="category", value=target, **who),
        Claim(id="relevance.target", kind="category", value=target, subject=who["subject"], artifact="relevance"),
        Claim(id="relevance.foil", kind="category", value=foil, subject=who["subject"], artifact="relevance"),
        Claim(id="decision.score", kind="value", value=score, scale="probability", **who),
        Claim(id="decision.threshold", kind="threshold", value=threshold, scale="probability", **who),
        Claim(id="decision.margin", kind="compare", value=score - threshold, sign=1, scale="points", **who),
        Claim(id="decision.near_threshold", kind="category", value="no", **who),
        Claim(id="reference.name", kind="text", subject="population", value=population, artifact="case"),
        Claim(id="window.name", kind="text", subject="population", value="cases of the last month", artifact="case"),
        Claim(id="relevance.baseline", kind="text", subject="population", value=population, artifact="relevance"),
    ]
    plain: dict[str, Any] = {
        "relevance.method": "relevance propagation",
        "model.name": "scorer",
        "model.version": "2.1.0",
        "system.name": "Case Desk",
        "model.sha256": f"{rng.getrandbits(256):064x}",
        "model.hash_state": "ok",
        "trust.level": rng.choice(("fair", "strong", "limited")),
        "trust.weakest": "agreement",
        "trust.fidelity": round(rng.uniform(0.8, 0.99), 4),
        "trust.ratio": 0.96,
        "trust.agreement": 0.71,
        "trust.gap": 2.1e-7,
        "deviation.state": "ok",
        "deviation.p": round(rng.uniform(0.1, 0.9), 3),
        "deviation.alpha": 0.01,
        "deviation.calibration.n": rng.randint(200, 3000),
        "drift.state": "ok",
        "drift.features.count": 8,
        "drift.window.n": rng.randint(200, 900),
        "drift.reference.n": 2000,
        "telemetry.state": "ok",
        "reproduction.state": "ok",
        "reproduction.difference": 3.1e-9,
        "reproduction.tolerance": 0.0001,
        "relevance.score": 1.9,
        "relevance.gap": 1.3e-8,
        "relevance.ledger.inputs": 1.7,
        "relevance.ledger.residual": 0.0,
        "relevance.ledger.biases": 0.2,
        "decision.next_step": "Ask for the last pay slips.",
    }
    for key, value in plain.items():
        kind = "text" if isinstance(value, str) else "count" if isinstance(value, int) else "value"
        claims.append(
            Claim(
                id=key,
                kind="category" if key.endswith((".state", ".level")) else kind,
                value=value,
                artifact=key.split(".")[0],
            )
        )  # type: ignore[arg-type]
    return claims


def _drivers(seed: int, chosen: list[Any], sizes: list[float], signs: list[int], population: str) -> list[Claim]:
    rng = random.Random(f"values {seed}")
    values = {name: _values(rng, spec) for name, *spec in sorted(chosen, key=lambda c: str(c[0]))}
    claims, total = [], sum(sizes)
    for n, ((label, *_), size, sign) in enumerate(zip(chosen, sizes, signs, strict=True), start=1):
        value, typical, unit, decimals = values[label]
        feature = label.replace(" ", "_")
        about: dict[str, Any] = {"feature": feature, "subject": f"person-{seed:04d}", "artifact": "relevance"}
        number = not isinstance(value, str)
        shown: dict[str, Any] = {
            "kind": "value" if number else "category",
            "unit": unit,
            "decimals": decimals,
            "scale": "raw" if number else "none",
        }
        way = (value > typical) - (value < typical) if number else None
        outcome = (
            {1: "above", -1: "below", 0: "equal"}[way]
            if way is not None
            else "same"
            if value == typical
            else "different"
        )
        d, usual = f"relevance.driver.{n}", {**about, "baseline": population}
        claims += [
            Claim(id=f"feature.{slug(feature)}.label", kind="text", value=label, **about),
            Claim(id=f"input.{slug(feature)}.value", value=value, **about, **shown),
            Claim(id=f"{d}.name", kind="text", value=label, **about),
            Claim(id=f"{d}.effect", kind="effect", value=size * sign, sign=sign, scale="logit", **about),
            Claim(id=f"{d}.share", kind="share", value=size / total, scale="share", **about),
            Claim(id=f"{d}.rank", kind="rank", value=n, **about),
            Claim(id=f"{d}.direction", kind="category", value="for" if sign > 0 else "against", sign=sign, **about),
            Claim(id=f"{d}.value", value=value, **about, **shown),
            Claim(id=f"{d}.typical", value=typical, **{**usual, "subject": "population"}, **shown),
            Claim(id=f"{d}.compare", kind="category", value=outcome, sign=way, **usual),
        ]
    return [*claims, *side_claims([size * sign for size, sign in zip(sizes, signs, strict=True)])]


def side_claims(effects: Sequence[float]) -> list[Claim]:
    """How many inputs point each way, their shares of all effects, and how many there are."""
    total, made = sum(abs(effect) for effect in effects) or 1.0, {"artifact": "relevance"}
    claims = []
    for side, sign in (("for", 1), ("against", -1)):
        part = [abs(effect) for effect in effects if effect * sign > 0]
        share = sum(part) / total
        claims.append(Claim(id=f"relevance.{side}.count", kind="count", value=len(part), **made))
        claims.append(Claim(id=f"relevance.{side}.share", kind="share", value=share, scale="share", **made))
    return [*claims, Claim(id="relevance.features.count", kind="count", value=len(effects), **made)]


def _values(rng: random.Random, spec: list[Any]) -> tuple[Any, Any, str | None, int | None]:
    if len(spec) == 1:
        return rng.choice(spec[0]), rng.choice(spec[0]), None, None
    unit, decimals, low, high = spec
    a, b = (round(rng.uniform(low, high), decimals) for _ in range(2))
    return (a, b, unit, decimals) if decimals else (int(a), int(b), unit, 0)


def told(name: str, ledger: Ledger, findings: list[Finding], persona: Persona) -> Told:
    return Told(name, ledger, tuple(findings), persona, compose(ledger, findings, persona))


def of_generated(seeds: range, features: tuple[int, ...] = (4, 8, 12), language: str = "en") -> list[Told]:
    """Narratives of generated ledgers: one ledger a seed, readers and sizes in turn."""
    found = []
    for seed in seeds:
        ledger = generated(seed, features[seed % len(features)])
        limited = ledger["trust.level"].value == "limited"
        roles = {"level": "trust.level", "weakest": "trust.weakest"}
        findings = (
            [Finding(id="trust.limited", kind="trust.limited", severity="warning", claims=roles)] if limited else []
        )
        found.append(
            told(f"generated {seed}", ledger, findings, load_persona(PERSONAS[seed % len(PERSONAS)], language))
        )
    return found


def of_fixtures(language: str = "en") -> list[Told]:
    """Narratives of every shipped case for every reader, as the agent makes them."""
    from xagent._explain import explain_all

    found = []
    for path in sorted((ROOT / "fixtures").glob("*/case*.json")):
        personas = [load_persona(name, language) for name in PERSONAS]
        for persona, report in zip(personas, explain_all(path, personas), strict=True):
            findings = [Finding.model_validate(f) for f in report.data["findings"]]
            found.append(told(f"{path.parent.name}/{path.stem}", report.ledger, findings, persona))
    return found
