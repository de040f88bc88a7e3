"""The parts of a prompt that are weighed: named sources, turns, sentences or tokens, as characters and as tokens."""

from __future__ import annotations

import itertools
import re
from collections.abc import Sequence
from dataclasses import dataclass

from xagent.case import GenerationInput, located
from xagent.errors import InvalidCase

Offsets = Sequence[tuple[int, int]]
LABEL = 56
"""Characters of a passage that stand for it where it has no name; fewer than a report prints of a name."""


@dataclass(frozen=True)
class Part:
    """Characters start to end of the prompt, half open. kind: as of a named source, or sentence or token."""

    label: str
    kind: str
    start: int
    end: int


def parts_of(given: GenerationInput, text: str, offsets: Offsets) -> list[Part]:
    """What is weighed in the prompt `text` (template applied), whose tokens stand at `offsets`. Raises InvalidCase."""
    by = given.by or ("sources" if given.sources else None)
    if by == "sources":
        return _sources(given, text)
    turns = _turns(given, text)
    if by == "turns":
        return turns
    within = [(turn.start, turn.end) for turn in turns] or [(0, len(text))]
    found = [span for start, end in within for span in sentences(text, start, end)]
    if by == "sentences" or (by is None and len(found) > 1):
        return _numbered([Part(_opening(text[a:b]), "sentence", a, b) for a, b in found])
    return [Part(text[a:b].strip(), "token", a, b) for a, b in offsets if any(c <= a and b <= d for c, d in within)]


def _sources(given: GenerationInput, text: str) -> list[Part]:
    try:
        places = located([text], given.sources)
    except ValueError as error:
        raise InvalidCase(
            f"input.{error}.", "Give the passage word for word, as it stands in the prompt that the model was shown."
        ) from None
    return [Part(s.name, s.kind, a, b) for s, (_, a, b) in zip(given.sources, places, strict=True)]


_KIND_OF_ROLE = {"system": "instruction", "developer": "instruction", "tool": "tool"}


def _turns(given: GenerationInput, text: str) -> list[Part]:
    """The messages in the text that the template made of them, in their order; its own markers belong to none."""
    found, after = [], 0
    for number, message in enumerate(given.messages, 1):
        content = message.content.strip()
        start = text.find(content, after)
        if start < 0:
            raise InvalidCase(
                f"input.messages.{number - 1}: the model's chat template does not repeat this turn word for word.",
                "Give input.prompt, the text that the model was shown, and name its parts in input.sources.",
            )
        after = start + len(content)
        kind = _KIND_OF_ROLE.get(message.role, "turn")
        found.append(Part(f"turn {number}, {message.role}", kind, start, after))
    return found


# The engine has the same rule for its own callers; neither room may know the other, and a test holds them together.
_END = re.compile(r"(?<=[.!?])[\"'”’)\]]*(?=\s)|(?<=[。！？])|\n\s*\n")
_ABBREVIATED = re.compile(
    r"(?:\b(?:[A-Z]|Mr|Mrs|Ms|Dr|Prof|St|No|Nr|vs|etc|e\.g|i\.e|cf|Fig|Eq|approx|Inc|Ltd|Art|z\.B|bzw|ca)|^\s*\d+)\.$"
)


def sentences(text: str, start: int, end: int) -> list[tuple[int, int]]:
    """Sentences of text[start:end] as (start, end); a full stop after an abbreviation ends none, an empty line does."""
    cuts = [start]
    for found in _END.finditer(text, start, end):
        if not _ABBREVIATED.search(text[cuts[-1] : found.start()]):
            cuts.append(found.end())
    spans = []
    for a, b in itertools.pairwise([*cuts, end]):
        part = text[a:b]
        spans.append((a + len(part) - len(part.lstrip()), b - len(part) + len(part.rstrip())))
    return [(a, b) for a, b in spans if a < b]


def _opening(text: str) -> str:
    flat = " ".join(text.split())
    return flat if len(flat) <= LABEL else f"{flat[: LABEL - 1].rstrip()}…"


def _numbered(parts: list[Part]) -> list[Part]:
    """Labels that a reader can tell apart: of equal ones, the second and those after it carry their number."""
    seen: dict[str, int] = {}
    result = []
    for part in parts:
        count = seen[part.label] = seen.get(part.label, 0) + 1
        label = part.label if count == 1 else f"{part.label[: LABEL - 6]} ({count})"
        result.append(Part(label, part.kind, part.start, part.end))
    return result


def positions_of(parts: Sequence[Part], offsets: Offsets, text: str, skip: int) -> list[tuple[int, ...]]:
    """The tokens of every part, 0-based. A token belongs to the part that has most of its characters, spaces apart; of
    equals, to the first. The first `skip` tokens belong to none."""
    starts = sorted(range(len(parts)), key=lambda i: parts[i].start)
    taken: list[list[int]] = [[] for _ in parts]
    low = 0  # parts before it end before the token: both lists rise
    for position, (start, end) in enumerate(offsets):
        inked = [i for i in range(start, end) if not text[i].isspace()] or list(range(start, end))
        if position < skip or not inked:
            continue
        while low < len(starts) and parts[starts[low]].end <= start:
            low += 1
        shares: list[tuple[int, int]] = []
        for i in starts[low:]:
            if parts[i].start >= end:
                break
            shares.append((sum(parts[i].start <= c < parts[i].end for c in inked), i))
        best = max(shares, key=lambda share: share[0], default=(0, 0))
        if best[0] > 0:
            taken[best[1]].append(position)
    return [tuple(positions) for positions in taken]
