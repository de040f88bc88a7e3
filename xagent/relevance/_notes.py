"""Notes about tensors that live as long as the tensor."""

from __future__ import annotations

from typing import Any, Generic, TypeVar
from weakref import ref

from torch import Tensor

Note = TypeVar("Note")


class Notes(Generic[Note]):
    """tensor -> note, by identity. A note goes with its tensor; an id that is used again is not mistaken for it."""

    def __init__(self) -> None:
        self._held: dict[int, tuple[ref[Tensor], Note]] = {}

    def __setitem__(self, x: Tensor, note: Note) -> None:
        self._held[id(x)] = (ref(x), note)

    def get(self, x: Any) -> Note | None:
        """The note about x, or None."""
        found = self._held.get(id(x))
        return found[1] if found is not None and found[0]() is x else None

    def __contains__(self, x: Any) -> bool:
        return self.get(x) is not None

    def __bool__(self) -> bool:
        return bool(self._held)
