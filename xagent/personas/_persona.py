"""What a persona may decide: order, depth, words and precision. It can never change a fact."""

from __future__ import annotations

from fnmatch import fnmatchcase
from typing import Annotated, Any, Literal, get_args

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, model_validator

from xagent.evidence import Claim

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
    "versions",
    "validation",
    "gaps",
    "limits",
    "procedure",
    "contest",
    "signoff",
    "next",
]
Voice = Literal["plain", "personal", "sober", "audit", "technical"]
Chart = Literal[
    "drivers", "margin", "heatmap", "tokens", "sentences", "answer", "prompt", "layers", "heads", "drift", "timeline"
]
Word = Literal["case", "cases", "score", "limit", "answer", "person", "model", "inputs", "reasons", "weight"]
BLOCKS: tuple[str, ...] = get_args(Block)
CHARTS: tuple[str, ...] = get_args(Chart)
VOCABULARY: tuple[str, ...] = get_args(Word)
VOICES: dict[Voice, tuple[Voice, ...]] = {
    "plain": ("plain",),
    "personal": ("personal", "plain"),
    "sober": ("sober",),
    "audit": ("audit", "sober"),
    "technical": ("technical",),
}
"""Each voice with those whose wording it takes when a frame has none of its own."""

Name = Annotated[str, StringConstraints(pattern=r"^[a-z][a-z0-9_]{0,47}$")]
Short = Annotated[str, StringConstraints(min_length=1, max_length=200)]
Plain = Annotated[str, StringConstraints(pattern=r"^[a-zA-Z][a-zA-Z -]{0,39}$")]
Called = Annotated[str, StringConstraints(pattern=r"^[^\W\d_](?:[^\W\d_]|[ ,'’()/-]){0,59}$")]
Pattern = Annotated[str, StringConstraints(pattern=r"^[a-z*][A-Za-z0-9_.*-]{0,99}$")]
Policy = Annotated[
    str, StringConstraints(pattern=r"^(exact|band|date|time|duration|(round|size|signed|sci|percent|points)\([0-6]\))$")
]


def _matches(claim: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(claim, pattern) for pattern in patterns)


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
    """Digits: decimals of a percentage, and significant digits of a number whose card asks for no decimals.

    policies: how claims of a pattern are printed instead (`"*.share" = "band"`), where that fits their kind; the first
    pattern that matches counts, and no sentence may print them otherwise.
    """

    percent: int = Field(default=0, ge=0, le=6)
    significant: int = Field(default=3, ge=1, le=12)
    policies: dict[Pattern, Policy] = Field(default_factory=dict)


class Disclosure(_Frozen):
    """What of the evidence this reader gets. All fields but sensitive are claim ids or patterns (`*` for any part).

    withhold: never in the report, neither printed nor in its JSON; the data of the artifact they come from is left out
    with them. show: exceptions to `withhold`. unprinted: may back words ("spoke for") and are never printed as figures.
    sensitive: of an input that the card marks as sensitive or as standing in for something sensitive, `show` prints
    everything; `name` prints that it counted and how much, and withholds its value, what is typical, and what it
    stands in for. Such an input is never left out of the reasons: that would tell another story.
    """

    withhold: tuple[Pattern, ...] = ()
    show: tuple[Pattern, ...] = ()
    unprinted: tuple[Pattern, ...] = ()
    sensitive: Literal["show", "name"] = "show"


class Redaction(_Frozen):
    """What a language model is given of the claims that this reader may see.

    wording: whether it may word any sentence for this reader. Of a claim it gets id, kind, label, direction, rank and
    band. values: patterns of claims whose value it gets as well. inputs: whether raw values of the case (`RAW`) may be
    among these. hide: patterns of claims that it is not told of at all.
    """

    wording: bool = True
    values: tuple[Pattern, ...] = ()
    inputs: bool = False
    hide: tuple[Pattern, ...] = ()


RAW: tuple[str, ...] = (
    "input.*", "answer.*", "case.subject", "relevance.driver.*.value", "deviation.feature.*.percentile",
    "counterfactual.*.value", "counterfactual.*.current", "serving.feature.*.offline", "serving.feature.*.likely",
)  # fmt: skip
"""Claims that repeat the raw input of a case or say whom it is about."""
ALWAYS: tuple[str, ...] = (
    "decision.label", "decision.score", "relevance.target", "relevance.for.count", "relevance.against.count",
    "trust.level", "trust.weakest", "reproduction.state", "deviation.state", "drift.state",
    *(f"relevance.driver.{n}.{part}" for n in range(1, 61) for part in ("name", "effect", "rank", "direction")),
)  # fmt: skip
"""Claims that no disclosure may withhold: without them the verifier could not check what the reader is told."""


