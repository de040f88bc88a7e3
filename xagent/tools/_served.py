"""What a trace says about the answer that was served: by which model, from which data, and who overruled it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from xagent.telemetry import ProcessTrace, Span
from xagent.tools._line import LineState as State

FUTURE_TOLERANCE_SECONDS = 1.0
"""A value may bear a time this much after the decision before it counts as one from the future."""
_NO_VERSION = {"", "default", "latest", "none", "null", "unknown"}
_SHA256 = re.compile(r"(?:sha256:)?([0-9a-f]{64})")
_FEATURE = re.compile(r"xagent\.feature\.(?P<name>.+)\.(?P<what>event_time|source|imputed)")
_MAX_TEXT = 500


@dataclass(frozen=True)
class Identity:
    """Deployed against explained. deployed: what the trace says, joined when it says several things."""

    state: State
    deployed: str | None
    why: str


@dataclass(frozen=True)
class Served:
    """How one input was served. age: seconds from its event to the decision, negative for one after it. judged: the
    trace says whether it was imputed."""

    age: float | None
    imputed: bool
    source: str | None
    readable: bool
    judged: bool = False


def model_spans(trace: ProcessTrace, name: str) -> list[Span]:
    """The spans that say which model answered: marked `predict`, else any that names one, else all.

    Where a trace names several models (a fraud check beside a credit score), spans that name another one do not count,
    unless all do.
    """
    keyed = [s for s in trace.spans if any(k.startswith("xagent.model.") for k in s.attributes)]
    predicting = [s for s in trace.spans if s.attributes.get("xagent.step.kind") == "predict"]
    chosen = predicting or keyed or list(trace.spans)
    return [s for s in chosen if plain_text(s.get("xagent.model.name")) in (None, name)] or chosen


def check_version(spans: list[Span], name: str, version: str) -> Identity:
    """The deployed model's name and version against the explained one's."""
    named = {text for s in spans if (text := plain_text(s.get("xagent.model.name")))}
    stated = {text for s in spans if (text := plain_text(s.get("xagent.model.version")))}
    versions = {text for text in stated if text.lower() not in _NO_VERSION}
    deployed = ", ".join(sorted(versions)) or None
    if named - {name}:
        whole = " ".join([", ".join(sorted(named)), *([deployed] if deployed else [])])
        return Identity("deviation", whole[:_MAX_TEXT], "The trace names another model.")
    if not versions:
        why = (
            "The trace gives no usable version of the model." if stated else "The trace gives no version of the model."
        )
        return Identity("cannot tell", None, why)
    if versions != {version}:
        return Identity("deviation", deployed, "The trace names another version of the model.")
    if versions != stated:
        return Identity("cannot tell", deployed, "Part of the trace gives no usable version of the model.")
    return Identity("ok", deployed, "The trace names the version that is explained.")


def check_hash(spans: list[Span], explained: str | None) -> Identity:
    """The deployed model's SHA-256 against that of the file that is explained."""
    stated = {text for s in spans if (text := plain_text(s.get("xagent.model.sha256")))}
    found = {match.group(1) if (match := _SHA256.fullmatch(text.lower())) else None for text in stated}
    hashes = sorted(h for h in found if h is not None)
    deployed = ", ".join(hashes)[:_MAX_TEXT] or None
    if not hashes:
        return Identity("cannot tell", None, "The trace gives no SHA-256 of the model.")
    if explained is None:
        return Identity("cannot tell", deployed, "The SHA-256 of the explained model is not known.")
    if hashes != [explained]:
        return Identity("deviation", deployed, "The trace names another model file.")
    if None in found:
        return Identity("cannot tell", deployed, "Part of the trace gives no usable SHA-256 of the model.")
    return Identity("ok", deployed, "The trace names the model file that is explained.")


