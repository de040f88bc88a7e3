"""Sources: which tokens of a prompt belong together, from characters to tokens."""

from __future__ import annotations

import itertools
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from ._errors import RelevanceError

Offsets = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Source:
    """A named part of the prompt: its token positions (0-based, of the prompt) and the text it stands for."""

    name: str
    positions: tuple[int, ...]
    text: str = ""


@dataclass(frozen=True)
class Passage:
    """A named part of a text: characters start to end, half open."""

    name: str
    start: int
    end: int


def token_sources(count: int, texts: Sequence[str] | None = None) -> tuple[Source, ...]:
    """Every token of a prompt of `count` tokens is a source of its own: token.1, token.2, ..."""
    return tuple(Source(f"token.{i + 1}", (i,), "" if texts is None else texts[i]) for i in range(count))


def sources_from(passages: Sequence[Passage], offsets: Offsets, text: str = "") -> tuple[Source, ...]:
    """Passages of characters as sources of tokens.

    offsets: (start, end) in characters for every token of the prompt; (0, 0) for a token that stands for no character.
    A token belongs to the passage that has most of its characters, spaces apart; of equals, to the first. A passage
    without a token is kept, with no positions.
    """
    taken: dict[int, list[int]] = {i: [] for i in range(len(passages))}
    for position, (start, end) in enumerate(offsets):
        inked = [i for i in range(start, end) if i >= len(text) or not text[i].isspace()] or list(range(start, end))
        shares = [sum(p.start <= i < p.end for i in inked) for p in passages]
        if shares and max(shares) > 0:
            taken[shares.index(max(shares))].append(position)
    return tuple(Source(p.name, tuple(taken[i]), text[p.start : p.end]) for i, p in enumerate(passages))


# a sentence ends at . ! ? or their full-width forms (with closing quotes) before a space, or at an empty line
_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*(?=\s)|(?<=[。！？])|\n\s*\n")
_ABBREVIATED = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|etc|e\.g|i\.e|cf|Fig|Eq|approx|Inc|Ltd|Art|z\.B|bzw|ca)|^\s*\d+)\.$"
)


def sentences(text: str, start: int = 0, end: int | None = None) -> tuple[Passage, ...]:
    """Sentences of text[start:end] as passages sentence.1, sentence.2, ...; abbreviations do not end one."""
    end = len(text) if end is None else end
    cuts = [start]
    for found in _END.finditer(text, start, end):
        if not _ABBREVIATED.search(text[cuts[-1] : found.start()]):
            cuts.append(found.end())
    cuts.append(end)
    spans = [_stripped(text, a, b) for a, b in itertools.pairwise(cuts)]
    return tuple(Passage(f"sentence.{i + 1}", a, b) for i, (a, b) in enumerate((a, b) for a, b in spans if a < b))


def chunks(text: str, parts: Sequence[str] | Mapping[str, str]) -> tuple[Passage, ...]:
    """The chunks of a retrieval prompt, in their order in the text: by name, or chunk.1, chunk.2, ...

    Raises RelevanceError for a chunk that the prompt does not contain after the chunk before it.
    """
    named = parts if isinstance(parts, Mapping) else {f"chunk.{i + 1}": part for i, part in enumerate(parts)}
    return _in_order(text, list(named.items()), "chunk")


def turns(text: str, messages: Sequence[Mapping[str, object]]) -> tuple[Passage, ...]:
    """The messages of a chat in the text that its template made of them: turn.1.system, turn.2.user, ...

    Markers of the template belong to no turn. A message without text (a call of a tool) is passed over.
    """
    contents = [(f"turn.{i + 1}.{m.get('role', '')}", m.get("content")) for i, m in enumerate(messages)]
    return _in_order(text, [(name, c.strip()) for name, c in contents if isinstance(c, str) and c.strip()], "turn")


def _in_order(text: str, named: Sequence[tuple[str, str]], kind: str) -> tuple[Passage, ...]:
    found: list[Passage] = []
    after = 0
    for name, part in named:
        start = text.find(part, after)
        if not part or start < 0:
            raise RelevanceError(
                f'The prompt does not contain the {kind} "{name}" where it is due.', "Check the order."
            )
        after = start + len(part)
        found.append(Passage(name, start, after))
    return tuple(found)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    part = text[start:end]
    return start + len(part) - len(part.lstrip()), end - len(part) + len(part.rstrip())
