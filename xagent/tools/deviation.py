"""Is this input unusual for the population that the model is used on?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from xagent.case import Case, TabularInput
from xagent.evidence import Claim
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._columns import Column
from xagent.tools._conformal import Marginal
from xagent.tools._deviation_claims import deviation_claims
from xagent.tools._deviation_contract import Breach, breach_of, stated_limits
from xagent.tools._deviation_profile import Joint, Profile, profile_of
from xagent.tools._deviation_result import DeviationResult, FeatureCheck, Kind, Score, State
from xagent.tools._deviation_scores import NEIGHBOURS
from xagent.tools._line import Line, LineState, Source, sources_of
from xagent.tools._population import file_hash, need_reference, read_input

ALPHA = 0.01
MINIMUM_ROWS = 50
_CAUSES = 3
_CONTRACT = "type, range and levels as the system card states them"
_NO_REFERENCE = "The case names no reference population."


class Deviation(Tool[DeviationResult]):
    """Contract, margins and the whole row against the reference population.

    The row's p-value is conformal (Bates et al. 2023): valid for a row exchangeable with the reference, whatever the
    scores. A small one says "unlike the reference", not "wrong"; one row is never tested for drift. Without a reference
    only a value that the system card does not allow is told. Raises NotApplicable when there is nothing to tell,
    InvalidCase for a reference without rows or without a feature.
    """

    name: ClassVar[str] = "deviation"
    version: ClassVar[str] = "2"
    result: ClassVar[type[Result]] = DeviationResult

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "seed": ctx.seed,
            "alpha": ALPHA,
            "minimum_rows": MINIMUM_ROWS,
            "neighbours": NEIGHBOURS,
            "method": "conformal p-values of three scores (largest tail of a feature; Mahalanobis with Ledoit-Wolf; "
            "mean distance to nearest neighbours), Bonferroni; numbers as mid-rank normal scores, texts and images by "
            "all dimensions of the model's embedding",
            "split": "seeded; half of the rows calibrate, of a small reference as many as alpha needs",
        }

    def modules(self, case: Case) -> tuple[str, ...]:
        used = ("crepes", "pandas.api.types", "scipy.special", "sklearn.covariance", "sklearn.neighbors")
        return used if case.reference else ()

    def inputs(self, ctx: Context) -> dict[str, str]:
        source = ctx.case.reference
        return {"reference": file_hash(ctx, source, "reference")} if source else {}

    def run(self, ctx: Context) -> DeviationResult:
        given = ctx.case.input
        breaches: dict[str, Breach] = {}
        if isinstance(given, TabularInput):
            found = {name: breach_of(ctx.card.features.get(name), value) for name, value in given.values.items()}
            breaches = {name: breach for name, breach in found.items() if breach is not None}
        if ctx.case.reference is None and breaches:
            return _without_reference(ctx, breaches)
        source = need_reference(ctx)
        profile = profile_of(ctx, ALPHA, MINIMUM_ROWS)
        row = read_input(ctx, profile.shapes, profile.embedding)
        joint = profile.judge(row)
        state, why = _verdict(joint, len(breaches))
        shares = _shares(joint)
        checks = tuple(
            _check(known, asked, state, len(row.columns), shares.get(known.name), breaches.get(known.name))
            for known, asked in zip(profile.marginals, row.columns, strict=True)
        )
        if not checks:
            raise NotApplicable("The case has no features to compare.")
        outside = sum(c.kind not in (None, "rare value", c.breach) for c in checks)
        result = DeviationResult(
            state=state,
            why=why,
            p=_rounded(joint.combined) if joint else None,
            alpha=ALPHA,
            resolution=_rounded(joint.resolution) if joint else None,
            scores=tuple(Score(name=n, p=_rounded(p)) for n, p in joint.p.items()) if joint else (),
            calibration=joint.calibration if joint else 0,
            fitted=joint.fitted if joint else 0,
            reference_rows=profile.total,
            reference_name=source.name,
            representation=profile.representation,
            features=checks,
            breaches=len(breaches),
            outside=outside,
            tail=sum(c.tail_p is not None and c.tail_p <= ALPHA for c in checks),
            expected_tail=_rounded(ALPHA * len(checks)),
            causes=_causes(checks) if state == "deviation" else (),
            lines=(),
        )
        return result.model_copy(update={"lines": tuple(_lines(ctx, result, profile))})

    def claims(self, data: DeviationResult, ctx: Context) -> Iterator[Claim]:
        return deviation_claims(data, ctx)


def _without_reference(ctx: Context, breaches: dict[str, Breach]) -> DeviationResult:
    assert isinstance(ctx.case.input, TabularInput)
    checks = tuple(
        FeatureCheck(name=n, state="deviation" if n in breaches else "ok", kind=b, breach=b, tail_p=None)
        for n, b in ((n, breaches.get(n)) for n in ctx.case.input.values)
    )
    why = "The input breaks what the system card states; there is no reference to compare it with."
    result = DeviationResult(
        state="deviation",
        why=why,
        p=None,
        alpha=ALPHA,
        resolution=None,
        scores=(),
        calibration=0,
        fitted=0,
        reference_rows=0,
        reference_name=None,
        representation="the values of the features",
        features=checks,
        breaches=len(breaches),
        outside=0,
        tail=0,
        expected_tail=_rounded(ALPHA * len(checks)),
        causes=_causes(checks),
        lines=(),
    )
    return result.model_copy(update={"lines": tuple(_lines(ctx, result, None))})


def _verdict(joint: Joint | None, breaches: int) -> tuple[State, str | None]:
    if joint is not None and joint.combined <= ALPHA:
        return "deviation", None
    if breaches:
        return "deviation", "The input breaks what the system card states."
    if joint is None:
        return "cannot tell", f"The reference has fewer than {MINIMUM_ROWS} rows."
    if joint.resolution > ALPHA:
        # However unusual the row, so few calibration rows could not have shown it: silence would not mean "ordinary".
        return "cannot tell", "The reference has too few rows to show a deviation at this level."
    return "ok", None


def _lines(ctx: Context, data: DeviationResult, profile: Profile | None) -> Iterator[Line]:
    """Every check by itself, with what it rests on."""
    own = sources_of(ctx, "reference")
    given = ctx.case.input
    stated = stated_limits(ctx.card, given) if isinstance(given, TabularInput) else 0
    yield Line(
        check="contract",
        state="deviation" if data.breaches else "ok" if stated else "not supplied",
        why=None if stated else "The system card states no type, range or level of an input.",
        value=float(data.breaches),
        n=stated,
        threshold=1.0,
        method=_CONTRACT,
    )
    if profile is None:
        for check in ("known range and levels", "tails", "whole row"):
            yield Line(check=check, state="not supplied", why=_NO_REFERENCE, method="comparison with the reference")
        return
    untold = all(c.state == "cannot tell" for c in data.features)
    yield Line(
        check="known range and levels",
        state="deviation" if data.outside else "cannot tell" if untold else "ok",
        why="The reference holds no values." if untold else None,
        value=float(data.outside),
        n=data.reference_rows,
        threshold=1.0,
        method="smallest and largest value, levels and missing values of the whole reference",
        sources=own,
    )
    rare = any(c.kind == "rare value" for c in data.features)
    enough = data.reference_rows + 1 >= len(data.features) / ALPHA
    yield Line(
        check="tails",
        state="deviation" if rare else "ok" if enough else "cannot tell",
        why=None if rare or enough else "The reference has too few rows for a tail that is rare among so many inputs.",
        value=float(data.tail),
        n=data.reference_rows,
        threshold=_rounded(ALPHA / len(data.features)),
        method="two-sided mid-rank tail of each number, mass of the levels no more frequent; Bonferroni over features",
        resolution=_rounded(1 / (data.reference_rows + 1)),
        sources=own,
    )
    for score in data.scores:
        yield _score_line(data, score, own)
    state: LineState = "cannot tell" if data.p is None else "deviation" if data.p <= ALPHA else "ok"
    if state == "ok" and data.resolution is not None and data.resolution > ALPHA:
        state = "cannot tell"
    yield Line(
        check="whole row",
        state=state,
        why=data.why if state == "cannot tell" else None,
        value=data.p,
        n=data.calibration,
        threshold=ALPHA,
        method="Bonferroni over the scores",
        resolution=data.resolution,
        sources=own,
    )


def _score_line(data: DeviationResult, score: Score, own: tuple[Source, ...]) -> Line:
    level, resolution = ALPHA / len(data.scores), 1 / (data.calibration + 1)
    told = resolution <= level * (1 + 1e-9)
    return Line(
        check=score.name,
        state="deviation" if score.p <= level * (1 + 1e-9) else "ok" if told else "cannot tell",
        why=None if told else "Too few rows are held out to show a deviation at this level.",
        value=score.p,
        n=data.calibration,
        threshold=_rounded(level),
        method="conformal p-value against rows that were held out",
        resolution=_rounded(resolution),
        sources=own,
    )


def _shares(joint: Joint | None) -> dict[str, float]:
    """Each feature's part of the joint distance, negative parts (values that fit the others) counted as none."""
    positive = {n: max(0.0, c) for n, c in joint.contributions.items()} if joint else {}
    total = sum(positive.values())
    return {n: _rounded(c / total) for n, c in positive.items()} if total > 0 else {}


