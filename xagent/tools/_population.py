"""The reference population, the recent window and the case in one form: named columns, and vectors where there are any.

Rows keep their features. Texts and images get a few plain measures as columns; their vectors are the mean of the
model's own input embeddings, and the encoded pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from xagent.case import (
    GenerationInput,
    ImageInput,
    Population,
    TabularInput,
    TextInput,
    Window,
    read_table,
    resolve_file,
    sha256_of,
)
from xagent.errors import InvalidCase
from xagent.evidence import Claim, slug
from xagent.tools._base import Context, NotApplicable
from xagent.tools._columns import Column, Shape, column_of, shape_of

if TYPE_CHECKING:
    import pandas as pd

Floats = NDArray[np.float64]

MAX_TEXT_BYTES = 256 * 1024 * 1024
MAX_PIXELS = 1024
"""Larger images are averaged over squares until they have at most this many numbers."""
_SAMPLE = {"tabular": 25_000, "text": 3_000, "image": 5_000, "generation": 3_000}
_WORDS = {
    "tabular": "the values of the features",
    "text": "length and characters of the text, and the mean of the model's input embeddings",
    "image": "mean brightness and contrast of the encoded pixels, and the pixels themselves",
}


@dataclass(frozen=True)
class Rows:
    """n cases side by side. vectors: (n, d) float64, None for rows of a table. representation: in words."""

    n: int
    columns: tuple[Column, ...]
    vectors: Floats | None
    representation: str

    def take(self, index: NDArray[np.int64]) -> Rows:
        vectors = None if self.vectors is None else self.vectors[index]
        return Rows(len(index), tuple(c.take(index) for c in self.columns), vectors, self.representation)


def need_reference(ctx: Context) -> Population:
    if ctx.case.reference is None:
        raise NotApplicable("The case names no reference population.")
    return ctx.case.reference


def file_hash(ctx: Context, source: Population | Window, field: str) -> str:
    """SHA-256 of a population's file. Raises InvalidCase when the case names another."""
    path = resolve_file(ctx.case, source.path, field)
    found = sha256_of(path)
    if source.sha256 is not None and found != source.sha256:
        raise InvalidCase(
            f"{field}: {path.name} is not the file that the case names by its sha256.",
            f"Restore that file, or correct {field}.sha256.",
        )
    return found


def read_reference(ctx: Context, *, vectors: bool) -> tuple[Rows, dict[str, Shape], int]:
    """The reference population, how its columns are to be read, and how many rows its file has.

    With `vectors` a large population is sampled down (seeded). Raises NotApplicable without one, InvalidCase when it
    has no rows or lacks a feature.
    """
    source = need_reference(ctx)
    raw, path = _raw(ctx, source, "reference")
    total = len(raw)
    if total == 0:
        raise InvalidCase(f"reference: {path.name} has no rows.", "Give at least 50 rows.")
    if vectors:
        raw = _sampled(raw, _SAMPLE[ctx.case.input.kind], ctx.seed)
    shapes: dict[str, Shape] = {}
    if isinstance(ctx.case.input, TabularInput):
        for name, value in ctx.case.input.values.items():
            shapes[name] = shape_of(_series(raw, name, path, "reference"), value, ctx.card.features.get(name))
    return _rows(ctx, raw, shapes, path, "reference", vectors), shapes, total


def read_window(ctx: Context, shapes: dict[str, Shape]) -> Rows:
    """The recent window, its columns read like the reference's; it may have no rows at all."""
    source = ctx.case.window
    if source is None:
        raise NotApplicable("The case names no recent window.")
    raw, path = _raw(ctx, source, "window")
    return _rows(ctx, raw, shapes, path, "window", False)


def read_input(ctx: Context, shapes: dict[str, Shape]) -> Rows:
    """The case's own input as one row, with vectors."""
    given = ctx.case.input
    if isinstance(given, TabularInput):
        columns = tuple(column_of(name, [given.values[name]], shape, None) for name, shape in shapes.items())
        return Rows(1, columns, None, _WORDS["tabular"])
    if isinstance(given, TextInput | GenerationInput):
        text = given.shown if isinstance(given, GenerationInput) else given.text
        return _text_rows(ctx, [text], True, "input")
    return _image_rows(_tensor(ctx.subject.encode(given)), True)


def label_claims(ctx: Context, names: Iterable[str]) -> Iterator[Claim]:
    """`feature.<slug>.label` of the measures of a text or an image, which the case itself has no claims for."""
    if isinstance(ctx.case.input, TabularInput):
        return
    for name in names:
        yield Claim(
            id=f"feature.{slug(name)}.label",
            kind="text",
            subject=ctx.case.subject,
            feature=name,
            value=ctx.card.feature(name).label,
            artifact="case",
        )


def _raw(ctx: Context, source: Population | Window, field: str) -> tuple[Any, Path]:
    """The file's content: a frame, a list of texts, or an array of images (n, C, H, W)."""
    path = resolve_file(ctx.case, source.path, field)
    if isinstance(ctx.case.input, TabularInput):
        return read_table(path, field), path
    if isinstance(ctx.case.input, TextInput | GenerationInput):
        return _read_texts(path, field), path
    return _read_images(ctx, path, field), path


