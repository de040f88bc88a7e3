"""What a language model answers, and the record of how it was asked."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from xagent.evidence import sha256_json

Json = dict[str, Any]


class NoAnswer(Exception):  # noqa: N818 - it is an outcome, and the run goes on without an answer
    """The model gave no answer; the message says why, in one sentence."""


@dataclass(frozen=True)
class ToolCall:
    """A tool that the model asks for. arguments: JSON text as it came, which may be anything."""

    id: str
    name: str
    arguments: str


@dataclass(frozen=True)
class Answer:
    """text: what the model wrote, may be empty. finish: why it stopped (`stop`, `length`, `tool_calls` ...)."""

    text: str = ""
    tool_calls: tuple[ToolCall, ...] = ()
    finish: str = ""
    model: str = ""
    fingerprint: str | None = None

    def sha256(self) -> str:
        """Hash of what was answered: text and tool calls."""
        return sha256_json(self.content())

    def content(self) -> Json:
        """What was answered, as it is recorded."""
        calls = [{"id": call.id, "name": call.name, "arguments": call.arguments} for call in self.tool_calls]
        return {"text": self.text, "tool_calls": calls, "finish": self.finish}


@dataclass
class Call:
    """The record of one question. prompt_sha256: of messages and tools, not of the way in which JSON was asked for.
    started: ISO 8601, UTC."""

    purpose: str
    prompt_sha256: str
    asked: Json
    attempts: list[Json] = field(default_factory=list)
    answer: Answer | None = None
    why: str | None = None
    started: str | None = None
    seconds: float = 0.0

    def public(self) -> Json:
        """JSON of the run record; `Replay` reads it back."""
        answered = self.answer
        return {
            "purpose": self.purpose,
            "prompt_sha256": self.prompt_sha256,
            **self.asked,
            "attempts": self.attempts,
            "outcome": "failed" if answered is None else "answered",
            "why": self.why,
            "model_reported": answered.model if answered else None,
            "system_fingerprint": answered.fingerprint if answered else None,
            "response_sha256": answered.sha256() if answered else None,
            "response": answered.content() if answered else None,
            "started": self.started,
            "seconds": round(self.seconds, 3),
        }


def prompt_sha256(messages: Sequence[Json], tools: Sequence[Json]) -> str:
    """Hash of what the model was shown."""
    return sha256_json({"messages": list(messages), "tools": list(tools)})


class Asker(Protocol):
    """Whoever answers: a server, or the record of one."""

    name: str
    can_call_tools: bool

    def ask(
        self, purpose: str, messages: Sequence[Json], *, schema: Json | None = None, tools: Sequence[Json] = ()
    ) -> Answer:
        """The answer to the messages. Raises NoAnswer."""
        ...

    def take(self) -> list[Json]:
        """The records of the calls since the last take."""
        ...

    def close(self) -> None:
        """Let go of the connection; nothing can be asked afterwards."""
        ...
