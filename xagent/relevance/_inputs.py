"""The inputs of a question in every form that a model takes: by name, in order, one inside the other."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import Tensor, nn

from ._errors import RelevanceError


@dataclass(frozen=True)
class Given:
    """A model's arguments by name, in order.

    positional: they were given without names; the names are those of the forward's signature, "args.0" for what its
        `*args` takes.
    """

    by_name: dict[str, Any]
    positional: bool

    def find(self, path: str) -> Any:
        """The value at "name", or inside of it at "name.key.0"; None where there is nothing."""
        if path in self.by_name:
            return self.by_name[path]
        name = next((n for n in self.by_name if path.startswith(f"{n}.")), None)
        if name is None:
            return None
        x = self.by_name[name]
        for key in path[len(name) + 1 :].split("."):
            x = _step_into(x, key)
        return x

    def replaced(self, values: Mapping[str, Any]) -> dict[str, Any]:
        """The arguments with the values at these paths replaced; containers on the way are copied."""
        changed = dict(self.by_name)
        for path, value in values.items():
            if path in changed:
                changed[path] = value
                continue
            name = next(n for n in changed if path.startswith(f"{n}."))
            changed[name] = _with(changed[name], path[len(name) + 1 :].split("."), value)
        return changed

    def mapped(self, change: Callable[[Tensor], Any]) -> Given:
        """The same with every tensor changed."""
        return Given({name: _mapped(x, change) for name, x in self.by_name.items()}, self.positional)

    def tensors(self) -> dict[str, Tensor]:
        """Every tensor by its path."""
        return {path: x for name, value in self.by_name.items() for path, x in _leaves(name, value)}


def given(model: nn.Module, inputs: Any) -> Given:
    """The inputs of a trace: a mapping, a tuple or list in the order of the forward's arguments, or one tensor.

    Raises RelevanceError for anything else, and for more positional inputs than the forward takes.
    """
    if isinstance(inputs, Mapping):
        wrong = [name for name in inputs if not isinstance(name, str)]
        if wrong:
            raise RelevanceError(f"The inputs are named by {wrong[0]!r}, which is no text.")
        return Given(dict(inputs), positional=False)
    if isinstance(inputs, Tensor):
        inputs = (inputs,)
    if not isinstance(inputs, (tuple, list)):
        raise RelevanceError(
            f"The inputs are a {type(inputs).__name__}.", "Give a mapping by name, a tuple in order, or one tensor."
        )
    return Given(dict(zip(_names(model, len(inputs)), inputs, strict=True)), positional=True)


def asked_for(model: nn.Module, inputs: Given, of: Sequence[str | int] | None) -> tuple[str, ...]:
    """The names in `of`: positions become names; None is the only floating point tensor among the inputs."""
    if of is None:
        floating = [path for path, x in inputs.tensors().items() if x.is_floating_point()]
        if len(floating) == 1:
            return (floating[0],)
        if not floating:
            known = ", ".join(embeddings(model)) or "the module that embeds them"
            raise RelevanceError(
                "None of the inputs holds floating point values; relevance flows only through those.",
                f"Name an embedding in `of`: {known}.",
            )
        raise RelevanceError("Several inputs could be meant.", f"Name some in `of`: {', '.join(floating)}.")
    if isinstance(of, str) or not of:
        raise RelevanceError("`of` must list the names of the inputs to explain.")
    names = list(inputs.by_name)
    chosen: list[str] = []
    for each in of:
        if isinstance(each, bool) or not isinstance(each, (str, int)):
            raise RelevanceError(f"`of` holds {each!r}.", "Give names, or positions of the inputs.")
        if isinstance(each, int) and not -len(names) <= each < len(names):
            raise RelevanceError(f"`of` names position {each}; there are {len(names)} inputs.")
        name = names[each] if isinstance(each, int) else each
        if name in chosen:
            raise RelevanceError(f'`of` names "{name}" twice.')
        chosen.append(name)
    return tuple(chosen)


def embeddings(model: nn.Module) -> list[str]:
    """The first embedding modules by name, quoted; what can be explained where inputs are integers."""
    found = [name for name, module in model.named_modules() if isinstance(module, (nn.Embedding, nn.EmbeddingBag))]
    return [f'"{name}"' for name in found[:3] if name]


def _names(model: nn.Module, count: int) -> list[str]:
    kinds = inspect.Parameter
    parameters = list(signature_of(model.forward).parameters.values())
    names = [p.name for p in parameters if p.kind in (kinds.POSITIONAL_ONLY, kinds.POSITIONAL_OR_KEYWORD)]
    rest = next((p.name for p in parameters if p.kind is kinds.VAR_POSITIONAL), None)
    if count > len(names) and rest is None:
        raise RelevanceError(f"There are {count} inputs; the model's forward takes {len(names)}: {', '.join(names)}.")
    return [names[i] if i < len(names) else f"{rest}.{i - len(names)}" for i in range(count)]


def _step_into(x: Any, key: str) -> Any:
    if isinstance(x, Mapping):
        return x.get(key)
    if isinstance(x, (list, tuple)) and key.isdecimal() and int(key) < len(x):
        return x[int(key)]
    return None


def _with(x: Any, keys: list[str], value: Any) -> Any:
    if not keys:
        return value
    inner = _with(_step_into(x, keys[0]), keys[1:], value)
    if isinstance(x, Mapping):
        return {**x, keys[0]: inner}
    parts = [inner if i == int(keys[0]) else part for i, part in enumerate(x)]
    return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)


def _mapped(x: Any, change: Callable[[Tensor], Any]) -> Any:
    if isinstance(x, Tensor):
        return change(x)
    if isinstance(x, Mapping):
        return {key: _mapped(value, change) for key, value in x.items()}
    if isinstance(x, (list, tuple)):
        parts = [_mapped(part, change) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def _leaves(path: str, x: Any) -> Iterator[tuple[str, Tensor]]:
    if isinstance(x, Tensor):
        yield path, x
    elif isinstance(x, Mapping):
        for key, value in x.items():
            yield from _leaves(f"{path}.{key}", value)
    elif isinstance(x, (list, tuple)):
        for i, value in enumerate(x):
            yield from _leaves(f"{path}.{i}", value)


def signature_of(forward: Callable[..., Any]) -> inspect.Signature:
    """How a bound forward is called; worked out once for each class."""
    function = getattr(forward, "__func__", None)
    return _unbound(function) if function is not None else inspect.signature(forward)


@functools.lru_cache(maxsize=256)
def _unbound(function: Callable[..., Any]) -> inspect.Signature:
    whole = inspect.signature(function)
    return whole.replace(parameters=list(whole.parameters.values())[1:])
