"""Which input each part of a sentence is about, and the claims that a statement can be compared with."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from fnmatch import fnmatchcase

from xagent.evidence import Claim, Ledger
from xagent.narrative._free_text_data import Prose, Statement, StatementKind, Status
from xagent.narrative._free_text_figures import plain
from xagent.narrative._free_text_marks import MASK, Mark
from xagent.narrative._lexicon import fold


@dataclass
class Line:
    """One sentence: its text, the text with names masked, its marks, and the input that it inherits."""

    number: int
    text: str
    rest: str
    marks: list[Mark]
    inherited: str | None
    data: Prose
    seen: Ledger
    used: set[int] = field(default_factory=set)

    def of(self, *kinds: str) -> list[Mark]:
        return [mark for mark in self.marks if mark.kind in kinds]

    def clause(self, place: int) -> tuple[int, int]:
        """Start and end of the clause around a place."""
        cuts = [match.span() for match in self.data.clauses.finditer(self.rest)]
        start = max((end for _, end in cuts if end <= place), default=0)
        return start, min((begin for begin, _ in cuts if begin >= place), default=len(self.rest))

    def feature(self, place: int) -> str | None:
        """The input that the words at a place are about: named in the clause, else before it, else just after it."""
        start, end = self.clause(place)
        named = self.of("feature")
        inside = [mark for mark in named if start <= mark.start < end]
        before = [mark for mark in inside if mark.start <= place]
        if before:
            return before[-1].key
        if inside:
            return inside[0].key
        subject = re.match(r"[\W_]*(?:(?:the|these|those|all|of|how many) )*", self.rest[start:end], re.IGNORECASE)
        if self.data.generic.match(self.rest, start + (subject.end() if subject else 0), end):
            return None
        earlier = [mark for mark in named if mark.start < start]
        if earlier:
            return earlier[-1].key
        later = [mark for mark in named if mark.start >= end]
        return self.inherited or (later[0].key if later else None)

    def say(self, kind: StatementKind, status: Status, words: str, why: str, *claims: str) -> Statement:
        text = words.replace(MASK, "").strip()
        return Statement(kind=kind, status=status, text=text, sentence=self.number, claims=claims, why=why)

    def judge(self, kind: StatementKind, good: bool, words: str, why: str, *claims: str) -> Statement:
        """A statement that some claim is about: it says what the claim says, or it does not."""
        return self.say(kind, "supported" if good else "contradicted", words, why, *claims)


def matching(seen: Ledger, patterns: tuple[str, ...], feature: str | None) -> list[Claim]:
    """Claims under patterns of ids: those of the input that is spoken of, else those of none."""
    found = [claim for key, claim in seen.items() if any(fnmatchcase(key, p) for p in patterns)]
    own = [claim for claim in found if claim.feature == feature]
    return own or [claim for claim in found if claim.feature is None]


def of_feature(seen: Ledger, feature: str, end: str) -> Claim | None:
    """The claim `relevance.driver.N.<end>` of an input."""
    for key, claim in seen.items():
        if claim.feature == feature and re.fullmatch(rf"relevance\.driver\.\d+\.{end}", key):
            return claim
    return None


def same_words(claim: Claim | None, words: str) -> bool:
    return claim is not None and fold(plain(str(claim.value))).strip(" .") == fold(words).strip(' .“”"')


def side_of(claim: Claim) -> int:
    if claim.sign is not None:
        return claim.sign
    value = claim.value if isinstance(claim.value, int | float) else 0
    return (value > 0) - (value < 0)


def drivers(seen: Ledger) -> Iterator[tuple[int, str, int]]:
    """Rank, feature and side of every driver, in the order of rank."""
    rows = []
    for key, claim in seen.items():
        if re.fullmatch(r"relevance\.driver\.\d+\.rank", key) and claim.feature and isinstance(claim.value, int):
            effect = seen.get(key.removesuffix("rank") + "effect")
            rows.append((claim.value, claim.feature, side_of(effect) if effect else 0))
    yield from sorted(rows)
