"""What the tools `drift` and `deviation` cost on a large table, against the bare tests that they stand on.

A reference of 100,000 rows and a window of 10,000, 40 numbers and 10 features with up to 100 levels. Processor time,
one thread, interleaved rounds. Run it with:
    .venv/bin/python benchmarks/drift.py --rounds 5
    .venv/bin/python benchmarks/drift.py --rounds 5 --peer /path/to/venv/bin/python
A peer is another Python that has evidently or nannyml; it is given the same table and the same bare tests.
"""

from __future__ import annotations

import os

os.environ.update(dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1"))

import argparse
import importlib.metadata
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd

ROOT = Path(__file__).parent.parent
NUMBERS, LEVELS = 40, 10
DRIFTED = 5


def table(rows: int, seed: int, moved: float) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    frame = {f"x{i}": rng.normal(moved if i < DRIFTED else 0.0, 1.0, rows) for i in range(NUMBERS)}
    for i in range(LEVELS):
        names = [f"level {j}" for j in range(5 + 10 * i)]
        frame[f"c{i}"] = rng.choice(names, rows)
    return pd.DataFrame(frame)


def bare(reference: pd.DataFrame, window: pd.DataFrame) -> None:
    """Kolmogorov-Smirnov and chi-squared tests as scipy has them, nothing else."""
    from scipy.stats import chi2_contingency, ks_2samp

    for name in reference:
        if name.startswith("x"):
            ks_2samp(reference[name].to_numpy(), window[name].to_numpy())
        else:
            counts = pd.concat([reference[name].value_counts(), window[name].value_counts()], axis=1).fillna(0)
            chi2_contingency(counts.to_numpy().T)


def spent(work: Callable[[], Any]) -> float:
    start = time.process_time()
    work()
    return time.process_time() - start


def contest(named: dict[str, Callable[[], Any]], rounds: int) -> dict[str, list[float]]:
    """Processor seconds of each, taken in turn; the first round warms up and is not counted."""
    times: dict[str, list[float]] = {name: [] for name in named}
    for n in range(rounds + 1):
        for name, work in named.items():
            seconds = spent(work)
            if n:
                times[name].append(seconds)
    return times


def show(times: dict[str, list[float]], first: str) -> None:
    for name, values in times.items():
        ratios = sorted(v / b for v, b in zip(values, times[first], strict=True))
        print(
            f"| {name} | {median(values):.3f} | {median(ratios):.2f} ({ratios[0]:.2f}-{ratios[-1]:.2f}) |", flush=True
        )


def context(folder: Path, **more: Any) -> Any:
    """A case of this table; the model is never run."""
    from types import SimpleNamespace

    from xagent.case import SystemCard, load_case
    from xagent.tools import Context

    sys.path.insert(0, str(ROOT / "tests"))
    from bare_case import bare_case

    row = pd.read_csv(folder / "reference.csv", nrows=1).to_dict("records")[0]
    case = bare_case({"kind": "tabular", "values": row})
    case["reference"] = {"path": "reference.csv", "name": "the reference"}
    case["window"] = {"path": "window.csv"}
    (folder / "case.json").write_text(json.dumps(case))
    card = SystemCard.model_validate({"schema": "xagent.system/1", "name": "benchmark", "features": {}})
    return Context(case=load_case(folder / "case.json"), card=card, subject=SimpleNamespace(), **more)


def ours(folder: Path, reference: pd.DataFrame, window: pd.DataFrame, rounds: int) -> None:
    from xagent.tools import _population as population
    from xagent.tools._confidence_cache import forget
    from xagent.tools.deviation import Deviation
    from xagent.tools.drift import Drift

    read = population.read_table
    frames = {"reference": reference, "window": window}
    ctx = context(folder)
    assert Drift().run(ctx).drifted == DRIFTED

    def in_memory() -> None:
        population.read_table = lambda path, field: frames[field]
        Drift().run(ctx)
        population.read_table = read

    def from_files() -> None:
        bare(pd.read_csv(folder / "reference.csv"), pd.read_csv(folder / "window.csv"))

    print("| window against reference | CPU s, median | ratio to the bare tests |\n| --- | ---: | ---: |")
    named = {"scipy KS and chi-squared": lambda: bare(reference, window), "tool `drift`, tables in memory": in_memory}
    show(contest(named, rounds), "scipy KS and chi-squared")
    named = {
        "pandas reads two CSV files, scipy KS and chi-squared": from_files,
        "tool `drift` on the two files": lambda: Drift().run(ctx),
    }
    show(contest(named, max(2, rounds // 2)), "pandas reads two CSV files, scipy KS and chi-squared")

    print("\n| one case against the reference | CPU s, median |\n| --- | ---: |")
    kept = context(folder, cache=folder / "kept")
    print(f"| profile made | {spent(lambda: Deviation().run(kept)):.3f} |")
    again = [spent(lambda: Deviation().run(kept)) for _ in range(rounds)]
    print(f"| kept in memory | {median(again):.3f} |")
    disk = []
    for _ in range(rounds):
        forget()
        disk.append(spent(lambda: Deviation().run(kept)))
    print(f"| kept in a folder, read anew | {median(disk):.3f} |")


def peer(reference: pd.DataFrame, window: pd.DataFrame, rounds: int) -> None:
    """What is installed here of the peers; run by the peer's own Python."""
    named: dict[str, Callable[[], Any]] = {"scipy KS and chi-squared": lambda: bare(reference, window)}
    try:
        from evidently import Report
        from evidently.presets import DataDriftPreset

        version = importlib.metadata.version("evidently")
        tests = {"num_method": "ks", "cat_method": "chisquare"}
        named[f"evidently {version}, KS and chi-squared"] = lambda: Report([DataDriftPreset(**tests)]).run(
            window, reference
        )
        named[f"evidently {version}, default preset"] = lambda: Report([DataDriftPreset()]).run(window, reference)
    except ImportError as error:
        print(f"evidently does not import here: {error}", file=sys.stderr)
    try:
        import nannyml

        columns = list(reference)
        methods = {"continuous_methods": ["kolmogorov_smirnov"], "categorical_methods": ["chi2"]}

        def run() -> None:
            found = nannyml.UnivariateDriftCalculator(column_names=columns, chunk_size=len(window), **methods)
            found.fit(reference).calculate(window)

        named[f"nannyml {nannyml.__version__}, KS and chi-squared"] = run
    except ImportError as error:
        print(f"nannyml does not import here: {error}", file=sys.stderr)
    show(contest(named, rounds), "scipy KS and chi-squared")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--rows", type=int, default=100_000)
    parser.add_argument("--peer", type=Path, action="append", default=[])
    parser.add_argument("--as-peer", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    reference, window = table(options.rows, 0, 0.0), table(options.rows // 10, 1, 0.5)
    if options.as_peer:
        peer(reference, window, max(1, options.rounds // 2))
        return
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        reference.to_csv(folder / "reference.csv", index=False)
        window.to_csv(folder / "window.csv", index=False)
        ours(folder, reference, window, options.rounds)
    quiet = os.environ | {"DO_NOT_TRACK": "1", "NML_DISABLE_USAGE_LOGGING": "1"}
    for python in options.peer:
        own = [str(python), __file__, "--as-peer", "--rounds", str(options.rounds), "--rows", str(options.rows)]
        print(
            f"\n| {python.parent.parent.name}, in its own environment | CPU s, median | ratio |\n| --- | ---: | ---: |"
        )
        sys.stdout.flush()
        subprocess.run(own, check=False, env=quiet)


if __name__ == "__main__":
    main()
