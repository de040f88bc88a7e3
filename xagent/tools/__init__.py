"""What the agent may ask: one tool a file, found through the entry points `xagent.tools`.

In: a case, its system card, the subject, what earlier tools found. Out: an artifact and the claims that follow from it.
"""

from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._case_claims import case_claims
from xagent.tools._registry import claims_of, load_modules, registry, run_tool

__all__ = [
    "Context",
    "NotApplicable",
    "Result",
    "Tool",
    "case_claims",
    "claims_of",
    "load_modules",
    "registry",
    "run_tool",
]
