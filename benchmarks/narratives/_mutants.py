"""Fourteen ways to lie, each done to a verified narrative so that frame, text, tokens and assertions agree."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

from benchmarks.narratives._ledgers import Told
from xagent.evidence import Claim, Ledger
from xagent.narrative import Assertion, Narrative, Sentence, Token, render_value

CLASSES = (
    "sign flip",
    "value changed",
    "scale or power of ten",
    "unit swap",
    "category swap",
    "rank swap",
    "principal factor dropped",
    "invented feature",
    "wrong threshold",
    "wrong subject",
    "stale artifact",
    "hedge removed or certainty inflated",
    "causal over-claim",
    "wrong comparison population",
)
MUST = 11  # classes that the verifier of tokens must find without exception
_NUMBER = re.compile(r"[+−]?[0-9][0-9,]*(?:\.[0-9]+)?")
_OPPOSITE = {
    "spoke for": "spoke against",
    "spoke against": "spoke for",
    "towards": "against",
    "against": "towards",
    "counted towards": "counted against",
    "counted against": "counted towards",
    "raised": "lowered",
    "lowered": "raised",
    "sprach für": "sprach gegen",
    "sprach gegen": "sprach für",
    "zugunsten von": "zuungunsten von",
    "zuungunsten von": "zugunsten von",
    "erhöhte": "senkte",
    "senkte": "erhöhte",
}
_BESIDE = {"above": "below", "below": "above", "equal to": "above", "über": "unter", "unter": "über", "gleich": "über"}
_SURE = {"en": ("clearly", "certainly", "undoubtedly"), "de": ("eindeutig", "sicherlich", "zweifellos")}
_VERBS = {
    "en": (" spoke ", " counted ", " comes to ", " lies ", " is "),
    "de": (" sprach ", " beträgt", " liegt ", " lautet", " ist "),
}
_MILD = {
    "en": ((" only in part", ""), ("may not hold here", "holds here")),
    "de": ((" nur teilweise", ""), ("gilt hier vielleicht nicht", "gilt hier")),
}
_CAUSED = {
    "en": ("caused", "led to", "is the reason why it is"),
    "de": ("verursachte", "führte zu", "ist der Grund für"),
}
_SINCE = {"en": (": the value is", " because the value is"), "de": ("; erfasster Wert:", ", weil erfasster Wert:")}
_CODES = {
    "EUR": "USD",
    "years": "months",
    "months": "years",
    "%": "EUR",
    "% of income": "% of rent",
    "°C": "°F",
    "km": "kg",
    "bpm": "mmHg",
}


@dataclass(frozen=True)
class Mutant:
    """A lie of one class. sentence: the id of what was changed, None when the whole must be read to find it."""

    kind: int
    told: Told
    sentence: str | None

    @property
    def text(self) -> str:
        """What a reader of free text gets: the sentence, or the whole where the lie is in what is missing."""
        lines = [s for s in self.told.narrative.sentences() if self.sentence is None or s.id == self.sentence]
        return "\n".join(s.text for s in lines)


def mutants(told: Told, rng: random.Random, each: int) -> Iterator[Mutant]:
    """At most `each` mutants of every class, drawn from all that can be made."""
    for number, make in enumerate(_MAKERS, start=1):
        options = list(make(told))
        rng.shuffle(options)
        for changed, sentence in options[:each]:
            yield Mutant(number, changed, sentence)


Option = tuple[Told, str | None]


def _signs(told: Told) -> Iterator[Option]:
    for s in _prose(told):
        for i, a in enumerate(s.assertions):
            if a.kind == "direction" and a.word in _OPPOSITE:
                yield _with(told, _reworded(s, i, _OPPOSITE[a.word])), s.id
        for i, t in enumerate(s.tokens):
            if told.ledger[t.claim].kind == "effect" and t.text[0] in "+−":
                yield _with(told, _retold(s, i, ("−" if t.text[0] == "+" else "+") + t.text[1:])), s.id


def _values(told: Told) -> Iterator[Option]:
    for s, i, t, match in _numbers(told):
        number = match[0]
        digits = [p for p, c in enumerate(number) if c.isdigit()]
        for place in {digits[-1], digits[0]}:
            other = str((int(number[place]) + 1) % 10) if number[place] != "9" or place else "8"
            if place == digits[0] and other == "0" and len(digits) > 1:
                other = "1" if number[place] != "1" else "2"
            changed = number[:place] + other + number[place + 1 :]
            yield _with(told, _retold(s, i, t.text.replace(number, changed, 1))), s.id


def _scales(told: Told) -> Iterator[Option]:
    for s, i, t, match in _numbers(told):
        claim, number = told.ledger[t.claim], match[0]
        if float(number.replace(",", "").replace("−", "-")) == 0:
            continue
        for power in (10, 100):
            yield _with(told, _retold(s, i, t.text.replace(number, _times(number, power), 1))), s.id
        if claim.scale in ("probability", "share") and t.text.endswith("%"):
            for other in (f"{number} percentage points", number, f"{number} log-odds"):
                yield _with(told, _retold(s, i, other)), s.id
        if t.policy.startswith("points"):
            yield _with(told, _retold(s, i, f"{number}%")), s.id
        if claim.scale == "logit" and claim.kind == "effect":
            yield _with(told, _retold(s, i, f"{t.text}%")), s.id


def _units(told: Told) -> Iterator[Option]:
    for s, i, t, _ in _numbers(told):
        unit = told.ledger[t.claim].unit
        if unit and t.text.endswith(unit) and t.policy != "duration":
            other = _CODES.get(unit, "EUR" if unit != "EUR" else "USD")
            yield (
                _with(
                    told, _retold(s, i, t.text.removesuffix(unit).rstrip() + ("" if other[0] in "%°" else " ") + other)
                ),
                s.id,
            )


def _categories(told: Told) -> Iterator[Option]:
    known = sorted(
        {
            str(c.value)
            for c in told.ledger.values()
            if c.kind == "category" and c.feature and c.id.endswith((".value", ".typical"))
        }
    )
    answers = {
        str(told.ledger[k].value) for k in ("relevance.target", "relevance.foil", "decision.label") if k in told.ledger
    }
    for s in _prose(told):
        for i, t in enumerate(s.tokens):
            claim = told.ledger[t.claim]
            if claim.kind != "category" or not isinstance(claim.value, str):
                continue
            own = claim.feature and claim.id.endswith((".value", ".typical"))
            for other in known if own else sorted(answers) if claim.value in answers else ():
                if other != claim.value and claim.value in t.text:
                    yield _with(told, _retold(s, i, t.text.replace(claim.value, other))), s.id


def _ranks(told: Told) -> Iterator[Option]:
    for s in _prose(told):
        for i, t in enumerate(s.tokens):
            if told.ledger[t.claim].kind == "rank":
                yield _with(told, _retold(s, i, str(int(t.text) + 1))), s.id
        for a in s.assertions:
            if (
                a.kind == "order"
                and a.claims == ("relevance.driver.1.rank",)
                and "relevance.driver.2.name" in told.ledger
            ):
                name = next((i for i, t in enumerate(s.tokens) if t.claim == "relevance.driver.1.name"), None)
                if name is not None:
                    other = str(told.ledger["relevance.driver.2.name"].value)
                    yield _with(told, _retold(s, name, other)), s.id
    rows = [s for s in _prose(told) if re.fullmatch(r"relevance\.driver\.\d+", s.id)]
    for a, b in pairwise(rows):
        if told.ledger[f"{a.id}.effect"].sign != told.ledger[f"{b.id}.effect"].sign:
            continue  # each side has an order of its own
        sections = tuple(
            part.model_copy(update={"sentences": tuple({a.id: b, b.id: a}.get(s.id, s) for s in part.sentences)})
            for part in told.narrative.sections
        )
        yield replace(told, narrative=told.narrative.model_copy(update={"sections": sections})), None


def _dropped(told: Told) -> Iterator[Option]:
    for s in _prose(told):
        if re.fullmatch(r"relevance\.driver\.\d+", s.id):
            yield _without(told, s.id), None
    for side in ("for", "against"):
        for s in _prose(told):
            if any(t.claim == f"relevance.{side}.count" for t in s.tokens):
                yield _without(told, s.id), None


_INVENTED = ("Blood pressure", "Shoe size", "Credit bureau rating", "Colour of the eyes")


def _invented(told: Told) -> Iterator[Option]:
    for n, s in enumerate(_prose(told)):
        for i, t in enumerate(s.tokens):
            if t.claim.startswith("relevance.driver.") and t.claim.endswith(".name"):
                yield _with(told, _retold(s, i, _INVENTED[n % len(_INVENTED)])), s.id
    row = next((s for s in _prose(told) if s.id.startswith("relevance.driver.")), None)
    if row is not None and row.tokens:
        claim = row.tokens[0].claim
        frame = row.frame.replace(claim, "relevance.driver.99.name")
        token = row.tokens[0].model_copy(update={"claim": "relevance.driver.99.name", "text": _INVENTED[0]})
        text = row.text.replace(row.tokens[0].text, _INVENTED[0], 1)
        yield (
            _with(told, row.model_copy(update={"frame": frame, "text": text, "tokens": (token, *row.tokens[1:])})),
            row.id,
        )


def _thresholds(told: Told) -> Iterator[Option]:
    for s in _prose(told):
        for i, t in enumerate(s.tokens):
            if t.claim in ("decision.threshold", "decision.margin") and (match := _NUMBER.search(t.text)):
                for step in (5, -7, 20):
                    value = float(match[0].replace(",", "")) + step
                    decimals = len(match[0].partition(".")[2])
                    if value > 0:
                        yield _with(told, _retold(s, i, t.text.replace(match[0], f"{value:,.{decimals}f}", 1))), s.id
        for i, a in enumerate(s.assertions):
            if a.kind == "comparison" and "decision.margin" in a.claims:
                other = _BESIDE[a.word]
                yield _with(told, _reworded(s, i, other)), s.id


def _subjects(told: Told) -> Iterator[Option]:
    own = told.ledger.get("case.subject")
    for s in _prose(told):
        for i, t in enumerate(s.tokens):
            claim = told.ledger[t.claim]
            if t.claim in ("case.subject", "case.id"):
                other = re.sub(r"\d+(?=\D*$)", lambda m: str(int(m[0]) + 1).zfill(len(m[0])), t.text)
                if other != t.text:
                    yield _with(told, _retold(s, i, other)), s.id
            elif own is not None and claim.subject == own.value and claim.feature and claim.id.endswith(".value"):
                theirs = claim.model_copy(update={"subject": f"{own.value}-b"})
                yield replace(told, ledger=_replaced(told.ledger, theirs)), s.id
    if own is not None:
        s = _prose(told)[0]
        whose = {"en": "This is the case of", "de": "Dies ist der Fall von"}[told.persona.language]
        extra = f" {whose} {_next(str(own.value))}."
        changed = s.model_copy(update={"frame": s.frame + extra, "text": s.text + extra})
        yield _with(told, changed), s.id


def _stale(told: Told) -> Iterator[Option]:
    """The evidence was made again and says something else; the words are those of before."""
    for s, _, t, _ in _numbers(told):
        claim = told.ledger[t.claim]
        if isinstance(claim.value, int | float) and claim.kind in ("value", "effect", "share", "count"):
            value: Any = (
                claim.value + 3
                if claim.kind == "count"
                else claim.value * 0.6 + (0.01 if abs(claim.value) < 1e-3 else 0)
            )
            if value != claim.value:
                newer = claim.model_copy(update={"value": int(value) if isinstance(claim.value, int) else value})
                own = told.persona.called(newer)  # what prints alike is no lie
                if render_value(own, t.policy, told.persona.language) != t.text:
                    yield replace(told, ledger=_replaced(told.ledger, newer)), s.id
    for s in _prose(told):
        for i, t in enumerate(s.tokens):
            if t.claim == "model.sha256":
                yield _with(told, _retold(s, i, t.text[::-1])), s.id


def _certainty(told: Told) -> Iterator[Option]:
    for s in _prose(told):
        if s.id.startswith(("relevance.driver", "block.score", "block.decision")):
            for word in _SURE[told.persona.language]:
                for verb in _VERBS[told.persona.language]:
                    if verb in s.frame:
                        yield _with(told, _worded(s, verb, f" {word}{verb}")), s.id
                        break
    for text in told.narrative.warnings:
        s = text.sentence
        for old, new in _MILD[told.persona.language]:
            if old in s.frame:
                stated = tuple(a.model_copy(update={"word": a.word.replace(old, new)}) for a in s.assertions)
                changed = _worded(s, old, new).model_copy(update={"assertions": stated})
                yield _with(told, changed), s.id


def _causes(told: Told) -> Iterator[Option]:
    for s in _prose(told):
        for i, a in enumerate(s.assertions):
            if a.kind == "direction" and s.id.startswith("relevance.driver"):
                for verb in _CAUSED[told.persona.language]:
                    yield _with(told, _reworded(s, i, verb)), s.id
        value, since = _SINCE[told.persona.language]
        if value in s.frame:
            yield _with(told, _worded(s, value, since)), s.id


def _populations(told: Told) -> Iterator[Option]:
    others = [str(told.ledger["window.name"].value)] if "window.name" in told.ledger else []
    for s in _prose(told):
        for i, t in enumerate(s.tokens):
            if t.claim == "reference.name" and s.id.startswith("relevance.driver"):
                for other in (*others, "everybody in the country", "the best customers"):
                    yield _with(told, _retold(s, i, other)), s.id


_MAKERS: tuple[Callable[[Told], Iterator[Option]], ...] = (
    _signs,
    _values,
    _scales,
    _units,
    _categories,
    _ranks,
    _dropped,
    _invented,
    _thresholds,
    _subjects,
    _stale,
    _certainty,
    _causes,
    _populations,
)


def _prose(told: Told) -> list[Sentence]:
    return told.narrative.sentences()


def _numbers(told: Told) -> Iterator[tuple[Sentence, int, Token, re.Match[str]]]:
    for s in _prose(told):
        for i, t in enumerate(s.tokens):
            words = ("name", "text", "quoted", "opening", "alias", "date", "time")
            if t.policy not in words and (match := _NUMBER.search(t.text)):
                yield s, i, t, match


def _times(number: str, power: int) -> str:
    places = len(number.partition(".")[2])
    value = float(number.replace(",", "").replace("−", "-")) * power
    text = f"{abs(value):,.{places}f}"
    return ("−" if value < 0 else "+" if number[0] == "+" else "") + text


def _next(name: str) -> str:
    return (
        re.sub(r"\d+(?=\D*$)", lambda m: str(int(m[0]) + 1).zfill(len(m[0])), name)
        if re.search(r"\d", name)
        else name + "-2"
    )


def _retold(s: Sentence, index: int, text: str) -> Sentence:
    """Another text in one token, printed where the token stands."""
    literals = re.split(r"⟦[^⟧]*⟧", s.frame)
    tokens = [t.model_copy(update={"text": text}) if i == index else t for i, t in enumerate(s.tokens)]
    whole = literals[0] + "".join(t.text + after for t, after in zip(tokens, literals[1:], strict=True))
    return s.model_copy(update={"text": whole, "tokens": tuple(tokens)})


def _reworded(s: Sentence, index: int, word: str) -> Sentence:
    """Another word in one assertion, in frame and text."""
    old = s.assertions[index]
    stated: list[Assertion] = list(s.assertions)
    stated[index] = old.model_copy(update={"word": word})
    return _worded(s, old.word, word).model_copy(update={"assertions": tuple(stated)})


def _worded(s: Sentence, old: str, new: str) -> Sentence:
    return s.model_copy(update={"frame": s.frame.replace(old, new, 1), "text": s.text.replace(old, new, 1)})


def _with(told: Told, changed: Sentence) -> Told:
    return replace(told, narrative=_mapped(told.narrative, {changed.id: changed}))


def _without(told: Told, ident: str) -> Told:
    return replace(told, narrative=_mapped(told.narrative, {ident: None}))


def _mapped(narrative: Narrative, by: dict[str, Sentence | None]) -> Narrative:
    def of(s: Sentence) -> Sentence | None:
        return by.get(s.id, s)

    sections = tuple(
        part.model_copy(update={"sentences": tuple(x for s in part.sentences if (x := of(s)) is not None)})
        for part in narrative.sections
    )
    warnings = tuple(w.model_copy(update={"sentence": of(w.sentence) or w.sentence}) for w in narrative.warnings)
    findings = tuple(f.model_copy(update={"sentence": of(f.sentence) or f.sentence}) for f in narrative.findings)
    figures = tuple(f.model_copy(update={"alt": of(f.alt) or f.alt}) for f in narrative.figures)
    return narrative.model_copy(
        update={"sections": sections, "warnings": warnings, "findings": findings, "figures": figures}
    )


def _replaced(ledger: Ledger, claim: Claim) -> Ledger:
    return Ledger(claim if c.id == claim.id else c for c in ledger.values())
