"""What all trust checks of one case of a table cost, in forwards of its model with a batch of 512 rows.

Run `python benchmarks/trust_cost.py [ROUNDS]`. Checks and forwards alternate in the same process on one thread; the
medians of their processor time are divided. Rows are counted as well: they do not depend on the machine. The coalitions
are asked anew in every round, although in a run the relevance tool has asked them already. What is computed of the
reference alone (reading, encoding, correlations, distances) is kept from round to round as it is from case to case; the
column "first" is a round that starts without it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import pandas as pd
import torch
from torch import nn

from xagent.case import Case, OutputSpec, SystemCard, load_card, load_case
from xagent.subject import Subject, load_subject
from xagent.tools import Context, run_tool
from xagent.tools._kept import forget
from xagent.tools._probed import forget_coalitions
from xagent.tools.trust import Trust

FIXTURES = Path(__file__).parent.parent / "fixtures"
BATCH, MOST = 512, 40


@dataclass(frozen=True)
class Measured:
    """Seconds of all checks, of those of the first case of a reference, and of one forward, medians over the rounds;
    model rows that the checks took."""

    name: str
    checks: float
    first: float
    forward: float
    rows: int


def wide_case(folder: Path, features: int, width: int) -> tuple[Case, Subject]:
    """A network of three layers of `width` on `features` independent columns, with a reference of 2,000 rows."""
    rng = np.random.default_rng(0)
    names = [f"f{i}" for i in range(features)]
    table = pd.DataFrame(rng.normal(size=(2000, features)), columns=names)
    folder.mkdir(parents=True, exist_ok=True)
    table.to_csv(folder / "reference.csv", index=False)
    torch.manual_seed(0)
    layers: list[nn.Module] = []
    for n in range(3):
        layers += [nn.Linear(features if n == 0 else width, width), nn.GELU()]
    module = nn.Sequential(*layers, nn.Linear(width, 2)).eval()
    spec = OutputSpec(kind="logits", classes=("no", "yes"))
    subject = Subject.from_module(module, names, spec)
    values = {name: float(v) for name, v in table.iloc[0].items()}
    data: dict[str, Any] = {
        "schema": "xagent.case/1", "id": f"wide-{width}", "subject": "nobody",
        "model": {"format": "live", "name": "wide", "version": "1", "output": spec.model_dump()},
        "input": {"kind": "tabular", "values": values},
        "prediction": {"label": "yes", "score": 0.5, "threshold": 0.5, "decided_at": "2026-01-01T00:00:00Z"},
        "reference": {"path": "reference.csv", "name": "drawn rows"},
    }  # fmt: skip
    case = Case.model_validate(data)
    case._folder = folder
    return case, subject


def measured(name: str, case: Case, subject: Subject, rounds: int) -> Measured:
    card = load_card(case) if case.system_card else SystemCard(schema="xagent.system/1", name="bench")
    ctx = Context(case=case, card=card, subject=subject)
    ctx = Context(case=case, card=card, subject=subject, found={"relevance": run_tool("relevance", ctx)})
    encoded = subject.encode(case.input)
    x = encoded.inputs[encoded.traced]
    batch = {**encoded.inputs, encoded.traced: x.expand(BATCH, *x.shape[1:]).contiguous()}
    tool, checks, firsts, forwards, rows = Trust(), [], [], [], 0

    def spent(run: Callable[[], object], times: int) -> float:
        begun = time.process_time()
        for _ in range(times):
            run()
        return (time.process_time() - begun) / times

    for number in range(rounds + 1):
        forget()
        forget_coalitions()
        first = spent(lambda: tool.run(ctx), 1)
        for _ in range(5):
            forget_coalitions()
            taken = spent(lambda: tool.run(ctx), 1)
            forward = spent(lambda: subject.logits(batch), 20)
            if number:  # the first round warms up
                checks.append(taken)
                forwards.append(forward)
        firsts += [first] if number else []
    rows = tool.run(ctx).rows
    return Measured(name, median(checks), median(firsts), median(forwards), rows)


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    found = []
    for path in ("credit/case-declined.json", "diagnosis/case.json", "scaffold/case.json"):
        case = load_case(FIXTURES / path)
        found.append(measured(path.split("/", maxsplit=1)[0], case, load_subject(case), rounds))
    import tempfile

    with tempfile.TemporaryDirectory() as folder:
        for features, width in ((12, 256), (12, 1024), (30, 1024)):
            case, subject = wide_case(Path(folder) / f"{features}-{width}", features, width)
            found.append(measured(f"{features} features, 3 layers of {width}", case, subject, rounds))
    print("| model | checks, ms | forward of 512 rows, ms | ratio | first case, ms | rows | rows / 512 |")
    print("| --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    for m in found:
        print(
            f"| {m.name} | {1e3 * m.checks:.1f} | {1e3 * m.forward:.2f} | {m.checks / m.forward:.0f} "
            f"| {1e3 * m.first:.0f} | {m.rows:,} | {m.rows / BATCH:.1f} |"
        )
    print(f"\nAim: at most {MOST}.")


if __name__ == "__main__":
    main()
