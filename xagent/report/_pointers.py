"""Claims against the artifacts they point into: the same value, the same value in other words, or another."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from typing import Any, Literal

from xagent.evidence import Claim, Ledger

Json = dict[str, Any]
Outcome = Literal["same", "differs", "elsewhere"]
_MISSING = object()
# Computed from what they point at, and not the value that stands there.
_DERIVED = ("decision.near_threshold", "answer.")
# Tools whose numbers are told as they stand; of others only those whose claim and pointer end in the same word.
_STRAIGHT = frozenset(
    {"case", "relevance", "reproduction", "deviation", "drift", "serving", "process", "counterfactual"}
)
TOLERANCE = 1e-9


def compare_claims(ledger: Ledger, sources: Mapping[str, Json]) -> Iterator[tuple[Claim, Outcome, str]]:
    """For each claim the outcome and what stands at its pointer. sources: data by artifact, and `case`.

    `elsewhere`: the source is not in the report (the raw input, the system card, a withheld artifact), or the claim is
    computed from what it points at by a rule that is not recomputed here.
    """
    for claim in ledger.values():
        source = sources.get(claim.artifact)
        found = _MISSING if source is None or not claim.pointer else resolve(source, claim.pointer)
        if found is _MISSING:
            yield claim, "elsewhere", ""
            continue
        wanted = _derived(claim, found, ledger)
        if wanted is _MISSING:
            yield claim, "elsewhere", ""
        else:
            yield claim, "same" if _equal(claim.value, wanted) else "differs", repr(wanted)


def resolve(document: Any, pointer: str) -> Any:
    """What stands at a JSON pointer (RFC 6901), or a mark that nothing does."""
    for part in pointer.split("/")[1:]:
        key = part.replace("~1", "/").replace("~0", "~")
        if isinstance(document, list):
            if not key.isascii() or not key.isdigit() or int(key) >= len(document):
                return _MISSING
            document = document[int(key)]
        elif isinstance(document, dict) and key in document:
            document = document[key]
        else:
            return _MISSING
    return document


def _derived(claim: Claim, found: Any, ledger: Ledger) -> Any:
    """What the claim must say, from what stands at its pointer."""
    number = isinstance(found, int | float) and not isinstance(found, bool)
    if claim.id == "decision.margin":
        return _margin(ledger)
    if claim.id.startswith(_DERIVED):
        return _MISSING
    if claim.id.startswith("relevance.") and isinstance(found, list) and claim.pointer == "/players":
        return _of_players(claim, found)
    if claim.id.endswith(".direction") and number:
        return "for" if found > 0 else "against" if found < 0 else "neither"
    if isinstance(found, bool):
        return ("yes" if found else "no") if claim.value in ("yes", "no", True, False) else _MISSING
    if isinstance(found, list | dict):
        # a count of rows, unless it counts only some of them
        return len(found) if claim.kind == "count" and claim.value == len(found) else _MISSING
    if number and isinstance(claim.value, int | float) and not isinstance(claim.value, bool):
        alike = claim.id.rpartition(".")[2] == claim.pointer.rpartition("/")[2]
        return found if alike or claim.artifact in _STRAIGHT or _equal(claim.value, found) else _MISSING
    if isinstance(found, str) and claim.kind in ("text", "time") and claim.artifact != "system_card":
        return found if claim.feature is None else _MISSING  # names of inputs are told by their labels
    return _MISSING


def _margin(ledger: Ledger) -> Any:
    score, limit = ledger.get("decision.score"), ledger.get("decision.threshold")
    if (
        score is None
        or limit is None
        or not isinstance(score.value, int | float)
        or not isinstance(limit.value, int | float)
    ):
        return _MISSING
    return score.value - limit.value


def _of_players(claim: Claim, players: list[Any]) -> Any:
    """Counts and shares of either side, added up again."""
    sizes = [
        row["relevance"] for row in players if isinstance(row, dict) and isinstance(row.get("relevance"), int | float)
    ]
    if len(sizes) != len(players):
        return _MISSING
    part = claim.id.split(".")
    if claim.id == "relevance.features.count":
        return len(sizes)
    if len(part) != 3 or part[1] not in ("for", "against"):
        return _MISSING
    own = [abs(size) for size in sizes if (size > 0) == (part[1] == "for") and size]
    total = sum(abs(size) for size in sizes)
    return len(own) if part[2] == "count" else sum(own) / total if total else _MISSING


def _equal(value: Any, wanted: Any) -> bool:
    if isinstance(value, int | float) and isinstance(wanted, int | float):
        return math.isclose(value, wanted, rel_tol=TOLERANCE, abs_tol=1e-12)
    return bool(value == wanted)
