"""Looking into a forward: relevance of layers, heads and neurons, and modules whose output is the input explained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.utils.weak import WeakTensorKeyDictionary

from ._output import tensors_of
from ._step import carries, quiet

if TYPE_CHECKING:
    from ._mode import TraceMode

Entered = Callable[[str, Tensor], Tensor]

ATTENDS = frozenset({"matmul", "bmm", "__matmul__"})
READS = frozenset({"linear", "addmm", "matmul", "__matmul__", "mm", "bmm", "conv1d", "conv2d", "grouped_mm",
                   "_grouped_mm", "baddbmm"})  # fmt: skip
PASSES = frozenset({"mul", "__mul__", "__rmul__", "dropout", "view", "reshape", "transpose", "permute", "contiguous",
                    "to", "flatten", "squeeze", "unsqueeze", "clone", "__getitem__", "multiply"})  # fmt: skip


class Watch:
    """Records relevance inside the model while one gradient flows; costs a product and a sum for each tensor."""

    def __init__(self, mode: TraceMode, layers: bool, heads: bool, neurons: bool, hidden: Collection[str]) -> None:
        self.mode, self.layers, self.heads, self.neurons = mode, layers, heads, neurons
        self.activations = hidden  # names of operations whose results are hidden units
        self.names: list[str] = []  # layers reached
        self.found: dict[str, dict[str, Tensor]] = {"heads": {}, "neurons": {}}
        self._hidden: Any = WeakTensorKeyDictionary()
        self._last: tuple[Tensor, int, list[str]] | None = None
        self._inside: list[str] = []

    @contextlib.contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Watch every module of `model`; hooks only, removed on exit."""
        handles = []
        try:
            for name, module in model.named_modules() if self.layers or self.heads or self.neurons else ():
                handles.append(module.register_forward_pre_hook(self._entering(name)))
                handles.append(module.register_forward_hook(self._leaving(name)))
            yield
        finally:
            for handle in handles:
                handle.remove()

    def _entering(self, name: str) -> Callable[[nn.Module, Any], None]:
        return lambda _module, _inputs: self._inside.append(name)

    def _leaving(self, name: str) -> Callable[[nn.Module, Any, Any], None]:
        def leave(_module: nn.Module, _inputs: Any, output: Any) -> None:
            self._inside.pop()
            tensor = next((x for x in tensors_of(output) if carries(x)), None) if self.layers and name else None
            if tensor is not None:
                self._layer(name, tensor)

        return leave

    def _layer(self, name: str, tensor: Tensor) -> None:
        if name not in self.names:
            self.names.append(name)
        if self._last is not None and self._last[0] is tensor and self._last[1] == tensor._version:
            self._last[2].append(name)  # a container hands on what its last part returned
            return
        names, value = [name], self.mode.watched(tensor)
        self._last = (tensor, tensor._version, names)

        def settle(gradient: Tensor) -> None:
            books = self.mode.books
            with quiet():
                amount = books.inner(gradient, value[0])
            for each in names:
                books.entries.setdefault(f"layer:{each}", []).append(amount)

        tensor.register_hook(settle)  # type: ignore[no-untyped-call]

    def seen(self, operation: Callable[..., Any], args: Any, y: Any) -> None:
        """After an operation: is y the output of heads, or was an argument a layer of hidden units?"""
        if not isinstance(y, Tensor):
            return
        name = getattr(operation, "__name__", "").split(".")[0]
        attends = name == "scaled_dot_product_attention" or (
            name in ATTENDS and self.mode.marks.get(args[0]) == "softmax"
        )
        if self.heads and attends and y.dim() == 4 and carries(y):
            self._record("heads", y, torch.linalg.vecdot)
        if not self.neurons:
            return
        operands = [x for x in args if isinstance(x, Tensor)]
        if name in self.activations or (name in PASSES and any(x in self._hidden for x in operands)):
            self.hidden(y)
        elif name in READS:
            for x in operands:
                if x in self._hidden and carries(x):
                    self._record("neurons", x, torch.mul)

    def hidden(self, y: Tensor) -> None:
        """Note that y holds the hidden units of an MLP."""
        if self.neurons:
            self._hidden[y] = True

    def _record(self, kind: str, x: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        found, base = self.found[kind], self._inside[-1] if self._inside else ""
        name, calls = base, 1
        while name in found:
            calls += 1
            name = f"{base}#{calls}"
        found[name] = torch.zeros((), device=x.device)  # no relevance has come here yet
        value = self.mode.watched(x)

        def settle(gradient: Tensor) -> None:
            with quiet():
                new = join(gradient, value[0]).detach()
                found[name] = found[name] + new if found[name].dim() else new

        x.register_hook(settle)  # type: ignore[no-untyped-call]

    def reached(self, kind: str) -> dict[str, Tensor]:
        """What was recorded, by module."""
        return {name: x for name, x in self.found[kind].items() if x.dim()}


@contextlib.contextmanager
def substituted(model: nn.Module, names: Collection[str], entered: Entered) -> Iterator[None]:
    """What the modules in `names` return is replaced by entered(name, value); their further calls are "name#2" ...

    Of an `nn.EmbeddingBag` the rows are replaced before they are summed.
    """
    calls = dict.fromkeys(names, 0)

    def hook_for(name: str) -> Callable[[nn.Module, Any, Any, Any], Tensor]:
        def hook(module: nn.Module, args: Any, kwargs: Any, output: Any) -> Tensor:
            calls[name] += 1
            label = name if calls[name] == 1 else f"{name}#{calls[name]}"
            if isinstance(module, nn.EmbeddingBag):
                return _bag(module, lambda rows: entered(label, rows), *args, **kwargs)
            return entered(label, output)

        return hook

    handles = []
    try:
        for name, module in model.named_modules() if calls else ():
            if name in calls:
                handles.append(module.register_forward_hook(hook_for(name), with_kwargs=True))
        yield
    finally:
        for handle in handles:
            handle.remove()


def _bag(
    module: nn.EmbeddingBag,
    entered: Callable[[Tensor], Tensor],
    input: Tensor,
    offsets: Tensor | None = None,
    per_sample_weights: Tensor | None = None,
) -> Tensor:
    """The bags of `module` from rows (*input.shape, features) that have gone through `entered`."""
    rows = entered(F.embedding(input, module.weight.detach()))
    count = input.numel()
    table = torch.cat([rows.reshape(count, -1), rows.new_zeros(1, rows.shape[-1])])
    index = torch.arange(count, device=input.device).view(input.shape)
    padding = None
    if module.padding_idx is not None:
        padding = count
        index = torch.where(input == module.padding_idx, count, index)
    return F.embedding_bag(
        index, table, offsets, mode=module.mode, per_sample_weights=per_sample_weights,
        include_last_offset=module.include_last_offset, padding_idx=padding,
    )  # fmt: skip


@contextlib.contextmanager
def frozen(model: nn.Module) -> Iterator[None]:
    """No parameter requires a gradient inside; all as before outside."""
    parameters = [p for p in model.parameters() if p.requires_grad]
    try:
        for parameter in parameters:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)
