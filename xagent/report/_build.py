"""Putting a report together: everything a reader gets, with the hashes that tie it to the evidence."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, is_dataclass
from typing import Any

from pydantic import BaseModel

from xagent.evidence import Artifact, Finding, Ledger, sha256_json
from xagent.law import load_checklist
from xagent.narrative import Narrative, Problem
from xagent.personas import Persona, visible_claims
from xagent.report._checklist import fill_checklist
from xagent.report._document import SCHEMA, Document, document_sha256
from xagent.report._labels import said, speaking
from xagent.report._report import Report
from xagent.report._templates import template_sha256
from xagent.report._withheld import drawn_data

Json = dict[str, Any]


def build_report(
    *,
    case: Json,
    card: Json,
    persona: Persona,
    ledger: Ledger,
    findings: Sequence[Finding],
    narrative: Narrative,
    artifacts: Sequence[Artifact],
    problems: Sequence[Problem],
    versions: Mapping[str, str],
    seeds: Mapping[str, int],
    inputs: Mapping[str, str],
    run: Json,
    checklist: Sequence[Json] | None = None,
) -> Report:
    """The report of one reader.

    case and card are JSON as loaded; the raw input is hashed, its values are in the claims that this reader may see.
    When a claim is withheld from the reader, so is the data of its artifact, but for what the reader's charts are drawn
    from, and never its hash.
    problems that stand are recorded, and such a report refuses to be drawn or saved. run is what differs between two
    equal runs (times, questions asked); it never enters the report.
    checklist rows replace those that the regulator's checklist gives; a persona without checklist gets none.
    """
    visible = visible_claims(ledger, persona)
    words = plain(narrative)
    data: Json = {
        "schema": SCHEMA,
        "case": _case(case, card),
        "persona": plain(persona),
        "language": words["language"],
        "decision": _decision(case, visible),
        "warnings": words["warnings"],
        "findings": [plain(finding) for finding in findings],
        "narrative": words,
        "claims": visible.public(),
        "artifacts": _artifacts(artifacts, ledger, visible, persona),
        "checklist": [dict(row) for row in checklist or ()],
        "verification": _verification(narrative, [plain(problem) for problem in problems]),
        "manifest": {
            "artifacts": {a.tool: a.sha256() for a in sorted(artifacts, key=lambda a: a.tool)},
            "claims": sha256_json(visible.public()),
            "findings": sha256_json([plain(finding) for finding in findings]),
            "narrative": sha256_json(words),
            "inputs": dict(sorted({**inputs, "case": sha256_json(case), "card": sha256_json(card)}.items())),
            "versions": dict(sorted(versions.items())),
            "seeds": dict(sorted(seeds.items())),
            "template": template_sha256(),
        },
    }
    if checklist is None and persona.checklist_name:
        data["checklist"] = fill_checklist(
            load_checklist(persona.checklist_name),
            case=case,
            card=card,
            ledger=ledger,
            persona=persona,
            verification=data["verification"],
            manifest=data["manifest"] | _wording(narrative, persona.language),
        )
    made = Document.model_validate(data).model_dump(mode="json", by_alias=True)
    made["manifest"]["document"] = document_sha256(made)
    return Report(made, dict(run), _documents(card, ledger, visible, persona))


def _documents(card: Json, ledger: Ledger, visible: Ledger, persona: Persona) -> Json | None:
    """The system card for whoever goes through a checklist and may see all that it says; None for all others."""
    kept = any(claim.artifact in ("system_card", "case") for key, claim in ledger.items() if key not in visible)
    return dict(card) if persona.checklist and not kept else None


def _wording(narrative: Narrative, language: str) -> Json:
    """Who chose the words (AI Act Art. 50(2)): said in the checklist, derived from each sentence's author."""
    with speaking(language):
        if any(sentence.author == "llm" for sentence in narrative.sentences()):
            return {
                "narrator": said("a language model, every sentence verified"),
                "generated_text": said(
                    "some sentences were worded by a language model; their facts come from the evidence"
                ),
            }
        return {
            "narrator": said("fixed sentences, filled in by a program"),
            "generated_text": said(
                "no text was written by a language model; sentences are fixed and filled in by a program"
            ),
        }


def plain(thing: Any) -> Json:
    """A model or dataclass of another room as JSON-ready data."""
    if hasattr(thing, "public"):
        return dict(thing.public())
    if isinstance(thing, BaseModel):
        return thing.model_dump(mode="json")
    if is_dataclass(thing) and not isinstance(thing, type):
        return asdict(thing)
    return dict(thing)


def _case(case: Json, card: Json) -> Json:
    given = case.get("input") or {}
    return {
        **{key: value for key, value in case.items() if key != "input"},
        "input": {"kind": given.get("kind"), "sha256": sha256_json(given)},
        "system": {key: card.get(key) for key in ("name", "version", "purpose", "automation")},
    }


def _decision(case: Json, ledger: Ledger) -> Json:
    def of(key: str) -> Any:
        claim = ledger.get(f"decision.{key}")
        return None if claim is None else claim.value

    score = ledger.get("decision.score")
    texts = {key: of(key) for key in ("label", "target", "outcome", "adverse", "near_threshold", "next_step")}
    return {
        **{key: None if value is None else str(value) for key, value in texts.items()},
        **{key: of(key) for key in ("score", "threshold", "margin")},
        "scale": None if score is None else score.scale,
        "decided_at": str(case["prediction"]["decided_at"]),
    }


def _artifacts(artifacts: Sequence[Artifact], ledger: Ledger, visible: Ledger, persona: Persona) -> list[Json]:
    hidden = {claim.artifact for key, claim in ledger.items() if key not in visible}
    rows = []
    for artifact in sorted(artifacts, key=lambda a: a.tool):
        evidence = artifact.evidence()
        silent = bool(evidence["why"]) and persona.withholds(f"tool.{artifact.tool}.why")
        withheld = silent or artifact.tool in hidden
        data = drawn_data(artifact.tool, evidence["data"], persona) if withheld else evidence["data"]
        why = None if silent else evidence["why"]
        rows.append({**evidence, "data": data, "why": why, "sha256": artifact.sha256(), "withheld": withheld})
    return rows


def _verification(narrative: Narrative, problems: list[Json]) -> Json:
    """Counts sentences and tokens; a sentence that does not hold takes its tokens with it."""
    sizes = {sentence.id: 1 + len(sentence.tokens) for sentence in narrative.sentences()}
    total = sum(1 + len(sentence.tokens) for sentence in narrative.sentences())
    whole = any(problem["sentence"] not in sizes for problem in problems)
    failed = total if whole else sum(sizes[name] for name in {problem["sentence"] for problem in problems})
    return {"total": total, "verified": total - failed, "problems": problems}
