"""How a claim is printed in a language. The verifier has its own reading of every policy and does not use this file.

Policies
    exact       every digit of the number, thousands separated, then the unit
    round(n)    n decimals, half-even, then the unit
    signed(n)   round(n) with its sign written out; an effect shows its sign under every policy but size
    size(n)     round(n) without its sign, which a word in the sentence must carry
    sci(n)      n decimals and a power of ten
    percent(n)  times one hundred, n decimals, the sign of percent
    points(n)   times one hundred, n decimals, without sign, "percentage points"
    name, text  words from the case, neutralised; at most 60 or 300 characters
    quoted      `name` in quotation marks
    alias, band words from the tables in words.<language>.toml
    term        the program's own words in the language of the reader; as `text` where the tables have none
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
from xagent.narrative._locale import Printing, printing
from xagent.narrative._words import words
from xagent.personas import Persona

NAME_LIMIT = 60
TEXT_LIMIT = 300
MINUS = "\u2212"
_VALUES = (".value", ".typical")
_UNITS = (("day", 86400), ("hour", 3600), ("minute", 60))


def render_value(claim: Claim, policy: str, language: str = "en") -> str:
    """The text of a claim under a policy. Raises XagentError for a policy that is unknown or does not fit the claim."""
    signs = printing(language)
    match = re.fullmatch(r"([a-z]+)(?:\((\d{1,2})\))?", policy)
    name, digits = (match[1], int(match[2]) if match[2] else None) if match else (policy, None)
    if name in ("name", "text") and digits is None:
        return _words(claim.value, NAME_LIMIT if name == "name" else TEXT_LIMIT, signs)
    if name == "term" and digits is None:
        return _term(claim, language) or _words(claim.value, TEXT_LIMIT, signs)
    if name == "opening" and digits is None:
        text = _words(claim.value, NAME_LIMIT, signs)
        return text[:1].upper() + text[1:]
    if name == "quoted" and digits is None:
        return signs.quotes.format(_words(claim.value, NAME_LIMIT, signs))
    if name == "alias" and digits is None:
        return words(language).alias.get(str(claim.value)) or _words(claim.value, NAME_LIMIT, signs)
    if name in ("date", "time") and digits is None:
        return _date(claim, signs, with_time=name == "time")
    if isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        raise XagentError(f"{claim.id}: the policy {policy!r} needs a number.", "Use the policy `name` for words.")
    number = Decimal(repr(claim.value))
    if name == "duration" and digits is None:
        return _duration(number, signs)
    if name == "band" and digits is None:
        return words(language).band(float(number))
    if name == "exact" and digits is None:
        return _with_unit(_plus(number, claim) + signs.number(_plain(number)), claim.unit, signs)
    if digits is None:
        raise XagentError(f"{claim.id}: there is no policy {policy!r}.", "See xagent.narrative.render_value.")
    return _rounded(number, name, digits, claim, signs)


def format_claim(claim: Claim, policy: str | None, persona: Persona) -> str:
    """The text of a claim for a table cell; without a policy, signs are written and not left to words."""
    claim = persona.called(claim)
    if policy is None:
        policy = default_policy(claim, persona)
        if policy.startswith("size"):
            policy = policy.replace("size", "signed")
        if policy.startswith("points"):
            sign = "+" if _number(claim) > 0 else MINUS if _number(claim) < 0 else ""
            return sign + render_value(claim, policy, persona.language)
    return render_value(claim, policy, persona.language)


def default_policy(claim: Claim, persona: Persona) -> str:
    """How this persona sees a claim when a frame does not say: never so coarse that something looks like nothing."""
    own = own_policy(claim, persona)
    if own is not None:
        return own
    value = claim.value
    if claim.kind == "time":
        return "date"
    if isinstance(value, str) and words(persona.language).term(claim.id, value):
        return "term"
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


def own_policy(claim: Claim, persona: Persona) -> str | None:
    """The policy that the persona sets for this claim, None when it sets none or one that does not fit its kind."""
    policy = persona.policy_of(claim.id)
    name = policy.partition("(")[0] if policy else ""
    number = isinstance(claim.value, int | float) and not isinstance(claim.value, bool)
    share = claim.kind == "share" or claim.scale == "share"
    fits = {
        "date": claim.kind == "time",
        "time": claim.kind == "time",
        "band": number and share,
        "percent": number and (share or claim.scale == "probability"),
        "points": number and claim.scale in ("points", "probability"),
        "duration": number and claim.scale == "seconds",
        "": False,
    }
    return (
        policy
        if fits.get(name, number and not share and claim.scale in ("raw", "logit", "none", "probability"))
        else None
    )


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


def _term(claim: Claim, language: str) -> str | None:
    """The program's own words in a language; figures within them are set with its signs."""
    if not isinstance(claim.value, str):
        return None
    found = words(language).term(claim.id, neutral(claim.value))
    if found is None:
        return None
    wording, parts = found
    signs = printing(language)
    for part in parts:
        figure = re.fullmatch(r"\d{1,3}(,\d{3})*(\.\d+)?|\d+(\.\d+)?", part, re.ASCII)
        wording = wording.replace("{}", signs.number(part) if figure else part, 1)
    return wording


