"""What a persona may decide: order, depth, words and precision. It can never change a fact."""

from __future__ import annotations

from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

Block = Literal[
    "identity",
    "decision",
    "score",
    "drivers",
    "summary",
    "trust",
    "confidence",
    "reproduction",
    "deviation",
    "drift",
    "process",
    "method",
    "budget",
    "variation",
    "limits",
    "next",
]
Chart = Literal[
    "drivers", "margin", "heatmap", "tokens", "sentences", "answer", "prompt", "layers", "heads", "drift", "timeline"
]
Word = Literal["case", "cases", "score", "limit", "answer", "person", "model", "inputs", "reasons", "weight"]
BLOCKS: tuple[str, ...] = get_args(Block)
CHARTS: tuple[str, ...] = get_args(Chart)
VOCABULARY: tuple[str, ...] = get_args(Word)

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Plain = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z -]{0,39}$")]


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class SectionPlan(_Frozen):
    """One section: its title and the blocks that fill it, in order."""

    id: Name
    title: Short
    blocks: tuple[Block, ...] = Field(min_length=1)


class Limits(_Frozen):
    """How many drivers for and against, flagged features and report pages (None: as many as needed) a reader gets."""

    max_for: int = Field(default=4, ge=1, le=60)
    max_against: int = Field(default=4, ge=1, le=60)
    max_image: int = Field(default=4, ge=1, le=60)
    """Areas of an image named in all, for and against together; the heat map shows the rest."""
    max_listed: int = Field(default=4, ge=1, le=60)
    pages: int | None = Field(default=None, ge=1)


class Precision(_Frozen):
    """Digits: decimals of a percentage, and significant digits of a number whose card asks for no decimals."""

    percent: int = Field(default=0, ge=0, le=6)
    significant: int = Field(default=3, ge=1, le=12)


class Persona(_Frozen):
    """A reader.

    voice: which wording of a frame is used, `plain` (no terms of the trade), `sober` (complete, for the record) or
    `technical`. required: claim ids or patterns (`*` for any part) that the narrative must cite when the ledger has
    them, or say that they are missing. vocabulary: other words for a few nouns (`case = "application"`). avoid: words
    that must not stand in the text. tools: must have run. reading_grade: highest Flesch-Kincaid grade.
    checklist, appendix, code: whether the report adds the legal checklist, the tables and the code to reproduce it.
    """

    schema_: Literal["xagent.persona/1"] = Field(alias="schema")
    name: Name
    title: Short
    reader: Short
    language: Literal["en"] = "en"
    voice: Literal["plain", "sober", "technical"]
    sections: tuple[SectionPlan, ...] = Field(min_length=1)
    limits: Limits = Limits()
    precision: Precision = Precision()
    vocabulary: dict[Word, Plain] = Field(default_factory=dict)
    avoid: tuple[Short, ...] = ()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Name, ...] = ()
    tools: tuple[Name, ...] = ()
    required: tuple[Short, ...] = ()
    reading_grade: float | None = Field(default=None, gt=0, le=30)
    checklist: bool = False
    appendix: bool = False
    code: bool = False

    @model_validator(mode="after")
    def _whole(self) -> Persona:
        ids = [section.id for section in self.sections]
        if len(set(ids)) != len(ids):
            raise ValueError("two sections have the same id")
        blocks = [block for section in self.sections for block in section.blocks]
        if len(set(blocks)) != len(blocks):
            raise ValueError("a block stands in two sections")
        for needed in ("decision", "drivers", "summary", "trust"):
            if needed not in blocks:
                raise ValueError(f"no section has the block '{needed}', which every reader gets")
        return self

    def public(self) -> dict[str, Any]:
        """The persona as JSON-ready data under its published names."""
        return self.model_dump(mode="json", by_alias=True)
