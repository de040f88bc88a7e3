"""A seal: the SHA-256 of a file over all its bytes, its own place read as zeros.

It tells what was changed by accident or by another program. It is no secret: whoever changes a file on purpose can seal
it anew, and then only what the file says or a signature tells.
"""

from __future__ import annotations

import hashlib
import re

from xagent.errors import ConfigurationFault

BLANK = b"0" * 64
_PDF_ID = re.compile(rb"/ID \[\([0-9a-f]{32}\) \(([0-9a-f]{32,64})\)\]")
_HTML = re.compile(rb'<meta name="xagent\.seal" content="sha256:([0-9a-f]{64})">')
_END = re.compile(rb"startxref\n\d{1,12}\n%%EOF\n")


def seal_pdf(content: bytes) -> bytes:
    """The second half of the trailer's identifier, which tells versions of a file apart, becomes the seal.

    The identifier stands in the last object, so that no offset moves.
    """
    found = list(_PDF_ID.finditer(content))
    if not found:
        raise ConfigurationFault("This WeasyPrint writes no identifier that can be sealed.", "Use WeasyPrint 70.")
    return _sealed(content, *found[-1].span(1))


def seal_html(content: bytes) -> bytes:
    found = _HTML.search(content)
    return content if found is None else _sealed(content, *found.span(1))


def _sealed(content: bytes, start: int, end: int) -> bytes:
    head, tail = content[:start], content[end:]
    return head + hashlib.sha256(head + BLANK + tail).hexdigest().encode() + tail


def first_revision(content: bytes) -> bytes:
    """A PDF up to its first end: without what a signature, or anybody, added behind it; all of it without an end."""
    found = _END.search(content)
    return content if found is None else content[: found.end()]


def pdf_seal_holds(content: bytes) -> bool | None:
    """Of one revision. None: there is no seal, so that the file is none of ours or was written anew."""
    found = list(_PDF_ID.finditer(content))
    return _holds(content, *found[-1].span(1)) if found and len(found[-1][1]) == len(BLANK) else None


def html_seal_holds(content: bytes) -> bool | None:
    found = _HTML.search(content)
    return None if found is None else _holds(content, *found.span(1))


def _holds(content: bytes, start: int, end: int) -> bool:
    return _sealed(content, start, end) == content
