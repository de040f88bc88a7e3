"""An answer and its sources: a matrix of the answer's words against the passages of the prompt, and their list."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from xagent.report._cells import Cell, Facts
from xagent.report._charts import WIDTH, Chart, _n, fit
from xagent.report._labels import said, signs
from xagent.report._scale import MINUS, Scale, percent
from xagent.report._tables import Table
from xagent.report._words import joined_tokens

MOST_COLUMNS = 9
MOST_ROWS = 24
MOST_SOURCES = {"roomy": 20, "sheet": 6}
EXCERPT = {"roomy": 180, "sheet": 80}
LABELS, SCORES = 118.0, 52.0


@dataclass(frozen=True)
class Grid:
    """The matrix as it is shown: words of the answer (or runs of words) by sources, strongest columns in prompt order.

    rest: the last column adds up all further sources. each: words in a row, more than one for long answers.
    """

    rows: list[str]
    scores: list[float]
    columns: list[str]
    cells: list[list[float]]
    rest: int
    each: int


def source_marks(answer: dict[str, Any]) -> dict[str, str]:
    """`S1`, `S2` ... by feature, in the order of the prompt."""
    return {str(source["feature"]): f"S{n}" for n, source in enumerate(answer.get("sources") or (), start=1)}


def grid_of(answer: dict[str, Any], most_rows: int = MOST_ROWS, most_columns: int = MOST_COLUMNS) -> Grid | None:
    """The matrix within its limits; sums of cells are kept whatever is joined. None without sources."""
    sources, matrix = answer.get("sources") or [], answer.get("matrix") or []
    if not sources or not matrix:
        return None
    rows, scores, cells, each = _lines(answer["tokens"], matrix, most_rows)
    weights = [sum(abs(line[c]) for line in matrix) for c in range(len(sources))]
    order = sorted(range(len(sources)), key=lambda c: (-weights[c], c))
    cut = len(sources) > most_columns
    kept = sorted(order[: most_columns - 1] if cut else order)
    left = [c for c in range(len(sources)) if c not in kept]
    shown = [[line[c] for c in kept] + ([sum(line[c] for c in left)] if left else []) for line in cells]
    names = [f"S{c + 1}" for c in kept] + ([said("rest")] if left else [])
    return Grid(rows, scores, names, shown, len(left), each)


def _lines(
    tokens: Sequence[dict[str, Any]], matrix: Sequence[Sequence[float]], most: int
) -> tuple[list[str], list[float], list[list[float]], int]:
    if len(matrix) != len(tokens):  # one line for the whole answer
        return [said("whole answer")], [sum(float(t["score"]) for t in tokens)], [list(line) for line in matrix[:1]], 0
    # Words of tokens: each token is told apart by its place, and joined the way the prompt's tokens are.
    groups = _words_of([str(token["text"]) for token in tokens])
    each = -(-len(groups) // most)
    groups = [[t for group in groups[i : i + each] for t in group] for i in range(0, len(groups), each)]
    texts = [" ".join("".join(str(tokens[t]["text"]) for t in group).split()) for group in groups]
    scores = [sum(float(tokens[t]["score"]) for t in group) for group in groups]
    cells = [[sum(matrix[t][c] for t in group) for c in range(len(matrix[0]))] for group in groups]
    return [text or "\u2423" for text in texts], scores, cells, each


def _words_of(texts: Sequence[str]) -> list[list[int]]:
    joined, _, _ = joined_tokens([{"text": text, "relevance": 0.0} for text in texts])
    groups: list[list[int]] = []
    at = 0
    for word in joined:
        group, length = [], 0
        while at < len(texts) and length < len(word):
            length += len(texts[at])
            group.append(at)
            at += 1
        groups.append(group or [at])
        at += not group
    return groups


def answer_chart(answer: dict[str, Any], alt: str) -> Chart | None:
    """Answer words down, sources across; colour and hatching give the side, figures stand in the cells."""
    grid = grid_of(answer)
    if grid is None:
        return None
    wide = (WIDTH - LABELS - SCORES) / len(grid.columns)
    high = 24.0 if len(grid.rows) <= 12 else 19.0
    wide = min(wide, 72.0)
    scale, total = Scale.of(value for line in grid.cells for value in line), Scale.of(grid.scores)
    cells = []
    for r, line in enumerate(grid.cells):
        for c, value in enumerate(line):
            text = scale.text(value)
            text = text if len(text) * 5.6 <= wide - 2 else _mark(scale, value)
            cells.append(
                {
                    "x": _n(LABELS + c * wide),
                    "y": _n(26 + r * high),
                    "w": _n(wide - 1.5),
                    "h": _n(high - 1.5),
                    "cx": _n(LABELS + (c + 0.5) * wide),
                    "cy": _n(26 + (r + 0.5) * high + 3.6),
                    "tone": "for" if value > 0 else "against",
                    "opacity": scale.opacity(value),
                    "hatch": "",  # the sign stands in the cell
                    "text": text,
                }
            )
    rows = [
        {
            "y": _n(26 + (r + 0.5) * high + 3.5),
            "line": _n(25 + r * high),
            "label": fit(label, LABELS - 12, 12.5),
            "score": total.text(score),
        }
        for r, (label, score) in enumerate(zip(grid.rows, grid.scores, strict=True))
    ]
    heads = [{"x": _n(LABELS + (c + 0.5) * wide), "label": name} for c, name in enumerate(grid.columns)]
    right = LABELS + len(grid.columns) * wide
    lines = {"scores": _n(min(WIDTH, right + SCORES))}
    bottom = 26 + len(grid.rows) * high
    return Chart("answer", alt, _n(bottom + 4), cells=cells, lines=lines, rows=rows, heads=heads)


def _mark(scale: Scale, value: float) -> str:
    return "" if not scale.level(value) else "+" if value > 0 else MINUS


def answer_statements(answer: dict[str, Any]) -> list[str]:
    """What the matrix leaves out or adds up, and how it was made."""
    grid = grid_of(answer)
    if grid is None:
        return []
    notes = []
    if grid.each > 1:
        notes.append(said("A row holds {n} words of the answer.", n=grid.each))
    if grid.rest:
        total = len(grid.columns) - 1 + grid.rest
        notes.append(
            said(
                "Shown: the {n} strongest of {total} sources; \u201crest\u201d adds up the others.",
                n=total - grid.rest,
                total=total,
            )
        )
    if not grid.each:
        notes.append(said("The answer was weighed as a whole; there is one row."))
    return notes


def sources_table(answer: dict[str, Any], facts: Facts, *, plain: bool, sheet: bool) -> Table:
    """Every source with an excerpt, in the order of the prompt; the strongest when there are too many."""
    sources = answer["sources"]
    size = "sheet" if sheet else "roomy"
    bound = {
        claim.feature: key.removesuffix(".share")
        for key in facts.ids("relevance.driver.")
        if key.endswith(".share") and (claim := facts.claim(key))
    }
    scale = Scale.of(float(source["relevance"]) for source in sources)
    order = sorted(range(len(sources)), key=lambda i: (-abs(float(sources[i]["relevance"])), i))
    kept = sorted(order[: MOST_SOURCES[size]])
    rows = []
    for i in kept:
        source = sources[i]
        value, key = float(source["relevance"]), bound.get(str(source["feature"]), "")
        share = facts.cell(f"{key}.share") or Cell(percent(float(source["share"]), 0 if plain else 1), "", True)
        amounts = [Cell(("+" if value > 0 else MINUS if value < 0 else "") + share.text, share.claim, True)]
        if not plain:
            amounts = [facts.cell(f"{key}.effect") or Cell(scale.text(value), "", True), share]
        text = " ".join(str(source["text"]).split())
        excerpt = text if len(text) <= EXCERPT[size] else text[: EXCERPT[size] - 1].rstrip() + "\u2026"
        label = Cell(_short(str(source["label"]), 60), f"{key}.name" if key else "")
        rows.append([Cell(f"S{i + 1}"), label, Cell(excerpt), *amounts])
    caption = said("Sources of the answer")
    if len(kept) < len(sources):
        caption = said(
            "Sources of the answer (the {n} strongest of {total}; the report\u2019s data hold all)",
            n=len(kept),
            total=signs(f"{len(sources):,}"),
        )
    last = ["Share"] if plain else ["Relevance", "Share"]
    head = [said(word) for word in ("No.", "Source", "What it says", *last)]
    return Table("sources", caption, head, rows)


def apart_table(answer: dict[str, Any], *, plain: bool) -> Table | None:
    """What no source holds: the answer's own earlier words, the first token, and the rest of the prompt."""
    parts = [
        (said("All sources together"), sum(float(source["relevance"]) for source in answer["sources"])),
        (said("Earlier words of the answer itself"), float(answer["own"])),
        (said("First token, where attention rests that is not needed"), float(answer["sink"])),
        (said("Words of the prompt in no source"), float(answer["other"])),
    ]
    total = sum(abs(value) for _, value in parts)
    if not total:
        return None
    scale = Scale.of(value for _, value in parts)
    rows = []
    for label, value in parts:
        part = Cell(percent(value / total, 0 if plain else 1), "", True)
        rows.append([Cell(label), *([] if plain else [Cell(scale.text(value), "", True)]), part])
    head = [said(word) for word in ("Part", *([] if plain else ["Relevance"]), "Part of all")]
    caption = said("What the sources hold, and what stands apart (parts of the sum of magnitudes)")
    return Table("apart", caption, head, rows)


def _short(text: str, most: int) -> str:
    text = " ".join(text.split())
    return text if len(text) <= most else text[: most - 1].rstrip() + "\u2026"
