"""Every check of the drift tool as a line of its own."""

from __future__ import annotations

from collections.abc import Iterator

from xagent.tools import _stats as stats
from xagent.tools._base import Context
from xagent.tools._drift_features import LEVEL
from xagent.tools._drift_joint import ALPHA, AUC_FLOOR
from xagent.tools._drift_performance import FLOOR, LEAST_KNOWN
from xagent.tools._drift_result import DriftResult
from xagent.tools._line import Line, LineState, sources_of

_METHODS: dict[stats.TestKind, tuple[float, str]] = {
    "missing values": (stats.MISSING_FLOOR, "two-proportion or Fisher's test"),
    "new levels": (stats.NEW_FLOOR, "binomial test against the chance of a new level after Good and Turing"),
    "distribution": (stats.EFFECT_FLOOR, "Kolmogorov-Smirnov D; total variation with a chi-squared test"),
}


def lines_of(ctx: Context, data: DriftResult) -> Iterator[Line]:
    both = sources_of(ctx, "reference", "window")
    few = min(data.n, data.reference_n) < stats.MINIMUM_ROWS
    yield Line(
        check="window",
        state="cannot tell" if few else "ok",
        why=data.why if few else None,
        value=float(data.n),
        n=data.n,
        threshold=float(stats.MINIMUM_ROWS),
        method="rows of the window; fewer are not tested",
        sources=both,
    )
    for kind, (floor, method) in _METHODS.items():
        tests = [(f, t) for f in data.features for t in f.tests if t.kind == kind]
        hit = any(t.flagged for _, t in tests)
        state: LineState = "deviation" if hit else "ok" if tests or not few else "cannot tell"
        if kind == "distribution" and not tests:
            state = "cannot tell"
        yield Line(
            check=kind,
            state=state,
            why=(data.why or "No feature has enough values.") if state == "cannot tell" else None,
            value=max((t.effect for _, t in tests), default=None),
            n=min((f.n for f, _ in tests), default=0),
            threshold=floor,
            method=f"{method}; adjusted p at most {LEVEL} after Benjamini and Hochberg, effect at least the threshold",
            resolution=data.detectable if kind == "distribution" else None,
            sources=both,
        )
    joint = data.joint
    unasked = joint is None and data.why is None
    seen = joint is not None and joint.p <= ALPHA and joint.auc >= AUC_FLOOR
    yield Line(
        check="all inputs together",
        state="not supplied" if unasked else "cannot tell" if joint is None else "deviation" if seen else "ok",
        why="It is made on request, by the setting drift.classifier." if unasked else data.why if not joint else None,
        value=joint.auc if joint else None,
        n=joint.n if joint else 0,
        threshold=AUC_FLOOR,
        method=f"area under the curve of a domain classifier, permutation p at most {ALPHA}",
        resolution=joint.resolution if joint else None,
        sources=both,
    )
    told = data.performance
    yield Line(
        check="expected performance",
        state=told.state,
        why=told.why,
        value=told.change,
        n=told.n,
        threshold=-FLOOR,
        method=f"calibrated confidence (isotonic, at least {LEAST_KNOWN} known outcomes). {told.assumption}",
        resolution=told.margin,
        sources=both,
    )
    onsets = [f.onset.sub_window for f in data.features if f.onset]
    late = any(place > 1 for place in onsets)
    short = not data.sub_windows
    yield Line(
        check="time line",
        state="cannot tell" if short else "deviation" if late else "ok",
        why="The window is too short to be cut." if short else None,
        value=float(min(onsets)) if onsets else None,
        n=data.sub_windows,
        threshold=2.0,
        method=f"likelihood-ratio change point of drifted features; rows in the order of {data.ordered_by}",
        resolution=float(f"{1 / data.sub_windows:.12g}") if data.sub_windows else None,
        sources=both[1:],
    )
