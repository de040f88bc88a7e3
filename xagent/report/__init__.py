"""What a reader gets: the report as data (the truth), as one HTML page and as a tagged PDF, and its files.

In: ledger, findings, verified narrative, artifacts. Out: `Report`; equal evidence gives equal bytes.
"""

from xagent.report._build import build_report
from xagent.report._document import SCHEMA, report_json, report_schema
from xagent.report._file import verify_file
from xagent.report._html import render_html
from xagent.report._keys import new_key
from xagent.report._pdf import render_pdf
from xagent.report._report import FORMATS, Report, Verification, write_files
from xagent.report._signed import sign_pdf
from xagent.report._templates import template_root
from xagent.report._verify import Verdict, read_report, require_verified, verify_report

__all__ = [
    "FORMATS",
    "SCHEMA",
    "Report",
    "Verdict",
    "Verification",
    "build_report",
    "new_key",
    "read_report",
    "render_html",
    "render_pdf",
    "report_json",
    "report_schema",
    "require_verified",
    "sign_pdf",
    "template_root",
    "verify_file",
    "verify_report",
    "write_files",
]
