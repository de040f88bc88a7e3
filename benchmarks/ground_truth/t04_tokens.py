"""T4: a small BERT with a token rule: a trigger word makes the class, unless one of the two words before it negates.

Half of every input is padding. Truth: exact Shapley values of the 12 words against <mask>, zero on the padding;
planted: the trigger and the negator that cancels it.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from ._cache import cached, trained
from ._cases import Case, Task, usual
from ._shapley import shapley

PAD, MASK, CLS, TRIGGERS, NEGATORS, FIRST, WORDS = 0, 1, 2, (3, 4), (5, 6), 7, 30
REAL, LENGTH = 12, 24
REACH = 2


def data(rows: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Words (rows, 12), the place of the trigger or -1, and the place of the negator that cancels it or -1.

    A negator too far away is in a third of the rows, so that its mere presence says little.
    """
    generator = torch.Generator().manual_seed(seed)

    def draw(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (rows,), generator=generator)

    words = torch.randint(FIRST, WORDS, (rows, REAL), generator=generator)
    place, distance, kind = draw(REACH + 1, REAL), draw(1, REACH + 1), draw(0, 6)
    row = torch.arange(rows)
    trigger, near, far = kind > 0, (kind == 1) | (kind == 2), (kind == 0) | (kind == 3)
    words[row[trigger], place[trigger]] = draw(TRIGGERS[0], TRIGGERS[1] + 1)[trigger]
    words[row[near], (place - distance)[near]] = draw(NEGATORS[0], NEGATORS[1] + 1)[near]
    distant = torch.where(place >= REAL // 2, torch.zeros_like(place), torch.full_like(place, REAL - 1))
    words[row[far], distant[far]] = draw(NEGATORS[0], NEGATORS[1] + 1)[far]
    none = torch.full_like(place, -1)
    return words, torch.where(trigger, place, none), torch.where(near, place - distance, none)


def padded(words: Tensor) -> tuple[Tensor, Tensor]:
    """(rows, 12) -> token ids and attention mask (rows, 25): a class token, the words, padding."""
    rows = len(words)
    ids = torch.cat([torch.full((rows, 1), CLS), words, torch.full((rows, LENGTH - REAL), PAD)], 1)
    return ids, (ids != PAD).long()


def build() -> nn.Module:
    model: nn.Module = BertForSequenceClassification(
        BertConfig(
            vocab_size=WORDS, hidden_size=48, num_hidden_layers=2, num_attention_heads=4, intermediate_size=96,
            max_position_embeddings=LENGTH + 1, pad_token_id=PAD, hidden_dropout_prob=0.0,
            attention_probs_dropout_prob=0.0,
        )
    )  # fmt: skip
    return model


def learn(module: nn.Module, seed: int) -> None:
    """A tenth of the other words is hidden, so that removal is nothing new."""
    generator = torch.Generator().manual_seed(seed)
    steps = 700
    optimizer = torch.optim.AdamW(module.parameters(), lr=2e-3)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps, pct_start=0.2)
    for step in range(steps):
        words, trigger, near = data(64, seed * 100_003 + step)
        hidden = torch.rand(words.shape, generator=generator) < torch.rand(len(words), 1, generator=generator) * 0.6
        row = torch.arange(len(words))
        seen = (trigger >= 0) & ~hidden[row, trigger.clamp_min(0)]
        stopped = (near >= 0) & ~hidden[row, near.clamp_min(0)]
        ids, mask = padded(torch.where(hidden, MASK, words))
        loss = F.cross_entropy(module(input_ids=ids, attention_mask=mask).logits, (seen & ~stopped).long())
        optimizer.zero_grad()
        loss.backward()  # type: ignore[no-untyped-call]
        optimizer.step()
        schedule.step()


def train(seed: int) -> nn.Module:
    return trained("t04", seed, build, learn, sys.modules[__name__])


def accuracy(seed: int) -> float:
    """On rows that were not trained on."""
    words, trigger, near = data(2000, seed + 9_999_991)
    ids, mask = padded(words)
    with torch.no_grad():
        classes = train(seed)(input_ids=ids, attention_mask=mask).logits.argmax(1)
    return float((classes == ((trigger >= 0) & (near < 0)).long()).double().mean())


class Margin(nn.Module):
    """Word embeddings (n, 25, width) -> (n,): logit of the class minus the other's."""

    mask: Tensor

    def __init__(self, model: nn.Module, mask: Tensor) -> None:
        super().__init__()
        self.model = model
        self.register_buffer("mask", mask)

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(inputs_embeds=x, attention_mask=self.mask.expand(len(x), -1)).logits
        score: Tensor = logits[:, 1] - logits[:, 0]
        return score


def cases(seed: int, quick: bool) -> list[Case]:
    model = train(seed)
    embed = model.get_input_embeddings()  # type: ignore[operator]
    words, trigger, near = data(200, seed + 12_345_678)
    chosen = torch.arange(200)[trigger >= 0][: 4 if quick else 10].tolist()
    blank = []
    for i in chosen:
        ids, mask = padded(words[i : i + 1])
        x = embed(ids).detach()
        baseline = embed(torch.full_like(ids, MASK)).detach()
        unit = torch.arange(-1, LENGTH)[None, :, None].expand_as(x).contiguous()
        planted = frozenset({int(trigger[i]), *([int(near[i])] if near[i] >= 0 else [])})
        facts = {"negator": int(near[i])}
        score = Margin(model, mask).eval()
        blank.append(Case(score, x, baseline, unit, torch.zeros(LENGTH), planted, facts=facts))

    def make_truth() -> dict[str, Tensor]:
        padding = torch.ones(1, LENGTH - REAL, dtype=torch.bool)
        found = {}
        for number, case in enumerate(blank):

            def score(keep: Tensor, case: Case = case) -> Tensor:
                return case.coalitions(torch.cat([keep, padding.expand(len(keep), -1)], 1))

            found[str(number)] = F.pad(shapley(score, REAL), (0, LENGTH - REAL))
        return found

    truth = cached(f"t04-truth-{len(blank)}", seed, make_truth, sys.modules[__name__])
    return [
        Case(c.score, c.x, c.baseline, c.unit, truth[str(i)], c.planted, facts=c.facts) for i, c in enumerate(blank)
    ]


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    """The usual figures, the share on padding (must be 0), and whether a cancelling negator counts against."""
    found = usual(case, relevance)
    total = float(relevance.abs().sum())
    found["padding"] = float(relevance[REAL:].abs().sum()) / total if total > 0 else 0.0
    if case.facts["negator"] >= 0:
        found["negator against"] = float(relevance[case.facts["negator"]] < 0)
    return found


TASK = Task("T4", "token rule with padding, BERT", "exact Shapley of 12 words against <mask>", cases, measure)
