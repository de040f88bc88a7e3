"""Parts of the structural check of a PDF: its attachments, and the glyphs that its pages show."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import Any
from xml.sax.saxutils import escape

RELATIONSHIPS = ("/Source", "/Data", "/Supplement", "/Alternative")


def attachment_faults(pdf: Any, metadata: str) -> Iterator[str]:
    """Embedded files that PDF/A-3 would refuse (ISO 19005-3, 6.8), or whose hash the metadata does not state."""
    root = pdf.Root
    listed = [file.objgen for file in root.get("/AF", ())]
    if len(set(listed)) != len(listed):
        yield "A file is listed twice in /AF."
    names = [str(name) for name in root.get("/Names", {}).get("/EmbeddedFiles", {}).get("/Names", ())[::2]]
    if not names:
        yield "Nothing is attached."
    if names != sorted(names):
        yield "The attachments are not in the order of their names."
    for file in root.get("/Names", {}).get("/EmbeddedFiles", {}).get("/Names", ())[1::2]:
        name, stream = str(file.get("/UF", "")), file.EF.F
        if file.objgen not in listed:
            yield f"{name} is not listed in /AF."
        if str(file.get("/AFRelationship", "")) not in RELATIONSHIPS:
            yield f"{name} does not say what it is to the document."
        content, stated = bytes(stream.read_bytes()), stream.get("/Params", {})
        if "/CreationDate" not in stated or "/ModDate" not in stated:
            yield f"{name} has no date."
        if int(stated.get("/Size", -1)) != len(content):
            yield f"{name} does not have the size that is stated."
        if "/Subtype" not in stream:
            yield f"{name} has no media type."
        if f"{escape(name)} sha256:{hashlib.sha256(content).hexdigest()}" not in metadata:
            yield f"{name} does not have the hash that the metadata states."


def glyph_faults(pdf: Any, pikepdf: Any) -> Iterator[str]:
    """Fonts that lack a character that a page shows.

    The page shows glyph 0 of such a font, or a glyph that its own table of codes leads to glyph 0; a font that lacks
    nothing has no such table (WeasyPrint).
    """
    bad: set[str] = set()
    for page in pdf.pages:
        bad |= _missing(page, page.get("/Resources", {}), pikepdf, set())
    yield from (f"A character is missing in the font {name}." for name in sorted(bad))


def _missing(content: Any, resources: Any, pikepdf: Any, seen: set[Any]) -> set[str]:
    fonts, forms = resources.get("/Font", {}), resources.get("/XObject", {})
    found: set[str] = set()
    font = None
    for operands, operator in pikepdf.parse_content_stream(content):
        sign = str(operator)
        if sign == "Tf":
            font = fonts.get(str(operands[0]))
        elif sign == "Do" and (form := forms.get(str(operands[0]))) is not None:
            if str(form.get("/Subtype", "")) == "/Form" and form.objgen not in seen:
                seen.add(form.objgen)
                found |= _missing(form, form.get("/Resources", resources), pikepdf, seen)
        elif sign in ("Tj", "TJ") and font is not None and str(font.get("/Subtype", "")) == "/Type0":
            pieces = operands[0] if sign == "TJ" else operands
            shown = b"".join(bytes(piece) for piece in pieces if isinstance(piece, pikepdf.String))
            zero = any(shown[i : i + 2] == b"\0\0" for i in range(0, len(shown), 2))
            if zero or isinstance(font.get("/Encoding"), pikepdf.Stream):
                found.add(str(font.get("/BaseFont", "")))
    return found
