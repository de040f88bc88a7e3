"""Honest other wordings of verified sentences: at token level by other words and policies, in free prose by rules."""

from __future__ import annotations

import random
import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

from benchmarks.narratives._ledgers import Told
from benchmarks.narratives._mutants import _mapped, _reworded
from xagent.evidence import Claim
from xagent.narrative import Sentence, Token, render_value

_NUMBERS = "zero one two three four five six seven eight nine ten eleven twelve"
_SAME = {
    "spoke for": ("supported", "counted towards", "speaks for", "pushed towards"),
    "spoke against": ("opposed", "counted against", "speaks against"),
    "counted towards": ("supported", "spoke for"),
    "counted against": ("opposed", "spoke against"),
    "above": ("higher than", "greater than", "larger than"),
    "below": ("lower than", "smaller than"),
    "raised": ("increased",),
    "lowered": ("reduced", "decreased"),
    "longest": ("largest", "biggest", "heaviest"),
    "largest": ("heaviest", "greatest"),
    "the same as": ("equal to",),
    "sprach für": ("spricht für", "stützte"),
    "sprach gegen": ("spricht gegen",),
    "über": ("höher als", "größer als"),
    "unter": ("niedriger als", "kleiner als"),
    "erhöhte": ("steigerte",),
    "senkte": ("verringerte",),
}


@dataclass(frozen=True)
class Paraphrase:
    """rule: which rewriting was done. text: the sentence as prose; narrative: with tokens, or None."""

    rule: str
    told: Told
    text: str
    tokens: bool


def paraphrases(told: Told, rng: random.Random, each: int) -> Iterator[Paraphrase]:
    """At most `each` of every rule; the rules for prose are those of English."""
    for make in (_synonyms, _policies):
        options = list(make(told))
        rng.shuffle(options)
        for changed, text in options[:each]:
            yield Paraphrase(make.__name__[1:], changed, text, True)
    for rule in _RULES if told.persona.language == "en" else ():
        options = [(s, text) for s in told.narrative.sentences() if (text := rule(s, told)) and text != s.text]
        rng.shuffle(options)
        for _, text in options[:each]:
            yield Paraphrase(rule.__name__[1:], told, text, False)


def _synonyms(told: Told) -> Iterator[tuple[Told, str]]:
    for s in told.narrative.sentences():
        for i, a in enumerate(s.assertions):
            for word in _SAME.get(a.word, ()) if a.kind in ("direction", "comparison", "order") else ():
                changed = _reworded(s, i, word)
                yield replace(told, narrative=_mapped(told.narrative, {s.id: changed})), changed.text


def _policies(told: Told) -> Iterator[tuple[Told, str]]:
    """Another precision, or the other claim of the same fact."""
    for s in told.narrative.sentences():
        for i, t in enumerate(s.tokens):
            claim = told.ledger[t.claim]
            match = re.fullmatch(r"(round|percent|points|signed|size)\((\d)\)", t.policy)
            if match and claim.decimals is None:
                yield _again(told, s, i, t.model_copy(update={"policy": f"{match[1]}({int(match[2]) + 1})"}))
            other = _twin(told, claim)
            if other is not None:
                yield _again(told, s, i, t.model_copy(update={"claim": other}))


def _twin(told: Told, claim: Claim) -> str | None:
    if not re.fullmatch(r"relevance\.driver\.\d+\.value", claim.id):
        return None
    return next((k for k, c in told.ledger.items() if k.startswith("input.") and c.feature == claim.feature), None)


def _again(told: Told, s: Sentence, index: int, token: Token) -> tuple[Told, str]:
    text = render_value(told.persona.called(told.ledger[token.claim]), token.policy, told.persona.language)
    token = token.model_copy(update={"text": text})
    tokens = [token if i == index else t for i, t in enumerate(s.tokens)]
    literals = re.split(r"⟦[^⟧]*⟧", s.frame)
    frame = text = literals[0]
    for t, literal in zip(tokens, literals[1:], strict=True):
        frame, text = frame + f"⟦{t.claim}|{t.policy}⟧" + literal, text + t.text + literal
    changed = s.model_copy(update={"frame": frame, "text": text, "tokens": tuple(tokens)})
    return replace(told, narrative=_mapped(told.narrative, {s.id: changed})), text


