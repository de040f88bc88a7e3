"""The shape of a finished report: what is hashed, stored, drawn and published as a JSON Schema."""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from xagent.evidence import sha256_json

SCHEMA = "xagent.report/1"


class _Part(BaseModel):
    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)


class TokenPart(_Part):
    """One figure or name in a sentence: the claim it prints, by which policy, and the text that stands there."""

    claim: str
    policy: str
    text: str


class SentencePart(_Part):
    """One verified sentence. author says who worded it (`fallback`: the template, after a language model's wording
    failed); the facts come from the claims either way."""

    id: str
    frame: str
    text: str
    tokens: list[TokenPart]
    assertions: list[dict[str, Any]] = []
    author: Literal["template", "llm", "fallback"]


class FindingPart(_Part):
    """A finding put into words."""

    finding: str
    severity: Literal["stop", "warning", "notice"]
    sentence: SentencePart


class SectionPart(_Part):
    """Sentences under one heading."""

    id: str
    title: str
    sentences: list[SentencePart]


class FigurePart(_Part):
    """A chart's id and the sentence that says what it shows."""

    id: str
    alt: SentencePart


class NarrativePart(_Part):
    """The words of the report."""

    persona: str
    language: str
    warnings: list[FindingPart]
    findings: list[FindingPart]
    sections: list[SectionPart]
    figures: list[FigurePart]


class ChecklistRow(_Part):
    """One field that a law or standard asks for, see `fill_checklist`. value is never blank."""

    id: str
    field: str
    state: Literal["provided", "missing", "not_applicable"]
    value: str = "Not provided"
    articles: list[str] = []
    mandatory: bool = False
    source: str = ""
    claims: list[str] = []


class Decision(_Part):
    """What was decided, as the raw values of the claims `decision.<key>`; None where nobody stated it."""

    label: str | None
    target: str | None
    outcome: str | None
    score: float | None
    scale: str | None
    threshold: float | None
    margin: float | None
    adverse: str | None
    near_threshold: str | None
    decided_at: str
    next_step: str | None


class VerificationPart(_Part):
    """Sentences and figures (tokens): how many there are, how many hold, what is wrong with the others."""

    total: int = Field(ge=0)
    verified: int = Field(ge=0)
    problems: list[dict[str, Any]]


class ArtifactPart(_Part):
    """What a tool found. sha256 covers the whole artifact; `withheld`: this reader may not see all of its data."""

    tool: str
    version: str
    status: Literal["ok", "failed", "not_applicable"]
    why: str | None
    parameters: dict[str, Any]
    data: dict[str, Any]
    inputs_sha256: dict[str, str]
    sha256: str
    withheld: bool


class Manifest(_Part):
    """SHA-256 (over canonical JSON) of all that the report rests on. No clock times: equal evidence, equal bytes.

    document: of the whole report, without this entry.
    """

    artifacts: dict[str, str]
    claims: str
    findings: str
    narrative: str
    inputs: dict[str, str]
    versions: dict[str, str]
    seeds: dict[str, int]
    template: str
    document: str = ""


class Document(BaseModel):
    """A report (`schema` is `xagent.report/1`). Its keys stand in this order."""

    model_config = ConfigDict(extra="forbid", allow_inf_nan=False)

    schema_: Literal["xagent.report/1"] = Field(alias="schema")
    case: dict[str, Any]
    persona: dict[str, Any]
    language: str
    decision: Decision
    warnings: list[FindingPart]
    findings: list[dict[str, Any]]
    narrative: NarrativePart
    claims: list[dict[str, Any]]
    artifacts: list[ArtifactPart]
    checklist: list[ChecklistRow]
    verification: VerificationPart
    manifest: Manifest


def report_schema() -> dict[str, Any]:
    """JSON Schema (2020-12) of a report."""
    schema = Document.model_json_schema(by_alias=True)
    return {"$schema": "https://json-schema.org/draft/2020-12/schema", "title": SCHEMA, **schema}


def document_sha256(data: dict[str, Any]) -> str:
    """SHA-256 over the canonical JSON of a report, its own entry in the manifest left out."""
    manifest = {key: value for key, value in data["manifest"].items() if key != "document"}
    return sha256_json({**data, "manifest": manifest})


def report_json(data: dict[str, Any]) -> str:
    """The report as text: keys in order, two spaces, UTF-8, one newline at the end. Refuses NaN and infinities."""
    return json.dumps(data, ensure_ascii=False, indent=2, allow_nan=False) + "\n"
