"""The verifier's data: words that are refused, phrases that mean something, nouns that introduce figures."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any

from xagent.errors import ConfigurationFault
from xagent.evidence import Claim
from xagent.narrative._format import Format, read_format


@dataclass(frozen=True)
class State:
    """What must hold for a phrase. values, over, under, up_to, any: of the claim; absent: the ledger has it not."""

    claim: str
    values: tuple[str, ...] = ()
    over: float | None = None
    under: float | None = None
    up_to: float | None = None
    any: bool = False
    absent: bool = False

    def backed_by(self, key: str, claim: Claim | None) -> bool:
        if not fnmatchcase(key, self.claim):
            return False
        if claim is None or self.absent:
            return self.absent and claim is None
        value = {True: "yes", False: "no"}[claim.value] if isinstance(claim.value, bool) else claim.value
        if self.over is not None:
            return isinstance(value, int | float) and value > self.over
        if self.under is not None:
            return isinstance(value, int | float) and value < self.under
        if self.up_to is not None:
            return isinstance(value, int | float) and value <= self.up_to
        return self.any or str(value) in self.values


@dataclass(frozen=True)
class Lexicon:
    """refused: pattern by kind of problem, first match names the problem; openers: the words of each, where it has no
    stems. asserting: phrase -> class, by kind. terms: the program's own words by patterns of claims. grammar: words
    without content; endings: what inflection adds to a word.
    """

    refused: tuple[tuple[str, re.Pattern[str]], ...]
    openers: dict[str, frozenset[str]]
    asserting: dict[str, dict[str, str]]
    states: dict[str, tuple[State, ...]]
    standing: frozenset[str]
    roles: dict[str, tuple[str, ...]]
    role_pattern: re.Pattern[str]
    vocabulary: frozenset[str]
    alias: dict[str, str]
    bands: tuple[tuple[float, str], ...]
    format: Format
    handover: frozenset[str]
    grammar: frozenset[str]
    endings: re.Pattern[str]
    terms: tuple[tuple[tuple[str, ...], dict[str, str]], ...] = ()


ASSERTING = ("direction", "comparison", "order", "causal")


@cache
def lexicon(language: str = "en") -> Lexicon:
    """The verifier's words in a language. Raises ConfigurationFault when there are none."""
    if not re.fullmatch(r"[a-z]{2,3}", language) or not _file(f"lexicon.{language}.toml").is_file():
        raise ConfigurationFault(f"language: no sentence can be verified in {language!r}.", "Use en or de.")
    data, other = _toml(f"lexicon.{language}.toml"), _toml(f"words.{language}.toml")
    stated = _toml(f"states.{language}.toml")
    asserting = {
        kind: {fold(phrase): meaning for meaning, line in data.get(kind, {}).items() for phrase in line.split("|")}
        for kind in ASSERTING
    }
    refused = {kind: [w.replace("-", " ") for w in text.split()] for kind, text in data["refused"].items()}
    for kind, phrases in asserting.items():
        guarded = [w.replace("-", " ") for w in data["guarded"].get(kind, "").split()]
        refused[kind] = [*refused.get(kind, ()), *phrases, *guarded]
    states: dict[str, list[State]] = {}
    for item in stated["state"]:
        rule = {key: item[key] for key in ("over", "under", "up_to", "any", "absent") if key in item}
        for phrase in item["phrases"]:
            states.setdefault(fold(phrase), []).append(State(item["claim"], tuple(item.get("values", ())), **rule))
    roles = dict(_role(line) for line in data["bind"]["roles"].strip().splitlines())
    for phrase in asserting["direction"]:  # what an input speaks for or against is the explained outcome
        roles.setdefault(phrase, ("relevance.target",))
    for phrase, side in asserting["direction"].items():
        for pattern in data["bind"]["counted"]:
            roles.setdefault(fold(pattern.format(phrase)), (f"relevance.{side}.count",))
    return Lexicon(
        refused=tuple((kind, any_stem_of(words)) for kind, words in refused.items()),
        openers={
            kind: frozenset(word for p in words for word in word_set(p))
            for kind, words in refused.items()
            if not {"*", "~"} & set("".join(words))
        },
        asserting=asserting,
        states={phrase: tuple(rules) for phrase, rules in states.items()},
        standing=frozenset(fold(phrase) for item in stated["standing"] for phrase in item["phrases"]),
        roles=roles,
        role_pattern=any_of(roles),
        vocabulary=frozenset(data["vocabulary"]["plain"].split()),
        alias=other["alias"],
        bands=tuple((band["under"], band["word"]) for band in other["band"]),
        format=read_format(data["format"]),
        handover=frozenset(fold(phrase) for phrase in data["demand"]["handover"]),
        grammar=frozenset(data["grammar"]["words"].split()),
        endings=re.compile(rf"(?<=...)(?:{'|'.join(data['grammar']['endings'].split())})$"),
        terms=tuple((tuple(item["claims"]), item["words"]) for item in other.get("term", ())),
    )


def fold(text: str) -> str:
    """Case and white space do not matter to the meaning of words. Letters stay what they are: ß is not ss."""
    return " ".join(text.lower().split())


def word_set(text: str) -> set[str]:
    """The words of a text, folded: no phrase stands in a text that has none of its words."""
    return set(re.findall(r"[\w’']+", fold(text)))


def any_of(phrases: Iterable[str]) -> re.Pattern[str]:
    """Whole words only, longer phrases first, any white space between words."""
    ordered = sorted({fold(p) for p in phrases}, key=lambda p: (-len(p), p))
    options = "|".join(r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in ordered)
    return re.compile(rf"(?<![\w’'])(?:{options})(?![\w])", re.IGNORECASE) if options else re.compile(r"(?!)")


def any_stem_of(phrases: Iterable[str]) -> re.Pattern[str]:
    """As `any_of`, for data whose words may be stems: `*` stands for any letters, `~` for an ending of inflection."""
    ordered = sorted({fold(p) for p in phrases}, key=lambda p: (-len(p), p))
    words = (r"\s+".join(re.escape(word) for word in phrase.split()) for phrase in ordered)
    options = "|".join(word.replace(r"\*", r"[\w-]*").replace(r"\~", "(?:e[mnrs]?|[mnrs])?") for word in words)
    return re.compile(rf"(?<![\w’'])(?:{options})(?![\w])", re.IGNORECASE) if options else re.compile(r"(?!)")


def _role(line: str) -> tuple[str, tuple[str, ...]]:
    phrase, _, patterns = line.partition(" = ")
    return fold(phrase), tuple(patterns.split())


def _file(name: str) -> Traversable:
    return files("xagent.narrative").joinpath(name)


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(_file(name).read_text(encoding="utf-8"))
