"""Classic models from files: XGBoost, LightGBM and declared ones. No library reads the file, no code in it is run."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from pathlib import Path

from xagent.case import Case, resolve_file, sha256_of
from xagent.errors import InvalidCase
from xagent.subject._declared import MAX_BYTES as MAX_DECLARED
from xagent.subject._declared import DeclaredModel, read_declared
from xagent.subject._declared_subject import DeclaredSubject
from xagent.subject._encoder import TabularEncoder, load_encoder
from xagent.subject._subject import HashState, Subject
from xagent.subject._trees_lightgbm import read_lightgbm
from xagent.subject._trees_model import TreeModel
from xagent.subject._trees_subject import TreesSubject, tree_columns
from xagent.subject._trees_xgboost import read_xgboost

MAX_TREE_BYTES = 256 * 1024**2
FORMATS = ("xgboost", "lightgbm", "declared")
_READERS: dict[str, Callable[[bytes], TreeModel]] = {"xgboost": read_xgboost, "lightgbm": read_lightgbm}
_SAVE = {
    "xgboost": "Save it with booster.save_model('model.json') or '.ubj'.",
    "lightgbm": "Save it with booster.save_model('model.txt').",
    "declared": "`docs/classic-models.md` shows such a file; xagent.declare(estimator) writes one.",
}
_SCHEMA = b'"xagent.model/1"'
_LINKS = {"identity": "value", "logit": "logit", "softmax": "logits"}


def load_classic(case: Case, path: Path, compare: Callable[[str, str], HashState]) -> Subject:
    """The subject of a case whose model.format is one of FORMATS.

    compare: takes the SHA-256 of the file and its name, and raises ModelMismatch or says how the two stand. Raises
    InvalidCase for a file that is malformed, too large, not supported, or does not fit the case.
    """
    model = case.model
    if case.input.kind != "tabular":
        raise InvalidCase(
            f"model.format: a model of format {model.format!r} takes rows, the case holds {case.input.kind} input.",
            "Give a row (input.kind 'tabular').",
        )
    content = _content(path, MAX_DECLARED if model.format == "declared" else MAX_TREE_BYTES)
    digest = hashlib.sha256(content).hexdigest()
    state = compare(digest, path.name)
    hashes = {"model": digest}
    try:
        if model.format == "declared":
            declared = read_declared(content)
            _check_scores(case, _LINKS[declared.link], declared.outputs)
            return DeclaredSubject(declared, model.output, sha256=hashes, hash_state=state)
        found = _READERS[model.format](content)
        _check_scores(case, found.scores, len(found.forest.trees.base))
        encoder = None
        if model.encoder is not None:
            encoder_path = resolve_file(case, model.encoder, "model.encoder")
            encoder = _encoder(encoder_path, found)
            hashes["encoder"] = sha256_of(encoder_path)
        elif not found.names:
            raise InvalidCase(
                f"model.encoder is missing, and {path.name} names no features.",
                "Name an encoder, or train on a table with column names.",
            )
        columns = tree_columns(found.names, found.levels)
        return TreesSubject(found, model.output, columns, encoder=encoder, sha256=hashes, hash_state=state)
    except (ValueError, MemoryError) as error:
        said = str(error)[:400] or "it is too large"
        raise InvalidCase(
            f"model.path: {path.name} is no {model.format} model that can be read: {said}.", _SAVE[model.format]
        ) from None


def _content(path: Path, limit: int) -> bytes:
    if not path.is_file():
        raise InvalidCase(f"model.path: {path.name} is no file.", "Name the model file itself.")
    if path.stat().st_size > limit:
        raise InvalidCase(f"model.path: {path.name} is larger than {limit // 2**20} MiB.", "Explain a smaller model.")
    try:
        return path.read_bytes()
    except OSError as error:
        raise InvalidCase(f"model.path: {path.name} cannot be read ({error.strerror}).", "Check the path.") from error


def _check_scores(case: Case, kind: str, count: int) -> None:
    output = case.model.output
    if output.kind != kind:
        raise InvalidCase(
            f"model.output.kind: the case says {output.kind!r}, the scores of the model file are {kind!r}.",
            f"Set it to {kind!r}.",
        )
    if kind == "logits" and len(output.classes) != count:
        raise InvalidCase(
            f"model.output.classes names {len(output.classes)} classes, the model file has {count}.",
            "Name them all, in the order of its outputs.",
        )


def _encoder(path: Path, found: TreeModel) -> TabularEncoder:
    encoder = load_encoder(path)
    if not isinstance(encoder, TabularEncoder):
        raise InvalidCase(f"model.encoder: {path.name} encodes images, the model takes rows.", "Name its own encoder.")
    columns = found.forest.trees.columns
    if encoder.width != columns:
        raise InvalidCase(
            f"model.encoder: {path.name} makes {encoder.width} columns, the model takes {columns}.",
            "Name the encoder of this model.",
        )
    return encoder


def read_classic(path: Path) -> tuple[str, TreeModel | DeclaredModel]:
    """The format of a model file, as a case names it, and its content. Raises InvalidCase."""
    content = _content(path, MAX_TREE_BYTES)
    format_ = "lightgbm" if content[:4] == b"tree" else "declared" if _SCHEMA in content[:4096] else "xgboost"
    try:
        return format_, read_declared(content) if format_ == "declared" else _READERS[format_](content)
    except (ValueError, MemoryError) as error:
        said = str(error)[:400] or "it is too large"
        raise InvalidCase(f"{path.name} is no {format_} model that can be read: {said}.", _SAVE[format_]) from None
