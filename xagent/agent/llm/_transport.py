"""One request through the `openai` client, its answer read within a bound of bytes and taken apart without trust."""

from __future__ import annotations

import json
import math
import time
from typing import Any

from xagent.agent.llm._model import Answer, Json, ToolCall
from xagent.errors import ConfigurationFault
from xagent.settings import LlmSettings

MAX_BYTES = 4 * 1024 * 1024
MOST_TOOL_CALLS = 16
MOST_SAID = 200


class Unreachable(Exception):  # noqa: N818 - outcomes of a request
    """No usable answer came back. again: whether it is worth another try; where a time was used up it is not."""

    def __init__(self, message: str, *, again: bool = True) -> None:
        super().__init__(message)
        self.again = again


class Refused(Exception):  # noqa: N818
    """The server answered with an error. retry_after: seconds that it asks to wait."""

    def __init__(self, status: int, said: str, retry_after: float | None) -> None:
        super().__init__(f"The server answered {status}: {said}" if said else f"The server answered {status}.")
        self.status, self.retry_after = status, retry_after


class Transport:
    """Raises ConfigurationFault when `openai` is not installed."""

    def __init__(self, settings: LlmSettings) -> None:
        try:
            import openai
        except ImportError:
            raise ConfigurationFault(
                "A language model is set, and the package openai is not installed.",
                "Run `pip install 'openai>=3,<4'`, or pass --no-llm.",
            ) from None
        self._openai = openai
        self._key = settings.api_key.get_secret_value() if settings.api_key else ""
        self._client = openai.OpenAI(
            base_url=settings.base_url,
            api_key=self._key or "none",
            max_retries=0,  # retries are counted and recorded by the caller
            http_client=openai.DefaultHttpxClient(follow_redirects=False),  # the prompt goes nowhere else
        )

    def send(self, body: Json, timeout: float) -> Answer:
        """The answer to one request. Raises Refused or Unreachable."""
        openai, end = self._openai, time.monotonic() + timeout
        late = f"The server did not answer within {timeout:.3g} seconds."
        try:
            with self._client.chat.completions.with_streaming_response.create(**body, timeout=timeout) as response:
                if response.status_code != 200:
                    raise Refused(response.status_code, "", None)
                raw = b""
                for chunk in response.iter_bytes():
                    raw += chunk
                    if len(raw) > MAX_BYTES:
                        raise Unreachable(f"The answer is larger than {MAX_BYTES >> 20} MiB.", again=False)
                    if time.monotonic() > end:
                        raise Unreachable(late, again=False)
        except openai.APIStatusError as error:
            wait = error.response.headers.get("retry-after")
            raise Refused(error.status_code, self._said(error.message), _seconds(wait)) from None
        except openai.APITimeoutError:
            raise Unreachable(late, again=False) from None
        except openai.APIError as error:
            raise Unreachable(f"The server cannot be reached ({self._said(str(error))}).") from None
        return read_answer(raw)

    def _said(self, text: str) -> str:
        """What a server or its client says, on one line; a server that repeats the key does not get it recorded."""
        if self._key:
            text = text.replace(self._key, "***")
        line = " ".join("".join(c if c.isprintable() else " " for c in text).split())
        return line if len(line) <= MOST_SAID else f"{line[:MOST_SAID]}…"

    def close(self) -> None:
        """Close every connection."""
        self._client.close()


def read_answer(raw: bytes) -> Answer:
    """A Chat Completion taken apart. Raises Unreachable for anything else."""
    try:
        data = json.loads(raw)
        choice = data["choices"][0]
        message = choice["message"]
        calls = message.get("tool_calls") or []
        fingerprint = data.get("system_fingerprint")
        return Answer(
            text=_text(message.get("content")),
            tool_calls=tuple(_tool_call(call) for call in calls[:MOST_TOOL_CALLS]),
            finish=_text(choice.get("finish_reason"))[:40],
            model=_text(data.get("model"))[:MOST_SAID],
            fingerprint=None if fingerprint is None else _text(fingerprint)[:MOST_SAID],
        )
    except (ValueError, LookupError, TypeError, AttributeError, RecursionError):
        raise Unreachable("The server's answer is not a Chat Completion.") from None


def _tool_call(call: Any) -> ToolCall:
    function = call["function"]
    return ToolCall(_text(call.get("id"))[:80], _text(function["name"])[:80], _text(function.get("arguments")))


def _text(value: object) -> str:
    """Text that can be written as UTF-8; servers may send half a surrogate pair."""
    if value is None:
        return ""
    if not isinstance(value, str):
        raise TypeError
    return value.encode("utf-8", "replace").decode("utf-8")


def _seconds(value: str | None) -> float | None:
    try:
        seconds = float(value or "")
    except ValueError:
        return None
    return seconds if math.isfinite(seconds) and seconds >= 0 else None
