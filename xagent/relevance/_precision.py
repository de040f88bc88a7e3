"""A forward of a 16-bit model in float32, without a second copy of its weights.

Where 16 bits miss: every value of the forward is rounded to 8 (bfloat16) or 11 (float16) significant bits, so the score
itself differs from the sum of its parts by about 2^-9 of their volume. That share is large where the score is small
against the volume. No rule and no wider sum of the books can mend a rounded forward; computing it in float32 does.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from ._errors import RelevanceError
from ._parts import buffers, parameters
from ._step import quiet

Precision = Literal["auto", "model", "float32"]
PRECISIONS = ("auto", "model", "float32")
ENOUGH = 1e-2  # the gap above which "auto" repeats the trace in float32

LOW = (torch.bfloat16, torch.float16)

# a part or another view of a weight stays what it is; it is cast where it is used
_MOVES = (
    "view reshape view_as flatten unflatten squeeze unsqueeze permute transpose t swapaxes swapdims movedim moveaxis "
    "chunk split tensor_split unbind select narrow __getitem__ expand expand_as index_select detach numpy_T adjoint "
    "requires_grad_ size dim stride numel register_hook data_ptr untyped_storage is_contiguous is_floating_point "
    "__set__ __len__ __hash__ _make_subclass element_size"
)
_STAY = frozenset(_MOVES.split())
# a table is looked up first and then cast: casting a vocabulary for a sentence would cost more than the model
_LOOKUPS = frozenset({"embedding", "embedding_bag"})


@dataclass(frozen=True)
class _Narrow:
    """A view of a cast weight that the graph keeps: the weight itself, cast again when it is asked for."""

    weight: Tensor
    shape: tuple[int, ...]
    stride: tuple[int, ...]
    offset: int

    def wide(self) -> Tensor:
        with quiet():
            return self.weight.float().as_strided(self.shape, self.stride, self.offset)


class Float32Mode(TorchFunctionMode):
    """While active every 16-bit operand is cast to float32 for the operation, and every result is float32.

    Weights stay in their dtype: the cast lives for one operation forwards, and again for one backwards, because what
    the graph saves of it is the weight. A model that asks a weight for its dtype hears float32, and casts to 16 bits
    that it writes out itself are left out, so that nothing is rounded on the way.
    """

    def __torch_function__(
        self, operation: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        name = getattr(operation, "__name__", "")
        if name == "__get__":
            y = operation(*args, **kwargs)
            return torch.float32 if isinstance(y, torch.dtype) and y in LOW else y
        if name in _STAY:
            return operation(*args, **kwargs)
        if name in _LOOKUPS:
            return _widened(operation(*args, **kwargs))
        casts: dict[int, Tensor] = {}
        in_place = _low(args[0]) and (name == "__setitem__" or (name.endswith("_") and not name.endswith("__")))
        first = args[:1] if args and in_place else ()
        wide = (*first, *(_cast(x, casts) for x in args[len(first) :]))
        wide_kwargs = {key: _cast(x, casts) for key, x in kwargs.items()} if kwargs else kwargs
        with no_autocast(torch._C._is_any_autocast_enabled()), _saved_as_weights(casts):
            y = operation(*wide, **wide_kwargs)
        return y if first else _widened(y)


def _low(x: object) -> bool:
    return isinstance(x, Tensor) and x.dtype in LOW


def _cast(x: Any, casts: dict[int, Tensor]) -> Any:
    """x in float32; notes the casts of matrices by where their values lie."""
    if isinstance(x, Tensor):
        if x.dtype not in LOW:
            return x
        wide = x.float()
        if x.dim() > 1 and not x.requires_grad:
            casts[wide.untyped_storage().data_ptr()] = x
        return wide
    if isinstance(x, torch.dtype):
        return torch.float32 if x in LOW else x
    if isinstance(x, (list, tuple)) and not isinstance(x, torch.Size):
        parts = [_cast(part, casts) for part in x]
        return type(x)(*parts) if hasattr(x, "_fields") else type(x)(parts)
    return x


def _widened(y: Any) -> Any:
    if isinstance(y, Tensor):
        return y.float() if y.dtype in LOW else y
    if isinstance(y, (list, tuple)) and any(_low(part) for part in y):
        parts = [_widened(part) for part in y]
        return type(y)(*parts) if hasattr(y, "_fields") else type(y)(parts)
    return y


def _saved_as_weights(casts: dict[int, Tensor]) -> contextlib.AbstractContextManager[Any]:
    """What the graph saves of these casts is the weight that was cast."""
    if not casts or not torch.is_grad_enabled():
        return contextlib.nullcontext()

    def pack(x: Tensor) -> Any:
        weight = casts.get(x.untyped_storage().data_ptr()) if x.dtype is torch.float32 else None
        return x if weight is None else _Narrow(weight, tuple(x.shape), x.stride(), int(x.storage_offset()))

    def unpack(kept: Any) -> Tensor:
        return kept.wide() if isinstance(kept, _Narrow) else kept

    return torch.autograd.graph.saved_tensors_hooks(pack, unpack)


@contextlib.contextmanager
def computed_in_float32(wanted: bool) -> Iterator[None]:
    """`Float32Mode` if wanted; enter it outside of a trace's own mode."""
    with Float32Mode() if wanted else contextlib.nullcontext():
        yield


@contextlib.contextmanager
def no_autocast(wanted: bool) -> Iterator[None]:
    """Autocasting is off inside if wanted, in the gradient and in regions that switch it on themselves too."""
    with torch._C._DisableAutocast() if wanted else contextlib.nullcontext():
        yield


def checked(precision: str) -> Precision:
    """The precision asked for. Raises RelevanceError for an unknown one."""
    if precision not in PRECISIONS:
        raise RelevanceError(f'There is no precision "{precision}".', f"Known: {', '.join(PRECISIONS)}.")
    return precision  # type: ignore[return-value]


def sixteen_bits(model: nn.Module, inputs: Mapping[str, Tensor]) -> torch.dtype | None:
    """The 16-bit dtype that the forward computes in, by its weights, inputs or autocasting; None if there is none."""
    for values in (parameters(model), buffers(model), inputs.values()):
        found = next((x.dtype for x in values if x.dtype in LOW), None)
        if found is not None:
            return found
    if not torch._C._is_any_autocast_enabled():
        return None
    devices = {x.device.type for x in (*parameters(model), *inputs.values())}
    return next((torch.get_autocast_dtype(d) for d in sorted(devices) if torch.is_autocast_enabled(d)), None)


def name_of(dtype: torch.dtype) -> str:
    """ "float32" of torch.float32."""
    return str(dtype).removeprefix("torch.")
