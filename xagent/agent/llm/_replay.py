"""The answers of an earlier run, from its record: no server is asked, and the same answers give the same report."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from xagent.agent.llm._model import Answer, Call, Json, NoAnswer, ToolCall, prompt_sha256
from xagent.errors import ConfigurationFault

MAX_BYTES = 64 * 1024 * 1024


class Replay:
    """Answers a prompt as the record says that it was answered, in the order of the record. Tools are offered where the
    recorded run offered some.

    Raises ConfigurationFault for a file that is not a run record with calls of a language model.
    """

    def __init__(self, path: Path) -> None:
        try:
            if path.stat().st_size > MAX_BYTES:
                raise ConfigurationFault(f"Setting 'llm.replay': {path} is too large.", "Name a .run.json.")
            calls = json.loads(path.read_text(encoding="utf-8"))["llm"]["calls"]
            self._recorded: dict[str, list[Json]] = {}
            for call in calls:
                self._recorded.setdefault(str(call["prompt_sha256"]), []).append(dict(call))
            self.can_call_tools = any(call["purpose"] == "planning" for call in calls)
            self.name = next((str(call["model_reported"]) for call in calls if call["model_reported"]), "unknown")
        except OSError as error:
            raise ConfigurationFault(
                f"Setting 'llm.replay': {path} cannot be read ({error.strerror}).", "Name the .run.json of a run."
            ) from None
        except (ValueError, KeyError, TypeError, RecursionError):
            raise ConfigurationFault(
                f"Setting 'llm.replay': {path} has no record of a language model.", "Name the .run.json of such a run."
            ) from None
        self._calls: list[Json] = []

    def ask(
        self, purpose: str, messages: Sequence[Json], *, schema: Json | None = None, tools: Sequence[Json] = ()
    ) -> Answer:
        key = prompt_sha256(messages, tools)
        waiting = self._recorded.get(key, [])
        if not waiting:
            why = "The record has no answer to this prompt."
            self._calls.append(Call(purpose, key, {"replayed": True}, why=why).public())
            raise NoAnswer(why)
        recorded = waiting.pop(0)
        self._calls.append(recorded | {"replayed": True})
        if recorded.get("outcome") != "answered":
            raise NoAnswer(str(recorded.get("why")))
        try:
            return _read(recorded)
        except (KeyError, TypeError):
            raise NoAnswer("The record of this answer is damaged.") from None

    def take(self) -> list[Json]:
        taken, self._calls = self._calls, []
        return taken

    def close(self) -> None:
        """There is no connection."""


def _read(recorded: Json) -> Answer:
    content = recorded["response"]
    calls = tuple(ToolCall(str(c["id"]), str(c["name"]), str(c["arguments"])) for c in content["tool_calls"])
    fingerprint = recorded.get("system_fingerprint")
    return Answer(
        text=str(content["text"]),
        tool_calls=calls,
        finish=str(content["finish"]),
        model=str(recorded["model_reported"]),
        fingerprint=None if fingerprint is None else str(fingerprint),
    )
