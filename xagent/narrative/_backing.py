"""Whether the ledger backs what a sentence asserts, and whether its figures stand beside the right names."""

from __future__ import annotations

import re
from collections.abc import Iterator
from fnmatch import fnmatchcase

from xagent.evidence import Claim, Ledger
from xagent.narrative._lexicon import Lexicon, fold
from xagent.narrative._model import Assertion, Sentence
from xagent.narrative._reading import FINEST

Complaint = tuple[str, str, str | None]
_OUTSIDE_ROLES = "reference.name"  # checked as the baseline of what it is compared with


def backing(
    sentence: Sentence, literal: str, places: list[int], seen: Ledger, hole: str, data: Lexicon
) -> Iterator[Complaint]:
    """Complaints (kind, message, word) about assertions, roles, features and populations of one sentence.

    literal: the frame with `hole` for each token. places: where each assertion's words start in it.
    """
    holes = [match.start() for match in re.finditer(re.escape(hole), literal)]
    claims = [seen[token.claim] for token in sentence.tokens]
    for assertion in sentence.assertions:
        reason = _unbacked(assertion, sentence, seen, data)
        if reason:
            yield assertion.kind, f"{assertion.word!r}: {reason}.", assertion.word
    yield from _bound_magnitudes(sentence, claims)
    yield from _roles(literal, hole, claims, sentence, data)
    yield from _features(sentence, claims, holes, places, seen)
    yield from _targets(sentence, seen)
    yield from _populations(sentence, claims, seen)
    yield from _units(sentence, claims)
    yield from _alike(sentence, claims)


def _unbacked(assertion: Assertion, sentence: Sentence, seen: Ledger, data: Lexicon) -> str | None:
    word = fold(assertion.word)
    if assertion.kind == "standing":
        return None if word in data.standing and not assertion.claims else "no such standing phrase is registered"
    if assertion.kind == "state":
        rules = data.states.get(word, ())
        backed = assertion.claims and all(any(r.backed_by(k, seen.get(k)) for r in rules) for k in assertion.claims)
        return None if backed else "the ledger does not say so"
    meaning = data.asserting[assertion.kind].get(word)
    if meaning is None:
        return f"it is not a word of {assertion.kind}"
    if not assertion.claims:
        return "it is bound to no claim"
    unknown = [key for key in assertion.claims if key not in seen]
    if unknown:
        return f"the ledger has no claim {unknown[0]!r}"
    found = [seen[key] for key in assertion.claims]
    if assertion.kind == "direction":
        wanted = 1 if meaning == "for" else -1
        return next((r for r in (_wrong_direction(c, wanted, seen) for c in found) if r), None)
    if assertion.kind == "order":
        return _wrong_order(found, meaning)
    if assertion.kind == "causal":
        return next((r for r in (_not_rescored(c, sentence, seen) for c in found) if r), None)
    return _wrong_comparison(found, meaning, seen)


def _wrong_direction(claim: Claim, wanted: int, seen: Ledger) -> str | None:
    side = re.match(r"relevance\.(for|against)\.", claim.id)
    if side:
        nothing = claim.kind == "count" and not claim.value  # a share may be too small for a double
        return None if (side[1] == "for") == (wanted > 0) and not nothing else f"{claim.id} is of the other side"
    if claim.kind != "effect" or isinstance(claim.value, bool) or not isinstance(claim.value, int | float):
        return f"{claim.id} is not an effect"
    signs = {_sign(claim.value)} | ({claim.sign} if claim.sign is not None else set())
    said = seen.get(claim.id.removesuffix("effect") + "direction")
    if said is not None and claim.id.endswith(".effect"):
        signs.add({"for": 1, "against": -1}.get(str(said.value), 0))
    return None if signs == {wanted} else f"{claim.id} does not point that way"


def _not_rescored(claim: Claim, sentence: Sentence, seen: Ledger) -> str | None:
    """What a change does is said of a score that was computed again, beside the input and the value it was set to."""
    stem = claim.id.removesuffix(".score")
    if not re.fullmatch(r"counterfactual\.[0-9]+\.score", claim.id) or not _numbers([claim]):
        return f"{claim.id} is not a score that was computed again"
    cited = {token.claim for token in sentence.tokens}
    needed = {f"{stem}.{part}" for part in ("name", "value", "score")}
    return None if needed <= cited & set(seen) else "the change and the new score must stand beside it"


