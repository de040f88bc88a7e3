"""The verifier: a narrative is shown only when this finds nothing. It shares no code with any narrator."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase
from itertools import pairwise

from xagent.evidence import Claim, Finding, Ledger
from xagent.narrative._lexicon import any_of, fold, lexicon
from xagent.narrative._model import Narrative, Problem, Sentence
from xagent.narrative._sentence import Context, check_sentence, check_title
from xagent.narrative._stated import unbound_phrases
from xagent.personas import VOCABULARY, Persona, visible_claims

_COLOURED = frozenset({"hedge", "persuasive", "superlative", "causal", "direction", "comparison", "negation"})
_ANYBODY = frozenset({"", "model", "population", "process", "system", "case"})


def verify(
    narrative: Narrative, ledger: Ledger, persona: Persona, findings: Sequence[Finding] | None = None
) -> list[Problem]:
    """Everything in a narrative that the ledger does not back, or that this reader must be told and is not.

    findings: when given, each of them that is `stop` or `warning` must stand among the warnings.
    Returns an empty list for a narrative that may be shown.
    """
    seen = visible_claims(ledger, persona)
    context = Context(ledger, seen, persona, _subjects(ledger))
    problems = [p for sentence in narrative.sentences() for p in check_sentence(sentence, context)]
    problems += _form(narrative, persona)
    problems += _warnings(narrative, seen, findings)
    problems += _required(narrative, seen, persona)
    if _level(seen) == "do not rely":
        problems += _no_reasons(narrative, persona)
    else:
        problems += _both_sides(narrative, seen, persona)
    return problems


def _subjects(ledger: Ledger) -> frozenset[str]:
    """Whose facts may be told: those of the case's own subject, and of no other."""
    own = ledger.get("case.subject")
    if own is not None:
        return _ANYBODY | {str(own.value), own.subject}
    first = next((ledger[key].subject for key in ("decision.label", "decision.score") if key in ledger), "")
    return _ANYBODY | {first}


def _form(narrative: Narrative, persona: Persona) -> Iterator[Problem]:
    if (narrative.persona, narrative.language) != (persona.name, persona.language):
        yield _whole("persona", "The narrative was written for another reader.", "Compose it for this persona.")
    for sentence in narrative.sentences():
        if sentence.author == "llm" and not persona.redaction.wording:
            message = "A language model worded it, and this reader gets no such sentence."
            yield Problem(kind="persona", sentence=sentence.id, message=message, mend="Use the template's wording.")
    ids = [sentence.id for sentence in narrative.sentences()]
    for twice in sorted({key for key in ids if ids.count(key) > 1}):
        yield _whole("frame", f"Two sentences are called {twice!r}.", "Give each sentence an id of its own.", twice)
    plan = [(section.id, section.title) for section in persona.sections]
    places = [plan.index(s) if (s := (section.id, section.title)) in plan else -1 for section in narrative.sections]
    if -1 in places or places != sorted(set(places)):
        yield _whole("section", "The sections are not those of the persona, in its order.", "Follow the persona.")
    for title in (section.title for section in narrative.sections):
        for word in check_title(title, persona.language):
            yield _whole("title", f"The title {title!r} says {word!r}.", "Use a neutral title without figures.")
    data = lexicon(persona.language)
    for word, own in persona.vocabulary.items():
        if any(pattern.search(own) for _, pattern in data.refused):
            yield _whole("vocabulary", f"The persona's word {own!r} is not neutral.", "Choose a plain noun.")
        others = any_of({*VOCABULARY, *data.roles} - {word})
        if fold(own) != fold(word) and others.search(own):
            yield _whole("vocabulary", f"The persona's word {own!r} already means something else.", "Choose another.")
    for own in persona.aliases.values():
        coloured = any(pattern.search(own) for kind, pattern in data.refused if kind in _COLOURED)
        if coloured or any(unbound_phrases(own, persona.language)):
            yield _whole("vocabulary", f"The persona's alias {own!r} is not neutral.", "Name the input, no more.")
    for figure in narrative.figures:
        if figure.id not in persona.charts:
            yield _whole("section", f"The chart {figure.id!r} is not for this reader.", "Follow the persona.")


def _warnings(narrative: Narrative, seen: Ledger, findings: Sequence[Finding] | None) -> Iterator[Problem]:
    order = [text.severity for text in narrative.warnings]
    if order != sorted(order, key=("stop", "warning", "notice").index) or "notice" in order:
        yield _whole("warning", "The warnings are not in order.", "Put `stop` first, then `warning`; notices go below.")
    told = {text.finding: text for text in narrative.warnings}
    listed = told | {text.finding: text for text in narrative.findings}
    for finding in findings or ():
        text = (told if finding.severity != "notice" else listed).get(finding.id)
        if text is None:
            yield _whole("warning", f"The finding {finding.id!r} is not told.", "Tell every finding.", finding.id)
        elif text.severity != finding.severity:
            yield _whole("warning", f"The finding {finding.id!r} is told as {text.severity!r}.", "Keep its severity.")
        elif not _about(text.sentence, finding, seen):
            yield _whole("warning", f"The words for {finding.id!r} cite none of its evidence.", "Cite it.", finding.id)
    if findings is not None:
        for extra in sorted(set(listed) - {finding.id for finding in findings}):
            yield _whole("warning", f"There is no finding {extra!r}.", "Tell only what was found.", extra)
    for key, value, kind in (
        ("trust.level", "do not rely", "trust."),
        ("reproduction.state", "deviation", "reproduction."),
    ):
        claim = seen.get(key)
        if claim is not None and claim.value == value and not any(finding.startswith(kind) for finding in told):
            yield _whole("warning", f"{key} is {value!r}, and no warning says so.", "Put that warning first.", key)


