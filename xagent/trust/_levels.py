"""From numbers to a level in words: the lowest that any check allows, and the check that decided it."""

from __future__ import annotations

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib.resources import files
from typing import Any, Literal

Level = Literal["strong", "fair", "limited", "do not rely"]
LEVELS: tuple[Level, ...] = ("do not rely", "limited", "fair", "strong")
"""Lowest first."""


@dataclass(frozen=True)
class Limits:
    """Thresholds by check, from `levels.toml`, and the version of that file."""

    version: str
    ceiling: dict[str, float]
    fidelity: dict[str, float]
    evidence: dict[str, float]
    agreement: dict[str, float]
    off_manifold: dict[str, float]
    gap: dict[str, float]


@cache
def load_limits() -> Limits:
    """The thresholds that ship with the package."""
    data: dict[str, Any] = tomllib.loads(files("xagent.trust").joinpath("levels.toml").read_text(encoding="utf-8"))
    return Limits(**data)


def judge(
    limits: Limits,
    *,
    ceiling: float,
    ratio: float | None,
    beaten: float | None,
    agreement: float | None = None,
    off_manifold: float | None = None,
    gap: float | None = None,
) -> tuple[Level, str]:
    """The level and the weakest check: fidelity | evidence | off-manifold | ceiling | agreement | gap.

    ratio None means a ceiling below its floor: there is no list to rely on. Each check allows a level; the lowest
    counts. A check that could not be made (None) holds back only in the case of the evidence test, without which
    nothing is strong. Among checks that allow the same level, the weakest is the one farthest below (or least above)
    its own threshold for `strong`.
    """
    if ratio is None:
        return "do not rely", "ceiling"
    found: list[tuple[int, float, int, str]] = []

    def check(name: str, rank: int, slack: float) -> None:
        found.append((rank, round(slack, 9), len(found), name))

    c, f, e = limits.ceiling, limits.fidelity, limits.evidence
    check("fidelity", _steps(ratio, f["limited"], f["fair"], f["strong"]), _above(ratio, f["strong"]))
    if beaten is None:
        check("evidence", 2, 0.0)
    else:
        rank = 0 if beaten < e["limited"] else 2 if beaten < e["strong"] else 3
        check("evidence", rank, _above(beaten, e["strong"]))
    if off_manifold is not None:
        o = limits.off_manifold
        check("off-manifold", _steps(-off_manifold, -1.0, -o["fair"], -o["strong"]), _below(off_manifold, o["strong"]))
    check("ceiling", _steps(ceiling, c["floor"], c["fair"], c["strong"]), _above(ceiling, c["strong"]))
    if agreement is not None:
        a = limits.agreement
        check("agreement", max(1, _steps(agreement, -1.0, a["fair"], a["strong"])), _above(agreement, a["strong"]))
    if gap is not None:
        check("gap", 3 if gap <= limits.gap["strong"] else 1, _below(gap, limits.gap["strong"]))
    rank, _, _, weakest = min(found)
    return LEVELS[rank], weakest


def _steps(value: float, limited: float, fair: float, strong: float) -> int:
    return (value >= limited) + (value >= fair) + (value >= strong)


def _above(value: float, strong: float) -> float:
    """Distance above the threshold for strong, 1 = as good as it gets."""
    return (value - strong) / (1 - strong)


def _below(value: float, strong: float) -> float:
    return (strong - value) / strong
