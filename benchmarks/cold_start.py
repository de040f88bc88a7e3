"""How long a cold `xagent explain` takes, as a ratio to merely importing the libraries it stands on.

Both commands are run as fresh processes, in turn, so that a drifting machine moves both. Run it with:
    .venv/bin/python benchmarks/cold_start.py --rounds 7
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

ROOT = Path(__file__).parent.parent
BARE = "import torch, langgraph.graph, weasyprint"


def seconds(command: list[str]) -> float:
    """Wall time of one process."""
    start = time.perf_counter()
    subprocess.run(command, check=True, capture_output=True, cwd=ROOT)
    return time.perf_counter() - start


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--case", type=Path, default=ROOT / "fixtures/diagnosis/case.json")
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        xagent = [sys.executable, "-m", "xagent.cli", "explain", "-q"]
        commands = {
            "bare imports": [sys.executable, "-c", BARE],
            "explain, JSON only": [*xagent, "-o", folder, "--format", "json", str(options.case)],
            "explain, HTML + PDF + JSON": [*xagent, "-o", folder, str(options.case)],
        }
        for command in commands.values():  # warm the disk cache for all alike
            seconds(command)
        times = {name: [] for name in commands}
        for _ in range(options.rounds):
            for name, command in commands.items():
                times[name].append(seconds(command))
    bare = times["bare imports"]
    print("| command | median s | min s | max s | median ratio to bare imports |")
    print("| --- | ---: | ---: | ---: | ---: |")
    for name, values in times.items():
        ratio = median(v / b for v, b in zip(values, bare, strict=True))
        print(f"| {name} | {median(values):.2f} | {min(values):.2f} | {max(values):.2f} | {ratio:.2f} |")


if __name__ == "__main__":
    main()
