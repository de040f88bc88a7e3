"""Where the graph meets a language model; without one nothing of it is imported."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from xagent.agent._state import Deps, Json, State
from xagent.evidence import Finding, Ledger
from xagent.narrative import Narrative
from xagent.settings import Settings
from xagent.tools import registry

if TYPE_CHECKING:
    from xagent.agent.llm import Asker


def opened(settings: Settings) -> Asker | None:
    """The language model of the settings, or None. Raises ConfigurationFault."""
    if settings.no_llm or (settings.llm.base_url is None and settings.llm.replay is None):
        return None
    from xagent.agent.llm import open_llm

    return open_llm(settings)


def planned(deps: Deps, ledger: Ledger, findings: Sequence[Finding], state: State) -> State:
    """What the language model asks for once all else has run, and how it was asked; empty without one."""
    if deps.llm is None:
        return {}
    from xagent.agent._planner import proposals

    asks = proposals(deps, ledger, findings, state, registry())
    wanted = [ask["tool"] for ask in asks if ask["installed"]]
    chosen = {ask["tool"]: ask["chosen"] for ask in asks if ask["installed"] and ask["chosen"]}
    return {"asks": asks, "asked": state["asked"] + wanted, "requests": chosen, "calls": deps.llm.take()}


def reworded(narratives: Mapping[str, Narrative], ledger: Ledger, findings: Sequence[Finding], deps: Deps) -> State:
    """The narratives by persona as the graph keeps them, with the sentences that the language model words."""
    if deps.llm is None:
        return {"narratives": {name: narrative.public() for name, narrative in narratives.items()}}
    from xagent.agent.llm import NoAnswer, described
    from xagent.narrative.llm import Unanswered, word

    llm, calls, worded = deps.llm, [], {}
    done: dict[str, Json] = {}
    for persona in deps.personas:
        began = time.perf_counter()
        if deps.progress:
            deps.progress("language model", "started", None)

        def ask(messages: list[Json], schema: Json, purpose: str = f"wording:{persona.name}") -> str:
            try:
                return llm.ask(purpose, messages, schema=schema).text
            except NoAnswer as reason:
                raise Unanswered(str(reason)) from None

        result = word(narratives[persona.name], ledger, persona, findings, ask, described)
        done[persona.name] = result.narrative.public()
        worded[persona.name] = result.trail
        made = llm.take()
        calls += made
        if deps.progress:
            answered = any(call["outcome"] == "answered" for call in made) or not made
            deps.progress("language model", "ok" if answered else "failed", time.perf_counter() - began)
    return {"narratives": done, "calls": calls, "worded": worded}


def language_model_record(state: State, persona: str) -> Json:
    """What the run record of a reader says about the language model; nothing when there was none.

    calls: every question of the run, so that each record of it can be replayed. wording: what was asked, refused and
    accepted for this reader.
    """
    if "worded" not in state:
        return {}
    authors: dict[str, list[str]] = {"llm": [], "fallback": []}
    for sentence in Narrative.model_validate(state["narratives"][persona]).sentences():
        authors.setdefault(sentence.author, []).append(sentence.id)
    return {
        "llm": {
            "calls": state.get("calls", []),
            "wording": state["worded"].get(persona, []),
            "worded": authors["llm"],
            "fell_back": authors["fallback"],
        }
    }
