"""Sources: which tokens of a prompt belong together, from characters to tokens."""

from __future__ import annotations

import itertools
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from ._errors import RelevanceError

Offsets = Sequence[tuple[int, int]]


@dataclass(frozen=True)
class Source:
    """A named part of the prompt: its token positions (0-based, of the prompt) and the text it stands for.

    start, end: its characters in the prompt, half open; None where only tokens are known.
    """

    name: str
    positions: tuple[int, ...]
    text: str = ""
    start: int | None = None
    end: int | None = None


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
    without a token is kept, with no positions. Raises RelevanceError for passages that overlap or contain each other:
    a character can have one source only.
    """
    refuse_overlaps(passages)
    taken: dict[int, list[int]] = {i: [] for i in range(len(passages))}
    for position, (start, end) in enumerate(offsets):
        inked = [i for i in range(start, end) if i >= len(text) or not text[i].isspace()] or list(range(start, end))
        shares = [sum(p.start <= i < p.end for i in inked) for p in passages]
        if shares and max(shares) > 0:
            taken[shares.index(max(shares))].append(position)
    return tuple(Source(p.name, tuple(taken[i]), text[p.start : p.end], p.start, p.end) for i, p in enumerate(passages))


def refuse_overlaps(passages: Sequence[Passage]) -> None:
    """Raise RelevanceError for two passages that share a character, or one that ends before it starts."""
    for p in passages:
        if not 0 <= p.start <= p.end:
            raise RelevanceError(f'The passage "{p.name}" has no characters {p.start} to {p.end}.')
    ordered = sorted((p for p in passages if p.start < p.end), key=lambda p: (p.start, p.end))
    for first, second in itertools.pairwise(ordered):
        if second.start < first.end:
            how = "lies within" if second.end <= first.end else "overlaps"
            raise RelevanceError(
                f'The source "{second.name}" {how} "{first.name}" (characters {second.start} to '
                f"{min(first.end, second.end)}).",
                "Give sources that are apart, or cut the outer one into the parts around the inner one.",
            )


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

    Markers of the template belong to no turn. A message without text (a call of a tool) is passed over; one of several
    parts reaches from its first to its last.
    """
    whole: dict[str, Passage] = {}
    for name, _, part in _parts(text, messages):
        before = whole.get(name)
        whole[name] = Passage(name, part.start if before is None else before.start, part.end)
    return tuple(whole.values())


def tools(text: str, messages: Sequence[Mapping[str, object]]) -> tuple[Passage, ...]:
    """The outputs of tools in a chat: tool.1.search, tool.2.weather, ... (tool.3, where the tool has no name).

    Messages of the role "tool" or "function", and parts of a message whose type is "tool_result",
    "function_call_output" or "function_response". A tool's name is that of the output, or of the call whose id it
    bears.
    """
    outputs = [(tool, part) for _, tool, part in _parts(text, messages) if tool is not None]
    named = [f"tool.{i + 1}" + (f".{tool}" if tool else "") for i, (tool, _) in enumerate(outputs)]
    return tuple(Passage(name, part.start, part.end) for name, (_, part) in zip(named, outputs, strict=True))


_OUTPUTS = ("tool_result", "function_call_output", "function_response")


def _parts(text: str, messages: Sequence[Mapping[str, object]]) -> Iterator[tuple[str, str | None, Passage]]:
    """In their order: the name of the turn, the name of the tool (None: no output of a tool), and where it stands."""
    called: dict[object, str] = {}
    after = 0
    for number, message in enumerate(messages):
        role, content = message.get("role", ""), message.get("content")
        turn = f"turn.{number + 1}.{role}"
        called |= _calls(message)
        outer = _tool_name(message, called) if role in ("tool", "function") else None
        for tool, piece in _pieces(content, called, outer):
            place = _find(text, _written(piece, tool is not None), after)
            if place is None:
                raise RelevanceError(f'The prompt does not contain the turn "{turn}" where it is due.', _NOT_FOUND)
            if place[0] < place[1]:
                after = place[1]
                yield turn, tool, Passage(turn, *place)


def _pieces(content: object, called: Mapping[object, str], tool: str | None) -> Iterator[tuple[str | None, object]]:
    """The parts of a message's content, parts within the output of a tool included."""
    if not isinstance(content, (list, tuple)):
        yield tool, content
        return
    for piece in content:
        inside = tool
        if isinstance(piece, Mapping) and piece.get("type") in _OUTPUTS:
            inside = _tool_name(piece, called)
            if isinstance(piece.get("content"), (list, tuple)):
                yield from _pieces(piece["content"], called, inside)
                continue
        yield inside, piece


_NOT_FOUND = "The chat template may rewrite or leave out messages; give passages of the prompt instead."


def _written(piece: object, output: bool) -> list[str]:
    """How a template may have written a piece of a message; [""] for one without text."""
    if isinstance(piece, str):
        return [piece.strip()]
    if isinstance(piece, Mapping):
        for key in ("text", "content", "output", "response"):
            inner = piece.get(key)
            if isinstance(inner, str):
                return [inner.strip()]
            if inner is not None:
                return _written_out(inner) if output else [""]
    return _written_out(piece) if output and piece is not None else [""]


def _written_out(value: object) -> list[str]:
    try:
        forms = [
            json.dumps(value, ensure_ascii=plain, indent=indent) for plain in (False, True) for indent in (None, 4, 2)
        ]
    except (TypeError, ValueError):
        forms = []
    return [*forms, str(value)]


def _find(text: str, forms: Sequence[str], after: int) -> tuple[int, int] | None:
    if forms[0] == "":
        return after, after
    places = [(start, start + len(form)) for form in forms if (start := text.find(form, after)) >= 0]
    return min(places, default=None)


def _calls(message: Mapping[str, object]) -> dict[object, str]:
    """The names of the tools that a message calls, by the id of the call."""
    calls = message.get("tool_calls")
    names: dict[object, str] = {}
    for call in calls if isinstance(calls, (list, tuple)) else ():
        if isinstance(call, Mapping):
            function = call.get("function", call)
            name = function.get("name") if isinstance(function, Mapping) else None
            names[call.get("id")] = str(name or "")
    return names


def _tool_name(output: Mapping[str, object], called: Mapping[object, str]) -> str:
    ids = (output.get(key) for key in ("tool_call_id", "tool_use_id", "call_id", "id"))
    return str(output.get("name") or next((called[i] for i in ids if i is not None and i in called), ""))


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
