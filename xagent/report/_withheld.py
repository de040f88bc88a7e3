"""What is left of an artifact whose claims are not all for this reader: what its charts are drawn from, no more."""

from __future__ import annotations

from typing import Any

from xagent.personas import Persona

Json = dict[str, Any]

_DRAWN: dict[str, tuple[str, tuple[str, ...]]] = {
    "heatmap": ("image", ("image", "players")),
    "tokens": ("tokens", ("tokens", "players")),
    "sentences": ("sentences", ("sentences",)),
    "answer": ("answer", ("answer",)),
    "prompt": ("answer", ("answer",)),
    "layers": ("layers", ("layers",)),
    "heads": ("heads", ("heads",)),
    "timeline": ("steps", ("steps",)),
}
"""By chart: the part of the data that there must be something in, and all parts that the chart needs."""
_OF = {
    "relevance": ("heatmap", "tokens", "sentences", "answer", "prompt", "layers", "heads"),
    "process": ("timeline",),
}


def drawn_data(tool: str, data: Json, persona: Persona) -> Json:
    """The parts of an artifact's data that the persona's charts show; most often none."""
    kept: set[str] = set()
    for chart in _OF.get(tool, ()):
        must, parts = _DRAWN[chart]
        if chart in persona.charts and data.get(must):
            kept |= set(parts)
    return {key: value for key, value in data.items() if key in kept}
