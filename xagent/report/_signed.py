"""Signing a PDF and reading its signature: PAdES, as a certification that permits no change. Needs pyHanko (`sign`).

A signature is added behind the file, which stays the first bytes of the signed one. What else stands behind it is
looked at object by object: a signature of somebody else over a page that was exchanged is a valid signature too.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from xagent.errors import AlteredReport, ConfigurationFault, UsageFault
from xagent.narrative import Problem
from xagent.report._seal import first_revision, pdf_seal_holds

INSTALL = "pip install 'xagent[sign]'"
PASSPHRASE = "XAGENT_KEY_PASSPHRASE"  # noqa: S105 - the name of a variable
FIELD = "Signature"
_ROOT_MAY = frozenset({"/AcroForm", "/Perms", "/Extensions", "/Version", "/DSS"})
_PAGE_MAY = frozenset({"/Annots"})


def sign_pdf(content: bytes, key: Path, certificate: Path | None = None) -> bytes:
    """The PDF with a signature behind it.

    key: PKCS#12 (`.p12`, `.pfx`), or PEM with `certificate` beside it (default: the same name with `.crt`). A
    passphrase is read from XAGENT_KEY_PASSPHRASE. Raises AlteredReport for a PDF that is not as it was drawn or is
    signed already, UsageFault for a key that cannot be used, ConfigurationFault without pyHanko.
    """
    signers, fields, writer_of = _pyhanko()
    if first_revision(content) != content or not pdf_seal_holds(content):
        raise AlteredReport("This PDF is signed already, or is not as it was drawn.", "Sign the file that was saved.")
    signer = _signer(signers, key, certificate)
    meta = signers.PdfSignatureMetadata(
        field_name=FIELD,
        certify=True,
        docmdp_permissions=fields.MDPPerm.NO_CHANGES,
        subfilter=fields.SigSeedSubFilter.PADES,
        md_algorithm="sha256",
    )
    try:
        out = signers.sign_pdf(writer_of(io.BytesIO(content)), meta, signer=signer)
    except Exception as error:
        raise UsageFault(f"{key.name} cannot sign ({error}).", "Give a key that may sign documents.") from None
    signed = bytes(out.getvalue())
    if not signed.startswith(content):
        raise ConfigurationFault("This pyHanko rewrites what it signs.", INSTALL)
    return signed


def _signer(signers: Any, key: Path, certificate: Path | None) -> Any:
    secret = os.environ.get(PASSPHRASE, "").encode() or None
    packed = key.suffix.lower() in (".p12", ".pfx")
    beside = certificate or key.with_suffix(".crt")
    for path in (key,) if packed else (key, beside):
        if not path.is_file():
            raise UsageFault(f"There is no file {path}.", "Give a .p12, or a .pem and its certificate (.crt).")
    if packed:
        signer = signers.SimpleSigner.load_pkcs12(str(key), passphrase=secret)
    else:
        signer = signers.SimpleSigner.load(str(key), str(beside), key_passphrase=secret)
    if signer is None:
        raise UsageFault(
            f"{key.name} cannot be opened as a key.", f"Check the file, and the passphrase in {PASSPHRASE}."
        )
    return signer


def signature_of(name: str, content: bytes, first: bytes) -> tuple[str, list[Problem]]:
    """Who signed, in words, and what is wrong with what stands behind the first revision.

    Raises ConfigurationFault without pyHanko.
    """
    _pyhanko()
    from pyhanko.pdf_utils.reader import PdfFileReader
    from pyhanko.sign.validation import validate_pdf_signature
    from pyhanko.sign.validation.status import SignatureCoverageLevel
    from pyhanko_certvalidator import ValidationContext

    tail = len(content) - len(first)
    try:
        found = PdfFileReader(io.BytesIO(content)).embedded_signatures
        if len(found) != 1:
            message = f"{tail} bytes were added behind the report, with {len(found)} signatures in them."
            return "", [_problem(name, message)]
        context = ValidationContext(trust_roots=[], allow_fetching=False)
        status = validate_pdf_signature(found[0], signer_validation_context=context)
        subject = found[0].signer_cert.subject.human_friendly
        digest = found[0].signer_cert.sha256.hex()
        own = found[0].signer_cert.self_issued
    except Exception as error:  # a parser of hostile bytes may raise anything
        return "", [_problem(name, f"What was added behind the report is no signature ({str(error)[:200]}).")]
    faults = []
    if not (status.intact and status.valid):
        faults.append(
            _problem(name, f"The signature of {subject} does not fit the file: it was changed after signing.")
        )
    if status.coverage != SignatureCoverageLevel.ENTIRE_FILE:
        faults.append(_problem(name, f"The signature of {subject} does not cover all of the file."))
    faults += [_problem(name, text) for text in _more_than_signed(content, first)]
    trust = "a key that signed its own certificate" if own else "not checked against any authority"
    return f"signed by {subject} ({trust}; certificate {digest}), no change permitted and none made", faults


def _more_than_signed(content: bytes, first: bytes) -> Iterator[str]:
    """Objects of the report that the added part exchanges, apart from what an invisible signature needs."""
    import pypdf

    try:
        old, new = pypdf.PdfReader(io.BytesIO(first)), pypdf.PdfReader(io.BytesIO(content))
        first_page: Any = old.pages[0].indirect_reference
        root, page = old.trailer.raw_get("/Root").idnum, first_page.idnum
        if (new.trailer.raw_get("/Root").idnum, new.trailer.raw_get("/Info").idnum) != (
            root,
            old.trailer.raw_get("/Info").idnum,
        ):
            yield "What was added behind the report puts another document in its place."
            return
        for number in sorted({n for part in old.xref.values() for n in part} | set(old.xref_objStm)):
            before, after = (_written(r, number, _may(number, root, page)) for r in (old, new))
            if before != after:
                yield f"What was added behind the report exchanges object {number} of it."
                return
        widgets = [note.get_object() for note in new.pages[0].get("/Annots") or ()]
        rect = [float(side) for note in widgets for side in note["/Rect"]]
        if len(widgets) != 1 or widgets[0].get("/FT") != "/Sig" or any(rect) or "/AP" in widgets[0]:
            yield "What was added behind the report shows on its pages."
    except Exception as error:  # a parser of hostile bytes may raise anything
        yield f"What was added behind the report cannot be read ({str(error)[:200]})."


def _may(number: int, root: int, page: int) -> frozenset[str]:
    return _ROOT_MAY if number == root else _PAGE_MAY if number == page else frozenset()


def _written(reader: Any, number: int, without: frozenset[str]) -> bytes:
    from pypdf.generic import DictionaryObject, IndirectObject

    thing = reader.get_object(IndirectObject(number, 0, reader))
    if thing is None:
        return b""
    if without:
        thing = DictionaryObject({key: thing.raw_get(key) for key in thing if key not in without})
    out = io.BytesIO()
    thing.write_to_stream(out)
    return out.getvalue()


def _pyhanko() -> tuple[Any, Any, Any]:
    """Signers, fields, and a writer that leaves titles and dates of the file as they are."""
    try:
        from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter
        from pyhanko.sign import fields, signers
    except ImportError as error:
        raise ConfigurationFault("Signatures need pyHanko.", INSTALL) from error
    for name in ("pyhanko", "pyhanko_certvalidator"):
        logging.getLogger(name).setLevel(logging.CRITICAL)

    class Writer(IncrementalPdfFileWriter):  # type: ignore[misc]
        def _update_meta(self) -> None:
            return

    return signers, fields, Writer


def _problem(name: str, message: str) -> Problem:
    return Problem(kind="signature", token=name, message=message, mend="Ask the signer for the file that was signed.")