def _about(sentence: Sentence, finding: Finding, seen: Ledger) -> bool:
    cited = _cited([sentence])
    rooms = {key.split(".")[0] for key in (finding.id, *finding.claims.values())}
    known = any(key in seen for key in finding.claims.values())
    return (
        not known
        or bool(cited & set(finding.claims.values()))
        or any(key.split(".")[0] in rooms for key in cited)
        or (bool(sentence.assertions) and all(a.kind == "standing" for a in sentence.assertions))
    )


def _required(narrative: Narrative, seen: Ledger, persona: Persona) -> Iterator[Problem]:
    alts = {figure.alt.id for figure in narrative.figures}  # what a chart shows is not what the reader is told
    cited = _cited(sentence for sentence in narrative.sentences() if sentence.id not in alts)
    absent = {rule.claim for rules in lexicon(persona.language).states.values() for rule in rules if rule.absent}
    for pattern in persona.required:
        known = any(fnmatchcase(key, pattern) for key in seen)
        wanted = known or (pattern in absent and pattern != "decision.threshold")
        if wanted and not any(fnmatchcase(key, pattern) for key in cited):
            message = f"The reader must be told {pattern!r}" + ("." if known else ", or that it is missing.")
            yield _whole("required", message, "Add the sentence that cites it.", pattern)


def _no_reasons(narrative: Narrative, persona: Persona) -> Iterator[Problem]:
    for sentence in narrative.sentences():
        if any(assertion.kind == "direction" for assertion in sentence.assertions):
            yield Problem(
                kind="do-not-rely", sentence=sentence.id,
                message="The explanation failed its tests, and an input is given as a reason.",
                mend="Say that no reasons are given, and hand over to a person.",
            )  # fmt: skip
    phrases = {fold(a.word) for sentence in narrative.sentences() for a in sentence.assertions if a.kind == "standing"}
    if not phrases & lexicon(persona.language).handover:
        yield _whole("do-not-rely", "The case is not handed over to a person.", "Add that sentence.")


def _both_sides(narrative: Narrative, seen: Ledger, persona: Persona) -> Iterator[Problem]:
    """The drivers told are the first of each side, in the order of their rank, and neither side is left out."""
    ranked = _drivers(seen)
    yield from _ledger_order(ranked, seen)
    told: dict[int, list[str]] = {1: [], -1: []}
    for section in narrative.sections:
        for sentence in section.sentences:
            for key in (k for a in sentence.assertions if a.kind == "direction" for k in a.claims):
                match = re.fullmatch(r"(relevance\.driver\.\d+)\.effect", key)
                if match and key in seen:
                    told[_side(seen[key])].append(match[1]) if _side(seen[key]) else None
    cited = _cited(s for section in narrative.sections for s in section.sentences)
    ranked_sides = {s: [d for d in ranked if _side(seen[f"{d}.effect"]) == s] for s in (1, -1)}
    for side, limit, name in ((1, persona.limits.max_for, "for"), (-1, persona.limits.max_against, "against")):
        there = ranked_sides[side]
        if told[side] != there[: len(told[side])]:
            yield _whole("order", f"The inputs {name} the outcome are not told in the order of their rank.", "Reorder.")
        if len(told[side]) > limit:
            yield _whole("limit", f"More than {limit} inputs {name} the outcome are told.", "Leave the last ones out.")
        picture = bool(there) and re.fullmatch(r"cell\.\d+\.\d+", seen[f"{there[0]}.name"].feature or "")
        least = min(limit, len(there))
        if picture:  # so many areas in all, half of them for each side; what one side lacks, the other may have
            few = persona.limits.max_image
            least = min(least, max(few // 2 if side < 0 else few - few // 2, few - len(ranked_sides[-side])))
        if len(told[side]) < least:
            yield _whole("two-sides", f"An input {name} the outcome is left out.", "Tell the first of them.", there[0])
        if f"relevance.{name}.count" in seen and f"relevance.{name}.count" not in cited:
            yield _whole(
                "two-sides", f"How many inputs spoke {name} the outcome is not said.", "Say it, or that none did."
            )


def _drivers(seen: Ledger) -> list[str]:
    found = [key.removesuffix(".rank") for key in seen if re.fullmatch(r"relevance\.driver\.\d+\.rank", key)]
    whole = [driver for driver in found if {f"{driver}.effect", f"{driver}.name"} <= set(seen)]
    return sorted(whole, key=lambda driver: _number(seen[f"{driver}.rank"]))


def _ledger_order(ranked: list[str], seen: Ledger) -> Iterator[Problem]:
    sizes = [abs(_number(seen[f"{driver}.effect"])) for driver in ranked]
    if any(a < b for a, b in pairwise(sizes)):
        yield _whole(
            "ledger", "The ranks of the inputs do not follow the size of their effects.", "Build the ledger anew."
        )


def _cited(sentences: Sequence[Sentence] | Iterator[Sentence]) -> set[str]:
    found: set[str] = set()
    for sentence in sentences:
        found |= {token.claim for token in sentence.tokens}
        found |= {key for assertion in sentence.assertions for key in assertion.claims}
    return found


def _level(seen: Ledger) -> str | None:
    claim = seen.get("trust.level")
    return None if claim is None else str(claim.value)


def _side(claim: Claim) -> int:
    value = _number(claim)
    return claim.sign if claim.sign is not None else (value > 0) - (value < 0)


def _number(claim: Claim) -> float:
    return float(claim.value) if isinstance(claim.value, int | float) else 0.0


def _whole(kind: str, message: str, mend: str, token: str | None = None) -> Problem:
    return Problem(kind=kind, token=token, message=message, mend=mend)
