"""What the confidence tool finds, line by line. A line is `ok`, a `deviation`, `cannot tell` or `not supplied`, and the
last two say why."""

from __future__ import annotations

from typing import Literal

from xagent.tools._base import Result

State = Literal["ok", "deviation", "cannot tell", "not supplied"]
Verdict = Literal["only", "several", "full", "empty", "other"]


class Margin(Result):
    """Distance of the score from where the decision turns: in logits, between the first two of more classes, in its
    unit for a regression. below: part of the n known cases with a smaller one, ties by half; percentile: the same times
    one hundred. near_zero: a chance of the answer within five points of even odds. deviation: near zero, or `below` at
    most a twentieth."""

    state: State
    why: str | None = None
    value: float | None = None
    near_zero: bool | None = None
    below: float | None = None
    percentile: float | None = None
    n: int = 0


class Open(Result):
    """A class in the conformal set, and its p-value."""

    name: str
    p: float


class Outcomes(Result):
    """What the true outcomes of n known cases leave open at `coverage`.

    verdict: `only` the answer, `several` classes with it among them, `full` all classes, `empty`, or `other` ones
    alone; None for a regression and without a set. open: the set, largest p-value first. by_class: calibrated class by
    class (Mondrian). low, high: interval of a regression; crosses: whether the threshold lies in it. deviation: not
    `only`, or the interval crosses.
    """

    state: State
    why: str | None = None
    coverage: float
    n: int = 0
    verdict: Verdict | None = None
    open: tuple[Open, ...] = ()
    by_class: bool | None = None
    answer_p: float | None = None
    low: float | None = None
    high: float | None = None
    crosses: bool | None = None


class Neighbours(Result):
    """The k nearest of n known cases in the model's input space (`representation`).

    same: share with the answer of this case; true: share of those with a known outcome (`labelled`) that turned out so.
    low, median, high: what a regression says of them; true_median: their true values. percentile and p: of the distance
    to them among those of the known cases to theirs; `far` when p is at most alpha, and agreement then says nothing.
    deviation: another answer or outcome is more frequent among them, or, without a threshold, the value lies outside
    theirs.
    """

    state: State
    why: str | None = None
    n: int = 0
    k: int = 0
    same: float | None = None
    true: float | None = None
    labelled: int = 0
    low: float | None = None
    median: float | None = None
    high: float | None = None
    true_median: float | None = None
    percentile: float | None = None
    p: float | None = None
    far: bool = False
    representation: str | None = None


class Grounds(Result):
    """Conformal p-value of the relevance profile among those of n known cases with the same answer (a regression: of
    all); never below resolution = 1 / (n + 1). cannot tell: that exceeds alpha."""

    state: State
    why: str | None = None
    alpha: float
    n: int = 0
    p: float | None = None
    resolution: float | None = None


class Weight(Result):
    """Sum of |relevance| over the inputs, on the scale of the explained score; below, percentile: as for the margin,
    among the same cases as the grounds. nothing: it is zero."""

    state: State
    why: str | None = None
    total: float | None = None
    nothing: bool = False
    below: float | None = None
    percentile: float | None = None
    n: int = 0


class ConfidenceResult(Result):
    """compared: rows of the reference sample with finite scores; unusable: without. answer: the recorded class."""

    answer: str | None
    reference_name: str | None
    reference_rows: int
    compared: int
    unusable: int
    used_in_training: bool | None
    margin: Margin
    outcomes: Outcomes
    neighbours: Neighbours
    grounds: Grounds
    weight: Weight
