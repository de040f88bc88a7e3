"""Structural check of a report's PDF. It finds what a machine can find; it certifies no conformance.

Run as `python -m xagent.report.check FILE...`. Needs pikepdf, which is a tool of development and no part of an
installation: its licence (MPL-2.0) is not as free as xagent's own.
"""

from __future__ import annotations

import io
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xagent.errors import ConfigurationFault
from xagent.report._check_parts import attachment_faults, glyph_faults

_MARKS = {
    "PDF/A-3": 'pdfaid:part="3"',
    "conformance level A": 'pdfaid:conformance="A"',
    "PDF/UA-1": 'pdfuaid:part="1"',
    "the schema of PDF/UA": "<pdfaSchema:namespaceURI>http://www.aiim.org/pdfua/ns/id/<",
    "the origin of the text": "<Iptc4xmpExt:DigitalSourceType>",
    "the hash of its data": "<xagent:Document>sha256:",
}


def check_pdf(content: bytes) -> list[str]:
    """Faults of a tagged PDF, one sentence each; empty when none was found.

    Checks: tagged and marked, language, title shown, identifiers of PDF/A-3a and PDF/UA-1, output intent, origin of
    the text, an alternative text for every figure, header cells in every table, attachments (relationship, date,
    type, size, hash in the metadata), every font embedded, no missing glyph, no picture that is smoothed, nothing
    that runs or reaches outside. Raises ConfigurationFault without pikepdf or when the bytes are no PDF.
    """
    try:
        import pikepdf
    except ImportError as error:
        raise ConfigurationFault("Checking a PDF needs pikepdf.", "pip install pikepdf") from error
    try:
        pdf = pikepdf.open(io.BytesIO(content))
    except pikepdf.PdfError as error:
        raise ConfigurationFault(f"This is no readable PDF ({error}).", "Draw the report again.") from None
    with pdf:
        return list(_faults(pdf, pikepdf))


def _faults(pdf: Any, pikepdf: Any) -> Iterator[str]:
    root = pdf.Root
    if "/StructTreeRoot" not in root or not root.get("/MarkInfo", {}).get("/Marked", False):
        yield "The document is not tagged."
    if not str(root.get("/Lang", "")):
        yield "The document states no language."
    if not root.get("/ViewerPreferences", {}).get("/DisplayDocTitle", False):
        yield "The title is not shown in the window."
    if not str(pdf.docinfo.get("/Title", "")):
        yield "The document has no title."
    if pdf.is_encrypted:
        yield "The document is encrypted."
    metadata = bytes(root.Metadata.read_bytes() if "/Metadata" in root else b"").decode("utf-8", "replace")
    for name, mark in _MARKS.items():
        if mark not in metadata:
            yield f"The metadata does not name {name}."
    if not any(str(intent.get("/S", "")) == "/GTS_PDFA1" for intent in root.get("/OutputIntents", ())):
        yield "There is no output intent."
    yield from attachment_faults(pdf, metadata)
    yield from glyph_faults(pdf, pikepdf)
    if "/Outlines" not in root:
        yield "There are no bookmarks."
    for element in _elements(root.get("/StructTreeRoot"), pikepdf):
        kind = str(element.get("/S", ""))
        if kind == "/Figure" and not str(element.get("/Alt", "")).strip():
            yield "A figure has no alternative text."
        if kind == "/Table" and not any(str(e.get("/S", "")) == "/TH" for e in _elements(element, pikepdf)):
            yield "A table has no header cell."
    yield from _objects(pdf, pikepdf)


def _objects(pdf: Any, pikepdf: Any) -> Iterator[str]:
    for thing in (d for root in pdf.objects for d in _dictionaries(root, pikepdf)):
        for key in ("/JS", "/JavaScript", "/OpenAction", "/AA"):
            if key in thing:
                yield f"The document holds an action ({key})."
        if str(thing.get("/S", "")) in ("/URI", "/Launch", "/GoToR", "/SubmitForm", "/ImportData"):
            yield f"The document reaches outside ({thing['/S']})."
        if thing.get("/Interpolate", False) is True:
            yield "A picture is smoothed (/Interpolate)."
        if str(thing.get("/Type", "")) == "/FontDescriptor" and not any(
            f"/FontFile{n}" in thing for n in ("", "2", "3")
        ):
            yield f"The font {thing.get('/FontName')} is not embedded."


def _dictionaries(root: Any, pikepdf: Any) -> Iterator[Any]:
    """A dictionary or array and all dictionaries written inside it; what it refers to comes by itself."""
    waiting = [root]
    while waiting:
        here = waiting.pop()
        if isinstance(here, pikepdf.Dictionary):
            yield here
            inside = [value for _, value in here.items()]
        elif isinstance(here, pikepdf.Stream):
            yield here.stream_dict
            inside = [value for _, value in here.stream_dict.items()]
        elif isinstance(here, pikepdf.Array):
            inside = list(here)
        else:
            continue
        waiting += [
            value for value in inside if isinstance(value, pikepdf.Dictionary | pikepdf.Array) and not value.is_indirect
        ]


def _elements(node: Any, pikepdf: Any) -> Iterator[Any]:
    """Structure elements below a node, in reading order."""
    waiting = [node]
    while waiting:
        here = waiting.pop()
        if isinstance(here, pikepdf.Array):
            waiting += reversed(list(here))
        elif isinstance(here, pikepdf.Dictionary):
            if "/S" in here:
                yield here
            if "/K" in here:
                waiting.append(here["/K"])


def main() -> int:
    faults = [f"{name}: {fault}" for name in sys.argv[1:] for fault in check_pdf(Path(name).read_bytes())]
    print("\n".join(faults) or "No fault found.")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
