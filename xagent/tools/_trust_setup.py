"""What the trust room is asked about one case: who goes together, which probes are real, what else to compare with."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TYPE_CHECKING

from xagent.tools._base import Context
from xagent.tools._contrast import (
    Contrast,
    Reference,
    ablation,
    owner_of,
)

if TYPE_CHECKING:
    from torch import Tensor

    from xagent.subject import Encoded
    from xagent.trust import Grouping, Limits, Manifold

    Score = Callable[[Tensor], Tensor]

WIDEST = 4096
"""Numbers in one input beyond which distances to a whole population take too much memory and say too little."""
EXACT_ROWS = 256
"""Coalitions of texts, images and answers; of a table there may be 2**12."""
PART = 512


def exact_players(ctx: Context, encoded: Encoded) -> int:
    """Players up to which all coalitions are tried: rows of a table are cheap, and other inputs are not."""
    return ctx.exact if encoded.kind == "tabular" else min(ctx.exact, EXACT_ROWS.bit_length() - 1)


def grouping_of(ctx: Context, encoded: Encoded, reference: Reference | None, limits: Limits) -> Grouping:
    """Correlated features of a table, squares of cells of an image, neighbouring words of a text."""
    from xagent.trust import cells, correlated, neighbours

    players = len(encoded.players)
    if encoded.kind == "tabular" and reference is not None and len(reference.rows) >= limits.grouping["rows"]:
        rows, least = reference.rows, limits.grouping["correlation"]
        owner = owner_of(encoded)
        return reference.facts.once(
            ("grouping", least, ctx.seed), lambda: correlated(rows, owner, least, seed=ctx.seed)
        )
    if encoded.kind == "image":
        columns = int(encoded.players[-1].feature.split(".")[2])
        return cells(players // columns, columns)
    return neighbours(players)


def with_progress(ctx: Context, score: Score, name: str) -> Score:
    """The same score, which says how far it has come after a second, and then at doubling intervals."""
    import torch

    if ctx.progress is None:
        return score
    say, begun, due = ctx.progress, time.monotonic(), [1.0]

    def told(keep: Tensor) -> Tensor:
        found = []
        for done, part in enumerate(torch.split(keep, PART)):
            found.append(score(part))
            spent = time.monotonic() - begun
            if spent > due[0]:
                due[0] = 2 * spent
                say(name, f"{min((done + 1) * PART, len(keep)):,} of {len(keep):,} probes", spent)
        return torch.cat(found)

    return told


def manifold_of(ctx: Context, encoded: Encoded, reference: Reference | None) -> Manifold | None:
    """The reference population as a space of distances; None when there are too few rows, or too wide ones, to say."""
    from xagent.trust import Manifold

    if reference is None or len(reference.rows) < 2 or encoded.inputs[encoded.traced].numel() > WIDEST:
        return None
    rows = reference.rows
    return reference.facts.once(("manifold", ctx.seed), lambda: Manifold(rows.flatten(1), ctx.seed))


def places_of(ctx: Context, encoded: Encoded, background: Tensor, manifold: Manifold | None) -> Score | None:
    """Which probes leave the reference population."""
    if manifold is None:
        return None
    make = ablation(ctx, encoded, background)
    return lambda keep: manifold.outside(make(keep)[encoded.traced].flatten(1))


def conditional_of(
    ctx: Context, encoded: Encoded, contrast: Contrast, reference: Reference | None, manifold: Manifold | None
) -> Callable[[], tuple[Score, Score] | None]:
    """What makes score and place of coalitions whose removed features are filled in from similar rows. It makes None
    for other than rows of a table, and without enough of them."""
    return lambda: _conditional(ctx, encoded, contrast, reference, manifold)


def _conditional(
    ctx: Context, encoded: Encoded, contrast: Contrast, reference: Reference | None, manifold: Manifold | None
) -> tuple[Score, Score] | None:
    import torch

    from xagent.trust import ConditionalFill, Neighbourhood

    if encoded.kind != "tabular" or reference is None or manifold is None:
        return None
    x = encoded.inputs[encoded.traced]
    rows = reference.rows
    try:
        around = reference.facts.once(("neighbourhood", ctx.seed), lambda: Neighbourhood.of(rows, ctx.seed))
        fill = ConditionalFill(x[0], around, owner_of(encoded), ctx.seed)
    except ValueError:
        return None

    known: dict[bytes, Tensor] = {}

    def filled(keep: Tensor) -> Tensor:
        """(m, k, d); a coalition that was filled before keeps its rows."""
        codes = [row.tobytes() for row in keep.numpy()]
        new = [n for n, code in enumerate(codes) if code not in known]
        if new:
            known.update(zip([codes[n] for n in new], fill.fill(keep[new]), strict=True))
        return torch.stack([known[code] for code in codes])

    def score(keep: Tensor) -> Tensor:
        rows = filled(keep).to(x)
        logits = ctx.subject.logits({**encoded.inputs, encoded.traced: rows.flatten(0, 1)})
        return contrast.of(logits).double().view(len(keep), -1).mean(1)

    def places(keep: Tensor) -> Tensor:
        outside = manifold.outside(filled(keep).flatten(0, 1))
        return outside.double().view(len(keep), -1).mean(1)

    return score, places
