"""The form of a PDF for the archive: PDF/A-3a and PDF/UA-1 named together, files attached, generated text marked.

WeasyPrint writes one variant a file. PDF/A-3a brings tags, an output intent and relationships of attachments; what
PDF/UA-1 asks for beyond tags is its identifier, which is added here with the description of its schema that PDF/A asks
for (ISO 19005-3, 6.6.2.3.3). Conformance is named, not certified: run veraPDF or PAC.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from typing import Any
from xml.sax.saxutils import escape

from xagent.report._exports import Attached

Json = dict[str, Any]
VARIANT = "pdf/a-3a"
SCHEMA = "urn:xagent:xmp/1/"
IPTC = "http://iptc.org/std/Iptc4xmpExt/2008-02-29/"
SOURCE_TYPES = "http://cv.iptc.org/newscodes/digitalsourcetype/"


def source_type(data: Json) -> str:
    """Who made the text, as a term of IPTC's vocabulary of digital source types (AI Act Art. 50(2)).

    A program alone, or a program with sentences that a language model worded.
    """
    sentences = _authors(data["narrative"])
    return SOURCE_TYPES + ("compositeWithTrainedAlgorithmicMedia" if "llm" in sentences else "algorithmicMedia")


def _authors(value: Any) -> set[str]:
    if isinstance(value, dict):
        own = {str(value["author"])} if "author" in value and "frame" in value else set()
        return own.union(*(_authors(inner) for inner in value.values()))
    if isinstance(value, list):
        return set().union(*(_authors(inner) for inner in value))
    return set()


def drawn_with() -> str:
    """Releases of the libraries that decide where ink goes, and with it every byte of a page."""
    import weasyprint
    from weasyprint.text.ffi import pango

    return f"WeasyPrint {weasyprint.__version__}, Pango {pango.pango_version()}"


def marks(data: Json, files: Sequence[Attached]) -> bytes:
    """RDF descriptions: PDF/UA-1, origin of the text, libraries, hash of the data and of every attached file."""
    listed = "".join(
        f"<rdf:li>{escape(file.name)} sha256:{hashlib.sha256(file.content).hexdigest()}</rdf:li>" for file in files
    )
    return (
        '<rdf:Description rdf:about="" xmlns:pdfuaid="http://www.aiim.org/pdfua/ns/id/" pdfuaid:part="1"/>'
        f'<rdf:Description rdf:about="" xmlns:Iptc4xmpExt="{IPTC}">'
        f"<Iptc4xmpExt:DigitalSourceType>{source_type(data)}</Iptc4xmpExt:DigitalSourceType></rdf:Description>"
        f'<rdf:Description rdf:about="" xmlns:xagent="{SCHEMA}">'
        f"<xagent:Document>sha256:{data['manifest']['document']}</xagent:Document>"
        f"<xagent:DrawnWith>{escape(drawn_with())}</xagent:DrawnWith>"
        f"<xagent:Attached><rdf:Seq>{listed}</rdf:Seq></xagent:Attached></rdf:Description>" + _SCHEMAS
    ).encode()


def described(write: Callable[..., bytes], more: bytes) -> Callable[..., bytes]:
    """A writer of metadata whose one `rdf:RDF` also holds these descriptions."""

    def written(*args: Any, **named: Any) -> bytes:
        head, end, tail = write(*args, **named).rpartition(b"</rdf:RDF>")
        return head + more + end + tail

    return written


def finish(_: Any, pdf: Any) -> None:
    """Name each attachment once in the catalog (WeasyPrint 70 names some twice)."""
    if "AF" in pdf.catalog:
        once = list(dict.fromkeys(pdf.catalog["AF"]))
        pdf.catalog["AF"].clear()
        pdf.catalog["AF"].extend(once)


def _schema(title: str, uri: str, prefix: str, properties: Sequence[tuple[str, str, str, str]]) -> str:
    items = "".join(
        '<rdf:li rdf:parseType="Resource">'
        f"<pdfaProperty:name>{name}</pdfaProperty:name><pdfaProperty:valueType>{kind}</pdfaProperty:valueType>"
        f"<pdfaProperty:category>{category}</pdfaProperty:category>"
        f"<pdfaProperty:description>{text}</pdfaProperty:description></rdf:li>"
        for name, kind, category, text in properties
    )
    return (
        f'<rdf:li rdf:parseType="Resource"><pdfaSchema:schema>{title}</pdfaSchema:schema>'
        f"<pdfaSchema:namespaceURI>{uri}</pdfaSchema:namespaceURI><pdfaSchema:prefix>{prefix}</pdfaSchema:prefix>"
        f"<pdfaSchema:property><rdf:Seq>{items}</rdf:Seq></pdfaSchema:property></rdf:li>"
    )


_SCHEMAS = (
    '<rdf:Description rdf:about="" xmlns:pdfaExtension="http://www.aiim.org/pdfa/ns/extension/" '
    'xmlns:pdfaSchema="http://www.aiim.org/pdfa/ns/schema#" '
    'xmlns:pdfaProperty="http://www.aiim.org/pdfa/ns/property#"><pdfaExtension:schemas><rdf:Bag>'
    + _schema(
        "PDF/UA identification",
        "http://www.aiim.org/pdfua/ns/id/",
        "pdfuaid",
        [("part", "Integer", "internal", "Part of ISO 14289 that the file names")],
    )
    + _schema(
        "IPTC extension",
        IPTC,
        "Iptc4xmpExt",
        [("DigitalSourceType", "URI", "external", "How the text was made")],
    )
    + _schema(
        "Report of a prediction",
        SCHEMA,
        "xagent",
        [
            ("Document", "Text", "internal", "SHA-256 of the report as data"),
            ("DrawnWith", "Text", "internal", "Libraries that drew the pages"),
            ("Attached", "seq Text", "internal", "Attached files with their SHA-256"),
        ],
    )
    + "</rdf:Bag></pdfaExtension:schemas></rdf:Description>"
)
