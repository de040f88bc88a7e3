"""The methods of this project."""

from __future__ import annotations

import torch
from torch import Tensor

from xagent.relevance import Target, Trace, Tracer, refine
from xagent.trust import better_list, exact_shapley, probe, ratio_of, refined

from ._cases import Case, manifold

PROBED = 16
RATIO, OFF_MANIFOLD = 0.9, 0.3
"""Refine below this fidelity ratio, unless more probes than this lie outside the data."""


def traced(case: Case, rules: str, x: Tensor | None = None) -> Trace:
    """One forward and one gradient under a rule set, against the case's baseline."""
    tracer = Tracer(case.score, rules, lambda inputs: case.score(inputs["x"])[:, None])
    return tracer.trace({"x": case.x if x is None else x}, ["x"], Target.value(), {"x": case.baseline})


def trace(case: Case, rules: str) -> Tensor:
    return case.pool(traced(case, rules).relevance["x"])


def path(case: Case, rules: str, points: int) -> Tensor:
    """The mean of traces at the middles of `points` equal steps from the baseline to x, in one batch and one gradient.

    Under the rules of the plain gradient this is integrated gradients (Sundararajan et al. 2017).
    """
    part = (torch.arange(points) + 0.5) / points
    part = part.view(-1, *[1] * (case.x.dim() - 1))
    relevance = traced(case, rules, case.baseline + part * (case.x - case.baseline)).relevance["x"]
    return case.pool((relevance / part).mean(0, keepdim=True))


def trace_refined(case: Case, rules: str) -> Tensor:
    return refined(case.coalitions, trace(case, rules))


def trace_averaged(case: Case, rules: str) -> Tensor:
    """`xagent.relevance.refine` of the 16 strongest alone: mean of trace, removal and addition."""
    return refine(trace(case, rules), case.coalitions, PROBED).relevance


def removal(case: Case) -> Tensor:
    """The refinement with nothing before it: only for players that all can be probed."""
    if case.players > PROBED:
        raise ValueError("more players than are probed")
    return refined(case.coalitions, torch.zeros(case.players))


def default(case: Case, rules: str = "conserving", seed: int = 0) -> Tensor:
    """What the relevance tool shows: a trace; of rows and texts a better list where the fidelity ratio is below 0.9,
    the probes look like the data, and the ratio rises. No more than 8 words are enumerated, and 12 columns."""
    relevance = trace(case, rules)
    if case.x.dim() == 4:
        return relevance
    probes = probe(case.coalitions, case.players, seed, exact=12 if case.x.dim() == 2 else 8)
    before = None if isinstance(probes, str) else ratio_of(probes, relevance)
    if isinstance(probes, str) or before is None or before >= RATIO:
        return relevance
    if case.reference is not None:
        outside = manifold(case.reference).outside(case.without(probes.placed))
        if float(outside.double().mean()) > OFF_MANIFOLD:
            return relevance
    better, _, _ = better_list(probes, relevance)
    return better if (ratio_of(probes, better) or 0.0) > before else relevance


def enumerated(case: Case) -> Tensor:
    """`xagent.trust.exact_shapley`, for 12 players at most."""
    return exact_shapley(case.coalitions, case.players)
