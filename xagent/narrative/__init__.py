"""Sentences that a machine has checked: the template narrator, and the verifier that trusts no narrator.

In: the ledger, the findings, a persona. Out: a `Narrative`, and a list of `Problem` that must be empty to be shown.
"""

from xagent.narrative._compose import compose
from xagent.narrative._free_text import verify_text
from xagent.narrative._free_text_data import Statement
from xagent.narrative._model import (
    Assertion,
    AssertionKind,
    Figure,
    FindingText,
    Narrative,
    Problem,
    Section,
    Sentence,
    Token,
)
from xagent.narrative._render import default_policy, format_claim, render_value
from xagent.narrative._verify import verify

__all__ = [
    "Assertion",
    "AssertionKind",
    "Figure",
    "FindingText",
    "Narrative",
    "Problem",
    "Section",
    "Sentence",
    "Statement",
    "Token",
    "compose",
    "default_policy",
    "format_claim",
    "render_value",
    "verify",
    "verify_text",
]
