"""Data tables behind the figures of relevance, for the appendix: capped, and saying so."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xagent.report._answer import grid_of
from xagent.report._cells import Cell
from xagent.report._labels import said, signs
from xagent.report._scale import Scale, percent
from xagent.report._tables import Table

MOST_ROWS = 60


def figure_tables(found: dict[str, Any], charts: Sequence[str]) -> Iterator[Table]:
    """found: data of the relevance artifact. charts: figures that this report shows."""
    if "heatmap" in charts and found.get("image"):
        players = found.get("players") or ()
        rows = [(str(p["label"]), float(p["relevance"])) for p in players]
        yield _amounts("cells", said("Areas of the image"), [said("Area")], rows)
    if "tokens" in charts and found.get("tokens"):
        words = [(str(row["text"]), float(row["relevance"])) for row in found["tokens"]]
        yield _amounts("words", said("Words of the text, with their number in it"), [said("No."), said("Word")], words)
    if "sentences" in charts and len(found.get("sentences") or ()) > 1:
        rows = [(str(s["text"]), float(s["relevance"])) for s in found["sentences"]]
        yield _amounts(
            "sentences", said("Sentences of the text, with their number in it"), [said("No."), said("Sentence")], rows
        )
    if "answer" in charts and found.get("answer"):
        yield from _matrix(found["answer"])
    if "layers" in charts and len(found.get("layers") or ()) > 1:
        layers = [(str(layer["name"]), float(layer["sum"])) for layer in found["layers"]]
        caption = said("Relevance held by each recorded layer, in the order of the forward")
        yield _in_order("layers", caption, said("Layer"), layers)
    if "heads" in charts and found.get("heads"):
        heads = [(said("{layer}, head {head}", **head), float(head["relevance"])) for head in found["heads"]]
        yield _amounts("heads", said("Attention heads"), [said("Head")], heads)


def _amounts(ident: str, caption: str, head: list[str], rows: list[tuple[str, float]]) -> Table:
    """The strongest first; equal ones as they come. A first column `No.` gives the place of each."""
    scale, total = Scale.of(v for _, v in rows), sum(abs(v) for _, v in rows) or 1.0
    order = sorted(range(len(rows)), key=lambda i: (-abs(rows[i][1]), i))[:MOST_ROWS]
    body = []
    for i in order:
        text, value = rows[i]
        amounts = [Cell(scale.text(value, 4), "", True), Cell(percent(value / total, 1), "", True)]
        body.append([*([Cell(str(i + 1))] if len(head) > 1 else []), Cell(_cut(text)), *amounts])
    return Table(ident, caption + _cap(len(rows), "strongest"), [*head, said("Relevance"), said("Share")], body)


def _in_order(ident: str, caption: str, head: str, rows: list[tuple[str, float]]) -> Table:
    scale = Scale.of(v for _, v in rows)
    body = [[Cell(_cut(name)), Cell(scale.text(value, 5), "", True)] for name, value in rows[:MOST_ROWS]]
    return Table(ident, caption + _cap(len(rows), "first"), [head, said("Relevance")], body)


def _matrix(answer: dict[str, Any]) -> Iterator[Table]:
    grid = grid_of(answer, MOST_ROWS, 8)
    if grid is None:
        return
    scale = Scale.of(value for line in grid.cells for value in line)
    body = [
        [Cell(label), *(Cell(scale.text(value, 3), "", True) for value in line), Cell(scale.text(score, 3), "", True)]
        for label, line, score in zip(grid.rows, grid.cells, grid.scores, strict=True)
    ]
    caption = said("The answer by source")
    caption += said("; {n} words a row", n=grid.each) if grid.each > 1 else ""
    caption += said("; \u201crest\u201d adds up {n} further sources", n=grid.rest) if grid.rest else ""
    yield Table("answer", caption, [said("Answer"), *grid.columns, said("Score")], body)


def _cap(total: int, which: str) -> str:
    if total <= MOST_ROWS:
        return ""
    counts = {"n": MOST_ROWS, "total": signs(f"{total:,}")}
    if which == "first":
        return said(" (the first {n} of {total}; the JSON holds all)", **counts)
    return said(" (the strongest {n} of {total}; the JSON holds all)", **counts)


def _cut(text: str, most: int = 160) -> str:
    text = " ".join(text.split(" "))
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"
