"""Inside the network: what every layer holds of the explained score, and every attention head."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from xagent.report._cells import Cell, Facts
from xagent.report._charts import WIDTH, Bar, Chart, Mark, _anchored, _n, fit
from xagent.report._labels import percentage, said
from xagent.report._scale import MINUS, Scale, amount

MOST_LAYERS = 48
MOST_GRID = 40
_IDENTITY = re.compile(r"(^|\.)(dropout|drop)\w*$", re.IGNORECASE)


def chosen_layers(layers: Sequence[dict[str, Any]]) -> list[dict[str, Any]]:
    """The parts of a network that follow one another, in the order of the forward.

    A part that holds numbered blocks gives way to what it is made of, down to the blocks; branches inside a block
    share the score and are left to the table. Dropout changes nothing and is left out.
    """
    names = [str(layer["name"]) for layer in layers]

    def numbered(name: str) -> bool:
        deeper = [n[len(name) + 1 :] for n in names if n.startswith(f"{name}.")]
        return not _block(name) and any(_block(rest) for rest in deeper)

    kept = [
        layer
        for layer, name in zip(layers, names, strict=True)
        if not numbered(name)
        and not _IDENTITY.search(name)
        and all(numbered(above) for above in _above(name) if above in names)
        and not any(_block(above) for above in _above(name))
    ]
    return kept if len(kept) > 1 else list(layers)


def _block(name: str) -> bool:
    return any(part.isdigit() for part in name.split("."))


def _above(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[:i]) for i in range(1, len(parts))]


def layers_chart(layers: Sequence[dict[str, Any]], facts: Facts, alt: str) -> Chart | None:
    """A bar for each layer against a line at the explained score: bars end at the line when nothing is lost."""
    if len(layers) < 2:
        return None
    shown = chosen_layers(layers)[:MOST_LAYERS]
    score = facts.number("relevance.score")
    sums = [float(layer["sum"]) for layer in shown]
    every = [*sums, *([score] if score is not None else [])]
    high, low = max(0.0, *every), min(0.0, *every)
    labels, figures = 168.0, 96.0
    unit = (WIDTH - labels - figures) / ((high - low) or 1.0)
    zero = labels - low * unit
    most = max(abs(v) for v in every) or 1.0
    bars = []
    for place, (layer, value) in enumerate(zip(shown, sums, strict=True)):
        text = amount(value, most, 4)
        if score:
            off = (value - score) / abs(score)
            sign = "" if abs(off) < 0.0005 else "+" if off > 0 else MINUS
            text += f"  ({sign}{percentage(f'{abs(off) * 100:.1f}')})"
        bars.append(
            Bar(
                label=Cell(fit(str(layer["name"]), labels - 8, 12)),
                note=None,
                y=_n(24 + place * 20),
                x=_n(zero if value >= 0 else zero + value * unit),
                width=_n(max(abs(value) * unit, 1.0)),
                tone="for" if value >= 0 else "against",
                figure=Cell(text, "", True),
                at=_n(WIDTH),
                anchor="end",
                full=str(layer["name"]),
            )
        )
    bottom = 24 + len(bars) * 20
    marks = []
    if score is not None:
        marks = [
            Mark(
                _n(zero + score * unit),
                said("Explained score"),
                facts.cell("relevance.score"),
                *_anchored(zero + score * unit, 80),
            )
        ]
    return Chart("layers", alt, _n(bottom + 2), bars=bars, marks=marks, lines={"zero": _n(zero), "bottom": _n(bottom)})


def heads_chart(heads: Sequence[dict[str, Any]], alt: str) -> Chart | None:
    """Layers down, heads across, signed."""
    if not heads:
        return None
    layers = list(dict.fromkeys(str(head["layer"]) for head in heads))[:MOST_GRID]
    across = min(MOST_GRID, 1 + max(int(head["head"]) for head in heads))
    found = {(str(head["layer"]), int(head["head"])): float(head["relevance"]) for head in heads}
    scale = Scale.of(found.values())
    labels = 96.0
    wide = min(54.0, (WIDTH - labels) / across)
    high = min(24.0, max(wide, 8.0))
    cells = []
    for r, layer in enumerate(layers):
        for c in range(across):
            value = found.get((layer, c))
            if value is None:
                continue
            text = scale.text(value, 2)
            room = len(text) * 5.6 <= wide - 2 and high >= 18
            unsigned = value < 0 and not room and scale.level(value) > 0
            cells.append(
                {
                    "x": _n(labels + c * wide),
                    "y": _n(22 + r * high),
                    "w": _n(wide - (1.0 if wide > 10 else 0.0)),
                    "h": _n(high - (1.0 if high > 10 else 0.0)),
                    "cx": _n(labels + (c + 0.5) * wide),
                    "cy": _n(22 + (r + 0.5) * high + 3.6),
                    "tone": "for" if value > 0 else "against",
                    "opacity": scale.opacity(value),
                    "hatch": "yes" if unsigned else "",
                    "text": text if room else "",
                }
            )
    every = max(1, -(-20 // int(wide or 1)))
    rows = [
        {"y": _n(22 + (r + 0.5) * high + 4), "label": fit(label, labels - 10, 11.5)}
        for r, label in enumerate(short_names(layers))
        if r % max(1, round(13 / high)) == 0
    ]
    columns = [{"x": _n(labels + (c + 0.5) * wide), "label": str(c)} for c in range(0, across, every)]
    bottom = 22 + len(layers) * high
    lines = {
        "left": _n(labels),
        "across": _n(across * wide),
        "down": _n(len(layers) * high),
        "legend": _n(bottom + 8),
        "legend_text": _n(bottom + 17.5),
        "low": _n(labels + 20),
        "pos": _n(labels + 150),
        "most": _n(labels + 170),
    }
    words = {"low": scale.text(-scale.most, 2), "high": scale.text(scale.most, 2)}
    return Chart("heads", alt, _n(bottom + 24), cells=cells, lines=lines, words=words, rows=rows, heads=columns)


def short_names(names: Sequence[str]) -> list[str]:
    """Names without what all of them begin or end with: `encoder.layer.0.attention` among its like is `layer 0`."""
    parts = [name.split(".") for name in names]
    least = min(len(part) for part in parts)
    if len(parts) < 2:
        return list(names)
    start = next((i for i in range(least) if len({part[i] for part in parts}) > 1), least - 1)
    end = next((i for i in range(least - start) if len({part[-1 - i] for part in parts}) > 1), 0)
    short = [part[start : len(part) - end] for part in parts]
    if start and all(len(part) == 1 and part[0].isdigit() for part in short):
        return [f"{whole[start - 1].removesuffix('s')} {part[0]}" for whole, part in zip(parts, short, strict=True)]
    return [".".join(part) for part in short]


def layer_statements(layers: Sequence[dict[str, Any]]) -> list[str]:
    shown = len(chosen_layers(layers)[:MOST_LAYERS])
    notes = [said("In brackets: the difference from the explained score, as a part of it.")]
    if shown < len(layers):
        notes.append(
            said(
                "Shown: {n} parts that follow one another, of {total} recorded; the evidence lists more.",
                n=shown, total=len(layers),
            )
        )  # fmt: skip
    return notes


def head_statements(heads: Sequence[dict[str, Any]]) -> list[str]:
    layers = len({str(head["layer"]) for head in heads})
    across = 1 + max(int(head["head"]) for head in heads)
    if layers <= MOST_GRID and across <= MOST_GRID:
        return []
    return [
        said(
            "Shown: the first {shown} of {layers} layers and {these} of {heads} heads.",
            shown=min(layers, MOST_GRID),
            layers=layers,
            these=min(across, MOST_GRID),
            heads=across,
        )
    ]
