"""One feature of the window against the reference: its tests, and what is told of it."""

from __future__ import annotations

from typing import Any

import numpy as np

from xagent.tools import _stats as stats
from xagent.tools._columns import Column
from xagent.tools._drift_joint import AUC_FLOOR, Separated
from xagent.tools._drift_result import DriftTest, FeatureDrift, Onset, State

LEVEL = 0.05
EMBEDDING = "embedding of the model"


def tests_of(before: Column, after: Column) -> list[stats.Test]:
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


def test_embedding(found: Separated) -> stats.Test:
    """Effect: 2 AUC - 1, which for one number is about D."""
    effect, floor = max(0.0, 2 * found.auc - 1), 2 * AUC_FLOOR - 1
    return stats.Test("distribution", "domain classifier, 2 AUC - 1", effect, found.p, floor)


def judged(test: stats.Test, p: float) -> DriftTest:
    return DriftTest(
        kind=test.kind,
        method=test.method,
        effect=rounded(test.effect),
        floor=rounded(test.floor),
        p_raw=rounded(test.p),
        p=rounded(p),
        flagged=p <= LEVEL and test.effect >= test.floor,
    )


def feature_of(
    before: Column, after: Column, tests: list[DriftTest], few: str | None, onset: Onset | None
) -> FeatureDrift:
    n, m = len(before.values), len(after.values)
    untested = not any(test.kind == "distribution" for test in tests)
    flagged = any(test.flagged for test in tests)
    why = None
    if untested and not flagged:
        why = f"The {few} is too small." if few else f"Fewer than {stats.MINIMUM_ROWS} values are present on a side."
    new: list[str] = []
    numbers: dict[str, Any] = {"shift": None, "wasserstein": None, "psi": None, "psi_null": None, "psi_band": None}
    if not before.numeric:
        new = [level for level in after.counts if level not in before.counts]
    elif not untested:
        old, recent = before.ordered, after.ordered
        numbers["shift"] = rounded(_median(recent) - _median(old))
        numbers["wasserstein"] = rounded(stats.wasserstein(old, recent))
        if (index := stats.stability_index(old, recent)) is not None:
            numbers["psi"], numbers["psi_null"] = rounded(index[0]), rounded(index[1])
            numbers["psi_band"] = stats.stability_band(index[0], min(len(old), len(recent)))
    present = len(after.present)
    state: State = "deviation" if flagged else "cannot tell" if untested else "ok"
    return FeatureDrift(
        name=before.name,
        state=state,
        why=why,
        kind=before.kind,
        n=present,
        reference_n=len(before.present),
        missing=rounded((m - present) / m) if m else None,
        reference_missing=rounded(1 - len(before.present) / n),
        unreadable=len(after.unreadable),
        new_levels=tuple(sorted(new)[:20]),
        new_share=rounded(sum(after.counts[v] for v in new) / present) if present and not before.numeric else None,
        tests=tuple(tests),
        onset=onset,
        **numbers,
    )


def embedding_feature(test: DriftTest | None, n: int, m: int) -> FeatureDrift:
    """The embedding as one more feature. n, m: rows of reference and window that were compared."""
    why = None if test else f"Fewer than {stats.MINIMUM_ROWS} values are present on a side."
    return FeatureDrift(
        name=EMBEDDING,
        state="cannot tell" if test is None else "deviation" if test.flagged else "ok",
        why=why,
        kind="embedding",
        n=m,
        reference_n=n,
        missing=None,
        reference_missing=0.0,
        unreadable=0,
        new_levels=(),
        new_share=None,
        tests=(test,) if test else (),
        shift=None,
        wasserstein=None,
        psi=None,
        psi_null=None,
        psi_band=None,
        onset=None,
    )


def _median(ordered: stats.Floats) -> float:
    half = len(ordered) // 2
    return float(ordered[half]) if len(ordered) % 2 else float(ordered[half - 1] / 2 + ordered[half] / 2)


def rounded(number: Any) -> Any:
    """Twelve significant digits: beyond them processors differ. None for None and for what overflowed."""
    return None if number is None or not np.isfinite(number) else float(f"{number:.12g}")
