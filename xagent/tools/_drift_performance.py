"""How many of its answers in the window would the model get right, if nothing but the inputs had changed?

Confidence-based estimation: the model's largest probability is calibrated on the reference's known outcomes (isotonic
regression), and averaged over the window.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from xagent.case import TabularInput, TextInput
from xagent.errors import XagentError
from xagent.tools._base import Context
from xagent.tools._confidence_known import MOST_ROWS, Known, known_cases
from xagent.tools._contrast import Reference
from xagent.tools._drift_result import Performance

ASSUMPTION = (
    "An answer of a given probability is right as often in the window as in the reference: a changed relation between "
    "inputs and outcomes is not seen."
)
TRAINED = " The model was fitted on the reference, so that its share of right answers there is too good."
LEAST_KNOWN, LEAST_WRONG = 200, 20
FLOOR = 0.02
"""A smaller loss of right answers is not told from none."""


def expected_performance(ctx: Context, raw: Any) -> Performance:
    """raw: what the window's file holds (a frame, texts, or encoded images)."""
    source = ctx.case.reference
    assert source is not None
    assumption = ASSUMPTION + (TRAINED if source.used_in_training else "")
    if source.label is None:
        why = "The case does not name where the true outcomes of the reference stand (reference.label)."
        return Performance(state="not supplied", why=why, assumption=assumption)
    if not ctx.subject.classes or ctx.subject.kind == "generation":
        why = "Without classes there is no probability that an answer is right."
        return Performance(state="cannot tell", why=why, assumption=assumption)
    known = known_cases(ctx)
    assert known is not None and known.labels is not None
    kept = known.usable & known.labelled
    sure, right = _confidence(known.logits[kept]), known.logits[kept].argmax(axis=1) == known.labels[kept]
    n, m = len(right), len(raw)
    told: dict[str, Any] = {"n": m, "reference_n": n, "assumption": assumption}
    if n < LEAST_KNOWN or (~right).sum() < LEAST_WRONG:
        why = f"Too few known outcomes, or too few wrong answers among them ({int((~right).sum())} of {n})."
        return Performance(state="cannot tell", why=why, **told)
    if m < 30:
        return Performance(state="cannot tell", why="The window has fewer than 30 rows.", **told)
    try:
        recent = _window(ctx, raw)
        logits = recent.logits[recent.usable]
    except XagentError as error:
        return Performance(state="cannot tell", why=f"The model cannot read the window: {error.message}"[:300], **told)
    if len(logits) < 30:
        return Performance(state="cannot tell", why="The model gives fewer than 30 rows a finite score.", **told)
    from sklearn.isotonic import IsotonicRegression

    model = IsotonicRegression(y_min=0.0, y_max=1.0, out_of_bounds="clip").fit(sure, right.astype(np.float64))
    before, after = model.predict(sure), model.predict(_confidence(logits))
    change = float(after.mean() - before.mean())
    margin = 2.576 * float(np.sqrt(before.var() / n + after.var() / len(after)))
    numbers = {"measured": float(right.mean()), "expected": float(after.mean()), "change": change, "margin": margin}
    return Performance(
        state="deviation" if change <= -max(FLOOR, margin) else "ok",
        **(told | {"n": len(after)}),
        **{name: float(f"{number:.12g}") for name, number in numbers.items()},
    )


def _confidence(logits: Any) -> Any:
    """(n,) the largest probability of each row."""
    shifted = logits - logits.max(axis=1, keepdims=True)
    return 1 / np.exp(shifted).sum(axis=1)


def _window(ctx: Context, raw: Any) -> Known:
    """A seeded sample of the window, as the known cases are held. Its scores are kept like theirs."""
    import torch

    source: Any = ctx.case.window
    total, kind = len(raw), ctx.case.input.kind
    most = MOST_ROWS[kind]
    places = np.arange(total)
    if total > most:
        places = np.sort(np.random.default_rng(ctx.seed).choice(total, most, replace=False))
    texts, rows, index = (), None, places
    if isinstance(ctx.case.input, TextInput):
        texts = tuple(raw[i] for i in places)
    else:
        encoded = (
            ctx.subject.encode_table(raw.iloc[places], "window")
            if isinstance(ctx.case.input, TabularInput)
            else torch.from_numpy(raw[places]).to(ctx.subject.dtype)
        )
        rows, index = Reference(source.name, encoded), np.arange(len(places))
    return Known(ctx, source, total, index, rows, texts, None)
