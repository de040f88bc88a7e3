"""The PDF of a report: its seal, its attached files, the words of its pages, a new drawing, and who signed it."""

from __future__ import annotations

from collections.abc import Iterator
from hashlib import sha256
from importlib.metadata import version
from typing import Any

from xagent.errors import ConfigurationFault, InvalidCase
from xagent.evidence import sha256_json
from xagent.narrative import Narrative, Problem
from xagent.report._archive import drawn_with
from xagent.report._exports import Attached, attachments
from xagent.report._file import AGAIN, parse, seal_problems
from xagent.report._printed import first_difference, missing_sentences, same_release
from xagent.report._read_pdf import ReadPdf, Unreadable, read_pdf
from xagent.report._seal import first_revision, pdf_seal_holds
from xagent.report._templates import template_sha256
from xagent.report._verify import Verdict, verify_report

Json = dict[str, Any]


def verify_pdf(name: str, content: bytes) -> Verdict:
    """Problems of a PDF, those of its form first. Raises InvalidCase for a file that never was a PDF."""
    if b"%PDF-" not in content[:1024] and b"%%EOF" not in content[-1024:]:
        raise InvalidCase(f"{name} is no PDF.", "Give the .pdf that was saved.")
    first = first_revision(content)
    sealed = pdf_seal_holds(first)
    problems = list(seal_problems(name, sealed))
    signed = ""
    if len(first) < len(content):
        from xagent.report._signed import signature_of

        signed, faults = signature_of(name, content, first)
        problems += faults
    try:
        read = read_pdf(first)
    except Unreadable as error:
        return Verdict((*problems, _problem("form", name, f"{name} is not a PDF of xagent: {error}.")))
    data = _data(read)
    if data is None:
        message = f"{name} does not carry the data that it was drawn from."
        return Verdict((*problems, _problem("attachment", name, message)), signature=signed)
    verdict = verify_report(data)
    if not any(p.kind == "schema" for p in verdict.problems):
        problems += _attached(read, data)
        pages, notes = _pages(name, first, read, data, sealed=bool(sealed))
        problems += pages
        verdict = verdict.with_notes(*notes)
    return verdict.with_problems(*problems, first=True).signed_by(signed)


def _data(read: ReadPdf) -> Json | None:
    found = []
    for name, content in read.files.items():
        if name.endswith(".json"):
            try:
                data = parse(content)
            except ValueError:
                continue
            if isinstance(data, dict) and data.get("schema") == "xagent.report/1":
                found.append(data)
    return found[0] if len(found) == 1 else None


def _attached(read: ReadPdf, data: Json) -> Iterator[Problem]:
    """Attached files that are not those that the report was made with."""
    for name in sorted(set(read.files) ^ set(read.stated)):
        what = "was taken out" if name in read.stated else "was put in afterwards"
        yield _problem("attachment", name, f"The attached file {name!r} {what}.")
    for name, content in read.files.items():
        if name in read.stated and sha256(content).hexdigest() != read.stated[name]:
            yield _problem("attachment", name, f"The attached file {name!r} does not have the hash that is stated.")
    stem = f"{data['case']['id']}.{data['persona']['name']}"
    manifest = data["manifest"]
    card, record = (_parsed(read.files.get(f"{stem}.{part}.json")) for part in ("card", "record"))
    if f"{stem}.card.json" in read.files and (card is None or sha256_json(card) != manifest["inputs"].get("card")):
        yield _problem("attachment", f"{stem}.card.json", "The system card attached is not that of the manifest.")
    if f"{stem}.record.json" in read.files and (record is None or record.get("manifest") != manifest):
        yield _problem("attachment", f"{stem}.record.json", "The record attached is that of another run.")
    if manifest["versions"].get("xagent") == version("xagent"):
        for file in _expected(data):
            if file.name not in read.files:
                yield _problem("attachment", file.name, f"The file {file.name!r} is not attached.")
            elif read.files[file.name] != file.content:
                yield _problem("attachment", file.name, f"{file.name!r} does not say what the report says.")


def _expected(data: Json) -> tuple[Attached, ...]:
    try:
        return attachments(data)
    except Exception:  # data of a report that was changed may be anything; what is wrong with it is named elsewhere
        return ()


def _parsed(content: bytes | None) -> Json | None:
    try:
        found = parse(content or b"")
    except ValueError:
        return None
    return found if isinstance(found, dict) else None


def _pages(name: str, first: bytes, read: ReadPdf, data: Json, *, sealed: bool) -> tuple[list[Problem], list[str]]:
    """What stands on the pages against the data; a new drawing is made where the seal holds, for it costs seconds."""
    release = same_release(data, version("xagent"), template_sha256())
    again = _drawn(data, read.files) if sealed and release else None
    if again == first:
        return [], ["the pages were drawn again and are the same, byte for byte"]
    try:
        words = read.words(data["case"]["id"])
        problems = list(missing_sentences(Narrative.model_validate(data["narrative"]), words, read.alternatives))
        if again is not None and not problems:
            other = first_difference("".join(words), "".join(read_pdf(again).words(data["case"]["id"])))
            problems += [other] if other else []
    except Unreadable as error:
        return [_problem("form", name, f"{name} is not a PDF of xagent: {error}.")], []
    if again is None:
        return problems, ["the pages were made by another release; their sentences were compared, and not their charts"]
    bundled = all("Report-" in font for font in read.fonts)
    if not problems and bundled and read.drawn_with == drawn_with():
        at = next((i for i, (a, b) in enumerate(zip(first, again, strict=False)) if a != b), len(again))
        problems.append(_problem("page", name, f"{name} is not what its data gives, from byte {at} on."))
    return problems, [f"drawn with {read.drawn_with or 'other libraries'}; words were compared, and not charts"]


def _drawn(data: Json, files: dict[str, bytes]) -> bytes | None:
    stem = f"{data['case']['id']}.{data['persona']['name']}"
    card, record = (_parsed(files.get(f"{stem}.{part}.json")) for part in ("card", "record"))
    key = sha256_json([data, card, record])
    if key not in _LAST:
        _LAST.clear()
        _LAST[key] = _draw(data, card, record)
    return _LAST[key]


_LAST: dict[str, bytes | None] = {}
"""The last drawing, for several files of one report."""


def _draw(data: Json, card: Json | None, record: Json | None) -> bytes | None:
    from xagent.report._pdf import render_pdf

    try:
        return render_pdf(data, attachments(data, card, None if record is None else record["run"]))
    except ConfigurationFault:
        raise
    except Exception:  # data of a report that was changed may be anything; what is wrong with it is named elsewhere
        return None


def _problem(kind: str, token: str, message: str) -> Problem:
    return Problem(kind=kind, token=token, message=message, mend=AGAIN)
