"""`python -m benchmarks.ground_truth [--tasks T1,T5] [--quick] [--calibrate]` prints the tables as Markdown."""

from __future__ import annotations

import argparse
import platform
import sys
from importlib.metadata import version
from pathlib import Path

import torch

from . import _cache
from ._cases import Task
from ._table import Row, markdown, overview, run
from .methods import METHODS
from .tasks import TASKS


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.ground_truth", description=__doc__)
    parser.add_argument("--tasks", default=",".join(TASKS), help="ids with commas between them")
    parser.add_argument("--quick", action="store_true", help="few cases, to see that everything runs")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--cache", type=Path, help="folder for trained weights and truths; default: a temporary one")
    parser.add_argument("--calibrate", action="store_true", help="the levels of trust instead of the methods")
    arguments = parser.parse_args()
    chosen = arguments.tasks.split(",")
    unknown = [name for name in chosen if name not in TASKS]
    if unknown:
        raise SystemExit(f"there is no task {unknown[0]}; known: {', '.join(TASKS)}")
    if arguments.cache:
        _cache.use_folder(arguments.cache)
    torch.set_num_threads(1)
    machine = f"2 CPU cores, one thread, seed {arguments.seed}, Python {platform.python_version()}"
    versions = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "captum", "shap"))
    print(f"{machine}, {versions}.\n", flush=True)
    if arguments.calibrate:
        from .calibration import report

        print(report([TASKS[name] for name in chosen], arguments.seed, arguments.quick))
        return
    found: dict[str, tuple[Task, list[Row]]] = {}
    for name in chosen:
        task = TASKS[name]
        print(f"{name} trains or reads its cache", file=sys.stderr, flush=True)
        cases = task.cases(arguments.seed, arguments.quick)
        found[name] = task, run(task, cases, METHODS, arguments.seed)
        print(markdown(task, found[name][1], len(cases)), flush=True)
    if len(found) > 1:
        print(overview(found))


if __name__ == "__main__":
    main()
