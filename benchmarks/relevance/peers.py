"""The tracing engine against its peers, as Markdown tables of ratios measured in one run.

    .venv/bin/python benchmarks/relevance/peers.py [--quick] [--only cost faithfulness signed] [--foreign FOLDER]

cost: time, memory and conservation on models with random weights (`peers_cost.py`). faithfulness: LeRF - MoRF on the
fixtures' models (`faithfulness.py`). signed: words with known signed contributions (`signed.py`). --foreign: a folder
made by `peers_env.sh`; every peer in it is run on the same models and inputs in its own environment
(`peers_exchange.py`). --quick: small models and few samples, to see that all of it runs; its figures mean nothing.
"""

from __future__ import annotations

import argparse
import os
import platform
import time
from importlib.metadata import version
from pathlib import Path

os.environ.setdefault("KINETO_LOG_LEVEL", "99")  # the memory profiler reports every start and stop otherwise

import faithfulness
import peers_cost
import peers_models
import signed
import torch

SEED = 0


def cost(quick: bool, rounds: int, only: list[str], names: list[str] | None) -> None:
    """One table a model."""
    small = {
        "bert": (1, 64, 8), "llama": (1, 64, 8), "resnet": (16, 4), "vit": (1, 64, 16), "mlp": (6, 8),
    }  # fmt: skip
    for make in peers_models.MODELS:
        if only and make.__name__ not in only:
            continue
        torch.manual_seed(SEED)
        model = make(*small[make.__name__]) if quick else make()  # type: ignore[operator]
        print("\n" + peers_cost.table(model, 1 if quick else rounds, names), flush=True)


def main(arguments: list[str] | None = None) -> None:
    """Print what was asked for."""
    parser = argparse.ArgumentParser(description="The tracing engine against its peers.")
    parser.add_argument("--quick", action="store_true", help="see that it runs; the figures mean nothing")
    parser.add_argument("--only", nargs="*", default=["cost", "faithfulness", "signed"])
    parser.add_argument("--models", nargs="*", default=[], help="bert llama resnet vit mlp")
    parser.add_argument("--tasks", nargs="*", default=[], help="triage digits diagnosis credit answer")
    parser.add_argument("--methods", nargs="*", help="by their names in the tables; all if left out")
    parser.add_argument("--samples", type=int, default=128)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--foreign", type=Path, help="folder made by peers_env.sh")
    asked = parser.parse_args(arguments)
    torch.set_num_threads(asked.threads)
    samples = 4 if asked.quick else asked.samples
    began = time.time()
    libraries = ", ".join(f"{name} {version(name)}" for name in ("torch", "transformers", "captum", "shap"))
    cores = f"{os.cpu_count()} CPU cores, no GPU used, {asked.threads} thread"
    print(f"Python {platform.python_version()}, {libraries}; {cores}; seeds {SEED}, 101 (samples), 5 (signed)")
    if "cost" in asked.only:
        cost(asked.quick, asked.rounds, asked.models, asked.methods)
    if "faithfulness" in asked.only:
        faithfulness.main(samples, asked.methods, asked.tasks)
    if "signed" in asked.only:
        signed.main(samples, 10 if asked.quick else signed.STEPS, asked.methods)
    if asked.foreign:
        import peers_exchange

        peers_exchange.main(asked.foreign, samples, asked.quick)
    print(f"\n{time.time() - began:.0f} s")


if __name__ == "__main__":
    main()
