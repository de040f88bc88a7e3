"""A language model for tests: a scripted, OpenAI-compatible server on the loopback interface.

In: a scenario, such as `good` or `flips-a-sign`. Out: a base URL for `[llm]`, and every request that was received.
"""

from xagent.testing._scenarios import SCENARIOS
from xagent.testing._server import ScriptedServer

__all__ = ["SCENARIOS", "ScriptedServer"]
