"""Geometry of the charts: where bars, marks and labels stand. Coordinates are text, so that equal facts draw equally.

All charts are 460 units wide: readable on a phone without scaling type below ten points, and half a page in print.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from xagent.report._cells import Cell, Facts, duration
from xagent.report._labels import said
from xagent.report._scale import percent

WIDTH = 460.0
MOST_STEPS = 24


@dataclass(frozen=True)
class Bar:
    """One row: a label, a side note and a bar. tone `for | against | neither`; anchor and at place the bar's figure."""

    label: Cell
    note: Cell | None
    y: str
    x: str
    width: str
    tone: str
    figure: Cell
    at: str
    anchor: str
    full: str


@dataclass(frozen=True)
class Mark:
    """A line or point with a label."""

    x: str
    label: str
    cell: Cell | None
    at: str
    anchor: str


@dataclass(frozen=True)
class Chart:
    """A drawing. id names the template; alt is the verified sentence that says what it shows."""

    id: str
    alt: str
    height: str
    bars: list[Bar] = field(default_factory=list)
    marks: list[Mark] = field(default_factory=list)
    lines: dict[str, str] = field(default_factory=dict)
    words: dict[str, str] = field(default_factory=dict)
    cells: list[dict[str, str]] = field(default_factory=list)
    rows: list[dict[str, str]] = field(default_factory=list)
    heads: list[dict[str, str]] = field(default_factory=list)
    signs: list[dict[str, str]] = field(default_factory=list)
    picture: dict[str, Any] = field(default_factory=dict)


def drivers_chart(facts: Facts, alt: str, rows: Sequence[int], *, shares: bool, target: str) -> Chart:
    """Signed bars, the largest first: towards the explained outcome to the right, against it to the left."""
    effects = {n: facts.number(f"relevance.driver.{n}.effect") or 0.0 for n in rows}
    most_for = max([e for e in effects.values() if e > 0], default=0.0)
    most_against = max([-e for e in effects.values() if e < 0], default=0.0)
    notes = {n: None if shares else _note(facts, f"relevance.driver.{n}") for n in rows}
    beside = not any(notes.values())  # names beside their bars; above them where values have to be written too
    labels, edge = (196.0 if beside else 0.0), (44.0 if shares else 64.0)
    unit = (WIDTH - labels - 2 * edge) / ((most_for + most_against) or 1.0)
    zero = labels + edge + most_against * unit
    pitch, first = (24, 24) if beside else (38, 38)
    bars = []
    for place, n in enumerate(rows):
        effect, key = effects[n], f"relevance.driver.{n}"
        width = max(abs(effect) * unit, 1.0)
        left = zero - width if effect < 0 else zero
        figure = facts.cell(f"{key}.share") if shares else facts.cell(f"{key}.effect")
        text = figure or Cell("")
        if shares:
            text = Cell(("\u2212" if effect < 0 else "+") + text.text, text.claim, True)
        name = facts.cell(f"{key}.name") or Cell("?")
        bars.append(
            Bar(
                label=Cell(fit(name.text, labels or 250, 12.5), name.claim),
                note=notes[n],
                y=_n(first + place * pitch),
                x=_n(left),
                width=_n(width),
                tone="for" if effect > 0 else "against" if effect < 0 else "neither",
                figure=text,
                at=_n(left - 6 if effect < 0 else zero + width + 6),
                anchor="end" if effect < 0 else "start",
                full=name.text,
            )
        )
    height = first + len(bars) * pitch + (0 if beside else -10)
    lines = {"zero": _n(zero), "label": "18.5" if beside else "0"}
    return Chart("drivers", alt, _n(height), bars=bars, lines=lines, words={"target": fit(target, 165, 11.5)})


def _note(facts: Facts, key: str) -> Cell | None:
    value, typical = facts.cell(f"{key}.value"), facts.cell(f"{key}.typical")
    if value is None or value.text == facts.text(f"{key}.name"):
        return None
    return Cell(
        fit(
            value.text
            if typical is None
            else said("{value} (typical {typical})", value=value.text, typical=typical.text),
            205,
            11.5,
        ),
        value.claim,
    )


