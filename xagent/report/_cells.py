"""Claims as they are printed in tables, tiles and charts: always with the id of the claim they come from."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from xagent.evidence import Claim, Ledger
from xagent.narrative import format_claim
from xagent.personas import Persona
from xagent.report._labels import said, signs

STATES = {"ok": "ok", "deviation": "deviation", "cannot tell": "unknown", "not supplied": "absent"}
"""Tone in which a state is drawn."""


@dataclass(frozen=True)
class Cell:
    """A printed fact. claim: id of its claim, or "" for text that is no fact. numeric: set flush right."""

    text: str
    claim: str = ""
    numeric: bool = False


class Facts:
    """The claims of a report, read only, in the precision of its reader."""

    def __init__(self, ledger: Ledger, persona: Persona) -> None:
        self._ledger = ledger
        self._persona = persona

    def __contains__(self, key: str) -> bool:
        return key in self._ledger

    def claim(self, key: str) -> Claim | None:
        return self._ledger.get(key)

    def value(self, key: str) -> Any:
        claim = self._ledger.get(key)
        return None if claim is None else claim.value

    def coarse(self, key: str) -> bool:
        """Whether this reader gets words of size instead of a figure."""
        return self._persona.policy_of(key) == "band"

    def number(self, key: str) -> float | None:
        value = self.value(key)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def text(self, key: str) -> str:
        """The printed claim, "" when there is none."""
        cell = self.cell(key)
        return cell.text if cell else ""

    def cell(self, key: str, policy: str | None = None) -> Cell | None:
        """The claim as this reader sees it, signs written out; None when there is no such claim."""
        claim = self._ledger.get(key)
        if claim is None or self._persona.unprinted(key):
            return None
        numeric = isinstance(claim.value, int | float) and not isinstance(claim.value, bool)
        return Cell(format_claim(claim, policy, self._persona), key, numeric)

    def feature(self, part: str, key: str) -> Cell:
        """The name of the input whose slug is `part`; `key` is a claim about it."""
        claim = self._ledger.get(key)
        return self.cell(f"feature.{part}.label") or Cell((claim.feature if claim else None) or part)

    def ids(self, prefix: str) -> Iterator[str]:
        return (key for key in self._ledger if key.startswith(prefix))


def duration(seconds: float) -> str:
    """Seconds in the largest unit that keeps the number at one or more, milliseconds at least."""
    for unit, size in ((said("days"), 86_400.0), ("h", 3_600.0), ("min", 60.0), ("s", 1.0)):
        if abs(seconds) >= size:
            number = f"{seconds / size:.{0 if abs(seconds) / size >= 10 else 1}f}"
            return f"{signs(number)}\u00a0{unit}"
    return f"{seconds * 1000:.0f}\u00a0ms"
