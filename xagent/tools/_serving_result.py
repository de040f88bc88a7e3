"""What the serving tool found."""

from __future__ import annotations

from xagent.case._fields import Scalar
from xagent.tools._base import Result
from xagent.tools._line import Line
from xagent.tools._traced import State


class ServedFeature(Result):
    """How one input was served.

    state: of its age; age: seconds before the decision; limit: the system card's `stale_after_seconds`. imputed: filled
    in, as the trace says or because the case has no value. defaulted: the value is the one that is filled in for a
    missing one, and nothing says whether it was. offline: the value that was computed again; skewed: it differs, by
    `difference` where both are numbers. factor: the served value looks that many times too large (too small below 1);
    likely: the value without it.
    """

    name: str
    state: State
    age: float | None
    limit: float | None
    imputed: bool
    defaulted: bool = False
    source: str | None = None
    readable: bool = True
    skewed: bool = False
    offline: Scalar = None
    difference: float | None = None
    factor: float | None = None
    likely: float | None = None


class Identity(Result):
    """Deployed against explained; `why` says what the state rests on."""

    state: State
    deployed: str | None
    why: str


class ServingResult(Result):
    """Whether the input reached the model as it should have, and the model was the one that is explained.

    state: the worst of `lines`, each with what it rests on. replayed: the score of the model run again; logged: that of
    the trace farthest from it; difference: logged - replayed. version, hash, preprocess: deployed against explained.
    score_state: the logged score against the recorded one. compared: features that were computed again; offline: what
    that row is called. unit_compared: features whose unit can be judged; unit_seen: the share of the reference's
    values at which an error of a factor of ten would be seen, the median over these features, None without any.
    """

    state: State
    trace_id: str | None
    replayed: float | None
    logged: float | None
    difference: float | None
    tolerance: float
    version: Identity
    hash: Identity
    preprocess: Identity
    score_state: State
    features: tuple[ServedFeature, ...]
    limited: int
    compared: int
    offline: str | None
    unit_compared: int
    unit_seen: float | None
    unit_alpha: float
    lines: tuple[Line, ...]

    @property
    def stale(self) -> tuple[ServedFeature, ...]:
        return tuple(f for f in self.features if f.state == "deviation")

    @property
    def imputed(self) -> tuple[ServedFeature, ...]:
        return tuple(f for f in self.features if f.imputed)

    @property
    def skewed(self) -> tuple[ServedFeature, ...]:
        return tuple(f for f in self.features if f.skewed)

    @property
    def suspected(self) -> tuple[ServedFeature, ...]:
        return tuple(f for f in self.features if f.factor is not None)
