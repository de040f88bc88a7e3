"""What a tool is: a question about one prediction, answered by a typed artifact and the claims that follow from it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Generic, TypeVar

from pydantic import BaseModel, ConfigDict

from xagent.case import Case, SystemCard
from xagent.evidence import Artifact, Claim

if TYPE_CHECKING:
    from xagent.subject import Subject


class Result(BaseModel):
    """Base of every tool's result: frozen, JSON-ready, refuses NaN."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class NotApplicable(Exception):  # noqa: N818 - it is an answer, not an error
    """Raised by a tool whose question does not arise or cannot be asked here; the message says why, in one sentence."""


@dataclass(frozen=True)
class Context:
    """What a tool may use. found: artifacts of tools that ran before it, by name. methods: names of the second opinions
    that were asked for, none for those that the cost allows. cache: folder for what is computed of a reference once.
    mapping: a file of the user's own names of telemetry attributes. levels: a file of trust levels, None for those that
    ship. order: also test the order of removal. exact: players up to which all coalitions are tried. refine: a list
    that falls short is made again by removal. classifier: also ask whether one tells recent rows from known ones.
    progress: told of long work: tool, how far it has come, seconds."""

    case: Case
    card: SystemCard
    subject: Subject
    seed: int = 0
    rules: str = "conserving"
    methods: tuple[str, ...] = ()
    cache: Path | None = None
    mapping: Path | None = None
    levels: Path | None = None
    order: bool = False
    exact: int = 12
    refine: bool = True
    classifier: bool = False
    progress: Callable[[str, str, float | None], None] | None = None
    found: Mapping[str, Artifact] = field(default_factory=dict)
    requests: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    """What an ask chose, by tool: one of `Tool.choices` by name. Nothing was chosen for a tool that is not there."""


ResultT = TypeVar("ResultT", bound=Result)


class Tool(ABC, Generic[ResultT]):
    """One question. `needs` names tools whose artifacts must exist (in any status) before this one runs. A tool that
    is `on_request` runs only when a persona names it or the evidence calls for it."""

    name: ClassVar[str]
    version: ClassVar[str] = "1"
    needs: ClassVar[tuple[str, ...]] = ()
    on_request: ClassVar[bool] = False
    result: ClassVar[type[Result]]

    @abstractmethod
    def run(self, ctx: Context) -> ResultT:
        """Compute the result. Raises NotApplicable; any other exception becomes a failed artifact."""

    @abstractmethod
    def claims(self, data: ResultT, ctx: Context) -> Iterator[Claim]:
        """The facts that follow from the result."""

    def modules(self, case: Case) -> tuple[str, ...]:
        """Large modules that `run` imports for this case; they are imported before tools run side by side."""
        return ()

    def choices(self, ctx: Context) -> dict[str, tuple[str, ...]]:
        """What an ask for this tool may choose, by name, and the values to choose from; a tool whose choice has no
        values is not offered. Without an ask the tool chooses for itself."""
        return {}

    def parameters(self, ctx: Context) -> dict[str, Any]:
        """What was chosen, for the record: seeds, thresholds, sizes."""
        return {"seed": ctx.seed}

    def inputs(self, ctx: Context) -> dict[str, str]:
        """SHA-256 of every file the tool reads, by role."""
        return {}
