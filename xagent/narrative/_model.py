"""What a narrative is made of: sentences whose every fact is bound to a claim."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

AssertionKind = Literal["direction", "order", "comparison", "causal", "state", "standing"]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Token(_Frozen):
    """A place where a claim is printed. claim: its id. policy: how, see `render_value`. text: what stands there."""

    claim: str
    policy: str
    text: str


class Assertion(_Frozen):
    """A word that states something about claims, and the claims that must back it.

    direction: `spoke for` rests on the sign of effects. order: `largest` rests on ranks. comparison: `above` rests on a
    comparison, or on two values in the same unit. causal: `moves` rests on a counterfactual's new score. state: a
    registered phrase that holds while a claim has a certain value or is absent. standing: a registered phrase that is
    true of every report.
    word: the words as they stand in the text. Assertions are listed in the order of their words.
    """

    kind: AssertionKind
    claims: tuple[str, ...] = ()
    word: str


class Sentence(_Frozen):
    """frame: text with tokens written `⟦claim|policy⟧`. text: what the reader sees. author: who chose the words;
    `fallback` is the template after a language model's wording failed."""

    id: str
    frame: str
    text: str
    tokens: tuple[Token, ...] = ()
    assertions: tuple[Assertion, ...] = ()
    author: Literal["template", "llm", "fallback"] = "template"


class Section(_Frozen):
    """id and title come from the persona."""

    id: str
    title: str
    sentences: tuple[Sentence, ...]


class Figure(_Frozen):
    """A chart by name (drivers, margin, heatmap, drift, timeline) and the sentence that says what it shows."""

    id: str
    alt: Sentence


class FindingText(_Frozen):
    """A finding, by id, in words."""

    finding: str
    severity: Literal["stop", "warning", "notice"]
    sentence: Sentence


class Narrative(_Frozen):
    """What one reader is told. warnings (stop first) come before the sections; findings are the notices."""

    persona: str
    language: str = "en"
    warnings: tuple[FindingText, ...] = ()
    findings: tuple[FindingText, ...] = ()
    sections: tuple[Section, ...] = ()
    figures: tuple[Figure, ...] = ()

    def sentences(self) -> list[Sentence]:
        """Every sentence in reading order: warnings, sections, notices, figures."""
        return [
            *(w.sentence for w in self.warnings),
            *(s for section in self.sections for s in section.sentences),
            *(f.sentence for f in self.findings),
            *(figure.alt for figure in self.figures),
        ]

    def public(self) -> dict[str, Any]:
        """JSON-ready data; `Narrative.model_validate` reads it back."""
        return self.model_dump(mode="json")


class Problem(_Frozen):
    """Why a narrative must not be shown.

    kind: one of those in docs/verification.md. sentence: its id, or "" for the whole. token: claim or word at fault.
    message: what is wrong. mend: what would put it right.
    """

    kind: str
    sentence: str = ""
    token: str | None = None
    message: str
    mend: str = ""

    def public(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
