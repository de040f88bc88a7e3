"""From a frame of the data files to a sentence: claims looked up, policies chosen, words picked by signs."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from xagent.evidence import Claim
from xagent.narrative._model import Assertion, AssertionKind, Sentence, Token
from xagent.narrative._render import default_policy, figure_policy, own_policy, render_value
from xagent.narrative._words import Words, words
from xagent.personas import Persona

_PART = re.compile(
    r"⟦(?P<claim>[^⟦⟧|]+)(?:\|(?P<policy>[^⟦⟧|]+))?⟧|⟪(?P<kind>\w+)\|(?P<on>[^⟪⟫|]*)\|(?P<word>[^⟪⟫|]+)⟫"
)
_OPTION = re.compile(r"⟨([^⟨⟩]*)⟩")
_KINDS: dict[str, AssertionKind] = {
    "direction": "direction", "order": "order", "comparison": "comparison", "causal": "causal",
    "state": "state", "standing": "standing",
}  # fmt: skip
MAX_BUMP = 8


@dataclass(frozen=True)
class _Spot:
    """A part of a frame: literal words, a token's claim and policy, or words that assert something."""

    words: str = ""
    claim: Claim | None = None
    policy: str = ""
    assertion: Assertion | None = None
    language: str = "en"

    def text(self) -> str:
        return render_value(self.claim, self.policy, self.language) if self.claim else self.words

    def frame(self) -> str:
        return f"⟦{self.claim.id}|{self.policy}⟧" if self.claim else self.words


def fill(
    ident: str, source: str, ledger: Mapping[str, Claim], persona: Persona, names: Mapping[str, str] | None = None
) -> Sentence | None:
    """The sentence that a frame makes of a ledger, or None when a claim that it needs is not there.

    names: what stands for `{d}`, `{x}`, `{share}` ... in the frame.
    """
    for key, value in (names or {}).items():
        source = source.replace("{" + key + "}", value)
    source = re.sub(r"\{(\w+)\}", r"absent:\1", source)
    source = _OPTION.sub(lambda option: option[1] if _spots(option[1], ledger, persona) is not None else "", source)
    spots = _spots(source, ledger, persona)
    if not spots:
        return None
    spots = _told_apart(spots)
    return Sentence(
        id=ident,
        frame="".join(spot.frame() for spot in spots),
        text="".join(spot.text() for spot in spots),
        tokens=tuple(Token(claim=spot.claim.id, policy=spot.policy, text=spot.text()) for spot in spots if spot.claim),
        assertions=tuple(spot.assertion for spot in spots if spot.assertion),
    )


def _spots(source: str, ledger: Mapping[str, Claim], persona: Persona) -> list[_Spot] | None:
    spots: list[_Spot] = []
    end = 0
    for part in _PART.finditer(source):
        spots.append(_Spot(words=_in_words_of(persona, source[end : part.start()])))
        end = part.end()
        if part["claim"]:
            claim = ledger.get(part["claim"])
            if claim is None or persona.unprinted(claim.id):
                return None
            claim = persona.called(claim)
            policy = _policy(part["policy"], claim, persona)
            spots.append(_Spot(claim=claim, policy=policy, language=persona.language))
        else:
            assertion = _assertion(part, ledger, persona)
            if assertion is None:
                return None
            spots.append(_Spot(words=assertion.word, assertion=assertion))
    spots.append(_Spot(words=_in_words_of(persona, source[end:])))
    return spots if _one_population(spots, ledger) else None


def _policy(wish: str | None, claim: Claim, persona: Persona) -> str:
    own = own_policy(claim, persona)
    if own is not None:
        return own
    number = isinstance(claim.value, int | float) and not isinstance(claim.value, bool)
    if wish == "figure":
        if not number or claim.scale in ("share", "seconds") or claim.kind == "share":
            return default_policy(claim, persona)
        return figure_policy(claim, persona)
    if wish in ("alias", "text", "name", "opening", "term"):
        return wish
    if wish in ("date", "time"):
        return wish if claim.kind == "time" else "name"
    return wish or default_policy(claim, persona)


