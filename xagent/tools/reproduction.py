"""Does the model that was loaded answer what was recorded?"""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any, Literal

from xagent.evidence import Claim
from xagent.tools._base import Context, Result, Tool
from xagent.tools._case_claims import SCALES


class ReproductionResult(Result):
    """recorded, recomputed: the target's score on `scale`; difference is recomputed - recorded. Both are None when the
    model's answer is no finite number, which is a deviation.

    label: the recomputed class, None for a regression; label_state compares it with the recorded one.
    state: `ok` when score and label agree within the tolerance of the case.
    """

    state: Literal["ok", "deviation"]
    recorded: float
    recomputed: float | None
    difference: float | None
    tolerance: float
    scale: Literal["probability", "logit", "value", "log_probability"]
    label: str | None
    label_state: Literal["ok", "deviation"]
    sha256: str | None
    hash_state: Literal["ok", "deviation", "cannot tell"]


class Reproduction(Tool[ReproductionResult]):
    """Runs the model once more on the recorded input and compares score, label and file."""

    name = "reproduction"
    result = ReproductionResult

    def run(self, ctx: Context) -> ReproductionResult:
        prediction, subject = ctx.case.prediction, ctx.subject
        encoded = subject.encode(ctx.case.input)
        logits = subject.logits(encoded.inputs)
        classes = ctx.case.model.output.classes
        target = subject.target_index(prediction.target or prediction.label)
        score = float(subject.score(logits, target, prediction.scale).reshape(-1)[0])
        if not math.isfinite(score):  # no number is no reproduction, whatever was recorded
            return ReproductionResult(
                state="deviation",
                recorded=prediction.score,
                recomputed=None,
                difference=None,
                tolerance=prediction.tolerance,
                scale=prediction.scale,
                label=None,
                label_state="deviation",
                sha256=subject.sha256.get("model"),
                hash_state=subject.hash_state,
            )
        label, label_ok = None, True
        if classes:
            candidates = [classes[int(logits[0].argmax())], *_by_threshold(ctx, target, score)]
            label_ok = prediction.label in candidates
            label = prediction.label if label_ok else candidates[0]
        difference = score - prediction.score
        same = abs(difference) <= prediction.tolerance and label_ok
        return ReproductionResult(
            state="ok" if same else "deviation",
            recorded=prediction.score,
            recomputed=score,
            difference=difference,
            tolerance=prediction.tolerance,
            scale=prediction.scale,
            label=label,
            label_state="ok" if label_ok else "deviation",
            sha256=subject.sha256.get("model"),
            hash_state=subject.hash_state,
        )

    def claims(self, data: ReproductionResult, ctx: Context) -> Iterator[Claim]:
        scale = SCALES[data.scale]
        unit = ctx.case.model.output.unit if data.scale == "value" else None
        case = ctx.case.subject

        def claim(key: str, kind: Any, value: Any, pointer: str, subject: str = case, **more: Any) -> Claim:
            return Claim(id=key, kind=kind, value=value, subject=subject, artifact=self.name, pointer=pointer, **more)

        yield claim("reproduction.state", "category", data.state, "/state")
        if data.recomputed is not None:
            yield claim("reproduction.score", "value", data.recomputed, "/recomputed", scale=scale, unit=unit)
            yield claim("reproduction.difference", "value", data.difference, "/difference", scale=scale, unit=unit)
        yield claim("reproduction.tolerance", "threshold", data.tolerance, "/tolerance", scale=scale, unit=unit)
        if data.label is not None:
            yield claim("reproduction.label", "category", ctx.card.outcome(data.label).label, "/label")
        if data.sha256 is not None:
            yield claim("model.sha256", "text", data.sha256, "/sha256", "model")
        yield claim("model.hash_state", "category", data.hash_state, "/hash_state", "model")

    def inputs(self, ctx: Context) -> dict[str, str]:
        return dict(ctx.subject.sha256)


def _by_threshold(ctx: Context, target: int, score: float) -> list[str]:
    """The class that a threshold other than one half picks from two."""
    classes, threshold = ctx.case.model.output.classes, ctx.case.prediction.threshold
    if len(classes) != 2 or threshold is None:
        return []
    return [classes[target if score >= threshold else 1 - target]]
