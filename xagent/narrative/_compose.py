"""The template narrator: what to say, in which order, to whom. It adds no fact and knows no reader by name."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from fnmatch import fnmatchcase

from xagent.evidence import Claim, Finding, Ledger, slug
from xagent.narrative import _words
from xagent.narrative._frame import fill, sign_of
from xagent.narrative._model import Figure, FindingText, Narrative, Section, Sentence
from xagent.narrative._words import Entry
from xagent.personas import Persona, visible_claims

_SEVERITIES = ("stop", "warning", "notice")


def compose(ledger: Ledger, findings: Sequence[Finding], persona: Persona) -> Narrative:
    """The narrative of a ledger for one reader, from templates alone. Same evidence, same text.

    Warnings come first. Sentences whose claims the ledger lacks are left out, and what is missing is said. When the
    explanation failed its tests (`trust.level` is `do not rely`) no input is given as a reason.
    """
    seen = visible_claims(ledger, persona)
    texts = [_finding(finding, seen, persona) for finding in _by_severity(findings)]
    warnings = tuple(text for text in texts if text.severity != "notice")
    told = {(a.word, a.claims) for w in warnings for a in w.sentence.assertions[:1]}
    sections = []
    for plan in persona.sections:
        sentences = [
            sentence
            for block in plan.blocks
            for sentence in _block(block, seen, persona)
            if not (persona.plain and block != "drivers" and _is_told(sentence, told))
        ]
        if sentences:
            sections.append(Section(id=plan.id, title=plan.title, sentences=tuple(sentences)))
    return Narrative(
        persona=persona.name,
        language=persona.language,
        warnings=warnings,
        findings=tuple(text for text in texts if text.severity == "notice"),
        sections=tuple(sections),
        figures=tuple(_figures(seen, persona)),
    )


def drivers(ledger: Ledger, persona: Persona) -> tuple[list[str], list[str]]:
    """Ids of the drivers (`relevance.driver.3`) that the reader is told about: for the outcome, and against it."""
    found: tuple[list[str], list[str]] = ([], [])
    for n in range(1, 61):
        effect = ledger.get(f"relevance.driver.{n}.effect")
        if effect is None or f"relevance.driver.{n}.name" not in ledger:
            break
        if sign_of(effect):
            found[0 if sign_of(effect) > 0 else 1].append(f"relevance.driver.{n}")
    most_for, most_against = persona.limits.max_for, persona.limits.max_against
    if "image" in flags(ledger):
        few = persona.limits.max_image
        most_against = min(most_against, max(few // 2, few - len(found[0])))
        most_for = min(most_for, few - min(most_against, len(found[1])))
    return found[0][:most_for], found[1][:most_against]


def flags(ledger: Ledger) -> set[str]:
    """What sort of prediction this is: tabular, text, image or answer; value (a regression); reliable or unreliable."""
    first = ledger.get("relevance.driver.1.name")
    feature = first.feature or "" if first else ""
    raw = any(key.startswith("input.") for key in ledger)
    kind = "tabular"
    if not raw and re.fullmatch(r"word\.\d+", feature):
        kind = "text"
    elif not raw and re.fullmatch(r"cell\.\d+\.\d+", feature):
        kind = "image"
    if "answer.text" in ledger:
        kind = "answer"
    found = {kind}
    if "decision.label" not in ledger and kind != "answer":
        found.add("value")
    level = ledger.get("trust.level")
    found.add("unreliable" if level is not None and level.value == "do not rely" else "reliable")
    return found


def _is_told(sentence: Sentence, told: set[tuple[str, tuple[str, ...]]]) -> bool:
    return bool(sentence.assertions) and (sentence.assertions[0].word, sentence.assertions[0].claims) in told


def _block(block: str, ledger: Ledger, persona: Persona) -> Iterator[Sentence]:
    entries = list(_words.blocks(persona.language).get(block, ()))
    weakest = ledger.get("trust.weakest")
    if block == "trust" and weakest is not None:
        entries.sort(key=lambda entry: entry.key is not None and entry.key != weakest.value)
    yield from _entries(block, entries, ledger, persona)
    if block == "drivers" and "reliable" in flags(ledger):
        for driver in (name for side in drivers(ledger, persona) for name in side):
            yield from _entries(driver, _words.blocks(persona.language)["driver"], ledger, persona, {"d": driver})


def _entries(
    prefix: str,
    entries: Sequence[Entry],
    ledger: Ledger,
    persona: Persona,
    names: dict[str, str] | None = None,
) -> Iterator[Sentence]:
    done: set[str] = set()
    for entry in entries:
        if entry.group in done or not all(_holds(condition, ledger, persona) for condition in entry.when):
            continue
        wording = entry.wording(persona.voices)
        if not wording:  # this voice leaves it out, and with it what would stand in its place
            done |= {entry.group} if entry.group else set()
            continue
        if entry.each:
            yield from _for_each(entry, wording, ledger, persona)
            continue
        ident = prefix if entry.id.startswith("driver.") else f"block.{entry.id}"
        sentence = fill(ident, wording, ledger, persona, names)
        if sentence is not None:
            done |= {entry.group} if entry.group else set()
            yield sentence


def _for_each(entry: Entry, wording: str, ledger: Ledger, persona: Persona) -> Iterator[Sentence]:
    assert entry.each
    pattern, _, value = entry.each.partition("=")
    found = [key for key in ledger if fnmatchcase(key, pattern) and value in ("", str(ledger[key].value))]
    for key in found[: persona.limits.max_listed]:
        stem = key.rpartition(".")[0]
        names = {"x": stem, "s": stem.rpartition(".")[2]}
        sentence = fill(f"block.{entry.id}.{names['s']}", wording, ledger, persona, names)
        if sentence is not None:
            yield sentence


def _holds(condition: str, ledger: Ledger, persona: Persona) -> bool:
    if condition.startswith("@chart:"):
        return condition.removeprefix("@chart:") in persona.charts
    if condition.startswith("@"):
        return condition[1:] in flags(ledger)
    if condition.startswith("!"):  # what is kept from this reader is not missing
        return condition[1:] not in ledger and not persona.withholds(condition[1:])
    match = re.fullmatch(r"([^=<>!]+)(?:(!=|=|<|>)(.*))?", condition)
    assert match, condition
    claim = ledger.get(match[1])
    if claim is None:
        return False
    return match[2] is None or _compares(claim, match[2], match[3])


def _compares(claim: Claim, how: str, other: str) -> bool:
    value = claim.value
    if isinstance(value, bool):
        value = "yes" if value else "no"
    if how in ("<", ">"):
        return isinstance(value, int | float) and (value < float(other) if how == "<" else value > float(other))
    if isinstance(value, int | float):
        figure = re.fullmatch(r"-?\d+(\.\d+)?", other)
        return (figure is not None and value == float(other)) == (how == "=")
    return (value == other) == (how == "=")


def _by_severity(findings: Sequence[Finding]) -> list[Finding]:
    return sorted(findings, key=lambda finding: _SEVERITIES.index(finding.severity))


def _finding(finding: Finding, ledger: Ledger, persona: Persona) -> FindingText:
    known = _words.findings(persona.language)
    kind = finding.id if finding.id in known else finding.kind
    ident = f"finding.{finding.id}"
    named = ledger.get(finding.claims.get("name", ""))
    names = {**finding.claims, "s": slug(named.feature) if named and named.feature else "absent"}
    names["t"] = finding.claims.get("tool", "tool.absent.").split(".")[1]
    for entry in (*known.get(kind, ()), *known["other"]):
        if all(_holds(condition.replace("{s}", names["s"]), ledger, persona) for condition in entry.when):
            sentence = fill(ident, entry.wording(persona.voices), ledger, persona, names)
            if sentence is not None:
                return FindingText(finding=finding.id, severity=finding.severity, sentence=sentence)
    raise AssertionError("the last frame needs no claim")


def _figures(ledger: Ledger, persona: Persona) -> Iterator[Figure]:
    for chart in persona.charts:
        for sentence in _entries(f"figure.{chart}", _words.figures(persona.language)[chart], ledger, persona):
            yield Figure(id=chart, alt=sentence.model_copy(update={"id": f"figure.{chart}"}))
