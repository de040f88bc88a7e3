"""What the process tool found."""

from __future__ import annotations

from typing import Literal

from xagent.tools._base import Result
from xagent.tools._line import Line
from xagent.tools._traced import State


class Step(Result):
    """One bar of the time line. start_offset: seconds after the first span of the trace. seconds: from start to end;
    self_seconds: less the steps within it; both None for a span that never ended."""

    name: str
    kind: str
    start_offset: float
    seconds: float | None
    self_seconds: float | None
    status: Literal["unset", "ok", "error"]
    retry: bool


class Slow(Result):
    """A step beside the same step of the baseline, see `_process_norm.Latency`. slow: p is at most the level."""

    name: str
    seconds: float
    typical: float
    faster: float
    n: int
    p: float
    slow: bool


class Override(Result):
    """A person's change of the outcome, as the trace records it; the last of `count`. at: ISO 8601."""

    state: Literal["yes", "no", "cannot tell"]
    count: int = 0
    who: str | None = None
    before: str | None = None
    after: str | None = None
    why: str | None = None
    at: str | None = None


class Fallback(Result):
    """An answer that `step` gave in the place of `of`."""

    step: str
    of: str
    why: str | None = None


class ModelCall(Result):
    """A call of a model by name. same: None unless both names are known."""

    step: str
    requested: str | None
    answered: str | None
    same: bool | None


class Verdict(Result):
    """A guardrail in its own words. on: `input` or `output`, where stated."""

    name: str
    version: str | None
    on: str | None
    verdict: str | None
    why: str | None


class Moment(Result):
    """A release, change or incident before the decision. seconds: how long before. at, until: ISO 8601, UTC."""

    kind: Literal["release", "change", "incident"]
    name: str
    version: str | None
    at: str
    until: str | None
    seconds: float


class ProcessResult(Result):
    """What the trace of one prediction shows of the process. Times are seconds; names are those of the spans.

    state: the worst of `lines`. norm: `stated` by the case, `learned` from baseline traces, or None; baseline: how many
    of these there are. latency_p: of the whole trace among them. release: the release that was in force; incidents:
    those that were open; change: the last change before the decision. lacks: what the format of the trace cannot say.
    """

    state: State
    format: str
    trace_id: str
    spans: int
    steps_count: int
    steps: tuple[Step, ...]
    norm: Literal["stated", "learned"] | None
    norm_steps: tuple[str, ...]
    baseline: int
    expected_state: State
    missing: tuple[str, ...]
    out_of_order: tuple[str, ...]
    unexpected: tuple[str, ...]
    orphans: int
    roots: int
    skewed: tuple[str, ...]
    unfinished: int
    retries: int
    timeouts: tuple[str, ...]
    errors: tuple[str, ...]
    fallbacks: tuple[Fallback, ...]
    models: tuple[ModelCall, ...]
    guardrails: tuple[Verdict, ...]
    override: Override
    dropped: int
    sampling_share: float | None
    duration: float | None
    latency_p: float | None
    latency: tuple[Slow, ...]
    release: Moment | None
    incidents: tuple[Moment, ...]
    change: Moment | None
    lacks: tuple[str, ...]
    lines: tuple[Line, ...]

    @property
    def slow(self) -> tuple[int, ...]:
        """Places of the steps that are slow beyond chance."""
        return tuple(i for i, step in enumerate(self.latency) if step.slow)

    @property
    def substituted(self) -> tuple[int, ...]:
        """Places of the calls that another model answered."""
        return tuple(i for i, call in enumerate(self.models) if call.same is False)
