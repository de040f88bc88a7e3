"""What the model says of this case while one input takes the values that others have and the rest stays as it is.

The curve is the individual conditional expectation of one input (Goldstein et al. 2015). It describes the model, not
what a change would do in the world, and single values can be far from any real case.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, ClassVar, Literal

import numpy as np

from xagent.case import TabularInput
from xagent.evidence import Claim
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._case_claims import is_category, value_facts
from xagent.tools._contrast import reference_hashes, reference_of

STEPS = 41
"""Quantiles of the reference at which a number is tried."""
MOST_LEVELS = 200
Value = bool | int | float | str


class Point(Result):
    """One value of the input and the score with it, on the scale of the case."""

    value: Value
    score: float


class CloserLookResult(Result):
    """points: in rising order of a number, in the order of their names for levels. current: the value of the case.

    shape: how the score moves with a rising number; `levels` for an input without an order. crossing: share of the
    values with which the score lies on the other side of the threshold, None without one.
    """

    feature: str
    current: Value
    points: tuple[Point, ...]
    shape: Literal["rising", "falling", "flat", "mixed", "levels"]
    crossing: float | None


class CloserLook(Tool[CloserLookResult]):
    """How the score moves while one input takes the values of the reference population and the others stay."""

    name = "closer_look"
    needs = ("relevance",)
    on_request: ClassVar[bool] = True
    result = CloserLookResult

    def choices(self, ctx: Context) -> dict[str, tuple[str, ...]]:
        return {"feature": _features(ctx)}

    def run(self, ctx: Context) -> CloserLookResult:
        if not isinstance(ctx.case.input, TabularInput):
            raise NotApplicable("Single values are tried on rows of a table alone.")
        reference = reference_of(ctx)
        if reference is None or reference.table is None:
            raise NotApplicable("The case names no reference population to take other values from.")
        features = _features(ctx)
        wanted = ctx.requests.get(self.name, {}).get("feature") or _leading(ctx, features)
        if wanted not in features:
            raise NotApplicable("The input that was asked for has no value in this case.")
        values, card = ctx.case.input.values, ctx.card.feature(wanted)
        current = values[wanted]
        assert current is not None
        levels = is_category(current, card)
        tried = _levels(reference.table[wanted]) if levels else _quantiles(reference.table[wanted])
        if not tried:
            raise NotApplicable("The reference population holds no value of this input.")
        scores = _scores(values, wanted, tried, ctx)
        threshold = ctx.case.prediction.threshold
        crossing = None
        if threshold is not None:
            above = scores[0] >= threshold
            crossing = float(np.mean((scores[1:] >= threshold) != above))
        return CloserLookResult(
            feature=wanted,
            current=current,
            points=tuple(Point(value=v, score=float(s)) for v, s in zip(tried, scores[1:], strict=True)),
            shape="levels" if levels else _shape(scores[1:]),
            crossing=crossing,
        )

    def claims(self, data: CloserLookResult, ctx: Context) -> Iterator[Claim]:
        about: dict[str, Any] = {"subject": ctx.case.subject, "artifact": self.name}
        named, card = {**about, "feature": data.feature}, ctx.card.feature(data.feature)
        scale = "logit" if ctx.subject.classes else "raw"
        scale = "probability" if ctx.case.prediction.scale == "probability" else scale
        yield Claim(id="closer.feature.name", kind="text", value=card.label, pointer="/feature", **named)
        yield Claim(id="closer.count", kind="count", value=len(data.points), pointer="/points", **about)
        yield Claim(id="closer.shape", kind="category", value=data.shape, pointer="/shape", **named)
        if data.crossing is not None:
            share: dict[str, Any] = {"kind": "share", "scale": "share", "value": data.crossing}
            yield Claim(id="closer.crossing.share", pointer="/crossing", **share, **named)
        order = sorted(range(len(data.points)), key=lambda n: (data.points[n].score, n))
        for part, n in (("lowest", order[0]), ("highest", order[-1])):
            point, at = data.points[n], f"/points/{n}"
            yield Claim(id=f"closer.{part}.value", pointer=f"{at}/value", **value_facts(point.value, card), **named)
            score: dict[str, Any] = {"kind": "value", "scale": scale, "unit": ctx.case.model.output.unit}
            yield Claim(
                id=f"closer.{part}.score", value=round(point.score, 12), pointer=f"{at}/score", **score, **named
            )

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {"seed": ctx.seed, "steps": STEPS, **ctx.requests.get(self.name, {})}

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx)


def _features(ctx: Context) -> tuple[str, ...]:
    given = ctx.case.input
    return tuple(sorted(k for k, v in given.values.items() if v is not None)) if isinstance(given, TabularInput) else ()


def _leading(ctx: Context, features: tuple[str, ...]) -> str:
    """The strongest driver that has a value."""
    found = ctx.found.get("relevance")
    ranked = [p["feature"] for p in found.data["players"]] if found is not None and found.status == "ok" else []
    return next((feature for feature in ranked if feature in features), "")


def _levels(column: Any) -> list[Value]:
    known = {str(level): level for level in column.dropna().unique().tolist()}
    return [known[key] for key in sorted(known)[:MOST_LEVELS]]


def _quantiles(column: Any) -> list[Value]:
    ordered = np.sort(column.dropna().to_numpy(float))
    if not len(ordered):
        return []
    whole = bool(np.all(ordered == np.floor(ordered)))
    found = np.unique(np.quantile(ordered, np.linspace(0, 1, STEPS), method="nearest"))
    return [int(v) if whole else float(v) for v in found]


def _shape(scores: Any) -> Literal["rising", "falling", "flat", "mixed"]:
    steps = np.diff(scores)
    least = 1e-9 * max(1.0, float(np.abs(scores).max()))
    rises, falls = bool((steps > least).any()), bool((steps < -least).any())
    return "mixed" if rises and falls else "rising" if rises else "falling" if falls else "flat"


def _scores(values: Any, feature: str, tried: Sequence[Value], ctx: Context) -> Any:
    """Scores on the scale of the case: of the row as it is, then with every value that is tried."""
    import pandas as pd

    prediction = ctx.case.prediction
    frame = pd.DataFrame([dict(values), *({**values, feature: value} for value in tried)])
    logits = ctx.subject.logits({"input": ctx.subject.encode_table(frame, "input")})
    if not bool(logits.isfinite().all()):
        raise ArithmeticError("the model's score of a changed input is not a finite number")
    target = ctx.subject.target_index(prediction.target or prediction.label) if ctx.subject.classes else None
    return ctx.subject.score(logits, target, prediction.scale).numpy()
