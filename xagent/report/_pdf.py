"""Drawing a report as a tagged PDF, with the network locked and every date taken from the case."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from xagent.errors import ConfigurationFault
from xagent.report._document import report_json
from xagent.report._html import identifier, page

LIBRARIES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
SMALLEST = 9


def render_pdf(data: dict[str, Any]) -> bytes:
    """The report as PDF/UA-1 bytes, equal for equal data; its JSON is attached as `<case id>.<persona>.json`.

    A persona's limit of pages is met by smaller type. Raises ConfigurationFault when WeasyPrint
    or a library it needs is missing.
    """
    weasyprint, fetcher, blocked = _weasyprint()
    try:
        document = _laid_out(data, weasyprint, fetcher)
    except blocked as error:  # a BaseException, which nobody above would catch
        raise ConfigurationFault(f"A template names a file outside the report: {error}.", "Embed it.") from None
    decided = _decided_at(data)
    document.metadata.attachments = [
        weasyprint.Attachment(
            string=report_json(data).encode(),
            name=f"{data['case']['id']}.{data['persona']['name']}.json",
            description="The report as data",
            relationship="Data",
            created=decided,
            modified=decided,
        )
    ]
    return bytes(document.write_pdf(pdf_variant="pdf/ua-1", pdf_identifier=identifier(data).encode()))


def _laid_out(data: dict[str, Any], weasyprint: Any, fetcher: Any) -> Any:
    """The report on pages; one with a limit of pages in the largest type that fits."""

    def at(density: int) -> Any:
        html = page(data, paper=True, density=density)
        return weasyprint.HTML(string=html, url_fetcher=fetcher, base_url=None).render(pdf_variant="pdf/ua-1")

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
