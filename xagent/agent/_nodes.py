"""The nodes of the graph: each takes the state and the dependencies and returns what it adds."""

from __future__ import annotations

from importlib.metadata import version
from typing import Any

from langgraph.runtime import Runtime
from langgraph.types import Send

from xagent.agent._ask import questions
from xagent.agent._assess import assess_evidence
from xagent.agent._llm import language_model_record, planned, reworded
from xagent.agent._state import Deps, Json, State, ToolRequest
from xagent.evidence import Artifact, Finding, Ledger
from xagent.narrative import Narrative, Problem
from xagent.narrative import compose as compose_narrative
from xagent.narrative import verify as verify_narrative
from xagent.report import build_report
from xagent.settings import MOST_PASSES
from xagent.tools import load_modules, registry
from xagent.tools import run_tool as run_one

MOST_REPAIRS = 2
_REPORTED_PACKAGES = ("torch", "transformers", "numpy", "scipy", "scikit-learn", "langgraph", "weasyprint")


def plan(state: State, runtime: Runtime[Deps]) -> State:
    """What the readers and the case require, never less; on later passes, what `assess` asked for."""
    if "asked" in state:
        load_modules(state["asked"], runtime.context.case)
        return {}
    installed = registry()
    required = {name for persona in runtime.context.personas for name in persona.tools}
    wanted = sorted(required | {name for name, tool in installed.items() if not tool.on_request})
    load_modules(wanted, runtime.context.case)
    asks = [{"tool": name, "why": "required by the reader and the case", "pass": 0} for name in wanted]
    return {"asked": [name for name in wanted if name in installed], "asks": asks, "passes": 0, "repairs": 0}


def fan_out(state: State) -> list[Send] | str:
    """One branch for every tool that was asked for, has not run, and whose needs have."""
    done = state.get("artifacts", {})
    ready = [n for n in state["asked"] if n not in done and all(need in done for need in registry()[n].needs)]
    if not ready:
        return "assess"
    requests = state.get("requests", {})
    return [Send("run_tool", ToolRequest(tool=name, artifacts=done, requests=requests)) for name in ready]


def run_tool(request: ToolRequest, runtime: Runtime[Deps]) -> State:
    """Run one tool; whatever goes wrong becomes an artifact that says so."""
    name, report = request["tool"], runtime.context.progress
    if report:
        report(name, "started", None)
    artifact = run_one(name, runtime.context.context(request["artifacts"], request["requests"]))
    if report:
        report(name, artifact.status, artifact.seconds)
    return {"artifacts": {name: artifact.model_dump(mode="json")}}


def assess(state: State, runtime: Runtime[Deps]) -> State:
    """Make the ledger, join facts into findings, and ask for what the evidence calls for."""
    deps, artifacts = runtime.context, state.get("artifacts", {})
    ledger, findings = assess_evidence(deps, artifacts)
    added: State = {"claims": ledger.public(), "findings": [finding.public() for finding in findings]}
    installed, passed = registry(), state["passes"] + 1
    new = [q for q in questions(ledger, findings) if q.tool not in state["asked"]]
    if new and state["passes"] < MOST_PASSES:
        added["asks"] = [{"tool": q.tool, "why": q.why, "pass": passed, "installed": q.tool in installed} for q in new]
        added["asked"] = state["asked"] + [q.tool for q in new if q.tool in installed]
        added["passes"] = passed
    elif all(name in artifacts for name in state["asked"]):  # the rules want no more: a language model may
        added |= planned(deps, ledger, findings, state)
    return added


def enough(state: State) -> str:
    """Back to the plan while a tool that was asked for has not run."""
    done = state.get("artifacts", {})
    return "enough" if all(name in done for name in state["asked"]) else "more evidence"


def compose(state: State, runtime: Runtime[Deps]) -> State:
    """One narrative a reader, from the same ledger; a language model may choose words, where there is one."""
    ledger, findings = _facts(state)
    narratives = {
        persona.name: compose_narrative(ledger.visible_to(persona.name), findings, persona)
        for persona in runtime.context.personas
    }
    return reworded(narratives, ledger, findings, runtime.context)


def verify(state: State, runtime: Runtime[Deps]) -> State:
    """Every sentence of every narrative against the ledger."""
    ledger, findings = _facts(state)
    problems: dict[str, list[Json]] = {}
    for persona in runtime.context.personas:
        narrative = Narrative.model_validate(state["narratives"][persona.name])
        problems[persona.name] = [p.public() for p in verify_narrative(narrative, ledger, persona, findings)]
    return {"problems": problems}


def verdict(state: State) -> str:
    """Fail closed: nothing is rendered while a problem stands."""
    if not any(state["problems"].values()):
        return "verified"
    return "problems" if state["repairs"] < MOST_REPAIRS else "give up"


def repair(state: State, runtime: Runtime[Deps]) -> State:
    """Put the template's wording in place of a narrative that did not verify."""
    ledger, findings = _facts(state)
    mended = dict(state["narratives"])
    for persona in runtime.context.personas:
        if state["problems"][persona.name]:
            mended[persona.name] = compose_narrative(ledger.visible_to(persona.name), findings, persona).public()
    return {"narratives": mended, "repairs": state["repairs"] + 1}


def render(state: State, runtime: Runtime[Deps]) -> State:
    """The report of each reader as data; HTML and PDF are drawn from it at the door."""
    deps = runtime.context
    ledger, findings = _facts(state)
    artifacts = [Artifact.model_validate(state["artifacts"][name]) for name in sorted(state["artifacts"])]
    reports: dict[str, Json] = {}
    for persona in deps.personas:
        report = build_report(
            case=deps.case.public(),
            card=deps.card.model_dump(mode="json", by_alias=True),
            persona=persona,
            ledger=ledger,
            findings=findings,
            narrative=Narrative.model_validate(state["narratives"][persona.name]),
            artifacts=artifacts,
            problems=[Problem.model_validate(p) for p in state["problems"][persona.name]],
            versions=_versions(),
            seeds={"seed": deps.settings.seed},
            inputs=dict(sorted(deps.subject.sha256.items())),
            run={
                "asks": state["asks"],
                "passes": state["passes"],
                "repairs": state["repairs"],
                "tools": {a.tool: {"status": a.status, "started": a.started, "seconds": a.seconds} for a in artifacts},
                **language_model_record(state, persona.name),
            },
        )
        reports[persona.name] = {"data": report.data, "run": report.run, "card": report.card}
    return {"reports": reports}


def _facts(state: State) -> tuple[Ledger, list[Finding]]:
    return Ledger.from_public(state["claims"]), [Finding.model_validate(f) for f in state["findings"]]


def _versions() -> dict[str, Any]:
    return {"xagent": version("xagent"), **{name: version(name) for name in _REPORTED_PACKAGES}}
