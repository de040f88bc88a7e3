"""The known cases that a prediction is compared with: a sample of the reference, its outcomes, its place in space."""

from __future__ import annotations

import json
import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xagent.case import ImageInput, Population, TextInput, resolve_file
from xagent.errors import InvalidCase
from xagent.tools._base import Context
from xagent.tools._confidence_cache import remembered
from xagent.tools._contrast import Reference, reference_of
from xagent.tools._population import _pooled, _read_texts, file_hash

if TYPE_CHECKING:
    from xagent.subject import Encoded

Floats = NDArray[np.float64]

MOST_ROWS = {"tabular": 2000, "image": 2000, "text": 256}
_FEWEST_IMAGES, _MOST_PIXELS = 128, 2**24
"""Large images: fewer of them, but not so few that nothing could be told."""


@dataclass(frozen=True)
class Known:
    """A seeded sample of n rows. total: rows of the whole reference. index (n,): their places in it.

    reference: rows and background of a table or of images; texts: of texts. labels (n,): place of the true class, -1
    where unknown, or the true value, NaN where unknown; None when no outcomes are supplied.
    """

    ctx: Context
    source: Population
    total: int
    index: NDArray[np.int64]
    reference: Reference | None
    texts: tuple[str, ...]
    labels: NDArray[Any] | None

    @property
    def n(self) -> int:
        return len(self.index)

    @property
    def labelled(self) -> NDArray[np.bool_]:
        """(n,): whose outcome is known."""
        if self.labels is None:
            return np.zeros(self.n, dtype=bool)
        return ~np.isnan(self.labels) if self.labels.dtype.kind == "f" else self.labels >= 0

    @cached_property
    def rows(self) -> Tensor:
        """(n, ...) as the model takes them; of a table or of images."""
        assert self.reference is not None
        return self.reference.rows[torch.from_numpy(self.index)]

    @cached_property
    def encoded(self) -> list[Encoded]:
        """Of texts."""
        return self.ctx.subject.encode_texts(list(self.texts))

    @cached_property
    def logits(self) -> Floats:
        """(n, K) float64: what the model answers to each."""
        return np.asarray(remembered(self.key("logits"), self.ctx.cache, lambda: {"logits": self._run()})["logits"])

    @cached_property
    def usable(self) -> NDArray[np.bool_]:
        """(n,): whose scores are finite numbers."""
        return np.asarray(np.isfinite(self.logits).all(axis=1), dtype=bool)

    def key(self, what: str, **more: Any) -> dict[str, Any] | None:
        """What arrays made of these rows depend on; None for a model without a file, which could change."""
        subject = self.ctx.subject
        if "model" not in subject.sha256:
            return None
        return {
            "what": what,
            "files": subject.sha256,
            "reference": file_hash(self.ctx, self.source, "reference"),
            "output": [subject.output.kind, *subject.classes],
            "device": subject.device.type,
            "dtype": str(subject.dtype),
            "torch": torch.__version__,
            "seed": self.ctx.seed,
            "rows": self.n,
            **more,
        }

    def _run(self) -> Floats:
        subject = self.ctx.subject
        if self.reference is not None:
            return subject.logits({"input": self.rows}).double().numpy()
        result = np.empty((self.n, max(1, len(subject.classes))))
        by_length: dict[int, list[int]] = {}
        for place, item in enumerate(self.encoded):
            by_length.setdefault(item.inputs[item.traced].shape[1], []).append(place)
        for places in by_length.values():  # no padding, which some models would read
            together = [self.encoded[p].inputs for p in places]
            batch = {name: torch.cat([inputs[name] for inputs in together]) for name in together[0]}
            result[places] = subject.logits(batch).double().numpy()
        return result

    def space(self, encoded: Encoded) -> tuple[Floats, Floats, str]:
        """(n, d) and (d,): the known rows and the case where distances are taken, and how in words."""
        if self.reference is None:
            rows = remembered(self.key("space"), self.ctx.cache, lambda: {"space": self._embeddings()})["space"]
            own = _direction(encoded.inputs[encoded.traced][0])
            return rows, own, "the mean of the model's input embeddings, at length one"
        known, own = _array(self.rows), _array(encoded.inputs[encoded.traced])
        if isinstance(self.ctx.case.input, ImageInput):
            return _pooled(known).reshape(self.n, -1), _pooled(own).reshape(-1), "the encoded pixels"
        known, own, owners = _without_codes(self.ctx, known, own[0], encoded)
        known, own = _filled(known, own)
        scale = np.ones(known.shape[1])
        for columns in owners:  # one input, one unit of variance, however many columns it has
            spread = math.sqrt(float(known[:, columns].var(axis=0).sum()))
            scale[columns] = spread if spread > 0 else 1.0
        return known / scale, own / scale, "the encoded inputs, each at variance one"

    def _embeddings(self) -> Floats:
        return np.stack([_direction(item.inputs[item.traced][0]) for item in self.encoded])


