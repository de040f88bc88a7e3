"""The one error of this room."""

from __future__ import annotations

from xagent.errors import XagentError


class RelevanceError(XagentError, ValueError):
    """A trace cannot be made as asked; the message names the input, the target or the rule set at fault."""
