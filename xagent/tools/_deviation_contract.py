"""What the system card states about an input, without any statistics: type, range, levels."""

from __future__ import annotations

import datetime
from decimal import Decimal
from typing import Any, Literal

from xagent.case import FeatureCard, SystemCard, TabularInput
from xagent.tools._columns import level_of

Breach = Literal["not of the stated type", "above the stated range", "below the stated range", "level not stated"]


def stated_limits(card: SystemCard, given: TabularInput) -> int:
    """How many features of the input the card says something of that a value could break."""
    return sum(
        "kind" in c.model_fields_set or c.minimum is not None or c.maximum is not None or bool(c.levels)
        for c in (card.features[name] for name in given.values if name in card.features)
    )


def breach_of(card: FeatureCard | None, value: Any) -> Breach | None:
    """How a value breaks what the card states of its feature; a missing value breaks nothing here."""
    if card is None or value is None:
        return None
    number = isinstance(value, int | float | Decimal) and not isinstance(value, bool)
    if "kind" in card.model_fields_set and not _fits(card.kind, value, number):
        return "not of the stated type"
    if number and card.maximum is not None and value > card.maximum:
        return "above the stated range"
    if number and card.minimum is not None and value < card.minimum:
        return "below the stated range"
    if card.levels and card.kind not in ("numeric", "integer", "date"):
        return None if _known(level_of(value), card) else "level not stated"
    return None


def _fits(kind: str, value: Any, number: bool) -> bool:
    if kind == "numeric":
        return number or isinstance(value, bool)
    if kind == "integer":
        return isinstance(value, bool) or (number and float(value).is_integer())
    if kind == "boolean":
        return level_of(value) in {"0", "1", "true", "false"}
    return _is_date(value, number) if kind == "date" else True


def _is_date(value: Any, number: bool) -> bool:
    text = str(value).removesuffix(".0") if number else value
    try:
        datetime.datetime.fromisoformat(text)
    except (TypeError, ValueError):
        return False
    return True


def _known(level: str | None, card: FeatureCard) -> bool:
    names = {level_of(name) for name in card.levels}
    same = {"1": "true", "0": "false", "true": "1", "false": "0"}
    return level in names or (card.kind == "boolean" and same.get(str(level)) in names)
