"""What a model returns: tensors in tuples, mappings and dataclasses."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor

from ._errors import RelevanceError


def tensors_of(output: Any) -> Iterator[Tensor]:
    """Every tensor in an output, in order."""
    if isinstance(output, Tensor):
        yield output
    elif isinstance(output, Mapping):
        for x in output.values():
            yield from tensors_of(x)
    elif isinstance(output, (list, tuple)):
        for x in output:
            yield from tensors_of(x)
    elif dataclasses.is_dataclass(output) and not isinstance(output, type):
        for field in dataclasses.fields(output):
            yield from tensors_of(getattr(output, field.name))


def first_tensor(output: Any) -> Tensor:
    """The scores in what a model returns: `.logits` or ["logits"], or the first tensor."""
    if isinstance(output, Mapping) and isinstance(output.get("logits"), Tensor):
        return output["logits"]  # type: ignore[no-any-return]
    found = next(tensors_of(getattr(output, "logits", output)), None)
    if found is None:
        raise RelevanceError("The model returns no tensor.", "Give the tracer a forward that returns the scores.")
    return found


def mapped(output: Any, change: Callable[[Tensor], Tensor]) -> Any:
    """The same structure with every tensor changed."""
    if isinstance(output, Tensor):
        return change(output)
    if isinstance(output, Mapping):
        changed = {key: mapped(x, change) for key, x in output.items()}
        return changed if type(output) is dict else type(output)(**changed)
    if isinstance(output, (list, tuple)):
        parts = [mapped(x, change) for x in output]
        return type(output)(*parts) if hasattr(output, "_fields") else type(output)(parts)
    if dataclasses.is_dataclass(output) and not isinstance(output, type):
        names = [field.name for field in dataclasses.fields(output) if field.init]
        return dataclasses.replace(output, **{name: mapped(getattr(output, name), change) for name in names})
    return output
