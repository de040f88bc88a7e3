"""The input that was logged, and the row computed again offline, against the input that is explained."""

from __future__ import annotations

import hashlib
import json
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from xagent.case import Case, GenerationInput, OfflineRow, TabularInput, TextInput
from xagent.errors import InvalidCase
from xagent.telemetry import Payload, ProcessTrace

_EXACT = 1e-9
_LONG = 12
"""Characters from which a text within a longer one is no chance."""
_WRAPPERS = ("inputs", "input", "features", "values", "instances", "data", "row")


@dataclass(frozen=True)
class Difference:
    """One feature that was served otherwise than it was computed again. absolute: None unless both are numbers."""

    name: str
    offline: bool | int | float | str | None
    absolute: float | None


@dataclass(frozen=True)
class Logged:
    """The logged input against the case's. n: features or texts that were compared."""

    state: Literal["ok", "deviation", "cannot tell", "not supplied"]
    why: str | None
    n: int
    differ: tuple[str, ...] = ()


def player_names(case: Case) -> dict[str, str]:
    """What a trace or an offline row calls an input -> what the explanation calls it: sources of a prompt have both."""
    if not isinstance(case.input, GenerationInput):
        return {}
    return {source.name: f"source.{i}" for i, source in enumerate(case.input.sources, start=1)}


def served_values(case: Case) -> dict[str, Any]:
    """Raw values by the name the explanation uses; empty for inputs without named parts."""
    if isinstance(case.input, TabularInput):
        return dict(case.input.values)
    if isinstance(case.input, GenerationInput):
        return {f"source.{i}": s.text for i, s in enumerate(case.input.sources, start=1)}
    return {}


def skewed(case: Case, offline: OfflineRow) -> tuple[int, list[Difference]]:
    """How many features were compared, and those that differ. Raises InvalidCase for a feature that the case lacks."""
    served, names = served_values(case), player_names(case)
    found = []
    for given, value in offline.values.items():
        name = names.get(given, given)
        if name not in served:
            raise InvalidCase(
                f"serving.offline.values: {given!r} is no input of this case.", "Correct the name, or leave it out."
            )
        size = offline.tolerances.get(given)
        if not _same(served[name], value, offline.tolerance, size):
            found.append(Difference(name, value, _distance(served[name], value)))
    return len(offline.values), found


def logged_input(case: Case, trace: ProcessTrace) -> Logged:
    """Whether the input that the trace holds is the one that is explained. `trace` was read with its payloads.

    Content of other steps may be the input in another form, so that only what stands at the top of the trace can
    differ; that the same content stands anywhere is enough for `ok`.
    """
    tops = {span.span_id for span in (*trace.roots, *trace.orphans)}
    found = [
        (span.span_id in tops, payload) for span in trace.spans for payload in span.payloads if payload.role == "input"
    ]
    if not found:
        return Logged("not supplied", "The trace holds no input.", 0)
    if not isinstance(case.input, TabularInput):
        wanted = _texts(case)
        if wanted and any(_holds(payload, wanted) for _, payload in found):
            return Logged("ok", None, 1)
        return Logged("cannot tell", "The trace holds an input in another form.", len(found))
    return _logged_row(case.input.values, found)


def _logged_row(values: Mapping[str, Any], found: list[tuple[bool, Payload]]) -> Logged:
    partial = 0
    for top, payload in found:
        for row in _rows(payload.value):
            shared = [name for name in values if name in row]
            differ = tuple(name for name in shared if not _same(values[name], row[name], _EXACT, None))
            if len(shared) == len(values) and not differ:
                return Logged("ok", None, len(shared))
            if top and differ:
                return Logged("deviation", "The trace holds another input.", len(shared), differ)
            partial = max(partial, len(shared) if not differ else 0)
    if partial:
        return Logged("cannot tell", "The trace holds only part of the input.", partial)
    return Logged("cannot tell", "The trace holds an input in another form.", 0)


def _rows(value: Any) -> Iterator[Mapping[str, Any]]:
    """What may be a row in a payload: the object itself, one in a wrapper, or one in JSON text."""
    if isinstance(value, str):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return
    for _ in range(3):
        if isinstance(value, Mapping):
            yield value
            value = next((value[key] for key in _WRAPPERS if key in value), None)
        elif isinstance(value, list | tuple) and len(value) == 1:
            value = value[0]


def _texts(case: Case) -> list[str]:
    if isinstance(case.input, TextInput):
        return [case.input.text]
    return [case.input.shown] if isinstance(case.input, GenerationInput) else []


def _holds(payload: Payload, texts: list[str]) -> bool:
    if payload.sha256 in {hashlib.sha256(text.encode()).hexdigest() for text in texts}:
        return True
    value = payload.value
    whole = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, default=str)
    long = [text for text in texts if len(text) >= _LONG]
    return any(text in whole or json.dumps(text, ensure_ascii=False)[1:-1] in whole for text in long)


def _number(value: Any) -> float | None:
    """A number; booleans count as 0 and 1, as they do in tables."""
    return float(value) if isinstance(value, int | float) and math.isfinite(value) else None


def _same(a: Any, b: Any, relative: float, absolute: float | None) -> bool:
    one, other = _number(a), _number(b)
    if one is not None and other is not None:
        if absolute is not None:
            return abs(one - other) <= absolute
        return abs(one - other) <= relative * max(abs(one), abs(other))
    if a is None or b is None:
        return a is None and b is None
    return str(a).strip() == str(b).strip()


def _distance(a: Any, b: Any) -> float | None:
    one, other = _number(a), _number(b)
    return None if one is None or other is None else abs(one - other)
