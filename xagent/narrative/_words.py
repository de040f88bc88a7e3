"""The narrator's data: frames and words, read once."""

from __future__ import annotations

import itertools
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any


@dataclass(frozen=True)
class Words:
    """alias: words for short keys. direction: by voice or `value`, then by side. comparison: by result."""

    alias: dict[str, str]
    bands: tuple[tuple[float, str], ...]
    direction: dict[str, dict[str, str]]
    comparison: dict[str, str]

    def band(self, share: float) -> str:
        return next((word for under, word in self.bands if share < under), self.bands[-1][1])


@dataclass(frozen=True)
class Entry:
    """One frame: the wording by voice, and when it is used."""

    id: str
    text: dict[str, str]
    when: tuple[str, ...] = ()
    group: str | None = None
    each: str | None = None
    key: str | None = None

    def wording(self, voice: str) -> str:
        return self.text.get(voice, self.text.get("text", "")) if voice in self.text or "text" in self.text else ""


@cache
def words() -> Words:
    data = _toml("words.en.toml")
    return Words(
        alias=data["alias"],
        bands=tuple((band["under"], band["word"]) for band in data["band"]),
        direction=data["direction"],
        comparison=data["comparison"],
    )


@cache
def blocks() -> dict[str, tuple[Entry, ...]]:
    """Frames by block, in the order they are written; `driver` holds the sentence about one driver."""
    return _entries("blocks.en.toml") | _entries("checks.en.toml")


@cache
def findings() -> dict[str, tuple[Entry, ...]]:
    """Frames by kind of finding."""
    return _entries("findings.en.toml")


@cache
def figures() -> dict[str, tuple[Entry, ...]]:
    """Frames by chart."""
    return _entries("figures.en.toml")


def _entries(name: str) -> dict[str, tuple[Entry, ...]]:
    found = {}
    for block, items in _toml(name).items():
        numbers = itertools.count(1)  # an entry with a name of its own is not counted
        found[block] = tuple(_entry(f"{block}.{item.get('name') or next(numbers)}", item) for item in items)
    return found


def _entry(ident: str, item: dict[str, Any]) -> Entry:
    text: dict[str, str] = {voice: item[voice] for voice in ("plain", "sober", "technical", "text") if voice in item}
    if "voice" in item:  # only these voices say it
        text = {voice: item.get(voice, item.get("text", "")) for voice in item["voice"]}
    return Entry(ident, text, tuple(item.get("when", ())), item.get("group"), item.get("each"), item.get("key"))


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(files("xagent.narrative").joinpath(name).read_text(encoding="utf-8"))
