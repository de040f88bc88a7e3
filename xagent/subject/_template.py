"""From the messages of a chat to the text that the model was shown, by the template in the model's folder."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

from xagent.case import Message
from xagent.errors import InvalidCase

MAX_TEMPLATE = 100_000
MAX_TEXT = 400_000
_SECONDS = 20
_CHILD = Path(__file__).with_name("_template_child.py")
_MEND = "Give input.prompt, the text that the model was shown, instead of input.messages."


def chat_text(template: str | None, messages: Sequence[Message], bos: str, eos: str) -> str:
    """The chat as one text, ready for the model's turn.

    The template runs in a process of its own, sandboxed, with five seconds and 1 GiB. Raises InvalidCase when there is
    none, or when it fails, asks for today's date or for anything that a sandbox refuses.
    """
    if template is None:
        raise InvalidCase("input.messages: the model's folder holds no chat template.", _MEND)
    if len(template) > MAX_TEMPLATE:
        raise InvalidCase(f"input.messages: the chat template is longer than {MAX_TEMPLATE:,} characters.", _MEND)
    chat = [{"role": message.role, "content": message.content} for message in messages]
    given = {"template": template, "messages": chat, "bos_token": bos, "eos_token": eos}
    return _rendered(json.dumps(given, sort_keys=True))


@lru_cache(maxsize=64)
def _rendered(given: str) -> str:
    try:
        done = subprocess.run(  # noqa: S603 - our own file, run by our own interpreter
            [sys.executable, "-I", str(_CHILD)],
            input=given,
            capture_output=True,
            encoding="utf-8",
            timeout=_SECONDS,
            check=False,
        )
        said = json.loads(done.stdout) if done.returncode == 0 else {"error": "it takes too long or too much memory"}
    except subprocess.TimeoutExpired:
        said = {"error": "it takes too long"}
    except (OSError, ValueError) as error:
        said = {"error": f"it could not be run ({type(error).__name__})"}
    if "error" in said:
        raise InvalidCase(f"input.messages: the model's chat template cannot be applied: {said['error']}.", _MEND)
    text = str(said["text"])
    if not text.strip() or len(text) > MAX_TEXT:
        raise InvalidCase("input.messages: the chat template makes an empty or an endless text.", _MEND)
    return text
