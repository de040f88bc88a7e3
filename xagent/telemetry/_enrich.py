"""From the records of a reader to spans that speak one language and hold no content that nobody asked for."""

from __future__ import annotations

import dataclasses
import hashlib
import json
import re
from collections.abc import Mapping, Sequence
from typing import Any, cast

from xagent.telemetry._trace import Event, Payload, PayloadRole, Span
from xagent.telemetry._values import text
from xagent.telemetry._vocabulary import Vocabulary, typed

MAX_ATTRIBUTE_CHARACTERS = 1_000
"""A longer attribute is content, whatever its name."""
STATUS_MESSAGE = "(status message)"
_TIMEOUT = re.compile(r"\btime[ds]?[ -]?out|\bdeadline exceeded", re.IGNORECASE)
_Parts = tuple[dict[str, Any], dict[str, str], tuple[Payload, ...]]


def enrich(spans: Sequence[Span], vocabulary: Vocabulary, *, keep: bool) -> list[Span]:
    """The same spans with canonical keys beside the file's, content taken out and hashed (`keep`: and kept).

    The content of a resource stands at the first span that it recorded. A status message is content as well: it quotes
    what failed. That it speaks of a timeout is kept, as `error.type`.
    """
    resources: dict[int, _Parts] = {}
    found = []
    for span in spans:
        attributes, aliases, payloads = _split(span.attributes, vocabulary, keep)
        if span.message:
            payloads += (_payload("detail", STATUS_MESSAGE, span.message, keep=keep),)
            if _TIMEOUT.search(span.message) and "error.type" not in attributes:
                attributes["error.type"], aliases["error.type"] = "timeout", STATUS_MESSAGE
        kind = vocabulary.step_kinds.get(span.name)
        if kind is not None:
            attributes["xagent.step.kind"], aliases["xagent.step.kind"] = kind, "(name of the span)"
        if id(span.resource) not in resources:
            resources[id(span.resource)] = _split(span.resource, vocabulary, keep)
            payloads += resources[id(span.resource)][2]
        resource, resource_aliases, _ = resources[id(span.resource)]
        found.append(
            dataclasses.replace(
                span,
                attributes=attributes,
                aliases=aliases,
                message=span.message if keep else "",
                payloads=(*span.payloads, *payloads),
                events=tuple(_event(event, vocabulary, keep) for event in span.events),
                resource=resource,
                resource_aliases=resource_aliases,
            )
        )
    return found


def _payload(role: PayloadRole, key: str, value: Any, *, keep: bool) -> Payload:
    raw = _bytes(value)
    return Payload(role, text(key), hashlib.sha256(raw).hexdigest(), len(raw), value if keep else None)


def _event(event: Event, vocabulary: Vocabulary, keep: bool) -> Event:
    if not event.attributes:
        return event
    attributes, aliases, payloads = _split(event.attributes, vocabulary, keep)
    return dataclasses.replace(event, attributes=attributes, aliases=aliases, payloads=payloads)


def _split(attributes: Mapping[str, Any], vocabulary: Vocabulary, keep: bool) -> _Parts:
    facts: dict[str, Any] = {}
    payloads: list[Payload] = []
    given: list[tuple[int, str, str, Any]] = []
    for key, value in attributes.items():
        rule = vocabulary.rule(key)
        role = rule.role or ("other" if _long(value) else None)
        if role is not None and value is not None:
            payloads.append(_payload(cast(PayloadRole, role), key, value, keep=keep))
            continue
        facts[key] = typed(value, vocabulary.type_of(key))
        for place, target, values in rule.targets:
            translated = value if values is None else values.get(value) if isinstance(value, str) else None
            if translated is not None and value is not None:
                given.append((place, target, key, translated))
    aliases: dict[str, str] = {}
    for _, target, key, value in sorted(given, key=lambda g: (g[0], g[2])):
        if facts.get(target) is None:
            facts[target], aliases[target] = typed(value, vocabulary.type_of(target)), key
    return facts, aliases, tuple(payloads)


def _long(value: Any) -> bool:
    if isinstance(value, str):
        return len(value) > MAX_ATTRIBUTE_CHARACTERS
    if isinstance(value, tuple | Mapping):
        return len(_canonical(value)) > MAX_ATTRIBUTE_CHARACTERS
    return isinstance(value, bytes)


def _bytes(value: Any) -> bytes:
    if isinstance(value, bytes):
        return value
    return value.encode("utf-8", "surrogatepass") if isinstance(value, str) else _canonical(value).encode()


def _canonical(value: Any) -> str:
    return json.dumps(value, sort_keys=True, separators=(",", ":"), default=str)
