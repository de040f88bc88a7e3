"""Drawing a report as a tagged PDF, with the network locked and every date taken from the case."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from xagent.errors import ConfigurationFault
from xagent.report._archive import VARIANT, described, finish, marks
from xagent.report._exports import Attached, attachments
from xagent.report._html import identifier, page
from xagent.report._seal import seal_pdf

LIBRARIES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
SMALLEST = 9


def render_pdf(data: dict[str, Any], files: Sequence[Attached] | None = None) -> bytes:
    """The report as bytes of a PDF that names PDF/A-3a and PDF/UA-1, equal for equal arguments, with a seal.

    files: what is attached; None for the report as data (`<case id>.<persona>.json`) and the figures of its charts.
    A persona's limit of pages is met by smaller type. Raises ConfigurationFault when WeasyPrint or a library it needs
    is missing.
    """
    files = attachments(data) if files is None else tuple(files)
    weasyprint, fetcher, blocked = _weasyprint()
    try:
        document = _laid_out(data, weasyprint, fetcher)
    except blocked as error:  # a BaseException, which nobody above would catch
        raise ConfigurationFault(f"A template names a file outside the report: {error}.", "Embed it.") from None
    decided = _decided_at(data)
    metadata = document.metadata
    metadata.generate_rdf_metadata = described(metadata.generate_rdf_metadata, marks(data, files))
    metadata.attachments = [
        weasyprint.Attachment(
            string=file.content,
            name=file.name,
            description=file.description,
            relationship=file.relationship,
            created=decided,
            modified=decided,
        )
        for file in files
    ]
    with warnings.catch_warnings():  # WeasyPrint 70 leaves its colour profile to be closed by the collector
        warnings.simplefilter("ignore", ResourceWarning)
        written = document.write_pdf(finisher=finish, pdf_variant=VARIANT, pdf_identifier=identifier(data).encode())
    return seal_pdf(bytes(written))


def _laid_out(data: dict[str, Any], weasyprint: Any, fetcher: Any) -> Any:
    """The report on pages; one with a limit of pages in the largest type that fits."""

    def at(density: int) -> Any:
        html = page(data, paper=True, density=density)
        return weasyprint.HTML(string=html, url_fetcher=fetcher, base_url=None).render(pdf_variant=VARIANT)

    most = (data["persona"].get("limits") or {}).get("pages")
    if most is None:
        return at(0)
    best, density, shrinking = None, _guess(data, most), False
    while 0 <= density <= SMALLEST:
        document = at(density)
        if len(document.pages) > most:
            if best is not None:
                break
            density, shrinking = density + 1, True
        else:
            best = document
            if shrinking:
                break
            density -= 1
    return best or document


def _guess(data: dict[str, Any], pages: int) -> int:
    """Step at which text of this length is likely to fill so many pages; a wrong guess costs time, not quality."""
    words = data["narrative"]
    letters = sum(len(sentence["text"]) for section in words["sections"] for sentence in section["sentences"])
    letters += sum(len(item["sentence"]["text"]) + 40 for part in ("warnings", "findings") for item in words[part])
    return max(0, min(SMALLEST, round((letters - (1300 if pages == 1 else 2100 * pages)) / 500)))


def _weasyprint() -> tuple[Any, Any, Any]:
    """WeasyPrint, a fetcher that knows nothing but `data:` addresses, and what it raises for all others."""
    try:
        import weasyprint
        from weasyprint.urls import FatalURLFetchingError, URLFetcher
    except ImportError as error:
        raise ConfigurationFault("PDF needs WeasyPrint.", "pip install 'weasyprint>=70'") from error
    except OSError as error:
        raise ConfigurationFault(
            f"PDF needs system libraries that are not installed ({error}).",
            f"apt-get install --no-install-recommends {LIBRARIES}",
        ) from error
    for name in ("weasyprint", "weasyprint.progress", "fontTools"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    fetcher = URLFetcher(allowed_protocols={"data"}, allow_redirects=False, fail_on_errors=True)
    return weasyprint, fetcher, FatalURLFetchingError


def _decided_at(data: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(data["decision"]["decided_at"]).astimezone(UTC)
