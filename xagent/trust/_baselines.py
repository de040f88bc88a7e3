"""Would the same inputs lead, had the case been compared with something else that is as reasonable?"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from torch import Tensor

First = Literal["stays", "moves", "lost"]
_ORDER: tuple[First, ...] = ("stays", "moves", "lost")
_ROUNDING = 1e-6


@dataclass(frozen=True)
class Sensitivity:
    """Of the top drivers to the choice of the baseline.

    tried: names of the other baselines. kept: the smallest share of the top drivers that is still on top under one of
    them; by: that share under each. worst: the baseline under which the least is kept. first: what becomes of the first
    driver under the worst of them: it `stays` first (or nearly so), it `moves` down, or it is `lost` (no longer among
    the top drivers, or its sign has turned). first_under: where that happens. flipped: share of the baselines under
    which it does not stay. moved: players that drop out of the top drivers under some baseline.
    """

    tried: tuple[str, ...]
    kept: float
    by: tuple[float, ...]
    worst: str
    first: First
    first_under: str
    flipped: float
    moved: tuple[int, ...]


def compare_baselines(
    relevance: Tensor, others: Mapping[str, Tensor], *, top: int = 4, tie: float = 0.8
) -> Sensitivity | None:
    """How the list (P,) fares against the same method's lists from other baselines.

    top: how many drivers count; fewer when fewer have any weight. tie: part of the largest relevance from which on the
    first driver still counts as first. None without another baseline, or when the list is all zeros.
    """
    drivers = _drivers(relevance, min(top, len(relevance) - 1))
    if not others or not drivers:
        return None
    first = drivers[0]
    shares, fates, moved = [], [], set()
    for other in others.values():
        ranked = _drivers(other, len(drivers))
        gone = set(drivers) - set(ranked)
        moved |= gone
        shares.append(1 - len(gone) / len(drivers))
        toward = float(other[first]) * (1.0 if relevance[first] > 0 else -1.0)
        fates.append(2 if toward <= 0 or first in gone else int(toward < tie * float(other.abs().max())))
    names = list(others)
    return Sensitivity(
        tried=tuple(names),
        kept=min(shares),
        by=tuple(shares),
        worst=names[shares.index(min(shares))],
        first=_ORDER[max(fates)],
        first_under=names[fates.index(max(fates))],
        flipped=sum(fate > 0 for fate in fates) / len(fates),
        moved=tuple(p for p in drivers if p in moved),
    )


def _drivers(values: Tensor, most: int) -> list[int]:
    size = values.abs().tolist()
    least = _ROUNDING * sum(size)
    order = sorted(range(len(size)), key=lambda p: (-size[p], p))
    return [p for p in order[:most] if size[p] > least]
