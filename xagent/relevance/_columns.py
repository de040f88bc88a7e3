"""Forward with frozen coefficients: one batch row for the real input, one for every part of it that is explained.

Row 0 is the real input. Row i, a carrier, is the input with everything but part i set to zero. Every coefficient that
is not linear (norm scale, activation ratio, gate, attention weight) is taken from row 0, so the carriers travel through
the linear map that the backward of a trace describes: the score read from row i is the relevance of part i for it.
This is the transpose of the backward: one forward for all answer tokens at once instead of one backward for each.
Constants that the model adds (biases, positions) enter row 0 and, entry by entry, the carriers of the ledger.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode, resolve_name
from torch.utils._pytree import tree_leaves, tree_map
from torch.utils.weak import WeakTensorKeyDictionary

from ._columns_plan import AnotherPath, Plan, Recorder, name_of
from ._errors import RelevanceError
from ._kinds import EMBEDDINGS, QUESTIONS, is_composite, opened
from ._mode import _is_bias, tensors_in
from ._table import OUT_OF_PLACE

ENTRIES_CARRIED = ("biases", "positions", "constants")
CarrierRule = Callable[..., Any]
CARRIER_RULES: dict[Callable[..., Any], CarrierRule] = {}
# operations of which only some operands count beyond row 0: their places and names (all operands, where not listed)
CARRIED_OPERANDS: dict[Callable[..., Any], tuple[tuple[int, str], ...]] = {}
# operations that only look at values differently: done on all rows, since a shape among the arguments names them
LOOKS: set[Callable[..., Any]] = set()

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
        self.starts: list[int] = []  # tokens before which a row is zero, for a model that does not look ahead
        self.length = 0
        self._firsts: Any = WeakTensorKeyDictionary()  # tensor -> what `rests` found
        self.recorder: Recorder | None = None
        self.plan: Plan | None = None
        self._step = 0
        self._of_row_0: Any = WeakTensorKeyDictionary()  # without carriers: the same real value in every row
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
            if is_composite(operation):
                with self:
                    return opened(operation)(*args, **kwargs)
            raise NoColumns(f"Columns have no rule for the operation {self.name(operation)}.", "Ask for rows.")
        kwargs.pop("inplace", None)
        in_place = plain is not operation
        writes = in_place or (name_of(operation)[-1] == "_" and name_of(operation)[-2:] != "__")
        used = leaves if writes else _used(plain, args, kwargs)
        step, self._step = self._step, self._step + 1
        if writes:
            self._firsts.clear()
        if self.plan is not None:
            if step >= len(self.plan) or self.plan[step][0] != name_of(operation):
                raise AnotherPath
            if not self.plan[step][1]:
                return self._real_only(plain, args, kwargs)
            if any(x in self._of_row_0 for x in used):
                raise AnotherPath
        elif self.recorder is not None:
            self.recorder.begin(operation, used, root=writes)
        y = rule(self, plain, *args, **kwargs)
        if in_place:
            note = self.notes.get(y, "")
            y = self.carry(args[0].copy_(y), note)
        if self.recorder is not None:
            for x in tree_leaves(y):
                if self.carries(x):
                    self.recorder.made(x, step)
        return y

    def whole(self, x: Tensor, y: Tensor) -> None:
        """A module has made y of x as one operation."""
        if self.recorder is not None:
            self.recorder.made(y, self.recorder.begin(self.whole, [x], root=False))
        elif self.plan is not None and x in self._of_row_0:
            raise AnotherPath
        self._step += 1

    def _real_only(self, operation: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> Any:
        """An operation whose carriers nobody needs, on row 0; the same value stands for all rows."""
        if operation in LOOKS:
            y = operation(*args, **kwargs)
        else:
            traced = next(x for x in tensors_in((*args, *kwargs.values())) if x in self.notes)
            count = len(traced) // self.rows

            def first(x: Any) -> Any:
                same = isinstance(x, Tensor) and x.shape[:1] == (len(traced),) and x.dim() == traced.dim()
                same = same and (each or not x.stride(0))
                return x[:count] if same else self.real(x)  # a constant of all rows, made from row 0

            each = name_of(operation).strip("_") not in ("matmul", "mm", "bmm", "linear", "addmm", "baddbmm")
            try:
                y = operation(*tree_map(first, args), **tree_map(first, kwargs))
            except RuntimeError as error:
                raise AnotherPath from error
            lengths = {len(x) if x.dim() else 0 for x in tree_leaves(y) if isinstance(x, Tensor)}
            if not lengths <= {count, len(traced)}:
                raise AnotherPath
            y = self.constant(tree_map(lambda x: x[:count] if isinstance(x, Tensor) else x, y))
        for x in tree_leaves(y):
            if isinstance(x, Tensor) and x.is_floating_point():  # places and masks are constants
                self.notes[x], self._of_row_0[x] = "", True
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

    def rests(self, *tensors: Tensor) -> list[int]:
        """For each row the first token that counts: before it the row is zero in all of these (rows, S, ...) tensors.

        Empty where that saves nothing: on a GPU, and where tokens are not the second dimension. Looked at, not assumed.
        """
        if not any(self.starts) or any(x.shape[:2] != (self.rows, self.length) or x.is_cuda for x in tensors):
            return []
        found = [self._rests(x) for x in tensors]
        return [min(firsts) for firsts in zip(*found, strict=True)]

    def _rests(self, x: Tensor) -> list[int]:
        if x not in self._firsts:
            self._firsts[x] = [
                0 if not start or bool(x[i, :start].any()) else start for i, start in enumerate(self.starts)
            ]
        return self._firsts[x]  # type: ignore[no-any-return]

    def resting(self, y: Tensor, firsts: list[int]) -> Tensor:
        """y, made zero before `firsts`."""
        for i, first in enumerate(firsts):
            if first:
                y[i, :first] = 0
        self._firsts[y] = firsts
        return y

    def by_rest(self, function: Callable[..., Any], one: Any, two: Any) -> Tensor | None:
        """function(one, two), which is zero where its carriers are, computed where they are not; None if not at once.

        For elementwise functions of carriers (rows, length, width) and constants that broadcast against them.
        """
        traced = [x for x in (one, two) if self.carries(x)]
        like = traced[0]
        if any(x.dim() != 3 or x.dtype != like.dtype for x in (one, two) if isinstance(x, Tensor) and x.dim() > 1):
            return None
        if torch.broadcast_shapes(*(x.shape for x in (one, two) if isinstance(x, Tensor))) != like.shape:  # type: ignore[no-untyped-call]
            return None
        if any(isinstance(x, Tensor) and x.dtype != like.dtype for x in (one, two)):
            return None
        firsts = self.rests(*traced) if all(x.shape == like.shape for x in traced) else []
        if not firsts:
            return None
        y = self.resting(like.new_empty(like.shape), firsts)
        for i, first in enumerate(firsts):
            function(*(_cut(x, i, first, like.shape) for x in (one, two)), out=y[i, first:])
        return y

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
        row = self.entry_row(entry or self.origin(constant), constant)
        if row is not None:
            mask[row] = True
        k = like.shape[0] // self.rows
        mask = mask.repeat_interleave(k).view(-1, *[1] * (like.dim() - 1))
        if isinstance(constant, Tensor) and constant.dim() > like.dim():
            raise NoColumns("A constant of more dimensions is added to the traced input.", "Ask for rows.")
        value = torch.as_tensor(constant, dtype=like.dtype, device=like.device)
        return torch.where(mask, value, torch.zeros((), dtype=like.dtype, device=like.device))

    def entry_row(self, entry: str, constant: Any) -> int | None:
        """The row that carries what is added under this ledger entry."""
        if self.recorder is not None and bool(torch.as_tensor(constant).any()):
            self.recorder.book(entry)
        return self.entries.get(entry)

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
        if operation is torch.where and len(args) == 1 and not kwargs:
            y = self._in_rows(y, args[0].shape)
        note = next((self.origins[x] for x in leaves if x in self.origins), "")
        if operation in EMBEDDINGS:
            note = "positions"
        elif not note and leaves and all(_is_bias(x) for x in leaves):
            note = "biases"
        for x in tree_leaves(y) if note else ():
            if isinstance(x, Tensor) and not isinstance(x, nn.Parameter):
                self.origins[x] = note
        return y

    def _in_rows(self, places: tuple[Tensor, ...], shape: torch.Size) -> tuple[Tensor, ...]:
        """The places where a condition holds, row by row: which experts get which tokens, of all rows of the batch."""
        if len(shape) != 2 or shape[-1] % self.rows or self.rows == 1:
            return places
        order = torch.argsort(places[-1] // (shape[-1] // self.rows), stable=True)
        return tuple(place[order] for place in places)

    def _attribute(self, operation: Callable[..., Any], args: Any) -> Any:
        y = operation(*args)
        if isinstance(y, Tensor) and y is not args[0]:
            raise NoColumns("The model reads a transposed or stored form of a traced tensor.", "Ask for rows.")
        return y


def _cut(x: Any, row: int, first: int, shape: torch.Size) -> Any:
    """What of x (rows or 1, length or 1, width) belongs to one row from its token `first` on."""
    if not isinstance(x, Tensor) or x.dim() < 2:
        return x
    x = x[row] if len(x) == shape[0] else x[0]
    return x[first:] if len(x) == shape[1] else x


def _used(operation: Callable[..., Any], args: Any, kwargs: dict[str, Any]) -> list[Tensor]:
    """The operands whose carriers count."""
    places = CARRIED_OPERANDS.get(operation)
    if places is None:
        return list(tensors_in((*args, *kwargs.values())))
    return list(tensors_in([args[i] if i < len(args) else kwargs.get(name) for i, name in places]))
