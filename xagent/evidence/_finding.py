"""Facts that belong together and change how a prediction is read."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Severity = Literal["stop", "warning", "notice"]
"""`stop`: do not rely on what follows. `warning`: stands before the narrative. `notice`: stands among the findings."""


class Finding(BaseModel):
    """A join of evidence, made by rules.

    id: stable, `drift.on-driver`. kind: the rule that fired (a narrator has one frame for each kind). claims: the facts
    it rests on, by role (`driver`, `share`, ...), so that a frame can bind them.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    id: str
    kind: str
    severity: Severity
    claims: dict[str, str] = {}

    def public(self) -> dict[str, Any]:
        return self.model_dump(mode="json")
