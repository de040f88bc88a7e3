"""What the drift tool found."""

from __future__ import annotations

from typing import Literal

from xagent.tools import _stats as stats
from xagent.tools._base import Result
from xagent.tools._line import Line, LineState

State = Literal["ok", "deviation", "cannot tell"]


class DriftTest(Result):
    """One test. effect: 0 to 1; floor: the effect below which nothing is flagged; p: Benjamini-Hochberg adjusted."""

    kind: stats.TestKind
    method: str
    effect: float
    floor: float
    p_raw: float
    p: float
    flagged: bool


class Onset(Result):
    """When a drifted feature began to differ. effects: of each sub-window against the reference, in the order of time,
    None for one with too few values. sub_window: the one in which it began, counted from 1; 1 is the start of the
    window, or before. row: rows of the window before it; at: time of the next one, where rows have times."""

    effects: tuple[float | None, ...]
    sub_window: int
    row: int
    at: str | None


class FeatureDrift(Result):
    """One feature, window against reference.

    state: `cannot tell`, with `why`, where too few values are present. n: present values; missing: shares; unreadable:
    values of the window that are no number and count as missing. new_levels: levels the reference never shows (at most
    twenty), new_share: their share. shift: median less median. wasserstein: in standard deviations of the reference.
    psi, psi_null: index on the reference's deciles and its 95 % point without drift, where there are 100 values;
    psi_band: the customary band, None where so few values cannot tell it from chance. onset: of a drifted feature.
    """

    name: str
    state: State
    why: str | None
    kind: Literal["numeric", "date", "categorical", "embedding"]
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
    psi_band: str | None
    onset: Onset | None


class Separability(Result):
    """How well a classifier tells rows of the window from rows of the reference. auc: area under its curve on rows that
    it was not fitted on; chance: the median of that under shuffled origins; p: of the permutation test, never below
    resolution."""

    auc: float
    chance: float
    p: float
    resolution: float
    n: int
    representation: str


class Performance(Result):
    """Share of right answers that the model's own confidence leads one to expect in the window.

    measured: on the reference, where outcomes are known; expected: in the window; change: expected less measured;
    margin: half of the 99 % interval of the change from the numbers of rows alone.
    """

    state: LineState
    why: str | None = None
    measured: float | None = None
    expected: float | None = None
    change: float | None = None
    margin: float | None = None
    n: int = 0
    reference_n: int = 0
    assumption: str


class DriftResult(Result):
    """The window against the reference, and each check as a line of its own.

    detectable: shift in standard deviations that it could have shown, or None. floor: effect below which no
    distribution is flagged. ordered_by: what says when a row came; sub_windows: parts of the time line, 0 without one.
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
    joint: Separability | None
    performance: Performance
    ordered_by: str
    sub_windows: int
    assumptions: tuple[str, ...]
    lines: tuple[Line, ...]
