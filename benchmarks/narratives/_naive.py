"""The usual check: every number of a text lies within some part of some number of the evidence. Reads no words."""

from __future__ import annotations

import re

from xagent.evidence import Ledger

_NUMBER = re.compile(r"-?\d[\d,]*(?:\.\d+)?(?:e-?\d+)?")


def naive(text: str, ledger: Ledger, tolerance: float) -> bool:
    """Whether naive matching finds something wrong: a number that is within `tolerance` (relative) of no claim.

    A claim counts with its value, and a share or probability also times one hundred; signs are ignored, since a text
    often says them in words.
    """
    known: list[float] = []
    for claim in ledger.values():
        if isinstance(claim.value, int | float) and not isinstance(claim.value, bool):
            value = abs(float(claim.value))
            known += (
                [value, value * 100]
                if claim.kind == "share" or claim.scale in ("probability", "points", "share")
                else [value]
            )
        elif isinstance(claim.value, str):
            known += [abs(float(n.replace(",", ""))) for n in _NUMBER.findall(claim.value)[:20]]
    for written in _NUMBER.findall(text.replace("−", "-")):
        number = abs(float(written.replace(",", "")))
        if not any(abs(number - value) <= tolerance * max(value, 1e-12) for value in known):
            return True
    return False
