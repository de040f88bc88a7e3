"""The program of a `.pt2` archive: its JSON, copied field by field from what torch's own schema declares.

Default deny: a text field without a rule below is refused, an unknown key is not copied, and what is not needed to run
the model (stack traces, guard code, submodule signatures) is left behind, because torch turns much of it into Python.
"""

from __future__ import annotations

import json
import keyword
import math
import re
import types
import typing
from collections.abc import Callable
from dataclasses import MISSING, dataclass, fields, is_dataclass
from enum import IntEnum
from typing import Any

from torch._export.serde import schema
from torch._export.serde.union import _Union

from xagent.subject._expression import Unsafe, checked_expression, checked_symbol
from xagent.subject._operations import checked_operation

MAX_ITEMS = 2_000_000
_WORD = re.compile(r"[A-Za-z_][A-Za-z0-9_]{0,199}")
_DOTTED = re.compile(r"[A-Za-z0-9_]{1,200}(\.[A-Za-z0-9_]{1,200}){0,40}")
_PLAIN = re.compile(r"[A-Za-z0-9 ,.;:()>+*/_<=-]{0,200}")
_PAYLOAD = re.compile(r"(weight|tensor)_[0-9]{1,6}")
_CONTAINERS = {"builtins.tuple", "builtins.list", "builtins.dict", "collections.OrderedDict"}


@dataclass(frozen=True)
class Program:
    """A checked program. argument: keyword of its one tensor input, None when positional. sizes: that tensor's
    shape, None where it is free. text: the JSON to be handed to torch."""

    text: bytes
    argument: str | None
    sizes: tuple[int | None, ...]


def checked_program(text: bytes) -> Program:
    """Raises Unsafe for anything outside the schema, the grammar of shapes and the list of operations."""
    data = _Copier().copy(schema.ExportedProgram, parsed(text), "ExportedProgram", "")
    module = data["graph_module"]
    calls = module["module_call_graph"][:1]
    if not calls or calls[0]["fqn"] or calls[0]["signature"] is None:
        raise Unsafe("the program has no signature")
    calls[0]["signature"].update(inputs=[], outputs=[])
    module["module_call_graph"] = calls
    names = [
        spec["user_input"]["arg"]["as_tensor"]["name"]
        for spec in module["signature"]["input_specs"]
        if "as_tensor" in spec.get("user_input", {}).get("arg", {})
    ]
    if (
        len(names) != 1
        or sum("user_input" in s or "constant_input" in s for s in module["signature"]["input_specs"]) > 1
    ):
        raise Unsafe("it must take exactly one tensor")
    if names[0] not in module["graph"]["tensor_values"]:
        raise Unsafe(f"its input {names[0]!r} has no shape")
    sizes = module["graph"]["tensor_values"][names[0]]["sizes"]
    argument = _argument(json.loads(calls[0]["signature"]["in_spec"])[1])
    return Program(json.dumps(data).encode(), argument, tuple(size.get("as_int") for size in sizes))


def checked_payloads(text: bytes) -> dict[str, Any]:
    """The table of weights or constants: `{"config": {name: {path_name, is_param, use_pickle, tensor_meta}}}`."""
    data: dict[str, Any] = _Copier().copy(schema.PayloadConfig, parsed(text), "PayloadConfig", "")
    for name, meta in data["config"].items():
        if meta["use_pickle"]:
            raise Unsafe(f"the tensor {name!r} is stored as a pickle")
        if meta["tensor_meta"] is None:
            raise Unsafe(f"the tensor {name!r} has no shape")
    return data


def parsed(text: bytes) -> Any:
    try:
        return json.loads(text.decode("utf-8"), parse_constant=_no_constant)
    except (ValueError, RecursionError) as error:
        raise Unsafe("its JSON is malformed") from error


def _no_constant(constant: str) -> float:
    raise ValueError(constant)