def _read_texts(path: Path, field: str) -> list[str]:
    """Texts of a JSON Lines file with `text` in every line."""
    if path.stat().st_size > MAX_TEXT_BYTES:
        raise InvalidCase(f"{field}: {path.name} is larger than {MAX_TEXT_BYTES // 2**20} MiB.", "Sample it down.")
    texts = []
    try:
        with path.open(encoding="utf-8") as lines:
            for number, line in enumerate(lines, start=1):
                if not line.strip():
                    continue
                entry = json.loads(line)
                if not isinstance(entry, dict) or not isinstance(entry.get("text"), str):
                    raise InvalidCase(f"{field}: line {number} of {path.name} has no `text`.", "Add it to every line.")
                texts.append(entry["text"])
    except (ValueError, RecursionError, OSError) as error:
        raise InvalidCase(f"{field}: {path.name} is not JSON Lines ({error}).", 'Give lines {"text": ...}.') from None
    return texts


def _read_images(ctx: Context, path: Path, field: str) -> Floats:
    """Encoded images (n, C, H, W); an empty file is an empty array, which the encoder would refuse."""
    import zipfile

    try:
        with zipfile.ZipFile(path) as archive, archive.open("pixels.npy") as stream:
            version = np.lib.format.read_magic(stream)
            header = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
            if header(stream)[0][:1] == (0,):
                return np.empty((0, 1, 1, 1))
    except (OSError, ValueError, KeyError, zipfile.BadZipFile):
        pass  # the encoder says what is wrong with the file
    return np.asarray(ctx.subject.encode_images(path, field).double().cpu().numpy(), dtype=np.float64)


def _sampled(raw: Any, most: int, seed: int) -> Any:
    """At most so many rows, chosen by the seed and kept in their order."""
    if len(raw) <= most:
        return raw
    index = np.sort(np.random.default_rng(seed).choice(len(raw), most, replace=False))
    if isinstance(raw, list):
        return [raw[i] for i in index]
    return raw[index] if isinstance(raw, np.ndarray) else raw.iloc[index]


def _rows(ctx: Context, raw: Any, shapes: dict[str, Shape], path: Path, field: str, vectors: bool) -> Rows:
    if isinstance(ctx.case.input, TextInput | GenerationInput):
        return _text_rows(ctx, raw, vectors, field)
    if isinstance(ctx.case.input, ImageInput):
        return _image_rows(raw, vectors)
    where = f"{field}: column {{!r}} of {path.name}"
    strict = where if field == "reference" else None
    columns = tuple(column_of(n, _series(raw, n, path, field), shape, strict) for n, shape in shapes.items())
    return Rows(len(raw), columns, None, _WORDS["tabular"])


def _series(frame: pd.DataFrame, name: str, path: Path, field: str) -> pd.Series[Any]:
    if name not in frame.columns:
        raise InvalidCase(
            f"{field}: {path.name} has no column {name!r}.", "It needs every feature of input.values as a column."
        )
    found = frame[name]
    if found.ndim != 1:
        raise InvalidCase(f"{field}: {path.name} has the column {name!r} twice.", "Name every column once.")
    return found


def _measures(named: Iterable[tuple[str, Sequence[float] | Floats]]) -> tuple[Column, ...]:
    return tuple(Column(name, "numeric", np.asarray(values, dtype=np.float64)) for name, values in named)


def _text_rows(ctx: Context, texts: list[str], vectors: bool, field: str) -> Rows:
    columns = _measures(
        (
            ("number of characters", [float(len(t)) for t in texts]),
            ("number of words", [float(len(t.split())) for t in texts]),
            ("share of non-ASCII characters", [sum(not c.isascii() for c in t) / max(len(t), 1) for t in texts]),
        )
    )
    if not vectors:
        return Rows(len(texts), columns, None, "length and characters of the text")
    matrix = []
    for number, text in enumerate(texts, 1):  # one at a time: the embeddings of all tokens together may not fit
        try:
            encoded = ctx.subject.encode_texts([text])[0]
        except InvalidCase as error:
            raise InvalidCase(f"{field}: text {number} of {len(texts)}: {error.message}", error.hint) from None
        matrix.append(_tensor(encoded)[0].mean(axis=0))
    return Rows(len(texts), columns, np.stack(matrix), _WORDS["text"])


def _image_rows(pixels: Floats, vectors: bool) -> Rows:
    flat = pixels.reshape(len(pixels), -1)
    columns = _measures((("mean brightness", flat.mean(axis=1)), ("contrast", flat.std(axis=1))))
    if not vectors:
        return Rows(len(pixels), columns, None, "mean brightness and contrast of the encoded pixels")
    pooled = _pooled(pixels)
    words = _WORDS["image"] if pooled.shape == pixels.shape else f"{_WORDS['image']}, averaged over squares"
    return Rows(len(pixels), columns, pooled.reshape(len(pixels), -1), words)


def _pooled(pixels: Floats) -> Floats:
    """(n, C, H, W) averaged over 2x2 squares until an image has at most MAX_PIXELS numbers; odd edges are cut."""
    while pixels[0].size > MAX_PIXELS and min(pixels.shape[2:]) >= 2:
        n, c, h, w = pixels.shape
        even = pixels[:, :, : h // 2 * 2, : w // 2 * 2]
        pixels = even.reshape(n, c, h // 2, 2, w // 2, 2).mean(axis=(3, 5))
    return pixels


def _tensor(encoded: Any) -> Floats:
    """The traced tensor of one encoded input, (1, ...)."""
    return np.asarray(encoded.inputs[encoded.traced].detach().double().cpu().numpy(), dtype=np.float64)
