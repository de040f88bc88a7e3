"""The ledger: every claim of a run, by id."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from xagent.evidence._claim import Claim


class Ledger(Mapping[str, Claim]):
    """Claims by id, in the order of their ids. Immutable; a second claim of the same id must be equal to the first."""

    def __init__(self, claims: Iterable[Claim] = ()) -> None:
        found: dict[str, Claim] = {}
        for claim in claims:
            if found.setdefault(claim.id, claim) != claim:
                raise ValueError(f"two different claims are called {claim.id!r}")
        self._claims = {key: found[key] for key in sorted(found)}

    def __getitem__(self, key: str) -> Claim:
        return self._claims[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._claims)

    def __len__(self) -> int:
        return len(self._claims)

    def __or__(self, other: Ledger) -> Ledger:
        return Ledger([*self.values(), *other.values()])

    def visible_to(self, persona: str) -> Ledger:
        """Only the claims that this persona may see."""
        return Ledger(c for c in self.values() if c.visibility == "all" or persona in c.visibility.split(","))

    def public(self) -> list[dict[str, Any]]:
        return [claim.public() for claim in self.values()]

    @classmethod
    def from_public(cls, claims: Iterable[Mapping[str, Any]]) -> Ledger:
        return cls(Claim.model_validate(c) for c in claims)
