"""`xagent explain`: from the paths of cases to the reports for every reader, on stdout or as files."""

from __future__ import annotations

import gc
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from xagent._explain import explain_all
from xagent._progress import Lines
from xagent._shell import stdin_text
from xagent.case import Case, load_case

if TYPE_CHECKING:
    from xagent.personas import Persona
    from xagent.settings import Settings


def opened(sources: Sequence[str], settings: Settings) -> Iterator[Case]:
    """The cases, one at a time; `-` is standard input. What one left behind is collected before the next."""
    for number, source in enumerate(sources):
        if number:
            gc.collect()
        stdin = stdin_text() if source == "-" else None
        yield load_case(source, allow_outside=settings.allow_outside, stdin=stdin)


def print_plan(case: Case, readers: Sequence[str | Persona], settings: Settings) -> None:
    """What would run and what it would cost; nothing runs."""
    from xagent._plan import planned

    print("\n".join(planned(case, readers, settings).lines()))


def print_reports(case: Case, readers: Sequence[str | Persona], settings: Settings, *, quiet: bool) -> None:
    """The JSON of every report on stdout; no file is written."""
    with Lines(case.id, quiet=quiet) as lines:
        for report in explain_all(case, readers, settings, lines.tool):
            print(report.json)


def write_reports(
    case: Case,
    readers: Sequence[str | Persona],
    settings: Settings,
    folder: Path,
    formats: Sequence[str],
    *,
    quiet: bool,
) -> None:
    """The files of every report; all are drawn before the first is written, so that a failure leaves none."""
    with Lines(case.id, quiet=quiet) as lines:
        reports = explain_all(case, readers, settings, lines.tool)
        for place, report in enumerate(reports):
            if place:
                gc.collect()
            report.draw(formats)
        for report in reports:
            for path in report.save(folder, formats):
                lines.written(path)
