"""The agent's graph, whole, on one screen."""

from __future__ import annotations

from typing import Any

from langgraph.graph import END, START, StateGraph

from xagent.agent import _nodes as nodes
from xagent.agent._state import Deps, State


def build_graph() -> StateGraph[State, Deps, State, State]:
    """plan -> tools side by side -> assess -> (more evidence | compose) -> verify -> (repair | render)."""
    graph: Any = StateGraph(State, context_schema=Deps)
    graph.add_node("plan", nodes.plan)
    graph.add_node("run_tool", nodes.run_tool)
    graph.add_node("assess", nodes.assess, defer=True)
    graph.add_node("compose", nodes.compose)
    graph.add_node("verify", nodes.verify)
    graph.add_node("repair", nodes.repair)
    graph.add_node("render", nodes.render)

    graph.add_edge(START, "plan")
    graph.add_conditional_edges("plan", nodes.fan_out, ["run_tool", "assess"])
    graph.add_edge("run_tool", "assess")
    graph.add_conditional_edges("assess", nodes.enough, {"more evidence": "plan", "enough": "compose"})
    graph.add_edge("compose", "verify")
    graph.add_conditional_edges("verify", nodes.verdict, {"problems": "repair", "verified": "render", "give up": END})
    graph.add_edge("repair", "verify")
    graph.add_edge("render", END)
    return graph  # type: ignore[no-any-return]
