"""Finding tools and running one of them so that a failure is evidence, never a crash."""

from __future__ import annotations

import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from functools import cache
from importlib import import_module
from importlib.metadata import entry_points
from typing import Any

from xagent.case import Case
from xagent.errors import ConfigurationFault, InvalidCase, ModelMismatch, UsageFault
from xagent.evidence import Artifact, Claim
from xagent.tools._base import Context, NotApplicable, Tool


@cache
def registry() -> Mapping[str, Tool[Any]]:
    """Every installed tool by name, sorted. Raises ConfigurationFault for one that does not import."""
    tools: dict[str, Tool[Any]] = {}
    for entry in sorted(entry_points(group="xagent.tools"), key=lambda e: e.name):
        try:
            tools[entry.name] = entry.load()()
        except (ImportError, AttributeError) as error:
            raise ConfigurationFault(
                f"The tool {entry.name!r} does not load: {error}.", "Install what it needs or remove its package."
            ) from error
    if not tools:
        raise ConfigurationFault(
            "No tool is installed.", "Install the package itself: pip install -e . (or script/demo)."
        )
    return tools


def load_modules(names: Iterable[str], case: Case) -> None:
    """Import in this thread what these tools will import. Packages whose modules import each other in a circle, such
    as scikit-learn, can be seen half made by a second thread that imports them at the same moment."""
    installed = registry()
    for module in sorted({module for name in names if name in installed for module in installed[name].modules(case)}):
        with suppress(ImportError):  # the tool itself says what is missing
            import_module(module)


def run_tool(name: str, ctx: Context) -> Artifact:
    """Run one tool. What it could not do is an artifact with status `failed` or `not_applicable` that says why.

    A fault of the case or the configuration, which the user can mend, is raised: no report is made while evidence that
    its owner meant to be there cannot be read.
    """
    tool = registry()[name]
    started, clock = datetime.now(UTC), time.perf_counter()
    data: dict[str, Any] = {}
    inputs: dict[str, str] = {}
    why: str | None = None
    try:
        inputs = tool.inputs(ctx)
        data = tool.run(ctx).model_dump(mode="json")
        status = "ok"
    except NotApplicable as reason:
        status, why = "not_applicable", str(reason)
    except (InvalidCase, ConfigurationFault, ModelMismatch, UsageFault):
        raise
    except Exception as error:  # noqa: BLE001 - whatever a tool does wrong must not take the report with it
        status, why = "failed", f"{type(error).__name__}: {error}"[:500]
    return Artifact(
        tool=name,
        version=tool.version,
        status=status,
        why=why,
        parameters=tool.parameters(ctx),
        data=data,
        inputs_sha256=inputs,
        started=started.isoformat(),
        seconds=round(time.perf_counter() - clock, 6),
    )


def claims_of(artifact: Artifact, ctx: Context) -> list[Claim]:
    """The claims that follow from an artifact; none when the tool did not succeed."""
    if artifact.status != "ok":
        return []
    tool = registry()[artifact.tool]
    return list(tool.claims(tool.result.model_validate(artifact.data), ctx))
