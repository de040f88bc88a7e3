"""Claims that follow from relevance: the score and its ledger, then the inputs by rank."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xagent.case import GenerationInput, TabularInput
from xagent.case._case import Scalar
from xagent.evidence import Claim
from xagent.tools._answer_claims import answer_claims
from xagent.tools._base import Context
from xagent.tools._case_claims import is_category, sign_of, value_facts

if TYPE_CHECKING:
    from xagent.tools._relevance_result import PlayerRelevance, Refinement, RelevanceResult

MOST_DRIVERS = 60
_DIRECTION = {1: "for", -1: "against", 0: "neither"}


def relevance_claims(data: RelevanceResult, ctx: Context) -> Iterator[Claim]:
    output = ctx.case.model.output
    scale, unit = ("raw", output.unit) if output.kind == "value" else ("logit", None)

    def claim(key: str, kind: Any, value: Any, pointer: str, subject: str = ctx.case.subject, **more: Any) -> Claim:
        return Claim(
            id=f"relevance.{key}",
            kind=kind,
            value=value,
            subject=subject,
            artifact="relevance",
            pointer=pointer,
            **more,
        )

    yield claim("method", "text", data.method, "/method", "process")
    # A regression explains the value itself: its target is the score, its foil does not exist.
    instead = "this answer" if isinstance(ctx.case.input, GenerationInput) else "the predicted value"
    target = ctx.card.outcome(data.target).label if data.target is not None else instead
    yield claim("target", "category", target, "/target")
    if data.foil is not None:
        yield claim("foil", "category", ctx.card.outcome(data.foil).label, "/foil")
    yield claim("score", "value", data.score, "/score", scale=scale, unit=unit)
    yield claim("baseline", "text", data.baseline, "/baseline", "population")
    for name, value in data.ledger.items():
        yield claim(f"ledger.{name}", "value", value, f"/ledger/{name}", scale=scale, unit=unit)
    yield claim("gap", "value", data.gap, "/gap", scale="none")
    yield claim("audit.count", "count", sum(data.audit.values()), "/audit", "model")

    if data.precision is not None:
        yield claim("precision", "text", data.precision, "/precision", "model")
    if data.rounding is not None:
        yield claim("rounding", "value", data.rounding, "/rounding", "model", scale=scale, unit=unit)
    if data.rows is not None:
        yield claim("rows.used", "count", data.rows.used, "/rows/used", "population")
        yield claim("rows.available", "count", data.rows.available, "/rows/available", "population")
    if data.refined is not None:
        yield from _refined(claim, data.refined)
    for n, pair in enumerate(data.pairs[:MOST_DRIVERS]):
        name = " and ".join(pair.labels)
        yield claim(f"pair.{n + 1}.name", "text", name, f"/pairs/{n}/labels")
        more = {"scale": scale, "unit": unit, "sign": sign_of(pair.relevance)}
        yield claim(f"pair.{n + 1}.effect", "effect", pair.relevance, f"/pairs/{n}/relevance", **more)

    signs = [_sign(p) for p in data.players]
    weighed = any(signs)  # without any relevance there is nothing to have a share of
    yield claim("features.count", "count", len(data.players), "/players")
    sources = data.answer.sources if data.answer else ()
    for name, parts, at, subject in (
        ("sentences", data.sentences, "/sentences", ctx.case.subject),
        ("sources", sources, "/answer/sources", ctx.case.subject),
        ("layers", data.layers, "/layers", "model"),
        ("heads", data.heads, "/heads", "model"),
    ):
        if parts:
            yield claim(f"{name}.count", "count", len(parts), at, subject)
    for word, sign in (("for", 1), ("against", -1)):
        yield claim(f"{word}.count", "count", signs.count(sign), "/players", sign=sign)
        if weighed:
            total = min(sum(p.share for p, s in zip(data.players, signs, strict=True) if s == sign), 1.0)
            yield claim(f"{word}.share", "share", total, "/players", sign=sign, scale="share")

    for n, player in enumerate(data.players[:MOST_DRIVERS]):
        sign, at = signs[n], f"/players/{n}"
        key = f"driver.{n + 1}"
        own: dict[str, Any] = {"feature": player.feature}
        yield claim(f"{key}.name", "text", player.label, f"{at}/label", **own)
        yield claim(
            f"{key}.effect", "effect", player.relevance, f"{at}/relevance", scale=scale, unit=unit, sign=sign, **own
        )
        if weighed:
            yield claim(f"{key}.share", "share", player.share, f"{at}/share", scale="share", **own)
        yield claim(f"{key}.rank", "rank", player.rank, f"{at}/rank", **own)
        yield claim(f"{key}.direction", "category", _DIRECTION[sign], f"{at}/relevance", sign=sign, **own)
        if isinstance(ctx.case.input, TabularInput) and player.feature in ctx.case.input.values:
            yield from _compared(claim, key, at, player, ctx)
    if data.answer is not None:
        yield from answer_claims(data.answer, ctx)


def _refined(claim: Any, found: Refinement) -> Iterator[Claim]:
    """What was done about a list that fell short, what it cost, and how much of the best list either reaches."""
    yield claim("refined.state", "category", found.state, "/refined/state", "process")
    shares = {"before": found.before, "after": found.after, "limit": found.limit, "off_manifold": found.off_manifold}
    for key, value in shares.items():
        if value is not None:  # a correlation below zero reaches nothing
            yield claim(f"refined.{key}", "share", max(value, 0.0), f"/refined/{key}", scale="share")
    if found.rows:
        yield claim("refined.rows", "count", found.rows, "/refined/rows", "process")


def _compared(claim: Any, key: str, at: str, player: PlayerRelevance, ctx: Context) -> Iterator[Claim]:
    """The raw value, what is typical of the reference population, and how the two compare."""
    assert isinstance(ctx.case.input, TabularInput)
    value, card = ctx.case.input.values[player.feature], ctx.card.feature(player.feature)
    own: dict[str, Any] = {"feature": player.feature}
    pointer = f"{at}/feature"
    yield claim(f"{key}.value", pointer=pointer, **value_facts(value, card), **own)
    if player.typical is None or ctx.case.reference is None:
        return
    against = {"baseline": ctx.case.reference.name}
    facts = value_facts(player.typical, card)
    yield claim(f"{key}.typical", pointer=f"{at}/typical", subject="population", **facts, **against, **own)
    if value is None:
        return
    word, sign = _comparison(value, player.typical, is_category(value, card))
    yield claim(f"{key}.compare", "category", word, f"{at}/typical", sign=sign, **against, **own)


def _comparison(value: Scalar, typical: Scalar, levels: bool) -> tuple[str, Any]:
    if levels or isinstance(typical, str | bool) or not isinstance(value, int | float) or typical is None:
        same = value == typical or str(value).lower() == str(typical).lower()
        return ("same" if same else "different"), None
    sign = sign_of(value - typical)
    return {1: "above", -1: "below", 0: "equal"}[sign], sign


def _sign(player: PlayerRelevance) -> Any:
    """Towards the target, against it or, below the rounding of the sum, neither."""
    return 0 if player.share < 1e-9 else sign_of(player.relevance)