def _swap(pairs: dict[str, str]) -> Callable[[str], str]:
    pattern = re.compile("|".join(rf"(?<!\w){re.escape(k)}(?!\w)" for k in sorted(pairs, key=len, reverse=True)))
    return lambda text: pattern.sub(lambda m: pairs[m[0]], text)


_WORDS = _swap(
    {
        "spoke for": "argued for",
        "spoke against": "argued against",
        "counted towards": "weighed for",
        "towards": "in favour of",
        "counted against": "weighed against",
        "above": "higher than",
        "below": "lower than",
        "the limit": "the threshold",
        "typical": "usual",
        "among": "compared with",
        "raised": "increased",
        "lowered": "decreased",
        "longest": "biggest",
        "largest": "heaviest",
    }
)


def _words(s: Sentence, told: Told) -> str:
    """Synonyms for verbs, comparatives and nouns."""
    return _guarded(s, _WORDS)


def _percent(s: Sentence, told: Told) -> str:
    return s.text.replace("% of the weight", " percent of the weight")


def _digits(s: Sentence, told: Told) -> str:
    """No separators of thousands, or with k."""
    return re.sub(r"(?<=\d),(?=\d{3})", "", s.text)


def _thousands(s: Sentence, told: Told) -> str:
    return re.sub(r"\b(\d{1,3}),(\d)00(?![\d,])", r"\1.\2k", s.text)


def _points(s: Sentence, told: Told) -> str:
    return s.text.replace(" percentage points", " pp")


def _fractions(s: Sentence, told: Told) -> str:
    """Probabilities as numbers between 0 and 1."""
    for t in s.tokens:
        claim = told.ledger[t.claim]
        if claim.scale == "probability" and t.text.endswith("%"):
            places = len(t.text.rstrip("%").partition(".")[2]) + 2
            return s.text.replace(t.text, f"{float(t.text.rstrip('%')) / 100:.{places}f}", 1)
    return s.text


def _leading(s: Sentence, told: Told) -> str:
    return re.sub(r"(?<![\d.,])0\.(?=\d)", ".", s.text)


def _order(s: Sentence, told: Told) -> str:
    """The share first, then the input and its direction."""
    match = re.fullmatch(
        r"(.+?) ((?:spoke|counted) \w+ “[^”]+”) \((\S+% of the weight)\)(?:: the value is (.*))?\.", s.text
    )
    if match:
        return f"With {match[3]}, {match[1][:1].lower() + match[1][1:]} {match[2]}" + (
            f"; its value is {match[4]}." if match[4] else "."
        )
    match = re.fullmatch(r"The score lies (.+?) (above|below) the limit of (.+?)\.", s.text)
    return f"The limit is {match[3]}, and the score lies {match[1]} {match[2]} it." if match else s.text


def _aliases(s: Sentence, told: Told) -> str:
    """The input by its column name."""
    for t in s.tokens:
        claim = told.ledger[t.claim]
        if claim.feature and claim.id.endswith(".name") and "_" in claim.feature:
            return s.text.replace(t.text, claim.feature, 1)
    return s.text


def _number_words(s: Sentence, told: Told) -> str:
    words = _NUMBERS.split()
    return re.sub(
        r": (\d{1,2})(, with|\.$)", lambda m: f": {words[int(m[1])] if 1 < int(m[1]) < 13 else m[1]}{m[2]}", s.text
    )


def _rounded(s: Sentence, told: Told) -> str:
    """One decimal of a share fewer."""
    return re.sub(
        r"(\d+\.\d)% of the weight",
        lambda m: f"{round(float(m[1]))}% of the weight" if float(m[1]) >= 1 and m[1][-1] != "5" else m[0],
        s.text,
    )


def _guarded(s: Sentence, change: Callable[[str], str]) -> str:
    """The change done to the words between tokens alone, so that no name is reworded."""
    if any(a.kind in ("state", "standing") for a in s.assertions):
        return s.text
    literals = re.split(r"⟦[^⟧]*⟧", s.frame)
    return change(literals[0]) + "".join(
        t.text + change(after) for t, after in zip(s.tokens, literals[1:], strict=True)
    )


_RULES: tuple[Callable[[Sentence, Told], str], ...] = (
    _words,
    _percent,
    _digits,
    _thousands,
    _points,
    _fractions,
    _leading,
    _order,
    _aliases,
    _number_words,
    _rounded,
)
