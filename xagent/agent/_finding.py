"""How a finding is made of claims."""

from __future__ import annotations

from xagent.evidence import Finding, Ledger, Severity


def finding(ledger: Ledger, kind: str, severity: Severity, roles: dict[str, str], part: str = "") -> Finding:
    """A finding with those of its roles that the ledger can fill."""
    bound = {role: claim for role, claim in roles.items() if claim in ledger}
    return Finding(id=f"{kind}.{part}" if part else kind, kind=kind, severity=severity, claims=bound)


def value_of(ledger: Ledger, claim: str) -> object:
    return ledger[claim].value if claim in ledger else None
