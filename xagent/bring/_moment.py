"""When a prediction was made, as a caller may say it."""

from __future__ import annotations

from datetime import UTC, datetime

from xagent.errors import UsageFault


def moment_of(decided_at: datetime | None) -> datetime:
    """A time with a zone: by default now, to the second; a time without a zone is read as UTC. Raises UsageFault."""
    if decided_at is None:
        return datetime.now(UTC).replace(microsecond=0)
    if not isinstance(decided_at, datetime):
        raise UsageFault(f"decided_at: {decided_at!r} is not a time.", "Give a datetime.")
    return decided_at.replace(tzinfo=UTC) if decided_at.tzinfo is None else decided_at