class Persona(_Frozen):
    """A reader.

    voice: which wording of a frame is used, `plain` (no terms of the trade), `personal` (plain, to the person whom the
    case is about), `sober` (complete, for the record), `audit` (sober, for those who validate and monitor) or
    `technical`; see `VOICES`. required: claim ids or patterns (`*` for any part) that the narrative must cite when the
    ledger has them, or say that they are missing. vocabulary: other words for a few nouns (`case = "application"`).
    aliases: what this reader calls an input, by the feature's name. avoid: words that must not stand in the text.
    tools: must have run. reading_grade: highest Flesch-Kincaid grade.
    disclosure and redaction: what the reader, and what a language model, may see. checklist: the legal checklist that
    the report adds, by name (true: the regulator's). signoff: whether its rows leave room for a reviewer's signature.
    appendix, code: whether the report adds the tables and the code to reproduce it.
    """

    schema_: Literal["xagent.persona/1"] = Field(alias="schema")
    name: Name
    title: Short
    reader: Short
    language: Literal["en", "de"] = "en"
    voice: Voice
    sections: tuple[SectionPlan, ...] = Field(min_length=1)
    limits: Limits = Limits()
    precision: Precision = Precision()
    vocabulary: dict[Word, Plain] = Field(default_factory=dict)
    aliases: dict[Short, Called] = Field(default_factory=dict, max_length=10_000)
    avoid: tuple[Short, ...] = ()
    disclosure: Disclosure = Disclosure()
    redaction: Redaction = Redaction()
    charts: tuple[Chart, ...] = ()
    tables: tuple[Name, ...] = ()
    tools: tuple[Name, ...] = ()
    required: tuple[Short, ...] = ()
    reading_grade: float | None = Field(default=None, gt=0, le=30)
    checklist: bool | Name = False
    signoff: bool = False
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
        for pattern in self.required:
            if self.withholds(pattern) or self.unprinted(pattern):
                raise ValueError(f"'{pattern}' is required, and the disclosure withholds it")
        for needed in ALWAYS:
            if self.withholds(needed):
                raise ValueError(f"the disclosure withholds '{needed}', which every reader gets")
        if self.signoff and not self.checklist:
            raise ValueError("a sign-off needs a checklist")
        if self.vocabulary and self.language != "en":
            raise ValueError("nouns are exchanged in English alone; elsewhere they have a gender and cases")
        called = [name.casefold() for name in self.aliases.values()]
        if len(set(called)) != len(called):
            raise ValueError("two inputs have the same alias")
        return self

    @property
    def voices(self) -> tuple[Voice, ...]:
        """Wordings to look for in a frame, best first; `text` serves all."""
        return VOICES[self.voice]

    @property
    def plain(self) -> bool:
        """Whether the reader is spared the terms of the trade."""
        return "plain" in self.voices

    @property
    def checklist_name(self) -> str | None:
        """The checklist that the report adds."""
        return self.checklist if isinstance(self.checklist, str) else "regulator" if self.checklist else None

    def withholds(self, claim: str) -> bool:
        """Whether claims of this id are kept from the reader, whatever the ledger says."""
        rules = self.disclosure
        return _matches(claim, rules.withhold) and not _matches(claim, rules.show)

    def unprinted(self, claim: str) -> bool:
        """Whether a claim may back words, and is not printed itself."""
        return _matches(claim, self.disclosure.unprinted)

    def policy_of(self, claim: str) -> str | None:
        """The policy that the persona sets for claims of this id."""
        return next((p for pattern, p in self.precision.policies.items() if fnmatchcase(claim, pattern)), None)

    def called(self, claim: Claim) -> Claim:
        """The claim with this reader's own name of the input, when it is the name of one."""
        named = claim.kind == "text" and claim.feature in self.aliases and claim.id.endswith((".name", ".label"))
        return claim.model_copy(update={"value": self.aliases[claim.feature]}) if named and claim.feature else claim

    def given_to_llm(self, claim: str) -> Literal["nothing", "band", "value"]:
        """What a language model gets of a claim that this reader may see: nothing, all but its value, or the value."""
        rules = self.redaction
        if not rules.wording or _matches(claim, rules.hide) or self.withholds(claim):
            return "nothing"
        if not _matches(claim, rules.values) or (_matches(claim, RAW) and not rules.inputs):
            return "band"
        return "value"

    def public(self) -> dict[str, Any]:
        """The persona as JSON-ready data under its published names."""
        return self.model_dump(mode="json", by_alias=True)
