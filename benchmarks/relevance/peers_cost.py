"""Time, memory and conservation of every method on models with random weights, measured side by side.

Time: process time of one thread. In every round each repeated method stands beside a plain forward and gradient; the
figure is the median of the rounds' ratios, with the smallest and largest in brackets. Slow methods run once, against
the median of the plain ones. Memory: the most bytes that torch's CPU allocator held at once above the start, in
multiples of what the plain forward and gradient held; one run under the profiler.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import torch
from faithfulness import gradient
from peers_methods import Attribution, Listed, fitting, kernel, kernel_evaluations, partition
from peers_models import Model, mlp
from peers_question import Question

SHORTEST = 0.05
LEFT_OUT = ("random", "captum ShapleyValueSampling (25)")  # the latter takes thousands of forwards with gradient
SHORT = 64
"""Evaluations of the coalition explainers on a large model; their time is scaled to the full number."""


@dataclass
class Figures:
    """ratios: of time, one a round. memory: bytes. scaled: by how much a shortened run was multiplied."""

    ratios: list[float] = field(default_factory=list)
    memory: int = 0
    gap: float = float("nan")
    scaled: float = 1.0

    @property
    def time(self) -> str:
        middle = statistics.median(self.ratios) * self.scaled
        digits = 2 if middle < 10 else 0
        if len(self.ratios) == 1:
            return f"{middle:.{digits}f}{' (scaled)' if self.scaled != 1 else ''}"
        return f"{middle:.{digits}f} ({min(self.ratios):.{digits}f}-{max(self.ratios):.{digits}f})"


def measured(model: Model, methods: Sequence[Listed], rounds: int) -> dict[str, Figures]:
    """Figures by method; "forward" is a forward without a graph."""
    small = mlp(4, 4).question
    for method in fitting("table"):
        method.run(small)  # imports and compiles what it needs before the clock runs
    q = model.question
    runs: dict[str, Callable[[], Any]] = {"forward": lambda: q.scores(q.x)}
    figures: dict[str, Figures] = {"forward": Figures()}
    plain = Figures()
    slow = []
    for method in methods:
        run, scale = _shortened(method, model)
        figures[method.name] = Figures(scaled=scale)
        slow += [method.name] * (method.slow)
        runs[method.name] = partial(run, q)
    for _ in range(2):
        gradient(q)
    for number in range(rounds):
        for name, run in runs.items():
            if name in slow and number:
                continue
            unit = _seconds(lambda: gradient(q))
            plain.ratios.append(unit)
            result: list[Any] = []
            seconds = _seconds(lambda run=run, result=result: result.append(run()))  # type: ignore[misc]
            figures[name].ratios.append(seconds if name in slow else seconds / unit)
            if isinstance(result[0], Attribution):
                figures[name].gap = result[0].gap
    for name in slow:
        figures[name].ratios = [x / statistics.median(plain.ratios) for x in figures[name].ratios]
    held = peak_bytes(lambda: gradient(q))
    for name, run in runs.items():
        if not (name.startswith("shap ") or (name in slow and model.large)):  # those hold one chunk of rows at a time
            figures[name].memory = peak_bytes(run)
    return {"forward and gradient": Figures([1.0], held), **figures}


def _shortened(method: Listed, model: Model) -> tuple[Callable[[Question], Attribution], float]:
    """Coalition explainers with fewer evaluations on a large model, and the factor that is owed."""
    if not (method.scaled and model.large):
        return method.run, 1.0
    full = method.scaled(model.question.count)
    if method.name.startswith("shap Kernel"):
        return partial(kernel, evaluations=SHORT), kernel_evaluations(model.question.count) / SHORT
    return partial(partition, evaluations=SHORT), full / SHORT


def _seconds(run: Callable[[], Any]) -> float:
    """Process time of one run; of short ones the mean over a twentieth of a second. Garbage is collected before."""
    gc.collect()
    gc.disable()
    times, begun = 0, time.process_time()
    while not times or time.process_time() - begun < SHORTEST:
        run()
        times += 1
    seconds = (time.process_time() - begun) / times
    gc.enable()
    return seconds


def peak_bytes(run: Callable[[], Any]) -> int:
    """The most bytes torch's CPU allocator held at once above what it held at the start."""
    with torch.profiler.profile(
        activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True, acc_events=True
    ) as profile:
        run()
    events = [e for e in profile.profiler.kineto_results.events() if e.name() == "[memory]"]  # type: ignore[union-attr]
    held = peak = 0
    for event in sorted(events, key=lambda e: e.start_ns()):
        held += event.nbytes()
        peak = max(peak, held)
    return peak


def table(model: Model, rounds: int, names: Sequence[str] | None = None) -> str:
    """Markdown."""
    figures = measured(model, [m for m in fitting(model.kind, names) if m.name not in LEFT_OUT], rounds)
    unit = figures["forward and gradient"].memory
    lines = [
        f"**{model.name}**; the plain forward and gradient holds {unit / 2**20:.1f} MiB\n",
        "| method | time | memory | gap of its account |",
        "| --- | ---: | ---: | ---: |",
    ]
    for name, f in figures.items():
        memory = f"{f.memory / unit:.2f}" if f.memory else "-"
        lines.append(f"| {name} | {f.time} | {memory} | {'-' if f.gap != f.gap else f'{f.gap:.0e}'} |")
    return "\n".join(lines)
