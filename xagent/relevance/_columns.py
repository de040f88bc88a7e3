"""Forward with frozen coefficients: one batch row for the real input, one for every part of it that is explained.

Row 0 is the real input. Row i, a carrier, is the input with everything but part i set to zero. Every coefficient that
is not linear (norm scale, activation ratio, gate, attention weight) is taken from row 0, so the carriers travel through
the linear map that the backward of a trace describes: the score read from row i is the relevance of part i for it.
This is the transpose of the backward: one forward for all answer tokens at once instead of one backward for each.
Constants that the model adds (biases, positions) enter row 0 and, entry by entry, the carriers of the ledger.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from ._activations import slope_at_zero
from ._errors import RelevanceError
from ._mode import EMBEDDINGS, QUESTIONS, _is_bias, _is_composite, opened, tensors_in
from ._table import OUT_OF_PLACE

ENTRIES_CARRIED = ("biases", "positions", "constants")
CarrierRule = Callable[..., Any]
CARRIER_RULES: dict[Callable[..., Any], CarrierRule] = {}

# what describes a tensor or its storage and holds none of its values
_DESCRIBES = QUESTIONS - {"__get__", "detach", "detach_", "numpy"}


class NoColumns(RelevanceError):
    """The model does something that carriers cannot follow; rows can."""


class CarrierMode(TorchFunctionMode):
    """While active, every tensor that depends on the traced input has the rows of the batch in front.

    rows: number of batch rows, the real one included. entries: ledger entry -> the row that carries it.
    gates: "half" as the rule set `conserving`, "constant" as `fastest`.
    The first dimension is rows x k, row by row (k > 1 where a model folds positions into the batch).
    """

    def __init__(self, rows: int, entries: dict[str, int] | None = None, gates: str = "half") -> None:
        super().__init__()
        self.rows, self.entries, self.gates = rows, entries or {}, gates
        self.notes: Any = WeakTensorKeyDictionary()  # carrier -> "", "gate" or "activation"
        self.origins: Any = WeakTensorKeyDictionary()  # constant -> ledger entry
        self.led: set[str] = set()  # moves that were seen to keep the rows in front

    def __torch_function__(
        self, operation: Callable[..., Any], types: Any, args: Any = (), kwargs: dict[str, Any] | None = None
    ) -> Any:
        kwargs = kwargs or {}
        if getattr(operation, "__name__", "") in _DESCRIBES:
            return operation(*args, **kwargs)
        leaves = list(tensors_in((*args, *kwargs.values())))
        if not any(x in self.notes for x in leaves):
            return self._constant(operation, args, kwargs, leaves)
        plain = OUT_OF_PLACE.get(operation, operation)
        rule = CARRIER_RULES.get(plain)
        if rule is None:
            if getattr(operation, "__name__", "") == "__get__":
                return self._attribute(operation, args)
            if _is_composite(operation):
                with self:
                    return opened(operation)(*args, **kwargs)
            raise NoColumns(f"Columns have no rule for the operation {self.name(operation)}.", "Ask for rows.")
        kwargs.pop("inplace", None)
        y = rule(self, plain, *args, **kwargs)
        if plain is not operation:
            note = self.notes.get(y, "")
            return self.carry(args[0].copy_(y), note)
        return y

    # what rules use

    def carries(self, x: object) -> bool:
        """Whether x depends on the traced input."""
        return isinstance(x, Tensor) and x in self.notes

    def carry(self, y: Any, note: str = "") -> Any:
        """Note that y depends on the traced input; its rows must be in front."""
        for x in tree_leaves(y):
            if isinstance(x, Tensor):
                if not x.dim() or x.shape[0] % self.rows:
                    raise NoColumns("The model folds the batch into another dimension.", "Ask for rows.")
                self.notes[x] = note
        return y

    def by_row(self, x: Tensor) -> Tensor:
        """(rows k, ...) -> (rows, k, ...), a view."""
        return x.view(self.rows, x.shape[0] // self.rows, *x.shape[1:])

    def real(self, x: Any) -> Any:
        """Row 0 of a carrier, (k, ...); anything else as it is."""
        return x[: x.shape[0] // self.rows] if self.carries(x) else x

    def constant(self, x0: Any) -> Any:
        """A value of row 0 for all rows, (k, ...) -> (rows k, ...), without a copy where k = 1."""

        def everywhere(x: Any) -> Any:
            if not isinstance(x, Tensor) or not x.dim():
                return x
            return x.unsqueeze(0).expand(self.rows, *x.shape).flatten(0, 1)

        return tree_map(everywhere, x0)

    def only(self, constant: Any, like: Tensor, entry: str | None = None) -> Tensor:
        """A constant where it belongs: in row 0 and its ledger carrier, zero elsewhere; broadcasts against `like`."""
        mask = torch.zeros(self.rows, dtype=torch.bool, device=like.device)
        mask[0] = True
        row = self.entries.get(entry or self.origin(constant))
        if row is not None:
            mask[row] = True
        k = like.shape[0] // self.rows
        mask = mask.repeat_interleave(k).view(-1, *[1] * (like.dim() - 1))
        if isinstance(constant, Tensor) and constant.dim() > like.dim():
            raise NoColumns("A constant of more dimensions is added to the traced input.", "Ask for rows.")
        value = torch.as_tensor(constant, dtype=like.dtype, device=like.device)
        return torch.where(mask, value, torch.zeros((), dtype=like.dtype, device=like.device))

    def origin(self, addend: Any) -> str:
        """The ledger entry of a constant that is added, as a trace names it."""
        if isinstance(addend, Tensor):
            return "biases" if _is_bias(addend) else self.origins.get(addend, "constants")
        return "constants"

    def name(self, operation: Callable[..., Any]) -> str:
        """The operation in words."""
        return str(resolve_name(operation) or getattr(operation, "__name__", operation))

    # constants and attributes

    def _constant(self, operation: Callable[..., Any], args: Any, kwargs: dict[str, Any], leaves: list[Tensor]) -> Any:
        y = operation(*args, **kwargs)
        note = next((self.origins[x] for x in leaves if x in self.origins), "")
        if operation in EMBEDDINGS:
            note = "positions"
        elif not note and leaves and all(_is_bias(x) for x in leaves):
            note = "biases"
        for x in tree_leaves(y) if note else ():
            if isinstance(x, Tensor) and not isinstance(x, nn.Parameter):
                self.origins[x] = note
        return y

    def _attribute(self, operation: Callable[..., Any], args: Any) -> Any:
        y = operation(*args)
        if isinstance(y, Tensor) and y is not args[0]:
            raise NoColumns("The model reads a transposed or stored form of a traced tensor.", "Ask for rows.")
        return y


@contextlib.contextmanager
def whole_activations_carried(model: nn.Module, mode: CarrierMode) -> Iterator[None]:
    """Composite activation modules (gelu_new) as one operation, as `whole_activations` does for a trace."""
    handles: list[Any] = []
    entered: list[Tensor] = []

    def before(_module: nn.Module, args: tuple[Any, ...]) -> Any:
        if len(args) != 1 or not mode.carries(args[0]):
            return None
        entered.append(args[0])
        with torch._C.DisableTorchFunction():  # hooks run under the mode
            return (mode.real(args[0]).clone(),)

    def attach(module: nn.Module, slope: float) -> None:
        def after(_module: nn.Module, _args: tuple[Any, ...], value: Tensor) -> Any:
            with torch._C.DisableTorchFunction():
                return mode.carry(ratio(mode, entered.pop(), value, slope), "activation") if entered else None

        handles.extend([module.register_forward_pre_hook(before), module.register_forward_hook(after)])

    try:
        for module in model.modules():
            slope = slope_at_zero(module)
            if slope is not None:
                attach(module, slope)
        yield
    finally:
        for handle in handles:
            handle.remove()


def ratio(mode: CarrierMode, x: Tensor, value: Tensor, slope: float, change: Tensor | None = None) -> Tensor:
    """Identity rule: row i = x_i (f(x_0) - f(0)) / x_0, row 0 = value = f(x_0); `slope` where x_0 = 0."""
    x0 = mode.real(x)
    factor = torch.where(x0 == 0, slope, (value if change is None else change) / x0).to(x.dtype)
    y = (mode.by_row(x) * factor).flatten(0, 1)
    y[: len(value)] = value
    return mode.carry(y)  # type: ignore[no-any-return]
