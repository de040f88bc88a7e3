"""Coalitions of one case, asked of the model once for all tools of a run that look at them."""

from __future__ import annotations

import threading
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from weakref import WeakKeyDictionary

from xagent.tools._base import Context
from xagent.tools._contrast import Contrast, score_coalitions

if TYPE_CHECKING:
    from torch import Tensor

    from xagent.case import Case
    from xagent.subject import Encoded, Subject
    from xagent.trust import Grouping, Limits, Probes, Reason

_ROUNDING = 1e-5
"""A model in memory may have learnt since: the ends are asked again, and may differ by no more than this part."""


@dataclass(frozen=True)
class _Kept:
    """Of the last case of a subject. case: held, so that no other object can have its id; probes: without a score
    function, which would hold the subject."""

    case: Case
    key: tuple[Any, ...]
    probes: Probes


_LAST: WeakKeyDictionary[Subject, _Kept] = WeakKeyDictionary()
_LOCK = threading.Lock()


def probed(
    ctx: Context, encoded: Encoded, contrast: Contrast, background: Tensor, grouping: Grouping, limits: Limits
) -> Probes | Reason:
    """`xagent.trust.probe` of this case; what an earlier tool of the run found, if the model still answers the same."""
    from xagent.tools._trust_setup import exact_players, with_progress
    from xagent.trust import checked, probe

    score = score_coalitions(ctx, encoded, contrast, background)
    exact = exact_players(ctx, encoded)
    key = (contrast, ctx.seed, exact, limits.grouping["correlation"], tuple(background.shape))
    with _LOCK:
        kept = _LAST.get(ctx.subject)
    if kept is not None and kept.case is ctx.case and kept.key == key:
        again = replace(kept.probes, score=checked(score))
        if _same(again, len(encoded.players)):
            return again
    found = probe(with_progress(ctx, score, "trust"), len(encoded.players), ctx.seed, grouping=grouping, exact=exact)
    if not isinstance(found, str):
        with _LOCK:
            _LAST[ctx.subject] = _Kept(ctx.case, key, replace(found, score=_nothing))
    return found


def _nothing(keep: Tensor) -> Tensor:
    raise RuntimeError("kept probes have no model to ask")


def _same(probes: Probes, players: int) -> bool:
    import torch

    ends = torch.tensor([True, False])[:, None].expand(2, players)
    scores, kept = probes.score(ends), torch.tensor([probes.full, probes.background], dtype=torch.float64)
    return bool(((scores - kept).abs() <= _ROUNDING * float(kept.abs().max())).all())
