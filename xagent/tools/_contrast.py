"""What relevance and trust share: the score that is explained, and the background it is compared with."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import lru_cache
from math import log
from typing import TYPE_CHECKING, Any

from xagent.case import GenerationInput, TabularInput, TextInput, read_table, resolve_file, sha256_of
from xagent.tools._base import Context
from xagent.tools._kept import LARGEST, Facts, shelf_of

if TYPE_CHECKING:
    import pandas as pd
    from torch import Tensor

    from xagent.subject import Encoded

ZEROS = "an input of zeros"
BLANK = "a text of blanked words"
BLANK_PASSAGES = "a prompt of blanked passages"
_CHUNK_ELEMENTS = 2**24
"""Numbers in one batch of altered inputs: 64 MiB in single precision."""


@dataclass(frozen=True)
class Contrast:
    """The explained score: output `target` minus output `foil`; with foil None the value of a regression, or the sum of
    the logits of an answer's tokens."""

    target: int
    foil: int | None

    def of(self, logits: Tensor) -> Tensor:
        """(batch,) score of logits (batch, K)."""
        return logits[:, self.target] if self.foil is None else logits[:, self.target] - logits[:, self.foil]


def contrast_of(ctx: Context, logits: Tensor) -> Contrast:
    """The case's target against the strongest other class for logits (1, K) of its input."""
    prediction = ctx.case.prediction
    if not ctx.case.model.output.classes:
        return Contrast(0, None)
    target = ctx.subject.target_index(prediction.target or prediction.label)
    others = logits[0].clone()
    others[target] = float("-inf")
    return Contrast(target, int(others.argmax()))


def decision_threshold(ctx: Context) -> float | None:
    """Where the decision turns on the scale of the contrast; None for a regression without a threshold and
    for an answer.

    A threshold on the probability of one of two classes is its log-odds, and one on a single logit is itself. Among
    more classes the contrast turns at zero, where target and foil change places.
    """
    output, prediction = ctx.case.model.output, ctx.case.prediction
    if output.kind == "value":
        return prediction.threshold
    if output.kind == "generation":  # a limit is one of probabilities, and relevance explains logits
        return None
    if prediction.threshold is None or len(output.classes) != 2:
        return 0.0
    if prediction.scale == "probability":
        p = min(max(prediction.threshold, 1e-12), 1 - 1e-12)
        return log(p / (1 - p))
    return prediction.threshold if output.kind == "logit" else 0.0


@dataclass(frozen=True)
class Reference:
    """The reference population: rows (n, ...) encoded like the traced input, and for a table its raw values. Both are
    shared between cases and never changed. facts: what was computed of the rows alone."""

    name: str
    rows: Tensor
    table: pd.DataFrame | None = None
    facts: Facts = field(default_factory=Facts, compare=False, repr=False)


def reference_of(ctx: Context) -> Reference | None:
    """The population that the case names; None without one, and for texts, which have no average."""
    population = ctx.case.reference
    if population is None or isinstance(ctx.case.input, TextInput | GenerationInput):
        return None
    path = resolve_file(ctx.case, population.path, "reference.path")
    tabular = isinstance(ctx.case.input, TabularInput)
    shelf, encoder = shelf_of(ctx.subject)

    def read() -> Reference:
        if not tabular:
            return Reference(population.name, ctx.subject.encode_images(path))
        table = read_table(path, "reference")
        return Reference(population.name, ctx.subject.encode_table(table), table)

    key = (encoder, path.suffix, sha256_of(path))
    found = shelf.get(key, read, lambda made: made.rows.numel() <= LARGEST)
    return found if found.name == population.name else replace(found, name=population.name)


def background_of(ctx: Context, encoded: Encoded, reference: Reference | None) -> tuple[Tensor, str]:
    """What takes the place of an input that is not there, shaped like it, and its name in words."""
    if reference is not None:
        rows = reference.rows
        return reference.facts.once("background", lambda: ctx.subject.background(rows, encoded)), reference.name
    blanks = {"text": BLANK, "generation": BLANK_PASSAGES}
    return ctx.subject.background(encoded=encoded), blanks.get(encoded.kind, ZEROS)


def owner_of(encoded: Encoded) -> Tensor:
    """(d,) int64: the player of each column of a row; not to be changed."""
    return _owner(tuple(player.index for player in encoded.players), encoded.inputs[encoded.traced].shape[1])


@lru_cache(maxsize=32)
def _owner(indices: tuple[tuple[int, ...], ...], columns: int) -> Tensor:
    import torch

    owner = torch.zeros(columns, dtype=torch.int64)
    owner[[column for index in indices for column in index]] = torch.tensor(
        [place for place, index in enumerate(indices) for _ in index]
    )
    return owner


def ablation(ctx: Context, encoded: Encoded, background: Tensor) -> Callable[[Tensor], dict[str, Tensor]]:
    """keep (m, P) bool -> the model's inputs, batch m, with the other players replaced: `Subject.ablate` of many
    coalitions of one case. A row of columns that all belong to a player needs no more than one look-up."""
    import torch

    x = encoded.inputs[encoded.traced]
    if encoded.kind != "tabular" or len(background) != 1 or len(encoded.inputs) != 1 or ctx.subject.module is None:
        return lambda keep: ctx.subject.ablate(encoded, keep, background)
    owner, base = owner_of(encoded).to(x.device), background.to(x)
    return lambda keep: {encoded.traced: torch.where(keep.to(x.device)[:, owner], x, base)}


def score_coalitions(
    ctx: Context, encoded: Encoded, contrast: Contrast, background: Tensor
) -> Callable[[Tensor], Tensor]:
    """keep (m, P) bool -> (m,) explained score with the other players replaced, in batches that fit into memory."""
    import torch

    rows = max(1, min(512, _CHUNK_ELEMENTS // max(encoded.inputs[encoded.traced].numel(), 1)))
    make = ablation(ctx, encoded, background)

    def logits(keep: Tensor) -> Tensor:
        if ctx.subject.module is None:  # may average over the rows of its background
            return ctx.subject.coalition_logits(encoded, keep, background)
        return ctx.subject.logits(make(keep))

    def score(keep: Tensor) -> Tensor:
        return torch.cat([contrast.of(logits(part)) for part in torch.split(keep, rows)]).double()

    return score


def reference_hashes(ctx: Context) -> dict[str, str]:
    """SHA-256 of the model's files and of the reference population, by role."""
    hashes: dict[str, str] = dict(ctx.subject.sha256)
    if ctx.case.reference is not None:
        hashes["reference"] = sha256_of(resolve_file(ctx.case, ctx.case.reference.path, "reference.path"))
    return hashes


def number(value: Any) -> float:
    """A plain float from a number or a tensor with one element."""
    return float(value.reshape(-1)[0]) if hasattr(value, "reshape") else float(value)