def _wrong_order(found: list[Claim], meaning: str) -> str | None:
    ranks = [c.value for c in found if c.kind == "rank" and isinstance(c.value, int)]
    if len(ranks) != len(found):
        return "order rests on ranks alone"
    if meaning == "rising":
        return None if len(ranks) > 1 and ranks == sorted(set(ranks)) else "the ranks do not rise"
    return None if ranks == [1] else "the rank is not the first"


def _wrong_comparison(found: list[Claim], meaning: str, seen: Ledger) -> str | None:
    if len(found) == 2:
        a, b = found
        if (a.unit, _measure(a)) != (b.unit, _measure(b)) or not _numbers(found):
            return "figures in different units or on different scales are not compared"
        outcome = ("equal", "above", "below")[_sign(float(a.value or 0) - float(b.value or 0))]
    elif len(found) == 1:
        claim = found[0]
        outcome = _outcome(claim)
        value, typical = (seen.get(claim.id.removesuffix("compare") + end) for end in ("value", "typical"))
        if claim.id.endswith(".compare") and value and typical and _numbers([value, typical]):
            recomputed = ("equal", "above", "below")[_sign(float(value.value or 0) - float(typical.value or 0))]
            if recomputed != outcome:
                return f"{claim.id} does not agree with the two values"
    else:
        return "a comparison is between two things"
    return None if outcome == meaning else f"the comparison comes out {outcome!r}"


def _outcome(claim: Claim) -> str:
    if isinstance(claim.value, str):
        words = {"same": "equal", "equal": "equal", "above": "above", "below": "below", "different": "different"}
        outcome = words.get(claim.value, "unknown")
        fits = claim.sign is None or claim.sign == {"above": 1, "below": -1, "equal": 0}.get(outcome, claim.sign)
        return outcome if fits else "contradictory"
    if claim.kind != "compare" or not _numbers([claim]):
        return "unknown"
    sign = _sign(float(claim.value or 0))
    return ("equal", "above", "below")[sign] if claim.sign in (None, sign) else "contradictory"


def _bound_magnitudes(sentence: Sentence, claims: list[Claim]) -> Iterator[Complaint]:
    """A number printed without its sign, or a count of one side, needs the word that says the sign."""
    bound = {key for a in sentence.assertions if a.kind in ("comparison", "direction") for key in a.claims}
    for token, claim in zip(sentence.tokens, claims, strict=True):
        one_side = re.match(r"relevance\.(for|against)\.", claim.id)
        if (token.policy.startswith(("size", "points")) or one_side) and claim.id not in bound and claim.value != 0:
            yield "unbound", f"{claim.id} is printed without the word that carries its sign.", claim.id


def _roles(literal: str, hole: str, claims: list[Claim], sentence: Sentence, data: Lexicon) -> Iterator[Complaint]:
    """The last role word before a token, or else the first after it, must introduce such a claim."""
    said = {fold(assertion.word) for assertion in sentence.assertions if assertion.kind == "direction"}
    silent = set(data.asserting["direction"]) - said  # words of a direction are a role where they are asserted
    parts = literal.split(hole)
    for i, claim in enumerate(claims):
        if claim.id == _OUTSIDE_ROLES or is_name(claim):
            continue
        before, after = _role_words(parts[i], silent, data), _role_words(parts[i + 1], silent, data)
        role = before[-1] if before else after[0] if after else None
        if role is None:
            yield "role", f"No word says what {claim.id} is.", claim.id
        elif not any(fnmatchcase(claim.id, pattern) for pattern in data.roles[role]):
            yield "role", f"{role!r} does not introduce {claim.id}.", claim.id


def _role_words(text: str, silent: set[str], data: Lexicon) -> list[str]:
    found = (fold(match[0]) for match in data.role_pattern.finditer(text))
    return [word for word in found if word not in silent]


