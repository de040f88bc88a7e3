"""What was computed of a reference population, kept in memory for the next question about it.

A population is one file read by one encoder. It is known by the SHA-256 of both, so a changed file is a new population;
that of a model in memory, which has no hash, is known by the subject itself. Nothing here depends on a case.
"""

from __future__ import annotations

import threading
from collections import OrderedDict
from collections.abc import Callable, Hashable
from typing import TYPE_CHECKING, Any, TypeVar
from weakref import WeakKeyDictionary

if TYPE_CHECKING:
    from xagent.subject import Subject

MOST = 4
"""Populations that are kept for each owner, the last used ones."""
LARGEST = 2**25
"""Numbers in an encoded population beyond which it is read anew each time: 128 MiB in single precision."""

FoundT = TypeVar("FoundT")


class Facts:
    """Values by key, each made once, however many threads ask."""

    def __init__(self) -> None:
        self._lock = threading.RLock()
        self._found: dict[Hashable, Any] = {}

    def once(self, key: Hashable, make: Callable[[], FoundT]) -> FoundT:
        """The value under `key`; made now if it is not there. What `make` raises is raised, and nothing is kept."""
        with self._lock:
            if key not in self._found:
                self._found[key] = make()
            found: FoundT = self._found[key]
            return found


class Shelf:
    """The last used `most` values; larger than `fits` allows are made but not kept."""

    def __init__(self, most: int = MOST) -> None:
        self._lock = threading.Lock()
        self._most = most
        self._kept: OrderedDict[Hashable, Any] = OrderedDict()
        self._making: dict[Hashable, threading.Lock] = {}

    def get(self, key: Hashable, make: Callable[[], FoundT], fits: Callable[[FoundT], bool]) -> FoundT:
        """The value under `key`. Threads that ask for the same one wait for the first; others do not."""
        with self._lock:
            one = self._making.setdefault(key, threading.Lock())
        with one:
            with self._lock:
                if key in self._kept:
                    self._kept.move_to_end(key)
                    kept: FoundT = self._kept[key]
                    return kept
            try:
                found = make()
            finally:
                with self._lock:
                    self._making.pop(key, None)
            if fits(found):
                with self._lock:
                    self._kept[key] = found
                    while len(self._kept) > self._most:
                        self._kept.popitem(last=False)
            return found

    def clear(self) -> None:
        with self._lock:
            self._kept.clear()


_FILED = Shelf()
_LIVE: WeakKeyDictionary[Subject, Shelf] = WeakKeyDictionary()
_LOCK = threading.Lock()


def shelf_of(subject: Subject) -> tuple[Shelf, Hashable]:
    """Where a subject's populations are kept, and the part of their keys that tells its encoder."""
    if subject.sha256:
        own = (subject.kind, str(subject.device), str(subject.dtype), tuple(sorted(subject.sha256.items())))
        return _FILED, own
    with _LOCK:
        return _LIVE.setdefault(subject, Shelf()), ()


def forget() -> None:
    """Drop everything that is kept; the next question reads its population anew."""
    _FILED.clear()
    with _LOCK:
        _LIVE.clear()
