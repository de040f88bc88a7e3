"""What a model file tells about itself, without running it: how many inputs and outputs, which classes."""

from __future__ import annotations

import json
import math
import shutil
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from xagent.errors import InvalidCase, UsageFault

MAX_PROGRAM_BYTES = 256 * 1024 * 1024
_TRANSFORMERS_SUFFIXES = (".json", ".safetensors", ".txt")


@dataclass(frozen=True)
class Shape:
    """Sizes of the single input and output of a program, None where they are free (the batch)."""

    input: tuple[int | None, ...]
    output: tuple[int | None, ...]

    @property
    def outputs(self) -> int:
        """How many numbers come out for one row."""
        size = self.output[1] if len(self.output) > 1 else 1
        if size is None:
            raise InvalidCase("The model's number of outputs is not fixed.", "Export it with a fixed last dimension.")
        return size


def program_shape(path: Path) -> Shape:
    """Shape of a `.pt2` program, read from the JSON inside it.

    Raises InvalidCase when the file is no such program or takes more than one tensor.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            names = [n for n in archive.namelist() if n.endswith("models/model.json")]
            if len(names) != 1 or archive.getinfo(names[0]).file_size > MAX_PROGRAM_BYTES:
                raise ValueError("it holds no program called model")
            module = json.loads(archive.read(names[0]))["graph_module"]
        signature, values = module["signature"], module["graph"]["tensor_values"]
        inputs = [s["user_input"]["arg"]["as_tensor"]["name"] for s in signature["input_specs"] if "user_input" in s]
        outputs = [
            s["user_output"]["arg"]["as_tensor"]["name"] for s in signature["output_specs"] if "user_output" in s
        ]
        if len(inputs) != 1 or len(outputs) != 1:
            raise ValueError(f"it takes {len(inputs)} tensors and gives {len(outputs)}; one of each is read")
        sizes = [tuple(size.get("as_int") for size in values[name]["sizes"]) for name in (inputs[0], outputs[0])]
    except (OSError, zipfile.BadZipFile, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise InvalidCase(
            f"{path.name} is not a program that can be read ({error}).",
            "Save it with torch.export.save(torch.export.export(model, (example,)), 'model.pt2').",
        ) from None
    return Shape(*sizes)


def transformers_classes(folder: Path) -> tuple[str, ...]:
    """Class names in the order of the outputs, from `config.json`; empty for a regression."""
    try:
        config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        labels = config.get("id2label") or {}
        classes = tuple(str(labels[key]) for key in sorted(labels, key=int))
        regression = config.get("problem_type") == "regression" or len(classes) == 1
    except (OSError, ValueError, AttributeError, TypeError) as error:
        raise InvalidCase(
            f"{folder.name}/config.json cannot be read ({error}).", "Give a folder written by save_pretrained()."
        ) from None
    return () if regression else classes


def output_spec(outputs: int | None, classes: Sequence[str], kind: str | None, unit: str | None) -> dict[str, Any]:
    """What the outputs mean. outputs: how many there are, None when only the classes are known.

    Raises UsageFault when that cannot be told: a single output may be a regression or a logit.
    """
    if kind not in (None, "logits", "logit", "value"):
        raise UsageFault(f"There is no output kind {kind!r}.", "Say logits, logit or value.")
    count = len(classes) if outputs is None else outputs
    if kind is None:
        if count == 1 and not classes:
            raise UsageFault(
                "The model has one output, which may be a quantity or the logit of a class.",
                "Set the output kind to `value` (and its unit), or name two classes, the negative one first.",
            )
        kind = "logit" if count == 1 else "logits"
    if kind == "value":
        if count > 1 or classes:
            raise UsageFault(
                "A regression has one output and no classes.",
                "Leave out either the output kind `value` or the classes.",
            )
        return {"kind": "value"} | ({"unit": unit} if unit else {})
    needed = 2 if kind == "logit" else count
    names = list(classes) or [f"class {i}" for i in range(needed)]
    if len(names) != needed or (kind == "logit" and outputs not in (None, 1)):
        raise UsageFault(f"The model has {count} outputs, but {len(names)} classes are named.", "Name one for each.")
    return {"kind": kind, "classes": names}


def copy_model(model: Path, folder: Path) -> str:
    """Copy the model into a folder; the path there. Of a transformers folder only data files are taken, never code."""
    if model.is_file():
        name = f"model{model.suffix}"
        shutil.copyfile(model, folder / name)
        return name
    target = folder / "model"
    target.mkdir()
    for path in sorted(model.iterdir()):
        if path.is_file() and path.suffix in _TRANSFORMERS_SUFFIXES:
            shutil.copyfile(path, target / path.name)
    if not (target / "model.safetensors").exists():
        raise InvalidCase(
            f"{model.name} holds no model.safetensors.",
            "Save it with save_pretrained(folder, safe_serialization=True).",
        )
    return "model"


def identity_features(names: Sequence[str]) -> dict[str, Any]:
    """An encoder that hands every number to the model as it is."""
    features = [{"name": name, "kind": "numeric", "mean": 0, "scale": 1} for name in names]
    return {"schema": "xagent.encoder/1", "kind": "tabular", "features": features}


def identity_pixels(height: int, width: int, channels: int) -> dict[str, Any]:
    """An encoder that hands pixels to the model as they are. Cells tile the image, as small as 64 of them allow."""
    side = math.gcd(height, width)
    tiling = [cell for cell in range(1, side + 1) if side % cell == 0 and (height // cell) * (width // cell) <= 64]
    cell = tiling[0] if tiling else side
    sizes = {"height": height, "width": width, "channels": channels, "cell": cell}
    return {"schema": "xagent.encoder/1", "kind": "image", **sizes, "scale": 1.0, "mean": 0.0, "std": 1.0}
