"""Facts that need no tool: what the case and its system card state."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any

from xagent.case import Case, FeatureCard, GenerationInput, SystemCard, TabularInput
from xagent.case._case import Scalar
from xagent.evidence import Claim, slug
from xagent.tools._card_claims import card_claims

if TYPE_CHECKING:
    from xagent.subject import Player

NEAR = 0.05
"""Distance from the threshold, as a probability, below which a decision is called near."""
SCALES: dict[str, Any] = {"probability": "probability", "logit": "logit", "value": "raw", "log_probability": "raw"}


def case_claims(case: Case, card: SystemCard, encoded_players: Iterable[Player] = ()) -> Iterator[Claim]:
    """Claims about the case itself; encoded_players adds the words or cells of a text or an image."""
    yield _fact("case.id", "text", case.id, "case", "/id", case.subject)
    yield _fact("case.subject", "text", case.subject, "case", "/subject", case.subject)
    at = case.public()["prediction"]["decided_at"]
    yield _fact("case.decided_at", "time", at, "case", "/prediction/decided_at", case.subject)
    yield _fact("system.name", "text", card.name, "system_card", "/name", "process")
    yield _fact("model.name", "text", case.model.name, "case", "/model/name", "model")
    yield _fact("model.version", "text", case.model.version, "case", "/model/version", "model")
    for role, population in (("reference", case.reference), ("window", case.window)):
        if population is not None:
            yield _fact(f"{role}.name", "text", population.name, "case", f"/{role}/name", "population")
    yield from _features(case, card, encoded_players)
    if isinstance(case.input, GenerationInput):
        yield _fact("answer.text", "text", case.input.answer, "case", "/input/answer", case.subject)
    yield from _decision(case, card)
    yield from card_claims(card)


def value_facts(value: Scalar, card: FeatureCard) -> dict[str, Any]:
    """kind, value, unit, scale and decimals of a claim about one raw value, in the words of the feature's card."""
    if value is None:
        return {"kind": "category", "value": "missing"}
    if is_category(value, card):
        return {"kind": "category", "value": level_words(value, card)}
    assert isinstance(value, int | float)
    return {"kind": "value", "value": value, "unit": card.unit, "scale": "raw", "decimals": card.decimals}


def is_category(value: Scalar, card: FeatureCard) -> bool:
    """Whether a raw value is a level rather than a number."""
    return isinstance(value, str | bool) or card.kind in ("categorical", "ordinal", "boolean")


def level_words(value: Scalar, card: FeatureCard) -> str:
    """The card's words for a level: looked up as JSON writes it; yes and no for a boolean without words."""
    keys = [str(value)]
    if isinstance(value, bool):
        keys += [str(value).lower(), str(int(value))]
    elif isinstance(value, float) and value.is_integer():
        keys.append(str(int(value)))
    if card.kind == "boolean" and value in (0, 1):
        keys.append("true" if value else "false")
    for key in keys:
        if key in card.levels:
            return card.levels[key]
    if isinstance(value, bool) or (card.kind == "boolean" and value in (0, 1)):
        return "yes" if value else "no"
    return keys[-1] if isinstance(value, float) else keys[0]


def _features(case: Case, card: SystemCard, players: Iterable[Player]) -> Iterator[Claim]:
    if not isinstance(case.input, TabularInput):
        for player in players:
            key = f"feature.{slug(player.feature)}.label"
            yield _fact(key, "text", player.label, "case", "/input", case.subject, feature=player.feature)
        return
    for name, value in case.input.values.items():
        about, part = card.feature(name), slug(name)
        source, at = ("system_card", f"/features/{_escaped(name)}")
        if name not in card.features:
            source, at = "case", "/input/values"
        label_at = f"{at}/label" if source == "system_card" else at
        yield _fact(f"feature.{part}.label", "text", about.label, source, label_at, "model", feature=name)
        if about.proxy_for is not None:
            at_proxy = f"{at}/proxy_for"
            yield _fact(f"feature.{part}.proxy_for", "text", about.proxy_for, source, at_proxy, "model", feature=name)
        if about.sensitive:
            yield _fact(
                f"feature.{part}.sensitive", "category", "yes", source, f"{at}/sensitive", "model", feature=name
            )
        yield Claim(
            id=f"input.{part}.value",
            subject=case.subject,
            feature=name,
            artifact="case",
            pointer=f"/input/values/{_escaped(name)}",
            **value_facts(value, about),
        )


def _decision(case: Case, card: SystemCard) -> Iterator[Claim]:
    prediction, subject = case.prediction, case.subject
    scale, unit = SCALES[prediction.scale], case.model.output.unit if prediction.scale == "value" else None
    target = prediction.target or prediction.label
    for role, name in (("label", prediction.label), ("target", target), ("outcome", prediction.decision)):
        if name is not None:
            field = "decision" if role == "outcome" else "target" if role == "target" and prediction.target else "label"
            at = f"/prediction/{field}"
            yield _fact(f"decision.{role}", "category", card.outcome(name).label, "case", at, subject)
    yield Claim(
        id="decision.score",
        kind="value",
        subject=subject,
        value=prediction.score,
        unit=unit,
        scale=scale,
        artifact="case",
        pointer="/prediction/score",
    )
    if prediction.threshold is not None:
        yield from _threshold(case, scale, unit)
    ending = next((n for n in (prediction.decision, prediction.label) if n in card.outcomes), None)
    outcome = card.outcomes.get(ending) if ending is not None else None
    if prediction.adverse is not None:
        adverse = "yes" if prediction.adverse else "no"
        yield _fact("decision.adverse", "category", adverse, "case", "/prediction/adverse", subject)
    elif outcome is not None and outcome.favourable is not None and ending is not None:
        at = f"/outcomes/{_escaped(ending)}/favourable"
        yield _fact("decision.adverse", "category", "no" if outcome.favourable else "yes", "system_card", at, subject)
    if outcome is not None and outcome.next_step is not None and ending is not None:
        at = f"/outcomes/{_escaped(ending)}/next_step"
        yield _fact("decision.next_step", "text", outcome.next_step, "system_card", at, "process")


def _threshold(case: Case, scale: Any, unit: str | None) -> Iterator[Claim]:
    prediction = case.prediction
    assert prediction.threshold is not None
    common: dict[str, Any] = {"subject": case.subject, "artifact": "case", "pointer": "/prediction/threshold"}
    yield Claim(id="decision.threshold", kind="threshold", value=prediction.threshold, unit=unit, scale=scale, **common)
    # Rounded where doubles stop being exact, so that 0.6 - 0.5 is 0.1.
    margin = round(prediction.score - prediction.threshold, 12)
    yield Claim(
        id="decision.margin",
        kind="compare",
        value=margin,
        unit=unit,
        scale="points" if scale == "probability" else scale,
        sign=sign_of(margin),
        baseline="the threshold",
        **common,
    )
    if scale == "probability":
        near = "yes" if abs(margin) < NEAR else "no"
        yield Claim(id="decision.near_threshold", kind="category", value=near, **common)


def sign_of(number: float) -> Any:
    """-1, 0 or 1."""
    return (number > 0) - (number < 0)


def _fact(
    key: str, kind: Any, value: str, artifact: str, pointer: str, subject: str, *, feature: str | None = None
) -> Claim:
    return Claim(id=key, kind=kind, value=value, artifact=artifact, pointer=pointer, subject=subject, feature=feature)


def _escaped(name: str) -> str:
    """One part of a JSON pointer (RFC 6901)."""
    return name.replace("~", "~0").replace("/", "~1")
