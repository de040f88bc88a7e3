"""Had the population drifted around the time of this prediction?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

import numpy as np

from xagent.case import Case
from xagent.evidence import Claim, slug
from xagent.tools import _stats as stats
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._columns import Column
from xagent.tools._population import file_hash, label_claims, need_reference, read_window, reference_columns

State = Literal["ok", "deviation", "cannot tell"]

LEVEL = 0.05


class DriftTest(Result):
    """One test. effect: 0 to 1; floor: the effect below which nothing is flagged; p: Benjamini-Hochberg adjusted."""

    kind: stats.TestKind
    method: str
    effect: float
    floor: float
    p_raw: float
    p: float
    flagged: bool


class FeatureDrift(Result):
    """One feature, window against reference.

    state: `cannot tell`, with `why`, where too few values are present. n: present values; missing: shares; unreadable:
    values of the window that are no number and count as missing. new_levels: levels the reference never shows (at most
    twenty), new_share: their share. shift: median less median. wasserstein: in standard deviations of the reference.
    psi, psi_null: index on the reference's deciles and its 95 % point without drift, where there are 200 values.
    """

    name: str
    state: State
    why: str | None
    kind: Literal["numeric", "date", "categorical"]
    n: int
    reference_n: int
    missing: float | None
    reference_missing: float
    unreadable: int
    new_levels: tuple[str, ...]
    new_share: float | None
    tests: tuple[DriftTest, ...]
    shift: float | None
    wasserstein: float | None
    psi: float | None
    psi_null: float | None


class DriftResult(Result):
    """The window against the reference.

    detectable: shift in standard deviations that it could have shown, or None. floor: effect below which no
    distribution is flagged.
    """

    state: State
    why: str | None
    n: int
    reference_n: int
    reference_name: str
    window_name: str
    start: str | None
    end: str | None
    representation: str
    features: tuple[FeatureDrift, ...]
    drifted: int
    detectable: float | None
    floor: float
    assumptions: tuple[str, ...]


class Drift(Tool[DriftResult]):
    """Missing values, new levels and distributions of the recent window against the reference.

    A feature has drifted when a test is significant after Benjamini-Hochberg over all tests and its effect reaches the
    floor. Below 30 rows nothing is tested. Raises NotApplicable without reference or window, InvalidCase for a file
    without a feature.
    """

    name: ClassVar[str] = "drift"
    result: ClassVar[type[Result]] = DriftResult

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "level": LEVEL,
            "minimum_rows": stats.MINIMUM_ROWS,
            "effect_floor": stats.EFFECT_FLOOR,
            "missing_floor": stats.MISSING_FLOOR,
            "new_level_floor": stats.NEW_FLOOR,
            "psi_bands": stats.PSI_BANDS,
            "method": "Kolmogorov-Smirnov, chi-squared, two-proportion and binomial tests; Benjamini-Hochberg",
        }

    def modules(self, case: Case) -> tuple[str, ...]:
        return ("pandas.api.types", "scipy.special", "scipy.stats") if case.reference and case.window else ()

    def inputs(self, ctx: Context) -> dict[str, str]:
        case = ctx.case
        found = {"reference": file_hash(ctx, case.reference, "reference")} if case.reference else {}
        return found | ({"window": file_hash(ctx, case.window, "window")} if case.window else {})

    def run(self, ctx: Context) -> DriftResult:
        source, recent = need_reference(ctx), ctx.case.window
        if recent is None:
            raise NotApplicable("The case names no recent window.")
        reference, shapes, _ = reference_columns(ctx)
        window, _ = read_window(ctx, shapes)
        few = next(
            (n for n, rows in (("window", window), ("reference", reference)) if rows.n < stats.MINIMUM_ROWS), None
        )
        pairs = list(zip(reference.columns, window.columns, strict=True))
        tests = [_tests(before, after) if few is None else [] for before, after in pairs]
        p = stats.adjusted([test.p for group in tests for test in group])
        features = []
        for (before, after), group in zip(pairs, tests, strict=True):
            own, p = p[: len(group)], p[len(group) :]
            features.append(_feature(before, after, [_judged(t, q) for t, q in zip(group, own, strict=True)], few))
        drifted = sum(f.state == "deviation" for f in features)
        untold = all(f.state == "cannot tell" for f in features)
        why = f"The {few} has fewer than {stats.MINIMUM_ROWS} rows." if few else None
        return DriftResult(
            state="deviation" if drifted else "cannot tell" if untold else "ok",
            why=why or ("No feature has enough values." if untold else None),
            n=window.n,
            reference_n=reference.n,
            reference_name=source.name,
            window_name=recent.name,
            start=recent.start.isoformat() if recent.start else None,
            end=recent.end.isoformat() if recent.end else None,
            representation=window.representation,
            features=tuple(features),
            drifted=drifted,
            detectable=None if few else _rounded(stats.detectable_shift(reference.n, window.n, sum(map(len, tests)))),
            floor=stats.EFFECT_FLOOR,
            assumptions=(
                "Rows are independent; neighbouring ones that resemble each other make drift look more certain.",
                "Times of day, weekdays and seasons are not matched between window and reference.",
                "Inputs are compared, not outcomes: drift is not a loss of accuracy.",
            ),
        )

    def claims(self, data: DriftResult, ctx: Context) -> Iterator[Claim]:
        def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
            more = {"subject": "population", **more}
            return Claim(id=f"drift.{key}", kind=kind, value=value, artifact="drift", pointer=pointer, **more)

        base = data.reference_name
        yield claim("state", "category", data.state, "/state", baseline=base)
        yield claim("window.n", "count", data.n, "/n")
        yield claim("reference.n", "count", data.reference_n, "/reference_n")
        yield claim("features.count", "count", len(data.features), "/features")
        yield claim("drifted.count", "count", data.drifted, "/drifted")
        yield claim("floor", "threshold", data.floor, "/floor")
        yield claim("representation", "text", data.representation, "/representation")
        if data.why is not None:
            yield claim("why", "text", data.why, "/why")
        if data.detectable is not None:
            yield claim("detectable", "value", data.detectable, "/detectable")
        yield from label_claims(ctx, [feature.name for feature in data.features])
        for i, feature in enumerate(data.features):
            if feature.state != "deviation":
                continue
            key, pointer, card = f"feature.{slug(feature.name)}", f"/features/{i}", ctx.card.feature(feature.name)
            more: dict[str, Any] = {"feature": feature.name, "baseline": base}
            strongest = max(
                (j for j, test in enumerate(feature.tests) if test.flagged), key=lambda j: feature.tests[j].effect
            )
            test, place = feature.tests[strongest], f"{pointer}/tests/{strongest}"
            yield claim(f"{key}.state", "category", feature.state, f"{pointer}/state", **more)
            yield claim(f"{key}.kind", "category", test.kind, f"{place}/kind", **more)
            yield claim(f"{key}.effect", "drift", test.effect, f"{place}/effect", **more)
            yield claim(f"{key}.p", "value", test.p, f"{place}/p", **more)
            if feature.shift is not None:
                yield claim(
                    f"{key}.shift",
                    "value",
                    feature.shift,
                    f"{pointer}/shift",
                    unit="days" if feature.kind == "date" else card.unit,
                    decimals=card.decimals,
                    scale="raw",
                    sign=int(np.sign(feature.shift)),
                    **more,
                )


def _tests(before: Column, after: Column) -> list[stats.Test]:
    """Every test that the numbers of rows allow; missing values only where there are any."""
    gone, lost = int(before.missing.sum()), int(after.missing.sum())
    found = []
    if gone or lost:
        found.append(stats.test_missing((gone, len(before.values)), (lost, len(after.values))))
    if min(len(before.present), len(after.present)) < stats.MINIMUM_ROWS:
        return found
    if before.numeric:
        return [*found, stats.test_numbers(before.ordered, after.ordered)]
    known, recent = before.counts, after.counts
    return [*found, stats.test_levels(known, recent), stats.test_new_levels(known, recent)]


def _judged(test: stats.Test, p: float) -> DriftTest:
    return DriftTest(
        kind=test.kind,
        method=test.method,
        effect=_rounded(test.effect),
        floor=test.floor,
        p_raw=_rounded(test.p),
        p=_rounded(p),
        flagged=p <= LEVEL and test.effect >= test.floor,
    )


def _feature(before: Column, after: Column, tests: list[DriftTest], few: str | None) -> FeatureDrift:
    n, m = len(before.values), len(after.values)
    untested = not any(test.kind == "distribution" for test in tests)
    flagged = any(test.flagged for test in tests)
    why = None
    if untested and not flagged:
        why = f"The {few} is too small." if few else f"Fewer than {stats.MINIMUM_ROWS} values are present on a side."
    new: list[str] = []
    numbers: dict[str, float | None] = {"shift": None, "wasserstein": None, "psi": None, "psi_null": None}
    if not before.numeric:
        known = set(before.present.tolist())
        new = [level for level in after.present.tolist() if level not in known]
    elif not untested:
        old, recent = before.ordered, after.ordered
        numbers["shift"] = _rounded(float(np.median(recent) - np.median(old)))
        numbers["wasserstein"] = _rounded(stats.wasserstein(old, recent))
        if (index := stats.stability_index(old, recent)) is not None:
            numbers["psi"], numbers["psi_null"] = _rounded(index[0]), _rounded(index[1])
    present = len(after.present)
    return FeatureDrift(
        name=before.name,
        state="deviation" if flagged else "cannot tell" if untested else "ok",
        why=why,
        kind=before.kind,
        n=present,
        reference_n=len(before.present),
        missing=_rounded((m - present) / m) if m else None,
        reference_missing=_rounded(1 - len(before.present) / n),
        unreadable=len(after.unreadable),
        new_levels=tuple(sorted(set(new))[:20]),
        new_share=_rounded(len(new) / present) if present and not before.numeric else None,
        tests=tuple(tests),
        **numbers,
    )


def _floats(column: Column) -> stats.Floats:
    return np.asarray(column.present, dtype=np.float64)


def _rounded(number: Any) -> Any:
    """Twelve significant digits: beyond them processors differ. None for None and for what overflowed."""
    return None if number is None or not np.isfinite(number) else float(f"{number:.12g}")
