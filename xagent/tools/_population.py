"""The reference population, the recent window and the case in one form: named columns, and vectors where there are any.

Rows keep their features. Texts and images get a few plain measures as columns; their vectors are the model's own
embedding, or, where it has none that can be read, the mean of its input embeddings and the encoded pixels.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
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
_TABLE = "the values of the features"
_TEXT = "length, characters and language of the text"
_IMAGE = "mean brightness, contrast and sharpness of the encoded pixels"
_PIXELS = "the pixels themselves"
_TIMES = ("timestamp", "time", "datetime", "date", "event_time", "decided_at", "created_at")


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


@dataclass(frozen=True)
class Reference:
    """columns: of all rows of the file. rows: a seeded sample of a large one, with vectors where the input has them.
    embedding: what the vectors are, in words; shapes: how columns are read, by feature."""

    columns: tuple[Column, ...]
    rows: Rows
    total: int
    shapes: dict[str, Shape]
    embedding: str | None


def read_reference(ctx: Context) -> Reference:
    """The reference population. Raises NotApplicable without one, InvalidCase when it has no rows or no feature."""
    whole, shapes, raw = reference_columns(ctx)
    places = _places(whole.n, _SAMPLE[ctx.case.input.kind], ctx.seed)
    given = ctx.case.input
    if isinstance(given, TabularInput):
        return Reference(whole.columns, whole.take(places), whole.n, shapes, None)
    if isinstance(given, TextInput | GenerationInput):
        vectors, places, words = _text_vectors(ctx, raw, places)
    else:
        vectors, words = _image_vectors(ctx, raw[places], None)
    sample = whole.take(places)
    rows = Rows(sample.n, sample.columns, vectors, f"{whole.representation}, and {words}")
    return Reference(whole.columns, rows, whole.n, shapes, words)


def reference_columns(ctx: Context) -> tuple[Rows, dict[str, Shape], Any]:
    """All rows of the reference without vectors, how its columns are to be read, and what its file holds.

    Raises NotApplicable without one, InvalidCase when it has no rows or lacks a feature.
    """
    source = need_reference(ctx)
    raw, path = _raw(ctx, source, "reference")
    if len(raw) == 0:
        raise InvalidCase(f"reference: {path.name} has no rows.", "Give at least 50 rows.")
    shapes: dict[str, Shape] = {}
    if isinstance(ctx.case.input, TabularInput):
        for name, value in ctx.case.input.values.items():
            shapes[name] = shape_of(_series(raw, name, path, "reference"), value, ctx.card.features.get(name))
    return _rows(ctx, raw, shapes, path, "reference"), shapes, raw


def read_window(ctx: Context, shapes: dict[str, Shape]) -> tuple[Rows, Any]:
    """The recent window, its columns read like the reference's, and what its file holds; it may have no rows at all."""
    source = ctx.case.window
    if source is None:
        raise NotApplicable("The case names no recent window.")
    raw, path = _raw(ctx, source, "window")
    return _rows(ctx, raw, shapes, path, "window"), raw


def sample_vectors(ctx: Context, raw: Any, most: int, field: str, like: str | None) -> tuple[Floats, str]:
    """Vectors of a seeded sample of texts or images (at least one), and what they are; `like`: what they have to be,
    None for the best."""
    places = _places(len(raw), most, ctx.seed)
    if isinstance(raw, list):
        vectors, _, words = _text_vectors(ctx, raw, places, field, like)
        return vectors, words
    return _image_vectors(ctx, raw[places], like)


def read_input(ctx: Context, shapes: dict[str, Shape], embedding: str | None) -> Rows:
    """The case's own input as one row, with vectors of the same kind as the reference's."""
    given = ctx.case.input
    if isinstance(given, TabularInput):
        columns = tuple(column_of(name, [given.values[name]], shape, None) for name, shape in shapes.items())
        return Rows(1, columns, None, _TABLE)
    if isinstance(given, TextInput | GenerationInput):
        from xagent.tools import _population_vectors as vectors

        text = given.shown if isinstance(given, GenerationInput) else given.text
        rows = _text_rows(ctx, [text])
        encoded = list(vectors.texts_encoded(ctx, [text], [0], "input"))
        found = vectors.embedded_texts(ctx, encoded) if embedding == vectors.LAST else None
        return Rows(1, rows.columns, vectors.means(encoded) if found is None else found, rows.representation)
    pixels = _tensor(ctx.subject.encode(given))
    rows = _image_rows(pixels)
    return Rows(1, rows.columns, _image_vectors(ctx, pixels, embedding)[0], rows.representation)


def times_of(raw: Any, taken: Iterable[str]) -> pd.Series[Any] | None:
    """When each row of a table came, by a column that is no feature and holds times; None without one."""
    import pandas as pd

    if not isinstance(raw, pd.DataFrame):
        return None
    names = {str(name).lower(): name for name in raw.columns if name not in set(taken)}
    for wanted in _TIMES:
        if wanted in names:
            found = raw[names[wanted]]
            if found.ndim == 1 and not pd.api.types.is_numeric_dtype(found):
                times = pd.to_datetime(found, errors="coerce", utc=True, format="ISO8601")
                if len(times) and times.notna().all():
                    return times
    return None


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


