"""How the narrator prints in a language: signs and dates by Babel, a few words from `words.<language>.toml`.

The verifier does not use this file; it knows the language from the `[format]` table of its own lexicon.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import cache
from typing import Any

from xagent.narrative._words import words

_MONTHS = "January February March April May June July August September October November December"
_UNITS = ("day", "hour", "minute", "second")


@dataclass(frozen=True)
class Printing:
    """decimal, group: separators. percent, points, quotes: `{}` stands for what is printed. day: a date in words.

    units: for `day`, `hour`, `minute`, `second` the patterns for one and for more.
    """

    decimal: str
    group: str
    percent: str
    points: tuple[str, str]
    quotes: str
    day: Callable[[datetime], str]
    time: str
    units: dict[str, tuple[str, str]]
    yes: str
    no: str
    unrecorded: str
    empty: str

    def number(self, text: str) -> str:
        """A number that is written with commas between thousands and a decimal point, with this language's signs."""
        return text.translate({ord(","): self.group, ord("."): self.decimal})

    def count(self, number: str, unit: str) -> str:
        one, more = self.units[unit]
        return (one if number == "1" else more).format(self.number(number))


@cache
def printing(language: str = "en") -> Printing:
    """English without Babel, whose import takes longer than a sentence; every other language by its CLDR data."""
    if language == "en":
        return Printing(
            decimal=".", group=",", percent="{}%", quotes="“{}”",
            points=("{} percentage point", "{} percentage points"),
            day=lambda moment: f"{moment.day} {_MONTHS.split()[moment.month - 1]} {moment.year}",
            time="{date} at {hour} UTC",
            units={unit: (f"{{}} {unit}", f"{{}} {unit}s") for unit in _UNITS},
            yes="yes", no="no", unrecorded="not recorded", empty="(empty)",
        )  # fmt: skip
    return _from_cldr(language, words(language).printed)


def _from_cldr(language: str, own: dict[str, Any]) -> Printing:
    from babel import Locale
    from babel.dates import format_date
    from babel.numbers import get_decimal_symbol, get_group_symbol
    from babel.units import format_unit

    locale = Locale.parse(language)
    pattern = str(locale.percent_formats[None].pattern)

    def unit(name: str, count: int) -> str:
        return format_unit(count, f"duration-{name}", length="long", locale=locale).replace(str(count), "{}")

    return Printing(
        decimal=get_decimal_symbol(locale),
        group=get_group_symbol(locale),
        percent=pattern.replace("#,##0", "{}"),
        points=(own["points"][0], own["points"][1]),
        quotes=own["quotes"],
        day=lambda moment: format_date(moment, format="long", locale=locale),
        time=own["time"],
        units={name: (unit(name, 1), unit(name, 2)) for name in _UNITS},
        yes=own["yes"], no=own["no"], unrecorded=own["unrecorded"], empty=own["empty"],
    )  # fmt: skip
