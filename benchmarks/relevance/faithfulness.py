"""Faithfulness by removal: the area between removing the least and the most relevant units first (LeRF - MoRF).

Units are replaced by the baseline one after the other, in falling (MoRF) and in rising (LeRF) order of attribution; the
explained score is averaged over all steps, and the difference is the area. Random orders give 0. The standard error is
that of the mean over samples; the paired column is the difference to `conserving, x - baseline` on the same samples.
"""

from __future__ import annotations

import math
import time
from collections.abc import Sequence

import torch
from faithfulness_tasks import TASKS, Task
from peers_methods import Attribution, Listed, fitting
from peers_question import Question
from torch import Tensor

REFERENCE = "conserving, x - baseline"
STEPS = 20


def area(q: Question, units: Tensor, steps: int = STEPS) -> float:
    """mean_k f(least relevant k removed) - mean_k f(most relevant k removed), k = 0 ... units on a grid."""
    rank = units.argsort(descending=True, stable=True).argsort()
    counts = torch.linspace(0, q.count, min(steps, q.count) + 1).round().long()
    most = rank[None] >= counts[:, None]  # the first k in falling order are gone
    least = rank[None] < q.count - counts[:, None]
    scores = q.coalitions(torch.cat([least, most]))
    return float(scores[: len(counts)].mean() - scores[len(counts) :].mean())


def row(name: str, areas: Sequence[float], reference: Sequence[float], gaps: Sequence[float], cost: float) -> str:
    """One line of the table."""
    mean, error = mean_and_error(areas)
    lead, of_lead = mean_and_error([a - b for a, b in zip(areas, reference, strict=True)])
    paired = "-" if areas is reference else f"{lead:+.3f} ± {of_lead:.3f}"
    gap = sorted(gaps)[len(gaps) // 2]
    cells = [name, f"{mean:.3f} ± {error:.3f}", paired, "-" if math.isnan(gap) else f"{gap:.0e}", f"{cost:.1f}"]
    return f"| {' | '.join(cells)} |"


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    x = torch.tensor(values, dtype=torch.float64)
    return float(x.mean()), float(x.std() / len(x) ** 0.5) if len(x) > 1 else float("nan")


def gradient(q: Question) -> None:
    """The plain forward and gradient whose time is one."""
    x = q.x.clone().requires_grad_()
    torch.autograd.grad(q.module(x).sum(), x)


def measured(task: Task, methods: Sequence[Listed]) -> dict[str, tuple[list[float], list[float], float]]:
    """By method: areas, gaps of the account, and time in forwards with gradient (totals over all samples)."""
    result = {}
    clock = time.process_time()
    for q in task.questions:
        gradient(q)
    unit = time.process_time() - clock
    for method in methods:
        method.run(task.questions[0])  # imports and compiles what it needs before the clock runs
        clock = time.process_time()
        found: list[Attribution] = [method.run(q) for q in task.questions]
        cost = (time.process_time() - clock) / unit
        areas = [area(q, a.units) for q, a in zip(task.questions, found, strict=True)]
        result[method.name] = areas, [a.gap for a in found], cost
    return result


def main(samples: int = 128, names: Sequence[str] | None = None, tasks: Sequence[str] | None = None) -> None:
    """Print one table a task."""
    for make in TASKS:
        if tasks and make.__name__ not in tasks:
            continue
        task = make(samples)
        print(f"\n**{task.name}**, {len(task.questions)} samples\n")
        print("| method | LeRF - MoRF | against conserving, x - baseline | gap | x forward and gradient |")
        print("| --- | ---: | ---: | ---: | ---: |")
        result = measured(task, fitting(task.kind, names))
        reference = result[REFERENCE][0] if REFERENCE in result else next(iter(result.values()))[0]
        for name, (areas, gaps, cost) in sorted(result.items(), key=lambda item: -sum(item[1][0])):
            print(row(name, areas, reference, gaps, cost), flush=True)


if __name__ == "__main__":
    import sys

    torch.set_num_threads(1)
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 128, tasks=sys.argv[2:])
