"""Heat maps: an image as grey cells with signed marks, a text as words with signed marks."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xagent.report._cells import Facts
from xagent.report._charts import Chart, _n

MOST_CELLS = 32
PANEL = 214.0
MOST_WORDS = 600


def image_chart(image: dict[str, Any], alt: str) -> Chart:
    """The image in grey beside the same image with relevance laid over it.

    pixels and map are (height, width); larger images are pooled to at most 32 cells a side (mean of pixels, sum of
    relevance), which keeps the sum of the map.
    """
    pixels, relevance = _pooled(image["pixels"], mean=True), _pooled(image["map"], mean=False)
    rows, columns = len(pixels), len(pixels[0])
    side = int(10 * PANEL / max(rows, columns)) / 10  # one decimal, so that cells touch
    most = max((abs(v) for row in relevance for v in row), default=0.0) or 1.0
    strongest = sorted((abs(v) for row in relevance for v in row), reverse=True)[: max(6, rows * columns // 8)]
    cells = []
    for r in range(rows):
        for c in range(columns):
            grey, value = round(255 * min(1.0, max(0.0, pixels[r][c]))), relevance[r][c]
            strength = abs(value) / most
            signed = side >= 9 and strength >= 0.15 and abs(value) >= strongest[-1]
            cells.append(
                {
                    "x": _n(c * side),
                    "x2": _n(c * side + PANEL + 32),
                    "y": _n(20 + r * side),
                    "cx": _n(c * side + PANEL + 32 + side / 2),
                    "cy": _n(20 + r * side + side * 0.5 + min(side, 16) * 0.34),
                    "grey": f"#{grey:02x}{grey:02x}{grey:02x}",
                    "tone": "for" if value > 0 else "against",
                    "opacity": f"{0.85 * strength:.2f}" if strength >= 0.02 else "",
                    "ink": "#ffffff" if grey * (1 - 0.85 * strength) < 110 else "#16202c",
                    "mark": ("+" if value > 0 else "\u2212") if signed else "",
                }
            )
    lines = {"side": _n(side), "size": _n(min(side, 16)), "right": _n(PANEL + 32)}
    return Chart("heatmap", alt, _n(24 + rows * side), cells=cells, lines=lines)


def word_marks(artifact: dict[str, Any], facts: Facts) -> list[dict[str, str]]:
    """Every word of a text in reading order, with its tone, strength 0 to 4 and the claim that says how much."""
    players = [p for p in artifact.get("players", ()) if re.fullmatch(r"word\.\d+", str(p["feature"]))]
    if not players:
        return []
    players.sort(key=lambda p: int(p["feature"].split(".")[1]))
    most = max(abs(p["relevance"]) for p in players) or 1.0
    effects = [key for key in facts.ids("relevance.driver.") if key.endswith(".effect")]
    claims = {claim.feature: key for key in effects if (claim := facts.claim(key))}
    words = []
    for player in players[:MOST_WORDS]:
        strength = abs(player["relevance"]) / most
        level = 4 if strength > 0.75 else 3 if strength > 0.5 else 2 if strength > 0.25 else 1 if strength > 0.1 else 0
        tone = "for" if player["relevance"] > 0 else "against"
        words.append(
            {
                "text": str(player["label"]),
                "tone": tone if level else "neither",
                "level": str(level),
                "mark": "" if not level else "+" if tone == "for" else "\u2212",
                "claim": claims.get(player["feature"], ""),
            }
        )
    return words


def _pooled(rows: Sequence[Sequence[float]], *, mean: bool) -> list[list[float]]:
    height, width = len(rows), len(rows[0])
    step = -(-max(height, width) // MOST_CELLS)
    if step == 1:
        return [list(row) for row in rows]
    pooled = []
    for r in range(0, height, step):
        line = []
        for c in range(0, width, step):
            block = [v for row in rows[r : r + step] for v in row[c : c + step]]
            line.append(sum(block) / len(block) if mean else sum(block))
        pooled.append(line)
    return pooled
