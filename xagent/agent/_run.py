"""One run of the agent, from a case to the reports of its readers."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.metadata import version

from xagent.agent._llm import opened
from xagent.agent._state import Deps, Progress
from xagent.agent.graph import build_graph
from xagent.case import Case, SystemCard
from xagent.errors import UnverifiedNarrative, UsageFault
from xagent.personas import Persona
from xagent.report import Report
from xagent.settings import Settings
from xagent.subject import Subject
from xagent.telemetry import recorded


def run(
    case: Case,
    card: SystemCard,
    subject: Subject,
    personas: Sequence[Persona],
    settings: Settings,
    progress: Progress | None = None,
) -> list[Report]:
    """Explain one prediction to every given reader, from the same evidence, and record the run where settings say so.

    Raises UsageFault when two different readers have one name, UnverifiedNarrative when a sentence cannot be verified
    after repair.
    """
    by_name = {persona.name: persona for persona in personas}
    if twice := next((persona.name for persona in personas if by_name[persona.name] != persona), None):
        raise UsageFault(
            f"personas: two different readers are called {twice!r}.",
            "Ask for one of them, such as the same reader in another language, in a run of its own.",
        )
    wanted = settings.telemetry
    with recorded(case.id, version=version("xagent"), file=wanted.file, endpoint=wanted.endpoint) as runs:
        reports = _reports(case, card, subject, personas, settings, progress)
        runs += [report.run for report in reports]
    return reports


def _reports(
    case: Case,
    card: SystemCard,
    subject: Subject,
    personas: Sequence[Persona],
    settings: Settings,
    progress: Progress | None,
) -> list[Report]:
    subject.encode(case.input)  # a fault of the input is named first, whichever tool would have been the quickest
    deps = Deps(case, card, subject, settings, tuple(personas), progress, opened(settings))
    try:
        state = build_graph().compile().invoke({}, context=deps)
    finally:
        if deps.llm is not None:
            deps.llm.close()
    for persona in personas:
        problems = state["problems"][persona.name]
        if problems:
            raise UnverifiedNarrative(
                f"{len(problems)} statement(s) for the {persona.name} could not be verified; "
                f"the first: {problems[0]['message']}",
                "No report was written. The template or persona that words it must be mended.",
            )
    made = [state["reports"][persona.name] for persona in personas]
    return [Report(report["data"], report["run"], report["card"]) for report in made]
