"""`xagent calibrate`: from a case's path to the file of thresholds and a table of what was measured."""

from __future__ import annotations

import os
import time
from pathlib import Path
from typing import TYPE_CHECKING

from rich.console import Console

from xagent._calibrate import Calibration, calibrate, levels_file
from xagent.case import load_case
from xagent.subject import load_subject

if TYPE_CHECKING:
    from xagent.settings import Settings


def calibrate_case(source: str, out: Path, rows: int, settings: Settings, *, quiet: bool = False) -> str:
    """Writes `out` whole or not at all, and returns the figures as Markdown."""
    case = load_case(source, allow_outside=settings.allow_outside)
    subject = load_subject(case, device=settings.device, allow_mismatch=settings.allow_mismatch)
    console, due = Console(stderr=True, quiet=quiet, highlight=False), [time.monotonic() + 1.0]

    def say(done: int, total: int) -> None:
        if time.monotonic() > due[0] or done == total:
            due[0] = time.monotonic() + 2.0
            console.print(f"  {done} of {total} rows")

    found = calibrate(case, subject, settings, rows, say)
    partial = out.with_name(f".{out.name}.{os.getpid()}")
    try:
        partial.write_text(levels_file(found), encoding="utf-8")
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    return summary(found, out)


def summary(found: Calibration, out: Path) -> str:
    """What was measured, under the shipped thresholds and under the new ones."""
    names = {
        "strong": "lists that are strong",
        "good_given_strong": "of these, cosine above 0.9",
        "strong_or_fair": "lists that are strong or fair",
        "wrong_given_strong_or_fair": "of these, cosine below 0.7",
        "spoilt": "spoilt lists with a cosine below 0.7",
        "spoilt_refused": "of these, do not rely",
    }
    truth = "exact Shapley values" if found.exact else "sampled Shapley values"
    lines = [
        f"{found.rows} of {found.drawn} rows, {found.explanations} lists, truth: {truth}.",
        "",
        "| | shipped | calibrated |",
        "| --- | ---: | ---: |",
    ]
    for level, value in found.limits.fidelity.items():
        from xagent.trust import load_limits

        lines.append(f"| fidelity ratio for {level} | {load_limits().fidelity[level]:g} | {value:g} |")
    for key, words in names.items():
        cells = [f"{side[key]:.3g}" if key in side else "–" for side in (found.before, found.after)]
        lines.append(f"| {words} | {cells[0]} | {cells[1]} |")
    return "\n".join([*lines, "", f"Written to {out}. Use it with XAGENT_TRUST__LEVELS={out}, or in xagent.toml."])
