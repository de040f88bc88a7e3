"""Sentences as they are drawn: cut where a figure or name of the evidence stands, so that each carries its claim."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any

from xagent.evidence import Ledger
from xagent.narrative import Sentence
from xagent.personas import Persona

_LISTED = frozenset({"procedure", "validation", "versions", "gaps", "contest", "signoff"})
"""Blocks whose sentences stand apart: each is a thing to know, to compare or to do."""


class Sentences:
    """Cuts sentences of one narrative. Pieces are (text, claim id), the id "" for plain words."""

    def __init__(self, ledger: Ledger, persona: Persona) -> None:
        self._ledger = ledger
        self._persona = persona

    def parts(self, sentence: Sentence) -> list[tuple[str, str]]:
        tokens = [(token.text, token.claim) for token in sentence.tokens]
        return list(parts_of(sentence.frame, sentence.text, tokens))

    def flow(self, sentences: Sequence[Sentence]) -> list[dict[str, Any]]:
        """Paragraphs, one a block (one in all for a reader of plain words), and lists of single drivers.

        Each is `{block, list, items: [{tone, parts, author}]}`; the order of sentences is kept.
        """
        flow: list[dict[str, Any]] = []
        for sentence in sentences:
            driver = re.fullmatch(r"relevance\.driver\.\d+", sentence.id)
            effect = self._ledger.get(f"{sentence.id}.effect") if driver else None
            own = sentence.id.split(".")[1:2]
            apart = _LISTED | {"variation"} if self._persona.voice in ("personal", "audit") else _LISTED
            listed = bool(driver) or (bool(own) and own[0] in apart)
            block = "driver" if driver else own if listed or not self._persona.plain else ""
            side = tone(effect.value if effect else 0)
            item = {"tone": side, "parts": self.parts(sentence), "author": sentence.author}
            if flow and flow[-1]["block"] == block:
                flow[-1]["items"].append(item)
            else:
                flow.append({"block": block, "list": listed, "items": [item]})
        return flow


def tone(effect: Any) -> str:
    """Which side a signed effect is on."""
    if not isinstance(effect, int | float) or effect == 0:
        return "neither"
    return "for" if effect > 0 else "against"


def parts_of(frame: str, text: str, tokens: list[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    """A sentence cut into (text, claim id) pieces that add up to the text exactly.

    The frame says where each token stands. When frame and text do not agree, tokens are sought in the text from left
    to right, and one that is not found stays plain: the text itself is never changed.
    """
    fixed = re.split(r"⟦[^⟧]*⟧", frame)
    if len(fixed) == len(tokens) + 1:
        pieces = [(fixed[0], "")]
        for piece, after in zip(tokens, fixed[1:], strict=True):
            pieces += [piece, (after, "")]
        if "".join(words for words, _ in pieces) == text:
            yield from pieces
            return
    at = 0
    for token, claim in tokens:
        found = text.find(token, at) if token else -1
        if found >= 0:
            yield text[at:found], ""
            yield token, claim
            at = found + len(token)
    yield text[at:], ""
