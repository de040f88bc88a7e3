"""Signed amounts of one figure on one scale: side, strength, and how many decimals they are printed with."""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass

from xagent.report._labels import percentage, signs

MINUS = "\u2212"
STEPS = (0.1, 0.25, 0.5, 0.75)
"""Parts of the largest magnitude at which the ground gets one step darker."""


@dataclass(frozen=True)
class Scale:
    """most: the largest magnitude, 1 when all amounts are zero."""

    most: float

    @classmethod
    def of(cls, values: Iterable[float]) -> Scale:
        return cls(max((abs(v) for v in values), default=0.0) or 1.0)

    def strength(self, value: float) -> float:
        """Magnitude as a part of the largest, 0 to 1."""
        return min(1.0, abs(value) / self.most)

    def level(self, value: float) -> int:
        """0 (too weak to be marked) to 4."""
        return sum(self.strength(value) > step for step in STEPS)

    def tone(self, value: float) -> str:
        """`for`, `against`, or `neither` for what is too weak to be marked."""
        return "neither" if not self.level(value) else "for" if value > 0 else "against"

    def opacity(self, value: float, most: float = 0.6) -> str:
        """How dense the colour is laid on; "" for what would not be seen."""
        return f"{most * self.strength(value):.2f}" if self.strength(value) >= 0.02 else ""

    def text(self, value: float, digits: int = 3) -> str:
        """The amount with its sign; all amounts of a figure have as many decimals, so that they compare at a glance."""
        return amount(value, self.most, digits)


def amount(value: float, most: float, digits: int = 3) -> str:
    """A signed number with the decimals that give `most` so many significant digits."""
    size = math.floor(math.log10(most)) if most > 0 else 0
    if not -5 <= size <= 8:
        text = f"{abs(value):.{digits - 1}e}".replace("e-0", f"e{MINUS}").replace("e-", f"e{MINUS}")
        text = text.replace("e+0", "e").replace("e+", "e")
    else:
        text = f"{abs(value):,.{max(0, digits - 1 - size)}f}"
    text = signs(text)
    if not any(char in "123456789" for char in text):
        return text
    return (MINUS if value < 0 else "+") + text


def percent(part: float, decimals: int = 0) -> str:
    """A part of a whole; what is there but rounds to nothing says so."""
    text = percentage(f"{abs(part) * 100:.{decimals}f}")
    if any(char in "123456789" for char in text) or not part:
        return text
    return f"<{percentage(f'{10**-decimals:.{decimals}f}')}"
