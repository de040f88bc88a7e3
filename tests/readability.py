"""How hard a text is to read: Flesch-Kincaid grade, by two ways of counting syllables."""

from __future__ import annotations

import re

import pytest


def grades(text: str) -> tuple[float, float]:
    """The grade by textstat, whose syllables (hyphenation, since its dictionary is a download) are rather too few, and
    by groups of vowels, which are rather too many."""
    import textstat
    from textstat.backend.counts import _count_syllables

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(_count_syllables, "get_cmudict", lambda lang: None)
        by_textstat = textstat.flesch_kincaid_grade(text)
    words = re.findall(r"[A-Za-z]+", text)
    sentences = re.findall(r"[.!?](?:\s|$)", text)
    syllables = sum(len(re.findall(r"[aeiouy]+", re.sub(r"e\b", "", word.lower()))) or 1 for word in words)
    return by_textstat, 0.39 * len(words) / len(sentences) + 11.8 * syllables / len(words) - 15.59
