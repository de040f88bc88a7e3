"""What a reader gets: the report as data (the truth), as one HTML page and as a tagged PDF, and its files.

In: ledger, findings, verified narrative, artifacts. Out: `Report`; equal evidence gives equal bytes.
"""

from xagent.report._build import build_report
from xagent.report._document import SCHEMA, report_json, report_schema
from xagent.report._html import render_html
from xagent.report._pdf import render_pdf
from xagent.report._report import FORMATS, Report, Verification
from xagent.report._templates import template_root

__all__ = [
    "FORMATS",
    "SCHEMA",
    "Report",
    "Verification",
    "build_report",
    "render_html",
    "render_pdf",
    "report_json",
    "report_schema",
    "template_root",
]
