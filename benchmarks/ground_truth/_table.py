"""Runs methods on the cases of a task and prints what came out."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

from torch import Tensor

from ._cases import Case, Figures, Task
from .methods import METHODS, Method


@dataclass(frozen=True)
class Row:
    """What a method reached, or why it did not run. milliseconds: median and fastest case, processor time."""

    method: Method
    figures: Figures
    milliseconds: tuple[float, float]
    relevance: tuple[Tensor, ...] = ()
    why: str = ""


def run(task: Task, cases: Sequence[Case], methods: Iterable[Method], seed: int) -> list[Row]:
    """One row a method; a first case warms up and is not timed."""
    rows = []
    for method in methods:
        if method.name in task.lacks:
            rows.append(Row(method, {}, (0.0, 0.0), why=task.lacks[method.name]))
            continue
        print(f"{task.id} {method.name}", file=sys.stderr, flush=True)
        try:
            method.run(cases[0], seed)
            relevance, spent = [], []
            for number, case in enumerate(cases):
                begun = time.process_time()
                found = method.run(case, seed + number)
                spent.append(1e3 * (time.process_time() - begun))
                relevance.append(found)
            if not all(bool(values.isfinite().all()) for values in relevance):
                raise ValueError("it returned a number that is not finite")
        except Exception as error:  # a peer may fail in any way; the table says how
            why = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
            rows.append(Row(method, {}, (0.0, 0.0), why=why))
            continue
        rows.append(Row(method, task.figures(cases, relevance), (median(spent), min(spent)), tuple(relevance)))
    return rows


def markdown(task: Task, rows: Sequence[Row], cases: int) -> str:
    """A heading, the table and the methods that did not run."""
    names = list(dict.fromkeys(name for row in rows for name in row.figures))
    lines = [
        f"### {task.id}: {task.title}",
        "",
        f"{cases} cases. Truth: {task.truth}.",
        "",
        f"| method | {' | '.join(names)} | ms, median | ms, fastest |",
        f"| --- |{' ---: |' * (len(names) + 2)}",
    ]
    for row in rows:
        if row.figures:
            cells = [_cell(row.figures.get(name)) for name in names]
            lines.append(
                f"| {label(row.method)} | {' | '.join(cells)} | {row.milliseconds[0]:.2f} | {row.milliseconds[1]:.2f} |"
            )
    failed = [f"{label(row.method)} ({row.why[:90]})" for row in rows if not row.figures]
    if failed:
        lines += ["", "Not run: " + "; ".join(failed) + "."]
    return "\n".join(lines) + "\n"


def overview(found: Mapping[str, tuple[Task, Sequence[Row]]]) -> str:
    """One line a method, the headline figure of every task."""
    titles = [f"{name}: {task.headline}" for name, (task, _) in found.items()]
    lines = [f"| method | {' | '.join(titles)} |", f"| --- |{' ---: |' * len(titles)}"]
    for method in METHODS:
        cells = []
        for task, rows in found.values():
            figures = next(row.figures for row in rows if row.method.name == method.name)
            cells.append(_cell(figures.get(task.headline)))
        lines.append(f"| {label(method)} | {' | '.join(cells)} |")
    return "### Overview\n\n" + "\n".join(lines) + "\n"


def label(method: Method) -> str:
    return f"**{method.name}**" if method.family == "ours" else f"{method.family} {method.name}"


def _cell(value: tuple[float, float] | None, digits: int = 3) -> str:
    if value is None:
        return "-"
    mean, error = value
    if error == 0:
        return f"{mean:.{digits}f}".rstrip("0").rstrip(".")
    return f"{mean:.{digits}f} ± {error:.{digits}f}"
