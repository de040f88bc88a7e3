"""Looking into a forward: relevance of layers, heads and neurons, and modules whose output is the input explained."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Collection, Iterator
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from ._experts import Experts
from ._nodes import Edge, Node
from ._notes import Notes
from ._output import tensors_of
from ._parts import modules, parameters
from ._step import carries, quiet

if TYPE_CHECKING:
    from ._mode import TraceMode

Entered = Callable[[str, Tensor], Tensor]

FUSED = "scaled_dot_product_attention"
ATTENDS = frozenset({"matmul", "bmm", "__matmul__", FUSED})
READS = frozenset({"linear", "addmm", "matmul", "__matmul__", "mm", "bmm", "conv1d", "conv2d", "grouped_mm",
                   "_grouped_mm", "baddbmm"})  # fmt: skip
PASSES = frozenset({"mul", "__mul__", "__rmul__", "dropout", "view", "reshape", "transpose", "permute", "contiguous",
                    "to", "flatten", "squeeze", "unsqueeze", "clone", "__getitem__", "multiply"})  # fmt: skip


class Watch:
    """Records relevance inside the model while one gradient flows; costs a product and a sum for each tensor."""

    def __init__(
        self,
        mode: TraceMode,
        layers: bool,
        heads: bool,
        neurons: bool,
        hidden: Collection[str],
        experts: bool = False,
    ) -> None:
        self.mode, self.layers, self.heads, self.neurons = mode, layers, heads, neurons
        self.activations = hidden  # names of operations whose results are hidden units
        self.names: dict[str, None] = {}  # layers reached, in order
        self.found: dict[str, dict[str, Tensor]] = {"heads": {}, "neurons": {}}
        self.experts = Experts(mode) if experts else None
        self.of_operations = heads or neurons or experts  # they must be seen, and not modules alone
        self._edges: Notes[Edge] = Notes()
        self._nodes: Notes[Node] = Notes()
        self._hidden: Notes[bool] = Notes()
        self._inside: list[str] = []
        self._called: dict[int, str] = {}  # by id, the name of a module

    @contextlib.contextmanager
    def attached(self, model: nn.Module) -> Iterator[None]:
        """Watch every module of `model`; hooks only, removed on exit.

        They are put where `register_forward_hook` puts them; its handles would cost more than all that they record.
        """
        watched = modules(model) if self.layers or self.of_operations else {}
        self._called = {id(module): name for name, module in watched.items()}
        handles = []
        try:
            for module in watched.values():
                if self.experts is not None:
                    handles.append(module.register_forward_pre_hook(self._routed, with_kwargs=True))
                elif self.of_operations:
                    module._forward_pre_hooks[self] = self._enter  # type: ignore[index]
                module._forward_hooks[self] = self._leave  # type: ignore[index]
            yield
        finally:
            for module in watched.values():
                module._forward_pre_hooks.pop(self, None)  # type: ignore[call-overload]
                module._forward_hooks.pop(self, None)  # type: ignore[call-overload]
            for handle in handles:
                handle.remove()
            # the forward is over: from now on values live as long as the graph, and nothing waits for the collector
            self.mode.watch = None
            self._edges, self._nodes = Notes(), Notes()

    def _enter(self, module: nn.Module, _args: Any) -> None:
        self._inside.append(self._called[id(module)])

    def _routed(self, module: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        name = self._called[id(module)]
        self._inside.append(name)
        if self.experts is not None and len(args) + len(kwargs) > 2:
            self.experts.entering(name, module, (*args, *kwargs.values()))

    def _leave(self, module: nn.Module, _inputs: Any, output: Any) -> None:
        if self._inside:
            self._inside.pop()
        name = self._called[id(module)]
        if self.layers and name:
            with quiet():
                tensor = output if isinstance(output, Tensor) else next(filter(carries, tensors_of(output)), None)
                if carries(tensor):
                    self._layer(name, tensor)

    def _layer(self, name: str, tensor: Any) -> None:
        self.names.setdefault(name)
        edge = self._edges.get(tensor)
        if edge is not None and edge.version == tensor._version:
            edge.names.append(name)
        else:
            self._node(tensor).names.append(name)

    def _node(self, tensor: Tensor) -> Node:
        """The node of a tensor as it is now; a container hands on what its last part returned."""
        node = self._nodes.get(tensor)
        if node is None or node.version != tensor._version:
            node = self._nodes[tensor] = Node(self.mode, tensor)
        return node

    def edge_from(self, x: Tensor) -> Edge | None:
        """An edge to what a linear layer is about to make of x, if x is kept anyway."""
        if not self.layers:
            return None
        if x in self._hidden:
            self._record("neurons", x, torch.mul)
        node = self._nodes.get(x)
        return Edge(node) if node is not None and node.version == x._version else None

    def leads(self, edge: Edge, y: Tensor) -> None:
        """Note that y is what the edge leads to."""
        edge.version = y._version
        self._edges[y] = edge

    def seen(self, name: str, operation: Callable[..., Any], args: Any, kwargs: dict[str, Any], y: Any) -> None:
        """After an operation: is y the output of heads, or was an argument a layer of hidden units?

        name: of the operation, without its overload.
        """
        if not isinstance(y, Tensor):
            return
        if self.experts is not None:
            self.experts.seen(name, operation, args, kwargs, y)
        if self.heads and name in ATTENDS and carries(y):
            attends = y.dim() == 4 if name == FUSED else y.dim() in (3, 4) and self.mode.marks.get(args[0]) == "softmax"
            if attends:
                self._record("heads", y, torch.linalg.vecdot)
        if not self.neurons:
            return
        if name in self.activations:
            self.hidden(y)
        elif name in PASSES:
            if any(x in self._hidden for x in args):
                self.hidden(y)
        elif name in READS:
            for x in args:
                if x in self._hidden and carries(x):
                    self._record("neurons", x, torch.mul)

    def hidden(self, y: Tensor) -> None:
        """Note that y holds the hidden units of an MLP."""
        if self.neurons:
            self._hidden[y] = True

    def _record(self, kind: str, x: Tensor, join: Callable[[Tensor, Tensor], Tensor]) -> None:
        with quiet():
            node = self._node(x)
        found, base = self.found[kind], self._inside[-1] if self._inside else ""
        if node.recorded.get(kind) == base:
            return  # read by several layers of one module
        node.recorded[kind] = base
        name, calls = base, 1
        while name in found:
            calls += 1
            name = f"{base}#{calls}"
        found[name] = torch.zeros((), device=x.device)  # no relevance has come here yet

        def record(gradient: Tensor, value: Tensor) -> None:
            new = join(gradient, value).detach()
            found[name] = found[name] + new if found[name].dim() else new

        node.recorders.append(record)

    def reached(self, kind: str, batch: int | None = None) -> dict[str, Tensor]:
        """What was recorded, by module; of heads in a batch of that size, (batch, heads, positions)."""
        if kind == "experts":
            return self.experts.by_sample(batch or 1) if self.experts is not None else {}
        found = {name: x for name, x in self.found[kind].items() if x.dim()}
        if kind == "heads" and batch:
            return {name: _by_sample(x, batch) for name, x in found.items()}
        return found


def _by_sample(x: Tensor, batch: int) -> Tensor:
    """Heads folded into the batch, (batch * heads, positions), or windows, (batch * windows, heads, positions).

    Both are unfolded with the samples outermost, as models fold them; windows then follow each other as positions.
    """
    if len(x) % batch:
        return x
    if x.dim() == 2:
        return x.view(batch, -1, x.shape[1])
    return x if len(x) == batch else x.view(batch, -1, *x.shape[1:]).transpose(1, 2).flatten(2)


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
        for name, module in modules(model).items() if calls else ():
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
    thawed = [p for p in parameters(model) if p.requires_grad]
    try:
        for parameter in thawed:
            parameter.requires_grad_(False)
        yield
    finally:
        for parameter in thawed:
            parameter.requires_grad_(True)
