"""Runs a checked program itself, one listed operation after the other.

`torch.export.load` rebuilds a program through sympy, fake tensors and generated Python source, which takes longer than
everything else about a small model. The guard has already understood each field, so nothing of that is needed to run
it: the operations are looked up by their listed names and called in order, with the same arguments that torch would
give them, and so with the same answers to the last bit. What is not plain enough for that raises `Unsupported`, and
the caller hands the rewritten archive to torch.
"""

from __future__ import annotations

import json
import operator
from collections import OrderedDict
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from xagent.subject._arguments import Name, Unsupported, argument, filled, names_in
from xagent.subject._program import Program

SCHEMA_MAJOR = 8
_SYMBOLIC_HOMES = {"_operator": operator, "torch": torch}
_POSITIONAL, _KEYWORD = 1, 2


@dataclass(frozen=True)
class Step:
    """One call. outputs: names for what it returns, as a tree of lists. dropped: values nobody needs afterwards."""

    call: Callable[..., Any]
    args: tuple[Any, ...]
    kwargs: dict[str, Any]
    outputs: Any
    dropped: tuple[str, ...]


class Executor(nn.Module):
    """The program as a module that takes its one tensor, positional.

    tensors: its parameters, buffers and constants by kind ("parameter", "buffer", "constant") and dotted name, on
    `device`. Raises Unsupported for a program that torch has to load.
    """

    def __init__(self, program: Program, tensors: dict[tuple[str, str], Tensor], device: torch.device) -> None:
        super().__init__()
        data = json.loads(program.text)
        module = data["graph_module"]
        graph, signature = module["graph"], module["signature"]
        _check_versions(data)
        if graph.get("is_single_tensor_return") or len(signature["input_specs"]) != len(graph["inputs"]):
            raise Unsupported("the shape of its graph")
        self.weights = nn.Module()  # apart, so that no name from the file meets one of ours
        self._held: list[tuple[str, nn.Module, str]] = []
        self._input = ""
        known: set[str] = set()
        for spec, placed in zip(signature["input_specs"], graph["inputs"], strict=True):
            name = self._take_in(spec, tensors)
            if placed != {"as_tensor": {"name": name}} or name in known:
                raise Unsupported(f"its input {name}")
            known.add(name)
        self._sizes = [_limits(size, data["range_constraints"]) for size in _sizes(graph, self._input)]
        kinds = [next(iter(spec)) for spec in signature["output_specs"]]
        if set(kinds) - {"user_output"} or len(kinds) != len(graph["outputs"]):
            raise Unsupported("its outputs")
        self._outputs = [argument(value, device) for value in graph["outputs"]]
        self._layout = json.loads(module["module_call_graph"][0]["signature"]["out_spec"])[1]
        if _leaves(self._layout) != len(kinds):
            raise Unsupported("the layout of its outputs")
        self._steps = _steps(graph["nodes"], self._outputs, known, device)
        self.training = False

    def forward(self, input: Tensor) -> Any:
        self._check_shape(input)
        values: dict[str, Any] = {name: getattr(owner, leaf) for name, owner, leaf in self._held}
        values[self._input] = input
        for step in self._steps:
            answer = step.call(*filled(step.args, values), **filled(step.kwargs, values))
            _keep(step.outputs, answer, values)
            for name in step.dropped:
                values.pop(name, None)
        return _built(self._layout, iter(filled(self._outputs, values)))

    def _take_in(self, spec: dict[str, Any], tensors: dict[tuple[str, str], Tensor]) -> str:
        """Register what one input of the graph stands for under its own dotted name; the input's name."""
        (kind, held), *_ = spec.items()
        if kind == "user_input" and "as_tensor" in held["arg"]:
            self._input = str(held["arg"]["as_tensor"]["name"])
            return self._input
        if kind not in ("parameter", "buffer", "tensor_constant"):
            raise Unsupported(f"an input that is a {kind}")
        dotted = held[f"{kind}_name"]
        stored = "constant" if kind == "tensor_constant" or not held.get("persistent", True) else kind
        if (stored, dotted) not in tensors:
            raise Unsupported(f"a missing tensor {dotted}")
        tensor = tensors[stored, dotted]
        *path, leaf = dotted.split(".")
        owner = self.weights
        try:
            for part in path:
                if part not in owner._modules:
                    owner.add_module(part, nn.Module())
                owner = owner.get_submodule(part)
            if kind == "parameter":
                owner.register_parameter(leaf, nn.Parameter(tensor, requires_grad=False))
            else:
                owner.register_buffer(leaf, tensor, persistent=stored != "constant")
        except (KeyError, AttributeError):  # a name that torch modules use themselves
            raise Unsupported(f"the name {dotted}") from None
        name = str(held["arg"]["name"])
        self._held.append((name, owner, leaf))
        return name

    def _check_shape(self, input: Tensor) -> None:
        if input.dim() != len(self._sizes):
            raise RuntimeError(f"The model takes {len(self._sizes)} dimensions, not {input.dim()}.")
        met: dict[str, int] = {}
        for place, (size, limits) in enumerate(zip(input.shape, self._sizes, strict=True)):
            symbol, low, high = limits
            if not low <= size <= high or met.setdefault(symbol or str(place), size) != size:
                raise RuntimeError(f"The model does not take the shape {tuple(input.shape)}.")


