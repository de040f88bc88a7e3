"""Loads a Hugging Face model from a local folder: safetensors and JSON only, no code of its own, no network."""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from torch import nn

from xagent.case import OutputSpec, sha256_of
from xagent.errors import InvalidCase
from xagent.subject._answer import MAX_TOKENS as MAX_GENERATED
from xagent.subject._text import MAX_TOKENS

MAX_WEIGHTS_BYTES = 8 * 1024**3
MAX_JSON_BYTES = 64 * 1024**2
WEIGHTS = "model.safetensors"
_NEEDED = ("config.json", WEIGHTS, "tokenizer.json")
_ALLOWED = {
    *_NEEDED,
    *("tokenizer_config.json", "special_tokens_map.json", "added_tokens.json", "generation_config.json"),
    *("chat_template.jinja", "vocab.txt", "vocab.json", "merges.txt", "README.md", "LICENSE", ".gitattributes"),
}
_CODE_KEYS = {"auto_map", "custom_pipelines", "quantization_config", "trust_remote_code", "base_model_name_or_path"}
_ATTENTION = {None, "eager", "sdpa"}
_SPECIAL = ("bos_token", "eos_token", "unk_token", "sep_token", "pad_token", "cls_token", "mask_token")


def load_transformer(
    folder: Path, device: torch.device, output: OutputSpec, field: str = "model.path"
) -> tuple[nn.Module, Any, int]:
    """A classifier or, for output kind `generation`, a language model; its tokenizer, and the largest number of tokens.

    Raises InvalidCase that names the file at fault.
    """
    config = _checked_folder(folder, field)
    writes = output.kind == "generation"
    if writes and config.get("is_encoder_decoder"):
        raise InvalidCase(f"{field}: the model has an encoder of its own.", "Explain a decoder-only language model.")
    _check_labels(config, output, field)
    with _quiet():
        try:
            model, tokenizer = _loaded(folder, writes)
        except InvalidCase:
            raise
        except Exception as error:  # transformers raises whatever its loaders trip over
            raise InvalidCase(
                f"{field}: transformers cannot load {folder.name} ({type(error).__name__}: {str(error)[:200]}).",
                "Save the model and its fast tokenizer with save_pretrained.",
            ) from error
    model.to(device).eval()
    for parameter in model.parameters():
        parameter.requires_grad_(False)
    return model, tokenizer, _limit(config, MAX_GENERATED if writes else MAX_TOKENS)


def _checked_folder(folder: Path, field: str) -> dict[str, Any]:
    """The folder's config, once every file in it is of a kind that carries no code."""
    if not folder.is_dir():
        raise InvalidCase(f"{field}: {folder.name} is no folder.", "Name the folder made by save_pretrained.")
    for path in sorted(folder.iterdir()):
        if path.name not in _ALLOWED or not path.is_file():
            raise InvalidCase(
                f"{field}: {folder.name} holds {path.name!r}, which is not loaded (weights as safetensors, no code).",
                f"Keep only {', '.join(_NEEDED)} and tokenizer files.",
            )
        if not path.resolve().is_relative_to(folder.resolve()):
            raise InvalidCase(f"{field}: {path.name!r} is a link out of {folder.name}.", "Copy the file itself.")
        limit = MAX_WEIGHTS_BYTES if path.name == WEIGHTS else MAX_JSON_BYTES
        if path.stat().st_size > limit:
            raise InvalidCase(f"{field}: {path.name} is larger than {limit // 2**20} MiB.", "Explain a smaller model.")
    for name in _NEEDED:
        if not (folder / name).is_file():
            raise InvalidCase(
                f"{field}: {folder.name} has no {name}.", "Save model and fast tokenizer with save_pretrained."
            )
    config = _json(folder / "config.json", field)
    for key, value in _entries(config):
        if key in _CODE_KEYS:
            raise InvalidCase(f"{field}: config.json has {key!r}, which asks for code.", "Remove that key.")
        if key.endswith("attn_implementation") and value not in _ATTENTION:
            raise InvalidCase(f"{field}: config.json asks for the kernel {str(value)[:60]!r}.", "Use 'sdpa'.")
        if isinstance(value, int) and abs(value) > 50_000_000:
            raise InvalidCase(f"{field}: config.json: {key} is {value}, which no model has.", "Correct it.")
        if "layer" in key and isinstance(value, int) and not isinstance(value, bool) and value > 1_000:
            raise InvalidCase(f"{field}: config.json: {key} is {value}, which no model has.", "Correct it.")
    return config


