"""From a case to its loaded model: paths, hashes, format, and one look at what the model answers."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from xagent.case import Case, resolve_file, sha256_of
from xagent.errors import InvalidCase, ModelMismatch
from xagent.subject._answer import AnswerSubject
from xagent.subject._arrays import ImageSubject, TabularSubject
from xagent.subject._encoder import TabularEncoder, load_encoder
from xagent.subject._subject import HashState, Subject, chosen_device, tensor_of
from xagent.subject._text import TextSubject
from xagent.subject._torch_export import load_exported
from xagent.subject._transformers import WEIGHTS, chat_template, load_transformer
from xagent.subject._trees_load import FORMATS, load_classic


def load_subject(case: Case, *, device: str = "auto", allow_mismatch: bool = False) -> Subject:
    """The model that the case names, ready to be explained. No code from its files is run.

    device: `auto`, `cpu` or `cuda`. Raises InvalidCase for a file that is unsafe, broken or does not fit the case,
    ModelMismatch when its sha256 is not the one the case states (unless `allow_mismatch`), ConfigurationFault when the
    device does not exist.
    """
    place = chosen_device(device)
    if case.model.format == "live":
        raise InvalidCase(
            "model.format: 'live' names a model that existed only in memory.",
            "Explain it from Python again, or save it with torch.export.save or save_pretrained.",
        )
    path = resolve_file(case, case.model.path, "model.path")
    subject: Subject | None
    if case.model.format in FORMATS:
        subject = load_classic(case, path, lambda digest, name: _hash_state(case, digest, name, allow_mismatch))
        probe(subject)
        return subject
    subject = _transformer(case, path, place, allow_mismatch)
    subject = subject or _exported(case, path, place, allow_mismatch)
    probe(subject)
    return subject


@dataclass(frozen=True)
class Reproduced:
    """What the model answers now. label: the class with the highest score, None for a regression. score: of the
    case's target on the case's scale."""

    label: str | None
    score: float


def reproduce(case: Case, subject: Subject) -> Reproduced:
    """Run the case's input again: the label and score to hold against the recorded prediction."""
    logits = subject.logits(subject.encode(case.input).inputs)
    recorded = case.prediction
    target = subject.target_index(recorded.target or recorded.label) if subject.classes else None
    score = float(subject.score(logits, target, recorded.scale)[0])
    return Reproduced(subject.classes[int(logits[0].argmax())] if subject.classes else None, score)


def _exported(case: Case, path: Path, device: torch.device, allow_mismatch: bool) -> Subject:
    kind, reference = case.input.kind, case.model
    if kind == "text":
        raise InvalidCase(
            "model.format: a torch-export model takes rows or images, not text.",
            "Give a transformers folder (model.format 'transformers').",
        )
    if reference.encoder is None:
        raise InvalidCase("model.encoder is missing.", "Name the JSON file that turns raw values into tensors.")
    encoder_path = resolve_file(case, reference.encoder, "model.encoder")
    encoder = load_encoder(encoder_path)
    if encoder.kind != kind:
        raise InvalidCase(
            f"model.encoder: {encoder_path.name} encodes {encoder.kind} input, the case holds {kind}.",
            "Name the encoder of this model.",
        )
    # The hash is compared before anything in the file is looked at closely, because a wrong file is best named as
    # such, and again for the bytes that were really loaded.
    _hash_state(case, sha256_of(path) if path.is_file() else "", path.name, allow_mismatch)
    shape = (encoder.width,) if isinstance(encoder, TabularEncoder) else encoder.shape
    module, dtype, digest = load_exported(path, device, shape)
    state = _hash_state(case, digest, path.name, allow_mismatch)
    hashes = {"model": digest, "encoder": sha256_of(encoder_path)}
    if isinstance(encoder, TabularEncoder):
        return TabularSubject(
            module, reference.output, device=device, dtype=dtype, sha256=hashes, hash_state=state, encoder=encoder
        )
    return ImageSubject(
        module,
        reference.output,
        device=device,
        dtype=dtype,
        sha256=hashes,
        hash_state=state,
        encoder=encoder,
        resolve=lambda relative, field: resolve_file(case, relative, field),
    )


