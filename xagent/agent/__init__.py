"""The agent: plans which tools to run, joins what they found, composes and verifies, and asks for more when it must.

In: a case, its system card, the subject, the readers. Out: one verified report a reader, and the record of the run.
"""

from xagent.agent._run import run
from xagent.agent._state import Deps, Progress
from xagent.agent.graph import build_graph

__all__ = ["Deps", "Progress", "build_graph", "run"]
