"""What a PDF carries beside its pages: the report as data, the figures behind every chart, the system card, the record
of the run. All of it comes from what the reader may see, and nothing from the clock."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

from xagent.report._document import report_json

Json = dict[str, Any]
Row = Mapping[str, Any]
CLOCK = frozenset({"started", "ended", "seconds", "elapsed", "duration", "time", "when", "at"})
"""Keys of a run that differ between two equal runs."""


@dataclass(frozen=True)
class Attached:
    """A file inside a PDF. relationship: what it is to the pages (ISO 32000-2, 7.11.3)."""

    name: str
    content: bytes
    description: str
    relationship: Literal["Data", "Source", "Supplement"]


def attachments(data: Json, card: Json | None = None, run: Json | None = None) -> tuple[Attached, ...]:
    """Every file of a report's PDF, in the order of their names.

    card and run are attached when they are given; who may have them is decided where the report is built.
    """
    stem = f"{data['case']['id']}.{data['persona']['name']}"
    found = [
        Attached(f"{stem}.json", report_json(data).encode(), "The report as data", "Data"),
        *(
            Attached(f"{stem}.{name}.csv", content, f"The figures of the chart {name!r}", "Data")
            for name, content in chart_tables(data)
        ),
    ]
    if card is not None:
        found.append(Attached(f"{stem}.card.json", plain_json(card), "The system card", "Source"))
    if run is not None:
        record = plain_json(run_record(data, run))
        found.append(Attached(f"{stem}.record.json", record, "The record of the run, without its times", "Supplement"))
    return tuple(sorted(found, key=lambda file: file.name))


def run_record(data: Json, run: Json) -> Json:
    """The record of a run as far as two equal runs share it: what was asked and done, with what, by which release."""
    told = {key: value for key, value in run.items() if key != "tools"}
    return {
        "schema": "xagent.record/1",
        "case": data["case"]["id"],
        "persona": data["persona"]["name"],
        "manifest": data["manifest"],
        "tools": {row["tool"]: {"status": row["status"], "parameters": row["parameters"]} for row in data["artifacts"]},
        "run": timeless(told),
    }


def timeless(value: Any) -> Any:
    """The same without what a clock said."""
    if isinstance(value, Mapping):
        return {key: timeless(inner) for key, inner in value.items() if key not in CLOCK}
    if isinstance(value, list | tuple):
        return [timeless(inner) for inner in value]
    return value


def plain_json(value: Json) -> bytes:
    return (json.dumps(value, ensure_ascii=False, indent=2, sort_keys=True, allow_nan=False) + "\n").encode()


def chart_tables(data: Json) -> Iterator[tuple[str, bytes]]:
    """Name of a chart, and its figures as CSV (RFC 4180, UTF-8), unrounded, for every chart that the report shows."""
    shown = {figure["id"] for figure in data["narrative"]["figures"]}
    claims = {claim["id"]: claim for claim in data["claims"]}
    found = {row["tool"]: row["data"] for row in data["artifacts"]}
    for name, rows in _CHARTS.items():
        if name in shown and (lines := list(rows(claims, found))):
            yield name, _csv(lines)


def _drivers(claims: Mapping[str, Row], _: Mapping[str, Row]) -> Iterator[Json]:
    rank = 1
    while f"relevance.driver.{rank}.effect" in claims:
        parts = {
            part: claims.get(f"relevance.driver.{rank}.{part}", {}).get("value")
            for part in ("name", "value", "typical", "effect", "share")
        }
        feature = claims[f"relevance.driver.{rank}.effect"].get("feature")
        yield {"rank": rank, "feature": feature, **parts}
        rank += 1


def _margin(claims: Mapping[str, Row], _: Mapping[str, Row]) -> Iterator[Json]:
    for part in ("score", "threshold", "margin"):
        if claim := claims.get(f"decision.{part}"):
            yield {"figure": part, "value": claim["value"], "scale": claim.get("scale")}


_DRIFT = re.compile(r"drift\.feature\.([^.]+)\.(state|effect|p|shift)")


def _drift(claims: Mapping[str, Row], _: Mapping[str, Row]) -> Iterator[Json]:
    rows: dict[str, Json] = {}
    for key, claim in claims.items():
        if match := _DRIFT.fullmatch(key):
            empty: Json = {"feature": claim.get("feature") or match[1], "state": None, "effect": None, "p": None}
            rows.setdefault(match[1], {**empty, "shift": None})[match[2]] = claim["value"]
    yield from (rows[name] for name in sorted(rows))


def _list(tool: str, key: str) -> Callable[[Mapping[str, Row], Mapping[str, Row]], Iterator[Json]]:
    def rows(_: Mapping[str, Row], found: Mapping[str, Row]) -> Iterator[Json]:
        for row in found.get(tool, {}).get(key) or ():
            if isinstance(row, Mapping):
                yield {name: value for name, value in row.items() if not isinstance(value, list | dict)}

    return rows


_CHARTS: dict[str, Callable[[Mapping[str, Row], Mapping[str, Row]], Iterator[Json]]] = {
    "drivers": _drivers,
    "margin": _margin,
    "heatmap": _list("relevance", "players"),
    "tokens": _list("relevance", "tokens"),
    "sentences": _list("relevance", "sentences"),
    "layers": _list("relevance", "layers"),
    "heads": _list("relevance", "heads"),
    "drift": _drift,
    "timeline": _list("process", "steps"),
}


def _csv(rows: Sequence[Json]) -> bytes:
    head = list(dict.fromkeys(key for row in rows for key in row))
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(head)
    writer.writerows([_field(row.get(key)) for key in head] for row in rows)
    return out.getvalue().encode()


def _field(value: Any) -> str:
    """A number as it is; a text that a spreadsheet would compute as a formula is kept a text."""
    if value is None:
        return ""
    if isinstance(value, bool | int | float):
        return repr(value)
    text = str(value)
    return f"'{text}" if text[:1] in ("=", "+", "-", "@", "\t", "\r") else text
