"""Right-to-left words for drawings on paper, whose engine sets letter after letter from the left.

A small part of the Unicode Bidirectional Algorithm (UAX 9: runs, base direction, mirrored brackets) and of Arabic
joining (presentation forms); enough for labels, and used for nothing else. Screens get the plain text.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterator
from functools import cache
from itertools import groupby

_MIRRORED = str.maketrans("()[]{}<>«»", ")(][}{><»«")
_FORMS = {"<isolated>": 0, "<final>": 1, "<initial>": 2, "<medial>": 3}


def visual(text: str) -> str:
    """The text in the order in which its letters stand on paper, Arabic letters in the shape their place asks for."""
    kinds = [_kind(char) for char in text]
    if "R" not in kinds:
        return text
    base = next(kind for kind in kinds if kind in "RL")
    runs = []
    for kind, group in groupby(zip(_resolved(kinds, base), _shaped(text), strict=True), key=lambda pair: pair[0]):
        run = "".join(char for _, char in group)
        runs.append(run[::-1].translate(_MIRRORED) if kind == "R" else run)
    return "".join(reversed(runs) if base == "R" else runs)


def _kind(char: str) -> str:
    bidi = unicodedata.bidirectional(char)
    return "R" if bidi in ("R", "AL") else "L" if bidi in ("L", "EN", "AN") else "N"


def _resolved(kinds: list[str], base: str) -> list[str]:
    """Neutral characters belong to what is on both their sides, or to the base direction."""
    resolved = list(kinds)
    for place, kind in enumerate(kinds):
        if kind == "N":
            before = next((k for k in reversed(resolved[:place]) if k != "N"), base)
            after = next((k for k in kinds[place:] if k != "N"), base)
            resolved[place] = before if before == after else base
    return resolved


def _shaped(text: str) -> Iterator[str]:
    forms = _forms()
    for place, char in enumerate(text):
        shapes = forms.get(char)
        if shapes is None:
            yield char
            continue
        before = forms.get(text[place - 1]) if place else None
        after = forms.get(text[place + 1]) if place + 1 < len(text) else None
        joined_before = bool(before and before[2] and shapes[1])
        joined_after = bool(shapes[2] and after and after[1])
        yield shapes[joined_before + 2 * joined_after] or char


@cache
def _forms() -> dict[str, list[str]]:
    """Isolated, final, initial and medial form of every Arabic letter that has them, "" for one it lacks."""
    forms: dict[str, list[str]] = {}
    for point in (*range(0xFB50, 0xFC00), *range(0xFE80, 0xFEF5)):
        tag, _, base = unicodedata.decomposition(chr(point)).partition(" ")
        if tag in _FORMS and " " not in base:
            forms.setdefault(chr(int(base, 16)), ["", "", "", ""])[_FORMS[tag]] = chr(point)
    return forms
