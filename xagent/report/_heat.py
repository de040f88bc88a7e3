"""The heat map of an image: the image itself, and the same with the relevance of its cells laid over it."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xagent.report._cells import Facts
from xagent.report._charts import WIDTH, Chart, _n, fit
from xagent.report._labels import said
from xagent.report._png import data_uri, grey_png
from xagent.report._scale import MINUS, Scale, percent

MOST_CELLS = 32
MOST_PIXELS = 224
MOST_SQUARES = 1024
"""Pixels that are drawn as squares, which stay sharp at every size; a larger picture is embedded as PNG."""
SIDE, PANEL = 168.0, 270.0
NAMED = 6
Grid = list[list[float]]


def image_chart(image: dict[str, Any], alt: str, facts: Facts, *, plain: bool = False, players: Any = ()) -> Chart:
    """image: pixels (grey, 0 to 1) and map (signed), both (height, width).

    The overlay has the cells that the report names (players `cell.row.column`), at most 32 a side: smaller ones are
    added up, which keeps the sum. The strongest cells carry their rank; their names and amounts stand beside.
    """
    pixels = _pooled(image["pixels"], MOST_PIXELS, mean=True)
    cells, named = _cells(image["map"], players)
    rows, columns = len(cells), len(cells[0])
    values = [v for row in cells for v in row]
    scale, total = Scale.of(values), sum(abs(v) for v in values) or 1.0
    height, width = len(pixels), len(pixels[0])
    zoom = PANEL / max(height, width)
    panel = (width * zoom, height * zoom)
    side = (panel[0] / columns, panel[1] / rows)
    left, top = WIDTH - PANEL, 22.0
    strong = sorted(
        ((r, c) for r in range(rows) for c in range(columns) if scale.strength(cells[r][c]) >= 0.15),
        key=lambda at: (-abs(cells[at[0]][at[1]]), at),
    )
    overlay = [
        {
            **_edges(left, side[0], c, "x", "w"),
            **_edges(top, side[1], r, "y", "h"),
            "tone": "for" if cells[r][c] > 0 else "against",
            "opacity": scale.opacity(cells[r][c], 0.85),
            "hatch": "yes" if cells[r][c] < 0 and scale.level(cells[r][c]) else "",
        }
        for r in range(rows)
        for c in range(columns)
        if scale.opacity(cells[r][c], 0.85)
    ]
    signs = [
        {
            "x": _n(left + (c + 0.5) * side[0]),
            "y": _n(top + (r + 0.5) * side[1]),
            "mark": "+" if cells[r][c] > 0 else MINUS,
            "ink": _ink(pixels, (r + 0.5) / rows, (c + 0.5) / columns, scale.strength(cells[r][c])),
        }
        for r, c in strong[NAMED:24]
        if min(side) >= 14
    ]
    key_top = top + height * SIDE / max(height, width) + 62
    bound = _bound(facts) if named else {}
    coarse = plain and facts.coarse("relevance.driver.1.share")
    keys, heads = [], []
    for n, (r, c) in enumerate(strong[:NAMED], start=1):
        value, driver = cells[r][c], bound.get(f"cell.{r + 1}.{c + 1}", "")
        figure = facts.cell(f"{driver}.{'share' if plain else 'effect'}") if driver else None
        text = percent(value / total) if plain else scale.text(value)
        if figure is not None:
            text = figure.text
        if plain:
            text = ("+" if value > 0 else MINUS) + ("" if coarse else text)
        name = facts.cell(f"{driver}.name") if driver else None
        label = name.text if name else said("area {row}, {column}", row=r + 1, column=c + 1)
        badge = {"x": _n(left + (c + 0.5) * side[0]), "y": _n(top + (r + 0.5) * side[1])}
        heads.append({**badge, "label": str(n)})
        keys.append(
            {"y": _n(key_top + (n - 1) * 17), "number": str(n), "label": fit(label, SIDE - 64, 11.5), "text": text,
             "claim": figure.claim if figure else ""}
        )  # fmt: skip
    bottom = max(top + panel[1], key_top + len(keys) * 17 - 10)
    ends = percent(scale.most / total) if plain else scale.text(scale.most).lstrip("+")
    if coarse:
        ends = facts.text("relevance.driver.1.share")
    return Chart(
        "heatmap",
        alt,
        _n(bottom + 6),
        cells=overlay,
        rows=keys,
        heads=heads,
        signs=signs,
        picture=_picture(pixels, left, top, zoom),
        lines={
            "left": _n(left), "badge": _n(min(8.5, max(6.5, min(side) * 0.4))), "panel_wide": _n(panel[0]),
            "panel_high": _n(panel[1]), "legend": _n(key_top - 46), "side": _n(SIDE),
        },
        words={
            "against": said("against, up to {most}", most=ends if coarse else MINUS + ends),
            "for": said("for, up to {most}", most=ends if coarse else f"+{ends}"),
        },
    )  # fmt: skip


def image_statement(image: dict[str, Any], players: Any = ()) -> str:
    height, width = len(image["map"]), len(image["map"][0])
    _, named = _cells(image["map"], players)
    if named:
        return ""
    step = -(-max(height, width) // MOST_CELLS)
    if step == 1:
        return ""
    return said(
        "The image has {high} by {wide} pixels; every area adds up {step} by {step} of them.",
        high=height, wide=width, step=step,
    )  # fmt: skip


def _ink(pixels: Grid, down: float, across: float, strength: float) -> str:
    grey = pixels[int(down * len(pixels))][int(across * len(pixels[0]))]
    return "#ffffff" if grey * (1 - 0.85 * strength) < 0.43 else "#16202c"


def _edges(start: float, side: float, place: int, at: str, size: str) -> dict[str, str]:
    """Rounded edges that touch those of the neighbours, so that no line shows between them."""
    low, high = round(start + place * side, 1), round(start + (place + 1) * side, 1)
    return {at: _n(low), size: _n(high - low)}


def _cells(relevance: Sequence[Sequence[float]], players: Any) -> tuple[Grid, bool]:
    """Relevance by cell, and whether these are the cells that the report names."""
    found: dict[tuple[int, int], float] = {}
    for player in players or ():
        match = re.fullmatch(r"cell\.(\d+)\.(\d+)", str(player["feature"]))
        if match:
            found[int(match[1]), int(match[2])] = float(player["relevance"])
    if found:
        rows, columns = max(r for r, _ in found), max(c for _, c in found)
        if max(rows, columns) <= MOST_CELLS and rows <= len(relevance) and columns <= len(relevance[0]):
            return [[found.get((r, c), 0.0) for c in range(1, columns + 1)] for r in range(1, rows + 1)], True
    return _pooled(relevance, MOST_CELLS, mean=False), False


def _picture(pixels: Grid, left: float, top: float, zoom: float) -> dict[str, Any]:
    """Squares for a small picture, a PNG for a large one; both are drawn at two places."""
    height, width = len(pixels), len(pixels[0])
    greys = [[round(255 * min(1.0, max(0.0, v))) for v in row] for row in pixels]
    small = SIDE / max(height, width)
    places = [
        {"x": "0", "y": _n(top), "wide": _n(width * small), "high": _n(height * small)},
        {"x": _n(left), "y": _n(top), "wide": _n(width * zoom), "high": _n(height * zoom)},
    ]
    if height * width > MOST_SQUARES:
        return {"uri": data_uri(grey_png(greys)), "places": places, "squares": []}
    squares = []
    for at, size in ((0.0, small), (left, zoom)):
        for r in range(height):
            for c, grey in enumerate(greys[r]):
                x, y = at + c * size, top + r * size
                squares.append(
                    {
                        "x": _n(x),
                        "y": _n(y),
                        "w": _n(size + 0.3),
                        "h": _n(size + 0.3),
                        "fill": f"#{grey:02x}{grey:02x}{grey:02x}",
                    }
                )
    return {"uri": "", "places": places, "squares": squares}


def _bound(facts: Facts) -> dict[str, str]:
    keys = [key.removesuffix(".effect") for key in facts.ids("relevance.driver.") if key.endswith(".effect")]
    return {claim.feature: key for key in keys if (claim := facts.claim(f"{key}.effect")) and claim.feature}


def _pooled(rows: Sequence[Sequence[float]], most: int = MOST_CELLS, *, mean: bool) -> Grid:
    """At most `most` a side: the mean of each square block, or its sum, which keeps the sum of all."""
    height, width = len(rows), len(rows[0])
    step = -(-max(height, width) // most)
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
