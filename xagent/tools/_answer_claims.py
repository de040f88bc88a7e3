"""Claims about an answer: its size, what lies in no source, and the source that carries each of its words."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

from xagent.case import GenerationInput
from xagent.evidence import Claim
from xagent.tools._base import Context

if TYPE_CHECKING:
    from xagent.tools._relevance_result import AnswerRelevance

MOST_WORDS = 20
"""Words of the answer whose strongest source is a claim, from the first on."""
CARRIES = 0.25
"""Share of a word's weight below which no single source is said to carry it."""


def answer_claims(data: AnswerRelevance, ctx: Context) -> Iterator[Claim]:
    assert isinstance(ctx.case.input, GenerationInput)

    def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
        return Claim(
            id=f"answer.{key}",
            kind=kind,
            value=value,
            subject=ctx.case.subject,
            artifact="relevance",
            pointer=pointer,
            **more,
        )

    yield claim("tokens.count", "count", len(data.tokens), "/answer/tokens")
    yield claim("sources.count", "count", len(data.sources), "/answer/sources")
    chance = math.exp(ctx.case.prediction.score / len(data.tokens))
    yield claim("chance", "value", chance, "/answer/tokens", scale="probability")
    parts = {
        "passages": math.fsum(abs(source.relevance) for source in data.sources),
        **{name: abs(getattr(data, name)) for name in ("own", "sink", "other")},
    }
    whole = math.fsum(parts.values())
    if whole > 0:
        for name, part in parts.items():
            at = "/answer/sources" if name == "passages" else f"/answer/{name}"
            yield claim(f"{name}.share", "share", min(part / whole, 1.0), at, scale="share")
    words = words_of(ctx.case.input.answer, [token.text for token in data.tokens])
    yield claim("words.count", "count", len(words), "/answer/tokens")
    if data.way != "span":
        for n, (word, places) in enumerate(words[:MOST_WORDS], 1):
            yield from _carried(claim, f"top.{n}", data, word, places)


def _carried(claim: Any, key: str, data: AnswerRelevance, word: str, places: Sequence[int]) -> Iterator[Claim]:
    """The source that speaks for a word more than any other does; nothing where none has a fair part of its weight."""
    effects = [math.fsum(data.matrix[t][i] for t in places) for i in range(len(data.sources))]
    total = math.fsum(abs(effect) for effect in effects)
    best = max(range(len(effects)), key=lambda i: (effects[i], -i))
    if total <= 0 or effects[best] < CARRIES * total:
        return
    source = data.sources[best]
    own: dict[str, Any] = {"feature": source.feature}
    at = f"/answer/matrix/{places[0]}"
    yield claim(f"{key}.word", "text", word, f"/answer/tokens/{places[0]}/text")
    yield claim(f"{key}.name", "text", source.label, f"/answer/sources/{best}/label", **own)
    yield claim(f"{key}.effect", "effect", effects[best], at, scale="logit", sign=1, **own)
    yield claim(f"{key}.share", "share", min(effects[best] / total, 1.0), at, scale="share", **own)


def words_of(answer: str, tokens: Sequence[str]) -> list[tuple[str, list[int]]]:
    """The words of an answer with the numbers of their tokens; tokens of space or punctuation alone are in none."""
    groups: list[tuple[str, list[int]]] = []
    cursor, joined = 0, False
    for number, token in enumerate(tokens):
        bare = token.strip()
        start = answer.find(bare, cursor)
        if not bare or start < 0:
            joined = joined and not token.isspace()
            continue
        apart = any(c.isspace() for c in answer[cursor:start]) or token[:1].isspace()
        cursor = start + len(bare)
        if groups and joined and not apart:
            groups[-1] = (groups[-1][0] + bare, [*groups[-1][1], number])
        else:
            groups.append((bare, [number]))
        joined = True
    return [(word, places) for word, places in groups if any(c.isalnum() for c in word)]
