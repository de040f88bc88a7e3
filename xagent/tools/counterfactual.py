"""What single change of one input would have moved the score across the threshold, re-scored by the model itself.

Every change that is tried sets one input to a value that the reference population holds and leaves the others as they
are (Wachter et al. 2018; CJEU C-203/22, para. 62). Inputs that nobody can change, that are sensitive or that stand in
for a protected attribute are not tried.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xagent.case import FeatureCard, TabularInput
from xagent.case._case import Scalar
from xagent.evidence import Claim
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._case_claims import is_category, value_facts
from xagent.tools._contrast import reference_of
from xagent.tools._population import file_hash

if TYPE_CHECKING:
    import pandas as pd

MOST = 3
"""Changes that are told, the smallest first."""
STEPS = 199
"""Quantiles of the reference at which a number is tried."""


class Change(Result):
    """One input set to another value. distance: share of the reference population between the two values, in [0, 1]."""

    feature: str
    current: bool | int | float | str
    value: bool | int | float | str
    score: float
    distance: float


class CounterfactualResult(Result):
    """changes: the smallest for each input that has one, by distance. tried: inputs that were varied."""

    changes: tuple[Change, ...]
    tried: tuple[str, ...]
    candidates: int
    threshold: float
    recorded_side: str


class Counterfactual(Tool[CounterfactualResult]):
    """Which single change of one changeable input moves the score to the other side of the threshold?"""

    name = "counterfactual"
    on_request: ClassVar[bool] = True
    result = CounterfactualResult

    def run(self, ctx: Context) -> CounterfactualResult:
        case, threshold = ctx.case, ctx.case.prediction.threshold
        if not isinstance(case.input, TabularInput):
            raise NotApplicable("Single changes are tried on rows of a table alone.")
        if threshold is None:
            raise NotApplicable("The case records no threshold that a score could cross.")
        reference = reference_of(ctx)
        if reference is None or reference.table is None:
            raise NotApplicable("The case names no reference population to take other values from.")
        rows = list(_candidates(case.input.values, reference.table, ctx))
        if not rows:
            raise NotApplicable("No input of this case is marked as one that can be changed.")
        scores = _scores(case.input.values, rows, ctx)
        above = scores[0] >= threshold
        best: dict[str, Change] = {}
        for (feature, value, distance), score in zip(rows, scores[1:], strict=True):
            if (score >= threshold) == above:
                continue
            found = best.get(feature)
            if found is None or (distance, str(value)) < (found.distance, str(found.value)):
                current = case.input.values[feature]
                assert current is not None
                best[feature] = Change(
                    feature=feature, current=current, value=value, score=float(score), distance=distance
                )
        return CounterfactualResult(
            changes=tuple(sorted(best.values(), key=lambda c: (c.distance, c.feature))[:MOST]),
            tried=tuple(sorted({feature for feature, _, _ in rows})),
            candidates=len(rows),
            threshold=threshold,
            recorded_side="above" if above else "below",
        )

    def claims(self, data: CounterfactualResult, ctx: Context) -> Iterator[Claim]:
        about: dict[str, Any] = {"subject": ctx.case.subject, "artifact": self.name}
        probability = ctx.case.prediction.scale == "probability"
        yield Claim(id="counterfactual.count", kind="count", value=len(data.changes), pointer="/changes", **about)
        yield Claim(id="counterfactual.tried.count", kind="count", value=len(data.tried), pointer="/tried", **about)
        for n, change in enumerate(data.changes, 1):
            key, at, card = f"counterfactual.{n}", f"/changes/{n - 1}", ctx.card.feature(change.feature)
            named = {**about, "feature": change.feature}
            yield Claim(id=f"{key}.name", kind="text", value=card.label, pointer=f"{at}/feature", **named)
            for part, value in (("current", change.current), ("value", change.value)):
                yield Claim(id=f"{key}.{part}", pointer=f"{at}/{part}", **value_facts(value, card), **named)
            yield Claim(
                id=f"{key}.score",
                kind="value",
                value=round(change.score, 12),
                scale="probability" if probability else "logit" if ctx.subject.classes else "raw",
                unit=ctx.case.model.output.unit,
                pointer=f"{at}/score",
                **about,
            )

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {"seed": ctx.seed, "quantiles": STEPS, "changed_together": 1}

    def inputs(self, ctx: Context) -> dict[str, str]:
        source = ctx.case.reference
        return {} if source is None else {"reference": file_hash(ctx, source, "reference")}


def _candidates(
    values: dict[str, Scalar], table: pd.DataFrame, ctx: Context
) -> Iterator[tuple[str, bool | int | float | str, float]]:
    """(feature, value, distance) of every single change that may be tried."""
    for feature, current in values.items():
        card = ctx.card.feature(feature)
        if current is None or card.mutable is not True or card.sensitive or card.proxy_for is not None:
            continue
        column = table[feature].dropna()
        if is_category(current, card):
            shares = column.astype(str).value_counts(normalize=True)
            known = {str(level): level for level in column.unique().tolist()}
            for level in sorted(known):
                if level != str(current):
                    yield feature, known[level], float(1 - shares[level])
        else:
            assert isinstance(current, int | float)
            yield from ((feature, v, d) for v, d in _numbers(float(current), column.to_numpy(float), card))


def _numbers(current: float, column: Any, card: FeatureCard) -> Iterator[tuple[int | float, float]]:
    """Quantiles of the reference on the side that the card lets this input move to."""
    ordered = np.sort(column)
    whole = card.kind == "integer" or bool(np.all(ordered == np.floor(ordered)))
    place = np.searchsorted(ordered, current) / len(ordered)
    for q in np.linspace(0, 1, STEPS):
        value = float(np.quantile(ordered, q, method="nearest"))
        if value == current or (card.direction == "increase" and value < current):
            continue
        if card.direction == "decrease" and value > current:
            continue
        distance = abs(float(np.searchsorted(ordered, value) / len(ordered) - place))
        yield (int(value) if whole else value), round(distance, 9)


def _scores(values: dict[str, Scalar], rows: list[tuple[str, bool | int | float | str, float]], ctx: Context) -> Any:
    """Scores on the scale of the case: of the row as it is, then of every change."""
    import pandas as pd

    prediction = ctx.case.prediction
    frame = pd.DataFrame([values] + [{**values, feature: value} for feature, value, _ in rows])
    logits = ctx.subject.logits({"input": ctx.subject.encode_table(frame, "input")})
    if not bool(logits.isfinite().all()):
        raise ArithmeticError("the model's score of a changed input is not a finite number")
    target = ctx.subject.target_index(prediction.target or prediction.label) if ctx.subject.classes else None
    return ctx.subject.score(logits, target, prediction.scale).numpy()
