"""Drawing a report as a tagged PDF, with the network locked and every date taken from the case."""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Any

from xagent.errors import ConfigurationFault
from xagent.report._document import report_json
from xagent.report._html import identifier, page

LIBRARIES = "libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
SMALLEST = 6


def render_pdf(data: dict[str, Any]) -> bytes:
    """The report as PDF/UA-1 bytes, equal for equal data; its JSON is attached as `<case id>.<persona>.json`.

    A report for the business user is set smaller until it fits one A4 page. Raises ConfigurationFault when WeasyPrint
    or a library it needs is missing.
    """
    weasyprint, attachment, fetcher = _weasyprint()
    document = _laid_out(data, weasyprint, fetcher)
    decided = _decided_at(data)
    document.metadata.attachments = [
        attachment(
            string=report_json(data).encode(),
            name=f"{data['case']['id']}.{data['persona']['name']}.json",
            description="The report as data",
            relationship="Data",
            created=decided,
            modified=decided,
        )
    ]
    return bytes(
        document.write_pdf(
            pdf_variant="pdf/ua-1",
            pdf_identifier=identifier(data).encode(),
            custom_metadata=False,
        )
    )


def _laid_out(data: dict[str, Any], weasyprint: Any, fetcher: Any) -> Any:
    one_page = data["persona"]["name"] == "business_user"
    for density in range(SMALLEST + 1):
        html = page(data, paper=True, density=density)
        document = weasyprint.HTML(string=html, url_fetcher=fetcher, base_url=None).render(pdf_variant="pdf/ua-1")
        if not one_page or len(document.pages) == 1:
            return document
    return document


def _weasyprint() -> tuple[Any, Any, Any]:
    """WeasyPrint, its attachment type, and a fetcher that knows nothing but `data:` addresses."""
    try:
        import weasyprint
        from weasyprint.urls import URLFetcher
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
    return weasyprint, weasyprint.Attachment, fetcher


def _decided_at(data: dict[str, Any]) -> datetime:
    return datetime.fromisoformat(data["decision"]["decided_at"]).astimezone(UTC)
