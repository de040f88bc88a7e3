"""What a sentence of prose is made of: names, figures and words that mean something, each at its place."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from xagent.evidence import Claim, Ledger
from xagent.narrative._free_text_data import Prose
from xagent.narrative._free_text_figures import Figure, figures, plain
from xagent.narrative._lexicon import fold, lexicon

MASK = "\x1f"


@dataclass(frozen=True)
class Mark:
    """kind: feature, class, population, entity, text, figure, direction, comparison, order, negation ... key: the
    feature's id, the claim's id or the folded words."""

    kind: str
    start: int
    end: int
    text: str
    key: str = ""
    figure: Figure | None = None


@dataclass(frozen=True)
class Names:
    """What the ledger calls things. patterns: (kind, pattern, key by folded name), asked in this order."""

    features: dict[str, str] = field(default_factory=dict)
    quoted: dict[str, str] = field(default_factory=dict)
    classes: dict[str, str] = field(default_factory=dict)
    populations: dict[str, str] = field(default_factory=dict)
    texts: dict[str, str] = field(default_factory=dict)
    categories: dict[str, str] = field(default_factory=dict)
    units: tuple[str, ...] = ()


def names_of(seen: Ledger, aliases: Mapping[str, str]) -> Names:
    """Names of a ledger. aliases: other names of inputs (`{"late_payments": "missed instalments"}`).

    A name of one short word, or one of plain words alone, counts only in quotation marks.
    """
    names = Names(units=tuple(sorted({plain(c.unit) for c in seen.values() if c.unit}, key=lambda u: (-len(u), u))))
    own = lexicon().vocabulary
    for claim in seen.values():
        value = plain(claim.value) if isinstance(claim.value, str) else ""
        if not value:
            continue
        word = fold(value)
        if claim.feature is not None and claim.kind == "text" and claim.id.endswith((".label", ".name")):
            raw_word = re.fullmatch(r"word\.\d+", claim.feature) is not None
            bare = len(word) < 4 or word in own
            (names.quoted if bare else names.features).setdefault(word, claim.feature)
            for other in () if raw_word else (fold(claim.feature.replace("_", " ")), fold(claim.feature)):
                (names.quoted if other in own else names.features).setdefault(other, claim.feature)
        elif claim.id in (
            "relevance.target",
            "relevance.foil",
            "decision.label",
            "decision.target",
            "reproduction.label",
        ):
            names.classes.setdefault(word, claim.id)
        elif claim.id in ("reference.name", "window.name") or claim.id == "relevance.baseline":
            names.populations.setdefault(word, claim.id)
        elif claim.feature is not None and claim.kind == "category" and claim.id.endswith((".value", ".typical")):
            names.categories.setdefault(word, claim.id)
        elif _tells(claim) and len(word) > 2 and not set(word.split()) <= own:
            names.texts.setdefault(word.rstrip(" ."), claim.id)
    for feature, other in aliases.items():
        names.features[fold(plain(other))] = feature
    return names


def _tells(claim: Claim) -> bool:
    """Whether the words of a claim are case text, and not a key that sentences are chosen by."""
    keys = (".state", ".weakest", ".status", ".direction", ".compare", ".kind", ".level")
    return claim.id == "decision.outcome" or (claim.kind == "text" and not claim.id.endswith(keys))


def marks(text: str, seen: Ledger, names: Names, data: Prose) -> tuple[list[Mark], str]:
    """Everything recognised in one sentence, in order, and the sentence with the names masked out."""
    found: list[Mark] = []
    rest = text

    def take(kind: str, start: int, end: int, key: str = "") -> None:
        nonlocal rest
        found.append(Mark(kind, start, end, text[start:end], key))
        rest = rest[:start] + MASK * (end - start) + rest[end:]

    for kind, start, end, key in _quoted(text, names):
        take(kind, start, end, key)
    units = [
        match.span(1)
        for unit in names.units
        if re.search(r"\w \w|% ", unit)
        for match in re.finditer(rf"(?<=[\w.])\s?({re.escape(unit)})(?!\w)", text, re.IGNORECASE)
        if re.search(r"\d\s?$", text[: match.start(1)])
    ]
    long = {word: key for word, key in names.texts.items() if len(word.split()) > 3}
    tables = (
        ("text", long), ("feature", names.features), ("population", names.populations), ("text", names.texts),
        ("class", names.classes),
    )  # fmt: skip
    for kind, table in tables:
        if table:
            for match in list(_pattern(table, plural=kind == "feature").finditer(rest)):
                word = fold(match[0])
                if any(start < match.end() and match.start() < end for start, end in units):
                    continue
                take(kind, match.start(), match.end(), table.get(word) or table[_singular(word, table)])
    first = re.match(r"\w+", rest)  # a name that is a plain word, where it opens a sentence about its direction
    if first and fold(first[0]) in names.quoted and data.marks["direction"].match(rest, first.end() + 1):
        take("feature", first.start(), first.end(), names.quoted[fold(first[0])])
    for match in list(re.finditer(r"(?<![\w.])(?:[0-9a-f]{12,64})(?!\w)", rest)):
        if re.search(r"\d", match[0]) or len(match[0]) >= 32:
            take("hash", match.start(), match.end())
    for pattern in (_time_pattern(),):
        for match in list(pattern.finditer(rest)):
            take("time", match.start(), match.end())
    for match in list(re.finditer(r"(?<![\w.])\d+\.\d+\.\d+(?:[\w.-]*\w)?", rest)):
        take("version", match.start(), match.end())
    for match in list(
        re.finditer(r"(?<![\w.\x1f])(?=\w*[A-Za-z])[A-Za-z]\w*-[\w-]*\d[\w-]*\b|(?<![\w.\x1f-])[A-Z]+\d+\b", rest)
    ):
        if not re.match(r"\d", match[0]) and not re.search(r"-(?:year|day|month|percent)", match[0]):
            take("entity", match.start(), match.end())
    for match in list(data.marks["size"].finditer(rest)):
        take("size", match.start(), match.end())
    for figure in figures(rest, data.raw, names.units):
        found.append(Mark("figure", figure.start, figure.end, figure.text, figure=figure))
    bare = _blanked(rest, found)
    for kind in ("direction", "comparison", "order", "negation"):
        for match in data.marks[kind].finditer(bare):
            found.append(Mark(kind, match.start(), match.end(), match[0], fold(match[0])))
    return sorted(found, key=lambda mark: (mark.start, mark.end)), rest


def _blanked(text: str, found: list[Mark]) -> str:
    for mark in found:
        if mark.kind == "figure":
            text = text[: mark.start] + MASK * (mark.end - mark.start) + text[mark.end :]
    return text


def _quoted(text: str, names: Names) -> Iterator[tuple[str, int, int, str]]:
    for match in re.finditer(r"[“\"„]([^“”\"„]{1,320})[”\"“]", text):
        word = fold(match[1])
        for kind, table in (
            ("feature", names.quoted), ("feature", names.features), ("class", names.classes),
            ("population", names.populations), ("category", names.categories), ("text", names.texts),
        ):  # fmt: skip
            if word in table or word.rstrip(" .") in table:
                yield kind, match.start(), match.end(), table.get(word) or table[word.rstrip(" .")]
                break
        else:
            yield "quote", match.start(), match.end(), word


def _pattern(table: Mapping[str, Any], *, plural: bool) -> re.Pattern[str]:
    words = sorted(table, key=lambda w: (-len(w), w))
    tail = "(?:s|es)?" if plural else ""
    options = "|".join(r"\s+".join(re.escape(part) for part in word.split()) for word in words)
    return re.compile(rf"(?<![\w'])(?:{options}){tail}(?!\w)", re.IGNORECASE)


def _singular(word: str, table: Mapping[str, Any]) -> str:
    return next(w for w in (word.removesuffix("s"), word.removesuffix("es")) if w in table)


def _time_pattern() -> re.Pattern[str]:
    months = "|".join(lexicon().format.months)
    return re.compile(
        rf"\d{{1,2}}(?:st|nd|rd|th)? (?:{months}) \d{{4}}(?: at \d\d:\d\d(?: UTC)?)?"
        rf"|(?:{months}) \d{{1,2}}, \d{{4}}|\d{{4}}-\d\d-\d\d(?:T[\d:.+Z-]+)?",
        re.IGNORECASE,
    )


def number(claim: Claim) -> bool:
    return isinstance(claim.value, int | float) and not isinstance(claim.value, bool)
