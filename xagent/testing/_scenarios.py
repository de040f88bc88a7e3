"""What a language model may do, good and bad: each scenario is a script for `ScriptedServer`.

The scripts read the question that xagent asks, as a model would: the sentences to word, taken apart, as JSON in the
first message of the user.
"""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

from xagent.testing._server import Reply, Script

Json = dict[str, Any]
Change = Callable[[list[Json]], None]
"""Changes the sentences of an honest answer in place."""
LEAD = "In this report,"
"""Words that an honest answer puts before a sentence, so that its wording differs from the template's."""


def question(body: Json) -> Json:
    """The data of the question: the JSON in the first message of the user; empty when there is none."""
    for message in body["messages"]:
        if message["role"] == "user":
            found = json.loads(message["content"])
            return found if isinstance(found, dict) else {}
    return {}


def honest(body: Json) -> list[Json]:
    """Every sentence asked for, worded a little otherwise, nothing lost."""
    sentences = []
    for sentence in question(body).get("sentences", []):
        parts = copy.deepcopy(sentence["parts"])
        if parts[0]["kind"] == "words":
            parts[0]["text"] = f"{LEAD} {parts[0]['text'][0].lower()}{parts[0]['text'][1:]}"
        else:
            parts.insert(0, {"kind": "words", "text": LEAD, "claims": []})
        sentences.append({"id": sentence["id"], "parts": parts})
    return sentences


def answering(change: Change | None = None, wrap: Callable[[str], str] = str) -> Script:
    """A script whose wording is honest, then changed, then wrapped; asked for tools, it wants none."""

    def script(body: Json, number: int) -> Reply:
        if body.get("tools"):
            return Reply(text="")
        sentences = honest(body)
        if change is not None:
            change(sentences)
        return Reply(text=wrap(json.dumps({"sentences": sentences}, ensure_ascii=False)))

    return script


SCENARIOS: dict[str, Script] = {
    "good": answering(),
}
