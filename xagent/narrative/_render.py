"""How a claim is printed. The verifier has its own reading of every policy and does not use this file.

Policies
    exact       every digit of the number, thousands separated by commas, then the unit
    round(n)    n decimals, half-even, then the unit
    signed(n)   round(n) with its sign written out; an effect shows its sign under every policy but size
    size(n)     round(n) without its sign, which a word in the sentence must carry
    sci(n)      n decimals and a power of ten
    percent(n)  times one hundred, n decimals, %
    points(n)   times one hundred, n decimals, without sign, "percentage points"
    name, text  words from the case, neutralised; at most 60 or 300 characters
    quoted      `name` in quotation marks
    alias, band words from the tables in words.en.toml
    date, time  of an ISO 8601 time: `20 November 2026`, and with ` at 14:05 UTC`
    duration    seconds as at most two units
"""

from __future__ import annotations

import re
import unicodedata
from datetime import UTC, datetime
from decimal import ROUND_HALF_EVEN, Context, Decimal

from xagent.errors import XagentError
from xagent.evidence import Claim
from xagent.narrative._words import words
from xagent.personas import Persona

NAME_LIMIT = 60
TEXT_LIMIT = 300
MINUS = "\u2212"
_MONTHS = "January February March April May June July August September October November December"
_VALUES = (".value", ".typical")
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def render_value(claim: Claim, policy: str) -> str:
    """The text of a claim under a policy. Raises XagentError for a policy that is unknown or does not fit the claim."""
    match = re.fullmatch(r"([a-z]+)(?:\((\d{1,2})\))?", policy)
    name, digits = (match[1], int(match[2]) if match[2] else None) if match else (policy, None)
    if name in ("name", "text") and digits is None:
        return _words(claim.value, NAME_LIMIT if name == "name" else TEXT_LIMIT)
    if name == "opening" and digits is None:
        text = _words(claim.value, NAME_LIMIT)
        return text[:1].upper() + text[1:]
    if name == "quoted" and digits is None:
        return f"“{_words(claim.value, NAME_LIMIT)}”"
    if name == "alias" and digits is None:
        return words().alias.get(str(claim.value)) or _words(claim.value, NAME_LIMIT)
    if name in ("date", "time") and digits is None:
        return _date(claim, with_time=name == "time")
    if isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        raise XagentError(f"{claim.id}: the policy {policy!r} needs a number.", "Use the policy `name` for words.")
    number = Decimal(repr(claim.value))
    if name == "duration" and digits is None:
        return _duration(number)
    if name == "band" and digits is None:
        return words().band(float(number))
    if name == "exact" and digits is None:
        return _with_unit(_plus(number, claim) + _plain(number), claim.unit)
    if digits is None:
        raise XagentError(f"{claim.id}: there is no policy {policy!r}.", "See xagent.narrative.render_value.")
    return _rounded(number, name, digits, claim)


def format_claim(claim: Claim, policy: str | None, persona: Persona) -> str:
    """The text of a claim for a table cell; without a policy, signs are written and not left to words."""
    if policy is None:
        policy = default_policy(claim, persona)
        if policy.startswith("size"):
            policy = policy.replace("size", "signed")
        if policy.startswith("points"):
            sign = "+" if _number(claim) > 0 else MINUS if _number(claim) < 0 else ""
            return sign + render_value(claim, policy)
    return render_value(claim, policy)


def default_policy(claim: Claim, persona: Persona) -> str:
    """How this persona sees a claim when a frame does not say: never so coarse that something looks like nothing."""
    value = claim.value
    if claim.kind == "time":
        return "date"
    if isinstance(value, bool) or not isinstance(value, int | float):
        return "quoted" if claim.kind == "category" and claim.feature and claim.id.endswith(_VALUES) else "name"
    if claim.scale == "seconds":
        return "duration"
    if claim.scale == "points":
        return f"points({_decimals_of_percent(abs(value), persona.precision.percent)})"
    if claim.kind == "share" or claim.scale in ("probability", "share"):
        return f"percent({_decimals_of_percent(value, persona.precision.percent)})"
    policy = figure_policy(claim, persona)
    if claim.kind == "effect":
        return "signed(0)" if policy == "exact" else policy.replace("round", "signed")
    if claim.kind == "compare":
        return policy.replace("round", "size") if policy.startswith("round") else "size(0)"
    return policy


def figure_policy(claim: Claim, persona: Persona) -> str:
    """A plain number: decimals asked for by the card, else the persona's significant digits."""
    value = _number(claim)
    if claim.kind in ("count", "rank") or (value == int(value) and claim.decimals is None and abs(value) < 1e15):
        return "exact"
    if claim.decimals is not None and abs(value) < 1e15:
        return f"round({claim.decimals})"
    number, digits = Decimal(repr(value)), persona.precision.significant - 1
    if not -5 <= number.adjusted() < 15:
        return f"sci({_needed(number.scaleb(-number.adjusted()), digits)})"
    return f"round({_needed(number, max(0, digits - number.adjusted()))})"


def _needed(number: Decimal, digits: int) -> int:
    """So many of the digits that only zeros are left out: 0.62, not 0.6200."""
    rounded = round(number, digits)
    while digits > 0 and round(number, digits - 1) == rounded:
        digits -= 1
    return digits


