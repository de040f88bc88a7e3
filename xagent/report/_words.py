"""Heat maps of text: every word on a ground that says how much it weighed and on which side; sentences; a prompt."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from xagent.report._cells import Cell, Facts
from xagent.report._labels import said, signs
from xagent.report._scale import Scale, percent

MOST_WORDS = {"roomy": 400, "sheet": 80}
MOST_FIGURES = {"roomy": 20, "sheet": 8}
MOST_SENTENCES = {"roomy": 20, "sheet": 5}
REACH = 7
"""Words that are kept on either side of a strong one when a text is too long to be shown."""


@dataclass(frozen=True)
class Word:
    """before: what stands in front of it in the text. after: what clings to it, such as a comma. figure: its weight.

    gap: words were left out in front of it. source: the mark of the source that begins here.
    """

    text: str
    tone: str
    level: int
    mark: str
    figure: Cell | None = None
    claim: str = ""
    before: str = ""
    after: str = ""
    gap: bool = False
    source: str = ""


@dataclass(frozen=True)
class Passage:
    """A text as drawn. ends: least and largest amount of the legend. tail: what follows the last word."""

    words: list[Word]
    ends: tuple[str, str]
    statement: str
    rtl: bool
    tail: str = ""
    steps: list[tuple[str, int]] = field(
        default_factory=lambda: [
            *(("against", n) for n in (4, 3, 2, 1)),
            ("neither", 0),
            *(("for", n) for n in (1, 2, 3, 4)),
        ]
    )


def passage(artifact: dict[str, Any], facts: Facts, *, plain: bool, sheet: bool) -> Passage | None:
    """The text of a relevance artifact, word by word; None when it holds no words.

    Words and weights are those of the artifact; the figures under the strongest words are claims, so they print as
    everywhere else (as shares for a reader of plain words).
    """
    rows = artifact.get("tokens") or []
    if not rows:
        return None
    size = "sheet" if sheet else "roomy"
    values = [float(row["relevance"]) for row in rows]
    texts = [str(row["text"]) for row in rows]
    scale, bound = Scale.of(values), _bound(facts)
    befores, tail = _between(texts, [str(s["text"]) for s in artifact.get("sentences") or ()])
    kept = _kept(values, MOST_WORDS[size])
    strongest = set(sorted(kept, key=lambda i: (-abs(values[i]), i))[: MOST_FIGURES[size]])
    words = []
    for place, i in enumerate(kept):
        driver = bound.get(f"word.{i + 1}", "")
        marked = scale.level(values[i]) > 0
        follows = place > 0 and kept[place - 1] == i - 1
        ends_here = place + 1 == len(kept) or kept[place + 1] != i + 1
        figure = _figure(facts, driver, values[i], plain) if driver and marked and i in strongest else None
        words.append(
            Word(
                text=texts[i],
                tone=scale.tone(values[i]),
                level=scale.level(values[i]),
                mark=_mark(values[i]) if marked else "",
                figure=figure,
                claim=f"{driver}.effect" if driver else "",
                before=_parted(befores[i])[1] if follows else befores[i] if i == 0 else "",
                after="" if ends_here else _parted(befores[i + 1])[0],
                gap=i > 0 and not follows,
            )
        )
    return Passage(
        words=words,
        ends=("", "") if facts.coarse("relevance.driver.1.share") else _ends(values, scale, plain),
        statement=_capped(len(kept), len(values), "words"),
        rtl=_rtl("".join(texts)),
        tail=tail if kept[-1] == len(texts) - 1 else " \u2026",
    )


def prompt_passage(answer: dict[str, Any], marks: dict[str, str], *, sheet: bool) -> Passage | None:
    """The prompt of an answer: tokens of a model joined to words, with the mark of each source where it begins."""
    rows = answer.get("prompt") or []
    if not rows:
        return None
    texts, values, sources = joined_tokens(rows)
    scale = Scale.of(values)
    kept = _kept(values, MOST_WORDS["sheet" if sheet else "roomy"])
    strongest = set(sorted(kept, key=lambda i: (-abs(values[i]), i))[:12])
    words = []
    for place, i in enumerate(kept):
        new = not place or sources[i] != sources[kept[place - 1]]
        marked = scale.level(values[i]) > 0
        words.append(
            Word(
                text=texts[i].strip() or "\u23ce" * ("\n" in texts[i]) or "\u2423",
                tone=scale.tone(values[i]),
                level=scale.level(values[i]),
                mark=_mark(values[i]) if marked else "",
                figure=Cell(scale.text(values[i], 2), "", True) if marked and i in strongest else None,
                before="" if new or kept[place - 1] != i - 1 else " ",
                gap=bool(place and kept[place - 1] != i - 1) or (not place and i > 0),
                source=marks.get(sources[i] or "", "") or "\u2013" if new else "",
            )
        )
    end = " \u2026" if kept[-1] != len(texts) - 1 else ""
    statement = _capped(len(kept), len(values), "words")
    return Passage(words, _ends(values, scale, False), statement, _rtl("".join(texts)), end)


def joined_tokens(rows: Sequence[dict[str, Any]]) -> tuple[list[str], list[float], list[str | None]]:
    """Words, their relevance and their source: a token that does not begin with a space belongs to the word before it.

    Where no token begins with a space the tokenizer gives whole words, or nothing to go by: they stay apart. A word
    never reaches from one source into the next.
    """
    texts: list[str] = []
    values: list[float] = []
    sources: list[str | None] = []
    spaced = any(str(row["text"])[:1].isspace() for row in rows[1:])
    for row in rows:
        text, source = str(row["text"]), row.get("source")
        clings = spaced and bool(texts) and not text[:1].isspace() and not texts[-1][-1:].isspace()
        if clings and sources[-1] == source and len(texts[-1]) < 60 and not _wide(text):
            texts[-1] += text
            values[-1] += float(row["relevance"])
        else:
            texts.append(text)
            values.append(float(row["relevance"]))
            sources.append(source)
    return texts, values, sources


@dataclass(frozen=True)
class SentenceRow:
    """One sentence with its number in the text, its ground and its weight."""

    number: int
    text: str
    tone: str
    level: int
    figure: str
    gap: bool


@dataclass(frozen=True)
class SentenceMap:
    rows: list[SentenceRow]
    head: str
    statement: str


def sentence_map(artifact: dict[str, Any], *, plain: bool, sheet: bool) -> SentenceMap | None:
    """Sentences with the weight of their words together; None for a text of one sentence."""
    found = artifact.get("sentences") or []
    if len(found) < 2:
        return None
    values = [float(row["relevance"]) for row in found]
    scale, total = Scale.of(values), sum(abs(v) for v in values) or 1.0
    most = MOST_SENTENCES["sheet" if sheet else "roomy"]
    kept = sorted(sorted(range(len(values)), key=lambda i: (-abs(values[i]), i))[:most])
    rows = [
        SentenceRow(
            number=i + 1,
            text=_cut(str(found[i]["text"]), 320),
            tone=scale.tone(values[i]),
            level=scale.level(values[i]),
            figure=_mark(values[i]) + percent(values[i] / total) if plain else scale.text(values[i]),
            gap=i > 0 and (place == 0 or kept[place - 1] != i - 1),
        )
        for place, i in enumerate(kept)
    ]
    return SentenceMap(rows, said("Share" if plain else "Relevance"), _capped(len(kept), len(values), "sentences"))


def _bound(facts: Facts) -> dict[str, str]:
    """The driver claim of every feature that has one."""
    keys = [key.removesuffix(".effect") for key in facts.ids("relevance.driver.") if key.endswith(".effect")]
    return {claim.feature: key for key in keys if (claim := facts.claim(f"{key}.effect")) and claim.feature}


def _figure(facts: Facts, driver: str, value: float, plain: bool) -> Cell | None:
    if not plain:
        return facts.cell(f"{driver}.effect")
    share = None if facts.coarse(f"{driver}.share") else facts.cell(f"{driver}.share")
    return Cell(_mark(value) + share.text, share.claim, True) if share else None


def _mark(value: float) -> str:
    return "+" if value > 0 else "\u2212" if value < 0 else ""


def _ends(values: Sequence[float], scale: Scale, plain: bool) -> tuple[str, str]:
    """The amounts that the darkest grounds stand for, on both sides alike."""
    if not plain:
        return scale.text(-scale.most), scale.text(scale.most)
    share = percent(scale.most / (sum(abs(v) for v in values) or 1.0))
    return f"\u2212{share}", f"+{share}"


def _kept(values: Sequence[float], most: int) -> list[int]:
    """Places that are shown: all, or the strongest with what stands around them until there is no more room."""
    if len(values) <= most:
        return list(range(len(values)))
    kept: set[int] = set()
    for i in sorted(range(len(values)), key=lambda i: (-abs(values[i]), i)):
        around = set(range(max(0, i - REACH), min(len(values), i + REACH + 1)))
        if len(kept | around) > most:
            break
        kept |= around
    return sorted(kept)


def _between(texts: Sequence[str], sentences: Sequence[str]) -> tuple[list[str], str]:
    """What stands in front of each word in the text, and after the last; a space where the text is not known."""
    whole, at, befores = " ".join(sentences), 0, []
    for text in texts:
        found = whole.find(text, at) if text else -1
        if found < 0 or found - at > 80:
            return ["", *[" "] * (len(texts) - 1)], ""
        befores.append(whole[at:found])
        at = found + len(text)
    return befores, _cut(whole[at:], 80)


def _parted(gap: str) -> tuple[str, str]:
    """What clings to the word before, such as a full stop, and what stands in front of the next."""
    clings = re.match(r"\S*", gap)
    end = clings.end() if clings else 0
    return gap[:end], gap[end:]


def _capped(shown: int, total: int, what: str) -> str:
    if shown == total:
        return ""
    counts = {"n": signs(f"{shown:,}"), "total": signs(f"{total:,}")}
    if what == "words":
        return said(
            "Shown: {n} of {total} words, the strongest with what stands around them; the JSON holds all.", **counts
        )
    return said(
        "Shown: {n} of {total} sentences, the strongest with what stands around them; the JSON holds all.", **counts
    )


def _cut(text: str, most: int) -> str:
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"


def _rtl(text: str) -> bool:
    """Whether the first letter with a direction is written from right to left."""
    kinds: Iterable[str] = (unicodedata.bidirectional(char) for char in text)
    return next((kind in ("R", "AL") for kind in kinds if kind in ("L", "R", "AL")), False)


def _wide(text: str) -> bool:
    return any(unicodedata.east_asian_width(char) in "WF" for char in text)
