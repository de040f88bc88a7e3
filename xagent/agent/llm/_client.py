"""Asking a server: the strictest way it takes, a bounded number of times, within a bounded time, all of it recorded."""

from __future__ import annotations

import threading
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any

from xagent.agent.llm._model import Answer, Call, Json, NoAnswer, prompt_sha256
from xagent.agent.llm._profile import Profile, Step
from xagent.agent.llm._transport import Refused, Transport, Unreachable
from xagent.settings import LlmSettings

STEP_DOWN = frozenset({400, 404, 415, 422, 500, 501})
"""Statuses with which servers refuse a way of asking for JSON that they do not know."""
AGAIN = frozenset({408, 409, 425, 429, 500, 502, 503, 504})
MOST_RETRIES = 2
"""Retries of one question on one step of the ladder."""
FIRST_WAIT = 0.5
"""Seconds before a retry when the server names none; doubled each time."""
GRACE = 0.1
"""Seconds in which a request that was out of time may end by itself."""
MOST_SILENT = 2
"""Questions in a row without any answer from the server, after which it is not asked again in this run."""


class Client:
    """One server for one run.

    Every question has `settings.timeout` seconds for each attempt, and all questions together have `settings.total`.
    The step of the ladder that the server took is kept for the questions that follow.
    """

    def __init__(self, settings: LlmSettings, profile: Profile, *, seed: int = 0) -> None:
        self.name = str(settings.model)
        self.can_call_tools = profile.tools
        self._settings, self._profile, self._seed = settings, profile, seed
        self._transport = Transport(settings)
        self._rung = 0
        self._silent = 0
        self._spent, self._end = 0.0, 0.0
        self._calls: list[Call] = []

    def ask(
        self, purpose: str, messages: Sequence[Json], *, schema: Json | None = None, tools: Sequence[Json] = ()
    ) -> Answer:
        """The answer to the messages: JSON of a schema, or calls of tools. Raises NoAnswer when there is none."""
        began = time.monotonic()
        self._end = began + self._settings.total - self._spent
        asked = {
            "base_url": self._settings.base_url,
            "model": self.name,
            "temperature": self._profile.temperature,
            "profile": self._settings.profile,
        }
        call = Call(purpose, prompt_sha256(messages, tools), asked, started=datetime.now(UTC).isoformat())
        self._calls.append(call)
        try:
            call.answer = self._answer(call, list(messages), schema, list(tools))
        except NoAnswer as reason:
            call.why = str(reason)
            raise
        finally:
            call.seconds = time.monotonic() - began
            self._spent += call.seconds
        return call.answer

    def take(self) -> list[Json]:
        """The records of the calls since the last take."""
        taken, self._calls = self._calls, []
        return [call.public() for call in taken]

    def close(self) -> None:
        """Let go of the connection, and with it of requests that were left behind."""
        self._transport.close()

    def _answer(self, call: Call, messages: list[Json], schema: Json | None, tools: list[Json]) -> Answer:
        if self._silent >= MOST_SILENT:
            raise NoAnswer("The server gave no answer to earlier questions and was not asked again.")
        retries, wait = 0, min(FIRST_WAIT, self._settings.timeout)
        while True:
            step: Step | None = self._profile.ladder[self._rung] if schema is not None else None
            try:
                return self._once(call, self._body(messages, schema, step, tools), step)
            except Unreachable as error:
                why, hint = str(error), None
                if not error.again:
                    self._silent += 1
                    raise NoAnswer(why) from None
            except Refused as error:
                why, hint = str(error), error.retry_after
                if step is not None and self._rung + 1 < len(self._profile.ladder) and error.status in STEP_DOWN:
                    self._rung, retries = self._rung + 1, 0
                    continue
                if error.status not in AGAIN:
                    raise NoAnswer(why) from None
            pause = wait if hint is None else hint
            if retries >= MOST_RETRIES or pause >= self._left():
                self._silent += 1
                raise NoAnswer(why)
            retries, wait = retries + 1, wait * 2
            time.sleep(pause)

    def _once(self, call: Call, body: Json, step: Step | None) -> Answer:
        """One attempt. The worker is left behind when the time is up, as some servers send a byte now and then."""
        began = time.monotonic()
        limit = min(self._settings.timeout, self._left())
        if limit <= 0:
            self._silent += 1
            raise NoAnswer("The time for the language model was used up.")
        found: list[Answer | Exception] = []

        def work() -> None:
            try:
                found.append(self._transport.send(body, limit))
            except Exception as error:  # noqa: BLE001 - raised again where it is waited for
                found.append(error)

        worker = threading.Thread(target=work, name="xagent-llm", daemon=True)
        worker.start()
        worker.join(limit + GRACE)
        late = f"The server did not answer within {limit:.3g} seconds."
        outcome = found[0] if found else Unreachable(late, again=False)
        record: Json = {"step": step, "seconds": round(time.monotonic() - began, 3)}
        call.attempts.append(record)
        if isinstance(outcome, Answer):
            record["status"] = 200
            self._silent = 0
            return outcome
        record["status"] = outcome.status if isinstance(outcome, Refused) else None
        record["why"] = str(outcome)
        if isinstance(outcome, Refused | Unreachable):
            raise outcome
        raise Unreachable(f"{type(outcome).__name__}: {outcome}")

    def _body(self, messages: list[Json], schema: Json | None, step: Step | None, tools: list[Json]) -> Json:
        profile = self._profile
        body: dict[str, Any] = {
            "model": self.name,
            "messages": messages,
            profile.limit: self._settings.max_tokens,
            **profile.extra,
        }
        if profile.temperature is not None:
            body["temperature"] = profile.temperature
        if profile.seed:
            body["seed"] = self._seed
        if schema is not None and step is not None:
            form = profile.response_format(step, schema)
            body |= {"response_format": form} if form else {}
        if tools:
            body |= {"tools": tools, "tool_choice": "auto"}
        return body

    def _left(self) -> float:
        return self._end - time.monotonic()
