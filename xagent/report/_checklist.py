"""Filling a legal checklist: every field gets a value from the evidence or the system card, or says what is missing."""

from __future__ import annotations

import re
import unicodedata
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from xagent.evidence import Claim, Ledger
from xagent.law import Checklist, LawField, Source
from xagent.narrative import format_claim
from xagent.personas import Persona, visible_claims
from xagent.report._labels import part_of_id, said, said_citation, said_day, signs, speaking

NOT_PROVIDED = "Not provided"
MOST_ALIKE = 4
FURTHER = "further entries stand in the evidence"
_LEADING = ("metric", "value", "segment", "n", "name")
"""Keys of a record that are printed first."""
_MOMENT = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d[0-9:.]*(Z|[+-]\d\d:\d\d)", re.ASCII)


def fill_checklist(
    checklist: Checklist,
    *,
    case: Mapping[str, Any],
    card: Mapping[str, Any],
    ledger: Ledger,
    persona: Persona,
    verification: Mapping[str, Any] | None,
    manifest: Mapping[str, Any] | None,
) -> list[dict[str, Any]]:
    """One row for each field of the checklist, in its order.

    A row is `{id, field, state, value, articles, mandatory, source, claims}`: state `provided | missing |
    not_applicable`; value a text of labelled parts, never blank; articles as they are printed; mandatory whether
    binding law asks for it; source the paths that gave the parts (or should have); claims the ids of the claims that
    are shown. A field is provided when every needed part is there, and at least one.
    case and card are the JSON forms of `Case` and `SystemCard`; persona decides what may be seen and how exactly;
    verification and manifest may be None or lack keys. Only values of these arguments are printed.
    """
    evidence = _Evidence(
        roots={
            "case": case,
            "card": card,
            "verification": verification or {},
            "manifest": manifest or {},
            "persona": {"name": persona.name, "title": persona.title, "language": persona.language},
        },
        ledger=visible_claims(ledger, persona),
        persona=persona,
    )
    with speaking(persona.language):
        return [_row(field, checklist, evidence) for field in checklist.fields]


def count_states(rows: Sequence[Mapping[str, Any]]) -> dict[str, int]:
    """How many rows are `provided`, `missing` and `not_applicable`."""
    states = Counter(row["state"] for row in rows)
    return {state: states[state] for state in ("provided", "missing", "not_applicable")}


@dataclass(frozen=True)
class _Evidence:
    roots: Mapping[str, Mapping[str, Any]]
    ledger: Ledger
    persona: Persona


@dataclass(frozen=True)
class _Part:
    """What one source gave. text is empty when it gave nothing."""

    source: Source
    text: str
    claims: tuple[str, ...] = ()


def _row(field: LawField, checklist: Checklist, evidence: _Evidence) -> dict[str, Any]:
    parts = [_part(source, evidence) for source in field.sources]
    given = [part for part in parts if part.text]
    complete = bool(given) and all(part.text for part in parts if part.source.needed)
    if complete:
        state, value = "provided", _joined(given)
    elif field.not_before is not None and checklist.law_as_of < field.not_before and not given:
        state, value = "not_applicable", said("Not applicable before {day}", day=said_day(field.not_before))
    else:
        state, value = (
            "missing",
            _joined([p for p in parts if p.text or p.source.needed]) if given else said(NOT_PROVIDED),
        )
    return {
        "id": field.id,
        "field": said(field.field),
        "state": state,
        "value": value,
        "articles": [said_citation(citation) for citation in checklist.cited(field)],
        "mandatory": field.mandatory,
        "source": ", ".join(part.source.path for part in (given if complete else parts)),
        "claims": sorted({key for part in given for key in part.claims}),
    }


def _joined(parts: Sequence[_Part]) -> str:
    return "; ".join(f"{said(part.source.label)}: {part.text or said(NOT_PROVIDED)}" for part in parts)


def _part(source: Source, evidence: _Evidence) -> _Part:
    root, _, rest = source.path.partition(":")
    if root == "claim" and rest:
        claim = evidence.ledger.get(rest)
        text = "" if claim is None else _claim(claim, evidence)
        return _Part(source, text, (rest,) if text else ())
    if root == "claims" and rest:
        return _claims(source, rest, evidence)
    root, *path = source.path.split(".")
    texts = list(_texts(evidence.roots[root], path))
    if source.path == "card.automation":  # a word of the schema, not of whoever wrote the card
        texts = [part_of_id(text) for text in texts]
    return _Part(source, _limited(texts, source.limit))


