"""Other tools' patches of the process: a torch or transformers that is no longer itself gives falsified relevance."""

from __future__ import annotations

import functools
import operator
import re
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import torch
import torch.nn.functional as F
from torch import nn

from ._errors import RelevanceError
from ._parts import modules

_OWNERS = ("torch", "transformers")
# by owner, the members that were looked through and are as they should be: a trace must not pay for that each time
_CLEAN: dict[str, list[Any]] = {}
_MEND = "Start a fresh process that does not import the tool that put it there, and trace in that."


def refuse_foreign_patches(model: nn.Module) -> None:
    """Raise RelevanceError if a function of torch, or of the model's classes, was replaced for the whole process.

    Looked at: `torch.nn.functional`, `torch`, `torch.Tensor`; the classes of the model's modules as far as they are
    torch's or transformers'; the functions of the modules that define them; transformers' table of attentions.
    What is attached to one instance (a hook, accelerate's offloading) is left alone.
    """
    for owner, name, function in _suspects(model):
        home = function.__code__.co_filename
        raise RelevanceError(
            f'"{owner}.{name}" was replaced for the whole process by "{function.__module__}.{function.__qualname__}" '
            f"({Path(home).name}); relevance would be falsified.",
            _MEND,
        )


def _suspects(model: nn.Module) -> Iterator[tuple[str, str, FunctionType]]:
    for holder, owner in ((F, "torch.nn.functional"), (torch, "torch"), (torch.Tensor, "torch.Tensor")):
        yield from _strangers(owner, vars(holder))
    kinds = {type(module) for module in modules(model).values()}
    classes = {base for kind in kinds for base in kind.__mro__ if _owned(base.__module__)}
    for kind in sorted(classes, key=lambda c: (c.__module__, c.__qualname__)):
        yield from _strangers(f"{kind.__module__}.{kind.__qualname__}", vars(kind))
    for name in sorted({kind.__module__ for kind in classes if kind.__module__.startswith("transformers.models.")}):
        module = sys.modules.get(name)
        if module is not None:
            for owner, attribute, function in _strangers(name, vars(module)):
                if attribute in _defined(module):  # otherwise it was imported, as optional kernels are
                    yield owner, attribute, function
    yield from _attentions()


def _attentions() -> Iterator[tuple[str, str, FunctionType]]:
    utilities = sys.modules.get("transformers.modeling_utils")
    table = getattr(utilities, "ALL_ATTENTION_FUNCTIONS", None)
    standard = getattr(type(table), "_global_mapping", None)
    if standard is not None:
        known = {name: f for name, f in standard.items() if name in ("sdpa", "flex_attention", "flash_attention_2")}
        yield from _strangers("transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS", known)


def _strangers(owner: str, members: Any) -> Iterator[tuple[str, str, FunctionType]]:
    """The python functions among `members` whose code lies in neither torch nor transformers."""
    values = list(members.values())
    clean = _CLEAN.get(owner, [])
    if len(clean) == len(values) and all(map(operator.is_, clean, values)):
        return
    found = list(_looked_through(owner, members))
    if not found:
        _CLEAN[owner] = values
    yield from found


def _looked_through(owner: str, members: Any) -> Iterator[tuple[str, str, FunctionType]]:
    for name, member in list(members.items()):
        function = member
        while isinstance(function, functools.partial):
            function = function.func
        if isinstance(function, (staticmethod, classmethod)):
            function = function.__func__
        while isinstance(function, FunctionType):
            if not _at_home(function.__code__.co_filename):
                yield owner, name, function
                break
            function = vars(function).get("__wrapped__")


def _owned(module: str) -> bool:
    return module.partition(".")[0] in _OWNERS


@functools.lru_cache(maxsize=4096)
def _at_home(filename: str) -> bool:
    """Whether code of this file is torch's, transformers', python's own, or made by them at run time ("<string>")."""
    if filename.startswith("<"):
        return filename.startswith(("<string>", "<frozen", "<eval_with_key>", "<__array_function__"))
    library = str(Path(functools.__file__).parent)
    if filename.startswith(library) and "site-packages" not in filename:
        return True
    return Path(filename).name == "typing_extensions.py" or filename.startswith(_homes())


def _homes() -> tuple[str, ...]:
    modules = (sys.modules.get(owner) for owner in _OWNERS)
    return tuple(str(Path(module.__file__).parent) for module in modules if module is not None and module.__file__)


@functools.lru_cache(maxsize=64)
def _defined(module: ModuleType) -> frozenset[str]:
    """The functions that the source of a module defines itself."""
    try:
        source = Path(str(module.__file__)).read_text(encoding="utf-8")
    except OSError:
        return frozenset()
    return frozenset(re.findall(r"^def (\w+)", source, re.MULTILINE))
