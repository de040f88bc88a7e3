"""How confident and how conform the model is in this case: its margin, its record, its neighbours, its grounds."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np

from xagent.evidence import Claim
from xagent.tools import _confidence_maths as maths
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._case_claims import NEAR
from xagent.tools._confidence_cache import remembered
from xagent.tools._confidence_claims import confidence_claims
from xagent.tools._confidence_known import MOST_ROWS, Floats, Known, known_cases
from xagent.tools._confidence_profiles import MOST_REMOVED, MOST_TRACED, Profiles, Tracing, centre_of
from xagent.tools._confidence_result import (
    ConfidenceResult,
    Grounds,
    Margin,
    Neighbours,
    Open,
    Outcomes,
    Verdict,
    Weight,
)
from xagent.tools._confidence_rule import Rule
from xagent.tools._contrast import ZEROS, background_of, reference_hashes
from xagent.tools._probed import encoded_of

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from xagent.subject import Encoded

ALPHA = 0.01
"""Level at which grounds are called rare, and nearest cases far away."""
LOW = 0.05
"""Part of the known cases below which a margin or a total relevance is called low."""
LEAST_KNOWN = 20
NO_REFERENCE = "The case names no reference population."


class Confidence(Tool[ConfidenceResult]):
    """Compares this prediction with the model's own answers to the known cases.

    Margin and total relevance by their rank, the outcome by a conformal set or interval (where true outcomes are
    supplied), the nearest cases by their answers and outcomes, the relevance profile by its conformal p-value. Raises
    NotApplicable for a generated answer, InvalidCase for outcomes that are not the model's.
    """

    name: ClassVar[str] = "confidence"
    result: ClassVar[type[Result]] = ConfidenceResult

    def run(self, ctx: Context) -> ConfidenceResult:
        if ctx.subject.kind == "generation":
            raise NotApplicable(
                "A written answer has no class and no value, so it has no margin and no outcome to set it against."
            )
        encoded = encoded_of(ctx)
        logits = ctx.subject.logits(encoded.inputs).double().numpy()
        if not np.isfinite(logits).all():
            raise ArithmeticError("the model's score is not a finite number")
        known = known_cases(ctx)
        rule = Rule(ctx)
        grounds, weight = _grounds(ctx, encoded, logits, known, rule)
        return ConfidenceResult(
            answer=ctx.subject.classes[rule.answer] if ctx.subject.classes else None,
            reference_name=None if known is None else known.source.name,
            reference_rows=0 if known is None else known.total,
            compared=0 if known is None else int(known.usable.sum()),
            unusable=0 if known is None else int((~known.usable).sum()),
            used_in_training=None if known is None else known.source.used_in_training,
            margin=_margin(logits, known, rule),
            outcomes=_outcomes(logits[0], known, rule),
            neighbours=_neighbours(encoded, logits[0], known, rule),
            grounds=grounds,
            weight=weight,
        )

    def claims(self, data: ConfidenceResult, ctx: Context) -> Iterator[Claim]:
        return confidence_claims(data, ctx)

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "seed": ctx.seed,
            "coverage": 1 - maths.MISS,
            "alpha": ALPHA,
            "low": LOW,
            "neighbours": maths.NEIGHBOURS,
            "least_labelled": maths.LEAST_LABELLED,
            "most_rows": MOST_ROWS.get(ctx.subject.kind),
            "most_traced": MOST_TRACED.get(ctx.subject.kind) if ctx.subject.module is not None else MOST_REMOVED,
            "rules": ctx.rules,
        }

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx)


def _margin(logits: Floats, known: Known | None, rule: Rule) -> Margin:
    own = rule.margins(logits)
    if own is None:
        return Margin(state="not supplied", why="No limit was recorded, so the value has no distance from one.")
    value = float(own[0])
    near = abs(1 / (1 + math.exp(-min(value, 700.0))) - 0.5) < NEAR if rule.classes else value == 0
    if known is None:
        return Margin(state="not supplied", why=NO_REFERENCE, value=value, near_zero=near)
    others = rule.margins(known.logits[known.usable])
    assert others is not None
    if len(others) < LEAST_KNOWN:
        return Margin(state="cannot tell", why=_few(len(others)), value=value, near_zero=near, n=len(others))
    below = maths.share_below(others, value)
    state: Any = "deviation" if below <= LOW or near else "ok"
    return Margin(state=state, value=value, near_zero=near, below=below, percentile=100 * below, n=len(others))


def _outcomes(row: Floats, known: Known | None, rule: Rule) -> Outcomes:
    coverage = 1 - maths.MISS
    if known is None:
        return Outcomes(state="not supplied", why=NO_REFERENCE, coverage=coverage)
    if known.labels is None:
        why = "The case does not name where the true outcomes of the reference stand (reference.label)."
        return Outcomes(state="not supplied", why=why, coverage=coverage)
    kept = known.usable & known.labelled
    n = int(kept.sum())
    if rule.target is None:
        bounds = maths.interval(known.logits[kept, 0], known.labels[kept], float(row[0]))
        if bounds is None:
            return Outcomes(state="cannot tell", why=_few(n), coverage=coverage, n=n)
        crosses = None if rule.threshold is None else bool(bounds[0] < rule.threshold <= bounds[1])
        state: Any = "deviation" if crosses else "ok"
        return Outcomes(state=state, coverage=coverage, n=n, low=bounds[0], high=bounds[1], crosses=crosses)
    found = maths.prediction_set(known.logits[kept], known.labels[kept].astype(np.int64), row)
    if found is None:
        return Outcomes(state="cannot tell", why=_few(n), coverage=coverage, n=n)
    members = sorted(found.members, key=lambda k: (-found.p[k], k))
    verdict: Verdict = "empty"
    if members:
        full, only = len(members) == len(rule.classes), members == [rule.answer]
        verdict = "full" if full else "only" if only else "several" if rule.answer in members else "other"
    return Outcomes(
        state="ok" if verdict == "only" else "deviation",
        verdict=verdict,
        coverage=coverage,
        n=n,
        by_class=found.by_class,
        answer_p=found.p[rule.answer],
        open=tuple(Open(name=rule.classes[k], p=found.p[k]) for k in members),
    )


def _neighbours(encoded: Encoded, row: Floats, known: Known | None, rule: Rule) -> Neighbours:
    if known is None:
        return Neighbours(state="not supplied", why=NO_REFERENCE)
    n = int(known.usable.sum())
    if n < LEAST_KNOWN:
        return Neighbours(state="cannot tell", why=_few(n), n=n)
    rows, place, representation = known.space(encoded)
    near = maths.nearest(rows[known.usable], place, maths.NEIGHBOURS)
    there = np.flatnonzero(known.usable)[near.places]
    facts: dict[str, Any] = {
        "n": n,
        "k": len(there),
        "percentile": near.percentile,
        "p": near.p,
        "representation": representation,
    }
    answers, labels = rule.outcomes(known.logits[there]), known.labels
    own, outvoted = rule.own(row), False
    if answers is not None:
        facts["same"] = float((answers == own).mean())
        outvoted = _outvoted(answers, own)
    if labels is not None and known.labelled[there].any():
        truths = labels[there][known.labelled[there]]
        facts["labelled"] = len(truths)
        turned = rule.true_outcomes(truths)
        if turned is not None:
            facts["true"] = float((turned == own).mean())
            outvoted |= _outvoted(turned, own)
        if rule.target is None:
            facts["true_median"] = float(np.median(truths))
    outside = False
    if rule.target is None:
        values = known.logits[there, 0]
        facts |= {"low": float(values.min()), "median": float(np.median(values)), "high": float(values.max())}
        outside = answers is None and not facts["low"] <= row[0] <= facts["high"]
    if near.p <= ALPHA:
        why = "Even the nearest known cases lie unusually far away."
        return Neighbours(state="cannot tell", why=why, far=True, **facts)
    return Neighbours(state="deviation" if outside or outvoted else "ok", **facts)


def _outvoted(found: NDArray[np.int64], own: int) -> bool:
    """Whether another outcome is more frequent than the case's own."""
    counts = np.bincount(found, minlength=own + 1)
    return bool(counts.max() > counts[own])


