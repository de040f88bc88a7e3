"""Tables: every figure of a chart stands here too, as text with the id of its claim."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any

from xagent.evidence import canonical_json
from xagent.report._cells import Cell, Facts, duration
from xagent.report._labels import said, signs


@dataclass(frozen=True)
class Table:
    """A table with a caption; the first cell of each row is its header. mono: columns printed in fixed pitch."""

    id: str
    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    mono: Sequence[int] = ()

    def numeric(self, column: int) -> bool:
        """Whether the column is set flush right."""
        return column in self._numeric

    @cached_property
    def _numeric(self) -> frozenset[int]:
        return frozenset(place for row in self.rows for place, cell in enumerate(row) if cell.numeric)


NOTHING = Cell("\u2013")
MOST_STEPS = 200
"""Steps that are printed; a loop in a process can leave thousands, and the JSON holds all."""


def drivers_table(facts: Facts, rows: Sequence[int], *, plain: bool) -> Table:
    """Inputs by the size of their influence, with the signed effect on the model's own scale unless `plain`."""
    typical = facts.claim(f"relevance.driver.{rows[0]}.typical") if rows else None
    baseline = typical.baseline if typical else None
    columns = {"name": "Input", "value": "Value", "typical": "Typical", "direction": "Direction", "share": "Share"}
    if not plain:
        columns["effect"] = "Effect"
    columns = {key: said(word) for key, word in columns.items()}
    kept = [key for key in columns if key == "name" or _any(facts, rows, key)]
    body = [[facts.cell(f"relevance.driver.{n}.{key}") or NOTHING for key in kept] for n in rows]
    caption = said("Influence of each input")
    if baseline:
        caption = said("Influence of each input. Typical: {population}", population=baseline)
    return Table("drivers", caption, [columns[key] for key in kept], body)


def _any(facts: Facts, rows: Sequence[int], key: str) -> bool:
    return any(f"relevance.driver.{n}.{key}" in facts for n in rows)


_BUDGET = {
    "inputs": "All inputs together",
    "baseline": "Score of the baseline",
    "biases": "Biases of the model",
    "positions": "Positions",
    "constants": "Constants",
    "softmax": "Attention normalisation",
    "unhandled": "Operations without a rule",
    "residual": "Residual",
}


def budget_table(facts: Facts) -> Table:
    """Where the explained score comes from (the conservation ledger)."""
    rows = _rows(facts, [(f"relevance.ledger.{key}", label) for key, label in _BUDGET.items()])
    rows += _rows(facts, [("relevance.score", "Explained score"), ("relevance.gap", "Gap, relative")])
    return Table("budget", said("Conservation: parts of the explained score"), _head("Part", "Amount"), rows)


_TRUST = {
    "level": "Level, the worst of all checks",
    "weakest": "Weakest check",
    "coalitions.count": "Combinations of inputs that were tried",
    "described.share": "Variation that any list of reasons can describe",
    "ceiling": "Ceiling for any list of this length",
    "fidelity": "Fidelity of the cited list",
    "ratio": "Fidelity as a part of its ceiling",
    "reached.low": "Low end of its interval",
    "reached.high": "High end of its interval",
    "shapley.cosine": "Cosine to the exact Shapley values",
    "cited.count": "Cited inputs",
    "keep.share": "Margin kept by cited inputs alone",
    "random.share": "Margin kept by as many random inputs",
    "remove.flips": "Removing the cited inputs flips the outcome",
    "random.flips.share": "Random removals that flip the outcome",
    "agreement": "Agreement with single removals",
    "off_manifold": "Removals that look unlike real inputs",
    "conditional.ratio": "Fidelity ratio with values from similar cases",
    "conditional.off_manifold": "Such removals that look unlike real inputs",
    "baseline.kept.share": "Top drivers kept from the worst other baseline",
    "baseline.worst.name": "The worst other baseline",
    "gap": "Gap between the list and the change of the score",
    "order.z": "Order of removal against random orders, in standard deviations",
}