def _places(n: int, most: int, seed: int) -> NDArray[np.int64]:
    """Places of at most so many rows of n, chosen by the seed and kept in their order."""
    if n <= most:
        return np.arange(n)
    return np.sort(np.random.default_rng(seed).choice(n, most, replace=False))


def _rows(ctx: Context, raw: Any, shapes: dict[str, Shape], path: Path, field: str) -> Rows:
    if isinstance(ctx.case.input, TextInput | GenerationInput):
        return _text_rows(ctx, raw)
    if isinstance(ctx.case.input, ImageInput):
        return _image_rows(raw)
    where = f"{field}: column {{!r}} of {path.name}"
    strict = where if field == "reference" else None
    columns = tuple(column_of(n, _series(raw, n, path, field), shape, strict) for n, shape in shapes.items())
    return Rows(len(raw), columns, None, _TABLE)


def _series(frame: pd.DataFrame, name: str, path: Path, field: str) -> pd.Series[Any]:
    if name not in frame.columns:
        raise InvalidCase(
            f"{field}: {path.name} has no column {name!r}.", "It needs every feature of input.values as a column."
        )
    found = frame[name]
    if found.ndim != 1:
        raise InvalidCase(f"{field}: {path.name} has the column {name!r} twice.", "Name every column once.")
    return found


def _text_rows(ctx: Context, texts: list[str]) -> Rows:
    from xagent.tools._population_texts import language, measures

    tokenizer = getattr(ctx.subject, "tokenizer", None)
    found = [measures(text, tokenizer) for text in texts]
    names = list(found[0] if found else measures("a", tokenizer))
    columns = [Column(n, "numeric", np.array([row[n] for row in found], dtype=np.float64)) for n in names]
    spoken = np.empty(len(texts), dtype=object)
    spoken[:] = [language(text) or "undetermined" for text in texts]
    return Rows(len(texts), (*columns, Column("language", "categorical", spoken)), None, _TEXT)


def _text_vectors(
    ctx: Context, texts: list[str], places: NDArray[np.int64], field: str = "reference", like: str | None = None
) -> tuple[Floats, NDArray[np.int64], str]:
    """(n, d) vectors, the places of the texts they are of, and what they are; `like`: what they have to be, None for
    the best."""
    from xagent.tools import _population_vectors as vectors

    if vectors.runs(ctx) and like in (None, vectors.LAST):
        length = float(np.mean([len(texts[p].split()) for p in places])) * 1.5 + 2
        most = vectors.affordable(ctx, length) or (vectors.LEAST_TEXTS if like else 0)
        if most:
            fewer = places[_places(len(places), most, ctx.seed)]
            found = vectors.embedded_texts(ctx, list(vectors.texts_encoded(ctx, texts, fewer, field)))
            if found is not None:
                return found, fewer, vectors.LAST
    return vectors.means(vectors.texts_encoded(ctx, texts, places, field)), places, vectors.MEAN


def _image_rows(pixels: Floats) -> Rows:
    flat = pixels.reshape(len(pixels), -1)
    named = (("mean brightness", flat.mean(axis=1)), ("contrast", flat.std(axis=1)), ("sharpness", _sharpness(pixels)))
    columns = tuple(Column(name, "numeric", np.asarray(values, dtype=np.float64)) for name, values in named)
    return Rows(len(pixels), columns, None, _IMAGE)


def _sharpness(pixels: Floats) -> Floats:
    """(n,) variance of the discrete Laplacian over an image's inner pixels (Pech-Pacheco et al. 2000)."""
    if len(pixels) == 0 or min(pixels.shape[2:]) < 3:
        return np.zeros(len(pixels))
    inner = pixels[:, :, 1:-1, 1:-1]
    around = pixels[:, :, :-2, 1:-1] + pixels[:, :, 2:, 1:-1] + pixels[:, :, 1:-1, :-2] + pixels[:, :, 1:-1, 2:]
    return np.asarray((around - 4 * inner).reshape(len(pixels), -1).var(axis=1), dtype=np.float64)


def _image_vectors(ctx: Context, pixels: Floats, like: str | None) -> tuple[Floats, str]:
    """(n, d) and what it is; `like`: the kind that is wanted, None for the best."""
    from xagent.tools import _population_vectors as vectors

    if vectors.runs(ctx) and like in (None, vectors.LAST):
        found = vectors.embedded_images(ctx, pixels)
        if found is not None:
            return found, vectors.LAST
    pooled = _pooled(pixels)
    words = _PIXELS if pooled.shape == pixels.shape else f"{_PIXELS}, averaged over squares"
    return pooled.reshape(len(pixels), -1), words


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
