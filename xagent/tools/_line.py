"""One line of what a tool checked: its state, and everything that is needed to check the check."""

from __future__ import annotations

from typing import Literal

from xagent.tools._base import Context, Result
from xagent.tools._population import file_hash

LineState = Literal["ok", "deviation", "cannot tell", "not supplied"]


class Source(Result):
    """A file that a line rests on. role: `reference` or `window`."""

    role: str
    sha256: str


class Line(Result):
    """state: `cannot tell` and `not supplied` say `why`. value: what was found, None without; n: what it was found on;
    threshold: at which it counts; resolution: the smallest value that could have come out, or that could have been
    seen, None where there is no such limit."""

    check: str
    state: LineState
    why: str | None = None
    value: float | None = None
    n: int = 0
    threshold: float | None = None
    method: str
    resolution: float | None = None
    sources: tuple[Source, ...] = ()


def sources_of(ctx: Context, *roles: str) -> tuple[Source, ...]:
    """The files of the case that play these roles, with their hashes."""
    found = {"reference": ctx.case.reference, "window": ctx.case.window}
    held = ((role, found[role]) for role in roles)
    return tuple(Source(role=role, sha256=file_hash(ctx, s, role)) for role, s in held if s is not None)
