"""V2: fourteen classes of lies and honest paraphrases, against the verifier, `verify_text` and naive number matching.

    .venv/bin/python -m benchmarks.narratives.mutations [--small] [--seed 0] [--language en]

`verify_text` and the naive check read English alone: of another language the verifier of tokens is measured.
"""

from __future__ import annotations

import argparse
import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field

from benchmarks.narratives._ledgers import Told, of_fixtures, of_generated
from benchmarks.narratives._mutants import CLASSES, MUST, Mutant, mutants
from benchmarks.narratives._naive import naive
from benchmarks.narratives._paraphrases import Paraphrase, paraphrases
from xagent.narrative import Statement, verify, verify_text

DETECTORS = (
    "verifier",
    "verify_text, contradicted",
    "verify_text, not supported",
    "numbers within 10 %",
    "numbers within 25 %",
)


@dataclass
class Matrix:
    """Found and made, by class and detector; false alarms by detector; what went wrong, for reading."""

    made: Counter[int] = field(default_factory=Counter)
    found: dict[str, Counter[int]] = field(default_factory=lambda: {name: Counter() for name in DETECTORS})
    honest: Counter[str] = field(default_factory=Counter)
    alarms: dict[str, Counter[str]] = field(default_factory=lambda: {name: Counter() for name in DETECTORS})
    missed: list[str] = field(default_factory=list)
    false: list[str] = field(default_factory=list)


def measure(tolds: Sequence[Told], seed: int, each: int, honest: int) -> Matrix:
    """Every detector on `each` mutants a class and `honest` paraphrases a rule of every narrative."""
    matrix, rng = Matrix(), random.Random(seed)
    for told in tolds:
        problems = verify(told.narrative, told.ledger, told.persona, told.findings)
        if problems:
            raise AssertionError(f"{told.name} for {told.persona.name} does not verify: {problems[0].message}")
        for mutant in mutants(told, rng, each):
            _count_mutant(matrix, mutant)
        for paraphrase in paraphrases(told, rng, honest):
            _count_honest(matrix, paraphrase)
    return matrix


def _count_mutant(matrix: Matrix, mutant: Mutant) -> None:
    told = mutant.told
    matrix.made[mutant.kind] += 1
    caught = bool(verify(told.narrative, told.ledger, told.persona, told.findings))
    if told.persona.language != "en":
        matrix.found["verifier"][mutant.kind] += caught
        if not caught:
            matrix.missed.append(f"{CLASSES[mutant.kind - 1]} [{told.name}, {told.persona.name}]: {mutant.text[:300]}")
        return
    statements = _statements(mutant.text, told, whole=mutant.sentence is None)
    verdicts = (
        caught, any(s.status == "contradicted" for s in statements), any(s.status != "supported" for s in statements),
        naive(mutant.text, told.ledger, 0.10), naive(mutant.text, told.ledger, 0.25),
    )  # fmt: skip
    for name, verdict in zip(DETECTORS, verdicts, strict=True):
        matrix.found[name][mutant.kind] += verdict
    if not caught:
        matrix.missed.append(f"{CLASSES[mutant.kind - 1]} [{told.name}, {told.persona.name}]: {mutant.text[:300]}")
    if not verdicts[2]:
        matrix.missed.append(
            f"(text) {CLASSES[mutant.kind - 1]} [{told.name}, {told.persona.name}]: {mutant.text[:300]}"
        )


def _count_honest(matrix: Matrix, paraphrase: Paraphrase) -> None:
    told, level = paraphrase.told, "tokens" if paraphrase.tokens else "prose"
    matrix.honest[level] += 1
    if told.persona.language != "en":
        if problems := verify(told.narrative, told.ledger, told.persona, told.findings):
            matrix.alarms["verifier"][level] += 1
            matrix.false.append(f"{paraphrase.rule} [{told.name}]: {paraphrase.text[:200]} <- {problems[0].message}")
        return
    statements = _statements(paraphrase.text, told, whole=False)
    verdicts = (
        paraphrase.tokens and bool(verify(told.narrative, told.ledger, told.persona, told.findings)),
        any(s.status == "contradicted" for s in statements), any(s.status != "supported" for s in statements),
        naive(paraphrase.text, told.ledger, 0.10), naive(paraphrase.text, told.ledger, 0.25),
    )  # fmt: skip
    for name, verdict in zip(DETECTORS, verdicts, strict=True):
        matrix.alarms[name][level] += verdict
    if verdicts[0] or verdicts[2]:
        why = next((f"{s.kind} {s.text!r}: {s.why}" for s in statements if s.status != "supported"), "verifier")
        matrix.false.append(f"{paraphrase.rule} [{told.name}, {told.persona.name}]: {paraphrase.text[:200]} <- {why}")


def _statements(text: str, told: Told, *, whole: bool) -> list[Statement]:
    found = verify_text(text, told.ledger, told.persona)
    return found if whole else [s for s in found if s.kind != "omission"]


def table(matrix: Matrix, detectors: Sequence[str] = DETECTORS) -> str:
    """The matrix as Markdown."""
    lines = ["| class | mutants | " + " | ".join(detectors) + " |", "| --- | ---: |" + " ---: |" * len(detectors)]
    for number, name in enumerate(CLASSES, start=1):
        made = matrix.made[number]
        cells = [f"{100 * matrix.found[d][number] / made:.1f} %" if made else "-" for d in detectors]
        lines.append(f"| {number} {name} | {made} | " + " | ".join(cells) + " |")
    total = sum(matrix.made.values())
    cells = [f"{100 * sum(matrix.found[d].values()) / total:.1f} %" for d in detectors]
    lines.append(f"| all | {total} | " + " | ".join(cells) + " |")
    for level in ("tokens", "prose"):
        n = matrix.honest[level]
        if not n:
            continue
        cells = [
            f"{100 * matrix.alarms[d][level] / n:.2f} %" if d != "verifier" or level == "tokens" else "-"
            for d in detectors
        ]
        lines.append(f"| false alarms, honest {level} | {n} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def holds(matrix: Matrix) -> bool:
    """Every lie of the first eleven classes found at token level, at most one false alarm in two hundred."""
    first = range(1, MUST + 1)
    complete = all(matrix.made[n] == matrix.found["verifier"][n] for n in first)
    return complete and matrix.alarms["verifier"]["tokens"] <= 0.005 * matrix.honest["tokens"]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--small", action="store_true", help="generated ledgers alone")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--language", default="en")
    parser.add_argument("--each", type=int, default=2, help="mutants of a class of every narrative")
    parser.add_argument("--honest", type=int, default=1, help="paraphrases of a rule of every narrative")
    parser.add_argument("--verbose", action="store_true", help="list what was missed and what was alarmed wrongly")
    options = parser.parse_args()
    seeds = range(options.seed, options.seed + (6 if options.small else 30))
    tolds = of_generated(seeds, language=options.language)
    tolds += [] if options.small else of_fixtures(options.language)
    matrix = measure(tolds, options.seed, each=options.each, honest=options.honest)
    shown = DETECTORS if options.language == "en" else DETECTORS[:1]
    print(f"{len(tolds)} narratives, seed {options.seed}\n\n{table(matrix, shown)}")
    if options.verbose:
        print("\nmissed:\n" + "\n".join(sorted(matrix.missed)) + "\n\nfalse:\n" + "\n".join(sorted(matrix.false)))
    return 0 if holds(matrix) else 1


if __name__ == "__main__":
    raise SystemExit(main())
