"""Figures of a sentence against the claims that they can be, by the words beside them."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fractions import Fraction

from xagent.evidence import Claim
from xagent.narrative._free_text_data import Statement
from xagent.narrative._free_text_figures import Figure, plain
from xagent.narrative._free_text_marks import Mark, number
from xagent.narrative._free_text_scope import Line, matching
from xagent.narrative._lexicon import fold

_OF = re.compile(r"[”\"]?[\s(:=,]*(?:of|at|is|was|being|equals)?[\s(:=]*")
_SIGNED = ("effect", "compare", "drift")


def figures_of(line: Line) -> Iterator[Statement]:
    """One statement for each figure."""
    stems: set[str] = set()
    for mark in line.of("figure"):
        if mark.start in line.used:
            continue
        assert mark.figure is not None
        feature = line.feature(mark.start)
        cue, patterns = _cue(line, mark)
        if _before_limit(line, mark):
            cue, patterns = "margin", ("decision.margin",)
        if mark.figure.unit == "odds" and feature is not None:
            cue, patterns = "effect", line.data.cues["effect"]
        found = matching(line.seen, patterns, feature) if patterns else _any_of(line, feature)
        found = _narrowed(found, line, mark, stems)
        statement, hit = _judged(line, mark, mark.figure, found, cue)
        if hit is not None:
            stems.add(hit.id.rpartition(".")[0])
        yield statement


def _cue(line: Line, mark: Mark) -> tuple[str, tuple[str, ...]]:
    """The nearest words before the figure that say what it is, or else the first after it, up to the next figure."""
    names = [m for m in line.of("feature") if m.end <= mark.start]
    if (
        names
        and _OF.fullmatch(line.rest[names[-1].end : mark.start])
        and "weight" not in line.rest[mark.end : mark.end + 20]
    ):
        return "value", line.data.cues["value"]
    others = [m for m in line.of("figure") if m.start != mark.start]
    left = max((m.end for m in others if m.end <= mark.start), default=0)
    right = min((m.start for m in others if m.start >= mark.end), default=len(line.rest))
    before = list(line.data.cue.finditer(line.rest, left, mark.start))
    before = [m for m in before if fold(m[0]) not in line.data.weak] or before
    after = line.data.cue.search(line.rest, mark.end, min(right, mark.end + 60))
    if before and fold(before[-1][0]) in line.data.weak and after and fold(after[0]) not in line.data.weak:
        before = []
    close = after and not line.rest[mark.end : after.start()].strip(" )")
    match = after if close and after and after[0].startswith("of ") else before[-1] if before else after
    if match is None:
        return "", ()
    word = fold(match[0])
    return word, line.data.cues[word]


def _before_limit(line: Line, mark: Mark) -> bool:
    """Whether the figure is a distance: `45 points above the limit`."""
    after = line.rest[mark.end : mark.end + 40].lstrip()
    match = line.data.marks["comparison"].match(after)
    return bool(match and re.match(r" (?:the |its |this )?", after[match.end() :]) and line.data.marks["limits"].match(
        re.sub(r"^ (?:the |its |this )?", "", after[match.end() :])
    ))  # fmt: skip


def _any_of(line: Line, feature: str | None) -> list[Claim]:
    if feature is None:
        return []
    return [claim for claim in line.seen.values() if claim.feature == feature and number(claim)]


def _narrowed(found: list[Claim], line: Line, mark: Mark, stems: set[str]) -> list[Claim]:
    """Among claims of several things, those of the thing that the sentence already speaks of."""
    kin = [claim for claim in found if claim.id.rpartition(".")[0] in stems]
    if kin:
        return kin
    sides = {line.data.meaning[m.key] for m in line.of("direction") if m.start < mark.start}
    if len(sides) == 1:
        side = sides.pop()
        one = [claim for claim in found if claim.id.startswith(f"relevance.{side}.")]
        return one or found
    return found


def _judged(line: Line, mark: Mark, figure: Figure, found: list[Claim], cue: str) -> tuple[Statement, Claim | None]:
    kind = "threshold" if found and all(claim.kind == "threshold" for claim in found) else "value"
    if not found:
        return line.say(kind, "unverifiable", mark.text, "No claim says what this figure is."), None  # type: ignore[arg-type]
    units: list[Claim] = []
    for claim in found:
        wanted = _as(figure, claim, line) if number(claim) else None
        if wanted is None:
            continue
        units.append(claim)
        free = claim.kind in _SIGNED or claim.scale in ("points", "logit")
        if figure.close(wanted, unsigned=free):
            return line.say(kind, "supported", mark.text, f"{claim.id} is {_shown(claim)}.", claim.id), claim  # type: ignore[arg-type]
    first = (units or found)[0]
    why = f"{first.id} is {_shown(first)}." if units else f"{first.id} is {_shown(first)}: another unit or scale."
    ids = tuple(claim.id for claim in (units or found)[:4])
    return line.say(kind, "contradicted", mark.text, why, *ids), first if len(found) == 1 else None  # type: ignore[arg-type]


def _as(figure: Figure, claim: Claim, line: Line) -> Fraction | None:
    """The claim's number in the unit of the figure; None when the figure's unit cannot be the claim's."""
    value = Fraction(repr(claim.value))
    unit, share = plain(claim.unit or ""), claim.scale in ("probability", "share") or claim.kind == "share"
    times = line.data.raw["number"]["time"]
    if figure.unit == "points":
        return value * 100 if claim.scale == "points" else None
    if figure.unit == "percent":
        if share:
            return value * 100
        rest = fold(unit.removeprefix("%").strip()).removeprefix("of ")
        fits = unit.startswith("%") and (not rest or not figure.of or figure.of == rest.split()[0])
        return value if fits else None
    if figure.unit == "fraction":
        return value if share else None
    if figure.unit == "odds":
        return value if claim.scale == "logit" else None
    if figure.seconds and (claim.scale == "seconds" or unit.casefold() in times):
        return value * (1 if claim.scale == "seconds" else times[unit.casefold()]) / figure.seconds
    if not figure.unit:
        return value
    return value if unit.casefold() == figure.unit.casefold() else None


def _shown(claim: Claim) -> str:
    value = f"{claim.value:.6g}" if isinstance(claim.value, float) else str(claim.value)
    unit = f" {claim.unit}" if claim.unit else ""
    scale = f" ({claim.scale})" if claim.scale not in ("none", "raw") else ""
    return value + unit + scale