def _grounds(
    ctx: Context,
    encoded: Encoded,
    logits: Floats,
    known: Known | None,
    rule: Rule,
) -> tuple[Grounds, Weight]:
    """The profile and the total relevance of the case among those of known cases with the same answer."""
    from xagent.relevance import RelevanceError

    own: Profiles | None = None
    try:
        background, name = background_of(ctx, encoded, known.reference if known is not None else None)
        tracing = Tracing(ctx, encoded, rule.target, None if name == ZEROS or encoded.kind == "text" else background)
        chosen = np.zeros(0, dtype=np.int64) if known is None else _same(ctx, known, rule)
        others, centre = None, np.zeros(0)
        if known is not None and len(chosen):
            others, centre = _known_profiles(ctx, tracing, known, chosen, rule)
        if encoded.kind == "text":
            own = tracing.of_texts([encoded], logits, centre if len(centre) else centre_of([encoded]))
        else:
            own = tracing.of_rows(encoded.inputs[encoded.traced], logits)
    except RelevanceError as reason:
        why = f"The inputs of this model cannot be weighed: {reason}"[:300]
        return Grounds(state="cannot tell", why=why, alpha=ALPHA), Weight(state="cannot tell", why=why)
    total, score = float(own.total[0]), float((tracing.weights(logits).numpy() * logits).sum())
    if not math.isfinite(total):
        raise ArithmeticError("the relevance is not a finite number")
    nothing = total <= 1e-9 * max(1.0, abs(score))
    n = 0 if others is None else len(others.total)
    return _judged_grounds(own, others, nothing, n, known), _judged_weight(total, others, nothing, n, known)


