"""A finished report against itself: its shape, its hashes, its claims against their evidence, every sentence again.

It trusts nothing that the report says about its own verification. What it cannot see is named in the verdict: evidence
that a report does not carry (raw input, system card, withheld artifacts) is only compared where its hash is there.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xagent.errors import AlteredReport, InvalidCase
from xagent.evidence import Artifact, Finding, Ledger, sha256_json
from xagent.narrative import Narrative, Problem, verify
from xagent.personas import Persona, languages, load_persona, persona_names, visible_claims
from xagent.report._document import Document, document_sha256
from xagent.report._pointers import compare_claims

Json = dict[str, Any]
MAX_BYTES = 256 * 1024 * 1024
MOST_NAMED = 3

REPORT_KINDS: dict[str, str] = {
    "schema": "The file is not a report of this schema.",
    "hash": "A part does not have the hash that the report gives it.",
    "evidence": "A claim says something else than the place in the artifact that it points to.",
    "record": "What the report says of its own verification, decision or warnings is not what stands in it.",
    "form": "The file is not written as xagent writes it: changed, or saved anew by another program.",
    "seal": "The bytes of a PDF or HTML are not those that were sealed.",
    "attachment": "A file inside a PDF or HTML was taken out, put in, or is another.",
    "printed": "What stands on the page is not what was verified.",
    "page": "The page is not the one that its data gives.",
    "signature": "A PDF was changed after it was signed, or something else than a signature was added.",
    "reader": "A built-in reader's sections or obligations were changed.",
}


@dataclass(frozen=True)
class Verdict:
    """problems: empty when the report holds. claims: how many there are, compared: how many with their evidence.

    notes: what was compared otherwise, or could not be. signature: who signed a PDF, and what that is worth.
    """

    problems: tuple[Problem, ...]
    sentences: int = 0
    claims: int = 0
    compared: int = 0
    notes: tuple[str, ...] = ()
    signature: str = ""

    @property
    def summary(self) -> str:
        parts = (
            f"verified; {self.sentences} sentences, {self.claims} claims, "
            f"{self.compared} of them compared with the evidence in the report",
            *self.notes,
            *([self.signature] if self.signature else []),
        )
        return "; ".join(parts)

    def with_problems(self, *more: Problem, first: bool = False) -> Verdict:
        """first: more stands before the problems so far."""
        return replace(self, problems=(*more, *self.problems) if first else (*self.problems, *more))

    def with_notes(self, *more: str) -> Verdict:
        return replace(self, notes=(*self.notes, *more))

    def signed_by(self, signature: str) -> Verdict:
        return replace(self, signature=signature)


def read_report(path: Path) -> Json:
    """The JSON of a report from its file. Raises InvalidCase for a file that is no JSON object."""
    if path.suffix.lower() in (".html", ".pdf"):
        raise InvalidCase(f"{path.name} is not the JSON of a report.", "Give the .json that was saved beside it.")
    try:
        if path.stat().st_size > MAX_BYTES:
            raise InvalidCase(f"{path.name} is larger than {MAX_BYTES >> 20} MiB.", "This is not a report.")
        data = json.loads(path.read_text(encoding="utf-8"), object_pairs_hook=no_double)
    except FileNotFoundError:
        raise InvalidCase(f"There is no file {path}.", "Check the path.") from None
    except (UnicodeDecodeError, ValueError, RecursionError) as error:
        raise InvalidCase(f"{path.name} is not JSON ({error}).", "Give the .json of a report.") from None
    except OSError as error:
        raise InvalidCase(f"{path} cannot be read ({error.strerror}).", "Check the path.") from None
    if not isinstance(data, dict):
        raise InvalidCase(f"{path.name} is not a JSON object.", "Give the .json of a report.")
    return data


def no_double(pairs: list[tuple[str, Any]]) -> Json:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice in one object")
    return found


def verify_report(data: Json) -> Verdict:
    """Every problem of a report's JSON; none when it holds. Kinds: those of the narrative, and `REPORT_KINDS`."""
    try:
        Document.model_validate(data)
        persona = Persona.model_validate(data["persona"])
        ledger = Ledger.from_public(data["claims"])
        narrative = Narrative.model_validate(data["narrative"])
        findings = [Finding.model_validate(finding) for finding in data["findings"]]
        artifacts = [
            Artifact.model_validate({k: v for k, v in a.items() if k not in ("sha256", "withheld")})
            for a in data["artifacts"]
        ]
    except (ValidationError, ValueError, KeyError, TypeError) as error:
        first = error.errors()[0] if isinstance(error, ValidationError) else {"loc": (), "msg": str(error)}
        place = ".".join(str(part) for part in first["loc"]) or "the whole"
        return Verdict((_problem("schema", place, f"{place}: {first['msg']}.", "Make the report again."),))
    problems = list(_hashes(data, artifacts))
    problems += _reader(data, persona)
    compared = 0
    sources = {"case": data["case"]} | {
        a.tool: a.data for a, row in zip(artifacts, data["artifacts"], strict=True) if not row["withheld"]
    }
    for claim, outcome, stands in compare_claims(ledger, sources):
        compared += outcome != "elsewhere"
        if outcome == "differs":
            message = f"{claim.id} is {claim.value!r}, and {claim.artifact}{claim.pointer} gives {stands}."
            problems.append(_problem("evidence", claim.id, message, "Make the report again from its evidence."))
    for key in sorted(set(ledger) - set(visible_claims(ledger, persona))):
        problems.append(_problem("hidden", key, f"{key} is not for this reader.", "Make the report again."))
    problems += verify(narrative, ledger, persona, findings)
    problems += _record(data, ledger, narrative)
    if document_sha256(data) != data["manifest"]["document"]:  # last: what names the part stands before it
        problems.append(
            _problem("hash", "document", "The report as a whole does not have its hash.", "Make the report again.")
        )
    return Verdict(tuple(problems), len(narrative.sentences()), len(ledger), compared)


