"""Which inputs moved the score towards the outcome, and which against it."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xagent.case import TabularInput, TextInput
from xagent.case._case import Scalar
from xagent.evidence import Claim
from xagent.tools._answered import answer_relevance
from xagent.tools._base import Context, Tool
from xagent.tools._case_claims import is_category
from xagent.tools._contrast import (
    ZEROS,
    Contrast,
    background_of,
    contrast_of,
    number,
    reference_hashes,
    reference_of,
    score_coalitions,
)
from xagent.tools._driver_claims import relevance_claims
from xagent.tools._probed import encoded_of, keep_slope
from xagent.tools._refining import method_words, refinement_of
from xagent.tools._relevance_result import (
    HeadRelevance,
    ImageMap,
    LayerRelevance,
    PairRelevance,
    PlayerRelevance,
    ReferenceRows,
    RelevanceResult,
    SentenceRelevance,
    TokenRelevance,
)

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor, nn

    from xagent.subject import Encoded, ExactRelevance

LEDGER = ("inputs", "baseline", "biases", "positions", "constants", "softmax", "unhandled")


class Relevance(Tool[RelevanceResult]):
    """Traces the target's score against the strongest other class back to the inputs. A list that reaches too little
    of what a list could say is refined by removal.

    A model without a module to trace is explained exactly where it has a closed form (trees, sums of terms, linear
    models), else by leaving out one input at a time.
    """

    name = "relevance"
    result = RelevanceResult

    def run(self, ctx: Context) -> RelevanceResult:
        encoded = encoded_of(ctx)
        contrast = contrast_of(ctx, ctx.subject.logits(encoded.inputs))
        reference = reference_of(ctx)
        background, baseline = background_of(ctx, encoded, reference)
        if (exact := ctx.subject.exact_relevance(encoded, background)) is not None:
            found = exactly(encoded, contrast, exact, len(reference.rows) if reference else None)
        elif ctx.subject.module is None:
            found = _without_module(ctx, encoded, contrast, background)
        else:
            # Words carry relevance from zero: an average or a blank word would take a part of it out of the account.
            baseline = ZEROS if encoded.kind in ("text", "generation") else baseline
            found = _traced(ctx, encoded, ctx.subject.module, contrast, None if baseline == ZEROS else background)
        if not all(math.isfinite(v) for v in (found["score"], found["gap"], *found["ledger"].values())):
            raise ArithmeticError("the model's score or its relevance is not a finite number")
        units: Tensor = found.pop("units")
        listed = [float(units[list(player.index)].sum()) for player in encoded.players]
        values, better = listed, None
        if not found["complete"]:  # values in closed form are the answer to their question
            values, better = refinement_of(ctx, encoded, contrast, reference, background, listed)
            found["method"] = method_words(found["method"], better)
        classes = ctx.case.model.output.classes
        return RelevanceResult(
            target=classes[contrast.target] if classes else None,
            target_index=contrast.target,
            foil=classes[contrast.foil] if contrast.foil is not None else None,
            foil_index=contrast.foil,
            baseline=baseline,
            unassigned=float(units.sum()) - sum(listed),
            refined=better,
            players=_ranked(ctx, encoded, values, reference.table if reference else None),
            image=_image(encoded, units) if encoded.kind == "image" else None,
            tokens=_tokens(encoded, values) if encoded.kind == "text" else None,
            sentences=_sentences(ctx, encoded, values),
            answer=answer_relevance(ctx, encoded, units, values) if encoded.exchange is not None else None,
            pairs=_pairs(ctx, contrast, exact) if exact is not None else (),
            **found,
        )

    def claims(self, data: RelevanceResult, ctx: Context) -> Iterator[Claim]:
        return relevance_claims(data, ctx)

    def parameters(self, ctx: Context) -> dict[str, Any]:
        """Rules are chosen only where there is a network to trace."""
        rules = {} if ctx.subject.module is None else {"rules": ctx.rules}
        return {"seed": ctx.seed, "refine": ctx.refine} | rules

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx)


def _traced(
    ctx: Context, encoded: Encoded, module: nn.Module, contrast: Contrast, background: Tensor | None
) -> dict[str, Any]:
    """One pass of the tracer; relevance is summed over everything but the unit axis."""
    from xagent.relevance import Target, Tracer

    target = Target.value() if contrast.foil is None else Target.contrast(contrast.target, contrast.foil)
    tracer = Tracer(module, rules=ctx.rules, forward=ctx.subject.forward)
    with ctx.subject.lock:
        trace = tracer.trace(
            encoded.inputs,
            of=[encoded.traced],
            target=target,
            baseline=None if background is None else {encoded.traced: background},
            layers=True,
            heads=True,
        )
    keep_slope(ctx, encoded, contrast, trace, background)
    ledger = {name: number(getattr(trace.ledger, name)) for name in LEDGER}
    score, total = number(trace.score), number(trace.ledger.total)
    return {
        "method": f"relevance propagation, {ctx.rules} rules",
        "status": trace.status,
        "score": score,
        "ledger": {**ledger, "residual": score - total},
        "gap": number(trace.ledger.gap),
        "audit": {str(op): int(count) for op, count in sorted(trace.audit.items())},
        "complete": False,
        "by_removal": False,
        "layers": tuple(LayerRelevance(name=name, sum=number(held)) for name, held in trace.layers.items()),
        "heads": tuple(
            HeadRelevance(layer=name, head=place, relevance=amount)
            for name, held in trace.heads.items()
            for place, amount in enumerate(held[0].double().sum(-1).tolist())
        ),
        "units": per_unit(encoded, trace.relevance[encoded.traced]),
        "precision": trace.precision if ctx.subject.dtype.itemsize < 4 else None,
        "rounding": None if trace.rounding is None else number(trace.rounding),
    }


def per_unit(encoded: Encoded, relevance: Tensor) -> Tensor:
    """(units,) float64: a column, a token (sum over its embedding) or a pixel (sum over its channels)."""
    row = relevance[0].detach().cpu().double()
    if encoded.kind in ("text", "generation"):
        return row.sum(-1)
    return row.sum(0).reshape(-1) if encoded.kind == "image" else row.reshape(-1)


def exactly(encoded: Encoded, contrast: Contrast, exact: ExactRelevance, available: int | None) -> dict[str, Any]:
    """Shapley values of the contrast: what its two classes get, subtracted. available: rows of the reference."""
    import torch

    values = contrast.of(exact.values)
    units = torch.zeros(encoded.inputs[encoded.traced].numel(), dtype=torch.float64)
    for player, value in zip(encoded.players, values, strict=True):
        units[player.index[0]] = value
    score, base = float(contrast.of(exact.scores[None])[0]), float(contrast.of(exact.base[None])[0])
    listed = float(values.sum())
    residual = score - base - listed
    return {
        "method": exact.method,
        "status": "exact",
        "score": score,
        "ledger": {**dict.fromkeys(LEDGER, 0.0), "inputs": listed, "baseline": base, "residual": residual},
        "gap": abs(residual) / max(abs(score), 1e-12),
        "audit": {},
        "complete": True,
        "by_removal": False,
        "rows": None if available is None else ReferenceRows(used=exact.rows, available=available, seed=exact.seed),
        "units": units,
    }


def _pairs(ctx: Context, contrast: Contrast, exact: ExactRelevance) -> tuple[PairRelevance, ...]:
    """What pairs of inputs add only together, the largest first."""
    found = [
        PairRelevance(
            features=pair.features,
            labels=(ctx.card.feature(pair.features[0]).label, ctx.card.feature(pair.features[1]).label),
            relevance=float(contrast.of(pair.worth[None])[0]),
        )
        for pair in exact.pairs
    ]
    return tuple(sorted(found, key=lambda pair: -abs(pair.relevance)))


def _without_module(ctx: Context, encoded: Encoded, contrast: Contrast, background: Tensor) -> dict[str, Any]:
    import torch

    players = encoded.players
    score_of = score_coalitions(ctx, encoded, contrast, background)
    keep = ~torch.eye(len(players), dtype=torch.bool)
    ends = torch.tensor([True, False])[:, None].expand(2, len(players))
    scores = score_of(torch.cat([ends, keep]))
    x, b = encoded.inputs[encoded.traced], background
    units = torch.zeros(x[0].numel(), dtype=torch.float64)
    linear = ctx.subject.linear_coefficients()
    if linear is not None:
        # (K, d): a linear model's own weights, exact for every order of removal.
        weights = contrast.of(linear.coefficients.double().T)
        units += weights * (x - b)[0].reshape(-1).double()
    else:
        for player, effect in zip(players, scores[0] - scores[2:], strict=True):
            units[player.index[0]] = effect
    score, base = float(scores[0]), float(scores[1])
    listed = float(units.sum())
    residual = score - base - listed
    return {
        "method": "coefficients of a linear model" if linear is not None else "removal of one input at a time",
        "status": "exact" if linear is not None else "audited",
        "score": score,
        "ledger": {**dict.fromkeys(LEDGER, 0.0), "inputs": listed, "baseline": base, "residual": residual},
        "gap": abs(residual) / max(abs(score), 1e-12),
        "audit": {},
        "complete": linear is not None,
        "by_removal": linear is None,
        "units": units,
    }


def _ranked(
    ctx: Context, encoded: Encoded, values: list[float], table: pd.DataFrame | None
) -> tuple[PlayerRelevance, ...]:
    """By falling magnitude; equal ones stay in the order of the input."""
    total = sum(abs(v) for v in values)
    order = sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))
    return tuple(
        PlayerRelevance(
            feature=encoded.players[i].feature,
            label=_label(ctx, encoded, i),
            relevance=values[i],
            share=abs(values[i]) / total if total > 0 else 0.0,
            rank=rank,
            typical=_typical(ctx, encoded.players[i].feature, table),
        )
        for rank, i in enumerate(order, 1)
    )


def _label(ctx: Context, encoded: Encoded, i: int) -> str:
    player = encoded.players[i]
    return ctx.card.feature(player.feature).label if encoded.kind == "tabular" else player.label


def _typical(ctx: Context, feature: str, table: pd.DataFrame | None) -> Scalar:
    """Median of a number, most frequent level otherwise (the first by name among equals)."""
    if table is None or feature not in table.columns or not isinstance(ctx.case.input, TabularInput):
        return None
    import pandas as pd

    column = table[feature].dropna()
    value = ctx.case.input.values.get(feature)
    if column.empty:
        return None
    numeric = pd.api.types.is_numeric_dtype(column) and not pd.api.types.is_bool_dtype(column)
    if numeric and not is_category(value, ctx.card.feature(feature)):
        median = float(column.median())
        return median if math.isfinite(median) else None
    counts = column.value_counts()
    top = min(counts[counts == counts.max()].index, key=str)
    plain = top.item() if hasattr(top, "item") else top
    return plain if isinstance(plain, bool | int | float | str) else str(plain)


def _image(encoded: Encoded, units: Tensor) -> ImageMap:
    picture = encoded.inputs[encoded.traced][0].detach().cpu().double().mean(0)
    height, width = picture.shape
    spread = float(picture.max() - picture.min())
    grey = (picture - picture.min()) / (spread if spread > 0 else 1.0)
    return ImageMap(
        height=height,
        width=width,
        pixels=[[round(v, 6) for v in row] for row in grey.tolist()],
        map=units.reshape(height, width).tolist(),
    )


def _sentences(ctx: Context, encoded: Encoded, values: list[float]) -> tuple[SentenceRelevance, ...] | None:
    """Words summed by sentence, in the order of the text; None for what is no text."""
    if not isinstance(ctx.case.input, TextInput):
        return None
    from xagent.relevance import sentences

    text = ctx.case.input.text
    spans = [(passage.start, passage.end) for passage in sentences(text)]
    sums, cursor, place = [0.0] * len(spans), 0, 0
    for player, value in zip(encoded.players, values, strict=True):
        start = text.find(player.label, cursor)
        cursor = start + len(player.label) if start >= 0 else cursor
        while place + 1 < len(spans) and spans[place + 1][0] < cursor:
            place += 1
        sums[place] += value
    return tuple(SentenceRelevance(text=text[a:b], relevance=value) for (a, b), value in zip(spans, sums, strict=True))


def _tokens(encoded: Encoded, values: list[float]) -> tuple[TokenRelevance, ...]:
    return tuple(
        TokenRelevance(text=player.label, relevance=value)
        for player, value in zip(encoded.players, values, strict=True)
    )
