"""Is this input unusual for the population that the model is used on?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from xagent.case import Case
from xagent.evidence import Claim, slug
from xagent.tools import _conformal as conformal
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._columns import Column
from xagent.tools._population import file_hash, label_claims, need_reference, read_input, read_reference

State = Literal["ok", "deviation", "cannot tell"]
Kind = Literal["above the known range", "below the known range", "unknown level", "missing", "rare value"]

ALPHA = 0.01
MINIMUM_ROWS = 50
_CAUSES = 3


class FeatureCheck(Result):
    """One feature of the case against the reference.

    state: `deviation` for a value that the reference never shows, or one rarer than alpha allows; `cannot tell` when
    the reference has no values. kind: in what way. percentile: mid-rank, 0 to 100; minimum, maximum: of the reference
    (both None for levels; dates in days since 1970). tail_p: two-sided, or the share of levels no more frequent.
    share: part of the squared Mahalanobis distance, None without one.
    """

    name: str
    state: State
    kind: Kind | None
    tail_p: float | None
    percentile: float | None = None
    minimum: float | None = None
    maximum: float | None = None
    date: bool = False
    share: float | None = None


class Score(Result):
    """One conformal p-value, before Bonferroni."""

    name: str
    p: float


class DeviationResult(Result):
    """The verdict on the whole row, and what is known of each feature.

    state: `deviation` when p <= alpha; `cannot tell`, with `why`, for a reference too small to say. p: Bonferroni over
    `scores`, never below `resolution`; both None without a verdict. calibration: rows of the reference that were held
    out; fitted: rows that the scores were made on. outside: features whose value the reference never shows. tail: those
    whose tail_p is at most alpha; expected_tail: how many of an ordinary row's would be. causes: features that most of
    the joint distance comes from, when there is a deviation.
    """

    state: State
    why: str | None
    p: float | None
    alpha: float
    resolution: float | None
    scores: tuple[Score, ...]
    calibration: int
    fitted: int
    reference_rows: int
    reference_name: str
    representation: str
    features: tuple[FeatureCheck, ...]
    outside: int
    tail: int
    expected_tail: float
    causes: tuple[str, ...]


class Deviation(Tool[DeviationResult]):
    """Contract, margins and the whole row against the reference population.

    The row's p-value is conformal (Bates et al. 2023): valid for a row exchangeable with the reference, whatever the
    scores. A small one says "unlike the reference", not "wrong"; one row is never tested for drift. Raises
    NotApplicable without a reference, InvalidCase for one without rows or without a feature.
    """

    name: ClassVar[str] = "deviation"
    result: ClassVar[type[Result]] = DeviationResult

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "seed": ctx.seed,
            "alpha": ALPHA,
            "minimum_rows": MINIMUM_ROWS,
            "neighbours": conformal.NEIGHBOURS,
            "method": "conformal p-values of three scores (largest tail of a feature; Mahalanobis with Ledoit-Wolf; "
            "mean distance to nearest neighbours), Bonferroni; numbers as mid-rank normal scores",
            "split": "seeded; half of the rows calibrate, of a small reference as many as alpha needs",
        }

    def modules(self, case: Case) -> tuple[str, ...]:
        used = ("crepes", "pandas.api.types", "scipy.special", "sklearn.covariance", "sklearn.neighbors")
        return used if case.reference else ()

    def inputs(self, ctx: Context) -> dict[str, str]:
        source = ctx.case.reference
        return {"reference": file_hash(ctx, source, "reference")} if source else {}

    def run(self, ctx: Context) -> DeviationResult:
        source = need_reference(ctx)
        reference, shapes, total = read_reference(ctx, vectors=True)
        row = read_input(ctx, shapes)
        joint = conformal.judge(reference, row, ctx.seed, ALPHA) if total >= MINIMUM_ROWS else None
        state, why = _verdict(joint, total)
        shares = _shares(joint)
        checks = tuple(
            _check(known, asked, state, len(row.columns), shares.get(known.name))
            for known, asked in zip(reference.columns, row.columns, strict=True)
        )
        if not checks:
            raise NotApplicable("The case has no features to compare.")
        return DeviationResult(
            state=state,
            why=why,
            p=_rounded(joint.combined) if joint else None,
            alpha=ALPHA,
            resolution=_rounded(joint.resolution) if joint else None,
            scores=tuple(Score(name=n, p=_rounded(p)) for n, p in joint.p.items()) if joint else (),
            calibration=joint.calibration if joint else 0,
            fitted=joint.fitted if joint else 0,
            reference_rows=total,
            reference_name=source.name,
            representation=row.representation,
            features=checks,
            outside=sum(c.kind is not None and c.kind != "rare value" for c in checks),
            tail=sum(c.tail_p is not None and c.tail_p <= ALPHA for c in checks),
            expected_tail=_rounded(ALPHA * len(checks)),
            causes=_causes(checks) if state == "deviation" else (),
        )

    def claims(self, data: DeviationResult, ctx: Context) -> Iterator[Claim]:
        name = data.reference_name

        def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
            more = {"subject": ctx.case.subject, "baseline": name, **more}
            return Claim(id=f"deviation.{key}", kind=kind, value=value, artifact="deviation", pointer=pointer, **more)

        yield claim("state", "category", data.state, "/state")
        yield claim("alpha", "threshold", data.alpha, "/alpha", baseline=None)
        yield claim("calibration.n", "count", data.calibration, "/calibration", subject="population")
        yield claim("reference.n", "count", data.reference_rows, "/reference_rows", subject="population")
        yield claim("features.count", "count", len(data.features), "/features", baseline=None)
        yield claim("outside.count", "count", data.outside, "/outside")
        yield claim("tail.count", "count", data.tail, "/tail")
        yield claim("representation", "text", data.representation, "/representation", baseline=None)
        if data.why is not None:
            yield claim("why", "text", data.why, "/why", baseline=None)
        if data.p is not None:
            yield claim("p", "value", data.p, "/p")
        if data.resolution is not None:
            yield claim("resolution", "value", data.resolution, "/resolution")
        for i, cause in enumerate(data.causes):
            yield claim(f"cause.{i + 1}.name", "text", ctx.card.feature(cause).label, f"/causes/{i}", feature=cause)
        yield from label_claims(ctx, [check.name for check in data.features])
        for i, check in enumerate(data.features):
            if check.state == "ok":
                continue
            key, pointer = f"feature.{slug(check.name)}", f"/features/{i}"
            card = ctx.card.feature(check.name)
            yield claim(f"{key}.state", "category", check.state, f"{pointer}/state", feature=check.name)
            if check.kind is not None:
                yield claim(f"{key}.kind", "category", check.kind, f"{pointer}/kind", feature=check.name)
            if check.percentile is not None:
                yield claim(f"{key}.percentile", "value", check.percentile, f"{pointer}/percentile", feature=check.name)
            for bound in ("minimum", "maximum") if not check.date else ():
                if (value := getattr(check, bound)) is not None:
                    more = {"feature": check.name, "unit": card.unit, "decimals": card.decimals, "scale": "raw"}
                    yield claim(f"{key}.{bound}", "value", value, f"{pointer}/{bound}", **more)


def _verdict(joint: conformal.Joint | None, rows: int) -> tuple[State, str | None]:
    if joint is None:
        return "cannot tell", f"The reference has fewer than {MINIMUM_ROWS} rows."
    if joint.combined <= ALPHA:
        return "deviation", None
    if joint.resolution > ALPHA:
        # However unusual the row, so few calibration rows could not have shown it: silence would not mean "ordinary".
        return "cannot tell", "The reference has too few rows to show a deviation at this level."
    return "ok", None


def _shares(joint: conformal.Joint | None) -> dict[str, float]:
    """Each feature's part of the joint distance, negative parts (values that fit the others) counted as none."""
    positive = {n: max(0.0, c) for n, c in (joint.contributions or {}).items()} if joint else {}
    total = sum(positive.values())
    return {n: _rounded(c / total) for n, c in positive.items()} if total > 0 else {}


