"""Prose that somebody else wrote, against a ledger: what is supported, contradicted, or nowhere said.

By rules alone, without a model. Figures, names and words are found in any sentence and compared with claims of the
right input, unit and scale. It is weaker than the verifier of narratives, which knows where every fact stands: what no
rule recognises is not a statement, so a text without complaints is not thereby true.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

from xagent.evidence import Ledger
from xagent.narrative._free_text_bands import sizes
from xagent.narrative._free_text_data import Prose, Statement, prose
from xagent.narrative._free_text_figures import plain
from xagent.narrative._free_text_marks import Names, marks, names_of
from xagent.narrative._free_text_names import categories, classes, identities
from xagent.narrative._free_text_scope import Line, drivers
from xagent.narrative._free_text_values import figures_of
from xagent.narrative._free_text_words import certainty, comparisons, directions, orders, populations, states
from xagent.narrative._lexicon import fold
from xagent.personas import Persona, visible_claims

MOST_CHARACTERS = 200_000
_ANYBODY = ("", "model", "population", "process", "system", "case")
_RULES = (
    directions,
    orders,
    comparisons,
    populations,
    states,
    classes,
    categories,
    identities,
    figures_of,
    sizes,
    certainty,
)


def verify_text(
    free_text: str, ledger: Ledger, persona: Persona | None = None, *, aliases: Mapping[str, str] | None = None
) -> list[Statement]:
    """Every statement that the rules find in a text, in the order of its sentences, each with what the ledger says.

    persona: whose visible claims count, and whose language is read (default: all claims, English). aliases: other names
    of inputs, by feature. At most 200,000 characters are read; a longer text raises ValueError. An input that is left
    out although a weaker one of its side is told is a statement of kind `omission`.
    """
    if len(free_text) > MOST_CHARACTERS:
        raise ValueError(f"the text has more than {MOST_CHARACTERS} characters")
    seen = visible_claims(ledger, persona) if persona else ledger
    own = {str(c.value) for c in (seen.get("case.subject"),) if c} | {
        c.subject for c in (seen.get("decision.score"),) if c
    }
    seen = Ledger(c for c in seen.values() if c.subject in _ANYBODY or c.subject in own or not own)
    data = prose(persona.language if persona else "en")
    names = names_of(seen, {**(persona.aliases if persona else {}), **(aliases or {})})
    found: list[Statement] = []
    lines: list[Line] = []
    for number, sentence in enumerate(sentences(free_text)):
        line = _line(number, sentence, seen, names, data, lines[-1] if lines else None)
        lines.append(line)
        for rule in _RULES:
            found += rule(line)
    found += _omissions(lines, found, seen)
    return found


def sentences(text: str) -> list[str]:
    """The sentences of a text, made plain. A point inside a number or a quotation ends none."""
    found: list[str] = []
    for part in re.split(r"[\n\r]+", text):
        whole, start = plain(part), 0
        for match in re.finditer(r"[.!?](?=\s+[“\"(]?[A-Z0-9]|\s*$)", whole):
            inside = whole[start : match.start()]
            if inside.count("“") > inside.count("”"):
                continue
            if re.search(r"\b(?:e\.g|i\.e|no|vs|approx)$", inside, re.IGNORECASE):
                continue
            found.append(whole[start : match.end()].strip())
            start = match.end()
        found.append(whole[start:].strip())
    return [sentence for sentence in found if re.search(r"\w", sentence)]


def _line(number: int, sentence: str, seen: Ledger, names: Names, data: Prose, last: Line | None) -> Line:
    found, rest = marks(sentence, seen, names, data)
    first = re.match(r"[\W_]*(\w+)", sentence)
    goes_on = bool(first and fold(first[1]) in data.pronouns)
    inherited = None
    if goes_on and last is not None:
        told = [mark.key for mark in last.of("feature")]
        inherited = told[-1] if told else last.inherited
    return Line(number, sentence, rest, found, inherited, data, seen)


def _omissions(lines: list[Line], found: list[Statement], seen: Ledger) -> Iterator[Statement]:
    """An input that outweighs one that is told, on the same side, and is nowhere named; or a side left out whole."""
    named = {mark.key for line in lines for mark in line.of("feature")}
    signed = {i for statement in found if statement.kind == "sign" for i in statement.claims}
    table = list(drivers(seen))
    told = {f: s for r, f, s in table if any(seen[i].feature == f for i in signed)}
    if not told:
        return
    last = lines[-1].number
    for side, word in ((1, "for"), (-1, "against")):
        own = [feature for _, feature, s in table if s == side]
        places = [own.index(f) for f, s in told.items() if s == side]
        for feature in own[: max(places, default=0)]:
            if feature not in named:
                yield Statement(
                    kind="omission", status="unverifiable", text=feature, sentence=last,
                    why=f"An input {word} the outcome that weighs less is told, and this one is not.",
                )  # fmt: skip
        counted = any(f"relevance.{word}.count" in s.claims for s in found)
        if own and not places and not counted:
            yield Statement(
                kind="omission", status="unverifiable", text=own[0], sentence=last,
                why=f"Nothing is told of what stands {word} the outcome.",
            )  # fmt: skip
