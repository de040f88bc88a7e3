"""What is known: artifacts (what a tool found), claims (single typed facts), findings (facts that belong together).

In: results of tools. Out: the ledger, the only thing that narrators, verifiers and renderers may take facts from.
"""

from xagent.evidence._artifact import Artifact, canonical_json, sha256_json
from xagent.evidence._claim import Claim, Kind, Scale, slug
from xagent.evidence._finding import Finding, Severity
from xagent.evidence._ledger import Ledger

__all__ = [
    "Artifact",
    "Claim",
    "Finding",
    "Kind",
    "Ledger",
    "Scale",
    "Severity",
    "canonical_json",
    "sha256_json",
    "slug",
]
