"""What a checklist is: fields that a report must fill, each with the articles that ask for it."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Mark = Literal["primary", "secondary", "own knowledge"]
"""How far an anchor was confirmed: in the legal text or its regulator's page, in commentary only, or not at all."""
Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
Key = Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,47}$")]

ROOTS = ("card.", "case.", "manifest.", "verification.", "persona.", "claim:", "claims:")
"""Where the value of a field may come from; `claims:` is a prefix, a path may hold one `*`."""


class _Data(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Part(_Data):
    """A part of a regime that starts on its own date."""

    part: Text
    since: date


class Regime(_Data):
    """One body of rules. since: first day it applies; a later `until` means it has ended. parts: what starts apart.

    short: how a citation begins. binding: False for guidance and standards.
    """

    id: Key
    name: Text
    short: Text
    binding: bool
    since: date | None = None
    parts: tuple[Part, ...] = ()
    note: Text | None = None


class Superseded(_Data):
    """A document that may no longer be cited. names: the ways it is written. since: the day it was withdrawn."""

    names: tuple[Text, ...] = Field(min_length=1)
    since: date
    note: Text


class Article(_Data):
    """One citation: where in which regime, and how far it was confirmed (see `Mark`)."""

    regime: Key
    cite: Text
    mark: Mark


class Source(_Data):
    """Where one labelled part of a value comes from.

    path: `card.provider.name`, `card.features.*.source`, `case.id`, `manifest.seeds`, `verification.total`,
    `persona.language`, `claim:decision.score` or the prefix `claims:relevance.driver.`.
    needed: the field counts as provided only when this part is there.
    leaves: which claims of each item under a prefix are shown, in order; empty shows all. limit: most items shown.
    """

    path: Text
    label: Text
    needed: bool = False
    leaves: tuple[Text, ...] = ()
    limit: int = Field(default=12, ge=1, le=60)

    @model_validator(mode="after")
    def _known_root(self) -> Source:
        if not self.path.startswith(ROOTS):
            raise ValueError(f"the source {self.path!r} starts with none of {', '.join(ROOTS)}")
        if self.path.startswith("claims:") and not self.path.endswith("."):
            raise ValueError(f"the prefix {self.path!r} must end with a dot")
        if self.path.count("*") > 1:
            raise ValueError(f"the source {self.path!r} holds more than one '*'")
        return self


class LawField(_Data):
    """One thing a reader of this checklist must find in the report.

    mandatory: an anchor in binding law asks for it. not_before: the duty starts on that day, so that before it an
    empty field is not applicable instead of missing.
    """

    id: Annotated[str, StringConstraints(pattern=r"^[A-Z][0-9]{1,2}$")]
    field: Text
    mandatory: bool
    articles: tuple[Article, ...] = Field(min_length=1)
    sources: tuple[Source, ...] = Field(min_length=1)
    not_before: date | None = None


class Checklist(_Data):
    """The fields of one kind of report, with the state of the law they stand for. regimes: those cited, by id."""

    name: Key
    title: Text
    law_as_of: date
    fields: tuple[LawField, ...] = Field(min_length=1)
    regimes: dict[str, Regime] = Field(default_factory=dict)

    @model_validator(mode="after")
    def _fields_differ(self) -> Checklist:
        ids = [field.id for field in self.fields]
        if len(set(ids)) != len(ids):
            raise ValueError("two fields have the same id")
        return self

    def field(self, key: str) -> LawField:
        """The field with this id. Raises KeyError."""
        for field in self.fields:
            if field.id == key:
                return field
        raise KeyError(key)

    def cited(self, field: LawField) -> list[str]:
        """The citations of a field as they are printed; one that does not apply yet says from when it does."""
        return [self._cited(article) for article in field.articles]

    def _cited(self, article: Article) -> str:
        regime = self.regimes[article.regime]
        text = f"{regime.short} {article.cite}"
        if regime.since is not None and regime.since > self.law_as_of:
            return f"{text} (applies from {day(regime.since)})"
        return text


def day(date_: date) -> str:
    """A date as people write it, `2 December 2027`, independent of the machine's language."""
    return f"{date_.day} {_MONTHS[date_.month - 1]} {date_.year}"


_MONTHS = (
    "January", "February", "March", "April", "May", "June",
    "July", "August", "September", "October", "November", "December",
)  # fmt: skip