def _transformer(case: Case, path: Path, device: torch.device, allow_mismatch: bool) -> Subject | None:
    if case.model.format != "transformers":
        return None
    if case.input.kind not in ("text", "generation"):
        raise InvalidCase(
            f"model.format: a transformers model takes text, the case holds {case.input.kind} input.",
            "Export the model with torch.export (model.format 'torch-export').",
        )
    weights = path / WEIGHTS
    digest = sha256_of(weights) if weights.is_file() else ""
    state = _hash_state(case, digest, f"{path.name}/{WEIGHTS}", allow_mismatch) if digest else "cannot tell"
    module, tokenizer, limit = load_transformer(path, device, case.model.output)
    dtype = next((p.dtype for p in module.parameters() if p.is_floating_point()), torch.float32)
    files = {"config": "config.json", "tokenizer": "tokenizer.json"}
    common: dict[str, Any] = {
        "device": device,
        "dtype": dtype,
        "sha256": {"model": digest, **{role: sha256_of(path / name) for role, name in files.items()}},
        "hash_state": state,
        "tokenizer": tokenizer,
        "limit": limit,
    }
    if case.input.kind == "text":
        return TextSubject(module, case.model.output, **common)
    return AnswerSubject(module, case.model.output, template=chat_template(path), **common)


def _hash_state(case: Case, digest: str, name: str, allow_mismatch: bool) -> HashState:
    stated = case.model.sha256
    if stated is None:
        return "cannot tell"
    if stated == digest:
        return "ok"
    if allow_mismatch:
        return "deviation"
    raise ModelMismatch(
        f"model.sha256: the case names {stated[:12]}…, but {name} has {digest[:12]}….",
        "Give the model that made the prediction, or pass --allow-mismatch to explain this one.",
    )


def probe(subject: Subject) -> None:
    """One forward, so that an output that does not fit the case is found at loading and named there."""
    try:
        if isinstance(subject, AnswerSubject):
            check_language_model(subject)
        elif isinstance(subject, TextSubject):
            check_embeddings(subject)
            subject.logits(subject.encode_texts(["a"])[0].inputs)
        else:
            subject.logits({"input": subject.background()})
    except InvalidCase:
        raise
    except Exception as error:  # whatever the network trips over
        raise InvalidCase(
            f"model.path: the model fails on a plain input ({type(error).__name__}: {str(error)[:200]}).",
            "Check that the encoder is the model's own.",
        ) from error


@torch.no_grad()
def check_embeddings(subject: TextSubject) -> None:
    """Relevance is traced to embeddings, so the model must answer from them as it answers from token ids."""
    assert subject.module is not None
    text = "a b"
    encoded = subject.encode_texts([text])[0]
    ids = subject.token_ids(text)
    with subject.lock:
        direct = subject.forward({"input_ids": ids, "attention_mask": torch.ones_like(ids)})
        traced = subject.forward(encoded.inputs)
    if not torch.allclose(direct.float(), traced.float(), rtol=1e-3, atol=1e-4):
        raise InvalidCase(
            "model.path: the model answers differently when it is given embeddings instead of token ids.",
            "Such an architecture cannot be traced to its words.",
        )


@torch.no_grad()
def check_language_model(subject: AnswerSubject) -> None:
    """The model must answer from embeddings as from token ids, and what it answers must not depend on later tokens."""
    assert subject.module is not None
    words = int(subject.module.config.vocab_size)  # type: ignore[union-attr, arg-type]
    ids = torch.tensor(
        [[place % words for place in row] for row in ((1, 2, 3, 4), (1, 2, 5, 6))], device=subject.device
    )
    embed: Any = subject.module.get_input_embeddings()  # type: ignore[operator]
    with subject.lock:
        direct = tensor_of(subject.module(input_ids=ids))
        traced = tensor_of(subject.module(inputs_embeds=embed(ids)))
    if direct.dim() != 3 or direct.shape[-1] < 2:
        raise InvalidCase("model.path: the model gives no logits for words.", "Name a language model with its head.")
    if not torch.allclose(direct.float(), traced.float(), rtol=1e-3, atol=1e-3):
        raise InvalidCase(
            "model.path: the model answers differently when it is given embeddings instead of token ids.",
            "Such an architecture cannot be traced to its prompt.",
        )
    before = direct[:, :2].float()
    noise = 1e-4 if subject.dtype in (torch.float32, torch.float64) else 1e-2
    if float((before[0] - before[1]).abs().max()) > noise * float(before.std()):
        raise InvalidCase(
            "model.path: what the model says at a token depends on the tokens after it.",
            "Explain a decoder-only language model.",
        )
