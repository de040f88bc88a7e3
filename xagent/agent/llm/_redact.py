"""What a language model is told about claims: kinds, directions, ranks and bands, in place of values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from xagent.evidence import Claim, Ledger, slug
from xagent.narrative import render_value

Json = dict[str, Any]
LABEL_LIMIT = 60
_SAYS = re.compile(r"(^|\.)(state|level|verdict|hash_state|near_threshold|adverse|direction|compare|flips)$")
_OWN_WORDS = re.compile(r"[a-z][a-z -]{0,30}")


def described(claims: Iterable[str], ledger: Ledger) -> list[Json]:
    """One entry a claim: id, kind, and of label, direction, rank, band and outcome those that it has.

    No value of the subject's input and no figure but a rank is among them. A label is that of the system card, cut short;
    words of a text, passages of a prompt and inputs without a card have a number for a name. An outcome is one of
    xagent's own words (`ok`, `above`), never a word of the case.
    """
    numbers: dict[str, int] = {}
    return [_one(ledger[key], ledger, numbers) for key in claims if key in ledger]


def _one(claim: Claim, ledger: Ledger, numbers: dict[str, int]) -> Json:
    told: Json = {"id": claim.id, "kind": claim.kind}
    if claim.feature is not None:
        told["label"] = _label(claim.feature, ledger, numbers)
    if claim.kind in ("effect", "compare") and claim.sign is not None:
        told["direction"] = {1: "for", -1: "against", 0: "neither"}[claim.sign]
    if claim.kind == "compare":
        value = claim.value
        if isinstance(value, int | float) and not isinstance(value, bool):
            told["outcome"] = "above" if value > 0 else "below" if value < 0 else "equal"
            told.pop("direction", None)
    if claim.kind == "rank":
        told["rank"] = claim.value
    if claim.kind == "share" and isinstance(claim.value, float) and 0 <= claim.value <= 1:
        told["band"] = render_value(claim, "band")
    if _SAYS.search(claim.id) and isinstance(claim.value, str) and _OWN_WORDS.fullmatch(claim.value):
        told["outcome"] = claim.value
    return told


def _label(feature: str, ledger: Ledger, numbers: dict[str, int]) -> str:
    label = ledger.get(f"feature.{slug(feature)}.label")
    if label is None or label.artifact != "system_card":
        return f"input {numbers.setdefault(feature, len(numbers) + 1)}"
    return render_value(label, "name")[:LABEL_LIMIT]
