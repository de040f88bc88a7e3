"""What one case has already cost: its coalitions and the slope of its trace, for all tools of a run that need them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from xagent.tools._base import Context
from xagent.tools._contrast import Contrast, score_coalitions

if TYPE_CHECKING:
    from torch import Tensor

    from xagent.case import Case
    from xagent.relevance import Trace
    from xagent.subject import Encoded, Subject
    from xagent.trust import Grouping, Limits, Probes, Reason

_ROUNDING = 1e-5
"""A model in memory may have learnt since: the ends are asked again, and may differ by no more than this part."""

_SMALLEST = 1e-12


@dataclass(frozen=True)
class _Kept:
    """Of the last case of a subject. case: held, so that no other object can have its id. found: probes without a score
    function, which would hold the subject; (explained score, slope) of the trace."""

    case: Case
    found: dict[tuple[Any, ...], Any] = field(default_factory=dict)


_LAST: WeakKeyDictionary[Subject, _Kept] = WeakKeyDictionary()
_LOCK = threading.Lock()


def _found(ctx: Context) -> dict[tuple[Any, ...], Any]:
    with _LOCK:
        kept = _LAST.get(ctx.subject)
        if kept is None or kept.case is not ctx.case:
            kept = _LAST[ctx.subject] = _Kept(ctx.case)
        return kept.found


def encoded_of(ctx: Context) -> Encoded:
    """The case as its model takes it, encoded once for all tools of a run. Of a model in memory it is made anew each
    time: its embeddings may have learnt since."""
    if not ctx.subject.sha256:
        return ctx.subject.encode(ctx.case.input)
    found = _found(ctx)
    if ("encoded",) not in found:
        found["encoded",] = ctx.subject.encode(ctx.case.input)
    encoded: Encoded = found["encoded",]
    return encoded


def keep_slope(ctx: Context, encoded: Encoded, contrast: Contrast, trace: Trace, background: Tensor | None) -> None:
    """Remember the slope of a trace, whose relevance is (x - baseline) * slope. It is not known where x equals the
    baseline, and NaN there."""
    import torch

    x, relevance = encoded.inputs[encoded.traced].detach(), trace.relevance[encoded.traced]
    apart = x if background is None else x - background.to(x)
    score = float(trace.score.reshape(-1)[0])
    known = apart.abs() > _SMALLEST  # below it the product may have lost its digits
    slope = torch.where(known, relevance / apart.to(relevance), torch.nan)
    _found(ctx)["slope", contrast, ctx.rules] = (score, slope)


def slope_of(ctx: Context, contrast: Contrast, score: float) -> Tensor | None:
    """The slope (1, ...) that an earlier tool of the run found, if the model still gives the case this score."""
    before, slope = _found(ctx).get(("slope", contrast, ctx.rules), (None, None))
    if before is None or abs(before - score) > _ROUNDING * max(abs(before), abs(score)):
        return None
    kept: Tensor = slope
    return kept


def probed(
    ctx: Context,
    encoded: Encoded,
    contrast: Contrast,
    background: Tensor,
    grouping: Grouping,
    limits: Limits,
    tool: str,
) -> Probes | Reason:
    """`xagent.trust.probe` of this case; what an earlier tool of the run found, if the model still answers the same."""
    from xagent.tools._trust_setup import exact_players, with_progress
    from xagent.trust import checked, probe

    score = score_coalitions(ctx, encoded, contrast, background)
    exact = exact_players(ctx, encoded)
    key = ("probes", contrast, ctx.seed, exact, limits.grouping["correlation"], tuple(background.shape))
    kept = _found(ctx)
    if key in kept:
        again: Probes = replace(kept[key], score=checked(score))
        if _same(again, len(encoded.players)):
            return again
    found = probe(with_progress(ctx, score, tool), len(encoded.players), ctx.seed, grouping=grouping, exact=exact)
    if not isinstance(found, str):
        kept[key] = replace(found, score=_nothing)
    return found


def forget_coalitions() -> None:
    """Drop the coalitions that are kept; the next tool asks the model anew."""
    with _LOCK:
        for kept in _LAST.values():
            for key in [key for key in kept.found if key[0] == "probes"]:
                del kept.found[key]


def _nothing(keep: Tensor) -> Tensor:
    raise RuntimeError("kept probes have no model to ask")


def _same(probes: Probes, players: int) -> bool:
    import torch

    ends = torch.tensor([True, False])[:, None].expand(2, players)
    scores, kept = probes.score(ends), torch.tensor([probes.full, probes.background], dtype=torch.float64)
    return bool(((scores - kept).abs() <= _ROUNDING * float(kept.abs().max())).all())
