"""From numbers to a level in words: the lowest that any check allows, and the check that decided it."""

from __future__ import annotations

import hashlib
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from typing import Any, Literal

from xagent.errors import ConfigurationFault

Level = Literal["strong", "fair", "limited", "do not rely"]
LEVELS: tuple[Level, ...] = ("do not rely", "limited", "fair", "strong")
"""Lowest first."""
SCHEMA = "xagent.levels/1"
MAX_BYTES = 64 * 1024


@dataclass(frozen=True)
class Limits:
    """Thresholds by check, from `levels.toml` or a file like it.

    version, sha256: of that file. model: for which model it was calibrated (`name`, `sha256`, `reference`), empty for
    the thresholds that ship with the package. measured: what the calibration found, for the record.
    """

    version: str
    sha256: str
    ceiling: dict[str, float]
    fidelity: dict[str, float]
    shapley: dict[str, float]
    evidence: dict[str, float]
    agreement: dict[str, float]
    off_manifold: dict[str, float]
    gap: dict[str, float]
    baseline: dict[str, float]
    order: dict[str, float]
    grouping: dict[str, float]
    model: dict[str, str] = field(default_factory=dict)
    measured: dict[str, float] = field(default_factory=dict)


@cache
def load_limits() -> Limits:
    """The thresholds that ship with the package."""
    return limits_of(files("xagent.trust").joinpath("levels.toml").read_text(encoding="utf-8"), "levels.toml")


def read_limits(path: Path) -> Limits:
    """Thresholds from a user's file. Raises ConfigurationFault, naming the file, the key and the mend."""
    mend = "Write it with `xagent calibrate`."
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigurationFault(f"{path.name} is larger than {MAX_BYTES // 1024} KiB.", mend)
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        why = getattr(error, "strerror", None) or "it is not UTF-8 text"
        raise ConfigurationFault(f"The file of trust levels {path} cannot be read ({why}).", mend) from None
    return limits_of(text, path.name)


def limits_of(text: str, name: str) -> Limits:
    """Thresholds from the text of a file. Raises ConfigurationFault for one that is malformed or out of order."""
    try:
        data: dict[str, Any] = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationFault(f"{name} is not valid TOML: {error}.", "Mend the file.") from None
    if data.pop("schema", None) != SCHEMA:
        raise ConfigurationFault(f"{name}: schema is not {SCHEMA!r}.", "Write it with `xagent calibrate`.")
    version = data.pop("version", None)
    about = {key: data.pop(key, {}) for key in ("model", "measured")}
    if not isinstance(version, str) or not all(isinstance(part, dict) for part in about.values()):
        raise ConfigurationFault(f"{name}: version, model or measured is of the wrong type.", "Mend the file.")
    unknown, missing = sorted(set(data) - set(_KEYS)), sorted(set(_KEYS) - set(data))
    if unknown or missing:
        fault = f"has no table [{missing[0]}]" if missing else f"has an unknown entry {unknown[0]!r}"
        raise ConfigurationFault(f"{name} {fault}.", "Start from the file that ships with the package.")
    for table, keys in _KEYS.items():
        _check(name, table, keys, data[table])
    return Limits(version=version, sha256=hashlib.sha256(text.encode()).hexdigest(), **data, **about)


_KEYS: dict[str, str] = {
    # falling: each at most the one before; others: no order among them
    "ceiling": "strong>fair>floor",
    "fidelity": "strong>fair>limited",
    "shapley": "strong>fair",
    "evidence": "strong>limited,expected",
    "agreement": "strong>fair",
    "off_manifold": "fair>strong",
    "gap": "strong",
    "baseline": "top,tie,limited,change",
    "order": "limited",
    "grouping": "correlation,rows",
}
_WIDE = {"baseline.top": 60.0, "order.limited": 100.0, "grouping.rows": 1e6, "agreement.fair": 1.0}


