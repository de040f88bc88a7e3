"""Words of a sentence that state something: for and against, order, comparison, population, cause, certainty."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from xagent.evidence import Claim
from xagent.narrative._free_text_data import Statement
from xagent.narrative._free_text_figures import plain
from xagent.narrative._free_text_marks import MASK, Mark, number
from xagent.narrative._free_text_scope import Line, drivers, of_feature, same_words, side_of
from xagent.narrative._lexicon import any_of, fold, lexicon

_OUTCOMES = {"same": "equal", "equal": "equal", "above": "above", "below": "below", "different": "different"}


def directions(line: Line) -> Iterator[Statement]:
    """For and against: of the explained outcome, or turned round when the other outcome is named."""
    registered = [match.span() for match in _registered().finditer(line.text)]
    for mark in line.of("direction"):
        if any(start <= mark.start < end for start, end in registered):
            continue
        after = [m for m in line.marks if m.start >= mark.end]
        if _is_comparison(line, mark) or (mark.key.endswith("away from") and not (after and after[0].kind == "class")):
            continue
        start, end = line.clause(mark.start)
        stranger = _stranger(line, start, mark)
        feature = line.feature(mark.start)
        if stranger and not any(m.kind == "feature" and start <= m.start < end for m in line.marks):
            yield _unknown_name(line, stranger)
            continue
        if feature is None:
            continue
        effect = of_feature(line.seen, feature, "effect")
        if effect is None:
            yield line.say("sign", "unverifiable", mark.text, "No claim says which way this input points.")
            continue
        wanted = {"for": 1, "against": -1}[line.data.meaning[mark.key]] * _towards(line, mark)
        denied = _denied(line, mark, start)
        holds = (side_of(effect) == wanted) != denied
        way = {1: "towards it", -1: "against it", 0: "neither way"}[side_of(effect)]
        yield line.judge("sign", holds, mark.text, f"{effect.id} points {way}.", effect.id)


def _is_comparison(line: Line, mark: Mark) -> bool:
    return any(m.start <= mark.start < m.end for m in line.of("comparison"))


def _denied(line: Line, mark: Mark, start: int) -> bool:
    near = [m for m in line.of("negation") if start <= m.start < mark.start]
    return bool(near) and len(line.rest[near[-1].end : mark.start].split()) <= 3


def _towards(line: Line, mark: Mark) -> int:
    """-1 when the words are about the outcome that is not explained."""
    after = [m for m in line.marks if m.start >= mark.end and m.kind in ("class", "direction", "feature")]
    if not after or after[0].kind != "class":
        return 1
    target, foil = line.seen.get("relevance.target"), line.seen.get("relevance.foil")
    if same_words(foil, after[0].text) and not same_words(target, after[0].text):
        return -1
    return 1


def _stranger(line: Line, start: int, mark: Mark) -> str:
    """Words before a word of direction that name something the ledger does not know."""
    quotes = [m for m in line.of("quote") if start <= m.start < mark.start]
    if quotes:
        return quotes[-1].text
    before = line.rest[start : mark.start]
    for figure in line.of("figure"):
        if start <= figure.start and figure.end <= mark.start:
            before = before.replace(figure.text, " ")
    known = lexicon().vocabulary | line.data.pronouns
    words = [w for w in re.findall(r"[A-Za-z][\w'-]*", before.replace(MASK, " ")) if fold(w) not in known]
    words = [w for w in words if not line.data.hedge.fullmatch(w) and not line.data.marks["negation"].fullmatch(w)]
    if MASK in before or len(words) == 0 or line.data.marks["order"].search(before):
        return ""
    return " ".join(words)


def _unknown_name(line: Line, words: str) -> Statement:
    count = line.seen.get("relevance.features.count")
    all_named = count is not None and number(count) and len(list(drivers(line.seen))) == count.value
    return line.say(
        "name", "contradicted" if all_named else "unverifiable", words, "The ledger has no input of that name."
    )


def orders(line: Line) -> Iterator[Statement]:
    """Largest, second, least: against the ranks, or the ranks of one side when it is named."""
    table = list(drivers(line.seen))
    ranks = {feature: rank for rank, feature, _ in table}
    ordinal = "|".join(line.data.raw["number"]["ordinals"].split())
    for mark in line.of("order"):
        feature, meaning = line.feature(mark.start), line.data.meaning[mark.key]
        start, end = line.clause(mark.start)
        if feature is None or feature not in ranks or re.match(r" of\b", line.rest[mark.end :]):
            continue
        if meaning in ("next", "more"):
            yield from _pairs(line, mark, ranks)
            continue
        sides = {line.data.meaning[m.key] for m in line.of("direction") if start <= m.start < end}
        side = {"for": 1, "against": -1}[sides.pop()] if len(sides) == 1 else 0
        own = [f for _, f, s in table if not side or s == side]
        if feature not in own:
            own = [f for _, f, _ in table]
        place = own.index(feature) + 1
        before = re.search(rf"\b(?:({ordinal})|([0-9]+)(?:st|nd|rd|th))[ -]$", line.rest[: mark.start], re.IGNORECASE)
        wanted = 1 if meaning == "first" else len(own)
        if before:
            wanted = int(before[2]) if before[2] else _nth(line, before[1])
        good = place == wanted or (ranks[feature] == wanted and meaning == "first")
        why = f"{feature} has rank {ranks[feature]}."
        yield line.judge("order", good, mark.text, why, _rank_id(line, feature))
    pattern = rf"\brank(?:s|ed)?(?: as)? (?:({ordinal})|([0-9]+)(?:st|nd|rd|th))\b|\bin ({ordinal}) place\b"
    for match in re.finditer(pattern, line.rest, re.IGNORECASE):
        feature = line.feature(match.start())
        if feature in ranks:
            line.used |= {m.start for m in line.of("figure") if match.start() <= m.start < match.end()}
            wanted = int(match[2]) if match[2] else _nth(line, match[1] or match[3])
            good = ranks[feature] == wanted
            why = f"{feature} has rank {ranks[feature]}."
            yield line.judge("order", good, match[0], why, _rank_id(line, feature))


def _nth(line: Line, word: str) -> int:
    words: list[str] = line.data.raw["number"]["ordinals"].split()
    return words.index(word.casefold()) + 1


def _rank_id(line: Line, feature: str) -> str:
    claim = of_feature(line.seen, feature, "rank")
    return claim.id if claim else ""


def _pairs(line: Line, mark: Mark, ranks: dict[str, int]) -> Iterator[Statement]:
    before = [m.key for m in line.of("feature") if m.end <= mark.start and m.key in ranks]
    after = [m.key for m in line.of("feature") if m.start >= mark.end and m.key in ranks]
    if before and after:
        good = ranks[before[-1]] < ranks[after[0]]
        why = f"Their ranks are {ranks[before[-1]]} and {ranks[after[0]]}."
        ids = (_rank_id(line, before[-1]), _rank_id(line, after[0]))
        yield line.judge("order", good, mark.text, why, *ids)


def comparisons(line: Line) -> Iterator[Statement]:
    """Above, below, equal: of a value and the usual one, of the score and the limit, of an age and what is allowed."""
    for mark in line.of("comparison"):
        meaning = line.data.meaning[mark.key]
        found = _compared(line, mark)
        if found is None:
            continue
        claim, outcome = found
        if meaning == "different" and outcome in ("above", "below"):
            outcome = "different"
        good = outcome == meaning
        kind = "threshold" if claim.id == "decision.margin" else "comparison"
        why = f"{claim.id} comes out {outcome!r}."
        yield line.judge(kind, good, mark.text, why, claim.id)  # type: ignore[arg-type]


def _compared(line: Line, mark: Mark) -> tuple[Claim, str] | None:
    after = line.rest[mark.end : mark.end + 45]
    following = [m for m in line.of("figure") if mark.end <= m.start <= mark.end + 12]
    limit, usual = (line.data.marks[kind].search(after) for kind in ("limits", "usual"))
    feature = line.feature(mark.start)
    if re.search(r"\ballowed\b", after) and feature:
        age, allowed = (
            next(
                (
                    c
                    for k, c in line.seen.items()
                    if fnmatchcase(k, f"telemetry.feature.*.{end}") and c.feature == feature
                ),
                None,
            )
            for end in ("age", "limit")
        )
        if age is not None and allowed is not None and number(age) and number(allowed):
            return age, _against(float(age.value or 0), float(allowed.value or 0))
    if limit and (not usual or limit.start() < usual.start()) and not following:
        margin = line.seen.get("decision.margin")
        return None if margin is None else (margin, ("equal", "above", "below")[side_of(margin)])
    if limit and following and limit.start() > 0:
        margin = line.seen.get("decision.margin")
        return None if margin is None else (margin, ("equal", "above", "below")[side_of(margin)])
    if feature is None or not (usual or following or _population_after(line, mark)):
        return None
    compare = of_feature(line.seen, feature, "compare")
    return None if compare is None else (compare, _OUTCOMES.get(str(compare.value), "unknown"))


def _against(a: float, b: float) -> str:
    return "above" if a > b else "below" if a < b else "equal"


def _population_after(line: Line, mark: Mark) -> bool:
    return any(m.kind == "population" and mark.end <= m.start <= mark.end + 30 for m in line.marks)


def populations(line: Line) -> Iterator[Statement]:
    """Who a value is compared with must be who it was compared with."""
    for match in line.data.marks["population"].finditer(line.rest):
        feature = line.feature(match.start())
        compare = feature and (of_feature(line.seen, feature, "compare") or of_feature(line.seen, feature, "typical"))
        known = [m for m in line.of("population") if match.end() <= m.start <= match.end() + 12]
        if known:
            claim = line.seen[known[0].key]
            wanted = compare.baseline if compare else None
            if wanted is None:
                continue
            good = fold(plain(wanted)) == fold(plain(str(claim.value)))
            yield line.judge(
                "population", good, known[0].text,
                f"It was compared with {wanted!r}.", claim.id,
            )  # fmt: skip
        elif compare and compare.baseline and line.data.marks["usual"].search(line.rest[: match.start()]):
            words = re.match(r"[^,;.()]{0,60}", line.rest[match.end() :])
            other = (words[0] if words else "").replace(MASK, "").strip()
            if other and not line.data.generic.match(other):
                why = f"It was compared with {compare.baseline!r}."
                yield line.say("population", "contradicted", other, why, compare.id)


def states(line: Line) -> Iterator[Statement]:
    """Phrases that hold while a claim has a certain value: those of the verifier's own data, and looser ones."""
    own, rest = lexicon(), line.text
    for match in list(_registered().finditer(plain(rest))):
        rules = own.states.get(fold(match[0])) or own.states.get(fold(match[0]).replace("'", "’"))
        if rules is None:  # true of every report
            continue
        feature = line.feature(min(match.start(), len(line.rest)))
        keys = [k for rule in rules for k in line.seen if fnmatchcase(k, rule.claim)]
        keys = (
            [k for k in keys if line.seen[k].feature == feature]
            or [k for k in keys if line.seen[k].feature is None]
            or keys
        )
        keys += [rule.claim for rule in rules if rule.absent and rule.claim not in line.seen]
        good = any(rule.backed_by(key, line.seen.get(key)) for rule in rules for key in keys)
        known = good or bool(keys)
        status = "supported" if good else "contradicted" if known else "unverifiable"
        why = "The ledger says so." if good else "The ledger says otherwise." if known else "No claim is about this."
        yield line.say("state", status, match[0], why, *keys[:4])  # type: ignore[arg-type]
        rest = rest[: match.start()] + MASK * len(match[0]) + rest[match.end() :]
    for pattern, key, values in line.data.states:
        for match in pattern.finditer(rest):
            claim = line.seen.get(key)
            status = "unverifiable" if claim is None else "supported" if str(claim.value) in values else "contradicted"
            why = "No claim is about this." if claim is None else f"{key} is {claim.value!r}."
            yield line.say("state", status, match[0], why, key)  # type: ignore[arg-type]
    for pattern, glob in line.data.said:
        for match in pattern.finditer(line.text):
            feature = line.feature(min(match.start(1), len(line.rest)))
            found = [c for k, c in line.seen.items() if fnmatchcase(k, glob) and c.feature in (feature, None)]
            good = any(fold(str(c.value)) == fold(match[1]) for c in found)
            status = "supported" if good else "contradicted" if found else "unverifiable"
            why = f"{found[0].id} is {found[0].value!r}." if found else "No claim is about this."
            yield line.say("state", status, match[0], why, *(c.id for c in found[:1]))  # type: ignore[arg-type]


def certainty(line: Line) -> Iterator[Statement]:
    """Causes, doubt and praise: nothing in a ledger measures them."""
    rest = line.rest
    for match in list(_registered().finditer(line.text)):
        rest = rest[: match.start()] + MASK * len(match[0]) + rest[match.end() :]
    for pattern, _ in line.data.said:
        for match in pattern.finditer(line.text):
            rest = rest[: match.start()] + MASK * len(match[0]) + rest[match.end() :]
    for match in line.data.causal.finditer(rest):
        yield line.say("causal", "unverifiable", match[0], "No change was tried and scored again that shows a cause.")
    for match in line.data.hedge.finditer(rest):
        yield line.say("hedge", "unverifiable", match[0], "No claim measures this.")


_REGISTERED: dict[str, re.Pattern[str]] = {}


def _registered() -> re.Pattern[str]:
    if "en" not in _REGISTERED:
        data = lexicon()
        _REGISTERED["en"] = any_of(phrase.replace("’", "'") for phrase in (*data.states, *data.standing))
    return _REGISTERED["en"]
