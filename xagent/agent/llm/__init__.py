"""A language model behind an OpenAI-compatible server: asked within bounds, recorded, never trusted.

In: settings `[llm]`, messages, a schema or tools. Out: an `Answer`, or `NoAnswer` that says why there is none; the
record of every call. What the model may see is decided here as well.
"""

from xagent.agent.llm._client import Client
from xagent.agent.llm._model import Answer, Asker, NoAnswer, ToolCall
from xagent.agent.llm._open import open_llm
from xagent.agent.llm._profile import Profile, load_profile, profile_names
from xagent.agent.llm._redact import described
from xagent.agent.llm._replay import Replay

__all__ = [
    "Answer",
    "Asker",
    "Client",
    "NoAnswer",
    "Profile",
    "Replay",
    "ToolCall",
    "described",
    "load_profile",
    "open_llm",
    "profile_names",
]
