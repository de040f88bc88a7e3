"""What the evidence calls for next: rules by which the agent asks for more before it writes."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from xagent.evidence import Finding, Ledger


@dataclass(frozen=True)
class Question:
    """A tool to run, and the reason in one sentence."""

    tool: str
    why: str


def questions(ledger: Ledger, findings: list[Finding]) -> Iterator[Question]:
    """Tools that what is known so far calls for, the most pressing first."""
    kinds = {finding.kind for finding in findings}
    if "decision.threshold" in ledger:
        if "near-threshold" in kinds:
            yield Question("counterfactual", "the score is close to the threshold: which single change would cross it")
        elif "decision.adverse" in ledger and ledger["decision.adverse"].value == "yes":
            yield Question("counterfactual", "the outcome is adverse: which single change would have averted it")
    if "trust.limited" in kinds:
        yield Question("further_opinion", "trust in the explanation is limited: does a further method name its drivers")
    elif "methods.disagree" in kinds:
        yield Question("further_opinion", "two families of methods disagree: what does a further method say")
