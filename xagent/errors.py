"""The errors a user can cause: one clear sentence, a mend, and a documented exit code."""

from __future__ import annotations


class XagentError(Exception):
    """Base of every error that is shown to a user.

    `message` names the field or file at fault; `hint` says how to mend it. Raised where the cause is known, caught
    only at a door (command line, Slack, web, batch).
    """

    exit_code = 1

    def __init__(self, message: str, hint: str = "") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __str__(self) -> str:
        return f"{self.message} {self.hint}".rstrip()


class UsageFault(XagentError):
    """The command was called with arguments that do not go together (exit code 2)."""

    exit_code = 2


class InvalidCase(XagentError):
    """The case, the system card or a file they name is missing, malformed or not safe to load (exit code 3)."""

    exit_code = 3


class UnverifiedNarrative(XagentError):
    """A sentence could not be verified against the evidence, so no report was written (exit code 5)."""

    exit_code = 5


class ConfigurationFault(XagentError):
    """A setting is wrong or a component is not installed (exit code 6)."""

    exit_code = 6


class AlteredReport(XagentError):
    """A finished report does not hold: changed after it was made, or not backed by its own evidence (exit code 8)."""

    exit_code = 8


class ModelMismatch(XagentError):
    """The model file is not the one that the case names by its sha256 (exit code 7)."""

    exit_code = 7
