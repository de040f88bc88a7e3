"""What a language model is told about claims: kinds, directions, ranks and bands, in place of values."""

from __future__ import annotations

import re
from collections.abc import Iterable
from typing import Any

from xagent.evidence import Claim, Ledger, slug
from xagent.narrative import render_value
from xagent.personas import Persona

Json = dict[str, Any]
LABEL_LIMIT = 60
_SAYS = re.compile(r"(^|\.)(state|level|verdict|hash_state|near_threshold|adverse|direction|compare|flips)$")
_OWN_WORDS = re.compile(r"[a-z][a-z -]{0,30}")


def described(claims: Iterable[str], ledger: Ledger, persona: Persona, *, values: bool = True) -> list[Json]:
    """One entry a claim: id, kind, and of label, direction, rank, band and outcome those that it has.

    A value is among them only where the persona's redaction says so. A label is that of the system card or the
    persona's own, cut short; words of a text, passages of a prompt and inputs without a card have a number for a name,
    unless raw inputs may be given. values: False gives neither, whatever the persona says. An outcome is one of our
    own words (`ok`, `above`), never a word of the case. Claims that are to be hidden are left out.
    """
    numbers: dict[str, int] = {}
    return [
        _one(ledger[key], ledger, persona, numbers, values)
        for key in claims
        if key in ledger and persona.given_to_llm(key) != "nothing"
    ]


def _one(claim: Claim, ledger: Ledger, persona: Persona, numbers: dict[str, int], values: bool) -> Json:
    told: Json = {"id": claim.id, "kind": claim.kind}
    if claim.feature is not None:
        told["label"] = _label(claim.feature, ledger, persona, numbers, values and persona.redaction.inputs)
    if claim.kind == "effect" and claim.sign is not None:
        told["direction"] = {1: "for", -1: "against", 0: "neither"}[claim.sign]
    if claim.kind == "compare" and isinstance(claim.value, int | float) and not isinstance(claim.value, bool):
        told["outcome"] = "above" if claim.value > 0 else "below" if claim.value < 0 else "equal"
    if claim.kind == "rank":
        told["rank"] = claim.value
    if claim.kind == "share" and isinstance(claim.value, int | float) and 0 <= claim.value <= 1:
        told["band"] = render_value(claim, "band")
    if _SAYS.search(claim.id) and isinstance(claim.value, str) and _OWN_WORDS.fullmatch(claim.value):
        told["outcome"] = claim.value
    if values and persona.given_to_llm(claim.id) == "value":
        told["value"] = claim.value if not isinstance(claim.value, str) else render_value(claim, "name")
    return told


def _label(feature: str, ledger: Ledger, persona: Persona, numbers: dict[str, int], inputs: bool) -> str:
    label = ledger.get(f"feature.{slug(feature)}.label")
    carded = label is not None and (label.artifact == "system_card" or feature in persona.aliases)
    if label is None or not (carded or inputs):
        return f"input {numbers.setdefault(feature, len(numbers) + 1)}"
    return render_value(persona.called(label), "name")[:LABEL_LIMIT]
