"""What a language model is asked to word: sentences taken apart, and the only words and claims it may use."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from functools import cache
from importlib.resources import files
from typing import Any

from xagent.evidence import Ledger
from xagent.narrative._lexicon import Lexicon, fold, lexicon
from xagent.narrative._model import Narrative, Sentence
from xagent.personas import Persona

Json = dict[str, Any]
Describe = Callable[[Iterable[str], Ledger, Persona], list[Json]]
"""What is told about claims: in agent/llm, where redaction lives."""
STATING = ("direction", "comparison", "order", "causal", "state", "standing")
KINDS = ("words", "claim", *STATING)
MOST_PARTS = 40
LONGEST_PART = 300
BATCH = 10
"""Sentences in one question; the answer to more of them would not fit into what small models write."""

_TOKEN = re.compile(r"⟦([^⟦⟧|]+)\|([^⟦⟧|]+)⟧")


@dataclass(frozen=True)
class Task:
    """One sentence to word: the template's own, taken apart."""

    section: str
    sentence: Sentence
    parts: tuple[Json, ...]

    @property
    def claims(self) -> set[str]:
        """Claims that the wording must cite."""
        return {key for part in self.parts for key in part["claims"]}


def tasks_of(narrative: Narrative, persona: Persona) -> list[Task]:
    """The sentences that may be worded anew, in reading order: those of the sections that print a claim.

    Warnings, notices and descriptions of charts stay as the template has them, and so do sentences made of registered
    phrases alone and those that cite what the persona's redaction hides.
    """
    found = [
        Task(section.id, sentence, taken_apart(sentence))
        for section in narrative.sections
        for sentence in section.sentences
        if sentence.tokens and re.search(r"\w", _rest(sentence))
    ]
    return [task for task in found if all(persona.given_to_llm(key) != "nothing" for key in task.claims)]


def _rest(sentence: Sentence) -> str:
    return " ".join(part["text"] for part in taken_apart(sentence) if part["kind"] == "words")


def taken_apart(sentence: Sentence) -> tuple[Json, ...]:
    """The frame of a sentence as parts: words, claims, and words that state something."""
    masked = _TOKEN.sub(lambda token: "\ufffc" * len(token[0]), sentence.frame)
    spots: list[tuple[int, int, Json]] = [
        (token.start(), token.end(), _part("claim", "", [token[1]])) for token in _TOKEN.finditer(sentence.frame)
    ]
    end = 0
    for assertion in sentence.assertions:
        start = masked.find(assertion.word, end)
        if start < 0:
            continue
        end = start + len(assertion.word)
        spots.append((start, end, _part(assertion.kind, assertion.word, list(assertion.claims))))
    parts: list[Json] = []
    end = 0
    for start, stop, part in sorted(spots, key=lambda spot: spot[0]):
        if sentence.frame[end:start].strip():
            parts.append(_part("words", sentence.frame[end:start].strip(), []))
        parts.append(part)
        end = stop
    if sentence.frame[end:].strip():
        parts.append(_part("words", sentence.frame[end:].strip(), []))
    return tuple(parts)


def _part(kind: str, text: str, claims: list[str]) -> Json:
    return {"kind": kind, "text": text, "claims": claims}


def may_cite(task: Task, ledger: Ledger) -> set[str]:
    """Claims that the wording of a sentence may cite: those it must, and the rank of the inputs it is about."""
    stems = {match[0] for key in task.claims if (match := re.match(r"relevance\.driver\.\d+", key))}
    return task.claims | {f"{stem}.rank" for stem in stems if f"{stem}.rank" in ledger}


@cache
def plain_words(language: str) -> frozenset[str]:
    """Words that may stand in any sentence; none of a language without a list."""
    path = files("xagent.narrative").joinpath(f"llm.{language}.toml")
    return (
        frozenset(tomllib.loads(path.read_text(encoding="utf-8"))["plain"].split()) if path.is_file() else frozenset()
    )


def own_words(task: Task, ledger: Ledger, persona: Persona) -> frozenset[str]:
    """Words that may stand in this sentence: plain ones, those of its fixed wording, those that introduce its claims.

    The vocabulary of the verifier is wider, because templates say more: with all of it a sentence about one fact could
    say in passing that something else happened.
    """
    data = lexicon(persona.language)
    phrases = [part["text"] for part in task.parts if part["kind"] == "words"]
    phrases += [phrase for key in may_cite(task, ledger) for phrase in _introductions(key, data)]
    return plain_words(persona.language) | {word for phrase in phrases for word in words_of(phrase)}


def words_of(text: str) -> list[str]:
    """The words of a text, as the verifier parts them."""
    return [fold(word) for word in re.findall(r"[^\s.,;:()“”„!?/-]+", text)]


def brief(tasks: Sequence[Task], ledger: Ledger, persona: Persona, describe: Describe) -> Json:
    """The data of the question. describe decides what is told about a claim."""
    data = lexicon(persona.language)
    cited = sorted({key for task in tasks for key in may_cite(task, ledger)})
    told = describe(cited, ledger, persona)
    for entry in told:
        introduced = _introductions(entry["id"], data)
        if introduced:
            entry["introduced_by"] = introduced
    return {
        "reader": {
            "title": persona.title,
            "who": persona.reader,
            "voice": persona.voice,
            "language": persona.language,
            "avoid": list(persona.avoid),
            "reading_grade": persona.reading_grade,
        },
        "sentences": [
            {"id": task.sentence.id, "section": task.section, "parts": list(task.parts)} for task in tasks
        ],
        "claims": told,
        "words": {
            "plain": sorted(plain_words(persona.language)),
            **{kind: _by_meaning(data.asserting[kind]) for kind in ("direction", "comparison", "order")},
        },
    }  # fmt: skip


def _by_meaning(words: dict[str, str]) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for word, meaning in sorted(words.items()):
        found.setdefault(meaning, []).append(word)
    return found


def _introductions(claim: str, data: Lexicon) -> list[str]:
    return sorted(
        phrase for phrase, patterns in data.roles.items() if any(fnmatchcase(claim, pattern) for pattern in patterns)
    )


def answer_schema(tasks: Sequence[Task], ledger: Ledger) -> Json:
    """JSON Schema of the answer: ids of sentences and of claims are those of this run and no others."""
    claims = sorted({key for task in tasks for key in may_cite(task, ledger)})
    part = _object(
        kind={"type": "string", "enum": list(KINDS)},
        text={"type": "string", "maxLength": LONGEST_PART},
        claims={"type": "array", "maxItems": 8, "items": {"type": "string", "enum": claims}},
    )
    sentence = _object(
        id={"type": "string", "enum": [task.sentence.id for task in tasks]},
        parts={"type": "array", "minItems": 1, "maxItems": MOST_PARTS, "items": part},
    )
    return _object(sentences={"type": "array", "maxItems": len(tasks), "items": sentence})


def _object(**properties: Json) -> Json:
    return {
        "type": "object",
        "properties": properties,
        "required": list(properties),
        "additionalProperties": False,
    }  # fmt: skip