def neutral(value: str) -> str:
    """Words from a case as they may stand in a sentence.

    Control and format characters, among them those that change the direction of writing, and lone surrogates are taken
    out, white space becomes single spaces, and the brackets of tokens become plain ones. Words written from right to
    left are kept apart from the sentence by FIRST STRONG ISOLATE and POP DIRECTIONAL ISOLATE.
    """
    kept = []
    for char in unicodedata.normalize("NFC", value):
        category = unicodedata.category(char)
        if char.isspace() or category in ("Zs", "Zl", "Zp"):
            kept.append(" ")
        elif category not in ("Cc", "Cf", "Cs") or char in "\u200c\u200d":  # joiners that some scripts need
            kept.append({"⟦": "[", "⟧": "]"}.get(char, char))
    return " ".join("".join(kept).split())


def _words(value: bool | float | str | None, limit: int) -> str:
    if value is None:
        return "not recorded"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if not isinstance(value, str):
        return _plain(Decimal(repr(value)))
    text = neutral(value)
    if limit == TEXT_LIMIT:
        text = text.rstrip(" .")
    if len(text) > limit:
        end = limit - 1
        while end > 1 and unicodedata.combining(text[end]):  # an accent stays with its letter
            end -= 1
        text = text[:end].rstrip() + "…"
    if not text:
        return "(empty)"
    if any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text):
        return f"\u2068{text}\u2069"
    return text


def _rounded(number: Decimal, name: str, digits: int, claim: Claim) -> str:
    if name == "round":
        return _with_unit(_plus(number, claim) + _fixed(number, digits), claim.unit)
    if name == "signed":
        return _with_unit(("+" if number > 0 else "") + _fixed(number, digits), claim.unit)
    if name == "size":
        return _with_unit(_fixed(abs(number), digits), claim.unit)
    if name == "percent":
        return f"{_fixed(number * 100, digits)}%"
    if name == "points":
        text = _fixed(abs(number) * 100, digits)
        return f"{text} percentage point{'' if text == '1' else 's'}"
    if name == "sci":
        mantissa, exponent = f"{number:.{digits}e}".split("e")
        mantissa = _plus(number, claim) + mantissa
        return _with_unit(f"{mantissa}e{int(exponent)}".replace("-", MINUS), claim.unit)
    raise XagentError(f"{claim.id}: there is no policy {name!r}.", "See xagent.narrative.render_value.")


def _plus(number: Decimal, claim: Claim) -> str:
    """An effect always shows its sign."""
    return "+" if claim.kind == "effect" and number > 0 else ""


def _fixed(number: Decimal, digits: int) -> str:
    context = Context(prec=400)
    rounded = number.quantize(Decimal(1).scaleb(-digits), rounding=ROUND_HALF_EVEN, context=context)
    if rounded.is_zero():
        rounded = abs(rounded)
    return f"{rounded:,f}".replace("-", MINUS)


def _plain(number: Decimal) -> str:
    if number.is_zero():
        return "0"
    if not -7 <= number.adjusted() < 15:
        mantissa, exponent = f"{number.normalize():e}".split("e")
        return f"{mantissa}e{int(exponent)}".replace("-", MINUS)
    text = f"{number:,f}"
    return (text.rstrip("0").rstrip(".") if "." in text else text).replace("-", MINUS)


def _with_unit(text: str, unit: str | None) -> str:
    unit = neutral(unit or "")
    if not unit:
        return text
    return f"{text}{unit}" if unit.startswith(("%", "°")) else f"{text} {unit}"


def _date(claim: Claim, *, with_time: bool) -> str:
    try:
        moment = datetime.fromisoformat(str(claim.value))
    except ValueError:
        raise XagentError(f"{claim.id}: {claim.value!r} is not an ISO 8601 time.", "Use the policy `name`.") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    day = f"{moment.day} {_MONTHS.split()[moment.month - 1]} {moment.year}"
    return f"{day} at {moment:%H:%M} UTC" if with_time else day


def _duration(seconds: Decimal) -> str:
    if seconds < 0:
        return MINUS + _duration(-seconds)
    if seconds < 60:
        digits = 0 if seconds == int(seconds) else 1 if seconds >= 1 else 3
        text = _fixed(seconds, digits)
        if Decimal(text) != 60:
            return _count(text, "second")
        seconds = Decimal(60)
    for (big, size), (small, part) in zip(_UNITS, (*_UNITS[1:], ("second", 1)), strict=True):
        parts = int((seconds / part).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
        if parts * part >= size:
            whole, rest = divmod(parts * part, size)
            text = _count(f"{whole:,}", big)
            return f"{text} {_count(str(rest // part), small)}" if rest else text
    return _count(str(int(seconds)), "second")


def _count(number: str, unit: str) -> str:
    return f"{number} {unit}" if number == "1" else f"{number} {unit}s"


def _number(claim: Claim) -> float:
    if isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        raise XagentError(f"{claim.id} is not a number.", "Use the policy `name`.")
    return claim.value


def _decimals_of_percent(share: float, digits: int) -> int:
    """Enough decimals that a small share does not print as 0% and an almost complete one not as 100%."""
    hundred = Decimal(repr(share)) * 100
    while digits < 6 and hundred not in (0, 100) and round(hundred, digits) in (0, 100):
        digits += 1
    return digits