def _judged_grounds(own: Profiles, others: Profiles | None, nothing: bool, n: int, known: Known | None) -> Grounds:
    if known is None:
        return Grounds(state="not supplied", why=NO_REFERENCE, alpha=ALPHA)
    if nothing:
        return Grounds(state="cannot tell", why="No input has relevance, so there are no grounds.", alpha=ALPHA, n=n)
    if others is None:
        why = "The model gives this answer in no known case that it was compared with."
        return Grounds(state="cannot tell", why=why, alpha=ALPHA, n=0)
    p, resolution = maths.profile_p(others.shape, own.shape[0], own.norm), 1 / (n + 1)
    if resolution > ALPHA:
        return Grounds(state="cannot tell", why=_few(n), alpha=ALPHA, n=n, p=p, resolution=resolution)
    return Grounds(state="deviation" if p <= ALPHA else "ok", alpha=ALPHA, n=n, p=p, resolution=resolution)


def _judged_weight(total: float, others: Profiles | None, nothing: bool, n: int, known: Known | None) -> Weight:
    if nothing:
        return Weight(state="deviation", total=total, nothing=True, n=n)
    if known is None:
        return Weight(state="not supplied", why=NO_REFERENCE, total=total)
    if others is None or n < LEAST_KNOWN:
        return Weight(state="cannot tell", why=_few(n), total=total, n=n)
    below = maths.share_below(others.total, total)
    rare = maths.upper_p(-others.total, -total) <= LOW
    return Weight(state="deviation" if rare else "ok", total=total, below=below, percentile=100 * below, n=n)


def _same(ctx: Context, known: Known, rule: Rule) -> NDArray[np.int64]:
    """Known cases with the answer of this one, at most as many as are traced, in their order."""
    found = np.flatnonzero(known.usable)
    if rule.classes:
        answers = rule.outcomes(known.logits[known.usable])
        assert answers is not None
        found = found[answers == rule.answer]
    most = MOST_TRACED[ctx.subject.kind] if ctx.subject.module is not None else MOST_REMOVED
    if len(found) <= most:
        return found
    return np.sort(np.random.default_rng(ctx.seed).choice(found, most, replace=False))


def _known_profiles(
    ctx: Context, tracing: Tracing, known: Known, chosen: NDArray[np.int64], rule: Rule
) -> tuple[Profiles, Floats]:
    """Profiles of the chosen known cases, and the mean embedding of their words (empty unless they are texts)."""

    def make() -> dict[str, Any]:
        centre, logits = np.zeros(0), known.logits[chosen]
        if known.reference is None:
            texts = [known.encoded[i] for i in chosen]
            centre = centre_of(texts)
            made = tracing.of_texts(texts, logits, centre)
        else:
            made = tracing.of_rows(known.rows[chosen], logits)
        return {"shape": made.shape, "total": made.total, "norm": np.array(made.norm), "centre": centre}

    key = known.key("profiles", rules=ctx.rules, target=rule.target, answer=rule.answer, threshold=rule.threshold)
    held = remembered(key, ctx.cache, make)
    return Profiles(held["shape"], held["total"], float(held["norm"])), held["centre"]


def _few(n: int) -> str:
    return f"There are too few known cases to compare with ({n})."
