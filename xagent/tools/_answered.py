"""Relevance of an answer: its tokens by the sources of the prompt, and what lies in no source."""

from __future__ import annotations

from typing import TYPE_CHECKING

from xagent.tools._base import Context
from xagent.tools._relevance_result import AnswerRelevance, AnswerToken, PromptToken, SourceRelevance

if TYPE_CHECKING:
    from torch import Tensor

    from xagent.subject import Encoded


def answer_relevance(ctx: Context, encoded: Encoded, units: Tensor, values: list[float]) -> AnswerRelevance:
    """units: (P + T - 1,) relevance of every token for the whole answer; values: of every source.

    Costs one backward for each answer token or one forward for each source, whichever is less. Raises RelevanceError.
    """
    from xagent.relevance import Source, trace_answer

    told, module = encoded.exchange, ctx.subject.module
    assert told is not None and module is not None
    players = encoded.players
    sources = [Source(player.feature, player.index, text) for player, text in zip(players, told.texts, strict=True)]
    with ctx.subject.lock:
        traced = trace_answer(module, told.prompt_ids, told.answer_ids, sources, rules=ctx.rules)
    owner = {position: player.feature for player in players for position in player.index}
    prompt, total = len(told.prompt_ids), sum(abs(v) for v in values)
    first = float(units[0])
    return AnswerRelevance(
        tokens=tuple(
            AnswerToken(text=text, score=score)
            for text, score in zip(told.answer_tokens, traced.scores.tolist(), strict=True)
        ),
        sources=tuple(
            SourceRelevance(
                feature=player.feature,
                label=player.label,
                kind=kind,
                text=text,
                relevance=value,
                share=abs(value) / total if total > 0 else 0.0,
            )
            for player, kind, text, value in zip(players, told.kinds, told.texts, values, strict=True)
        ),
        matrix=tuple(tuple(line) for line in traced.matrix.tolist()),
        prompt=tuple(
            PromptToken(text=text, relevance=value, source=owner.get(position))
            for position, (text, value) in enumerate(zip(told.prompt_tokens, units[:prompt].tolist(), strict=True))
        ),
        sink=first,
        other=float(units[:prompt].sum()) - first - sum(values),
        own=float(units[prompt:].sum()),
        way=traced.way,
    )