def margin_chart(facts: Facts, alt: str, words: tuple[str, str]) -> Chart | None:
    """The score against its threshold on one scale; None without both."""
    score, threshold = facts.number("decision.score"), facts.number("decision.threshold")
    score_cell, threshold_cell = facts.cell("decision.score"), facts.cell("decision.threshold")
    if score is None or threshold is None or score_cell is None or threshold_cell is None:
        return None
    claim = facts.claim("decision.score")
    if claim is not None and claim.scale == "probability":
        low, high, ends = 0.0, 1.0, (percent(0.0), percent(1.0))
    else:
        spread = max(abs(score - threshold), abs(threshold) * 0.1, 1e-9) * 1.6
        low, high, ends = threshold - spread, threshold + spread, ("", "")
    left, right = 8.0, WIDTH - 8.0

    def place(value: float) -> float:
        return left + (right - left) * min(1.0, max(0.0, (value - low) / (high - low)))

    at, line = place(score), place(threshold)
    marks = [
        Mark(_n(at), words[0], score_cell, *_anchored(at, 74)),
        Mark(_n(line), words[1], threshold_cell, *_anchored(line, 84)),
    ]
    lines = {"left": _n(left), "length": _n(right - left), "from": _n(min(at, line)), "span": _n(abs(at - line))}
    notes = {
        "tone": "for" if score >= threshold else "against",
        "low": ends[0] if line > 140 else "",
        "high": ends[1] if line < WIDTH - 140 else "",
    }
    return Chart("margin", alt, "84", marks=marks, lines=lines, words=notes)


def drift_chart(facts: Facts, alt: str) -> Chart | None:
    """Size of the shift of every drifted input, with the smallest shift that the sample could have shown."""
    found = [
        (facts.number(key) or 0.0, key.split(".")[2]) for key in facts.ids("drift.feature.") if key.endswith(".effect")
    ]
    if not found:
        return None
    found.sort(key=lambda pair: (-pair[0], pair[1]))
    floor = facts.number("drift.floor")
    top = max([effect for effect, _ in found] + [floor or 0.0]) or 1.0
    unit = (WIDTH - 70) / top
    bars = []
    for place, (effect, part) in enumerate(found[:MOST_STEPS]):
        key = f"drift.feature.{part}"
        name = facts.feature(part, f"{key}.effect")
        width = max(effect * unit, 1.0)
        bars.append(
            Bar(
                label=Cell(fit(name.text, 280, 12.5), name.claim),
                note=facts.cell(f"{key}.shift"),
                y=_n(16 + place * 38),
                x="0",
                width=_n(width),
                tone="flagged",
                figure=facts.cell(f"{key}.effect") or Cell(""),
                at=_n(width + 6),
                anchor="start",
                full=name.text,
            )
        )
    height = 4 + len(bars) * 38 + (20 if floor else 0)
    marks = []
    if floor:
        marks = [Mark(_n(floor * unit), said("floor"), facts.cell("drift.floor"), *_anchored(floor * unit, 60))]
    return Chart("drift", alt, _n(height), bars=bars, marks=marks, lines={"bottom": _n(2 + len(bars) * 38)})


def timeline_chart(steps: Sequence[dict[str, Any]], alt: str) -> Chart | None:
    """When every step of the process ran, and for how long."""
    if not steps:
        return None
    shown = list(steps[:MOST_STEPS])
    end = max(s["start_offset"] + (s["seconds"] or 0.0) for s in shown) or 1.0
    left, unit = 150.0, (WIDTH - 150 - 62) / end
    bars = []
    for place, step in enumerate(shown):
        start, width = left + step["start_offset"] * unit, max((step["seconds"] or 0.0) * unit, 2.0)
        failed = str(step.get("status", "ok")).lower() not in ("ok", "unset", "")
        marks = [said(word) for word, on in (("failed", failed), ("again", bool(step.get("retry")))) if on]
        text = ", ".join([said("no end recorded") if step["seconds"] is None else duration(step["seconds"]), *marks])
        bars.append(
            Bar(
                label=Cell(fit(str(step["name"]), left - 10, 12)),
                note=None,
                y=_n(4 + place * 26),
                x=_n(start),
                width=_n(width),
                tone="failed" if failed else "again" if step.get("retry") else "step",
                figure=Cell(text, "", True),
                at=_n(start + width + 6 if start + width < WIDTH - 70 else start - 6),
                anchor="start" if start + width < WIDTH - 70 else "end",
                full=str(step["name"]),
            )
        )
    return Chart("timeline", alt, _n(8 + len(bars) * 26), bars=bars)


def _anchored(x: float, half: float) -> tuple[str, str]:
    """Where a label stands so that it stays inside the drawing."""
    if x < half:
        return "2", "start"
    if x > WIDTH - half:
        return _n(WIDTH - 2), "end"
    return _n(x), "middle"


def fit(text: str, room: float, size: float) -> str:
    """The text, shortened with an ellipsis to about `room` units of width at this type size."""
    text = text.replace("\u2068", "").replace("\u2069", "")  # a label stands alone, and cutting would unpair them
    used, limit = 0.0, room / size
    for place, char in enumerate(text):
        wide = unicodedata.east_asian_width(char) in "WF" or unicodedata.category(char) in ("Cc", "Cf", "Co", "Cn")
        used += 1.0 if wide else 0.64 if char.isupper() else 0.52
        if used > limit:
            return text[: max(1, place - 1)].rstrip() + "\u2026"
    return text


def _n(number: float) -> str:
    text = f"{number:.1f}"
    return text.removesuffix(".0") if text != "-0.0" else "0"
