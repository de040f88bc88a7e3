"""What stands on the pages against what the report says: sentence by sentence, and against a new drawing."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Iterator, Sequence
from difflib import SequenceMatcher
from html.parser import HTMLParser
from itertools import pairwise
from typing import Any

from xagent.narrative import Narrative, Problem

MOST = 5
_ABOUT = 60


def bare(text: str) -> str:
    """Text without what layout decides: spaces, breaks, hidden marks, ligatures."""
    plain = unicodedata.normalize("NFKC", text)
    return "".join(c for c in plain if not c.isspace() and unicodedata.category(c) not in ("Cf", "Cc"))


def missing_sentences(narrative: Narrative, pages: Sequence[str], alternatives: Iterable[str]) -> Iterator[Problem]:
    """Sentences that are not printed as they were verified. pages: bare texts. alternatives: texts of the figures.

    A figure without content is not drawn, so that each text found must be a verified one, and not the other way round.
    """
    alts = {bare(figure.alt.text): figure.alt for figure in narrative.figures}
    ids = {alt.id for alt in alts.values()}
    folded, named = [page.casefold() for page in pages], 0
    for text in alternatives:
        if bare(text) not in alts and not _turned(text) and named < MOST:
            named += 1
            message = f"The text of a figure, {text[:200]!r}, is none that was verified."
            yield Problem(kind="printed", message=message, mend="Make the report again.")
    for sentence in narrative.sentences():
        wanted = bare(sentence.text).casefold()
        if sentence.id not in ids and not _stands(wanted, folded) and not _turned(wanted) and named < MOST:
            named += 1
            message = f"The sentence {sentence.text!r} was verified, and is not what stands on the page."
            yield Problem(kind="printed", sentence=sentence.id, message=message, mend="Make the report again.")


def first_difference(printed: str, expected: str) -> Problem | None:
    """Where a page departs from what is drawn from the same data. Both bare."""
    if printed == expected:
        return None
    at = next((i for i, (a, b) in enumerate(zip(printed, expected, strict=False)) if a != b), None)
    start = max(0, (min(len(printed), len(expected)) if at is None else at) - _ABOUT // 2)
    here, there = printed[start : start + _ABOUT], expected[start : start + _ABOUT]
    share = SequenceMatcher(None, here, there, autojunk=False).ratio() if here and there else 0.0
    message = f"The page says {here!r} where the evidence gives {there!r}."
    if share < 0.3:
        message = f"From {there!r} on, the page does not say what the evidence gives."
    return Problem(kind="printed", token=there, message=message, mend="Make the report again.")


def _stands(wanted: str, pages: Sequence[str]) -> bool:
    """On one page, or begun on one and ended at the top of the next; drawings may stand between the two."""
    if any(wanted in page for page in pages):
        return True
    return any(
        wanted[:cut] in page and after.startswith(wanted[cut:])
        for page, after in pairwise(pages)
        for cut in range(1, len(wanted))
    )


def _turned(text: str) -> bool:
    """Text from right to left, which pages store in the order in which it is drawn."""
    return any(unicodedata.bidirectional(c) in ("R", "AL") for c in text)


class Page(HTMLParser):
    """The words of an HTML report, its titles of drawings apart, and the data inside."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.words: list[str] = []
        self.titles: list[str] = []
        self.data: list[str] = []
        self.active: list[str] = []
        self._open: list[str] = []
        self.feed(html)
        self.close()

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        if tag == "script" and given.get("type") == "application/json" and given.get("id") == "xagent-report":
            self.data.append("")
            tag = "data"
        elif tag in _ACTIVE or any(name.startswith("on") for name in given):
            self.active.append(tag)
        if tag not in _VOID:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.handle_starttag(tag, attrs)
        if tag not in _VOID and self._open:
            self._open.pop()

    def handle_endtag(self, tag: str) -> None:
        tag = "data" if tag == "script" and "data" in self._open else tag
        if tag in self._open:
            while self._open.pop() != tag:
                pass

    def handle_data(self, data: str) -> None:
        inside = self._open[-1] if self._open else ""
        if inside == "data":
            self.data[-1] += data
        elif inside == "title" and "svg" in self._open:
            self.titles.append(data)
        elif inside not in ("style", "script", "title"):
            self.words.append(data)


_VOID = frozenset({"meta", "br", "img", "link", "input", "hr", "base"})
_ACTIVE = frozenset({"script", "iframe", "object", "embed", "link", "form", "base"})


def without_footer(text: str, case: str, number: int, pages: int) -> str:
    """The words of a PDF page without its last line: the case and the number of the page."""
    return re.sub(rf"{re.escape(case)}\s*\w+\s*{number}\s*\w+\s*{pages}\s*$", "", text.rstrip())


def same_release(data: dict[str, Any], xagent: str, template: str) -> bool:
    manifest = data["manifest"]
    return bool(manifest["versions"].get("xagent") == xagent and manifest["template"] == template)