def check_preprocess(trace: ProcessTrace, version: str | None, encoder: str | None) -> Identity:
    """The preprocessing that the trace names against the stated version and the encoder's SHA-256.

    A hash that fits is enough; a version alone says what somebody wrote down, and is taken where there is no hash.
    """
    versions = _stated(trace, "xagent.preprocess.version")
    hashes = {
        m.group(1) for text in _stated(trace, "xagent.preprocess.sha256") if (m := _SHA256.fullmatch(text.lower()))
    }
    deployed = ", ".join(sorted(versions) or sorted(hashes))[:_MAX_TEXT] or None
    if deployed is None:
        state: State = "not supplied" if version is None and encoder is None else "cannot tell"
        return Identity(state, None, "The trace names no version of the preprocessing.")
    if hashes and encoder is not None and hashes != {encoder}:
        return Identity("deviation", deployed, "The trace names another file of the preprocessing.")
    if versions and version is not None and versions != {version}:
        return Identity("deviation", deployed, "The trace names another version of the preprocessing.")
    if (hashes and encoder is not None) or (versions and version is not None):
        return Identity("ok", deployed, "The trace names the preprocessing that is explained.")
    return Identity("cannot tell", deployed, "The case does not say which preprocessing is explained.")


def check_score(spans: list[Span], score: float, tolerance: float) -> tuple[State, float | None]:
    """The served score against the recorded one; of several, the one farthest from it."""
    served = [
        float(v) for s in spans if isinstance(v := s.get("xagent.prediction.score"), int | float) and v is not True
    ]
    finite = [v for v in served if math.isfinite(v)]
    if not finite:
        return "cannot tell", None
    worst = max(finite, key=lambda v: (abs(v - score), v))
    return ("ok" if abs(worst - score) <= tolerance else "deviation"), worst


def served_features(trace: ProcessTrace, decided_at: datetime) -> dict[str, Served]:
    """Inputs that the trace speaks of, by name, sorted. Of several times for one input the oldest counts."""
    times: dict[str, list[datetime | None]] = {}
    imputed: set[str] = set()
    judged: set[str] = set()
    sources: dict[str, str] = {}
    for span in trace.spans:
        for attributes in (span.resource, span.attributes, *(event.attributes for event in span.events)):
            for key, value in attributes.items():
                match = _FEATURE.fullmatch(key)
                if match is None or value is None:
                    continue
                name = match["name"]
                times.setdefault(name, [])
                if match["what"] == "event_time":
                    times[name].append(_moment(value))
                elif match["what"] == "imputed":
                    judged.add(name)
                    imputed |= {name} if _yes(value) else set()
                elif match["what"] == "source" and (text := plain_text(value)):
                    sources.setdefault(name, text)
    result = {}
    for name in sorted(times):
        known = [moment for moment in times[name] if moment is not None]
        age = (decided_at - min(known)).total_seconds() if known else None
        result[name] = Served(age, name in imputed, sources.get(name), len(known) == len(times[name]), name in judged)
    return result


def staleness(age: float | None, limit: float | None) -> State:
    """`cannot tell` without an age, `not supplied` without a limit; a value from after the decision is a deviation."""
    if age is not None and age < -FUTURE_TOLERANCE_SECONDS:
        return "deviation"
    if limit is None:
        return "not supplied"
    if age is None:
        return "cannot tell"
    return "deviation" if age > limit else "ok"


def _stated(trace: ProcessTrace, key: str) -> set[str]:
    """What the trace says under a key, in spans and programs, without what is no version."""
    texts = {plain_text(fact.value) for fact in trace.facts(key)}
    return {text for text in texts if text and text.lower() not in _NO_VERSION}


def _moment(value: Any) -> datetime | None:
    """An ISO 8601 time with a zone; None for anything whose instant is not certain."""
    if not isinstance(value, str):
        return None
    try:
        moment = datetime.fromisoformat(value.strip())
    except ValueError:
        return None
    return moment if moment.tzinfo is not None else None


def _yes(value: Any) -> bool:
    """Whether a flag is set; any words but a denial count as a reason given for it."""
    if isinstance(value, str):
        return value.strip().lower() not in {"", "0", "false", "no", "none"}
    return bool(value)


def plain_text(value: Any) -> str | None:
    """A scalar attribute as printable text of bounded length."""
    if value is None or not isinstance(value, str | int | float | bool):
        return None
    plain = "".join(c if c.isprintable() else " " for c in str(value)).strip()
    return plain[:_MAX_TEXT] or None
