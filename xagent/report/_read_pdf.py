"""A PDF taken apart with care: its attached files, the words of its pages, the texts of its figures. Needs pypdf."""

from __future__ import annotations

import io
import logging
import re
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from xml.sax.saxutils import unescape

from xagent.errors import ConfigurationFault
from xagent.report._printed import bare, without_footer

MOST_PAGES = 1000
MOST_FILES = 64
MAX_INSIDE = 256 * 1024 * 1024
"""Bytes that all attached files of a report may have together."""


class Unreadable(Exception):
    """What a file is not."""


@dataclass(frozen=True)
class ReadPdf:
    """files: by name, in their order. words: of all pages, bare. stated: hash by attached name, of the metadata."""

    files: dict[str, bytes]
    stated: dict[str, str]
    drawn_with: str
    alternatives: tuple[str, ...]
    fonts: frozenset[str]
    reader: Any

    def words(self, case: str) -> list[str]:
        """Bare words of each page, without its footer. Raises Unreadable."""
        try:
            pages = [page.extract_text() for page in self.reader.pages]
        except Exception as error:
            raise Unreadable(f"the words of its pages cannot be read ({_short(error)})") from None
        total = len(pages)
        return [bare(without_footer(text, case, n, total)) for n, text in enumerate(pages, 1)]


def read_pdf(content: bytes) -> ReadPdf:
    """Raises Unreadable for whatever is no PDF as xagent writes it, ConfigurationFault without pypdf."""
    try:
        import pypdf
    except ImportError as error:
        raise ConfigurationFault("Reading a PDF needs pypdf.", "pip install 'pypdf>=6'") from error
    logging.getLogger("pypdf").setLevel(logging.CRITICAL)
    try:
        reader = pypdf.PdfReader(io.BytesIO(content))
        if reader.is_encrypted:
            raise Unreadable("it is encrypted")
        if len(reader.pages) > MOST_PAGES:
            raise Unreadable(f"it has more than {MOST_PAGES} pages")
        root: Any = reader.trailer["/Root"]
        files = dict(_files(root))
        xmp = root["/Metadata"].get_object().get_data().decode("utf-8")
        alternatives = tuple(_alternatives(root.get("/StructTreeRoot")))
        fonts = frozenset(_fonts(reader))
    except Unreadable:
        raise
    except Exception as error:
        raise Unreadable(f"it cannot be taken apart ({_short(error)})") from None
    return ReadPdf(files, _stated(xmp), _between(xmp, "DrawnWith"), alternatives, fonts, reader)


def _files(root: Any) -> Iterator[tuple[str, bytes]]:
    """Embedded files by name. Raises Unreadable for two of one name, too many or too large ones."""
    pairs = root["/Names"]["/EmbeddedFiles"]["/Names"]
    seen: set[str] = set()
    room = MAX_INSIDE
    if len(pairs) > 2 * MOST_FILES:
        raise Unreadable(f"it has more than {MOST_FILES} attached files")
    for place in range(1, len(pairs), 2):
        file = pairs[place].get_object()
        name = str(file["/UF"])
        if name in seen or str(file["/F"]) != name or str(pairs[place - 1]) != name:
            raise Unreadable(f"the attached file {name!r} has two names, or two files have this one")
        seen.add(name)
        content = _inflated(file["/EF"]["/F"].get_object(), room)
        room -= len(content)
        yield name, content


def _inflated(stream: Any, room: int) -> bytes:
    packed = bytes(stream._data)
    kind = stream.get("/Filter")
    if kind is None:
        return packed[:room]
    if str(kind) not in ("/FlateDecode", "['/FlateDecode']"):
        raise Unreadable(f"an attached file is packed with {kind}")
    unpacker = zlib.decompressobj()
    content = unpacker.decompress(packed, room)
    if unpacker.unconsumed_tail:
        raise Unreadable(f"its attached files have more than {MAX_INSIDE >> 20} MiB")
    return content


def _alternatives(tree: Any) -> Iterator[str]:
    waiting: list[Any] = [tree]
    steps = 0
    while waiting:
        here: Any = waiting.pop()
        here = here.get_object() if hasattr(here, "get_object") else here
        steps += 1
        if steps > 2_000_000:
            raise Unreadable("its structure does not end")
        if isinstance(here, list):
            waiting += here
        elif isinstance(here, dict):
            if "/Alt" in here:
                yield str(here["/Alt"])
            if "/K" in here:
                waiting.append(here["/K"])


def _fonts(reader: Any) -> Iterator[str]:
    for page in reader.pages:
        for font in (page["/Resources"].get("/Font") or {}).values():
            yield str(font.get_object().get("/BaseFont", ""))


_LISTED = re.compile(r"<rdf:li>([^<]*) sha256:([0-9a-f]{64})</rdf:li>")


def _stated(xmp: str) -> dict[str, str]:
    return {unescape(name): digest for name, digest in _LISTED.findall(xmp)}


def _between(xmp: str, name: str) -> str:
    found = re.search(f"<xagent:{name}>([^<]*)</xagent:{name}>", xmp)
    return unescape(found[1]) if found else ""


def _short(error: Exception) -> str:
    text = " ".join(str(error).split()) or type(error).__name__
    return text if len(text) < 120 else text[:117] + "..."