def require_verified(name: str, verdict: Verdict) -> None:
    """Raises AlteredReport that names the first problems, when there are any."""
    if not verdict.problems:
        return
    first = " ".join(f"[{p.kind}] {p.message}" for p in verdict.problems[:MOST_NAMED])
    more = len(verdict.problems) - MOST_NAMED
    tail = f" And {more} more." if more > 0 else ""
    raise AlteredReport(f"{name} does not hold: {first}{tail}", "Make the report again from its case.")


def _hashes(data: Json, artifacts: list[Artifact]) -> Iterator[Problem]:
    manifest = data["manifest"]
    for part in ("claims", "findings", "narrative"):
        if sha256_json(data[part]) != manifest[part]:
            yield _problem("hash", part, f"The {part} are not those that were hashed.", "Make the report again.")
    rows = {row["tool"]: row for row in data["artifacts"]}
    if len(rows) != len(artifacts) or {tool: row["sha256"] for tool, row in rows.items()} != manifest["artifacts"]:
        yield _problem("hash", "artifacts", "The artifacts listed are not those of the manifest.", "Make it again.")
    for artifact in artifacts:
        row = rows[artifact.tool]
        if not row["withheld"] and artifact.sha256() != row["sha256"]:
            yield _problem(
                "hash", artifact.tool, f"The artifact {artifact.tool!r} does not have its hash.", "Run the tool again."
            )
    named = {claim["artifact"] for claim in data["claims"]} - {"case", "system_card", "assess"}
    for tool in sorted(named - set(rows)):
        yield _problem("hash", tool, f"Claims rest on {tool!r}, and there is no such artifact.", "Run the tool again.")


def _reader(data: Json, persona: Persona) -> Iterator[Problem]:
    same = data["manifest"]["versions"].get("xagent") == version("xagent")  # another release may have another reader
    if same and persona.name in persona_names() and persona != _built_in(persona):
        yield _problem(
            "reader", persona.name, f"{persona.name!r} is a built-in reader, and this is another.", "Use its own file."
        )


def _built_in(persona: Persona) -> Persona | None:
    return load_persona(persona.name, persona.language) if persona.language in languages() else None


def _record(data: Json, ledger: Ledger, narrative: Narrative) -> Iterator[Problem]:
    if data["warnings"] != data["narrative"]["warnings"]:
        yield _problem("record", "warnings", "The warnings are not those of the narrative.", "Make the report again.")
    total = sum(1 + len(sentence.tokens) for sentence in narrative.sentences())
    record = data["verification"]
    if (record["total"], record["verified"]) != (total, total) or record["problems"]:
        yield _problem(
            "record", "verification", "The report does not say that all of it was verified.", "Make it again."
        )
    for key in ("label", "score", "threshold", "margin"):
        claim = ledger.get(f"decision.{key}")
        if data["decision"][key] != (None if claim is None else claim.value):
            yield _problem("record", f"decision.{key}", f"decision.{key} is not its claim.", "Make the report again.")
    twice = [key for key, n in Counter(claim["id"] for claim in data["claims"]).items() if n > 1]
    if twice:
        yield _problem("record", twice[0], f"The claim {twice[0]!r} stands twice.", "Make the report again.")


def _problem(kind: str, token: str, message: str, mend: str) -> Problem:
    return Problem(kind=kind, token=token, message=message, mend=mend)
