"""`xagent personas`: who a report can be written for, and what each of them gets to see."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from textwrap import wrap

from xagent.personas import Persona, load_persona, persona_names, persona_source
from xagent.settings import Settings

WIDTH = 110
"""Characters of a line of `show`."""


def listed(settings: Settings) -> Iterator[str]:
    """A line a reader; personas of the user's own folder after the built-in ones."""
    for name in persona_names(settings.personas):
        yield f"{name:16} {load_persona(name, folder=settings.personas).reader}"


def shown(name: str, settings: Settings, language: str | None = None) -> Iterator[str]:
    """What a persona gets, in which order, its limits and obligations, what is withheld, and where it comes from."""
    persona = load_persona(name, language, settings.personas)
    yield f"{persona.name}: {persona.title}. {persona.reader}."
    yield f"source: {_source(persona_source(name, settings.personas))}; language: {persona.language}"
    yield ""
    yield "Sections, in order"
    width = max(len(section.title) for section in persona.sections)
    for section in persona.sections:
        yield f"  {section.title:{width}}  {', '.join(section.blocks)}"
    yield ""
    for label, text in _facts(persona):
        yield from wrap(text, WIDTH, initial_indent=f"{label + ':':24}", subsequent_indent=" " * 24)


def _source(path: Path | None) -> str:
    return "built in" if path is None else str(path)


def _facts(persona: Persona) -> Iterator[tuple[str, str]]:
    limits, precision = persona.limits, persona.precision
    pages = f", {limits.pages} pages" if limits.pages else ""
    yield (
        "wording",
        persona.voice + (f", reading grade at most {persona.reading_grade:g}" if persona.reading_grade else ""),
    )
    yield "reasons", f"at most {limits.max_for} for and {limits.max_against} against; of an image {limits.max_image}"
    yield "length", f"at most {limits.max_listed} items of a list{pages}"
    yield "figures", f"{precision.percent} decimals of a percentage, {precision.significant} significant digits"
    for pattern, policy in precision.policies.items():
        yield "  printed otherwise", f"{pattern} as {policy}"
    yield "charts", _joined(persona.charts)
    yield "tables", _joined(persona.tables)
    yield "adds", _joined(tuple(_added(persona)))
    for label, words in (("called otherwise", persona.vocabulary), ("inputs called", persona.aliases)):
        if words:
            yield label, ", ".join(f"{word} = {own}" for word, own in words.items())
    yield "never says", _joined(persona.avoid)
    yield "must have run", _joined(persona.tools)
    yield "must be told", _joined(persona.required)
    yield from _withheld(persona)


def _added(persona: Persona) -> Iterator[str]:
    if persona.checklist_name:
        yield f"checklist {persona.checklist_name!r}" + (" with room to sign" if persona.signoff else "")
    if persona.appendix:
        yield "appendix of evidence"
    if persona.code:
        yield "code to repeat the run"


def _withheld(persona: Persona) -> Iterator[tuple[str, str]]:
    rules, model = persona.disclosure, persona.redaction
    yield "withheld", _joined(rules.withhold)
    if rules.show:
        yield "  but shown", _joined(rules.show)
    yield "backs words only", _joined(rules.unprinted)
    sensitive = {"show": "shown as others are", "name": "named with their weight; their values are withheld"}
    yield "sensitive inputs", sensitive[rules.sensitive]
    if not model.wording:
        yield "a language model", "words nothing for this reader"
        return
    yield "a language model", "may word sentences; it gets id, kind, label, direction, rank and band of a claim"
    yield "  values it gets", _joined(model.values) + (", raw inputs among them" if model.inputs else "")
    yield "  is not told of", _joined(model.hide)


def _joined(words: tuple[str, ...]) -> str:
    return ", ".join(words) or "none"