def _check_versions(data: dict[str, Any]) -> None:
    operators = data["opset_version"].get("aten")
    if data["schema_version"]["major"] != SCHEMA_MAJOR or operators != torch._C._get_max_operator_version():
        raise Unsupported("its version")


def _sizes(graph: dict[str, Any], name: str) -> list[dict[str, Any]]:
    meta = graph["tensor_values"].get(name)
    if meta is None or meta["device"]["type"] != "cpu":
        raise Unsupported("the device of its input")
    return list(meta["sizes"])


def _limits(size: dict[str, Any], ranges: dict[str, Any]) -> tuple[str, int, int | float]:
    """(symbol, smallest, largest) of one dimension. As in torch, a lower limit of 2 or less does not bind, because
    export writes it even for dimensions that may be 0 or 1."""
    if "as_int" in size:
        return "", size["as_int"], size["as_int"]
    text = size["as_expr"]["expr_str"]
    symbol = text.removeprefix("Symbol('").split("'")[0]
    if symbol not in ranges or not symbol.isalnum():
        raise Unsupported(f"the dimension {text}")
    low, high = ranges[symbol]["min_val"], ranges[symbol]["max_val"]
    return symbol, low if low is not None and low > 2 else 0, float("inf") if high is None else high


def _steps(nodes: list[dict[str, Any]], outputs: list[Any], known: set[str], device: torch.device) -> list[Step]:
    """The calls in order; values are dropped where torch's generated code drops them, after their last use."""
    result: list[Step] = []
    needed, known = set(names_in(outputs)), set(known)
    calls = [_call(node, device) for node in nodes]
    for node, (_, args, kwargs) in zip(nodes, calls, strict=True):
        if missing := set(names_in([args, kwargs])) - known:
            raise Unsupported(f"{node['target']} needs {min(missing)}")
        known.update(names_in(_places(node["outputs"], device)))
    if needed - known:
        raise Unsupported("an output that nothing computes")
    for node, (call, args, kwargs) in zip(reversed(nodes), reversed(calls), strict=True):
        places = _places(node["outputs"], device)
        used = {*names_in([args, kwargs]), *names_in(places)}
        result.append(Step(call, args, kwargs, places, tuple(sorted(used - needed))))
        needed |= used
    return result[::-1]


def _call(node: dict[str, Any], device: torch.device) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
    """The function behind a listed target, with its arguments in the form that torch gives them."""
    target, given = node["target"], node["inputs"]
    values = {item["name"]: argument(item["arg"], device) for item in given}
    home, _, name = target.rpartition(".")
    if home in _SYMBOLIC_HOMES:
        if any(item.get("kind") == _KEYWORD for item in given):
            raise Unsupported(f"{target} with named arguments")
        call: Callable[..., Any] = getattr(_SYMBOLIC_HOMES[home], name)
        return call, tuple(argument(item["arg"], device) for item in given), {}
    if not target.startswith("torch.ops.aten."):
        raise Unsupported(target)
    try:
        overload = getattr(getattr(torch.ops.aten, home.rpartition(".")[2]), name)
    except AttributeError:
        raise Unsupported(target) from None
    if len(values) != len(given):
        raise Unsupported(f"{target} with an argument that stands twice")
    if target == "torch.ops.aten.item.default":
        return overload, tuple(values.values()), {}
    kinds = {item["name"]: item.get("kind") for item in given}
    args, kwargs = [], {}
    for expected in overload._schema.arguments:
        required = not expected.has_default_value() and not expected.kwarg_only
        if expected.name not in values:
            if required:
                raise Unsupported(f"{target} without {expected.name}")
            continue
        if kinds[expected.name] == _POSITIONAL or (kinds[expected.name] != _KEYWORD and required):
            args.append(values.pop(expected.name))
        else:
            kwargs[expected.name] = values.pop(expected.name)
    if values:
        raise Unsupported(f"{target} with {min(values)}")
    return overload, tuple(args), kwargs


def _places(outputs: list[dict[str, Any]], device: torch.device) -> Any:
    """Names for what a call returns: one Name, a list of them, None for what is not kept."""
    if not outputs:
        return None
    places = [argument(output, device) for output in outputs]
    if any(not isinstance(name, Name | list | None) for name in places):
        raise Unsupported("an output of an unknown kind")
    return places[0] if len(places) == 1 else places


def _keep(places: Any, answer: Any, values: dict[str, Any]) -> None:
    if isinstance(places, Name):
        values[places.name] = answer
    elif isinstance(places, list):
        for index, place in enumerate(places):
            _keep(place, answer[index], values)


def _leaves(layout: dict[str, Any]) -> int:
    return 1 if layout["type"] is None else sum(_leaves(child) for child in layout["children_spec"])


def _built(layout: dict[str, Any], leaves: Iterator[Any]) -> Any:
    """The outputs in the containers that the model returned them in."""
    if layout["type"] is None:
        return next(leaves)
    children = [_built(child, leaves) for child in layout["children_spec"]]
    if layout["type"] == "builtins.list":
        return children
    if layout["type"] == "builtins.tuple":
        return tuple(children)
    pairs = zip(json.loads(layout["context"]), children, strict=True)
    return OrderedDict(pairs) if layout["type"] == "collections.OrderedDict" else dict(pairs)
