"""The narrator's data: frames and words of a language, read once."""

from __future__ import annotations

import itertools
import re
import tomllib
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from xagent.errors import ConfigurationFault
from xagent.personas import VOICES


@dataclass(frozen=True)
class Words:
    """alias: words for short keys. direction: by voice or `value`, then by side. comparison: by result.

    terms: patterns of claims with the program's own words and what they are called in this language; `{}` in both is a
    part that is kept. printed: signs and words that the locale data do not hold.
    """

    alias: dict[str, str]
    bands: tuple[tuple[float, str], ...]
    direction: dict[str, dict[str, str]]
    comparison: dict[str, str]
    terms: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = ()
    printed: dict[str, Any] = field(default_factory=dict)

    def term(self, claim: str, text: str) -> tuple[str, tuple[str, ...]] | None:
        """What the program's words are called here, with the parts that `{}` stands for; None when nobody says."""
        for patterns, known in self.terms:
            if any(fnmatchcase(claim, pattern) for pattern in patterns):
                if text in known:
                    return known[text], ()
                for said, own in known.items():
                    shape = re.escape(said).replace(r"\{\}", "(.+)")
                    if "{}" in said and (match := re.fullmatch(shape, text, re.DOTALL)):
                        return own, match.groups()
        return None

    def band(self, share: float) -> str:
        return next((word for under, word in self.bands if share < under), self.bands[-1][1])


@dataclass(frozen=True)
class Entry:
    """One frame: the wording by voice, and when it is used. untold: voices that this language has no words for."""

    id: str
    text: dict[str, str]
    when: tuple[str, ...] = ()
    group: str | None = None
    each: str | None = None
    key: str | None = None
    untold: frozenset[str] = frozenset()

    def wording(self, voices: Sequence[str]) -> str:
        """The text of the first of these voices that has one, else the text for all, else "".

        Raises ConfigurationFault when it has one in English alone: leaving it out would tell another story.
        """
        voice = next((voice for voice in (*voices, "text") if voice in self.text), None)
        if voice in self.untold:
            raise ConfigurationFault(
                f"The frame {self.id!r} has no words in this language ({voice}).", "Add them to its .toml file."
            )
        return "" if voice is None else self.text[voice]


@cache
def words(language: str = "en") -> Words:
    """Raises ConfigurationFault for a language without files."""
    data = _toml("words", language)
    return Words(
        alias=data["alias"],
        bands=tuple((band["under"], band["word"]) for band in data["band"]),
        direction=data["direction"],
        comparison=data["comparison"],
        terms=tuple((tuple(item["claims"]), item["words"]) for item in data.get("term", ())),
        printed=data.get("print", {}),
    )


@cache
def blocks(language: str = "en") -> dict[str, tuple[Entry, ...]]:
    """Frames by block, in the order they are written; `driver` holds the sentence about one driver."""
    return _entries("blocks", language) | _entries("checks", language)


@cache
def findings(language: str = "en") -> dict[str, tuple[Entry, ...]]:
    """Frames by kind of finding."""
    return _entries("findings", language)


@cache
def figures(language: str = "en") -> dict[str, tuple[Entry, ...]]:
    """Frames by chart."""
    return _entries("figures", language)


def _entries(name: str, language: str) -> dict[str, tuple[Entry, ...]]:
    """When a frame is said stands in the English file alone; other languages give their own words for its wordings."""
    own = None if language == "en" else {item["en"]: item[language] for item in _toml(name, language)["frame"]}
    found = {}
    for block, items in _toml(name, "en").items():
        numbers = itertools.count(1)  # an entry with a name of its own is not counted
        entries = (_entry(f"{block}.{item.get('name') or next(numbers)}", item) for item in items)
        found[block] = tuple(entry if own is None else _translated(entry, own) for entry in entries)
    return found


def _translated(entry: Entry, own: dict[str, str]) -> Entry:
    text = {voice: own.get(wording, "") for voice, wording in entry.text.items()}
    untold = frozenset(voice for voice, wording in entry.text.items() if wording and not text[voice])
    return replace(entry, text=text, untold=untold)


def _entry(ident: str, item: dict[str, Any]) -> Entry:
    text: dict[str, str] = {voice: item[voice] for voice in (*VOICES, "text") if voice in item}
    if "voice" in item:  # only these voices say it
        text = {voice: item.get(voice, item.get("text", "")) for voice in item["voice"]}
    return Entry(ident, text, tuple(item.get("when", ())), item.get("group"), item.get("each"), item.get("key"))


def _toml(name: str, language: str) -> dict[str, Any]:
    source = files("xagent.narrative").joinpath(f"{name}.{language}.toml")
    if not re.fullmatch("[a-z]{2,3}", language) or not source.is_file():
        raise ConfigurationFault(f"language: nothing is told in {language!r}.", "Use en or de.")
    return tomllib.loads(source.read_text(encoding="utf-8"))