def _check(known: Column, asked: Column, verdict: State, features: int, share: float | None) -> FeatureCheck:
    present = known.present
    if len(present) == 0:
        state: State = "ok" if asked.missing[0] else "cannot tell"
        return FeatureCheck(name=known.name, state=state, kind=None, tail_p=None, share=share)
    tail = float(conformal.tails(known, asked)[0][0])
    kind = _kind(known, asked)
    # A value inside the range is rare when it would be among this many features, or when the whole row is unusual.
    if kind is None and tail <= (ALPHA if verdict == "deviation" else ALPHA / features):
        kind = "missing" if asked.missing[0] else "rare value"
    numbers: dict[str, Any] = {}
    if known.numeric:
        ordered = np.sort(present.astype(np.float64))
        numbers = {"minimum": float(ordered[0]), "maximum": float(ordered[-1]), "date": known.kind == "date"}
        if not asked.missing[0]:
            rank = conformal.mid_ranks(ordered, asked.values.astype(np.float64))[0]
            numbers["percentile"] = _rounded(100 * float(rank) / len(ordered))
    state = "ok" if kind is None else "deviation"
    return FeatureCheck(name=known.name, state=state, kind=kind, tail_p=_rounded(tail), share=share, **numbers)


def _kind(known: Column, asked: Column) -> Kind | None:
    """What the reference never shows: a value beyond its range, a level, a missing value."""
    if asked.unreadable:
        return "unknown level"
    if asked.missing[0]:
        return None if known.missing.any() else "missing"
    value = asked.values[0]
    if not known.numeric:
        return None if value in set(known.present.tolist()) else "unknown level"
    present = known.present.astype(np.float64)
    if value > present.max():
        return "above the known range"
    return "below the known range" if value < present.min() else None


def _causes(checks: tuple[FeatureCheck, ...]) -> tuple[str, ...]:
    """Flagged features first, rarest first; then those that make up most of the joint distance."""
    flagged = sorted(
        (c for c in checks if c.state == "deviation"), key=lambda c: (c.kind == "rare value", c.tail_p or 0)
    )
    joint = sorted((c for c in checks if c.state == "ok" and c.share), key=lambda c: (-(c.share or 0), c.name))
    names = [c.name for c in flagged]
    return tuple(names or [c.name for c in joint[:_CAUSES]])


def _rounded(number: float) -> float:
    """Twelve significant digits: beyond them processors differ."""
    return float(f"{number:.12g}")
