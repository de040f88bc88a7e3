"""What flows through the graph, and what its nodes may use."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, TypedDict

from xagent.case import Case, SystemCard
from xagent.evidence import Artifact
from xagent.personas import Persona
from xagent.settings import Settings
from xagent.subject import Subject
from xagent.tools import Context

if TYPE_CHECKING:
    from xagent.agent.llm import Asker

Json = dict[str, Any]
Progress = Callable[[str, str, float | None], None]
"""Called with a tool's name, its status (`started` or an artifact's) and its seconds."""


class State(TypedDict, total=False):
    """JSON only, so that a checkpoint can be read years later.

    asked: tools to run, in the order they were asked for. asks: why each was asked. passes: how often `assess` sent the
    run back. artifacts by tool; claims and findings as made by `assess`; narratives, problems and reports by persona.
    requests: what an ask chose, by tool.
    calls: every question to a language model. worded: what was asked of it for a persona, and what was refused.
    """

    asked: list[str]
    asks: Annotated[list[Json], operator.add]
    requests: Annotated[dict[str, dict[str, str]], operator.or_]
    passes: int
    repairs: int
    artifacts: Annotated[dict[str, Json], operator.or_]
    claims: list[Json]
    findings: list[Json]
    narratives: dict[str, Json]
    calls: Annotated[list[Json], operator.add]
    worded: dict[str, list[Json]]
    problems: dict[str, list[Json]]
    reports: dict[str, Json]


class ToolRequest(TypedDict):
    """What one `run_tool` branch is sent."""

    tool: str
    artifacts: dict[str, Json]
    requests: dict[str, dict[str, str]]


@dataclass(frozen=True)
class Deps:
    """What the nodes share and no checkpoint holds. llm: who words sentences and asks for tools; None: nobody."""

    case: Case
    card: SystemCard
    subject: Subject
    settings: Settings
    personas: tuple[Persona, ...]
    progress: Progress | None = None
    llm: Asker | None = None

    def context(self, artifacts: dict[str, Json], requests: dict[str, dict[str, str]] | None = None) -> Context:
        """A tool's view of the run so far."""
        found = {name: Artifact.model_validate(data) for name, data in artifacts.items()}
        return Context(
            case=self.case,
            card=self.card,
            subject=self.subject,
            seed=self.settings.seed,
            rules=self.settings.rules,
            methods=self.settings.methods,
            cache=self.settings.cache,
            mapping=self.settings.telemetry.mapping,
            levels=self.settings.trust.levels,
            order=self.settings.trust.order,
            exact=self.settings.trust.exact,
            refine=self.settings.trust.refine,
            classifier=self.settings.drift.classifier,
            progress=self.progress,
            found=found,
            requests=requests or {},
        )