def _entries(data: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(data, dict):
        for key, value in data.items():
            yield str(key), value
            yield from _entries(value)
    elif isinstance(data, list):
        for value in data:
            yield from _entries(value)


def _json(path: Path, field: str) -> dict[str, Any]:
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:
        raise InvalidCase(f"{field}: {path.name} is not valid JSON.", "Save the model again.") from error
    if not isinstance(data, dict):
        raise InvalidCase(f"{field}: {path.name} is not a JSON object.", "Save the model again.")
    return data


def _check_labels(config: dict[str, Any], output: OutputSpec, field: str) -> None:
    """The order of the classes decides what every reason means, so names the model knows must stand in its order."""
    raw = config.get("id2label")
    if output.kind != "logits" or not isinstance(raw, dict):
        return
    labels = tuple(str(raw.get(str(place), "")) for place in range(len(raw)))
    if set(labels) == set(output.classes) and labels != output.classes:
        raise InvalidCase(
            f"model.output.classes: the model's own order is {', '.join(labels)}.", f"Use it ({field}, id2label)."
        )


def _loaded(folder: Path, writes: bool) -> tuple[nn.Module, Any]:
    from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, PreTrainedTokenizerFast

    family = AutoModelForCausalLM if writes else AutoModelForSequenceClassification

    def load(attention: str) -> tuple[Any, dict[str, Any]]:
        loaded: tuple[Any, dict[str, Any]] = family.from_pretrained(
            str(folder),
            local_files_only=True,
            trust_remote_code=False,
            use_safetensors=True,
            output_loading_info=True,
            attn_implementation=attention,
        )
        return loaded

    try:
        model, info = load("sdpa")
    except ValueError:  # architectures without fused attention refuse it
        model, info = load("eager")
    if absent := sorted([*info.get("missing_keys", ()), *(str(k) for k in info.get("mismatched_keys", ()))]):
        raise InvalidCase(
            f"model.path: {WEIGHTS} lacks {absent[0][:100]!r}, so the model would be partly random.",
            f"Save the {'language model with its head' if writes else 'fine-tuned classifier'}, not its base model.",
        )
    special = {**_special(folder, "special_tokens_map.json"), **_special(folder, "tokenizer_config.json")}
    tokenizer = PreTrainedTokenizerFast(tokenizer_file=str(folder / "tokenizer.json"), **special)
    return model, tokenizer


def _special(folder: Path, name: str) -> dict[str, str]:
    """Which tokens are special, from a JSON file that may be absent. A token is a text or an object with `content`."""
    path = folder / name
    data = _json(path, "model.path") if path.is_file() else {}
    found = {}
    for key in _SPECIAL:
        value = data.get(key)
        value = value.get("content") if isinstance(value, dict) else value
        if isinstance(value, str):
            found[key] = value
    return found


def chat_template(folder: Path) -> str | None:
    """The template that makes a prompt of a chat: of `chat_template.jinja` or of `tokenizer_config.json`."""
    path = folder / "chat_template.jinja"
    if path.is_file():
        try:
            return path.read_text(encoding="utf-8")
        except ValueError:
            raise InvalidCase(f"model.path: {path.name} is not UTF-8 text.", "Save the tokenizer again.") from None
    path = folder / "tokenizer_config.json"
    found = _json(path, "model.path").get("chat_template") if path.is_file() else None
    if isinstance(found, list):
        named = {str(item.get("name")): item.get("template") for item in found if isinstance(item, dict)}
        found = named.get("default")
    return found if isinstance(found, str) else None


def _limit(config: dict[str, Any], most: int) -> int:
    """Positions the model has, less the ones that families like RoBERTa keep for padding, at most `most`."""
    positions = config.get("max_position_embeddings")
    if not isinstance(positions, int) or positions < 1:
        return most
    if config.get("model_type") in ("roberta", "xlm-roberta", "camembert", "longformer", "mpnet"):
        positions -= 2
    return min(most, positions)


@contextmanager
def _quiet() -> Iterator[None]:
    """No progress bars and no advice: what matters is raised as an error. Deprecations inside the libraries are
    theirs to mend, so they are silenced here and nowhere else."""
    from transformers.utils import logging

    level, bars = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            yield
    finally:
        logging.set_verbosity(level)
        if bars:
            logging.enable_progress_bar()


def weights_sha256(folder: Path) -> str:
    return sha256_of(folder / WEIGHTS)