def _text(pattern: re.Pattern[str], what: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if not pattern.fullmatch(value):
            raise Unsafe(f"{what} {value[:60]!r} has characters that do not belong there")
        return value

    return check


def _name(value: str) -> str:
    """torch writes these names into Python source and runs it."""
    if not _WORD.fullmatch(value) or keyword.iskeyword(value):
        raise Unsafe(f"the name {value[:60]!r} is not a plain identifier")
    return value


def _dotted(value: str) -> str:
    if not _DOTTED.fullmatch(value) or any(part.startswith("__") for part in value.split(".")):
        raise Unsafe(f"the parameter name {value[:60]!r} is not a plain dotted name")
    return value


def _one_of(*allowed: str) -> Callable[[str], str]:
    def check(value: str) -> str:
        if value not in allowed:
            raise Unsafe(f"{value[:60]!r} is not one of {', '.join(allowed)}")
        return value

    return check


def _tree(value: str) -> str:
    """A pytree layout of tuples, lists and plain dictionaries; torch imports modules for the others."""
    data = parsed(value.encode())
    if not isinstance(data, list) or len(data) != 2 or data[0] != 1:
        raise Unsafe("the layout of its inputs or outputs has an unknown version")
    return json.dumps([1, _branch(data[1], 0)])


def _branch(node: Any, depth: int) -> dict[str, Any]:
    if not isinstance(node, dict) or depth > 8 or not isinstance(node.get("children_spec"), list):
        raise Unsafe("the layout of its inputs or outputs is malformed")
    kind, context, children = node.get("type"), node.get("context"), node["children_spec"]
    if kind is None:
        if context is not None or children:
            raise Unsafe("the layout of its inputs or outputs is malformed")
        return {"type": None, "context": None, "children_spec": []}
    if kind not in _CONTAINERS or not isinstance(context, str):
        raise Unsafe(f"its inputs or outputs are a {str(kind)[:60]!r}; only tuples, lists and dictionaries are read")
    keys = parsed(context.encode())
    named = kind.endswith(("dict", "Dict"))
    if named != isinstance(keys, list) or (not named and keys is not None):
        raise Unsafe("the layout of its inputs or outputs is malformed")
    if named:
        if len(keys) != len(children):
            raise Unsafe("the layout of its inputs or outputs is malformed")
        for key in keys:
            _name(key if isinstance(key, str) else "")
    branches = [_branch(child, depth + 1) for child in children]
    return {"type": kind, "context": json.dumps(keys), "children_spec": branches}


def _argument(spec: dict[str, Any]) -> str | None:
    """Keyword of the single tensor input in `(args, kwargs)`, None when it is positional."""
    children = spec["children_spec"]
    if len(children) == 2 and children[1]["type"] == "builtins.dict":
        args, kwargs = (child["children_spec"] for child in children)
        if len(args) == 1 and not kwargs and args[0]["type"] is None:
            return None
        if len(kwargs) == 1 and not args and kwargs[0]["type"] is None:
            return str(json.loads(children[1]["context"])[0])
    raise Unsafe("it must take exactly one tensor")


_TEXT: dict[tuple[str, str], Callable[[str], str]] = {
    ("Device", "type"): _one_of("cpu", "cuda"),
    ("SymExpr", "expr_str"): checked_expression,
    **{(kind, "as_name"): _name for kind in ("SymIntArgument", "SymFloatArgument", "SymBoolArgument")},
    ("TensorArgument", "name"): _name,
    ("NamedArgument", "name"): _text(re.compile(r"([A-Za-z_][A-Za-z0-9_]{0,99})?"), "the argument name"),
    ("Argument", "as_string"): _text(_PLAIN, "the text"),
    ("Argument", "as_strings"): _text(_PLAIN, "the text"),
    ("Node", "target"): checked_operation,
    ("Node", "name"): _name,
    ("InputToParameterSpec", "parameter_name"): _dotted,
    ("InputToBufferSpec", "buffer_name"): _dotted,
    ("InputToTensorConstantSpec", "tensor_constant_name"): _dotted,
    ("InputToConstantInputSpec", "name"): _name,
    ("ConstantValue", "as_string"): _text(_PLAIN, "the text"),
    ("ModuleCallEntry", "fqn"): _text(re.compile(r"[A-Za-z0-9_.@]{0,4000}"), "the module name"),
    ("ModuleCallSignature", "in_spec"): _tree,
    ("ModuleCallSignature", "out_spec"): _tree,
    ("ModuleCallSignature", "forward_arg_names"): _name,
    ("ExportedProgram", "verifiers"): _one_of("TRAINING", "ATEN"),
    ("ExportedProgram", "torch_version"): _text(re.compile(r"[0-9A-Za-z.+<=-]{1,60}"), "the torch version"),
    ("PayloadMeta", "path_name"): _text(_PAYLOAD, "the file name"),
}
_KEYS: dict[tuple[str, str], Callable[[str], str]] = {
    **{("Graph", f): _name for f in ("tensor_values", "sym_int_values", "sym_bool_values", "sym_float_values")},
    ("ExportedProgram", "opset_version"): _text(_WORD, "the operator set"),
    ("ExportedProgram", "range_constraints"): checked_symbol,
    ("PayloadConfig", "config"): _dotted,
}
_LEFT_BEHIND: dict[tuple[str, str], Callable[[], Any]] = {
    ("Node", "metadata"): dict,
    ("GraphModule", "metadata"): dict,
    ("GraphModule", "treespec_namedtuple_fields"): dict,
    ("ExportedProgram", "guards_code"): list,
}
_REFUSED = {
    ("Argument", "as_graph"): "it holds a nested graph (a higher-order operation)",
    ("Argument", "as_operator"): "it passes an operation as a value",
    ("Argument", "as_custom_obj"): "it holds a custom object",
    ("Argument", "as_string_to_argument"): "it holds a dictionary argument",
    ("InputSpec", "custom_obj"): "it holds a custom object",
    ("InputSpec", "token"): "it has side effects",
    **{
        ("OutputSpec", kind): "it changes its own state when it runs (was it exported in training mode?)"
        for kind in ("buffer_mutation", "parameter_mutation", "user_input_mutation", "token")
    },
    ("OutputSpec", "loss_output"): "it is a training program",
    ("OutputSpec", "gradient_to_parameter"): "it is a training program",
    ("OutputSpec", "gradient_to_user_input"): "it is a training program",
}


class _Copier:
    """Copies JSON along the type annotations of torch's schema, counting what it copies."""

    def __init__(self) -> None:
        self._left = MAX_ITEMS

    def copy(self, kind: Any, value: Any, owner: str, field: str) -> Any:
        self._left -= 1
        if self._left < 0:
            raise Unsafe("it is too large")
        origin = typing.get_origin(kind)
        if origin in (typing.Union, types.UnionType):
            inner = next(part for part in typing.get_args(kind) if part is not type(None))
            return None if value is None else self.copy(inner, value, owner, field)
        if origin is list:
            if not isinstance(value, list):
                raise _misfit(owner, field)
            return [self.copy(typing.get_args(kind)[0], item, owner, field) for item in value]
        if origin is dict:
            return self._dictionary(typing.get_args(kind)[1], value, owner, field)
        if isinstance(kind, type) and issubclass(kind, _Union):
            return self._union(kind, value)
        if is_dataclass(kind):
            return self._record(typing.cast("type", kind), value)
        return _leaf(kind, value, owner, field)

    def _dictionary(self, kind: Any, value: Any, owner: str, field: str) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _misfit(owner, field)
        if not value:
            return {}
        rule = _KEYS.get((owner, field))
        if rule is None:
            raise Unsafe(f"{owner}.{field} must be empty")
        return {rule(key): self.copy(kind, item, owner, field) for key, item in value.items()}

    def _union(self, kind: type, value: Any) -> dict[str, Any]:
        hints = typing.get_type_hints(kind, globalns=vars(schema))
        if not isinstance(value, dict) or len(value) != 1 or next(iter(value)) not in hints:
            raise _misfit(kind.__name__, "")
        field, item = next(iter(value.items()))
        if reason := _REFUSED.get((kind.__name__, field)):
            raise Unsafe(reason)
        return {field: self.copy(hints[field], item, kind.__name__, field)}

    def _record(self, kind: type, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            raise _misfit(kind.__name__, "")
        hints, result = typing.get_type_hints(kind, globalns=vars(schema)), {}
        for field in fields(kind):
            if empty := _LEFT_BEHIND.get((kind.__name__, field.name)):
                result[field.name] = empty()
            elif field.name in value:
                result[field.name] = self.copy(hints[field.name], value[field.name], kind.__name__, field.name)
            elif field.default is MISSING and field.default_factory is MISSING:
                raise _misfit(kind.__name__, field.name)
        return result


def _leaf(kind: Any, value: Any, owner: str, field: str) -> Any:
    if kind is bool and type(value) is bool:
        return value
    if isinstance(kind, type) and issubclass(kind, int) and kind is not bool and type(value) is int:
        if issubclass(kind, IntEnum) and value not in set(kind):
            raise _misfit(owner, field)
        if abs(value) < 2**63:
            return value
    if kind is float:
        if value in ("Infinity", "-Infinity", "NaN"):
            return value
        if type(value) in (int, float) and math.isfinite(value):
            return float(value)
    if kind is str and isinstance(value, str):
        rule = _TEXT.get((owner, field))
        if rule is None:
            raise Unsafe(f"the text field {owner}.{field} is not one that is read")
        return rule(value)
    raise _misfit(owner, field)


def _misfit(owner: str, field: str) -> Unsafe:
    return Unsafe(f"{owner}{'.' + field if field else ''} in its program does not fit the published schema")
