"""An answer of a language model as an input: the prompt, what it is made of, and the words that were generated."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Annotated, Literal, Protocol

from pydantic import Field, StringConstraints, model_validator

from xagent.case._fields import Frozen, LongText, ShortText

By = Literal["sources", "sentences", "turns", "tokens"]


class Message(Frozen):
    """One turn of a chat. role: `system`, `user`, `assistant`, `tool` or another that the chat template knows."""

    role: Annotated[str, StringConstraints(pattern=r"^[a-z][a-z_]{0,31}$")]
    content: LongText


class NamedSource(Frozen):
    """A passage of the prompt that the answer may have come from, word for word as it stands there.

    kind says what it is: a retrieved document, the output of a tool, a turn of the chat, an instruction, or any other
    passage. Space around the text is not part of it.
    """

    name: ShortText
    kind: Literal["document", "tool", "turn", "instruction", "passage"] = "document"
    text: LongText


class GenerationInput(Frozen):
    """A prompt and the answer that a decoder-only language model gave to it.

    prompt: the text as the model was shown it, any chat template applied; or messages: the chat, to which the template
    of the model's folder is applied. answer: the generated text, without the token that ends it. answer_ids: its token
    ids, where they were recorded; else the text is tokenised. sources: passages to be weighed; each must occur in the
    prompt, none may overlap another. Where a passage occurs more than once, the first place that no source before it
    in the list has taken is meant.
    by: what is weighed: the named sources, the sentences, the turns of the chat, or single tokens. By default the
    sources where there are any, else sentences, and tokens in a prompt of one sentence.
    """

    kind: Literal["generation"]
    prompt: LongText | None = None
    messages: tuple[Message, ...] = Field(default=(), max_length=200)
    answer: Annotated[str, StringConstraints(min_length=1, max_length=50_000)]
    answer_ids: tuple[Annotated[int, Field(ge=0)], ...] | None = Field(default=None, min_length=1, max_length=4096)
    sources: tuple[NamedSource, ...] = Field(default=(), max_length=200)
    by: By | None = None

    @property
    def shown(self) -> str:
        """The prompt as text; of a chat, its messages one below the other, without the marks of a template."""
        return self.prompt if self.prompt is not None else "\n".join(message.content for message in self.messages)

    @model_validator(mode="after")
    def _consistent(self) -> GenerationInput:
        if (self.prompt is None) == (not self.messages):
            raise ValueError("give either 'prompt' or 'messages'")
        if not self.answer.strip():
            raise ValueError("'answer' is empty: there is no answer to explain")
        if self.prompt is not None and not self.prompt.strip():
            raise ValueError("'prompt' is empty")
        for i, message in enumerate(self.messages):
            if not message.content.strip():
                raise ValueError(f"messages.{i}.content is empty")
        if self.by == "turns" and not self.messages:
            raise ValueError("'by' is 'turns', but the prompt is no chat; give 'messages'")
        if self.by == "sources" and not self.sources:
            raise ValueError("'by' is 'sources', but none are named; add 'sources'")
        if len({source.name for source in self.sources}) < len(self.sources):
            raise ValueError("the names of the sources must differ")
        texts = [message.content for message in self.messages] or [self.prompt or ""]
        located(texts, self.sources)
        return self


class Named(Protocol):
    @property
    def name(self) -> str: ...
    @property
    def text(self) -> str: ...


def located(texts: Sequence[str], sources: Sequence[Named]) -> list[tuple[int, int, int]]:
    """For each source the number of the text that holds it, and its start and end there in characters, half open.

    Raises ValueError that names the source which occurs nowhere, or only where another one lies.
    """
    taken: list[tuple[int, int, int]] = []
    for i, source in enumerate(sources):
        wanted = source.text.strip()
        if not wanted:
            raise ValueError(f"sources.{i}.text ({_short(source.name)}) is empty")
        spot, under = _free(texts, wanted, taken)
        if spot is None and under is None:
            raise ValueError(f"sources.{i}.text ({_short(source.name)}) does not occur in the prompt")
        if spot is None:
            assert under is not None
            raise ValueError(f"sources.{i} ({_short(source.name)}) overlaps sources.{under} in the prompt")
        taken.append(spot)
    return taken


def _free(
    texts: Sequence[str], wanted: str, taken: Sequence[tuple[int, int, int]]
) -> tuple[tuple[int, int, int] | None, int | None]:
    """The first place of `wanted` that is not taken, or the number of the source that takes its first place."""
    under: int | None = None
    for number, text in enumerate(texts):
        start = text.find(wanted)
        while start >= 0:
            end = start + len(wanted)
            by = next((j for j, (n, a, b) in enumerate(taken) if n == number and a < end and start < b), None)
            if by is None:
                return (number, start, end), None
            under = by if under is None else under
            start = text.find(wanted, max(taken[by][2], start + 1))
    return None, under


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else f"{text[:50]}…")
