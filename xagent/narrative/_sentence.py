"""One sentence against the ledger: the text follows its frame, every token reads back, no bare word states a fact."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from dataclasses import dataclass, field

from xagent.evidence import Claim, Ledger
from xagent.narrative._backing import backing
from xagent.narrative._lexicon import Lexicon, any_of, fold, lexicon, word_set
from xagent.narrative._model import Problem, Sentence
from xagent.narrative._reading import WORDS, expected_words, hides, misreading
from xagent.narrative._stated import unbound_phrases
from xagent.personas import Persona

_TOKEN = re.compile(r"⟦([^⟦⟧|]+)\|([^⟦⟧|]+)⟧")
_SCALES = {
    "band": ("share",),
    "percent": ("share", "probability"),
    "points": ("points", "probability"),
    "duration": ("seconds",),
    "date": (),
    "time": (),
}
"""On which scales a number can be printed under a policy; all others print plain numbers."""
HOLE = "\ufffc"  # stands for a token in the literal text
MEND = {
    "number": "Print figures through tokens alone.",
    "ordinal": "Bind the word to ranks with an order assertion, or print the rank through a token.",
    "percentage": "Print percentages through tokens alone.",
    "date": "Print dates through tokens alone.",
    "superlative": "Leave the word out; rank is stated by order assertions.",
    "quantifier": "Print how many there are through a count.",
    "currency": "Print amounts and their units through tokens alone.",
    "direction": "Bind the word to effects with a direction assertion.",
    "comparison": "Bind the word to a comparison with a comparison assertion.",
    "order": "Bind the word to ranks with an order assertion.",
    "negation": "Use a registered phrase with a state assertion.",
    "state": "Bind the phrase to its claim with a state assertion, or to none with a standing one.",
    "hedge": "Leave the word out; certainty is stated by the trust claims.",
    "persuasive": "Use neutral words.",
    "causal": "Say how the model used the input; what a change does rests on a counterfactual that was scored again.",
    "name": "Print names through tokens alone.",
    "avoid": "This reader is not given terms of the trade.",
    "unknown-word": "Use words of the lexicon, or a token.",
}


@dataclass
class Context:
    """What a sentence is checked against. seen: claims that this persona may see."""

    ledger: Ledger
    seen: Ledger
    persona: Persona
    subjects: frozenset[str]
    names: re.Pattern[str] = field(init=False)
    data: Lexicon = field(init=False)
    language: str = field(init=False)

    def __post_init__(self) -> None:
        self.language = self.persona.language
        self.data = lexicon(self.language)
        called = {fold(name) for name in self.persona.aliases.values() if not word_set(name) <= self.data.vocabulary}
        self.names = any_of(_labels(self.ledger, self.data) | called)

    def canonical(self, text: str) -> str:
        for word, other in self.persona.vocabulary.items():
            text = re.sub(rf"\b{re.escape(other)}\b", word, text, flags=re.IGNORECASE)
        return text


def check_sentence(sentence: Sentence, context: Context) -> Iterator[Problem]:
    """Every problem of one sentence; nothing about its place in the whole."""
    written = [(match[1], match[2]) for match in _TOKEN.finditer(sentence.frame)]
    if written != [(token.claim, token.policy) for token in sentence.tokens]:
        yield _problem("frame", sentence, None, "The tokens listed are not those of the frame.", "List them in order.")
        return
    literals = _TOKEN.split(sentence.frame)[::3]
    strange = context.data.format.strange("".join(literals).replace("⟦", "").replace("⟧", ""))
    if strange is not None:
        kind = _kind_of(strange)
        mend = MEND.get(kind, "Write words with the letters of the language, and case text through tokens.")
        yield _problem(kind, sentence, strange, f"A sentence is not written with {_named(strange)}.", mend)
        return
    unknown = [token.claim for token in sentence.tokens if token.claim not in context.seen]
    for key in unknown:
        hidden = key in context.ledger
        yield _problem(
            "hidden" if hidden else "unknown-claim", sentence, key,
            f"The claim {key!r} {'may not be shown to this reader' if hidden else 'is not in the ledger'}.",
            "Cite a claim of the ledger that this reader may see.",
        )  # fmt: skip
    unprinted = [token.claim for token in sentence.tokens if context.persona.unprinted(token.claim)]
    for key in unprinted:
        message = f"The claim {key!r} may back words for this reader, and is not printed."
        yield _problem("hidden", sentence, key, message, "Say it in words that an assertion binds.")
    if unknown or unprinted:
        return
    yield from _coarse(sentence, context)
    yield from _text(sentence, literals, context)
    for token in sentence.tokens:
        claim = context.seen[token.claim]
        if claim.subject not in context.subjects:
            yield _problem("subject", sentence, claim.id, "This claim is about someone else.", "Leave it out.")
    yield from _words(sentence, literals, context)


def _coarse(sentence: Sentence, context: Context) -> Iterator[Problem]:
    """A claim is printed as the persona asks, where that fits its kind; only more digits may tell two figures apart."""
    for token in sentence.tokens:
        asked, claim = context.persona.policy_of(token.claim), context.seen[token.claim]
        if asked is None or isinstance(claim.value, bool | None):
            continue
        kind = asked.partition("(")[0]
        scale = "share" if claim.kind == "share" else claim.scale
        if isinstance(claim.value, str):
            due = claim.kind == "time" and kind in ("date", "time")
        else:
            due = scale in _SCALES.get(kind, ("raw", "logit", "none", "probability"))
        if due and token.policy.partition("(")[0] != kind:
            message = f"{claim.id} is printed as {token.policy}, and this reader gets {asked}."
            yield _problem("precision", sentence, claim.id, message, "Print it as the persona asks.")


def _text(sentence: Sentence, literals: list[str], context: Context) -> Iterator[Problem]:
    """The text is the frame with every token printed under its policy."""
    if any("⟦" in part or "⟧" in part for part in literals):
        yield _problem("frame", sentence, None, "The frame has a broken token.", "Write tokens as ⟦claim|policy⟧.")
    claims = [context.persona.called(context.seen[token.claim]) for token in sentence.tokens]
    strict = [_shape(claim, token.policy, context) for claim, token in zip(claims, sentence.tokens, strict=True)]
    parts = _between(sentence.text, literals, strict) or _between(sentence.text, literals, [".*?"] * len(claims))
    if parts is None:
        yield _problem("text", sentence, None, "The text does not follow its frame.", "Print the frame anew.")
        return
    for claim, token, part in zip(claims, sentence.tokens, parts, strict=True):
        if part != token.text:
            message = f"The token of {claim.id} is listed as {token.text!r}, but {part!r} is printed."
            yield _problem("text", sentence, claim.id, message, "List the token as it is printed.")
        wrong = misreading(part, claim, token.policy, context.language)
        if wrong:
            message = f"{part!r} does not print {claim.id} as {token.policy}: {wrong}."
            yield _problem("value", sentence, claim.id, message, "Print the claim under its policy.")
        elif hides(claim, token.policy):
            message = f"{part!r} prints {claim.id} as none or all of it, and it is neither."
            yield _problem("precision", sentence, claim.id, message, "Print more digits.")


def _between(text: str, literals: list[str], shapes: list[str]) -> list[str] | None:
    pattern = re.escape(literals[0]) + "".join(
        f"({shape}){re.escape(after)}" for shape, after in zip(shapes, literals[1:], strict=True)
    )
    match = re.fullmatch(pattern, text, re.DOTALL)
    return list(match.groups()) if match else None


def _shape(claim: Claim, policy: str, context: Context) -> str:
    """What the printed token may look like, narrow enough that the words around it cannot be mistaken for it."""
    if policy in WORDS:
        return re.escape(expected_words(claim, policy, context.language))
    if policy in ("band", "date", "time", "duration"):
        return r"[\w ,.:−]+?"
    form = context.data.format
    patterns = [form.percent, *form.points] if policy.startswith("p") else [] if claim.unit else ["{}"]
    number = rf"[+−]?[0-9{re.escape(form.group)}]+(?:{re.escape(form.decimal)}[0-9]+)?(?:e−?[0-9]+)?"
    options = [re.escape(pattern).replace(r"\{\}", number) for pattern in patterns]
    return "|".join(options) if options else number + ".*?"


def _words(sentence: Sentence, literals: list[str], context: Context) -> Iterator[Problem]:
    literal = context.canonical(HOLE.join(literals))
    stated = [a.model_copy(update={"word": context.canonical(a.word)}) for a in sentence.assertions]
    sentence = sentence.model_copy(update={"assertions": tuple(stated)})
    bare, places, lost = _without_assertions(literal, sentence, context)
    for word in lost:
        yield _problem(
            "assertion", sentence, word, f"The text does not say {word!r} there.", "Assert words of the text."
        )
    for assertion in sentence.assertions:
        for key in assertion.claims:
            if key not in context.seen and context.persona.withholds(key):  # kept from the reader, and not missing
                message = f"{assertion.word!r} says that {key!r} is missing, and it is withheld."
                yield _problem("hidden", sentence, assertion.word, message, "Leave the sentence out.")
    for kind, message, fault in backing(sentence, literal, places, context.seen, HOLE, context.data):
        yield _problem(kind, sentence, fault, message, "Choose words that the ledger backs.")
    for kind, word in _bare(bare, context):
        yield _problem(
            kind, sentence, word, f"{word!r} stands in the text without a token or an assertion.", MEND[kind]
        )


def _without_assertions(literal: str, sentence: Sentence, context: Context) -> tuple[str, list[int], list[str]]:
    """The literal text with asserted words blanked out, where each starts (-1: nowhere), and those not found."""
    end, places, lost, bare = 0, [], [], literal
    for assertion in sentence.assertions:
        match = any_of([assertion.word]).search(literal, end) if assertion.word.strip() else None
        if match is None:
            lost.append(assertion.word)
            places.append(-1)
            continue
        places.append(match.start())
        end = match.end()
        bare = bare[: match.start()] + "\x1f" * (end - match.start()) + bare[end:]
    return bare, places, lost


def _bare(text: str, context: Context) -> Iterator[tuple[str, str]]:
    """Words outside tokens and assertions that a sentence may not use of its own accord, with the kind of problem."""
    data = context.data
    for phrase in unbound_phrases(text, context.language):
        yield "state", phrase
    patterns = [("avoid", any_of(context.persona.avoid)), ("name", context.names), *data.refused]
    words = word_set(text)
    for kind, pattern in patterns:
        if kind in data.openers and data.openers[kind].isdisjoint(words):
            continue
        while match := pattern.search(text):
            yield kind, match[0]
            text = text[: match.start()] + "\x1f" * len(match[0]) + text[match.end() :]
    for match in re.finditer(r"[^\s\x1f\ufffc.,;:()“”„!?/-]+", text):
        word = fold(match[0])
        if word not in data.vocabulary:
            yield "unknown-word", match[0]


def check_title(title: str, language: str) -> Iterator[str]:
    """Words of a title that would colour what follows; a title states nothing, so direction words may stand."""
    data = lexicon(language)
    if not title.endswith("?"):  # a question states nothing, and neither do two words
        yield from (phrase for phrase in unbound_phrases(title, language) if len(phrase.split()) > 2)
    for kind, pattern in data.refused:
        if kind not in ("direction", "comparison", "order", "negation"):
            yield from (match[0] for match in pattern.finditer(title))
    yield from (c for c in title if c not in data.format.letters)


def _kind_of(char: str) -> str:
    """What a character that no sentence is written with would smuggle in."""
    plain = unicodedata.normalize("NFKC", char)
    if any(c.isnumeric() for c in char + plain):
        return "number"
    if any(unicodedata.category(c) == "Sc" for c in plain):
        return "currency"
    return "percentage" if set(plain) & set("%‰‱٪") else "characters"


def _named(char: str) -> str:
    return f"{char!r} ({unicodedata.name(char, f'U+{ord(char):04X}')})"


def _labels(ledger: Ledger, data: Lexicon) -> set[str]:
    """Names of inputs and of categories, except those made of plain words alone."""
    plain = data.vocabulary
    found = set()
    for claim in ledger.values():
        is_label = claim.kind == "text" and claim.feature is not None and claim.id.endswith((".name", ".label"))
        is_class = claim.kind == "category" and claim.id.endswith((".label", ".target", ".foil", ".typical"))
        is_value = claim.kind == "category" and claim.feature is not None and claim.id.endswith(".value")
        if isinstance(claim.value, str) and (is_label or is_class or is_value):
            words = set(re.findall(r"[\w’'%-]+", fold(claim.value)))
            if any(c.isalnum() for word in words for c in word) and not words <= plain:
                found.add(fold(claim.value))
    return found


def _problem(kind: str, sentence: Sentence, token: str | None, message: str, mend: str) -> Problem:
    return Problem(kind=kind, sentence=sentence.id, token=token, message=message, mend=mend)
