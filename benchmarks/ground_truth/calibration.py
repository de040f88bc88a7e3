"""Do the levels of trust keep what they say? Known good, real and spoilt explanations of every task, pooled.

In: tasks. Out: per level how near the explanations were to the truth, and how often spoilt ones were refused.
"""

from __future__ import annotations

import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from statistics import median

import torch
from torch import Tensor

from xagent.trust import LEVELS, Trust

from . import t07_background
from ._cache import cached
from ._cases import Case, Task, cosine, judged
from ._shapley import shapley
from .methods import METHODS

REAL = (
    "conserving",
    "attnlrp",
    "gradient",
    "gamma",
    "conserving + refine",
    "conserving + refine + top 4",
    "IntegratedGradients 50",
    "FeatureAblation",
    "KernelShap 200",
)
"""Methods whose explanations are graded as they come."""
SPOILT = ("random", "negated", "shuffled")
WRONG = 0.7
"""Below this cosine an explanation counts as wrong. Spoilt ones that by luck lie above it are not counted as spoilt."""
NOISE = (0.2, 0.5, 1.0, 2.0)
"""Standard deviations of noise on the truth, in units of its root mean square: explanations between good and bad."""
MOST_CASES = 8


@dataclass(frozen=True)
class Graded:
    """One explanation: where it came from, its cosine to the truth, and what the trust check said."""

    task: str
    source: str
    cosine: float
    level: str
    weakest: str
    ratio: float | None
    off_manifold: float | None


def explanations(case: Case, seed: int) -> Iterator[tuple[str, Tensor, bool]]:
    """Name, relevance and whether it claims completeness: the truth, real methods, the truth with noise, spoilt."""
    truth = case.truth
    generator = torch.Generator().manual_seed(seed)
    yield "exact", truth, False
    for method in METHODS:
        if method.name in REAL:
            yield method.name, method.run(case, seed), method.complete
    size = float(truth.square().mean().sqrt())
    for noise in NOISE:
        drawn = torch.randn(case.players, generator=generator, dtype=torch.float64)
        yield f"noise {noise:g}", truth + noise * size * drawn, False
    yield "random", size * torch.randn(case.players, generator=generator, dtype=torch.float64), False
    yield "negated", -truth, False
    # a rotation by at least one place, so that no value stays where it was
    by = int(torch.randint(1, case.players, (1,), generator=generator))
    yield "shuffled", truth.roll(by), False


def graded(task: Task, cases: Sequence[Case], seed: int) -> list[Graded]:
    found = []
    for number, case in enumerate(cases):
        for source, relevance, complete in explanations(case, seed + number):
            trust = judged(case, relevance, seed + number, complete=complete, by_removal=source == "FeatureAblation")
            ratio, outside = (trust.ratio, trust.off_manifold) if isinstance(trust, Trust) else (None, None)
            near = cosine(relevance, case.truth)
            found.append(Graded(task.id, source, near, trust.level, trust.weakest, ratio, outside))
    return found


