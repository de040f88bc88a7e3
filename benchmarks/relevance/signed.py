"""Signed ground truth: texts whose words carry hidden weights, some of them turned round by a negation before them.

A BERT of 3 x 96 learns from labels alone whether the sum is positive. In training some words are hidden before the sum
is taken, so that removing a word is nothing new to it. Every word's true contribution is known: its weight, with the
sign that the negation gives it. The negation itself has no weight; what a method says of it is left out of the
correlation and the signs, and counts as lost in the share of mass on true words. Deterministic; half a minute of
processor time to train.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from faithfulness import area, gradient, mean_and_error
from faithfulness_tasks import asked, by_embeddings
from peers_methods import fitting
from peers_question import Question, token_units
from torch import Tensor

SEED = 5
PAD, MASK, NOT = 0, 1, 2
NEUTRAL, WEIGHTED, LENGTH = 20, 16, 10
STEPS, BATCH = 600, 96
START = 3


@dataclass(frozen=True)
class Signed:
    """truth: (samples, LENGTH), true contribution of every word to the signed sum. accuracy: on fresh texts."""

    model: Any
    ids: Tensor
    truth: Tensor
    questions: list[Question]
    accuracy: float


def weights() -> Tensor:
    """(vocabulary,): evenly spread from -2 to 2 without the small ones; specials and neutral words have none."""
    positive = torch.linspace(0.5, 2.0, WEIGHTED // 2)
    return torch.cat([torch.zeros(START + NEUTRAL), positive, -positive])


def texts(count: int, generator: torch.Generator) -> tuple[Tensor, Tensor]:
    """Ids and true contributions (count, LENGTH). A third of the words have weight, an eighth negate."""
    table = weights()
    kind = torch.rand(count, LENGTH, generator=generator)
    neutral = torch.randint(START, START + NEUTRAL, (count, LENGTH), generator=generator)
    weighted = torch.randint(START + NEUTRAL, len(table), (count, LENGTH), generator=generator)
    ids = torch.where(kind < 0.35, weighted, neutral).masked_fill(kind > 0.87, NOT)
    return ids, contributions(ids)


def contributions(ids: Tensor) -> Tensor:
    """Weight of every word, turned round where the word before is a negation."""
    negated = F.pad(ids == NOT, (1, 0))[:, :-1]
    return weights()[ids] * torch.where(negated, -1.0, 1.0)


def train(steps: int = STEPS, layers: int = 3, size: int = 96) -> Any:
    """Trained on labels; in half of the texts a random share of the words is hidden before the sum is taken."""
    from transformers import BertConfig, BertForSequenceClassification

    torch.manual_seed(SEED)
    generator = torch.Generator().manual_seed(SEED)
    config = BertConfig(
        vocab_size=len(weights()), hidden_size=size, num_hidden_layers=layers, num_attention_heads=size // 24,
        intermediate_size=2 * size, max_position_embeddings=LENGTH, hidden_dropout_prob=0.0,
        attention_probs_dropout_prob=0.0,
    )  # fmt: skip
    model = BertForSequenceClassification(config).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=3e-3, weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 3e-3, total_steps=steps, pct_start=0.2)
    for _ in range(steps):
        ids = hidden(texts(BATCH, generator)[0], generator)
        loss = F.cross_entropy(model(input_ids=ids).logits, (contributions(ids).sum(1) > 0).long())
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
    return model.eval().requires_grad_(False)


def hidden(ids: Tensor, generator: torch.Generator) -> Tensor:
    """Half of the texts lose a share of their words, from none to all, to the mask."""
    share = torch.rand(len(ids), 1, generator=generator) * 2 - 1
    return torch.where(torch.rand(ids.shape, generator=generator) < share, MASK, ids)


def task(samples: int = 200, steps: int = STEPS) -> Signed:
    """Train, and ask about fresh texts, for the positive class against the negative one."""
    model = train(steps)
    generator = torch.Generator().manual_seed(SEED + 1)
    ids, _ = texts(2000, generator)
    with torch.no_grad():
        right = model(input_ids=ids).logits.argmax(1) == (contributions(ids).sum(1) > 0).long()
    ids, truth = texts(samples, generator)
    table = model.get_input_embeddings().weight.detach()
    unit = token_units(LENGTH, [[i] for i in range(LENGTH)])
    baseline = table[torch.full((1, LENGTH), MASK)]
    questions = [asked(model, by_embeddings, table[row[None]], baseline, unit, LENGTH).toward(1, 0) for row in ids]
    return Signed(model, ids, truth, questions, float(right.double().mean()))


@dataclass(frozen=True)
class Agreement:
    """Means over texts, with standard errors: Pearson correlation with the truth over all words but negations, share of
    weighted words whose sign is right, share of absolute mass on weighted words."""

    correlation: tuple[float, float]
    signs: tuple[float, float]
    mass: tuple[float, float]


def agreement(found: Sequence[Tensor], signed: Signed) -> Agreement:
    """found: (LENGTH,) for every text."""
    correlations, signs, masses = [], [], []
    for units, ids, truth in zip(found, signed.ids, signed.truth.double(), strict=True):
        words, weighted = ids != NOT, truth != 0
        if weighted.sum() < 2:
            continue
        value = float(torch.corrcoef(torch.stack([units[words], truth[words]]))[0, 1])
        correlations.append(0.0 if math.isnan(value) else value)
        signs.append(float((units.sign() == truth.sign())[weighted].double().mean()))
        masses.append(float(units[weighted].abs().sum() / units.abs().sum().clamp(min=1e-12)))
    return Agreement(mean_and_error(correlations), mean_and_error(signs), mean_and_error(masses))


def main(samples: int = 200, steps: int = STEPS, names: Sequence[str] | None = None) -> None:
    """Print the table, best correlation first."""
    import time

    signed = task(samples, steps)
    clock = time.process_time()
    for q in signed.questions:
        gradient(q)
    plain = time.process_time() - clock
    print(f"\n**Signed sum: BERT 3 x 96**, accuracy {signed.accuracy:.3f}, {samples} texts of {LENGTH} words\n")
    print("| method | correlation | right signs | mass on true words | LeRF - MoRF | x forward and gradient |")
    print("| --- | ---: | ---: | ---: | ---: | ---: |")
    rows = []
    for method in fitting("text", names):
        method.run(signed.questions[0])  # imports and compiles what it needs before the clock runs
        clock = time.process_time()
        found = [method.run(q).units for q in signed.questions]
        cost = (time.process_time() - clock) / plain
        areas = [area(q, units) for q, units in zip(signed.questions, found, strict=True)]
        rows.append((agreement(found, signed), mean_and_error(areas), cost, method.name))
    for a, areas_, cost, name in sorted(rows, key=lambda row: -row[0].correlation[0]):
        cells = [name, *("{:.3f} ± {:.3f}".format(*pair) for pair in (a.correlation, a.signs, a.mass, areas_))]
        print(f"| {' | '.join(cells)} | {cost:.1f} |", flush=True)


if __name__ == "__main__":
    torch.set_num_threads(2)
    main()