def known_cases(ctx: Context) -> Known | None:
    """A sample of the case's reference, chosen by the seed; None without a reference.

    Raises InvalidCase for a reference that cannot be read, and for outcomes that are not the model's.
    """
    source = ctx.case.reference
    if source is None:
        return None
    path = resolve_file(ctx.case, source.path, "reference.path")
    reference, texts = reference_of(ctx), []
    if isinstance(ctx.case.input, TextInput):
        texts = _read_texts(path, "reference")
        if not texts:
            raise InvalidCase(f"reference: {path.name} has no rows.", "Give at least 50 rows.")
    total = len(reference.rows) if reference is not None else len(texts)
    labels = _labels(ctx, source, path, reference, total)
    index = _sample(ctx, reference, total)
    return Known(
        ctx=ctx,
        source=source,
        total=total,
        index=index,
        reference=reference,
        texts=tuple(texts[i] for i in index) if texts else (),
        labels=None if labels is None else labels[index],
    )


def _sample(ctx: Context, reference: Reference | None, total: int) -> NDArray[np.int64]:
    kind = "text" if reference is None else "image" if isinstance(ctx.case.input, ImageInput) else "tabular"
    most = MOST_ROWS[kind]
    if kind == "image" and reference is not None:
        most = min(most, max(_FEWEST_IMAGES, _MOST_PIXELS // reference.rows[0].numel()))
    if total <= most:
        return np.arange(total)
    return np.sort(np.random.default_rng(ctx.seed).choice(total, most, replace=False))


def _labels(
    ctx: Context, source: Population, path: Path, reference: Reference | None, total: int
) -> NDArray[Any] | None:
    """(total,) true outcomes, None when the case does not name where they stand."""
    name = source.label
    if name is None:
        return None
    raw: Iterable[Any]
    if reference is None:
        with path.open(encoding="utf-8") as lines:
            raw = [json.loads(line).get(name) for line in lines if line.strip()]
    elif reference.table is not None:
        if name not in reference.table.columns:
            raise InvalidCase(f"reference.label: {path.name} has no column {name!r}.", "Name the column of outcomes.")
        raw = reference.table[name].tolist()
    else:
        raw = _array_of(path, name)
    found = [_label(ctx, value) for value in raw]
    if len(found) != total:
        raise InvalidCase(
            f"reference.label: {path.name} has {total} rows and {len(found)} outcomes.", "Give one for every row."
        )
    return np.array(found, dtype=np.int64 if ctx.subject.classes else np.float64)


def _array_of(path: Path, name: str) -> list[Any]:
    try:
        with np.load(path, allow_pickle=False) as data:
            array = data[name]
    except (OSError, ValueError, KeyError) as error:
        raise InvalidCase(
            f"reference.label: {path.name} holds no readable array {name!r}.", "Name the array of outcomes."
        ) from error
    if array.ndim != 1:
        raise InvalidCase(f"reference.label: {name!r} has shape {array.shape}.", "Give one outcome for every image.")
    found: list[Any] = array.tolist()
    return found


def _label(ctx: Context, value: Any) -> float | int:
    """Place of a class or a number; -1 or NaN for an empty one. Raises InvalidCase: nothing is guessed."""
    empty = value is None or value == "" or (isinstance(value, float) and math.isnan(value))
    classes = ctx.subject.classes
    if not classes:
        try:
            number = math.nan if empty else float(value)
        except (TypeError, ValueError):
            number = math.inf
        if math.isinf(number):
            raise InvalidCase(f"reference.label: {str(value)[:60]!r} is no number.", "Give the true values.")
        return number
    if empty:
        return -1
    names = [str(value)]
    if isinstance(value, bool):
        names.append(str(value).lower())
    elif isinstance(value, float) and value.is_integer():
        names.append(str(int(value)))
    for name in names:
        if name in classes:
            return classes.index(name)
    raise InvalidCase(
        f"reference.label: {str(value)[:60]!r} is not one of model.output.classes.",
        f"Write outcomes as {', '.join(classes[:8])}; leave unknown ones empty.",
    )


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy(), dtype=np.float64)


def _direction(embedded: Tensor) -> Floats:
    mean = _array(embedded).mean(axis=0)
    length = float(np.linalg.norm(mean))
    return np.asarray(mean / length if length > 0 else mean, dtype=np.float64)


def _without_codes(
    ctx: Context, known: Floats, own: Floats, encoded: Encoded
) -> tuple[Floats, Floats, list[list[int]]]:
    """Columns that hold places of levels become one column a level; with the columns of each input."""
    coded = getattr(ctx.subject, "levels", {})
    names = getattr(ctx.subject, "columns", ())
    parts, mine, owners = [], [], []
    width = 0
    for player in encoded.players:
        first = width
        for column in player.index:
            block, cell = known[:, [column]], own[[column]]
            if names and names[column] in coded:
                codes = np.unique(np.append(block, cell))
                codes = codes[~np.isnan(codes)]
                block, cell = (block == codes).astype(np.float64), (cell == codes).astype(np.float64)
            parts.append(block)
            mine.append(cell)
            width += len(cell)
        owners.append(list(range(first, width)))
    return np.concatenate(parts, axis=1), np.concatenate(mine), owners


def _filled(known: Floats, own: Floats) -> tuple[Floats, Floats]:
    """Missing numbers take the mean of their column, zero in a column of nothing else."""
    gaps = np.isnan(known)
    if not gaps.any() and not np.isnan(own).any():
        return known, own
    count = (~gaps).sum(axis=0)
    mean = np.where(gaps, 0.0, known).sum(axis=0) / np.maximum(count, 1)
    return np.where(gaps, mean, known), np.where(np.isnan(own), mean, own)
