"""UBJSON, the binary twin of JSON that XGBoost writes: read with every length checked against the file."""

from __future__ import annotations

from typing import Any

import numpy as np

MAX_DEPTH = 64
_NUMBERS = {b"i": ">i1", b"U": ">u1", b"I": ">i2", b"l": ">i4", b"L": ">i8", b"d": ">f4", b"D": ">f8"}
_WORDS = {b"T": True, b"F": False, b"Z": None}


def read_ubjson(content: bytes) -> Any:
    """The value in the bytes; typed arrays come as numpy arrays. Raises ValueError for anything malformed.

    Format: ubjson.org, draft 12, as far as XGBoost's writer uses it: no-op markers and high-precision numbers are
    refused.
    """
    reader = _Reader(content)
    value = reader.value(reader.take(1), 0)
    if reader.place != len(content):
        raise ValueError("it goes on after its end")
    return value


class _Reader:
    def __init__(self, content: bytes) -> None:
        self.content, self.place = content, 0

    def take(self, size: int) -> bytes:
        if size < 0 or size > len(self.content) - self.place:
            raise ValueError("a length in it reaches beyond its end")
        part = self.content[self.place : self.place + size]
        self.place += size
        return part

    def value(self, marker: bytes, depth: int) -> Any:
        if depth > MAX_DEPTH:
            raise ValueError("it is nested too deeply")
        if marker in _NUMBERS:
            kind = np.dtype(_NUMBERS[marker])
            return np.frombuffer(self.take(kind.itemsize), kind)[0].item()
        if marker in _WORDS:
            return _WORDS[marker]
        if marker == b"S":
            return self.take(self.size()).decode()
        if marker == b"C":
            return self.take(1).decode()
        if marker == b"[":
            return self.array(depth)
        if marker == b"{":
            return self.mapping(depth)
        raise ValueError(f"it holds an unknown marker {marker!r}")

    def size(self) -> int:
        marker = self.take(1)
        if marker not in (b"i", b"U", b"I", b"l", b"L"):
            raise ValueError("a length in it is no whole number")
        size = self.value(marker, 0)
        if size < 0:
            raise ValueError("a length in it is negative")
        return int(size)

    def array(self, depth: int) -> Any:
        marker = self.take(1)
        if marker == b"$":
            kind = self.take(1)
            if self.take(1) != b"#" or kind not in _NUMBERS:
                raise ValueError("a typed array in it has no length or no numbers")
            number = np.dtype(_NUMBERS[kind])
            return np.frombuffer(self.take(self.size() * number.itemsize), number).astype(number.newbyteorder("="))
        if marker == b"#":
            # An item takes a byte at least, so a length beyond the end is found before a long list is made.
            count = self.size()
            if count > len(self.content) - self.place:
                raise ValueError("a length in it reaches beyond its end")
            return [self.value(self.take(1), depth + 1) for _ in range(count)]
        items = []
        while marker != b"]":
            items.append(self.value(marker, depth + 1))
            marker = self.take(1)
        return items

    def mapping(self, depth: int) -> dict[str, Any]:
        result: dict[str, Any] = {}
        counted = None
        if self.content[self.place : self.place + 1] == b"#":
            self.take(1)
            counted = self.size()
        while counted != 0:
            if counted is None and self.content[self.place : self.place + 1] == b"}":
                self.take(1)
                break
            key = self.take(self.size()).decode()
            if key in result:
                raise ValueError(f"the key {key[:60]!r} stands twice")
            result[key] = self.value(self.take(1), depth + 1)
            counted = None if counted is None else counted - 1
        return result


def is_ubjson(content: bytes) -> bool:
    """Whether a file that starts with a brace is UBJSON: a length marker follows instead of a quote or a blank."""
    return content[:1] == b"{" and content[1:2] in (b"L", b"l", b"i", b"U", b"I", b"#")
