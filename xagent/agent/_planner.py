"""A language model as planner: it may ask for further tools of the registry, within bounds, and decides nothing else.

What readers and the case require has run before it is asked, and the rules of `_ask` go first. Each question offers the
tools that have not run; every ask, taken or refused, stands in the run record with the reason given for it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from xagent.agent._state import Deps, Json, State
from xagent.agent.llm import Answer, Asker, NoAnswer, ToolCall, described
from xagent.evidence import Finding, Ledger
from xagent.narrative.llm import prompt
from xagent.personas import Persona
from xagent.tools import Tool

PURPOSE = "planning"
MOST_ROUNDS = 2
MOST_TOOLS = 2
"""Tools that one answer may add."""
MOST_VALUES = 100
MOST_NAMED = 8
"""Asks of one answer that are recorded; what comes after them is counted."""
LONGEST_WHY = 200
_FACTS = re.compile(
    r".*\.(state|level|weakest|verdict|hash_state|near_threshold|adverse|flips)"
    r"|relevance\.driver\.[1-6]\.(effect|share|rank)|relevance\.(for|against)\.share|exposure\.[a-z]+\.share"
)


def proposals(
    deps: Deps, ledger: Ledger, findings: Sequence[Finding], state: State, installed: Mapping[str, Tool[Any]]
) -> list[Json]:
    """What the language model asks for, as entries of the run record; those with `refused` are not to be run.

    Empty when there is nothing to offer, no reader lets a language model have anything, no answer came, or it was asked
    often enough.
    """
    llm, asked, ctx = deps.llm, state["asked"], deps.context(state.get("artifacts", {}))
    done = 1 + sum(call["purpose"] == PURPOSE for call in state.get("calls", []))
    offered = {
        name: tool.choices(ctx)
        for name, tool in installed.items()
        if name not in asked and all(need in asked for need in tool.needs) and re.fullmatch(r"[\w-]{1,64}", name)
    }
    offered = {name: choices for name, choices in offered.items() if all(choices.values())}
    readers = [persona for persona in deps.personas if persona.redaction.wording]
    if llm is None or not llm.can_call_tools or not offered or not readers or done > MOST_ROUNDS:
        return []
    before = [entry for entry in state["asks"] if entry.get("by") == PURPOSE]
    known = _known(deps, readers, ledger, findings, asked, before)
    messages = [
        {"role": "system", "content": prompt("planner")},
        {"role": "user", "content": json.dumps(known, ensure_ascii=False)},
    ]
    answer = _answer(llm, messages, [_offer(name, installed[name], choices) for name, choices in offered.items()])
    if answer is None:
        return []
    return [entry | {"round": done} for entry in _judged(answer.tool_calls, offered, asked)]


def _answer(llm: Asker, messages: list[Json], tools: list[Json]) -> Answer | None:
    try:
        return llm.ask(PURPOSE, messages, tools=tools)
    except NoAnswer:  # the reason stands in the record of the call
        return None


def _known(
    deps: Deps,
    readers: Sequence[Persona],
    ledger: Ledger,
    findings: Sequence[Finding],
    asked: Sequence[str],
    before: list[Json],
) -> Json:
    """The data of the question: facts that each of the readers may see and whose redaction gives them away."""
    views = [(persona, ledger.visible_to(persona.name)) for persona in readers]
    seen = Ledger(
        claim for key, claim in ledger.items() if all(key in v and p.given_to_llm(key) != "nothing" for p, v in views)
    )
    wanted = [key for key in seen if _FACTS.fullmatch(key)]
    facts = described(wanted, seen, readers[0], values=False)
    if deps.case.input.kind == "tabular":  # names of columns, by which a tool is told where to look
        facts = [fact | ({"feature": seen[fact["id"]].feature} if "label" in fact else {}) for fact in facts]
    return {
        "kind": deps.case.input.kind,
        "readers": [persona.title for persona in readers],
        "tools_run": list(asked),
        "earlier_asks": [{key: entry[key] for key in ("tool", "refused") if key in entry} for entry in before],
        "findings": [{"kind": f.kind, "severity": f.severity} for f in findings],
        "facts": facts,
    }


Choices = Mapping[str, tuple[str, ...]]
"""By name of an argument, the values that it may have."""


def _offer(name: str, tool: Tool[Any], choices: Choices) -> Json:
    about = " ".join((type(tool).__doc__ or name).split())[:400]
    why = {"type": "string", "maxLength": LONGEST_WHY, "description": "Which fact makes you ask, in one sentence."}
    chosen = {key: {"type": "string", "enum": list(values)[:MOST_VALUES]} for key, values in choices.items()}
    schema = {
        "type": "object",
        "properties": {"why": why, **chosen},
        "required": ["why", *chosen],
        "additionalProperties": False,
    }
    return {"type": "function", "function": {"name": name, "description": about, "parameters": schema}}


def _judged(calls: Sequence[ToolCall], offered: Mapping[str, Choices], asked: Sequence[str]) -> Iterable[Json]:
    taken: list[str] = []
    for call in calls[:MOST_NAMED]:
        name, why, fault = call.name, "", None
        chosen: dict[str, str] = {}
        if name not in offered:
            fault = "it has run or was asked for already" if name in asked else "no such tool was offered"
        else:
            why, chosen, fault = _read(call.arguments, offered[name])
        if fault is None and name in taken:
            fault = "it has run or was asked for already"
        if fault is None and len(taken) >= MOST_TOOLS:
            fault = f"more than {MOST_TOOLS} tools were asked for at once"
        entry: Json = {"tool": _plain(name, 64), "why": why, "by": PURPOSE, "chosen": chosen}
        if fault is None:
            taken.append(name)
            yield entry | {"installed": True}
        else:
            yield entry | {"installed": False, "refused": fault}
    if len(calls) > MOST_NAMED:
        refused = f"{len(calls) - MOST_NAMED} more asks in the same answer"
        yield {"tool": "", "why": "", "by": PURPOSE, "chosen": {}, "installed": False, "refused": refused}


def _read(arguments: str, choices: Choices) -> tuple[str, dict[str, str], str | None]:
    """The reason given, what was chosen, and what is wrong with the arguments; where they are wrong nothing is."""
    try:
        data = json.loads(arguments or "{}")
    except (ValueError, RecursionError):
        return "", {}, "its arguments are not JSON"
    other = "its arguments are not those that were offered"
    if not isinstance(data, dict) or set(data) - {"why", *choices} or not isinstance(data.get("why", ""), str):
        return "", {}, other
    why = _plain(data.get("why", ""), LONGEST_WHY)
    if any(data.get(key) not in values[:MOST_VALUES] for key, values in choices.items()):
        return why, {}, other
    return why, {key: data[key] for key in choices}, None


def _plain(text: str, limit: int) -> str:
    """One line without control characters: what a model writes goes into the record as quoted words."""
    return " ".join("".join(c if c.isprintable() else " " for c in text).split())[:limit]
