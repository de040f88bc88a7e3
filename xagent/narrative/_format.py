"""How a language prints figures, dates and words from a case, as the verifier knows it from its own data."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any


@dataclass(frozen=True)
class Number:
    """A printed number taken apart. value: of the mantissa, signed. decimals: digits after the point. power: of ten."""

    value: Fraction
    sign: str
    decimals: str
    power: int | None
    end: int
    one: bool


@dataclass(frozen=True)
class Format:
    """One language's patterns. `{}` stands for the number. seconds: (seconds, singular, plural), longest unit first."""

    letters: frozenset[str]
    decimal: str
    group: str
    percent: str
    points: tuple[str, str]
    date: str
    time: str
    months: tuple[str, ...]
    quotes: str
    words: Mapping[str, str]
    seconds: tuple[tuple[int, str, str], ...]
    number: re.Pattern[str] = field(init=False)

    def __post_init__(self) -> None:
        group, decimal = re.escape(self.group), re.escape(self.decimal)
        object.__setattr__(self, "number", re.compile(
            rf"(?P<sign>[+−]?)(?P<whole>0|[1-9][0-9]{{0,2}}(?:{group}[0-9]{{3}})*)(?:{decimal}(?P<part>[0-9]+))?"
            r"(?:e(?P<power>−?[1-9][0-9]{0,2}|0))?"
        ))  # fmt: skip

    def read(self, text: str) -> Number | None:
        """The number that a text starts with, or None. Only ASCII digits are digits."""
        match = self.number.match(text)
        if match is None:
            return None
        part = match["part"] or ""
        size = Fraction(int(match["whole"].replace(self.group, "") + part), 10 ** len(part))
        power = None if match["power"] is None else int(match["power"].replace("−", "-"))
        one = match["whole"] == "1" and not part and power is None
        return Number(-size if match["sign"] == "−" else size, match["sign"], part, power, match.end(), one)

    def strange(self, text: str) -> str | None:
        """The first character that words of this language are not written with."""
        return next((c for c in text if c not in self.letters), None)


def read_format(data: Mapping[str, Any]) -> Format:
    """The `[format]` table of a lexicon."""
    letters = set(data["letters"])
    words = {key: data[key] for key in ("yes", "no", "unrecorded", "empty")}
    seconds = sorted(((int(size), *names) for size, names in data["seconds"].items()), reverse=True)
    return Format(
        letters=frozenset(letters | {c.upper() for c in letters if len(c.upper()) == 1} | set(data["marks"])),
        decimal=data["decimal"], group=data["group"], percent=data["percent"], points=tuple(data["points"]),
        date=data["date"], time=data["time"], months=tuple(data["months"].split()), quotes=data["quotes"],
        words=words, seconds=tuple(seconds),
    )  # fmt: skip
