"""Reading printed values back: the verifier's own understanding of every policy, apart from the narrator's.

Numbers are read as exact fractions and compared as whole numbers of the last printed place, ties to the even one.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from fractions import Fraction

from xagent.evidence import Claim
from xagent.narrative._lexicon import lexicon

_NUMBER = re.compile(
    r"(?P<sign>[+−]?)(?P<whole>0|[1-9]\d{0,2}(?:,\d{3})*)(?:\.(?P<part>\d+))?(?:e(?P<power>−?\d{1,3}))?"
)
_POLICY = re.compile(
    r"(exact|round|signed|size|sci|percent|points|name|opening|quoted|text|alias|band|date|time|duration)(?:\((\d\d?)\))?"
)
_COUNTED = frozenset({"round", "signed", "size", "sci", "percent", "points"})
_SECONDS = {"second": 1, "minute": 60, "hour": 3600, "day": 86400}
_TWELVE = "January February March April May June July August September October November December"
_MONTH = {name: n for n, name in enumerate(_TWELVE.split(), start=1)}


def misreading(text: str, claim: Claim, policy: str) -> str | None:
    """Why `text` does not print `claim` under `policy`, or None when it does."""
    match = _POLICY.fullmatch(policy)
    if match is None or (match[1] in _COUNTED) != (match[2] is not None):
        return f"there is no policy {policy!r}"
    name, digits = match[1], int(match[2] or 0)
    if name in ("name", "opening", "quoted", "text", "alias"):
        if name != "text" and isinstance(claim.value, int | float) and not isinstance(claim.value, bool):
            return "a number is printed as if it were words"
        wanted = expected_words(claim, name)
        return None if text == wanted else f"the claim says {wanted!r}"
    if name in ("date", "time"):
        return _misread_date(text, claim, with_time=name == "time")
    if isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        return "the claim is not a number"
    value = Fraction(repr(claim.value))
    if name == "duration":
        return _misread_duration(text, claim, value)
    if name == "band":
        share = float(value)
        words = [word for under, word in lexicon().bands if share < under] or [lexicon().bands[-1][1]]
        return None if text == words[0] else f"the claim lies in the band {words[0]!r}"
    return _misread_number(text, claim, name, digits, value)


def _misread_number(text: str, claim: Claim, name: str, digits: int, value: Fraction) -> str | None:
    match = _NUMBER.match(text)
    if match is None:
        return "no number stands there"
    wrong = _wrong_unit(text[match.end() :], claim, name, match)
    if wrong:
        return wrong
    if name in ("percent", "points"):
        value *= 100
    if name in ("size", "points"):
        value = abs(value)
    whole, part = match["whole"].replace(",", ""), match["part"] or ""
    power = int((match["power"] or "0").replace("−", "-"))
    printed = Fraction(int(whole + part), 10 ** len(part)) * (-1 if match["sign"] == "−" else 1)
    if name == "exact":
        return None if printed * Fraction(10) ** power == value else "the printed number is not the claim's"
    if (match["sign"] == "+") != (name == "signed" and value > 0):
        return "its sign is not printed as the policy says"
    if (match["power"] is None) == (name == "sci") or len(part) != digits:
        return f"it is not printed with {digits} decimals"
    if name == "sci":
        value /= Fraction(10) ** power
        if value and not 1 <= abs(printed) < 10:
            return "the power of ten is not the usual one"
    if round(value * 10**digits) != printed * 10**digits:
        return "the printed number is not the claim's"
    return "zero has no sign" if match["sign"] == "−" and printed == 0 else None


def _wrong_unit(rest: str, claim: Claim, name: str, match: re.Match[str]) -> str | None:
    if name == "percent":
        if claim.scale not in ("probability", "share") and claim.kind != "share":
            return "only a probability or a share is printed as a percentage"
        return None if rest == "%" else "the unit must be %"
    if name == "points":
        if claim.scale not in ("points", "probability"):
            return "only a difference of probabilities is printed in percentage points"
        one = match["whole"] == "1" and match["part"] is None
        return None if rest == f" percentage point{'' if one else 's'}" else "the unit must be percentage points"
    unit = _clean(claim.unit or "")
    wanted = unit if not unit or unit[0] in "%°" else f" {unit}"
    return None if rest == wanted else f"the unit must be {unit!r}" if unit else "the claim has no unit"


def _misread_date(text: str, claim: Claim, *, with_time: bool) -> str | None:
    pattern = r"(\d{1,2}) (\w+) (\d{1,4})" + (r" at (\d\d):(\d\d) UTC" if with_time else "")
    match = re.fullmatch(pattern, text)
    if claim.kind != "time" or match is None or match[2] not in _MONTH:
        return "it is not a date as the policy prints it"
    try:
        moment = datetime.fromisoformat(str(claim.value))
    except ValueError:
        return "the claim is not a time"
    if moment.tzinfo:
        moment = moment.astimezone(UTC)
    printed = [int(match[3]), _MONTH[match[2]], int(match[1]), *(int(part) for part in match.groups()[3:])]
    return None if printed == list(moment.timetuple()[: len(printed)]) else "the claim states another time"


def _misread_duration(text: str, claim: Claim, value: Fraction) -> str | None:
    if claim.scale != "seconds" and claim.unit not in ("s", "second", "seconds"):
        return "the claim is not a duration"
    rest, total, smallest, units = text.removeprefix("−"), Fraction(0), 86400, []
    for part in re.findall(r"[\d.,]+ [a-z]+", rest):
        number, unit = part.split(" ")
        name = unit.removesuffix("s")
        if name not in _SECONDS or (unit == name) != (number == "1"):
            return "it is not a duration as the policy prints it"
        units.append(_SECONDS[name])
        decimals = len(number.partition(".")[2])
        total += Fraction(number.replace(",", "")) * _SECONDS[name]
        smallest = Fraction(_SECONDS[name], 10**decimals)  # type: ignore[assignment]
    if not units or len(units) > 2 or units != sorted(units, reverse=True):
        return "it is not a duration as the policy prints it"
    if text.startswith("−"):
        total = -total
    error = abs(total - value)
    close = error * 2 <= _place(units, Fraction(smallest)) and error <= abs(value) / 20 + Fraction(1, 2000)
    return None if close else "the claim states another duration"


def _place(units: list[int], smallest: Fraction) -> Fraction:
    """A last unit of zero is not printed: `2 hours` may stand for 2 hours and 20 seconds."""
    below = {86400: 3600, 3600: 60, 60: 1}
    return Fraction(below[units[0]]) if len(units) == 1 and units[0] in below else smallest


def expected_words(claim: Claim, policy: str) -> str:
    """What words from a case become in a sentence: cleaned, shortened, kept apart when written from right to left."""
    value = claim.value
    if policy == "alias" and str(value) in lexicon().alias:
        return lexicon().alias[str(value)]
    if policy == "opening":
        first, rest = (plain := expected_words(claim, "name"))[:1], plain[1:]
        return first.upper() + rest
    if policy == "quoted":
        return f"“{expected_words(claim, 'name')}”"
    if value is None or isinstance(value, bool):
        return {None: "not recorded", True: "yes", False: "no"}[value]
    text = _clean(str(value))
    if policy == "text":
        text = text.rstrip(". ")
    room = 300 if policy == "text" else 60
    if len(text) > room:
        cut = room - 1
        while cut > 1 and unicodedata.combining(text[cut]):
            cut -= 1
        text = f"{text[:cut].rstrip()}…"
    if {unicodedata.bidirectional(c) for c in text} & {"R", "AL", "AN"}:
        return "\N{FIRST STRONG ISOLATE}" + text + "\N{POP DIRECTIONAL ISOLATE}"
    return text or "(empty)"


def _clean(text: str) -> str:
    text = unicodedata.normalize("NFC", text).translate({0x27E6: "[", 0x27E7: "]"})
    text = re.sub(r"\s", " ", text)
    text = "".join(c for c in text if c in "\u200c\u200d" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    return re.sub(" +", " ", text).strip(" ")
