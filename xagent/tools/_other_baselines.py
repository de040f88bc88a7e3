"""The same method's list from every other baseline that is as reasonable: means, medians, blanks, a blurred image."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from xagent.tools._base import Context
from xagent.tools._contrast import BLANK, BLANK_PASSAGES, ZEROS, Contrast, Reference, owner_of, score_coalitions
from xagent.tools._probed import slope_of
from xagent.tools.relevance import per_unit

if TYPE_CHECKING:
    from torch import Tensor, nn

    from xagent.subject import Encoded

LEAST_ROWS = 10
"""Rows of a reference below which its parts are no populations."""
MOST_ANSWERED = 256
"""Rows of a reference that the model is asked about, to find those with the same outcome."""
MEDIAN, HALF = "the median of {}", "the mean of a random half of {}"
SAME, OTHER = "the mean of {} with the same outcome", "the mean of {} with another outcome"
BLURRED, PADDED = "the blurred image", "a text of padding"


def lists_from_other_baselines(
    ctx: Context,
    encoded: Encoded,
    contrast: Contrast,
    reference: Reference | None,
    used: str,
    background: Tensor,
    least: float,
    refine: bool = False,
) -> tuple[dict[str, Tensor], tuple[str, ...]]:
    """Relevance of each player (P,) by the same method from every other baseline that is as reasonable as `used`, and
    the names of those that ask another question: from them to the case, the score changes by less than `least` of what
    it changes from `background`, or the other way. refine: the list under test was refined, so these are.
    """
    found = _other_backgrounds(ctx, encoded, contrast, reference)
    found = {name: other for name, other in found.items() if name != used}
    if not found:
        return {}, ()
    score, changes = _changes(ctx, encoded, contrast, [background, *found.values()])
    same = [change * changes[0] > 0 and abs(change) >= least * abs(changes[0]) for change in changes[1:]]
    others = {name: other for (name, other), fits in zip(found.items(), same, strict=True) if fits}
    lists = _lists(ctx, encoded, contrast, others, score)
    if refine:
        from xagent.trust import refined

        lists = {
            name: refined(score_coalitions(ctx, encoded, contrast, others[name]), values)
            for name, values in lists.items()
        }
    return lists, tuple(name for name in found if name not in others)


def _changes(
    ctx: Context, encoded: Encoded, contrast: Contrast, backgrounds: list[Tensor]
) -> tuple[float, list[float]]:
    """f(x), and f(x) - f(b) for each background."""
    import torch

    x = encoded.inputs[encoded.traced]
    rows = torch.cat([x, *(b.to(x).expand(len(b), *x.shape[1:]) for b in backgrounds)])
    scores = contrast.of(ctx.subject.logits({**_expanded(encoded, len(rows)), encoded.traced: rows}))
    full, *others = torch.split(scores, [1, *(len(b) for b in backgrounds)])
    return float(full[0]), [float(full[0] - other.mean()) for other in others]


def _lists(
    ctx: Context, encoded: Encoded, contrast: Contrast, others: dict[str, Tensor], score: float
) -> dict[str, Tensor]:
    if not others:
        return {}
    if ctx.subject.module is None:
        return _without_module(ctx, encoded, contrast, others)
    x = encoded.inputs[encoded.traced]
    apart = {name: x - b.to(x).expand(1, *x.shape[1:]) for name, b in others.items()}
    slope = slope_of(ctx, contrast, score)
    if slope is None or any(bool(slope[d != 0].isnan().any()) for d in apart.values()):
        slope = _slope(ctx, encoded, ctx.subject.module, contrast)
    # Where x equals the baseline there is no relevance, whatever the slope.
    return {name: _by_player(encoded, (d * slope.nan_to_num()).detach()) for name, d in apart.items()}


def _slope(ctx: Context, encoded: Encoded, module: nn.Module, contrast: Contrast) -> Tensor:
    """(1, ...): relevance is (x - baseline) * slope for every baseline, so any that x equals nowhere shows it."""
    import torch

    from xagent.relevance import Target, Tracer

    target = Target.value() if contrast.foil is None else Target.contrast(contrast.target, contrast.foil)
    tracer, x = Tracer(module, rules=ctx.rules, forward=ctx.subject.forward), encoded.inputs[encoded.traced]
    baseline = torch.where(x == 0, -1.0, 0.0).to(x)
    with ctx.subject.lock:
        trace = tracer.trace(encoded.inputs, of=[encoded.traced], target=target, baseline={encoded.traced: baseline})
    return (trace.relevance[encoded.traced] / (x - baseline)).detach()


def _by_player(encoded: Encoded, relevance: Tensor) -> Tensor:
    import torch

    units = per_unit(encoded, relevance)
    if encoded.kind == "tabular":
        return torch.zeros(len(encoded.players), dtype=torch.float64).index_add_(0, owner_of(encoded), units)
    return torch.stack([units[list(player.index)].sum() for player in encoded.players])


def _without_module(
    ctx: Context, encoded: Encoded, contrast: Contrast, others: Mapping[str, Tensor]
) -> dict[str, Tensor]:
    import torch

    linear, found = ctx.subject.linear_coefficients(), {}
    for name, background in others.items():
        if (exact := ctx.subject.exact_relevance(encoded, background)) is not None:
            found[name] = contrast.of(exact.values)
        elif linear is not None:
            weights = contrast.of(linear.coefficients.double().T)
            found[name] = _by_player(encoded, (weights * (encoded.inputs[encoded.traced] - background).double())[:1])
        else:
            keep = ~torch.eye(len(encoded.players) + 1, len(encoded.players), dtype=torch.bool)
            scores = score_coalitions(ctx, encoded, contrast, background)(keep)
            found[name] = scores[-1] - scores[:-1]
    return found


def _other_backgrounds(
    ctx: Context, encoded: Encoded, contrast: Contrast, reference: Reference | None
) -> dict[str, Tensor]:
    import torch

    if encoded.kind in ("text", "generation"):
        return _blanks(ctx, encoded)
    found: dict[str, Tensor] = {}
    if encoded.kind == "image":
        found = {BLURRED: _blurred(encoded.inputs[encoded.traced])}
        found[ZEROS] = torch.zeros_like(found[BLURRED])
    if reference is None or len(reference.rows) < LEAST_ROWS:
        return found
    rows, name = reference.rows, reference.name
    once, seed = reference.facts.once, ctx.seed

    def drawn() -> Tensor:
        return torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))

    order = once(("order", seed), drawn)
    if encoded.kind == "tabular":
        found[MEDIAN.format(name)] = once("median", lambda: _median(encoded, rows))

    def by_outcome() -> dict[str, Tensor]:
        asked = rows[order[:MOST_ANSWERED]]
        logits = ctx.subject.logits({**_expanded(encoded, len(asked)), encoded.traced: asked.to(ctx.subject.device)})
        same = logits.argmax(1).cpu() == contrast.target
        return {
            words: ctx.subject.background(part, encoded)
            for words, part in ((SAME, asked[same]), (OTHER, asked[~same]))
            if LEAST_ROWS <= len(part) < len(asked)
        }

    if contrast.foil is not None:
        # A model in memory is asked anew each time: it may have learnt since.
        means = once(("outcome", seed, contrast.target), by_outcome) if ctx.subject.sha256 else by_outcome()
        found |= {words.format(name): mean for words, mean in means.items()}
    half = once(("half", seed), lambda: ctx.subject.background(rows[order[: len(rows) // 2]], encoded))
    return found | {HALF.format(name): half}


def _expanded(encoded: Encoded, size: int) -> dict[str, Tensor]:
    return {name: x.expand(size, *x.shape[1:]) for name, x in encoded.inputs.items()}


def _median(encoded: Encoded, rows: Tensor) -> Tensor:
    """(1, d): the median of a feature of one column, the most frequent level of one with several."""
    import torch

    middle = rows.double().quantile(0.5, dim=0, interpolation="lower").to(rows)
    for player in encoded.players:
        if len(player.index) > 1:
            own = rows[:, list(player.index)]
            # One number a level: torch.unique of whole rows takes ten times as long.
            codes = own.double() @ torch.arange(2, own.shape[1] + 2, dtype=torch.float64).sqrt()
            _, place, count = torch.unique(codes, return_inverse=True, return_counts=True)
            middle[list(player.index)] = own[int((place == count.argmax()).nonzero()[0])]
    return middle[None]


def _blurred(image: Tensor) -> Tensor:
    """(1, C, H, W): each pixel the mean of a square a quarter of the image wide, which leaves no detail."""
    from torch.nn.functional import avg_pool2d

    side = max(3, min(image.shape[2:]) // 4 * 2 + 1)
    blurred: Tensor = avg_pool2d(image, side, stride=1, padding=side // 2, count_include_pad=False)
    return blurred


def _blanks(ctx: Context, encoded: Encoded) -> dict[str, Tensor]:
    """Zeros, the token for a blank, and that for padding, in the place of every player."""
    import torch

    x = encoded.inputs[encoded.traced]
    owned = torch.zeros(x.shape[1], dtype=torch.bool, device=x.device)
    owned[[position for player in encoded.players for position in player.index]] = True
    blank = ctx.subject.background(encoded=encoded)
    found = {
        ZEROS: torch.zeros_like(x),
        BLANK_PASSAGES if encoded.kind == "generation" else BLANK: blank,
    }
    token = getattr(getattr(ctx.subject, "tokenizer", None), "pad_token_id", None)
    if token is not None and ctx.subject.module is not None:
        with torch.no_grad(), ctx.subject.lock:
            embed = ctx.subject.module.get_input_embeddings()  # type: ignore[operator]
            padding = embed(torch.tensor([[token]], device=x.device))
        padded = torch.where(owned[None, :, None], padding, x.detach())
        if not torch.equal(padded, blank.expand_as(padded)):
            found[PADDED] = padded
    return found
