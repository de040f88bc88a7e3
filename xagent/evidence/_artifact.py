"""The typed result of one tool, with its provenance."""

from __future__ import annotations

import hashlib
import json
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict


class Artifact(BaseModel):
    """What a tool found, or why it found nothing.

    data: the tool's own result model as JSON; empty unless status is `ok`. why: one sentence when it is not.
    inputs_sha256: hashes of every file the tool read, by role. started (ISO 8601) and seconds describe the run, not
    the evidence: they are kept in the run record and left out of the report, so that the same evidence gives the
    same bytes.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    tool: str
    version: str
    status: Literal["ok", "failed", "not_applicable"]
    why: str | None = None
    parameters: dict[str, Any] = {}
    data: dict[str, Any] = {}
    inputs_sha256: dict[str, str] = {}
    started: str | None = None
    seconds: float | None = None

    def evidence(self) -> dict[str, Any]:
        """The artifact without its timing: what the report prints and hashes."""
        return self.model_dump(mode="json", exclude={"started", "seconds"})

    def sha256(self) -> str:
        return sha256_json(self.evidence())


def canonical_json(data: Any) -> str:
    """JSON with sorted keys and no white space; NaN and infinities are refused (cf. RFC 8785)."""
    return json.dumps(data, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def sha256_json(data: Any) -> str:
    """SHA-256 over the canonical JSON of `data`."""
    return hashlib.sha256(canonical_json(data).encode()).hexdigest()
