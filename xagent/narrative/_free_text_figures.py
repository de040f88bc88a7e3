"""Figures in prose: digits in any script and format, number words and fractions, with their unit and precision."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Any

_DIGITS = re.compile(
    r"(?<![\w.])(?P<before>(?:[€$£¥₹]|EUR|USD|GBP|CHF|JPY|INR) ?)?(?P<sign>[+-] ?(?=[\d.€$£]))?(?P<symbol>[€$£¥₹] ?)?"
    r"(?P<whole>\d{1,3}(?:[,' ]\d{3})+(?!\d)|\d+)?(?P<part>[.,]\d+)?"
    r"(?:(?:e| ?[x×*] ?10\^?)(?P<power>[+-]?\d{1,3}))?"
)
_RATIO = re.compile(r"(?<![\w.])(\d{1,3})[/⁄](\d{1,3})(?![\w/])")
FINE = Fraction(1, 10**9)


@dataclass(frozen=True)
class Figure:
    """A number as it stands in a text. half: half of its last printed place, what rounding can hide. signed: whether a
    sign was written. unit: percent, points, odds, fraction, a currency code, `time`, words of a unit, or nothing.
    seconds: length of the unit for times. of: what follows `% of`."""

    text: str
    start: int
    end: int
    value: Fraction
    half: Fraction
    signed: bool
    unit: str = ""
    seconds: int = 0
    of: str = ""

    def close(self, wanted: Fraction, *, unsigned: bool = False) -> bool:
        """Whether a number prints as this figure. unsigned: a figure without a sign may stand for either sign."""
        own = self.value
        if unsigned and not self.signed:
            own, wanted = abs(own), abs(wanted)
        if own == 0 and wanted != 0:  # `0` is nothing at all, `0.0` may be a little
            return self.half < Fraction(1, 2) and abs(wanted) <= self.half
        return abs(own - wanted) <= self.half + abs(wanted) * FINE + FINE * FINE


def plain(text: str) -> str:
    """Text with every digit an ASCII digit, compatibility forms resolved, hidden characters taken out, one kind of
    minus. The same is done to the words of the ledger, so that both can be compared."""
    kept = []
    for char in unicodedata.normalize("NFKC", text):
        if char in "−‒–":
            kept.append("-" if char != "–" else "–")
        elif unicodedata.category(char) == "Nd":
            kept.append(str(unicodedata.digit(char)))
        elif char.isspace():
            kept.append(" ")
        elif unicodedata.category(char) not in ("Cf", "Cc", "Cs"):
            kept.append({"’": "'", "‘": "'"}.get(char, char))
    return re.sub(" +", " ", "".join(kept)).strip()


def figures(text: str, raw: dict[str, Any], units: Sequence[str]) -> list[Figure]:
    """Every figure of a text made plain, in order. units: those of the ledger, longest first."""
    found: list[Figure] = []
    taken = [False] * (len(text) + 1)
    for figure in (*_ratios(text), *_worded_fractions(text, raw), *_digits(text, raw), *_worded(text, raw)):
        if not any(taken[figure.start : figure.end]):
            whole = _with_unit(figure, text, raw, units)
            taken[whole.start : whole.end] = [True] * (whole.end - whole.start)
            found.append(whole)
    return _merged(sorted(found, key=lambda figure: figure.start), text)


def _merged(found: list[Figure], text: str) -> list[Figure]:
    """`17 minutes 3 seconds` is one figure."""
    merged: list[Figure] = []
    for figure in found:
        last = merged[-1] if merged else None
        between = text[last.end : figure.start] if last else ""
        if last and last.seconds > figure.seconds > 0 and between in (" ", " and ", ", "):
            value = last.value * last.seconds / figure.seconds + figure.value
            merged[-1] = Figure(
                text[last.start : figure.end],
                last.start,
                figure.end,
                value,
                figure.half,
                last.signed,
                "time",
                figure.seconds,
            )
        else:
            merged.append(figure)
    return merged


def _ratios(text: str) -> Iterator[Figure]:
    for match in _RATIO.finditer(text):
        if int(match[2]):
            value = Fraction(int(match[1]), int(match[2]))
            yield Figure(match[0], match.start(), match.end(), value, Fraction(2, 100), False, "fraction")


def _worded_fractions(text: str, raw: dict[str, Any]) -> Iterator[Figure]:
    table = raw["number"]["fractions"]
    pattern = "|".join(sorted((re.escape(word) for word in table), key=len, reverse=True))
    for match in re.finditer(rf"(?<![\w-])(?:{pattern})(?![\w-])", text, re.IGNORECASE):
        value = Fraction(table[match[0].casefold()])
        yield Figure(match[0], match.start(), match.end(), value, Fraction(2, 100), False, "fraction")


def _digits(text: str, raw: dict[str, Any]) -> Iterator[Figure]:
    for match in _DIGITS.finditer(text):
        whole, part = match["whole"] or "", match["part"] or ""
        if not whole and not part.startswith("."):
            continue
        end = match.end()
        if match["power"] is None and part and not whole and text[match.start() - 1 : match.start()].isalnum():
            continue
        digits, decimals = re.sub(r"[,' ]", "", whole) or "0", part[1:]
        if part.startswith(",") and len(decimals) == 3:  # a group that the first alternative could not take
            digits, decimals = digits + decimals, ""
        value = Fraction(int(digits + decimals), 10 ** len(decimals))
        half = Fraction(1, 2 * 10 ** len(decimals))
        scale = Fraction(10) ** int(match["power"] or 0)
        more = re.match(r" ?(k|K|M|m|bn|mn|thousand|million|billion)(?!\w)", text[end:])
        if more and match["power"] is None and not (more[1] == "m" and more[0].startswith(" ")):
            scale *= 10 ** raw["number"]["powers"][more[1].casefold()]
            end += more.end()
        if text[end : end + 1].isalpha() and not re.match(r"(?:%|pp|[a-z]{1,4}\b|°|[A-Z]{3}\b)", text[end:]):
            continue
        sign = (match["sign"] or "").strip()
        value = value * scale * (-1 if sign == "-" else 1)
        symbol = (match["before"] or match["symbol"] or "").strip()
        unit = raw["number"]["currency"].get(symbol.casefold(), "")
        yield Figure(text[match.start() : end].strip(), match.start(), end, value, half * scale, bool(sign), unit)


def _worded(text: str, raw: dict[str, Any]) -> Iterator[Figure]:
    """Number words: `forty-six`, `one hundred and seventy-one`, `two thousand`. `one` alone is a pronoun too."""
    ones = {word: n for n, word in enumerate(raw["number"]["ones"].split())}
    tens = {word: 10 * n for n, word in enumerate(raw["number"]["tens"].split(), start=2)}
    values = {**ones, **tens, raw["number"]["hundred"]: 100, "thousand": 1000, "million": 10**6, "billion": 10**9}
    words = "|".join(sorted(values, key=len, reverse=True))
    run = rf"(?:{words})(?:(?:[ -]|(?<=hundred) and | and (?=\w+))(?:{words})\b)*"
    for match in re.finditer(rf"(?<![\w-])(?:a (?=hundred|thousand))?{run}(?![\w])", text, re.IGNORECASE):
        parts = [p for p in re.split(r"[ -]", match[0].casefold()) if p not in ("and", "a")]
        if parts == ["one"] or (len(parts) > 1 and all(p in ones for p in parts)):
            continue
        total = current = 0
        for part in parts:
            size = values[part]
            if size < 100:
                current += size
            elif size == 100:
                current = max(current, 1) * 100
            else:
                total, current = total + max(current, 1) * size, 0
        yield Figure(match[0], match.start(), match.end(), Fraction(total + current), Fraction(1, 2), False)


def _with_unit(figure: Figure, text: str, raw: dict[str, Any], units: Sequence[str]) -> Figure:
    rest, table = text[figure.end :], raw["number"]
    code = re.match(r"\s?([A-Za-z]+)(?!\w)", rest)

    def grown(size: int, **what: Any) -> Figure:
        end = figure.end + size
        return Figure(**{**figure.__dict__, "text": text[figure.start : end], "end": end, **what})

    if match := re.match(rf"[ -]?(?:{table['points']})(?!\w)", rest, re.IGNORECASE):
        return grown(match.end(), unit="points")
    if match := re.match(rf" ?(?:{table['percent']})(?!\w)", rest, re.IGNORECASE):
        after = rest[match.end() :]
        for unit in units:
            if unit.startswith("%") and len(unit) > 1 and after.casefold().startswith(unit[1:].casefold()):
                return grown(match.end() + len(unit) - 1, unit=unit)
        of = re.match(r" of (?:the |their |his |her |its )?(\w+)", after)
        return grown(match.end(), unit="percent", of=of[1].casefold() if of else "")
    if match := re.match(rf"[ -]?(?:{table['odds']})(?!\w)", rest, re.IGNORECASE):
        return grown(match.end(), unit="odds")
    for unit in units:
        if match := re.match(rf"[ -]?{re.escape(unit)}(?!\w)", rest, re.IGNORECASE):
            seconds = table["time"].get(unit.casefold(), 0)
            return grown(match.end(), unit=unit, seconds=seconds)
    if code and (code[1].casefold() in table["currency"]):
        return grown(code.end(), unit=table["currency"][code[1].casefold()])
    if (match := re.match(r"[ -](\w+)", rest)) and match[1].casefold() in table["time"]:
        return grown(match.end(), unit="time", seconds=table["time"][match[1].casefold()])
    if match := re.match(r" ?(°[CF]?|kg|g|mg|km|cm|mm|mmHg|bpm|lbs?|ml|kWh)(?!\w)", rest):
        return grown(match.end(), unit=match[1])
    return figure
