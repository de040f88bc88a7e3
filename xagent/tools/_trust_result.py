"""What the trust tool records."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field

from xagent.tools._base import Result

Level = Literal["strong", "fair", "limited", "do not rely"]


class TogetherResult(Result):
    """Features that cannot be told apart in the reference. correlation: the smallest between any two of them."""

    features: tuple[str, ...]
    labels: tuple[str, ...]
    correlation: float


class SensitivityResult(Result):
    """The list made again from other baselines. kept: smallest share of the top drivers that stays on top; by: that
    share under each of `tried`. first: what becomes of the first driver under `first_under`. moved: top drivers that
    drop out somewhere, with their labels. flipped: share of the baselines under which another driver leads."""

    tried: tuple[str, ...]
    kept: float
    by: tuple[float, ...]
    worst: str
    first: Literal["stays", "moves", "lost"]
    first_under: str
    flipped: float
    moved: tuple[str, ...]
    moved_labels: tuple[str, ...]


class Checks(Result):
    """The numbers of one pass of checks; every one is None when it does not exist."""

    ceiling: float | None = None
    fidelity: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    keep_share: float | None = None
    random_share: float | None = None
    flips: bool | None = None
    random_flips: float | None = None
    beaten: float | None = None
    controls: int = 0
    agreement: float | None = None
    shapley: float | None = None
    off_manifold: float | None = None
    coalitions: int = 0
    exhaustive: bool = False


class ConditionalResult(Checks):
    """The checks with removed inputs filled in from similar rows of the reference."""

    level: Level
    weakest: str
    neighbours: int
    why: str | None = None


class TrustResult(Checks):
    """What `xagent.trust.assess_trust` found; `absent` says why a number does not exist.

    cited: features named as reasons, strongest first. keep_share: part of the margin that stays when only they do.
    background_name: what the removed inputs are replaced by. groups, grouping: how many blocks were probed, and what
    made them. together: features that are named together. sensitivity: to the baseline. set_aside: baselines that ask
    another question, because the score hardly changes from them to the case. conditional: present when more
    probes lay outside the reference than `limits.off_manifold.fair`. rows: model rows that the checks took. limits: the
    thresholds; calibrated_for: the model they were calibrated for, None for those that ship.
    """

    level: Level
    weakest: str
    version: str | None = None
    cited: tuple[str, ...] = ()
    evidence: str | None = None
    order: float | None = None
    gap: float | None = None
    score: float | None = None
    background_score: float | None = None
    background_name: str
    groups: int = 0
    grouping: str = "separate"
    together: tuple[TogetherResult, ...] = ()
    sensitivity: SensitivityResult | None = None
    set_aside: tuple[str, ...] = ()
    conditional: ConditionalResult | None = None
    rows: int = 0
    limits: dict[str, Any] = Field(default_factory=dict)
    calibrated_for: str | None = None
    absent: dict[str, str] = Field(default_factory=dict)
