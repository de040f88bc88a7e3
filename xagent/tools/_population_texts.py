"""What can be counted of a text without a model: its length, its characters, its language."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from typing import Any

_WORD = re.compile(r"[^\W\d_]+")

_SCRIPTS = (
    "LATIN", "CYRILLIC", "GREEK", "ARABIC", "HEBREW", "DEVANAGARI", "THAI", "HANGUL", "HIRAGANA", "KATAKANA", "CJK",
)  # fmt: skip
_JAPANESE = ("HIRAGANA", "KATAKANA")

_FUNCTION_WORDS = {
    "English": "the and of to is in that it was for with on are this be have not from he she his her my i you we they has had at by but or an there been since after",  # noqa: E501
    "German": "der die das und ist nicht ich ein eine zu den dem des mit von auf für im es sie wir hat habe sind auch wird bei aus nach seit wie oder aber dass",  # noqa: E501
    "French": "le la les et est une un des du je vous nous pas que qui dans pour sur avec au aux ce cette il elle sont mais ou mon ma depuis très été",  # noqa: E501
    "Spanish": "el la los las y es una un de del que en por para con no se su mi al lo como pero son está desde muy más este esta hay",  # noqa: E501
    "Italian": "il lo la gli le e è una un di del della che in per con non si mi al come ma sono da questo questa anche più ho ha nel",  # noqa: E501
    "Portuguese": "o a os as e é uma um de do da dos das que em por para com não se meu minha ao como mas são está desde muito mais no na",  # noqa: E501
    "Dutch": "de het een en is niet ik je van op te dat in voor met zijn er maar ook aan bij heb heeft door wij naar deze wordt sinds",  # noqa: E501
    "Polish": "i w na z do nie się jest że to jak od po za ale dla ma mam być są czy przez ten ta tego o",
    "Swedish": "och att det är en ett i på som för av inte med jag har den till om men var sedan vi han hon från",
    "Danish": "og at det er en et i på som for af ikke med jeg har den til om men var siden vi han hun fra",
    "Turkish": "ve bir bu da de için ile çok ne ama gibi daha var yok ben sen o değil olarak kadar",
}
_LANGUAGES: dict[str, frozenset[str]] = {name: frozenset(words.split()) for name, words in _FUNCTION_WORDS.items()}


def language(text: str) -> str | None:
    """The language of a text by its script and its function words; None where they do not tell.

    In Latin script at least two different function words are asked for, and a quarter more hits than the next
    language has. Another script is the answer itself, by its Unicode name.
    """
    script = _script(text)
    if script is None:
        return None
    if script != "LATIN":
        return "Japanese" if script in _JAPANESE else f"{script.capitalize()} script"
    words = Counter(_WORD.findall(text.casefold()))
    hits = sorted(
        ((sum(words[w] for w in own), sum(w in words for w in own), name) for name, own in _LANGUAGES.items()),
        reverse=True,
    )
    (most, different, name), (next_most, _, _) = hits[:2]
    return name if different >= 2 and most >= 1.25 * next_most + 0.5 else None


def _script(text: str) -> str | None:
    """The script of most letters, None without any."""
    letters = Counter(c for c in text if c.isalpha())
    found: Counter[str] = Counter()
    for letter, count in letters.items():
        first = unicodedata.name(letter, "?").split(" ", 1)[0]
        if first in _SCRIPTS:
            found[first] += count
    if found["HIRAGANA"] + found["KATAKANA"] > 0.1 * sum(found.values()):
        return "HIRAGANA"
    return max(sorted(found), key=found.__getitem__) if found else None


def measures(text: str, tokenizer: Any) -> dict[str, float]:
    """Length, characters and, where the model has a tokenizer, how much of the text it knows.

    Tokens that stand for the unknown are counted where the tokenizer has one; a tokenizer without falls back on ever
    smaller pieces, so pieces per word are counted for all.
    """
    words = len(text.split())
    found = {
        "number of characters": float(len(text)),
        "number of words": float(words),
        "share of non-ASCII characters": sum(not c.isascii() for c in text) / max(len(text), 1),
    }
    if tokenizer is not None:
        pieces = tokenizer(text, add_special_tokens=False)["input_ids"]
        if tokenizer.unk_token_id is not None:
            found["share of unknown tokens"] = pieces.count(tokenizer.unk_token_id) / max(len(pieces), 1)
        found["tokens per word"] = len(pieces) / max(words, 1)
    return found