def _words(value: bool | float | str | None, limit: int, signs: Printing) -> str:
    if value is None:
        return signs.unrecorded
    if isinstance(value, bool):
        return signs.yes if value else signs.no
    if not isinstance(value, str):
        return signs.number(_plain(Decimal(repr(value))))
    text = neutral(value)
    if limit == TEXT_LIMIT:
        text = text.rstrip(" .")
    if len(text) > limit:
        end = limit - 1
        while end > 1 and unicodedata.combining(text[end]):  # an accent stays with its letter
            end -= 1
        text = text[:end].rstrip() + "…"
    if not text:
        return signs.empty
    if any(unicodedata.bidirectional(char) in ("R", "AL", "AN") for char in text):
        return f"\u2068{text}\u2069"
    return text


def _rounded(number: Decimal, name: str, digits: int, claim: Claim, signs: Printing) -> str:
    def fixed(size: Decimal) -> str:
        return signs.number(_fixed(size, digits))

    if name == "round":
        return _with_unit(_plus(number, claim) + fixed(number), claim.unit, signs)
    if name == "signed":
        return _with_unit(("+" if number > 0 else "") + fixed(number), claim.unit, signs)
    if name == "size":
        return _with_unit(fixed(abs(number)), claim.unit, signs)
    if name == "percent":
        return signs.percent.format(fixed(number * 100))
    if name == "points":
        text = fixed(abs(number) * 100)
        return signs.points[text != "1"].format(text)
    if name == "sci":
        number = abs(number) if number.is_zero() else number  # zero has no sign
        mantissa, exponent = f"{number:.{digits}e}".split("e")
        mantissa = _plus(number, claim) + signs.number(mantissa)
        return _with_unit(f"{mantissa}e{int(exponent)}".replace("-", MINUS), claim.unit, signs)
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


def _with_unit(text: str, unit: str | None, signs: Printing) -> str:
    unit = neutral(unit or "")
    if not unit:
        return text
    if unit.startswith("%"):  # set off from the number as in a percentage
        return signs.percent.removesuffix("%").format(text) + unit
    return f"{text}{unit}" if unit.startswith("°") else f"{text} {unit}"


def _date(claim: Claim, signs: Printing, *, with_time: bool) -> str:
    try:
        moment = datetime.fromisoformat(str(claim.value))
    except ValueError:
        raise XagentError(f"{claim.id}: {claim.value!r} is not an ISO 8601 time.", "Use the policy `name`.") from None
    if moment.tzinfo is not None:
        moment = moment.astimezone(UTC)
    day = signs.day(moment)
    return signs.time.format(date=day, hour=f"{moment:%H:%M}") if with_time else day


def _duration(seconds: Decimal, signs: Printing) -> str:
    if seconds < 0:
        return MINUS + _duration(-seconds, signs)
    if seconds < 60:
        digits = 0 if seconds == int(seconds) else 1 if seconds >= 1 else 3
        text = _fixed(seconds, digits)
        if Decimal(text) != 60:
            return signs.count(text, "second")
        seconds = Decimal(60)
    for (big, size), (small, part) in zip(_UNITS, (*_UNITS[1:], ("second", 1)), strict=True):
        parts = int((seconds / part).quantize(Decimal(1), rounding=ROUND_HALF_EVEN))
        if parts * part >= size:
            whole, rest = divmod(parts * part, size)
            text = signs.count(f"{whole:,}", big)
            return f"{text} {signs.count(str(rest // part), small)}" if rest else text
    return signs.count(str(int(seconds)), "second")


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