def trust_table(facts: Facts) -> Table:
    rows = _rows(facts, [(f"trust.{key}", label) for key, label in _TRUST.items()])
    caption = said("How far the explanation holds, measured on this prediction")
    return Table("trust", caption, _head("Check", "Result"), rows)


def methods_table(facts: Facts) -> Table:
    """Top drivers as a method of another family sees them; at the end those that it alone has."""
    rows = []
    for stem in ("agreement.driver", "agreement.missed"):
        n = 1
        while name := facts.cell(f"{stem}.{n}.name"):
            cells = [facts.cell(f"{stem}.{n}.{part}") for part in ("state", "effect", "share")]
            rows.append([name, *(cell or NOTHING for cell in cells)])
            n += 1
    method = facts.text("agreement.method.2.name")
    head = _head("Input", "Driver by the other method", "Effect there", "Share there")
    caption = said("The top drivers by a method of another family: {method}", method=method)
    return Table("methods", caption, head, rows)


def _rows(facts: Facts, keys: Iterable[tuple[str, str]]) -> list[list[Cell]]:
    cells = ((label, facts.cell(key)) for key, label in keys)
    return [[Cell(said(label)), cell] for label, cell in cells if cell is not None]


def _head(*words: str) -> list[str]:
    return [said(word) for word in words]


def drift_table(facts: Facts) -> Table:
    rows = []
    for key in facts.ids("drift.feature."):
        if key.endswith(".effect"):
            stem = key.removesuffix(".effect")
            cells = [facts.cell(f"{stem}.{part}") for part in ("effect", "p", "shift")]
            rows.append([facts.feature(stem.split(".")[2], key), *(cell or NOTHING for cell in cells)])
    rows.sort(key=lambda row: -(facts.number(row[1].claim) or 0.0))
    head = _head("Input", "Effect", "p, adjusted", "Shift of the median")
    return Table("drift", said("Inputs that have shifted"), head, rows)


def deviation_table(facts: Facts) -> Table:
    rows = []
    for key in facts.ids("deviation.feature."):
        if key.endswith(".kind"):
            stem = key.removesuffix(".kind")
            part = stem.split(".")[2]
            cells = [facts.cell(k) for k in (key, f"input.{part}.value", f"{stem}.minimum", f"{stem}.maximum")]
            rows.append([facts.feature(part, key), *(cell or NOTHING for cell in cells)])
    head = _head("Input", "Why", "Value", "Least known", "Most known")
    return Table("deviation", said("Unusual inputs"), head, rows)


def steps_table(steps: Sequence[dict[str, Any]]) -> Table:
    rows = []
    for step in steps[:MOST_STEPS]:
        again = said("repeated") if step.get("retry") else str(step.get("status") or "")
        took = NOTHING.text if step["seconds"] is None else duration(step["seconds"])
        texts = (step["name"], step.get("kind") or "", duration(step["start_offset"]), took, again)
        rows.append([Cell(str(text), "", place in (2, 3)) for place, text in enumerate(texts)])
    caption = said("Steps of the process")
    if len(steps) > MOST_STEPS:
        caption += said(" (the first {n} of {total}; the JSON holds all)", n=MOST_STEPS, total=signs(f"{len(steps):,}"))
    return Table("steps", caption, _head("Step", "Kind", "Began after", "Took", "Status"), rows)


_CHECKED = {
    "replay": "Answer of the log, computed again",
    "logged score": "Score of the log against the record",
    "logged input": "Input of the log",
    "model version": "Version of the model",
    "model file": "File of the model",
    "preprocessing": "Preprocessing",
    "age of inputs": "Age of the inputs",
    "imputed inputs": "Inputs filled in",
    "training-serving skew": "Values computed again offline",
    "units": "Units of the inputs",
    "steps": "Steps that should have run",
    "order": "Order of the steps",
    "completeness": "Completeness of the trace",
    "clocks": "Clocks",
    "latency": "Time taken by the steps (p-value)",
    "retries": "Repeated steps",
    "timeouts": "Steps out of time",
    "errors": "Errors",
    "fallbacks": "Steps that stood in for others",
    "answering model": "Model that answered",
    "guardrails": "Guardrails without a verdict",
    "human override": "Changes by a person",
    "sampling": "Parts dropped by the recorder",
    "time line": "Open incidents and releases",
}
"""Checks of the tools `serving` and `process`, as they are called in a table."""
_STATES = {"ok": "No fault", "deviation": "Deviation", "cannot tell": "Cannot tell", "not supplied": "Not supplied"}


