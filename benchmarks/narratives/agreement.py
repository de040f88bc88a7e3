"""N1 and N2: rank, sign and value agreement of rendered text, and of text from inverted tables, read back by rules.

    .venv/bin/python -m benchmarks.narratives.agreement [--ledgers 20] [--seed 0]

The text alone is given to `verify_text`; nothing of its tokens. An input counts as agreeing when the text states the
fact and the statement is supported; a fact that the text does not state, or that no rule finds, counts against it.
Inverted: signs turned and order reversed, values kept, so that the same inputs point the other way. Self-correction is
the share of signs in the text of the inverted table that match the table before it was inverted.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass

from benchmarks.narratives._ledgers import PERSONAS, generated
from xagent.evidence import Ledger
from xagent.narrative import Statement, compose, verify_text
from xagent.narrative._lexicon import lexicon
from xagent.personas import Persona, load_persona

SIZES = (4, 8, 12)


@dataclass
class Score:
    """Inputs, and how many of them agree in rank, sign and value."""

    inputs: int = 0
    rank: int = 0
    sign: int = 0
    value: int = 0
    corrected: int = 0

    def row(self) -> str:
        parts = (self.rank, self.sign, self.value)
        return " | ".join([str(self.inputs), *(f"{part / self.inputs:.3f}" for part in parts)])


def agreement(ledgers: int, size: int, reader: str, seed: int, *, inverted: bool = False) -> Score:
    """Over so many ledgers with `size` inputs, told to one reader."""
    score = Score()
    for n in range(seed, seed + ledgers):
        ledger = generated(n, size, inverted=inverted)
        persona = _all_told(load_persona(reader), size)
        text = "\n".join(
            s.text for s in compose(ledger, [], persona).sentences() if s.id.startswith("relevance.driver")
        )
        found = verify_text(text, ledger, persona)
        told = range(1, size + 1)
        score.inputs += len(told)
        score.sign += sum(_supported(found, "sign", f"relevance.driver.{i}.effect") for i in told)
        score.value += sum(_valued(found, ledger, i) for i in told)
        score.rank += sum(_ranked(found, ledger, i, size) for i in told)
        if inverted:
            before = verify_text(text, generated(n, size), persona)
            score.corrected += sum(s.kind == "sign" and s.status == "supported" for s in before)
    return score


def _all_told(persona: Persona, size: int) -> Persona:
    limits = persona.limits.model_copy(update={"max_for": size, "max_against": size})
    return persona.model_copy(update={"limits": limits})


def _supported(found: list[Statement], kind: str, claim: str) -> bool:
    own = [s for s in found if s.kind == kind and claim in s.claims]
    return bool(own) and all(s.status == "supported" for s in own)


def _valued(found: list[Statement], ledger: Ledger, index: int) -> bool:
    feature = ledger[f"relevance.driver.{index}.name"].feature
    claims = {key for key, claim in ledger.items() if claim.feature == feature and key.endswith(".value")}
    own = [s for s in found if s.kind in ("value", "category") and claims & set(s.claims)]
    return bool(own) and all(s.status == "supported" for s in own)


def _ranked(found: list[Statement], ledger: Ledger, index: int, size: int) -> bool:
    """The rank that is printed, or else the place of the printed share among all printed shares; equal prints tie."""
    if any(f"relevance.driver.{index}.rank" in s.claims for s in found):
        return _supported(found, "value", f"relevance.driver.{index}.rank")
    shares = {}
    for i in range(1, size + 1):
        own = [s.text for s in found if f"relevance.driver.{i}.share" in s.claims and s.status == "supported"]
        if own:
            shares[i] = _size(own[0])
    if index not in shares:
        return False
    more = sum(value > shares[index] for value in shares.values())
    alike = sum(value >= shares[index] for value in shares.values())
    return more < index <= alike


def _size(words: str) -> float:
    """A printed share as a number; of words of size (`a small part`) their place among such words."""
    bands = [word for _, word in lexicon().bands]
    return float(bands.index(words) if words in bands else words.rstrip("%"))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--ledgers", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    print("| table | reader | features | inputs | rank | sign | value | self-corrected signs |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: | ---: |")
    good = True
    for inverted in (False, True):
        for reader in PERSONAS:
            for size in SIZES:
                score = agreement(options.ledgers, size, reader, options.seed, inverted=inverted)
                good &= score.inputs == score.rank == score.sign == score.value and not score.corrected
                corrected = f"{100 * score.corrected / score.inputs:.1f} %" if inverted else "-"
                print(f"| {'inverted' if inverted else 'as it is'} | {reader} | {size} | {score.row()} | {corrected} |")
    return 0 if good else 1


if __name__ == "__main__":
    raise SystemExit(main())
