"""The evidence test: are the inputs that the report names the ones that carry the outcome?"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import combinations
from math import comb
from typing import Literal

import numpy as np
import torch
from torch import Tensor

CONTROLS = 8
LEAST_MARGIN = 0.1
"""Smallest margin, in standard deviations of the scores that were seen, of which shares are stated."""
_TIE = 1e-6


@dataclass(frozen=True)
class Evidence:
    """What happens when only the cited inputs stay, and when they go.

    cited: positions of the players named as reasons for the outcome, strongest first. keep_share: part of the margin
    that stays when only they do, the margin being the distance of the score from the threshold, towards the outcome, or
    without a threshold from the background's score. It exceeds 1 when the others speak against the outcome and is
    negative when the decision turns; None when the margin is too small to be divided. random_share: the same for
    control sets of the same size, on average. flips: whether removing the cited players reverses the decision; None
    without a decision. random_flips: share of the controls whose removal does. beaten: share of the controls that they
    beat in keeping and removing together. controls: how many there were.
    state: `tested`, or why the test says nothing.
    """

    cited: tuple[int, ...]
    state: Literal["tested", "nothing cited", "no control", "no contrast"]
    keep_share: float | None = None
    random_share: float | None = None
    flips: bool | None = None
    random_flips: float | None = None
    beaten: float | None = None
    controls: int = 0


def evidence_test(
    score_fn: Callable[[Tensor], Tensor],
    relevance: Tensor,
    full: float,
    background: float,
    *,
    seed: int,
    most: int = 4,
    threshold: float | None = 0.0,
    expected: float = 0.05,
) -> Evidence:
    """Keep only the cited players, remove them, and do the same with random sets of the same size.

    score_fn as in `assess_trust`; relevance (P,); full and background are f(x) and f(b). The outcome is the side of
    `threshold` on which f(x) lies, or, without a threshold (regression), the direction of the change. Keeping and
    removing are the sufficiency and comprehensiveness of DeYoung et al. (2020), on exactly what is cited.
    """
    players = len(relevance)
    sign = 1.0 if (full >= threshold if threshold is not None else full >= background) else -1.0
    toward: list[float] = (sign * relevance.double()).tolist()
    size = sum(map(abs, toward))
    order = sorted(range(players), key=lambda p: (-toward[p], p))
    cited = tuple(p for p in order[: min(most, players - 1)] if toward[p] > _TIE * size)
    if not cited:
        return Evidence((), "nothing cited")
    controls = _controls(players, cited, seed)
    named = np.zeros((1 + len(controls), players), dtype=np.bool_)
    named[np.arange(len(named))[:, None], np.array([cited, *controls])] = True
    scores = score_fn(torch.from_numpy(np.concatenate([named, ~named]))).double().numpy()
    kept, removed = scores[: len(named)], scores[len(named) :]

    start = background if threshold is None else threshold
    margin, spread = sign * (full - start), float(np.append(scores, [full, background]).std(ddof=1))
    shares = (sign * (kept - start) / margin).tolist() if margin > LEAST_MARGIN * spread else None
    flipped = ((removed >= threshold) != (full >= threshold)).tolist() if threshold is not None else None
    found = Evidence(
        cited,
        "tested",
        keep_share=shares[0] if shares else None,
        random_share=_mean(shares[1:]) if shares and controls else None,
        flips=flipped[0] if flipped else None,
        random_flips=_mean([float(f) for f in flipped[1:]]) if flipped and controls else None,
        controls=len(controls),
    )
    if not controls:
        return _untold(found, "no control")
    claims = (named @ np.array(toward)).tolist()
    if claims[0] - _mean(claims[1:]) < expected * size:
        return _untold(found, "no contrast")
    own, *others = (sign * (kept - background) + sign * (full - removed)).tolist()
    tie = _TIE * max(abs(own), *map(abs, others))
    wins = [1.0 if own > other + tie else 0.5 if own >= other - tie else 0.0 for other in others]
    return Evidence(**{**vars(found), "beaten": _mean(wins)})


def _controls(players: int, cited: tuple[int, ...], seed: int) -> list[tuple[int, ...]]:
    """Distinct sets of the same size that are not the cited one: all of them when they are few."""
    size, own = len(cited), tuple(sorted(cited))
    if comb(players, size) - 1 <= CONTROLS:
        return [c for c in combinations(range(players), size) if c != own]
    rng = np.random.default_rng(seed)
    found: dict[tuple[int, ...], None] = {}
    while len(found) < CONTROLS:
        drawn = np.sort(rng.random((2 * CONTROLS, players)).argsort(1)[:, :size], axis=1)
        found |= {members: None for members in map(tuple, drawn.tolist()) if members != own}
    return list(found)[:CONTROLS]


def _untold(found: Evidence, state: Literal["no control", "no contrast"]) -> Evidence:
    return Evidence(**{**vars(found), "state": state})


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
