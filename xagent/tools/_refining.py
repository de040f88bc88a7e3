"""A list that falls short of what a list could say is made better by removal before anyone reads it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xagent.tools._base import Context
from xagent.tools._contrast import Contrast, Reference
from xagent.tools._relevance_result import Refinement

if TYPE_CHECKING:
    from torch import Tensor

    from xagent.subject import Encoded

KINDS = ("tabular", "text")
"""Images are left as they are: measured against interventions, refined maps are no better (benchmarks/README.md). So
are answers, whose words have lists of their own that a refined total would contradict."""


def refinement_of(
    ctx: Context,
    encoded: Encoded,
    contrast: Contrast,
    reference: Reference | None,
    background: Tensor,
    values: list[float],
) -> tuple[list[float], Refinement | None]:
    """The list that is shown, and what was done to it; None where it reaches what is asked of a list, or where nothing
    can be measured.

    values: relevance of each player, as traced or removed one at a time. It is refined when F/C is below the limit for
    `fair`, unless more probes than the limit for `fair` leave the reference data, where removal itself is fooled. The
    refined list is taken when that raises F/C.
    """
    import torch

    from xagent.tools._probed import probed
    from xagent.tools._trust_setup import grouping_of, manifold_of, places_of
    from xagent.tools.trust import limits_for
    from xagent.trust import NotFinite, better_list, ratio_of

    if not ctx.refine or encoded.kind not in KINDS or len(values) < 2:
        return values, None
    limits = limits_for(ctx)
    grouping = grouping_of(ctx, encoded, reference, limits)
    try:
        probes = probed(ctx, encoded, contrast, background, grouping, limits, "relevance")
        if isinstance(probes, str):
            return values, None
        listed = torch.tensor(values, dtype=torch.float64)
        before = ratio_of(probes, listed, limits)  # of a list of zeros 0
        limit = limits.fidelity["fair"]
        if before is None or before >= limit:
            return values, None
        places = places_of(ctx, encoded, background, manifold_of(ctx, encoded, reference))
        outside = None if places is None else float(places(probes.placed).double().mean())
        about = {"limit": limit, "before": before, "off_manifold": outside}
        if outside is not None and outside > limits.off_manifold["fair"]:
            return values, Refinement(state="off the data", rows=0, **about)
        better, by, rows = better_list(probes, listed)
    except NotFinite:
        return values, None
    after = ratio_of(probes, better, limits)
    if after is None or after <= before:
        return values, Refinement(state="no better", rows=rows, **about)
    return better.tolist(), Refinement(state="refined", by=by, after=after, rows=rows, traced=tuple(values), **about)


WORDS = {"exact": "replaced by exact Shapley values", "removal": "refined by removal"}


def method_words(method: str, found: Refinement | None) -> str:
    """The name of the method, with what was done to its list."""
    return method if found is None or found.by is None else f"{method}, {WORDS[found.by]}"
