"""The modules and parameters of a model, walked through once in a trace: ten walks cost more than a small layer."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator

from torch import Tensor, nn

_HERE = threading.local()  # the model that this thread is tracing, and its modules by name


@contextlib.contextmanager
def parts_of(model: nn.Module) -> Iterator[None]:
    """Inside, `modules`, `parameters` and `buffers` of `model` are those that it has now."""
    outer = getattr(_HERE, "parts", None)
    _HERE.parts = (model, dict(model.named_modules()))
    try:
        yield
    finally:
        _HERE.parts = outer


def modules(model: nn.Module) -> dict[str, nn.Module]:
    """Every module once, by its first name; the model itself is ""."""
    current = getattr(_HERE, "parts", None)
    return current[1] if current is not None and current[0] is model else dict(model.named_modules())


def parameters(model: nn.Module) -> Iterator[nn.Parameter]:
    """Every parameter; one that is shared may come more than once."""
    return (p for module in modules(model).values() for p in module._parameters.values() if p is not None)


def buffers(model: nn.Module) -> Iterator[Tensor]:
    """Every buffer; one that is shared may come more than once."""
    return (b for module in modules(model).values() for b in module._buffers.values() if b is not None)
