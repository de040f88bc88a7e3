"""The fixed words of a report in the language of its reader: headings, captions, notes, signs of numbers.

English stands in the code and the templates; `labels.<language>.toml` has it on the left and the other language on the
right. A label that a language lacks is an error, and never printed in English. The language is that of the report which
is being drawn (`speaking`), so that a figure deep inside needs not be told.
"""

from __future__ import annotations

import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib.resources import files

from xagent.errors import ConfigurationFault
from xagent.law import day
from xagent.report._citations import german

_spoken: ContextVar[str] = ContextVar("language of the report", default="en")


@dataclass(frozen=True)
class _Signs:
    decimal: str
    group: str
    percent: str


@contextmanager
def speaking(language: str) -> Iterator[None]:
    """Labels are in this language while it lasts. Raises ConfigurationFault for a language without labels."""
    _catalogue(language)
    before = _spoken.set(language)
    try:
        yield
    finally:
        _spoken.reset(before)


def spoken() -> str:
    return _spoken.get()


def said(text: str, **parts: object) -> str:
    """A label in the language of the report; `{name}` in it is filled with the part of that name."""
    language = _spoken.get()
    if language != "en":
        known = _catalogue(language)
        if text not in known:
            raise ConfigurationFault(f"labels.{language}.toml has no {text!r}.", "Add it there.")
        text = known[text]
    return text.format(**parts) if parts else text


def part_of_id(word: str) -> str:
    """A part of a claim's id, such as `share`, where a reader meets it; as it is when the language has no word."""
    return _catalogue(_spoken.get()).get(word, word)


def signs(text: str) -> str:
    """A number written with commas between thousands and a decimal point, with the signs of the language."""
    own = _signs(_spoken.get())
    return text.translate({ord(","): own.group, ord("."): own.decimal})


def percentage(number: str) -> str:
    """A number as it was formatted, as a percentage."""
    return _signs(_spoken.get()).percent.format(signs(number))


def said_day(moment: date) -> str:
    """A day in words."""
    if _spoken.get() == "en":
        return day(moment)
    from babel.dates import format_date

    return format_date(moment, format="long", locale=_spoken.get())


def said_citation(citation: str) -> str:
    """A citation of law, as it is written in the language."""
    return german(citation) if _spoken.get() == "de" else citation


@cache
def _catalogue(language: str) -> dict[str, str]:
    if language == "en":
        return {}
    source = files("xagent.report").joinpath(f"labels.{language}.toml")
    if not language.isascii() or not language.isalpha() or not source.is_file():
        raise ConfigurationFault(f"language: no report is drawn in {language!r}.", "Use en or de.")
    return dict(tomllib.loads(source.read_text(encoding="utf-8"))["labels"])


@cache
def _signs(language: str) -> _Signs:
    if language == "en":
        return _Signs(".", ",", "{}%")
    from babel import Locale
    from babel.numbers import get_decimal_symbol, get_group_symbol

    locale = Locale.parse(language)
    percent = str(locale.percent_formats[None].pattern).replace("#,##0", "{}")
    return _Signs(get_decimal_symbol(locale), get_group_symbol(locale), percent)