def _check(
    known: Marginal, asked: Column, verdict: State, features: int, share: float | None, breach: Breach | None
) -> FeatureCheck:
    kind: Kind | None = breach
    if known.present == 0:
        state: State = "deviation" if breach else "ok" if asked.missing[0] else "cannot tell"
        return FeatureCheck(name=known.name, state=state, kind=kind, breach=breach, tail_p=None, share=share)
    tail = float(known.tails(asked)[0][0])
    kind = _kind(known, asked) or breach
    # A value inside the range is rare when it would be among this many features, or when the whole row is unusual.
    if kind is None and tail <= (ALPHA if verdict == "deviation" else ALPHA / features):
        kind = "missing" if asked.missing[0] else "rare value"
    numbers: dict[str, Any] = {}
    if known.numeric:
        least, most = float(known.ordered[0]), float(known.ordered[-1])
        numbers = {"minimum": least, "maximum": most, "date": known.kind == "date"}
        if not asked.missing[0]:
            rank = float(known.ranks(asked.values.astype(float))[0])
            numbers["percentile"] = _rounded(100 * rank / known.present)
    state = "ok" if kind is None else "deviation"
    return FeatureCheck(
        name=known.name, state=state, kind=kind, breach=breach, tail_p=_rounded(tail), share=share, **numbers
    )


def _kind(known: Marginal, asked: Column) -> Kind | None:
    """What the reference never shows: a value beyond its range, a level, a missing value."""
    if asked.unreadable:
        return "unknown level"
    if asked.missing[0]:
        return None if known.gone else "missing"
    value = asked.values[0]
    if not known.numeric:
        return None if value in known.frequency else "unknown level"
    if value > known.ordered[-1]:
        return "above the known range"
    return "below the known range" if value < known.ordered[0] else None


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
