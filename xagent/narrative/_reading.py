"""Reading printed values back: the verifier's own understanding of every policy, apart from the narrator's.

Numbers are read as exact fractions and compared as whole numbers of the last printed place, ties to the even one. What
a language prints (separators, months, words of units) is data of its lexicon.
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from fnmatch import fnmatchcase
from fractions import Fraction

from xagent.evidence import Claim
from xagent.narrative._format import Format, Number
from xagent.narrative._lexicon import Lexicon, lexicon

_POLICY = re.compile(
    r"(exact|round|signed|size|sci|percent|points|name|opening|quoted|text|alias|term|band|date|time|duration)"
    r"(?:\(([0-9]{1,2})\))?"
)
_COUNTED = frozenset({"round", "signed", "size", "sci", "percent", "points"})
WORDS = frozenset({"name", "opening", "quoted", "text", "alias", "term"})
FINEST = 6  # decimals up to which a policy must not hide that something is there


def misreading(text: str, claim: Claim, policy: str, language: str = "en") -> str | None:
    """Why `text` does not print `claim` under `policy`, or None when it does."""
    match = _POLICY.fullmatch(policy)
    if match is None or (match[1] in _COUNTED) != (match[2] is not None):
        return f"there is no policy {policy!r}"
    name, digits, data = match[1], int(match[2] or 0), lexicon(language)
    if name in WORDS:
        if name not in ("text", "term") and isinstance(claim.value, int | float) and not isinstance(claim.value, bool):
            return "a number is printed as if it were words"
        wanted = expected_words(claim, name, language)
        return None if text == wanted else f"the claim says {wanted!r}"
    if name in ("date", "time"):
        return _misread_date(text, claim, data.format, with_time=name == "time")
    if isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        return "the claim is not a number"
    value = Fraction(repr(claim.value))
    if name == "duration":
        return _misread_duration(text, claim, value, data.format)
    if name == "band":
        if claim.kind != "share" and claim.scale != "share":
            return "only a share lies in a band"
        words = [word for under, word in data.bands if float(value) < under] or [data.bands[-1][1]]
        return None if text == words[0] else f"the claim lies in the band {words[0]!r}"
    number = data.format.read(text)
    return "no number stands there" if number is None else _misread_number(
        text, claim, name, digits, value, number, data.format
    )  # fmt: skip


def hides(claim: Claim, policy: str) -> bool:
    """Whether a policy prints a share as none or all of it when it is neither, and a finer one would not."""
    match = re.fullmatch(r"percent\(([0-9]{1,2})\)", policy)
    if match is None or isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        return False
    value = Fraction(repr(claim.value)) * 100

    def extreme(digits: int) -> bool:
        return value not in (0, 100) and round(value * 10**digits) in (0, 100 * 10**digits)

    return extreme(int(match[1])) and not extreme(FINEST)


def _misread_number(
    text: str, claim: Claim, name: str, digits: int, value: Fraction, number: Number, form: Format
) -> str | None:
    wrong = _wrong_unit(text, claim, name, number, form)
    if wrong:
        return wrong
    if name in ("percent", "points"):
        value *= 100
    if name in ("size", "points"):
        value = abs(value)
    signed = name == "signed" or (claim.kind == "effect" and name in ("exact", "round", "sci"))
    if (number.sign == "+") != (signed and value > 0):
        return "its sign is not printed as the policy says"
    if name == "exact":
        return _misread_exact(value, number)
    if (number.power is None) == (name == "sci") or len(number.decimals) != digits:
        return f"it is not printed with {digits} decimals"
    if number.power is not None:
        value /= Fraction(10) ** number.power
        if value and not 1 <= abs(number.value) < 10:
            return "the power of ten is not the usual one"
    if round(value * 10**digits) != number.value * 10**digits:
        return "the printed number is not the claim's"
    return "zero has no sign" if number.sign == "−" and number.value == 0 else None


def _misread_exact(value: Fraction, number: Number) -> str | None:
    """Every digit and no idle zero; a power of ten only for numbers that are written so."""
    if number.value * Fraction(10) ** (number.power or 0) != value:
        return "the printed number is not the claim's"
    powered = value != 0 and not Fraction(1, 10**7) <= abs(value) < 10**15
    usual = number.power is not None and 1 <= abs(number.value) < 10 if powered else number.power is None
    return None if usual and not number.decimals.endswith("0") else "it is not written in the usual way"


def _wrong_unit(text: str, claim: Claim, name: str, number: Number, form: Format) -> str | None:
    figure, rest = text[: number.end], text[number.end :]
    if name == "percent":
        if claim.scale not in ("probability", "share") and claim.kind != "share":
            return "only a probability or a share is printed as a percentage"
        return None if text == form.percent.format(figure) else "the unit must be %"
    if name == "points":
        if claim.scale not in ("points", "probability"):
            return "only a difference of probabilities is printed in percentage points"
        return None if text == form.points[not number.one].format(figure) else "the unit must be percentage points"
    unit = clean(claim.unit or "")
    wanted = unit if not unit or unit[0] == "°" else f" {unit}"
    if unit.startswith("%"):  # set off from its number as a percentage is
        wanted = form.percent.removeprefix("{}").removesuffix("%") + unit
    return None if rest == wanted else f"the unit must be {unit!r}" if unit else "the claim has no unit"


def _misread_date(text: str, claim: Claim, form: Format, *, with_time: bool) -> str | None:
    try:
        moment = datetime.fromisoformat(str(claim.value))
    except ValueError:
        return "the claim is not a time"
    if claim.kind != "time":
        return "the claim is not a time"
    if moment.tzinfo:
        moment = moment.astimezone(UTC)
    groups = {"day": "([1-9][0-9]?)", "month": f"({'|'.join(form.months)})", "year": "([0-9]{1,4})"}
    order = re.findall(r"\{(\w+)\}", form.date)
    pattern = _filled(form.date, groups)
    if with_time:
        pattern = _filled(form.time, {"date": pattern, "hour": "([0-9]{2})", "minute": "([0-9]{2})"})
        order += ["hour", "minute"]
    match = re.fullmatch(pattern, text)
    if match is None:
        return "it is not a date as the policy prints it"
    printed = dict(zip(order, match.groups(), strict=True))
    told = [printed[part] for part in ("year", "month", "day", *(("hour", "minute") if with_time else ()))]
    wanted = [str(moment.year), form.months[moment.month - 1], str(moment.day)]
    wanted += [f"{moment.hour:02d}", f"{moment.minute:02d}"] * with_time
    return None if told == wanted else "the claim states another time"


def _filled(pattern: str, groups: dict[str, str]) -> str:
    """A pattern of the format as a regular expression, its fields replaced."""
    parts = re.split(r"\{(\w+)\}", pattern)
    return "".join(groups[part] if i % 2 else re.escape(part) for i, part in enumerate(parts))


def _misread_duration(text: str, claim: Claim, value: Fraction, form: Format) -> str | None:
    """At most two units, the larger first, nothing between them; a last unit of zero is not printed."""
    if claim.scale != "seconds" and claim.unit not in ("s", "second", "seconds"):
        return "the claim is not a duration"
    rest = text.removeprefix("−")
    total, place = Fraction(0), Fraction(1)
    units: list[int] = []
    while rest:
        number = form.read(rest)
        if number is None or number.sign or number.power is not None or (units and number.decimals):
            return "it is not a duration as the policy prints it"
        found = _unit_of(rest[number.end :], number.one, form)
        if found is None or (units and found[0] >= units[-1]) or (number.decimals and found[0] != 1):
            return "it is not a duration as the policy prints it"
        units.append(found[0])
        total += number.value * found[0]
        place = Fraction(found[0], 10 ** len(number.decimals))
        rest = found[1]
    if not units or len(units) > 2 or rest:
        return "it is not a duration as the policy prints it"
    if text.startswith("−"):
        total = -total
    below = {86400: 3600, 3600: 60, 60: 1}
    if len(units) == 1 and units[0] in below:
        place = Fraction(below[units[0]])
    error = abs(total - value)
    close = error * 2 <= place and error <= abs(value) / 20 + Fraction(1, 2000)
    return None if close else "the claim states another duration"


def _unit_of(rest: str, one: bool, form: Format) -> tuple[int, str] | None:
    """The unit that follows a number and what comes after it, one space taken off."""
    for size, singular, plural in form.seconds:
        word = (singular if one else plural).removeprefix("{}")
        if rest == word:
            return size, ""
        if rest.startswith(f"{word} ") and len(rest) > len(word) + 1:
            return size, rest[len(word) + 1 :]
    return None


def expected_words(claim: Claim, policy: str, language: str = "en") -> str:
    """What words from a case become in a sentence: cleaned, shortened, kept apart when written from right to left."""
    value, data = claim.value, lexicon(language)
    words = data.format.words
    if policy == "alias" and str(value) in data.alias:
        return data.alias[str(value)]
    if policy == "term" and isinstance(value, str):
        called = _called(claim.id, clean(value), data)
        if called is not None:
            return called
    if policy == "opening":
        first, rest = (plain := expected_words(claim, "name", language))[:1], plain[1:]
        return first.upper() + rest
    if policy == "quoted":
        return data.format.quotes.format(expected_words(claim, "name", language))
    if value is None or isinstance(value, bool):
        return words["unrecorded" if value is None else "yes" if value else "no"]
    text = clean(str(value))
    if policy in ("text", "term"):
        text = text.rstrip(". ")
    room = 300 if policy in ("text", "term") else 60
    if len(text) > room:
        cut = room - 1
        while cut > 1 and unicodedata.combining(text[cut]):
            cut -= 1
        text = f"{text[:cut].rstrip()}…"
    if {unicodedata.bidirectional(c) for c in text} & {"R", "AL", "AN"}:
        return "\N{FIRST STRONG ISOLATE}" + text + "\N{POP DIRECTIONAL ISOLATE}"
    return text or words["empty"]


def _called(claim: str, text: str, data: Lexicon) -> str | None:
    """What the program's words are called in the language: the first table for this claim that knows them.

    `{}` in a table is a part that stays; a figure there is printed with the signs of the language.
    """
    for patterns, table in data.terms:
        if not any(fnmatchcase(claim, pattern) for pattern in patterns):
            continue
        if text in table:
            return table[text]
        for known, own in table.items():
            pieces = known.split("{}")
            found = len(pieces) > 1 and re.fullmatch("(.+)".join(map(re.escape, pieces)), text, re.DOTALL)
            if found:
                parts = [_with_own_signs(part, data.format) for part in found.groups()]
                around = own.split("{}")
                return around[0] + "".join(part + after for part, after in zip(parts, around[1:], strict=True))
    return None


def _with_own_signs(part: str, form: Format) -> str:
    """A figure in English digits and signs, as the language writes it; anything else as it is."""
    if not re.fullmatch(r"[0-9]{1,3}(?:,[0-9]{3})*(?:\.[0-9]+)?|[0-9]+(?:\.[0-9]+)?", part):
        return part
    whole, point, rest = part.partition(".")
    return whole.replace(",", form.group) + (form.decimal if point else "") + rest


def clean(text: str) -> str:
    """Text of a case without controls, with single spaces and plain brackets."""
    text = unicodedata.normalize("NFC", text).translate({0x27E6: "[", 0x27E7: "]"})
    text = re.sub(r"\s", " ", text)
    text = "".join(c for c in text if c in "\u200c\u200d" or unicodedata.category(c) not in {"Cc", "Cf", "Cs"})
    return re.sub(" +", " ", text).strip(" ")
