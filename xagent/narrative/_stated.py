"""Registered phrases that no assertion binds: a sentence may not say in passing what only a claim can back.

Many phrases are made of plain words, so the vocabulary alone would let them stand. They are found as they are written,
and by their words of content in any order, without endings, between two ends of a clause.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

from xagent.narrative._lexicon import Lexicon, any_of, fold, lexicon

_CLAUSE = re.compile(r"[.;?!]")
_WORD = re.compile(r"[\w’']+")
FEWEST = 2  # words of content that tell a phrase from chance, in whatever order they stand


@dataclass(frozen=True)
class _Phrases:
    """written: as they stand; labels: names of figures, which another rule binds; bags: words of content -> phrase."""

    written: re.Pattern[str]
    labels: re.Pattern[str]
    bags: tuple[tuple[frozenset[str], str], ...]
    data: Lexicon

    def content(self, text: str) -> frozenset[str]:
        words = (word for word in _WORD.findall(fold(text)) if word not in self.data.grammar)
        return frozenset(self.data.endings.sub("", word) for word in words)


@cache
def _phrases(language: str) -> _Phrases:
    data = lexicon(language)
    every = sorted({*data.states, *data.standing})
    labels = any_of(phrase for phrase in data.roles if phrase.endswith(":"))
    found = _Phrases(any_of(every), labels, (), data)
    bags = ((found.content(phrase), phrase) for phrase in every)
    return _Phrases(found.written, labels, tuple((bag, phrase) for bag, phrase in bags if len(bag) >= FEWEST), data)


def unbound_phrases(text: str, language: str) -> Iterator[str]:
    """Each registered phrase in words outside tokens and assertions; one of them for words that make up several."""
    known = _phrases(language)
    while match := known.written.search(text):
        yield fold(match[0])
        text = text[: match.start()] + "\x1f" * len(match[0]) + text[match.end() :]
    for clause in _CLAUSE.split(known.labels.sub("\x1f", text)):
        words = known.content(clause)
        phrase = next((phrase for bag, phrase in known.bags if bag <= words), None)
        if phrase is not None:
            yield phrase
