"""Arguments of a checked program's operations: from the fields of its JSON to Python values and names of values."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import torch

SCALAR_TYPES = {
    1: torch.uint8, 2: torch.int8, 3: torch.int16, 4: torch.int32, 5: torch.int64, 6: torch.float16, 7: torch.float32,
    8: torch.float64, 12: torch.bool, 13: torch.bfloat16,
}  # fmt: skip
"""torch's types by the numbers that the schema gives them; the guard reads no others for stored tensors."""
STRIDED = 7
_MEMORY_FORMATS = {
    1: torch.contiguous_format, 2: torch.channels_last, 3: torch.channels_last_3d, 4: torch.preserve_format,
}  # fmt: skip
_PLAIN = ("as_int", "as_bool", "as_string", "as_ints", "as_bools", "as_strings", "as_int_lists")
_NAMED = ("as_sym_int", "as_sym_bool", "as_sym_float")


class Unsupported(Exception):
    """A program that is not run here but by torch; the message says what is unusual about it."""


@dataclass(frozen=True)
class Name:
    """Stands for the value that an earlier operation gave this name."""

    name: str


def argument(field: dict[str, Any], device: torch.device) -> Any:
    """One argument; tensors and sizes known only at run time become Names. Raises Unsupported."""
    (kind, value), *_ = field.items()
    if kind == "as_none":
        return None
    if kind in _PLAIN:
        return [tuple(item) for item in value] if kind == "as_int_lists" else value
    if kind == "as_float":
        return float(value)
    if kind == "as_floats":
        return [float(item) for item in value]
    if kind == "as_tensor":
        return Name(value["name"])
    if kind == "as_tensors":
        return [Name(item["name"]) for item in value]
    if kind == "as_optional_tensors":
        return [Name(item["as_tensor"]["name"]) if "as_tensor" in item else None for item in value]
    if kind in _NAMED:
        return _symbolic(value)
    if kind.removesuffix("s") in _NAMED:
        return [_symbolic(item) for item in value]
    if kind == "as_scalar_type" and value in SCALAR_TYPES:
        return SCALAR_TYPES[value]
    if kind == "as_memory_format" and value in _MEMORY_FORMATS:
        return _MEMORY_FORMATS[value]
    if kind == "as_layout" and value == STRIDED:
        return torch.strided
    if kind == "as_device" and value["type"] == "cpu":  # the model runs where it is put, not where it was exported
        return device
    raise Unsupported(f"an argument {kind}")


def _symbolic(value: dict[str, Any]) -> Any:
    (kind, item), *_ = value.items()
    if kind == "as_name":
        return Name(item)
    return float(item) if kind == "as_float" else item


def filled(tree: Any, values: dict[str, Any]) -> Any:
    """The tree of lists, tuples and dictionaries with every Name replaced by its value."""
    if isinstance(tree, Name):
        return values[tree.name]
    if isinstance(tree, list):
        return [filled(item, values) for item in tree]
    if isinstance(tree, tuple):
        return tuple(filled(item, values) for item in tree)
    if isinstance(tree, dict):
        return {key: filled(item, values) for key, item in tree.items()}
    return tree


def names_in(tree: Any) -> Iterator[str]:
    if isinstance(tree, Name):
        yield tree.name
    elif isinstance(tree, list | tuple | dict):
        for item in tree.values() if isinstance(tree, dict) else tree:
            yield from names_in(item)
