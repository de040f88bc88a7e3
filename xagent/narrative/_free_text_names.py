"""Names, categories, classes, hashes, dates and subjects in a sentence."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime

from xagent.evidence import Claim
from xagent.narrative._free_text_data import Statement, StatementKind
from xagent.narrative._free_text_figures import plain
from xagent.narrative._free_text_marks import Mark, number
from xagent.narrative._free_text_scope import Line, of_feature, same_words
from xagent.narrative._lexicon import fold, lexicon


def classes(line: Line) -> Iterator[Statement]:
    """The answer is the answer, and what it is set against is the other one."""
    target, foil = line.seen.get("relevance.target"), line.seen.get("relevance.foil")
    label = line.seen.get("decision.label") or target
    for mark in line.of("class", "quote"):
        before = line.rest[max(0, mark.start - 40) : mark.start]
        if re.search(r"(?:rather than|instead of|not|as opposed to) [“\"]?$", before):
            if mark.kind == "class" and foil is not None:
                good = same_words(foil, mark.text)
                yield line.judge("category", good, mark.text, f"The other outcome is {foil.value!r}.", foil.id)
            continue
        cue = line.data.marks["answers"].search(before)
        if mark.kind == "class":
            if (
                any(m.kind == "direction" and mark.start - 6 <= m.end <= mark.start for m in line.marks)
                or label is None
            ):
                continue
            good = same_words(label, mark.text) or same_words(target, mark.text)
            yield line.judge("category", good, mark.text, f"The answer is {label.value!r}.", label.id)
        elif cue and label is not None and line.feature(mark.start) is None:
            outcome = line.seen.get("decision.outcome")
            good = same_words(outcome, mark.text)
            yield line.judge("category", good, mark.text, f"The answer is {label.value!r}.", label.id)


def categories(line: Line) -> Iterator[Statement]:
    """The value of an input that is a category, and the usual one."""
    for mark in line.of("category", "quote", "text", "class"):
        feature = line.feature(mark.start)
        before = line.rest[: mark.start]
        told = line.inherited is not None or any(m.end <= mark.start for m in line.of("feature"))
        if feature is None or not told:
            continue
        if any(m.kind == "direction" and 0 <= mark.start - m.end <= 2 for m in line.marks):
            continue
        if mark.kind in ("text", "class") and not line.data.marks["valued"].search(before[-14:]):
            continue
        value, typical = (of_feature(line.seen, feature, end) for end in ("value", "typical"))
        usual = line.data.marks["usual"].search(before[-16:])
        claim = typical if usual else value
        if claim is None or (number(claim) and mark.kind != "category"):
            continue
        if mark.kind == "quote" and not (usual or line.data.marks["valued"].search(before[-22:])):
            continue
        good = same_words(claim, mark.text)
        yield _valued(line, good, mark.text, claim)
    yield from _unquoted(line)


def _unquoted(line: Line) -> Iterator[Statement]:
    known = {
        fold(plain(str(c.value)))
        for c in line.seen.values()
        if c.kind == "category" and c.id.endswith((".value", ".typical"))
    }
    for mark in line.of("feature"):
        match = re.match(r"(?: (?:is|was|of|being)|:| =) (?:the |an? )?([A-Za-z][\w -]*)", line.rest[mark.end :])
        claim = of_feature(line.seen, mark.key, "value")
        word = fold(match[1]) if match else ""
        if claim is not None and not number(claim) and word in known:
            good = same_words(claim, word)
            yield _valued(line, good, word, claim)
    for match in re.finditer(
        r"\b(?:recorded value is|value is|value(?! is)|recorded as) (?=[A-Za-z])([^,;.()]{1,60})", line.rest
    ):
        feature = line.feature(match.start())
        claim = of_feature(line.seen, feature, "value") if feature else None
        words = re.split(r"\b(?:which|that|and|while|the same|different|above|below|in line)\b", match[1])[0].strip()
        if claim is None or number(claim) or not words or "\x1f" in words:
            continue
        good = fold(plain(str(claim.value))) == fold(words)
        yield _valued(line, good, words, claim)


def _valued(line: Line, good: bool, words: str, claim: Claim) -> Statement:
    return line.judge("category", good, words, f"{claim.id} is {claim.value!r}.", claim.id)


def identities(line: Line) -> Iterator[Statement]:
    """Hashes, versions, dates and pseudonyms: those of this case, or of somebody else."""
    for mark in line.of("text"):
        yield line.say("name", "supported", mark.text, f"{mark.key} says so.", mark.key)
    for mark in line.of("hash"):
        known = [c for c in line.seen.values() if isinstance(c.value, str) and c.value.startswith(mark.text)]
        yield _one_of(line, "hash", mark, known, line.seen.get("model.sha256"))
    for mark in line.of("version"):
        known = [c for c in line.seen.values() if isinstance(c.value, str) and c.value == mark.text]
        yield _one_of(line, "name", mark, known, line.seen.get("model.version"))
    for mark in line.of("time"):
        times = [c for c in line.seen.values() if c.kind == "time"]
        yield _one_of(line, "time", mark, [c for c in times if _same_time(mark.text, c)], times[0] if times else None)
    for mark in line.of("entity"):
        own = [line.seen[k] for k in ("case.subject", "case.id") if k in line.seen]
        known = [c for c in line.seen.values() if isinstance(c.value, str) and fold(mark.text) in fold(plain(c.value))]
        subject = line.data.marks["subject"].search(line.rest[max(0, mark.start - 20) : mark.start])
        alike = next((c for c in own if _stem(str(c.value)) == _stem(mark.text)), None)
        yield _one_of(line, "subject", mark, known, alike or (own[0] if subject and own else None))


def _stem(word: str) -> str:
    match = re.match(r"[^\W\d]+(?=[-_\d])", word)
    return match[0].casefold() if match else word.casefold()


def _one_of(line: Line, kind: StatementKind, mark: Mark, known: list[Claim], other: Claim | None) -> Statement:
    if known:
        return line.say(kind, "supported", mark.text, f"{known[0].id} says so.", known[0].id)
    if other is not None:
        return line.say(kind, "contradicted", mark.text, f"{other.id} is {other.value!r}.", other.id)
    return line.say(kind, "unverifiable", mark.text, "No claim is about this.")


def _same_time(text: str, claim: Claim) -> bool:
    try:
        moment = datetime.fromisoformat(str(claim.value))
    except ValueError:
        return False
    moment = moment.astimezone(UTC) if moment.tzinfo else moment
    months = [m.casefold() for m in lexicon().format.months]
    clock = re.search(r"(\d\d):(\d\d)", text)
    if clock and (int(clock[1]), int(clock[2])) != (moment.hour, moment.minute):
        return False
    if match := re.match(r"(\d{1,2})(?:st|nd|rd|th)? (\w+) (\d{4})", text):
        return (int(match[1]), months.index(match[2].casefold()) + 1, int(match[3])) == (
            moment.day,
            moment.month,
            moment.year,
        )
    if match := re.match(r"(\w+) (\d{1,2}), (\d{4})", text):
        return (int(match[2]), months.index(match[1].casefold()) + 1, int(match[3])) == (
            moment.day,
            moment.month,
            moment.year,
        )
    return text[:10] == f"{moment:%Y-%m-%d}"
