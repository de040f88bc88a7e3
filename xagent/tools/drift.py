"""Had the population drifted around the time of this prediction?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np
from numpy.typing import NDArray

from xagent.case import Case, TabularInput
from xagent.evidence import Claim
from xagent.tools import _drift_joint as joints
from xagent.tools import _stats as stats
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._columns import Column
from xagent.tools._drift_claims import drift_claims
from xagent.tools._drift_features import (
    EMBEDDING,
    LEVEL,
    embedding_feature,
    feature_of,
    judged,
    rounded,
    test_embedding,
    tests_of,
)
from xagent.tools._drift_lines import lines_of
from xagent.tools._drift_onset import onset_of, sub_windows
from xagent.tools._drift_performance import expected_performance
from xagent.tools._drift_result import DriftResult, FeatureDrift, Separability
from xagent.tools._population import (
    Rows,
    file_hash,
    need_reference,
    read_window,
    reference_columns,
    sample_vectors,
    times_of,
)

__all__ = ["LEVEL", "Drift", "DriftResult"]

EMBEDDED_PERMUTATIONS = 499
"""More than for a table: the p-value of an embedding is adjusted like that of any feature."""
_ASSUMPTIONS = (
    "Rows are independent; neighbouring ones that resemble each other make drift look more certain.",
    "Times of day, weekdays and seasons are not matched between window and reference.",
    "Inputs are compared, not outcomes: drift is not a loss of accuracy.",
)


class Drift(Tool[DriftResult]):
    """Missing values, new levels and distributions of the recent window against the reference; when a change began; how
    many right answers the model's confidence leads one to expect; on request, whether a classifier can tell two tables
    apart, which takes longer than all the rest.

    A feature has drifted when a test is significant after Benjamini-Hochberg over all tests and its effect reaches the
    floor; the embedding of texts and images is one more feature. Below 30 rows nothing is tested. Raises NotApplicable
    without reference or window, InvalidCase for a file without a feature.
    """

    name: ClassVar[str] = "drift"
    version: ClassVar[str] = "2"
    result: ClassVar[type[Result]] = DriftResult

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "seed": ctx.seed,
            "level": LEVEL,
            "minimum_rows": stats.MINIMUM_ROWS,
            "effect_floor": stats.EFFECT_FLOOR,
            "missing_floor": stats.MISSING_FLOOR,
            "new_level_floor": stats.NEW_FLOOR,
            "psi_bands": [list(band) for band in stats.PSI_BANDS],
            "auc_floor": joints.AUC_FLOOR,
            "permutations": joints.PERMUTATIONS if isinstance(ctx.case.input, TabularInput) else EMBEDDED_PERMUTATIONS,
            "joint_rows": joints.MOST_ROWS,
            "classifier": _classified(ctx),
            "method": "Kolmogorov-Smirnov, chi-squared, two-proportion and binomial tests; Benjamini-Hochberg; ridge "
            "domain classifier with permutations; confidence-based estimation of right answers",
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
        reference, shapes, known_raw = reference_columns(ctx)
        window, raw = read_window(ctx, shapes)
        few = next(
            (n for n, rows in (("window", window), ("reference", reference)) if rows.n < stats.MINIMUM_ROWS), None
        )
        classified = few is None and _classified(ctx)
        joint, words = _separated(ctx, reference, window, known_raw, raw) if classified else (None, None)
        embedded = not isinstance(ctx.case.input, TabularInput)
        features, tests = _features(reference, window, few, joint if embedded else None, embedded)
        times = times_of(raw, shapes)
        order = np.arange(window.n) if times is None else np.argsort(times.to_numpy(), kind="stable")
        stamps = None if times is None else [t.isoformat() for t in times.iloc[order]]
        features = [_dated(f, b, a, order, stamps) for f, b, a in _paired(features, reference, window)]
        drifted = sum(f.state == "deviation" for f in features)
        untold = all(f.state == "cannot tell" for f in features)
        why = f"The {few} has fewer than {stats.MINIMUM_ROWS} rows." if few else None
        shift = None if few else stats.detectable_shift(reference.n, window.n, tests)
        data = DriftResult(
            state="deviation" if drifted else "cannot tell" if untold else "ok",
            why=why or ("No feature has enough values." if untold else None),
            n=window.n,
            reference_n=reference.n,
            reference_name=source.name,
            window_name=recent.name,
            start=recent.start.isoformat() if recent.start else None,
            end=recent.end.isoformat() if recent.end else None,
            representation=window.representation if words is None else f"{window.representation}, and {words}",
            features=tuple(features),
            drifted=drifted,
            detectable=rounded(shift),
            floor=stats.EFFECT_FLOOR,
            joint=_separability(joint, words or window.representation) if joint else None,
            performance=expected_performance(ctx, raw),
            ordered_by="the file" if times is None else f"the column “{times.name}”",
            sub_windows=sub_windows(window.n),
            assumptions=_ASSUMPTIONS,
            lines=(),
        )
        return data.model_copy(update={"lines": tuple(lines_of(ctx, data))})

    def claims(self, data: DriftResult, ctx: Context) -> Iterator[Claim]:
        return drift_claims(data, ctx)


def _classified(ctx: Context) -> bool:
    """Texts and images have no other test of their embedding, so there it needs no asking."""
    return ctx.classifier or not isinstance(ctx.case.input, TabularInput)


def _features(
    reference: Rows, window: Rows, few: str | None, joint: joints.Separated | None, embedded: bool
) -> tuple[list[FeatureDrift], int]:
    """Every feature, p-values adjusted over all tests together, and how many tests there were."""
    pairs = list(zip(reference.columns, window.columns, strict=True))
    groups = [tests_of(before, after) if few is None else [] for before, after in pairs]
    if joint is not None:
        groups.append([test_embedding(joint)])
    p = iter(stats.adjusted([test.p for group in groups for test in group]))
    told = [[judged(test, next(p)) for test in group] for group in groups]
    features = [feature_of(*pair, tests, few, None) for pair, tests in zip(pairs, told, strict=False)]
    if embedded:
        n = joint.n // 2 if joint else 0
        features.append(embedding_feature(told[-1][0] if joint else None, n, n))
    return features, sum(map(len, groups))


def _separated(
    ctx: Context, reference: Rows, window: Rows, known_raw: Any, raw: Any
) -> tuple[joints.Separated, str | None]:
    """Of tables by their normal scores; of texts and images by their vectors, which are named."""
    if isinstance(ctx.case.input, TabularInput):
        sides = joints.table_vectors(reference.columns, window.columns, ctx.seed)
        return joints.separated(*sides, ctx.seed, squares=True), None
    known = sample_vectors(ctx, known_raw, joints.MOST_ROWS, "reference", None)
    recent = sample_vectors(ctx, raw, joints.MOST_ROWS, "window", known[1])
    found = joints.separated(known[0], recent[0], ctx.seed, squares=False, permutations=EMBEDDED_PERMUTATIONS)
    return found, known[1]


def _separability(found: joints.Separated, representation: str) -> Separability:
    return Separability(
        auc=rounded(found.auc),
        chance=rounded(found.chance),
        p=rounded(found.p),
        resolution=rounded(found.resolution),
        n=found.n,
        representation=representation,
    )


def _paired(
    features: list[FeatureDrift], reference: Rows, window: Rows
) -> Iterator[tuple[FeatureDrift, Column | None, Column | None]]:
    """Each feature with its columns; the embedding has none."""
    for i, feature in enumerate(features):
        own = feature.name != EMBEDDING or i < len(reference.columns)
        yield feature, reference.columns[i] if own else None, window.columns[i] if own else None


def _dated(
    feature: FeatureDrift,
    before: Column | None,
    after: Column | None,
    order: NDArray[np.int64],
    stamps: list[str] | None,
) -> FeatureDrift:
    """A drifted feature with its onset."""
    if feature.state != "deviation" or before is None or after is None or not len(before.present):
        return feature
    return feature.model_copy(update={"onset": onset_of(before, after, order, stamps)})
