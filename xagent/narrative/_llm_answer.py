"""From what a language model wrote to sentences, or to the problems it is shown."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from xagent.evidence import Ledger
from xagent.narrative._frame import fill
from xagent.narrative._lexicon import lexicon
from xagent.narrative._llm_brief import KINDS, LONGEST_PART, MOST_PARTS, Task, may_cite, own_words, words_of
from xagent.narrative._model import Problem, Sentence
from xagent.personas import Persona

MAX_CHARACTERS = 400_000
_MARKUP = set("⟦⟧⟪⟫⟨⟩{}|\ufffc\x1f")
_CLOSES = ").,;:!?"


class Part(BaseModel):
    """One part of a sentence as a model writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    kind: str
    text: str = Field(default="", max_length=LONGEST_PART)
    claims: list[str] = Field(default_factory=list, max_length=8)


class Wording(BaseModel):
    """One sentence as a model writes it."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    id: str
    parts: list[Part] = Field(min_length=1, max_length=MOST_PARTS)


def read_wordings(
    text: str, tasks: Sequence[Task], known: frozenset[str] = frozenset()
) -> tuple[dict[str, Wording], list[Problem]]:
    """The wordings in an answer by sentence id, and what is wrong with the rest of it.

    The outermost object is taken, whatever stands around it, such as a fence or a remark. known: sentences of the
    narrative; those that this question did not ask for are passed over.
    """
    data, wrong = _outermost(text)
    if data is None:
        return {}, [_whole(wrong)]
    items = data.get("sentences")
    if not isinstance(items, list):
        return {}, [_whole("The object has no list 'sentences'.")]
    asked = {task.sentence.id for task in tasks}
    found: dict[str, Wording] = {}
    problems: list[Problem] = []
    for item in items[: 4 * len(tasks) + 4]:
        name = item.get("id") if isinstance(item, dict) else None
        place = name if isinstance(name, str) and name in asked else ""
        if not place and name in known:
            continue
        try:
            wording = Wording.model_validate(item)
        except ValidationError as error:
            first = error.errors(include_url=False, include_context=False, include_input=False)[0]
            at = ".".join(str(part) for part in first["loc"]) or "the whole"
            problems.append(_form(place, None, f"{at}: {first['msg']}.", "Follow the schema."))
            continue
        if not place:
            problems.append(_form("", str(name)[:80], "No such sentence was asked for.", "Leave it out."))
        elif wording.id in found:
            problems.append(_form(place, None, "The sentence is given twice.", "Give it once."))
        else:
            found[wording.id] = wording
    return found, problems


def _outermost(text: str) -> tuple[dict[str, Any] | None, str]:
    if not text.strip():
        return None, "The answer is empty."
    if len(text) > MAX_CHARACTERS:
        return None, "The answer is too long."
    start = text.find("{")
    if start < 0:
        return None, "The answer holds no JSON object."
    try:
        data, _ = json.JSONDecoder(strict=False).raw_decode(text[start:])
    except (ValueError, RecursionError):
        return None, "The JSON of the answer is broken or cut off."
    return (data, "") if isinstance(data, dict) else (None, "The answer is not a JSON object.")


def compiled(wording: Wording, task: Task, ledger: Ledger, persona: Persona) -> Sentence | list[Problem]:
    """The sentence that a wording makes, or why it makes none. Nothing here judges whether it is true."""
    problems = [*_misfits(wording, task, ledger), *_strange_words(wording, task, ledger, persona)]
    if problems:
        return problems
    quotes = lexicon(persona.language).format.quotes
    policies: dict[str, list[str]] = {}
    for token in task.sentence.tokens:
        policies.setdefault(token.claim, []).append(token.policy)
    source = ""
    for part in wording.parts:
        piece = _source(part, policies, quotes, first=not source)
        source = _joined(source, piece, part, quotes)
    source = source if source.endswith((".", "?")) else f"{source}."
    made = fill(task.sentence.id, source, ledger, persona)
    if made is None:
        mend = "Keep the parts of the fixed wording together."
        return [_form(task.sentence.id, None, "A claim that the sentence needs is missing or does not fit.", mend)]
    longest = 2 * len(task.sentence.text) + 60
    if len(made.text) > longest:
        return [_form(made.id, None, "The sentence is too long.", "Say the same in fewer words.")]
    return made.model_copy(update={"author": "llm"})


def _misfits(wording: Wording, task: Task, ledger: Ledger) -> list[Problem]:
    """What the wording drops or adds, or how its parts are malformed."""
    ident, found = wording.id, []
    allowed = may_cite(task, ledger)
    for part in wording.parts:
        if part.kind not in KINDS:
            found.append(_form(ident, part.kind[:40], "There is no such kind of part.", f"Use {', '.join(KINDS)}."))
            continue
        strange = [key for key in part.claims if key not in allowed]
        if strange:
            message = "This claim is not among those of the sentence."
            found.append(
                _problem("unknown-claim", ident, strange[0][:120], message, "Cite the claims of the sentence.")
            )
        if part.kind == "words" and part.claims:
            found.append(_form(ident, None, "Plain words are bound to claims.", "Give such words the kind they have."))
        if part.kind == "claim" and (len(part.claims) != 1 or part.text.strip()):
            found.append(
                _form(ident, None, "A part of kind 'claim' holds one claim and no text.", "Leave the text empty.")
            )
        if part.kind != "claim" and not part.text.strip():
            found.append(_form(ident, None, f"A part of kind {part.kind!r} has no text.", "Leave it out."))
        if set(part.text) & _MARKUP:
            found.append(_form(ident, None, "The text holds brackets of the notation.", "Write plain words."))
    cited = {key for part in wording.parts for key in part.claims}
    for key in sorted(task.claims - cited):
        found.append(_problem("required", ident, key, "The sentence no longer says this.", "Keep every claim."))
    for kind in ("direction", "comparison", "causal", "state", "standing"):
        before, after = _said(task.parts, kind), _said([part.model_dump() for part in wording.parts], kind)
        if before - after:
            found.append(_problem("required", ident, kind, f"A part of kind {kind!r} was left out.", "Keep that part."))
        if after - before:
            message = f"A part of kind {kind!r} states more than the fixed wording."
            found.append(_problem("assertion", ident, kind, message, "State what the fixed wording states."))
    return found


def _strange_words(wording: Wording, task: Task, ledger: Ledger, persona: Persona) -> list[Problem]:
    """Words that the verifier knows and this sentence has no use for; what it does not know it will name itself."""
    allowed, known = own_words(task, ledger, persona), lexicon(persona.language).vocabulary
    used = [word for part in wording.parts if part.kind == "words" for word in words_of(part.text)]
    mend = "Use words of the fixed wording, of 'introduced_by' or of 'plain'."
    return [
        _problem("unknown-word", wording.id, word, f"{word!r} says more than this sentence is about.", mend)
        for word in sorted({word for word in used if word in known and word not in allowed})
    ]


def _said(parts: Sequence[Mapping[str, Any]], kind: str) -> set[tuple[str, ...]]:
    """What is stated: about which claims; of registered phrases, the phrase itself."""
    return {
        (*part["claims"], *([" ".join(part["text"].split()).casefold()] if kind in ("state", "standing") else []))
        for part in parts
        if part["kind"] == kind
    }  # fmt: skip


def _source(part: Part, policies: dict[str, list[str]], quotes: str, *, first: bool) -> str:
    if part.kind == "claim":
        key = part.claims[0]
        waiting = policies.get(key)
        policy = waiting[0] if waiting else None
        if waiting and len(waiting) > 1:
            waiting.pop(0)
        if policy in ("name", "opening"):
            policy = "opening" if first and key.endswith((".name", ".label")) else "name"
        return f"⟦{key}|{policy}⟧" if policy else f"⟦{key}⟧"
    text = _quoted(" ".join(part.text.split()), quotes)
    if first:
        text = text[:1].upper() + text[1:]
    return text if part.kind == "words" else f"⟪{part.kind}|{','.join(part.claims)}|{text}⟫"


def _quoted(text: str, quotes: str) -> str:
    """Typewriter quotation marks as those of the language, opening and closing by what stands before them."""
    text = re.sub(r'(?<![^\s(])"(?=\w|$)', quotes[0], text)
    return text.replace('"', quotes[-1])


def _joined(before: str, piece: str, part: Part, quotes: str) -> str:
    if not before:
        return piece
    tight = before[-1] in (quotes[0], "(") or (part.kind == "words" and piece[0] in _CLOSES + quotes[-1])
    return before + piece if tight else f"{before} {piece}"


def _whole(message: str) -> Problem:
    return _form("", None, message, 'Answer with one object {"sentences": [...]} and nothing else.')


def _form(sentence: str, token: str | None, message: str, mend: str) -> Problem:
    return _problem("frame", sentence, token, message, mend)


def _problem(kind: str, sentence: str, token: str | None, message: str, mend: str) -> Problem:
    return Problem(kind=kind, sentence=sentence, token=token, message=message, mend=mend)