def with_truth(task: Task, cases: Sequence[Case], quick: bool, seed: int) -> list[Case]:
    """A few cases; those of T7 get cells of 4 x 4 as players and their exact Shapley values, which need 16 players."""
    if task.id == "T7":
        side = cases[0].x.shape[-1]
        corner = torch.arange(side) // 4
        cells = (corner[:, None] * 4 + corner[None, :])[None, None]
        few = cases[:: len(cases) // 5][: 2 if quick else 5]
        made = [replace(case, unit=cells, truth=torch.zeros(16, dtype=torch.float64)) for case in few]

        def make_truth() -> dict[str, Tensor]:
            return {str(i): shapley(case.coalitions, 16) for i, case in enumerate(made)}

        truth = cached(f"t07-cells-{len(few)}", seed, make_truth, t07_background)
        return [replace(case, truth=truth[str(i)]) for i, case in enumerate(made)]
    if task.id == "T1":
        return list(cases)
    most = min(len(cases), 3 if quick else MOST_CASES)
    return [cases[i * len(cases) // most] for i in range(most)]


def report(tasks: Sequence[Task], seed: int, quick: bool) -> str:
    """The tables as Markdown."""
    rows: list[Graded] = []
    for task in tasks:
        if task.id == "T7s":
            continue
        print(f"{task.id} is graded", file=sys.stderr, flush=True)
        rows += graded(task, with_truth(task, task.cases(seed, quick), quick, seed), seed)
    return markdown(rows)


def markdown(rows: Sequence[Graded]) -> str:
    lines = [
        f"{len(rows)} explanations.",
        "",
        "| level | explanations | P(cosine > 0.9) | P(cosine < 0.7) | 5th percentile of the cosine |",
        "| --- | ---: | ---: | ---: | ---: |",
    ]
    pools: list[tuple[str, list[Graded]]] = [
        (level, [r for r in rows if r.level == level]) for level in reversed(LEVELS)
    ]
    pools.insert(2, ("strong or fair", [r for r in rows if r.level in ("strong", "fair")]))
    for level, pool in pools:
        values = torch.tensor([r.cosine for r in pool], dtype=torch.float64)
        if len(pool):
            low = float(values.quantile(0.05))
            lines.append(f"| {level} | {len(pool)} | {_share(values > 0.9)} | {_share(values < 0.7)} | {low:.2f} |")
    lines += [
        "",
        "| task | "
        + " | ".join(f"{s}: refused" for s in SPOILT)
        + " | exact: strong or fair | real: strong or fair | off-manifold share, median |",
    ]
    lines.append("| --- |" + " ---: |" * (len(SPOILT) + 3))
    for task in dict.fromkeys(r.task for r in rows):
        cells = [
            _rate([r.level == "do not rely" for r in rows if (r.task, r.source) == (task, s) and r.cosine < WRONG])
            for s in SPOILT
        ]
        good = ("strong", "fair")
        cells.append(_rate([r.level in good for r in rows if (r.task, r.source) == (task, "exact")]))
        cells.append(_rate([r.level in good for r in rows if r.task == task and r.source in REAL]))
        shares = [r.off_manifold for r in rows if r.task == task and r.off_manifold is not None]
        cells.append(f"{median(shares):.2f}" if shares else "-")
        lines.append(f"| {task} | " + " | ".join(cells) + " |")
    lines += ["", "Fidelity ratio and truth, all tasks where a ratio exists:", ""]
    lines += ["| F/C | explanations | P(cosine > 0.9) | P(cosine < 0.7) |", "| --- | ---: | ---: | ---: |"]
    edges = (-1.01, 0.5, 0.8, 0.9, 0.95, 0.98, 1.01)
    for low, high in pairwise(edges):
        values = torch.tensor([r.cosine for r in rows if r.ratio is not None and low <= r.ratio < high])
        if len(values):
            name = f"{max(low, -1):g} to {min(high, 1):g}"
            lines.append(f"| {name} | {len(values)} | {_share(values > 0.9)} | {_share(values < 0.7)} |")
    good = ("strong", "fair")
    lines += _tally(
        "What stands between an exact explanation and `fair` or better",
        [f"{r.task} {r.weakest} ({r.level})" for r in rows if r.source == "exact" and r.level not in good],
    )
    lines += _tally(
        "Refused though the cosine is above 0.9",
        [f"{r.task} {r.weakest}" for r in rows if r.cosine > 0.9 and r.level == "do not rely"],
    )
    lines += _tally(
        "Relied on (strong or fair) though the cosine is below 0.7",
        [f"{r.task} {r.source}" for r in rows if r.cosine < WRONG and r.level in good],
    )
    lines += _tally(
        "Limited though the cosine is below 0.7",
        [f"{r.task} {r.source}" for r in rows if r.cosine < WRONG and r.level == "limited"],
    )
    return "\n".join(lines)


def _tally(title: str, names: Sequence[str]) -> list[str]:
    counts = Counter(names)
    return ["", f"{title}: " + (", ".join(f"{name} {counts[name]}" for name in sorted(counts)) or "none") + "."]


def _share(flags: Tensor) -> str:
    return f"{float(flags.double().mean()):.3f}"


def _rate(flags: Sequence[bool]) -> str:
    return f"{sum(flags)} of {len(flags)}"
