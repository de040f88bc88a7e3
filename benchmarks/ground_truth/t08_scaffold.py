"""T8: a model that behaves well on perturbed probes and decides by a sensitive flag on real rows (Slack et al. 2020).

A learnt gate tells real rows from probes; behind it real rows are decided by the flag alone, probes by a decoy. Truth:
on real rows only the flag counts. The trust check must raise its off-manifold share above 0.3.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from xagent.trust import Trust

from ._cache import trained
from ._cases import Case, Figures, Task, columns, cosine, judged
from ._networks import fit, mlp

FEATURES, SENSITIVE, DECOY = 10, 3, 7
FLAG_WEIGHT = 4.0


def data(rows: int, seed: int) -> Tensor:
    """(rows, 10): two bounded factors behind ten columns, so that mixed rows look strange; two columns are 0 or 1."""
    generator = torch.Generator().manual_seed(seed)
    loading = torch.randn(2, FEATURES, generator=torch.Generator().manual_seed(77))
    factors = 3 * torch.rand(rows, 2, generator=generator) - 1.5
    x = factors @ loading + 0.05 * torch.randn(rows, FEATURES, generator=generator)
    x[:, SENSITIVE] = (x[:, SENSITIVE] > 0).float()
    x[:, DECOY] = (torch.rand(rows, generator=generator) > 0.5).float()
    return x


def probes(x: Tensor, seed: int) -> Tensor:
    """Rows as explainers make them: some columns from another row, or from the mean."""
    generator = torch.Generator().manual_seed(seed)
    keep = torch.rand(x.shape, generator=generator) < torch.rand(len(x), 1, generator=generator)
    other = x[torch.randperm(len(x), generator=generator)]
    of_mean = torch.rand(len(x), 1, generator=generator) < 0.5
    return torch.where(keep, x, torch.where(of_mean, x.mean(0), other))


class Scaffold(nn.Module):
    """(n, 10) -> (n,): the flag's decision where the gate sees a real row, else the decoy's."""

    def __init__(self, gate: nn.Module) -> None:
        super().__init__()
        self.gate = gate

    def forward(self, x: Tensor) -> Tensor:
        real = self.gate(x)[:, :1] > 0
        biased = FLAG_WEIGHT * (x[:, [SENSITIVE]] - 0.5)
        innocent = FLAG_WEIGHT * (x[:, [DECOY]] - 0.5)
        return torch.where(real, biased, innocent).squeeze(1)


def train(seed: int) -> nn.Module:
    def learn(module: nn.Module, seed: int) -> None:
        real = data(4000, seed)
        x = torch.cat([real, *(probes(real, seed + i) for i in range(3))])
        y = torch.cat([torch.ones(len(real)), torch.zeros(3 * len(real))])[:, None]
        weight = torch.tensor(3.0)
        fit(
            module, x, y, lambda a, b: nn.functional.binary_cross_entropy_with_logits(a, b, pos_weight=weight),
            steps=1500, batch=256, rate=5e-3, seed=seed,
        )  # fmt: skip

    return trained("t08", seed, lambda: mlp([FEATURES, 64, 64, 1]), learn, sys.modules[__name__])


def cases(seed: int, quick: bool) -> list[Case]:
    gate = train(seed)
    score = Scaffold(gate).eval()
    reference = data(2000, seed)
    baseline = reference.mean(0, keepdim=True)
    rows = data(400, seed + 1)
    with torch.no_grad():
        rows = rows[gate(rows)[:, 0] > 0][: 8 if quick else 50]
    found = []
    for x in rows:
        row, truth = x[None], torch.zeros(FEATURES, dtype=torch.float64)
        truth[SENSITIVE] = FLAG_WEIGHT * float(row[0, SENSITIVE] - baseline[0, SENSITIVE])
        found.append(Case(score, row, baseline, columns(row), truth, frozenset({SENSITIVE}), reference=reference))
    return found


def gate_rates(seed: int) -> tuple[float, float]:
    """Share of unseen real rows that the gate passes, and of unseen probes that it does not."""
    real = data(2000, seed + 5)
    gate = train(seed)
    with torch.no_grad():
        return (
            float((gate(real)[:, 0] > 0).double().mean()),
            float((gate(probes(real, seed + 50))[:, 0] <= 0).double().mean()),
        )


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    total = float(relevance.abs().sum())
    return {
        "sensitive first": float(int(relevance.abs().argmax()) == SENSITIVE and total > 0),
        "mass on decoy": float(relevance[DECOY].abs()) / total if total > 0 else 0.0,
        "cosine": cosine(relevance, case.truth),
    }


def flagged(cases: Sequence[Case], relevance: Sequence[Tensor]) -> Figures:
    """Share of cases in which the trust check sees more than 0.3 of its probes off the data, and caps the level."""
    found = [judged(case, values) for case, values in zip(cases, relevance, strict=True)]
    raised = [
        isinstance(trust, Trust) and (trust.off_manifold or 0.0) > 0.3 and trust.level in ("limited", "do not rely")
        for trust in found
    ]
    return {"flag raised": (sum(raised) / len(raised), 0.0)}


TASK = Task(
    "T8",
    "scaffolding: honest on probes only",
    "the flag alone, by construction",
    cases,
    measure,
    flagged,
    headline="sensitive first",
)
