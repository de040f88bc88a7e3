"""Which claims of a ledger a reader may see: those that its tools left open, less what the persona withholds."""

from __future__ import annotations

from fnmatch import fnmatchcase

from xagent.evidence import Ledger
from xagent.personas._persona import Persona

_TELLING = (
    "input.*.value",
    "relevance.driver.*.value",
    "relevance.driver.*.typical",
    "relevance.driver.*.compare",
    "deviation.feature.*.kind",
    "deviation.feature.*.percentile",
    "deviation.feature.*.minimum",
    "deviation.feature.*.maximum",
    "counterfactual.*.value",
    "counterfactual.*.current",
    "feature.*.proxy_for",
)
"""What says, or lets one work out, the value of an input or what it stands in for."""


def visible_claims(ledger: Ledger, persona: Persona) -> Ledger:
    """The claims of a ledger that a persona may see. Applied twice it gives the same.

    Withheld are claims that their `visibility` keeps from this persona, those that its disclosure withholds, and for
    `sensitive = "name"` the values of inputs that are sensitive or stand in for something sensitive.
    """
    own = ledger.visible_to(persona.name)
    hushed = _sensitive(ledger) if persona.disclosure.sensitive == "name" else frozenset()
    return Ledger(
        claim
        for key, claim in own.items()
        if not persona.withholds(key)
        and not (claim.feature in hushed and any(fnmatchcase(key, pattern) for pattern in _TELLING))
    )


def _sensitive(ledger: Ledger) -> frozenset[str | None]:
    """Features that the card marks as sensitive or as standing in for something."""
    marked = {
        claim.feature
        for key, claim in ledger.items()
        if key.startswith("feature.")
        and (key.endswith(".proxy_for") or (key.endswith(".sensitive") and claim.value in ("yes", True)))
    }
    return frozenset(marked - {None})
