"""Drawing a report as one HTML page."""

from __future__ import annotations

import hashlib
import json
from typing import Any

from markupsafe import Markup

from xagent.report._archive import source_type
from xagent.report._fonts import font_faces
from xagent.report._labels import speaking
from xagent.report._seal import BLANK, seal_html
from xagent.report._templates import environment, template_root
from xagent.report._view import View


def render_html(data: dict[str, Any]) -> str:
    """The report as one self-contained, sealed page with its own data inside; works without scripts and a network."""
    return seal_html(page(data, paper=False, density=0).encode()).decode()


def page(data: dict[str, Any], *, paper: bool, density: int) -> str:
    """The page for screens, or for paper (all parts open, no data inside).

    density 0 (roomy) to 9 (smallest type) is for readers whose report must fit one sheet.
    """
    with speaking(data["language"]):
        return _filled(data, paper=paper, density=density)


def _filled(data: dict[str, Any], *, paper: bool, density: int) -> str:
    view = View(data)
    shared = {"view": view, "data": data, "paper": paper, "density": density}
    body = Markup(environment().get_template("body.html.j2").render(**shared))  # noqa: S704 - our own template's output
    style = (template_root() / "report" / "style.css").read_text(encoding="utf-8")
    return environment().get_template("report.html.j2").render(
        **shared,
        body=body,
        style=Markup(style),  # noqa: S704 - our own file
        fonts=font_faces(str(body)),
        seal=BLANK.decode(),
        origin=source_type(data),
        evidence="" if paper else _inline_json(data),
    )  # fmt: skip


def _inline_json(data: dict[str, Any]) -> Markup:
    """JSON that cannot end the element it stands in, nor be changed by what neutralises text."""
    text = json.dumps(data, ensure_ascii=True, separators=(",", ":"), allow_nan=False)
    return Markup(text.replace("<", "\\u003c").replace(">", "\\u003e").replace("&", "\\u0026"))  # noqa: S704


def identifier(data: dict[str, Any]) -> str:
    """A fixed id for the document, from its contents."""
    text = json.dumps(data, sort_keys=True, ensure_ascii=True, allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]
