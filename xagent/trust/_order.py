"""Removal in order: does taking the strongest first change the score sooner than taking the weakest first?"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

RANDOM_ORDERS = 16


def removal_order_z(score_fn: Callable[[Tensor], Tensor], relevance: Tensor, seed: int = 0) -> float | None:
    """Symmetric relevance gain in standard deviations of that of random orders: (LeRF - MoRF area) / sd.

    score_fn: keep (m, P) bool -> (m,). relevance (P,). LeRF removes the least relevant first, MoRF the most relevant
    first; the difference of their mean scores does not depend on how far single removals leave the data (Bluecher,
    Vielhaben and Strodthoff 2024). A random order has a gain of zero on average, since its reverse is as likely.
    18 * (P + 1) rows. None when no random order changes the score.
    """
    players = len(relevance)
    falling = torch.tensor(sorted(range(players), key=lambda p: (-float(relevance[p]), p)))
    rng = np.random.default_rng(seed)
    drawn = [torch.from_numpy(rng.permutation(players)) for _ in range(RANDOM_ORDERS // 2)]
    orders = [way for order in (falling, *drawn) for way in (order, order.flip(0))]
    scores = score_fn(torch.cat([_prefixes(order) for order in orders])).double().view(len(orders), players + 1)
    area = scores.mean(1)
    gains = area[1::2] - area[0::2]
    spread = float(gains[1:].square().mean().sqrt())
    return float(gains[0]) / spread if spread > 1e-9 * float(scores.abs().max()) else None


def _prefixes(order: Tensor) -> Tensor:
    """(P + 1, P) bool: what is left after 0, 1, ... P players of the order have gone."""
    place = torch.empty_like(order)
    place[order] = torch.arange(len(order))
    return place[None, :] >= torch.arange(len(order) + 1)[:, None]
