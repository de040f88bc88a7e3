"""Kernels that a trace cannot look into are replaced inside of it by torch's own operations, and restored after it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

from torch import nn

from ._parts import modules

_TRACED = (None, "eager", "sdpa")


@contextlib.contextmanager
def eager_inside(model: nn.Module) -> Iterator[None]:
    """Compiled submodules run as they were written, fused attention as torch's own kernel; as before outside.

    Attention that is "eager" stays so: a model may do there what torch's kernel does not (scores of its own, weights
    as an output).
    """
    with contextlib.ExitStack() as restore:
        for module in modules(model).values():
            _uncompile(module, restore)
        _unfuse(model, restore)
        yield


def _uncompile(module: nn.Module, restore: contextlib.ExitStack) -> None:
    own = vars(module)
    if own.get("_compiled_call_impl") is not None:  # module.compile()
        restore.callback(own.__setitem__, "_compiled_call_impl", own["_compiled_call_impl"])
        own["_compiled_call_impl"] = None
    original = getattr(module, "_modules", {}).get("_orig_mod")
    if original is not None and "forward" in own:  # torch.compile(module)
        restore.callback(own.__setitem__, "forward", own["forward"])
        own["forward"] = original.__call__


def _unfuse(model: nn.Module, restore: contextlib.ExitStack) -> None:
    """Every configuration in the model that asks for a fused attention asks for sdpa instead.

    Where torch's kernel cannot do what the model needs (a cap on the scores, or no support), for eager.
    """
    seen: set[int] = set()
    for module in modules(model).values():
        config: Any = vars(module).get("config")  # asking the module costs more than a small layer
        was = getattr(config, "_attn_implementation_internal", None)
        if id(config) in seen or was in _TRACED or not isinstance(was, str):
            continue
        seen.add(id(config))
        capped = getattr(config, "attn_logit_softcapping", None) is not None
        supported = getattr(module, "_supports_sdpa", True) and not capped
        restore.callback(setattr, config, "_attn_implementation_internal", was)
        config._attn_implementation_internal = "sdpa" if supported else "eager"
