"""Relevance profiles of many known cases: on what the model decides, case by case, in one pass.

A profile is the relevance of each input divided by the sum of their sizes: signs kept, size gone. Texts share no
inputs, so theirs is the mean of the words' input embeddings, weighted by relevance: on what sort of words the model
decides.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xagent.relevance import Target, Tracer
from xagent.tools._base import Context

if TYPE_CHECKING:
    from xagent.subject import Encoded

Floats = NDArray[np.float64]

MOST_TRACED = {"tabular": 1000, "image": 400, "text": 128}
MOST_REMOVED = 300
"""Rows whose inputs are left out one by one where nothing can be traced."""
MOST_PARTS = 1024
_CHUNK_NUMBERS = 2**22
_CHUNK_TEXTS = 32


@dataclass(frozen=True)
class Profiles:
    """shape (n, d): the profile of each; zeros where no input has relevance. total (n,): sum of |relevance|. norm: of
    the distance between profiles."""

    shape: Floats
    total: Floats
    norm: float


@dataclass(frozen=True)
class Tracing:
    """How the profiles of one model are made. target: column that is explained, against the strongest other one of
    each row; None for a regression. background: as the relevance tool takes it, None for zeros."""

    ctx: Context
    encoded: Encoded
    target: int | None
    background: Tensor | None

    def weights(self, logits: Floats) -> Tensor:
        """(n, K): what each output counts in the explained score of each row, from its logits (n, K)."""
        found = torch.zeros(logits.shape, dtype=torch.float64)
        if self.target is None:
            found[:, 0] = 1.0
            return found
        others = logits.copy()
        others[:, self.target] = -np.inf
        found[torch.arange(len(found)), torch.from_numpy(others.argmax(axis=1))] = -1.0
        found[:, self.target] = 1.0
        return found

    def of_rows(self, rows: Tensor, logits: Floats) -> Profiles:
        """Profiles of rows or images (n, ...)."""
        found = (self._traced if self.ctx.subject.module is not None else self._removed)(rows, self.weights(logits))
        amounts = np.stack([found[:, list(p.index)].sum(axis=1) for p in self.encoded.players], axis=1)
        return profiles_of(amounts)

    def of_texts(self, texts: list[Encoded], logits: Floats, centre: Floats) -> Profiles:
        """Profiles of texts, traced together with others of about their length. centre (E,): mean embedding of words,
        of the known texts for all."""
        weights = self.weights(logits)
        shapes, totals = np.zeros((len(texts), len(centre))), np.zeros(len(texts))
        order = sorted(range(len(texts)), key=lambda i: texts[i].inputs[texts[i].traced].shape[1])
        for start in range(0, len(order), _CHUNK_TEXTS):
            places = order[start : start + _CHUNK_TEXTS]
            wanted = float((weights[places] * torch.from_numpy(logits[places])).sum())
            found = self._padded([texts[p] for p in places], weights[places], wanted)
            for place, relevance in zip(places, found, strict=True):
                item = texts[place]
                held = np.array([i for player in item.players for i in player.index])
                words = relevance.sum(axis=1)[held]
                vectors = _array(item.inputs[item.traced][0])[held] - centre
                by_word = np.array([relevance[list(player.index)].sum() for player in item.players])
                totals[place] = np.abs(by_word).sum()
                size = np.abs(words).sum()
                shapes[place] = words @ vectors / size if size > 0 else 0.0
        return Profiles(shapes, totals, 2.0)

    def _padded(self, texts: list[Encoded], weights: Tensor, wanted: float) -> list[Floats]:
        """Relevance (T, E) of each text. One by one where the model reads the padding, which its score betrays."""
        longest = max(item.inputs[item.traced].shape[1] for item in texts)
        rows = [{name: _lengthened(tensor, longest) for name, tensor in item.inputs.items()} for item in texts]
        batch = {name: torch.cat([row[name] for row in rows]) for name in rows[0]}
        traced = texts[0].traced
        found, score = self._folded(batch, traced, weights, None)
        if abs(score - wanted) > 1e-3 * (1 + abs(wanted)) and len(texts) > 1:
            single = [self._folded(t.inputs, traced, weights[i : i + 1], None)[0] for i, t in enumerate(texts)]
            return [_array(each[0]) for each in single]
        return [_array(found[i, : t.inputs[traced].shape[1]]) for i, t in enumerate(texts)]

    def _traced(self, rows: Tensor, weights: Tensor) -> Floats:
        """(n, units): relevance of columns, or of pixels over their channels."""
        step = max(1, _CHUNK_NUMBERS // max(1, rows[0].numel()))
        parts = []
        for start in range(0, len(rows), step):
            some = {self.encoded.traced: rows[start : start + step].to(self.ctx.subject.device)}
            found, _ = self._folded(some, self.encoded.traced, weights[start : start + step], self.background)
            parts.append(_array(found.sum(1) if self.encoded.kind == "image" else found).reshape(len(found), -1))
        return np.concatenate(parts)

    def _folded(
        self, batch: dict[str, Tensor], traced: str, weights: Tensor, background: Tensor | None
    ) -> tuple[Tensor, float]:
        """Relevance of a batch (n, ...), and the sum of its scores.

        The whole batch goes through the tracer as one sample whose score is the sum: rows do not meet in a model, so
        each keeps its own relevance, and no account is kept row by row, which costs a gradient each where a model
        shares constants between rows.
        """
        subject = self.ctx.subject
        assert subject.module is not None

        def forward(inputs: dict[str, Any]) -> Tensor:
            answer = subject.forward({name: tensor[0] for name, tensor in inputs.items()})
            return (answer * weights.to(answer)).sum().reshape(1, 1)

        tracer = Tracer(subject.module, rules=self.ctx.rules, forward=forward)
        with subject.lock:
            trace = tracer.trace(
                {name: tensor[None] for name, tensor in batch.items()},
                of=[traced],
                target=Target.value(),
                baseline=None if background is None else {traced: background[None]},
            )
        return trace.relevance[traced][0].detach(), float(trace.score[0])

    def _removed(self, rows: Tensor, weights: Tensor) -> Floats:
        """(n, units): exactly where the model has a closed form, by the coefficients of a linear model, else by leaving
        out one input at a time."""
        exact = self.ctx.subject.exact_values(rows, self.background)
        if exact is not None:
            found = np.zeros(tuple(rows.shape))
            values = _array((exact * weights[:, None, :]).sum(2))
            for place, player in enumerate(self.encoded.players):
                found[:, player.index[0]] = values[:, place]
            return found
        base = self.ctx.subject.background(encoded=self.encoded) if self.background is None else self.background
        linear = self.ctx.subject.linear_coefficients()
        if linear is not None:
            return _array((weights @ linear.coefficients.double()) * (rows - base).double())
        found = np.zeros(tuple(rows.shape))
        name = self.encoded.traced
        full = (self.ctx.subject.logits({name: rows}).double() * weights).sum(1)
        for player in self.encoded.players:
            changed = rows.clone()
            changed[:, list(player.index)] = base.to(rows).expand_as(rows)[:, list(player.index)]
            without = (self.ctx.subject.logits({name: changed}).double() * weights).sum(1)
            found[:, player.index[0]] = _array(full - without)
        return found


def profiles_of(amounts: Floats) -> Profiles:
    """Profiles (n, d) of relevances (n, inputs); more than MOST_PARTS inputs are summed over runs of neighbours."""
    total = np.abs(amounts).sum(axis=1)
    if amounts.shape[1] > MOST_PARTS:
        edges = np.linspace(0, amounts.shape[1], MOST_PARTS + 1)[:-1].astype(np.int64)
        amounts = np.add.reduceat(amounts, edges, axis=1)
    size = np.abs(amounts).sum(axis=1, keepdims=True)
    return Profiles(amounts / np.where(size > 0, size, 1.0), total, 1.0)


def _lengthened(tensor: Tensor, length: int) -> Tensor:
    """(1, T, ...) with zeros up to `length` tokens, which the attention mask then hides."""
    filled = tensor.new_zeros((1, length, *tensor.shape[2:]))
    filled[:, : tensor.shape[1]] = tensor
    return filled


def centre_of(texts: list[Encoded]) -> Floats:
    """Mean embedding of all words (E,)."""
    total, count = 0.0, 0
    for item in texts:
        held = [i for player in item.players for i in player.index]
        total = total + _array(item.inputs[item.traced][0])[held].sum(axis=0)
        count += len(held)
    return np.asarray(total / max(count, 1))


def _array(tensor: Tensor) -> Floats:
    return np.asarray(tensor.detach().double().cpu().numpy(), dtype=np.float64)
