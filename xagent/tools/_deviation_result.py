"""What the deviation tool found."""

from __future__ import annotations

from typing import Literal

from xagent.tools._base import Result
from xagent.tools._deviation_contract import Breach
from xagent.tools._line import Line

State = Literal["ok", "deviation", "cannot tell"]
Kind = Literal["above the known range", "below the known range", "unknown level", "missing", "rare value"] | Breach


class FeatureCheck(Result):
    """One feature of the case against the system card and the reference.

    state: `deviation` for a value that the reference never shows, that the card does not allow, or one rarer than alpha
    allows; `cannot tell` when the reference has no values. kind: in what way, by the reference first; breach: by the
    card. percentile: mid-rank, 0 to 100; minimum, maximum: of the reference (both None for levels; dates in days since
    1970). tail_p: two-sided, or the share of levels no more frequent. share: part of the squared Mahalanobis distance,
    None without one.
    """

    name: str
    state: State
    kind: Kind | None
    breach: Breach | None = None
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
    """The verdict on the whole row, what is known of each feature, and each check as a line of its own.

    state: `deviation` when p <= alpha or the card is broken; `cannot tell`, with `why`, for a reference too small to
    say. p: Bonferroni over `scores`, never below `resolution`; both None without a verdict. calibration: rows of the
    reference that were held out; fitted: rows that the scores were made on. breaches: values that the card does not
    allow. outside: features whose value the reference never shows. tail: those whose tail_p is at most alpha;
    expected_tail: how many of an ordinary row's would be. causes: flagged features, or those that most of the joint
    distance comes from, when there is a deviation. reference_name: None without a reference.
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
    reference_name: str | None
    representation: str
    features: tuple[FeatureCheck, ...]
    breaches: int
    outside: int
    tail: int
    expected_tail: float
    causes: tuple[str, ...]
    lines: tuple[Line, ...]
