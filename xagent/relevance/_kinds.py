"""What kind of operation was intercepted; worked out once for each function of torch."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from types import FunctionType
from typing import Any

from ._table import OUT_OF_PLACE, spellings

Operation = Callable[..., Any]

EMBEDDINGS = frozenset(spellings("embedding") + spellings("embedding_bag"))

# questions about a tensor and its bookkeeping: no relevance passes, and the tensor itself must be the one asked
QUESTIONS = frozenset({"__get__", "__set__", "size", "dim", "stride", "numel", "register_hook", "retain_grad",
                       "requires_grad_", "is_floating_point", "is_complex", "is_contiguous", "__len__", "__hash__",
                       "__bool__", "item", "tolist", "__format__", "__repr__", "data_ptr", "get_device", "_assert",
                       "detach", "detach_", "untyped_storage", "storage_offset", "element_size", "numpy",
                       "is_nonzero", "__contains__", "__float__", "__int__"})  # fmt: skip


@dataclass(frozen=True, slots=True)
class Kind:
    """name: without overload. question: about the tensor itself. twin: the same value out of place, for an in-place
    operation. signature: of a python function with an `inplace` flag. overwrites: changes its first argument."""

    name: str
    question: bool
    twin: Operation | None
    signature: inspect.Signature | None
    ends_in_place: bool
    overwrites: bool


@lru_cache(maxsize=4096)
def kind_of(operation: Operation) -> Kind:
    """The kind of `operation`."""
    full = getattr(operation, "__name__", "")
    name = full.split(".")[0]
    in_place = name.endswith("_") and not name.endswith("__")
    twin = OUT_OF_PLACE.get(operation)
    signature = None if twin else _signature(operation)
    return Kind(name, full in QUESTIONS, twin, signature, in_place, in_place or full == "__setitem__")


def _signature(operation: Operation) -> inspect.Signature | None:
    """The signature of a python-level operation with an `inplace` flag (`F.relu(x, inplace=True)`)."""
    if not isinstance(operation, FunctionType) or "inplace" not in operation.__code__.co_varnames:
        return None
    return inspect.signature(operation)


def out_of_place(operation: Operation, kind: Kind, args: Any, kwargs: Any) -> tuple[Operation, Any, Any, bool]:
    """The out-of-place twin of an operation, and whether the result must be written into the first argument."""
    if kind.twin is not None:
        return kind.twin, args, kwargs, True
    if kind.signature is None or not (kwargs.get("inplace") or any(x is True for x in args)):
        return operation, args, kwargs, False
    bound = kind.signature.bind(*args, **kwargs)
    in_place = bool(bound.arguments.pop("inplace", False))
    return operation, bound.args, bound.kwargs, in_place


def is_composite(operation: Operation) -> bool:
    """Whether the operation is written in python from smaller ones that can be traced one by one."""
    return isinstance(operation, FunctionType) and any(
        name.startswith("has_torch_function") for name in operation.__code__.co_names
    )


@lru_cache(maxsize=1024)
def opened(operation: Operation) -> Operation:
    """A private copy of a python composite that runs its body instead of offering itself to the mode again."""
    assert isinstance(operation, FunctionType)
    inside = dict(operation.__globals__)
    for name in operation.__code__.co_names:
        if name.startswith("has_torch_function"):
            inside[name] = _never
    copy = FunctionType(operation.__code__, inside, operation.__name__, operation.__defaults__, operation.__closure__)
    copy.__kwdefaults__ = operation.__kwdefaults__
    return copy


def _never(*_: object) -> bool:
    return False
