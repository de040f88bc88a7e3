"""What a server does its own way, read from data."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from xagent.errors import ConfigurationFault

Step = Literal["json_schema", "json_object", "prompted"]


class Profile(BaseModel):
    """See profiles.toml for the meaning of each field."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    ladder: tuple[Step, ...] = Field(min_length=1)
    schema_inside: bool = False
    limit: Literal["max_tokens", "max_completion_tokens"]
    tools: bool
    strict: bool
    temperature: float | None = Field(default=None, ge=0, le=2)
    seed: bool = False
    extra: dict[str, Any] = Field(default_factory=dict)

    def response_format(self, step: Step, schema: dict[str, Any]) -> dict[str, Any] | None:
        """How this server is asked for JSON of a schema on one step of the ladder; None: by the prompt alone."""
        if step == "prompted":
            return None
        if step == "json_schema":
            named = {"name": "answer", "schema": schema} | ({"strict": True} if self.strict else {})
            return {"type": "json_schema", "json_schema": named}
        return {"type": "json_object"} | ({"schema": schema} if self.schema_inside else {})


def profile_names() -> tuple[str, ...]:
    """Names of the shipped profiles, sorted."""
    return tuple(sorted(_profiles()))


def load_profile(name: str) -> Profile:
    """A shipped profile by name. Raises ConfigurationFault for an unknown one."""
    if name not in _profiles():
        raise ConfigurationFault(
            f"Setting 'llm.profile': there is no profile {name!r}.", f"Choose one of {', '.join(profile_names())}."
        )
    return _profiles()[name]


@cache
def _profiles() -> dict[str, Profile]:
    data = tomllib.loads(files("xagent.agent.llm").joinpath("profiles.toml").read_text(encoding="utf-8"))
    return {name: Profile.model_validate(fields) for name, fields in data.items()}
