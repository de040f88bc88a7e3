"""The claims that follow from what the confidence tool found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xagent.evidence import Claim
from xagent.tools._base import Context
from xagent.tools._confidence_result import ConfidenceResult, Grounds, Margin, Neighbours, Outcomes, Weight

Line = Margin | Outcomes | Neighbours | Grounds | Weight

MOST_NAMED = 6
"""Classes of a conformal set that claims name; the artifact has all."""


def confidence_claims(data: ConfidenceResult, ctx: Context) -> Iterator[Claim]:
    """`confidence.<line>.*`: the state of every line, why when it is not known, and its figures."""
    scale, unit = ("logit", None) if ctx.subject.classes else ("raw", ctx.case.model.output.unit)

    def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
        more = {"subject": ctx.case.subject, "baseline": data.reference_name, **more}
        return Claim(id=f"confidence.{key}", kind=kind, value=value, artifact="confidence", pointer=pointer, **more)

    def state(key: str, line: Line, pointer: str) -> Iterator[Claim]:
        yield claim(f"{key}.state", "category", line.state, f"{pointer}/state")
        if (why := line.why) is not None:
            yield claim(f"{key}.why", "text", why, f"{pointer}/why")

    def figures(key: str, pointer: str, *parts: tuple[str, str, Any, Any]) -> Iterator[Claim]:
        for name, field, kind, value in parts:
            if value is not None:
                forms: dict[str, dict[str, Any]] = {
                    "share": {"scale": "share"},
                    "amount": {"scale": scale, "unit": unit},
                }
                form = forms.get(kind, {})
                more = {"subject": "population"} if name == "n" else {}
                kind = "value" if kind == "amount" else kind  # noqa: PLW2901
                yield claim(f"{key}.{name}", kind, value, f"{pointer}/{field}", **form, **more)

    margin = data.margin
    yield from state("margin", margin, "/margin")
    yield from figures(
        "margin",
        "/margin",
        ("value", "value", "amount", margin.value),
        ("below", "below", "share", margin.below),
        ("percentile", "percentile", "value", margin.percentile),
        ("n", "n", "count", margin.n or None),
    )
    if margin.near_zero is not None:
        yield claim("margin.near_zero", "category", "yes" if margin.near_zero else "no", "/margin/near_zero")

    key = _outcome_key(ctx)
    yield from state(key, data.outcomes, "/outcomes")
    if data.outcomes.state in ("ok", "deviation"):
        yield from _outcomes(key, data.outcomes, claim, figures, ctx)
        told = {True: "yes", False: "no", None: "cannot tell"}[data.used_in_training]
        yield claim("seen", "category", told, "/used_in_training", subject="population")
    elif data.outcomes.n:
        yield from figures(key, "/outcomes", ("n", "n", "count", data.outcomes.n))

    near = data.neighbours
    yield from state("neighbours", near, "/neighbours")
    yield from figures(
        "neighbours",
        "/neighbours",
        ("n", "n", "count", near.n or None),
        ("k", "k", "count", near.k or None),
        ("same.share", "same", "share", near.same),
        ("true.share", "true", "share", near.true),
        ("labelled.count", "labelled", "count", near.labelled or None),
        ("low", "low", "amount", near.low),
        ("median", "median", "amount", near.median),
        ("high", "high", "amount", near.high),
        ("true.median", "true_median", "amount", near.true_median),
        ("distance.below", "percentile", "share", None if near.percentile is None else near.percentile / 100),
        ("distance.percentile", "percentile", "value", near.percentile),
        ("representation", "representation", "text", near.representation),
    )
    if near.k:
        yield claim("neighbours.far", "category", "yes" if near.far else "no", "/neighbours/far")

    grounds = data.grounds
    yield from state("grounds", grounds, "/grounds")
    yield claim("grounds.alpha", "threshold", grounds.alpha, "/grounds/alpha", baseline=None)
    yield from figures(
        "grounds",
        "/grounds",
        ("p", "p", "value", grounds.p),
        ("resolution", "resolution", "value", grounds.resolution),
        ("n", "n", "count", grounds.n or None),
    )

    weight = data.weight
    yield from state("relevance", weight, "/weight")
    yield from figures(
        "relevance",
        "/weight",
        ("total", "total", "amount", weight.total),
        ("below", "below", "share", weight.below),
        ("percentile", "percentile", "value", weight.percentile),
        ("n", "n", "count", weight.n or None),
    )
    yield claim("relevance.nothing", "category", "yes" if weight.nothing else "no", "/weight/nothing")
    if data.unusable:
        yield claim("unusable.count", "count", data.unusable, "/unusable", subject="population")


def _outcome_key(ctx: Context) -> str:
    return "set" if ctx.subject.classes else "interval"


def _outcomes(key: str, found: Outcomes, claim: Any, figures: Any, ctx: Context) -> Iterator[Claim]:
    yield from figures(
        key,
        "/outcomes",
        ("coverage", "coverage", "share", found.coverage),
        ("n", "n", "count", found.n),
        ("low", "low", "amount", found.low),
        ("high", "high", "amount", found.high),
        ("answer.p", "answer_p", "value", found.answer_p),
    )
    if found.crosses is not None:
        yield claim(f"{key}.crosses", "category", "yes" if found.crosses else "no", "/outcomes/crosses")
    if found.verdict is None:
        return
    yield claim(f"{key}.verdict", "category", found.verdict, "/outcomes/verdict")
    yield claim(f"{key}.count", "count", len(found.open), "/outcomes/open")
    calibrated = "class by class" if found.by_class else "on all classes together"
    yield claim(f"{key}.calibration", "text", calibrated, "/outcomes/by_class")
    for n, held in enumerate(found.open[:MOST_NAMED], 1):
        words = ctx.card.outcome(held.name).label
        yield claim(f"{key}.class.{n}.name", "category", words, f"/outcomes/open/{n - 1}/name")
        yield claim(f"{key}.class.{n}.p", "value", held.p, f"/outcomes/open/{n - 1}/p")
