"""What can go wrong in this room."""

from __future__ import annotations

from xagent.errors import ConfigurationFault, XagentError


class RelevanceError(XagentError, ValueError):
    """A trace cannot be made as asked; the message names the input, the target or the rule set at fault."""


class UnknownRules(RelevanceError, ConfigurationFault):
    """There is no rule set of that name."""


class NotFinite(RelevanceError):
    """The explained score or the relevance is NaN or infinite."""
