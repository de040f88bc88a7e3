"""The table of rules: which operation is traced by which rule, by the name of the rule set.

An operation has many spellings (`F.relu`, `torch.relu`, `Tensor.relu`, `torch.ops.aten.relu.default`). A rule is
registered for all of them at once by the plain name, or for one of them by the function itself.
"""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from typing import Any, TypeVar

import torch
import torch.nn.functional as F

from ._errors import UnknownRules

Operation = Callable[..., Any]
Rule = TypeVar("Rule", bound=Callable[..., Any])

_HOLDERS: tuple[Any, ...] = (torch, torch.Tensor, F, torch._C._nn, torch.special, torch.linalg, torch._VF, torch.fft)


class RuleSet:
    """Rules under one name; what is not found here is looked up in the parent.

    `rules[operation]` is called as `rule(step, *args, **kwargs)` with the operation's own arguments.
    """

    def __init__(
        self, name: str, parent: RuleSet | None = None, whole_activations: bool | None = None, strength: float = 0.0
    ) -> None:
        self.name = name
        self.parent: RuleSet | None = parent
        inherited = parent is not None and parent.whole_activations
        # activations written out in python get the identity rule
        self.whole_activations: bool = inherited if whole_activations is None else whole_activations
        self.strength = strength  # the number in "blend:0.25"; what it means is up to the rules
        self.rules: dict[Operation, Callable[..., Any]] = {}

    def get(self, operation: Operation) -> Callable[..., Any] | None:
        """The rule of `operation`, or None."""
        found = self.rules.get(operation)
        return self.parent.get(operation) if found is None and self.parent is not None else found


# `linear` holds what plain autograd conserves already, and only books constants; every set is built on it.
LINEAR = RuleSet("linear")
CONSERVING = RuleSet("conserving", LINEAR, whole_activations=True)
RULE_SETS: dict[str, RuleSet] = {
    "conserving": CONSERVING,
    "fastest": RuleSet("fastest", CONSERVING),
    "attnlrp": RuleSet("attnlrp", CONSERVING, strength=0.5),
    "gamma": RuleSet("gamma", CONSERVING, strength=0.25),
    "gradient": RuleSet("gradient", LINEAR),
}
RULE_SETS["z+"] = RuleSet("z+", RULE_SETS["gamma"], strength=math.inf)
# sets with a number behind a colon: name -> the set that it belongs to, and the largest number
FAMILIES = {"blend": ("attnlrp", 1.0), "gamma": ("gamma", math.inf)}

# in-place operation -> the operation that computes the same value without touching its argument
OUT_OF_PLACE: dict[Operation, Operation] = {}


def rule_set(name: str) -> RuleSet:
    """The rule set of that name ("conserving", "blend:0.25"). Raises UnknownRules for an unknown name."""
    if name in RULE_SETS:
        return RULE_SETS[name]
    family, _, number = name.partition(":")
    if family in FAMILIES:
        parent, largest = FAMILIES[family]
        with contextlib.suppress(ValueError):
            if 0 <= float(number) <= largest:
                return RuleSet(name, RULE_SETS[parent], strength=float(number))
        raise UnknownRules(f'"{name}" needs a number from 0 to {largest} behind the colon.', f'Say "{family}:0.25".')
    known = [*RULE_SETS, *(f"{family}:NUMBER" for family in FAMILIES)]
    raise UnknownRules(f'There are no rules called "{name}".', f"Known: {', '.join(sorted(known))}.")


def register(*operations: Operation | str, rules: str = "conserving") -> Callable[[Rule], Rule]:
    """Decorator: trace `operations` by this rule in the rule set `rules`; a later registration replaces an earlier.

    An operation is a function that torch dispatches (`F.gelu`, `torch.ops.my.op.default`) or a plain name ("gelu"),
    which stands for all its spellings. In-place spellings (`gelu_`) follow by themselves.
    """
    return _into(rule_set(rules), operations)


def linear(*operations: Operation | str) -> Callable[[Rule], Rule]:
    """Decorator: a rule that holds in every rule set, because it leaves the gradient as it is."""
    return _into(LINEAR, operations)


def _into(table: RuleSet, operations: tuple[Operation | str, ...]) -> Callable[[Rule], Rule]:
    def keep(function: Rule) -> Rule:
        for operation in operations:
            for spelling in spellings(operation) if isinstance(operation, str) else (operation,):
                table.rules[spelling] = function
                packet = getattr(spelling, "overloadpacket", None)  # `torch.ops.my.op` beside `torch.ops.my.op.default`
                if packet is not None:
                    table.rules[packet] = function
        return function

    return keep


def spellings(name: str) -> list[Operation]:
    """Every function of torch and ATen of that plain name; notes their in-place twins in OUT_OF_PLACE."""
    found: list[Operation] = []
    for plain, in_place in ((name, f"{name}_"), (f"__{name}__", f"__i{name}__")):
        for holder in _HOLDERS:
            function = getattr(holder, plain, None)
            if callable(function) and not isinstance(function, type):
                found.append(function)
                twin = getattr(holder, in_place, None)
                if callable(twin):
                    OUT_OF_PLACE[twin] = function
    overloads = dict(_overloads(name))
    found.extend(overloads.values())
    for overload, twin in _overloads(f"{name}_"):
        if overload in overloads:
            OUT_OF_PLACE[twin] = overloads[overload]
    return found


def _overloads(name: str) -> Iterator[tuple[str, Operation]]:
    packet = getattr(torch.ops.aten, name, None)
    if packet is None:
        return
    for overload in packet.overloads():
        if not overload.endswith("out"):
            yield overload, getattr(packet, overload)
