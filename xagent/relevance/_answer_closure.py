"""Closure of a reasoning trace: what generated tokens absorbed is handed back to what produced them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from ._errors import RelevanceError


@dataclass(frozen=True)
class Closure:
    """The relevance of an answer after every generated token has handed on what it absorbed.

    All values are float64: tokens (P,) of the prompt, sources (C,), sink, other and ledger sums, kept (T,) what
    generated tokens could not hand on because their own score is not positive, through (T,) what passed through each
    of them, its own seed included. tokens.sum() + ledger + kept.sum() = score.
    """

    tokens: Tensor
    sources: Tensor
    sink: float
    other: float
    ledger: float
    kept: Tensor
    through: Tensor
    score: float


def close(own: Tensor, given: Tensor, scores: Tensor, weights: Tensor, floor: float) -> tuple[Tensor, Tensor, Tensor]:
    """Solve for the weight of every row once all relevance among generated tokens has been handed on.

    own: (T, T) relevance of answer token j for answer token t, strictly lower triangular. given: (T, m) what else the
    rows hold (prompt, ledger). scores: (T,) = own.sum(1) + given.sum(1). weights: (T,) of the question.

    Token j passes on m_j = w_j s_j + sum_t u_t own[t, j] in the proportions of its own row, with weight
    u_j = m_j / s_j, so that (diag(s) - own^T) u = w s, one triangular solve. R_prompt = u^T given, which
    is (w s)^T (I - A_gg)^-1 A_gp with A = rows / s. A token whose score is at most floor * max(s) keeps what it
    absorbed: a division by it would blow up.
    Returns handed (m,), kept (T,), through (T,).
    """
    good = scores > floor * scores.max().clamp(min=torch.finfo(scores.dtype).tiny)
    own = own.tril(-1)
    matrix = torch.diag(torch.where(good, scores, torch.ones_like(scores))) - own.T * good[:, None]
    asked = torch.where(good, weights * scores, weights)
    u = torch.linalg.solve_triangular(matrix, asked[:, None], upper=True)[:, 0]
    absorbed = u @ own
    return u @ given, torch.where(good, torch.zeros_like(absorbed), absorbed), torch.where(good, u * scores, absorbed)


def weights_of(weights: Tensor | Sequence[float] | None, count: int) -> Tensor:
    """(count,) float64, ones by default."""
    w = torch.ones(count) if weights is None else torch.as_tensor(weights)
    if w.shape != (count,) or not bool(torch.isfinite(w).all()):
        raise RelevanceError(f"weights must be {count} finite numbers, one for each answer token.")
    return w.detach().cpu().double()