def _assertion(part: re.Match[str], ledger: Mapping[str, Claim], persona: Persona) -> Assertion | None:
    kind = _KINDS[part["kind"]]
    ids = tuple(key for key in part["on"].split(",") if key)
    word: str | None = part["word"]
    if any(key.startswith("absent:") or (key not in ledger and persona.withholds(key)) for key in ids):
        return None
    if kind in ("direction", "order", "comparison"):
        if any(key not in ledger for key in ids):
            return None
        if part["word"].startswith("@"):
            pick = _direction if kind == "direction" else _comparison
            own = words(persona.language)
            word = pick(ledger[ids[0]], ledger, persona.voices if part["word"] == "@" else ("plain",), own)
    return None if word is None else Assertion(kind=kind, claims=ids, word=_in_words_of(persona, word))


def _direction(claim: Claim, ledger: Mapping[str, Claim], voices: Sequence[str], own: Words) -> str | None:
    sign = sign_of(claim)
    regression = "decision.label" not in ledger and "answer.text" not in ledger
    known = own.direction
    by_voice = known["value"] if regression else next(known[voice] for voice in voices if voice in known)
    return by_voice["for"] if sign > 0 else by_voice["against"] if sign < 0 else None


def _comparison(claim: Claim, ledger: Mapping[str, Claim], voices: Sequence[str], own: Words) -> str | None:
    if isinstance(claim.value, str):
        return own.comparison.get(claim.value)
    return own.comparison[("equal", "above", "below")[sign_of(claim)]]


def sign_of(claim: Claim) -> int:
    """The sign a claim states, or else the sign of its number."""
    if claim.sign is not None:
        return claim.sign
    value = claim.value if isinstance(claim.value, int | float) else 0
    return (value > 0) - (value < 0)


def _one_population(spots: list[_Spot], ledger: Mapping[str, Claim]) -> bool:
    """Whether the population that is named is the one that the values were compared with."""
    named = {spot.claim.value for spot in spots if spot.claim and spot.claim.id == "reference.name"}
    used = {spot.claim.baseline for spot in spots if spot.claim and spot.claim.id.endswith(".typical")}
    for spot in spots:
        if spot.assertion and spot.assertion.kind == "comparison":
            used |= {ledger[key].baseline for key in spot.assertion.claims if ledger[key].feature}
    return not used or not named or named == used


def _told_apart(spots: list[_Spot]) -> list[_Spot]:
    """More digits where two different figures of a kind would print alike: 50.2% is not “above 50%” as 50%."""
    for _ in range(MAX_BUMP):
        alike: set[int] = set()
        for i, a in enumerate(spots):
            for j, b in enumerate(spots[:i]):
                if a.claim and b.claim and _same_kind(a, b) and a.text() == b.text():
                    alike |= {i, j}
        if not alike:
            return spots
        spots = [_finer(spot) if i in alike else spot for i, spot in enumerate(spots)]
    return spots


def _same_kind(a: _Spot, b: _Spot) -> bool:
    assert a.claim and b.claim
    kinds = ("value", "threshold")
    numbers = all(isinstance(s.claim.value, float | int) and s.claim.kind in kinds for s in (a, b) if s.claim)
    return numbers and (a.claim.scale, a.claim.unit) == (b.claim.scale, b.claim.unit) and a.claim.value != b.claim.value


def _finer(spot: _Spot) -> _Spot:
    match = re.fullmatch(r"(\w+)\((\d+)\)", spot.policy)
    return replace(spot, policy=f"{match[1]}({int(match[2]) + 1})") if match else spot


def _in_words_of(persona: Persona, text: str) -> str:
    """Nouns that the persona calls by another name, in literal words only."""
    for word, other in sorted(persona.vocabulary.items()):
        text = re.sub(rf"\b{word}\b", other, text)
        text = re.sub(rf"\b{word.capitalize()}\b", other[0].upper() + other[1:], text)
    return text