def _claims(source: Source, prefix: str, evidence: _Evidence) -> _Part:
    """The claims under a prefix, by the item that follows it: `relevance.driver.` + `1` + `.share`."""
    groups: dict[str, dict[str, Claim]] = {}
    for key, claim in evidence.ledger.items():
        if key.startswith(prefix):
            group, _, leaf = key[len(prefix) :].partition(".")
            groups.setdefault(group, {})[leaf] = claim
    items: list[str] = []
    used: list[str] = []
    for group in sorted(groups, key=lambda g: (not g.isdigit(), int(g) if g.isdigit() else 0, g)):
        leaves = source.leaves or tuple(leaf for leaf in groups[group] if leaf != "name")
        found = [(leaf, groups[group][leaf]) for leaf in leaves if leaf in groups[group]]
        texts = [(leaf, claim, _claim(claim, evidence)) for leaf, claim in found]
        shown = [(leaf, claim, text) for leaf, claim, text in texts if text]
        if not shown:
            continue
        name = _group_name(prefix, group, groups[group], evidence)
        if len(shown) == 1:
            items.append(f"{name} = {shown[0][2]}")
        else:
            items.append(f"{name} ({', '.join(f'{part_of_id(leaf)} {text}'.strip() for leaf, _, text in shown)})")
        if len(items) <= source.limit:
            used += [claim.id for _, claim, _ in shown]
            used += [key for key in (f"{prefix}{group}.name", f"feature.{group}.label") if key in evidence.ledger]
    return _Part(source, _limited(items, source.limit), tuple(used))


def _group_name(prefix: str, group: str, claims: Mapping[str, Claim], evidence: _Evidence) -> str:
    for key in (f"{prefix}{group}.name", f"feature.{group}.label"):
        claim = evidence.ledger.get(key)
        if claim is not None and _plain(claim.value):
            return _plain(claim.value)
    return next((claim.feature for claim in claims.values() if claim.feature and _plain(claim.feature)), group)


def _claim(claim: Claim, evidence: _Evidence) -> str:
    if claim.value is None or not _plain(claim.value):
        return ""
    if claim.id.endswith("state") and claim.value == "ok":
        return said("no deviation")
    return _plain(format_claim(claim, _policy(claim), evidence.persona))


def _policy(claim: Claim) -> str | None:
    """Words whole and without quotes (a hash has more characters than a name may show), times to the minute; figures as
    this reader gets them elsewhere."""
    if claim.kind == "time":
        return "time"
    return "term" if isinstance(claim.value, str | bool) else None


def _texts(node: Any, path: Sequence[str]) -> Iterator[str]:
    """Printable values at a path; `*` walks over the items of a mapping and puts their label before the value."""
    if not path:
        if isinstance(node, Sequence) and not isinstance(node, str):
            yield from (text for item in node if (text := _plain(item)))
        elif text := _plain(node):
            yield text
        return
    head, *rest = path
    if not isinstance(node, Mapping):
        return
    if head != "*":
        yield from _texts(node.get(head), rest)
        return
    for key in sorted(node):
        label = _plain(node[key].get("label")) if isinstance(node[key], Mapping) else ""
        values = [text for text in _texts(node[key], rest) if text != said("no")]
        yield from (f"{label or key} = {text}" for text in values)


def _plain(value: Any) -> str:
    """A value as text; empty for None, for empty containers and for text that shows nothing on paper."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return said("yes" if value else "no")
    if isinstance(value, float):
        return signs(f"{value:.6g}")
    if isinstance(value, Mapping):
        keys = sorted(value, key=lambda key: (_LEADING.index(key) if key in _LEADING else len(_LEADING), str(key)))
        pairs = ((str(key), _plain(value[key])) for key in keys)
        return ", ".join(f"{part_of_id(key)} {text}" for key, text in pairs if text)
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(text for item in value if (text := _plain(item)))
    # control and format characters could hide text or change its direction
    kept = (" " if char.isspace() else char for char in str(value) if char.isspace() or _shows(char))
    text = " ".join("".join(kept).split())
    if _MOMENT.fullmatch(text):
        return _moment(text)
    return text if any(unicodedata.category(char)[0] in "LNPS" for char in text) else ""


def _moment(text: str) -> str:
    """An ISO 8601 time as people write it; the hour only when there is one."""
    try:
        moment = datetime.fromisoformat(text).astimezone(UTC)
    except (ValueError, OverflowError):
        return text
    if (moment.hour, moment.minute) == (0, 0):
        return said_day(moment)
    return said("{day} at {hour} UTC", day=said_day(moment), hour=f"{moment:%H:%M}")


def _shows(char: str) -> bool:
    return unicodedata.category(char) not in ("Cc", "Cf", "Cs")


def _limited(items: Sequence[str], limit: int) -> str:
    """Items in a row; a value that most of them share is said once, with how many share it."""
    values = [item.partition(" = ")[2] for item in items]
    common = max(values, key=values.count, default="")
    if common and values.count(common) > MOST_ALIKE:
        items = [
            said("{value} ({n} inputs)", value=common, n=values.count(common)),
            *(i for i, v in zip(items, values, strict=True) if v != common),
        ]
    shown = list(items[:limit]) + ([said(FURTHER)] if len(items) > limit else [])
    return " · ".join(shown)