def _check(name: str, table: str, keys: str, found: Any) -> None:
    wanted = keys.replace(">", ",").split(",")
    if not isinstance(found, dict) or sorted(found) != sorted(wanted):
        raise ConfigurationFault(f"{name}: [{table}] must have exactly {', '.join(wanted)}.", "Mend that table.")
    for key, value in found.items():
        top, low = _WIDE.get(f"{table}.{key}", 1.0), -1.0 if table == "agreement" else 0.0
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= top:
            raise ConfigurationFault(f"{name}: {table}.{key} must be a number from {low:g} to {top:g}.", "Mend it.")
    falling = keys.split(",", maxsplit=1)[0].split(">")
    for upper, lower in pairwise(falling):
        if found[upper] < found[lower]:
            raise ConfigurationFault(f"{name}: {table}.{upper} is below {table}.{lower}.", "Put them in order.")


def judge(
    limits: Limits,
    *,
    ceiling: float,
    ratio: float | None,
    beaten: float | None,
    agreement: float | None = None,
    off_manifold: float | None = None,
    gap: float | None = None,
    shapley: float | None = None,
    flipped: float | None = None,
    order: float | None = None,
) -> tuple[Level, str]:
    """The level and the weakest check: fidelity | evidence | off-manifold | ceiling | agreement | gap | shapley |
    baseline | order.

    ratio None means a ceiling below its floor: there is no list to rely on. flipped: share of the other baselines
    under which the first driver is another one. order: the z-score of `removal_order_z`. Each check allows a level;
    the lowest counts. A check that could not be made (None) holds back only in the case of the evidence test,
    without which nothing is strong. Where a list can describe the model (the ceiling is fair), one that is near the
    exact values is not refused for its fidelity, which weighs coalitions of the middle sizes more than they do.
    Among checks that allow the same level, the weakest is the one farthest below (or least above) its own threshold
    for `strong`.
    """
    if ratio is None:
        return "do not rely", "ceiling"
    found: list[tuple[int, float, int, str]] = []

    def check(name: str, rank: int, slack: float) -> None:
        found.append((rank, round(slack, 9), len(found), name))

    c, f, e = limits.ceiling, limits.fidelity, limits.evidence
    steps = _steps(ratio, f["limited"], f["fair"], f["strong"])
    exact = shapley is not None and shapley >= limits.shapley["strong"] and ceiling >= c["fair"]
    check("fidelity", max(steps, 1) if exact else steps, _above(ratio, f["strong"]))
    if beaten is None:
        check("evidence", 2, 0.0)
    else:
        rank = 0 if beaten < e["limited"] else 2 if beaten < e["strong"] else 3
        check("evidence", rank, _above(beaten, e["strong"]))
    if off_manifold is not None:
        o = limits.off_manifold
        check("off-manifold", _steps(-off_manifold, -1.0, -o["fair"], -o["strong"]), _below(off_manifold, o["strong"]))
    check("ceiling", _steps(ceiling, c["floor"], c["fair"], c["strong"]), _above(ceiling, c["strong"]))
    if shapley is not None:
        s = limits.shapley
        check("shapley", max(1, _steps(shapley, -1.0, s["fair"], s["strong"])), _above(shapley, s["strong"]))
    if agreement is not None:
        a = limits.agreement
        check("agreement", max(1, _steps(agreement, -1.0, a["fair"], a["strong"])), _above(agreement, a["strong"]))
    if gap is not None:
        check("gap", 3 if gap <= limits.gap["strong"] else 1, _below(gap, limits.gap["strong"]))
    if flipped:
        check("baseline", 1 if flipped >= limits.baseline["limited"] else 2, -flipped)
    if order is not None and order < limits.order["limited"]:
        check("order", 0, -1.0)
    rank, _, _, weakest = min(found)
    return LEVELS[rank], weakest


def lower(level: Level, most: Level) -> Level:
    """The lower of two levels."""
    return LEVELS[min(LEVELS.index(level), LEVELS.index(most))]


def _steps(value: float, limited: float, fair: float, strong: float) -> int:
    return (value >= limited) + (value >= fair) + (value >= strong)


def _above(value: float, strong: float) -> float:
    """Distance above the threshold for strong, 1 = as good as it gets."""
    return (value - strong) / max(1 - strong, 1e-9)


def _below(value: float, strong: float) -> float:
    return (strong - value) / max(strong, 1e-9)