def is_name(claim: Claim) -> bool:
    """Whether a claim is the name of an input."""
    return claim.kind == "text" and claim.feature is not None and claim.id.endswith((".name", ".label"))


def _features(
    sentence: Sentence, claims: list[Claim], holes: list[int], places: list[int], seen: Ledger
) -> Iterator[Complaint]:
    """What is said after the name of an input is about that input."""
    spots = [(place, claim.id, {claim.feature}, is_name(claim)) for place, claim in zip(holes, claims, strict=True)]
    for place, assertion in zip(places, sentence.assertions, strict=True):
        about = {seen[key].feature for key in assertion.claims if key in seen}
        spots.append((place, assertion.word, about, False))
    spots.sort(key=lambda spot: spot[0])
    named = {feature for _, _, about, name in spots if name for feature in about}
    current = next((next(iter(about)) for _, _, about, name in spots if name), None)
    for _, what, about, name in spots:
        if name:
            current = next(iter(about))
        elif len(about) > 1 and about != named:
            yield "feature", f"{what!r} is about other inputs than the sentence names.", what
        elif len(about) == 1 and about not in ({None}, {current}):
            yield "feature", f"{what!r} does not belong to the input that is named there.", what


def _targets(sentence: Sentence, seen: Ledger) -> Iterator[Complaint]:
    """An input speaks for or against something, and that something is the explained outcome."""
    effects = [k for a in sentence.assertions if a.kind == "direction" for k in a.claims if k.endswith(".effect")]
    named = any(token.claim == "relevance.target" for token in sentence.tokens)
    if effects and "decision.label" in seen and not named:
        yield "direction", "The sentence does not name the outcome that it is about.", effects[0]


def _populations(sentence: Sentence, claims: list[Claim], seen: Ledger) -> Iterator[Complaint]:
    """Who a value is compared with is named, and is the population that it was compared with."""
    known = {seen[key].value for key in ("reference.name", "window.name") if key in seen}
    compared = [seen[k] for a in sentence.assertions if a.kind == "comparison" for k in a.claims if k in seen]
    needed = {c.baseline for c in compared if c.feature is not None and c.id.endswith(".compare")}
    needed |= {c.baseline for c in claims if c.id.endswith(".typical")}
    needed |= {c.baseline for c in compared if c.baseline in known}
    named = {c.value for c in claims if c.id in ("reference.name", "window.name")}
    if needed and needed != named:
        yield "baseline", "The population that is named is not the one that the value was compared with.", None


def _units(sentence: Sentence, claims: list[Claim]) -> Iterator[Complaint]:
    """Within one comparison all figures have the same unit and scale."""
    if not any(assertion.kind == "comparison" for assertion in sentence.assertions):
        return
    figures = [c for c in claims if c.kind in ("value", "threshold", "compare") and _numbers([c])]
    if len({_measure(c) for c in figures}) > 1 or len({c.unit for c in figures}) > 1:
        yield "units", "A comparison mixes units or scales.", figures[0].id


def _alike(sentence: Sentence, claims: list[Claim]) -> Iterator[Complaint]:
    """Two figures that a comparison tells apart do not print as one while more digits would tell them apart."""
    if not any(assertion.kind == "comparison" for assertion in sentence.assertions):
        return
    shown = [
        (token, claim)
        for token, claim in zip(sentence.tokens, claims, strict=True)
        if claim.kind in ("value", "threshold") and _numbers([claim])
    ]
    for i, (token, claim) in enumerate(shown):
        for other, second in shown[:i]:
            digits = re.search(r"\(([0-9]+)\)", token.policy)
            coarse = digits is not None and int(digits[1]) < FINEST
            same = (claim.unit, _measure(claim)) == (second.unit, _measure(second))
            if coarse and same and token.text == other.text and claim.value != second.value:
                yield "precision", f"{claim.id} and {second.id} print alike and are compared.", claim.id


def _measure(claim: Claim) -> str:
    return "probability" if claim.scale in ("probability", "points") else claim.scale


def _numbers(claims: list[Claim]) -> bool:
    return all(isinstance(c.value, int | float) and not isinstance(c.value, bool) for c in claims)


def _sign(value: float) -> int:
    return (value > 0) - (value < 0)