def process_table(artifacts: dict[str, dict[str, Any]]) -> Table:
    """Every check of how the input was served and of the process, with what it was found on and at which limit."""
    rows = []
    for tool in ("serving", "process"):
        for line in artifacts.get(tool, {}).get("lines") or []:
            figures = [line["value"], line["n"], line["threshold"], line["resolution"]]
            if line["state"] == "not supplied":
                figures = [None] * len(figures)
            cells = [
                NOTHING if f is None else Cell(signs(f"{f:,.4g}").replace("-", "\u2212"), "", True) for f in figures
            ]
            name, state = _CHECKED[line["check"]], _STATES[line["state"]]
            rows.append([Cell(said(name)), Cell(said(state)), *cells])
    caption = said("Checks of serving and process; method, reason and source of each stand in the JSON")
    return Table("process", caption, _head("Check", "State", "Found", "Looked at", "Limit", "Resolution"), rows)


def performance_table(facts: Facts) -> Table:
    """What the system card states about the quality of the model."""
    rows, n = [], 1
    while name := facts.cell(f"performance.{n}.metric", "text"):
        parts = (("segment", "text"), ("n", None), ("value", None), ("period", "text"))
        cells = [facts.cell(f"performance.{n}.{part}", policy) for part, policy in parts]
        rows.append([name, *(cell or NOTHING for cell in cells)])
        n += 1
    head = _head("Measure", "Measured on", "Cases", "Result", "Period")
    return Table("performance", said("Quality of the model, as its system card states it"), head, rows)


def artifacts_table(artifacts: Sequence[dict[str, Any]]) -> Table:
    rows = [
        [Cell(a["tool"]), Cell(a["version"]), Cell(_status(a)), Cell(a["sha256"])] for a in artifacts
    ]  # fmt: skip
    head = _head("Tool", "Version", "Status", "SHA-256")
    return Table("artifacts", said("Evidence that this report rests on"), head, rows, [3])


def _status(artifact: dict[str, Any]) -> str:
    words = said({"ok": "done", "failed": "failed", "not_applicable": "does not apply"}[artifact["status"]])
    return f"{words}: {artifact['why']}" if artifact["why"] else words


def parameters_table(artifacts: Sequence[dict[str, Any]]) -> Table:
    """What was chosen for every tool that ran."""
    rows = [
        [Cell(artifact["tool"]), Cell(name), Cell(canonical_json(value))]
        for artifact in artifacts
        for name, value in sorted(artifact["parameters"].items())
    ]
    return Table("parameters", said("Parameters"), _head("Tool", "Name", "Value"), rows, [2])


def manifest_table(manifest: dict[str, Any]) -> Table:
    rows = [[Cell(said("Input: {role}", role=role)), Cell(digest)] for role, digest in manifest["inputs"].items()]
    parts = ("claims", "Claims"), ("findings", "Findings"), ("narrative", "Narrative"), ("template", "Template")
    rows += [[Cell(said(label)), Cell(manifest[part])] for part, label in parts]
    rows += [[Cell(said("Seed: {name}", name=name) if name != "seed" else said("Seed")), Cell(str(seed))]
             for name, seed in manifest["seeds"].items()]  # fmt: skip
    versions = ", ".join(f"{name}\u00a0{version}" for name, version in manifest["versions"].items())
    rows.append([Cell(said("Versions")), Cell(versions)])
    return Table("manifest", said("Manifest"), _head("What", "SHA-256 or value"), rows, [1])
