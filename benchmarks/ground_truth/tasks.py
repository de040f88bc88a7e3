"""The tasks by id. T9 (training data) and T10 (components) ask other questions than relevance of inputs."""

from __future__ import annotations

from . import (
    t01_units,
    t02_tabular,
    t03_real,
    t04_tokens,
    t05_lookup,
    t06_variants,
    t07_background,
    t08_scaffold,
    t11_suppressor,
)
from ._cases import Task

TASKS: dict[str, Task] = {
    task.id: task
    for task in (
        t01_units.TASK,
        t02_tabular.TASK,
        t03_real.TASK,
        t04_tokens.TASK,
        t05_lookup.TASK,
        t06_variants.TASK,
        t07_background.TASK,
        t07_background.SEGMENTS,
        t08_scaffold.TASK,
        t11_suppressor.TASK,
    )
}
