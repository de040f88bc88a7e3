"""Long prompts within a memory bound: decoder layers that are computed again when the gradient comes to them.

A graph over S tokens holds everything of every layer. With segments it holds the input of every layer, and everything
of one layer at a time (Chen et al. 2016, sublinear memory), for one more forward. torch.utils.checkpoint does not do it
here: it frees what autograd saved, while the rules keep their coefficients in closures, and it would take the forward
to be recomputed for a foreign one. A segment is traced by the same mode in the same books, so that it posts once.
"""

from __future__ import annotations

import contextlib
import weakref
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_flatten, tree_leaves, tree_unflatten

from ._kinds import opened
from ._mode import TraceMode
from ._step import carries

Run = Callable[[list[Tensor]], Any]


class _Segment(torch.autograd.Function):
    """A layer whose graph exists only while its gradient is taken."""

    @staticmethod
    def forward(ctx: Any, mode: TraceMode, run: Run, result: list[Any], *values: Tensor) -> tuple[Tensor, ...]:
        ctx.mode, ctx.run, ctx.again = mode, run, False
        ctx.save_for_backward(*values)
        leaves, spec = tree_flatten(run([x.clone() for x in values]))
        places = [i for i, x in enumerate(leaves) if _floating(x)]
        result[:] = [leaves, spec, places]
        return tuple(leaves[i] for i in places)

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Any, ...]:
        mode: TraceMode = ctx.mode
        values = [x.detach().requires_grad_() for x in ctx.saved_tensors]
        audit, watched = dict(mode.audit), mode._watched
        mode._watched = {}  # values of this graph, which goes when this is over
        mode.finished = False
        try:
            with torch.enable_grad(), mode:
                outputs = ctx.run([x.clone() for x in values])
            pairs = zip([x for x in tree_leaves(outputs) if _floating(x)], gradients, strict=True)
            reached = [(x, g) for x, g in pairs if x.requires_grad and g is not None]
        finally:
            mode.finished = True
            if ctx.again:  # a further row of the same graph: its operations are counted already
                mode.audit = audit
            ctx.again = True
        if not reached:
            mode._watched = watched
            return None, None, None, *[None] * len(values)
        with mode:  # to notice a forward that is recomputed inside of this one
            found = opened(torch.autograd.grad)(
                [x for x, _ in reached], values, grad_outputs=[g for _, g in reached], allow_unused=True
            )
        mode._watched = watched
        return None, None, None, *found


def _floating(x: Any) -> bool:
    return isinstance(x, Tensor) and x.is_floating_point()


@contextlib.contextmanager
def segmented(model: nn.Module, mode: TraceMode) -> Iterator[None]:
    """The decoder layers of `model` are segments inside; as before outside. Belongs around forward and gradient."""
    with contextlib.ExitStack() as restore:
        for layer in decoder_layers(model):
            own, forward = vars(layer), layer.forward
            if "forward" in own:
                restore.callback(own.__setitem__, "forward", forward)
            else:
                restore.callback(own.pop, "forward")
            own["forward"] = _as_segment(forward, mode)
        yield


def _as_segment(forward: Callable[..., Any], mode: TraceMode) -> Callable[..., Any]:
    def segment(*args: Any, **kwargs: Any) -> Any:
        leaves, spec = tree_flatten((args, kwargs))
        places = [i for i, x in enumerate(leaves) if carries(x)]
        if not places:
            return forward(*args, **kwargs)

        def run(values: list[Tensor]) -> Any:
            given = list(leaves)
            for i, x in zip(places, values, strict=True):
                given[i] = x
            some, others = tree_unflatten(given, spec)
            return forward(*some, **others)

        result: list[Any] = []
        traced = [leaves[i] for i in places]
        for i in places:
            leaves[i] = None  # the graph holds it as a saved tensor, not here
        outputs = _Segment.apply(mode, run, result, *traced)  # type: ignore[no-untyped-call]
        given, shape, where = result
        for i, x in zip(where, outputs, strict=True):
            given[i] = x
        return tree_unflatten(given, shape)

    return segment


def decoder_layers(model: nn.Module) -> list[nn.Module]:
    """The members of the longest list of modules: the layers of a language model."""
    lists = [list(m) for m in model.modules() if isinstance(m, nn.ModuleList)]
    return max(lists, key=len, default=[])


class LiveBytes(TorchDispatchMode):  # type: ignore[no-untyped-call]
    """Counts the bytes of all tensors that were made inside and are still alive, and their highest sum."""

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.live = self.peak = 0
        self._known: set[int] = set()

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        y = func(*args, **(kwargs or {}))
        for x in tree_leaves(y):
            if isinstance(x, Tensor):
                self._count(x.untyped_storage())
        return y

    def _count(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()
        if key in self._known or not size:
            return
        self._known.add(key)
        self.live += size
        self.peak = max(self.peak, self.live)
        weakref.finalize(storage, self._gone, key, size)

    def _gone(self, key: int, size: int) -> None:
        self._known.discard(key)
        self.live -= size
