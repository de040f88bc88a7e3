"""What prose looks like in a language: cues, words of direction and order, phrases of state. Read once."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from xagent.errors import ConfigurationFault
from xagent.narrative._lexicon import any_of, fold, lexicon

StatementKind = Literal[
    "value", "sign", "order", "comparison", "threshold", "category", "name", "population", "subject", "state", "hash",
    "time", "causal", "hedge", "omission",
]  # fmt: skip
Status = Literal["supported", "contradicted", "unverifiable"]


class Statement(BaseModel):
    """One thing that a text says. text: the words at issue. sentence: where they stand, from 0. claims: what was
    compared with. why: in one sentence, what the ledger says."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    kind: StatementKind
    status: Status
    text: str
    sentence: int
    claims: tuple[str, ...] = ()
    why: str


@dataclass(frozen=True)
class Prose:
    """The data of one language, compiled. cues: words -> patterns of claims that a figure beside them may be. sizes:
    words -> the shares from which and below which they are said."""

    raw: dict[str, Any]
    clauses: re.Pattern[str]
    cues: dict[str, tuple[str, ...]]
    cue: re.Pattern[str]
    weak: frozenset[str]
    marks: dict[str, re.Pattern[str]]
    meaning: dict[str, str]
    states: tuple[tuple[re.Pattern[str], str, frozenset[str]], ...]
    said: tuple[tuple[re.Pattern[str], str], ...]
    hedge: re.Pattern[str]
    causal: re.Pattern[str]
    pronouns: frozenset[str]
    generic: re.Pattern[str]
    sizes: dict[str, tuple[float, float]]


@cache
def prose(language: str = "en") -> Prose:
    """Raises ConfigurationFault for a language that no prose is read in."""
    source = files("xagent.narrative").joinpath(f"free_text.{language}.toml")
    if not re.fullmatch("[a-z]{2,3}", language) or not source.is_file():
        raise ConfigurationFault(f"language: no prose is read in {language!r}.", "Use en.")
    raw = tomllib.loads(source.read_text(encoding="utf-8"))
    own = lexicon(language)
    cues = {phrase: patterns for phrase, patterns in own.roles.items() if patterns != ("relevance.target",)}
    cues |= {fold(phrase): tuple(line.split()) for phrase, line in raw["cues"].items()}
    refused = dict(own.refused)
    marks: dict[str, re.Pattern[str]] = {}
    meaning: dict[str, str] = {}
    for kind in ("direction", "comparison", "order"):
        groups = {
            name: _phrases(line) for name, line in raw[kind].items() if name not in ("negation", "usual", "limits")
        }
        for phrase, name in own.asserting[kind].items():
            groups.get({"top": "first", "rising": "next"}.get(name, name), []).append(phrase)
        marks[kind] = any_of(p for phrases in groups.values() for p in phrases)
        meaning |= {p: name for name, phrases in groups.items() for p in phrases}
    for kind, line in (
        ("negation", raw["direction"]["negation"]), ("usual", raw["comparison"]["usual"]),
        ("limits", raw["comparison"]["limits"]), ("population", raw["population"]["cues"]),
        ("answers", raw["class"]["answers"]), ("valued", raw["value"]["cues"]), ("subject", raw["subject"]["cues"]),
    ):  # fmt: skip
        marks[kind] = any_of(_phrases(line))
    sizes: dict[str, tuple[float, float]] = {}
    low = 0.0
    for high, word in own.bands:
        sizes |= dict.fromkeys((fold(word), *_phrases(raw["size"].get(word, ""))), (low, high))
        low = high
    marks["size"] = re.compile(rf"{any_of(sizes).pattern}(?= (?:{raw['size']['of']})(?!\w))", re.IGNORECASE)
    return Prose(
        raw=raw, sizes=sizes,
        clauses=re.compile(raw["split"]["clauses"]),
        cues=cues, cue=any_of(cues), weak=frozenset(_phrases(raw["weak"]["cues"])),
        marks=marks, meaning=meaning,
        states=tuple(
            (re.compile(rf"\b(?:{item['pattern']})\b", re.IGNORECASE), item["claim"], frozenset(item["values"]))
            for item in raw["state"]
        ),
        said=tuple((re.compile(item["pattern"], re.IGNORECASE), item["claim"]) for item in raw["said"]),
        hedge=_either(refused["hedge"], refused["persuasive"]), causal=refused["causal"],
        pronouns=frozenset(raw["split"]["pronouns"].split()), generic=any_of(raw["split"]["generic"].split()),
    )  # fmt: skip


def _phrases(line: str) -> list[str]:
    return [fold(part) for part in line.split("|") if part.strip()]


def _either(*patterns: re.Pattern[str]) -> re.Pattern[str]:
    return re.compile("|".join(f"(?:{p.pattern})" for p in patterns), re.IGNORECASE)
