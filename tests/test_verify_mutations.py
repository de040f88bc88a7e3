"""The verifier finds what is wrong: every single change of a verified narrative, or of its ledger, is a problem."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrative_samples import decision_claims, every_finding, ledger_of, replaced, simple

from xagent.evidence import Claim, Ledger
from xagent.narrative import Assertion, Narrative, Problem, Sentence, Token, compose, render_value, verify
from xagent.narrative._kinds import KINDS
from xagent.narrative._lexicon import lexicon
from xagent.narrative._reading import hides, misreading
from xagent.narrative._sentence import Context, check_sentence, check_title
from xagent.personas import load_persona, persona_names
from xagent.report._verify import REPORT_KINDS

BUSINESS, SCIENTIST, REGULATOR = (load_persona(n) for n in ("business_user", "data_scientist", "regulator"))
READERS = [load_persona(name) for name in persona_names()]
LEDGER = ledger_of()
GOOD = compose(LEDGER, [], BUSINESS)
TOP = "relevance.driver.1"


def changed(narrative: Narrative, ident: str, change: Callable[[Sentence], Sentence | None]) -> Narrative:
    """The narrative with one sentence changed, or left out when `change` gives None. @claim: the one that cites it."""
    if ident.startswith("@"):
        ident = next(s.id for s in narrative.sentences() if any(t.claim == ident[1:] for t in s.tokens))
    assert any(sentence.id == ident for sentence in narrative.sentences())
    sections = []
    for section in narrative.sections:
        kept = [change(s) if s.id == ident else s for s in section.sentences]
        sections.append(section.model_copy(update={"sentences": tuple(s for s in kept if s is not None)}))
    return narrative.model_copy(update={"sections": tuple(sections)})


def worded(old: str, new: str) -> Callable[[Sentence], Sentence]:
    """Other words in frame, text and assertions alike: a narrator that means it."""

    def change(sentence: Sentence) -> Sentence:
        assert old in sentence.frame, sentence.frame
        stated = [a.model_copy(update={"word": a.word.replace(old, new)}) for a in sentence.assertions]
        return sentence.model_copy(
            update={
                "frame": sentence.frame.replace(old, new, 1),
                "text": sentence.text.replace(old, new, 1),
                "assertions": tuple(stated),
            }
        )

    return change


def cited(old: str, new: str) -> Callable[[Sentence], Sentence]:
    """Another claim in a token, printed as it should be."""

    def change(sentence: Sentence) -> Sentence:
        swap = {old: new, new: old} if any(t.claim == new for t in sentence.tokens) else {old: new}
        tokens = [t.model_copy(update={"claim": swap.get(t.claim, t.claim)}) for t in sentence.tokens]
        literals = re.split(r"⟦[^⟧]*⟧", sentence.frame)
        frame = text = literals[0]
        for token, literal in zip(tokens, literals[1:], strict=True):
            frame += f"⟦{token.claim}|{token.policy}⟧{literal}"
            text += render_value(LEDGER[token.claim], token.policy) + literal
        return sentence.model_copy(update={"frame": frame, "text": text, "tokens": tuple(tokens)})

    return change


def kinds(narrative: Narrative, ledger: Ledger = LEDGER, persona: Any = BUSINESS) -> set[str]:
    problems = verify(narrative, ledger, persona)
    assert all(p.message for p in problems)
    return {p.kind for p in problems}


def test_the_unchanged_narrative_is_verified() -> None:
    assert verify(GOOD, LEDGER, BUSINESS, []) == []


@pytest.mark.parametrize(
    ("ident", "old", "new", "kind"),
    [
        (TOP, "spoke for", "spoke against", "direction"),
        ("relevance.driver.2", "spoke against", "supported", "direction"),
        (TOP, "above", "below", "comparison"),
        (TOP, "above", "equal to", "comparison"),
        ("block.score.5", "above", "below", "comparison"),
        (TOP, "the value is", "the value is clearly", "hedge"),
        (TOP, "the value is", "the very high value is", "hedge"),
        (TOP, "the value is", "the alarming value is", "persuasive"),
        (TOP, ": the value is", " because the value is", "causal"),
        (TOP, ": the value is", ", which led to it: the value is", "causal"),
        (TOP, "the value is", "the two values say: the value is", "number"),
        (TOP, "the value is", "half the value is", "number"),
        (TOP, "the value is", "the second value is", "ordinal"),
        (TOP, "the value is", "the 3 values: the value is", "number"),
        (TOP, "the value is", "the ½ value is", "number"),
        (TOP, "the value is", "the ٣ value is", "number"),
        (TOP, "the value is", "in March the value is", "date"),
        (TOP, "the value is", "in euros the value is", "currency"),
        (TOP, "the value is", "the € value is", "currency"),
        (TOP, "the value is", "income and the value is", "name"),
        (TOP, "the value is", "for Approved the value is", "name"),
        (TOP, "the value is", "late payments in the last year: the value is", "name"),
        (TOP, "the value is", "higher: the value is", "comparison"),
        (TOP, "the value is", "strongest: the value is", "order"),
        (TOP, "the value is", "it raised the value: the value is", "direction"),
        (TOP, "the value is", "it is not so: the value is", "negation"),
        (TOP, "the value is", "by SHAP the value is", "avoid"),
        (TOP, "the value is", "the applicant is lazy: the value is", "unknown-word"),
        (TOP, "the value is", "the limit is", "role"),
        (TOP, "(⟦", "(limit ⟦", "role"),
        ("block.deviation.1", "looks like the cases the model knows", "is unusual for the model", "state"),
        ("block.reproduction.1", "the same score", "another score", "state"),
        ("block.summary.10", "These points", "Those points", "standing"),
    ],
)  # fmt: skip
def test_other_words(ident: str, old: str, new: str, kind: str) -> None:
    def change(sentence: Sentence) -> Sentence:
        if old != "(⟦":
            return worded(old, new)(sentence)
        return sentence.model_copy(
            update={"frame": sentence.frame.replace(old, new), "text": sentence.text.replace("(", "(limit ", 1)}
        )

    assert kind in kinds(changed(GOOD, ident, change))


@pytest.mark.parametrize(
    ("ident", "old", "new", "kind"),
    [
        (TOP, f"{TOP}.value", f"{TOP}.typical", "role"),
        (TOP, f"{TOP}.value", "relevance.driver.2.value", "feature"),
        (TOP, f"{TOP}.share", "relevance.driver.3.share", "feature"),
        (TOP, f"{TOP}.name", "relevance.driver.2.name", "feature"),
        (TOP, "relevance.target", "relevance.foil", "role"),
        (TOP, "reference.name", "window.name", "baseline"),
        ("block.score.5", "decision.threshold", "decision.score", "role"),
        ("block.decision.1", "decision.label", "relevance.foil", "role"),
        ("block.summary.7", "relevance.for.count", "relevance.against.count", "unbound"),
        ("@trust.keep.share", "trust.keep.share", "trust.random.share", "role"),
    ],
)
def test_another_claim_in_a_token(ident: str, old: str, new: str, kind: str) -> None:
    assert kind in kinds(changed(GOOD, ident, cited(old, new)))


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_other_digit_or_letter_in_the_text(data: st.DataObject) -> None:
    """The text alone is changed, anywhere, by one character."""
    sentence = data.draw(st.sampled_from([s for part in GOOD.sections for s in part.sentences]))
    place = data.draw(st.integers(0, len(sentence.text) - 1))
    other = data.draw(st.sampled_from("0123456789ax−%. ").filter(lambda c: c != sentence.text[place]))
    text = sentence.text[:place] + other + sentence.text[place + 1 :]
    bad = changed(GOOD, sentence.id, lambda s: s.model_copy(update={"text": text}))
    assert kinds(bad) & {"text", "value"}


@settings(max_examples=80, deadline=None)
@given(st.data())
def test_any_other_value_in_the_ledger(data: st.DataObject) -> None:
    """A claim that a sentence prints changes so much that it prints differently, or its sign is turned."""
    persona = data.draw(st.sampled_from(READERS))
    narrative = compose(LEDGER, [], persona)
    token = data.draw(st.sampled_from([t for s in narrative.sentences() for t in s.tokens]))
    claim = LEDGER[token.claim]
    if isinstance(claim.value, str):
        value: Any = "2020-01-01T00:00:00+00:00" if claim.kind == "time" else claim.value + " or so"
    else:
        value = data.draw(st.sampled_from([claim.value * 2 + 1, -claim.value - 1, claim.value + 100]))
    other = claim.model_copy(update={"value": value})
    if render_value(claim, token.policy) != render_value(other, token.policy):
        assert kinds(narrative, replaced(LEDGER, other), persona)


@pytest.mark.parametrize("key", [f"relevance.driver.{n}.effect" for n in range(1, 8)])
def test_a_turned_sign_in_the_ledger(key: str) -> None:
    claim = LEDGER[key]
    assert isinstance(claim.value, float) and claim.sign
    turned = claim.model_copy(update={"value": -claim.value, "sign": -claim.sign})
    assert "direction" in kinds(GOOD, replaced(LEDGER, turned))
    half = claim.model_copy(update={"value": -claim.value})
    assert "direction" in kinds(GOOD, replaced(LEDGER, half))


@pytest.mark.parametrize(
    ("changes", "kind"),
    [
        ({"baseline": "other people"}, "baseline"),
        ({"value": "below", "sign": -1}, "comparison"),
        ({"sign": -1}, "comparison"),
    ],
)
def test_another_comparison_in_the_ledger(changes: dict[str, Any], kind: str) -> None:
    other = LEDGER[f"{TOP}.compare"].model_copy(update=changes)
    assert kind in kinds(GOOD, replaced(LEDGER, other))


def test_units_are_not_mixed_and_someone_elses_facts_are_not_told() -> None:
    other = LEDGER[f"{TOP}.typical"].model_copy(update={"unit": "EUR"})
    ledger = replaced(LEDGER, other)
    assert "units" in kinds(compose(ledger, [], BUSINESS), ledger)
    theirs = LEDGER[f"{TOP}.value"].model_copy(update={"subject": "P-18"})
    assert "subject" in kinds(GOOD, replaced(LEDGER, theirs))
    hidden = LEDGER[f"{TOP}.value"].model_copy(update={"visibility": "regulator"})
    assert "hidden" in kinds(GOOD, replaced(LEDGER, hidden))


@pytest.mark.parametrize(
    ("ident", "kind"),
    [
        ("block.decision.1", "required"),
        ("block.score.5", "required"),
        ("block.trust.2", "required"),
        ("block.deviation.1", "required"),
        (TOP, "order"),
        ("relevance.driver.2", "order"),
        ("relevance.driver.6", "two-sides"),
        ("block.summary.7", "two-sides"),
        ("block.summary.9", "two-sides"),
    ],
)
def test_a_sentence_left_out(ident: str, kind: str) -> None:
    assert kind in kinds(changed(GOOD, ident, lambda s: None))


def test_drivers_out_of_order() -> None:
    part = GOOD.sections[1]
    turned = part.model_copy(update={"sentences": (part.sentences[0], *part.sentences[:0:-1])})
    assert "order" in kinds(GOOD.model_copy(update={"sections": (GOOD.sections[0], turned, *GOOD.sections[2:])}))


def test_figures_are_verified_too() -> None:
    alt = GOOD.figures[0].alt
    bad = alt.model_copy(update={"text": alt.text.replace("34%", "35%")})
    assert "value" in kinds(GOOD.model_copy(update={"figures": (GOOD.figures[0].model_copy(update={"alt": bad}),)}))
    assert "value" not in kinds(GOOD)


def test_warnings_are_all_there_and_in_order() -> None:
    ledger, findings = every_finding()
    good = compose(ledger, findings, REGULATOR)
    assert verify(good, ledger, REGULATOR, findings) == []
    for index in range(len(good.warnings)):
        fewer = good.model_copy(update={"warnings": good.warnings[:index] + good.warnings[index + 1 :]})
        assert any(p.kind == "warning" for p in verify(fewer, ledger, REGULATOR, findings))
    turned = good.model_copy(update={"warnings": good.warnings[::-1]})
    assert any(p.kind == "warning" for p in verify(turned, ledger, REGULATOR, findings))
    mild = good.warnings[0].model_copy(update={"severity": "warning"})
    assert verify(good.model_copy(update={"warnings": (mild, *good.warnings[1:])}), ledger, REGULATOR, findings)
    none = good.model_copy(update={"warnings": ()})
    assert any(p.kind == "warning" for p in verify(none, ledger, REGULATOR))


def test_reasons_are_refused_when_the_explanation_failed() -> None:
    ledger = replaced(LEDGER, *simple({"trust.level": "do not rely"}))
    found = kinds(GOOD, ledger)
    assert {"do-not-rely", "warning"} <= found


def test_a_free_sentence_of_an_llm_is_held_to_the_same_rules() -> None:
    def with_sentence(frame: str, text: str, tokens: list[Token], assertions: list[Assertion]) -> list[Problem]:
        free = Sentence(
            id="free", frame=frame, text=text, tokens=tuple(tokens), assertions=tuple(assertions), author="llm"
        )
        part = GOOD.sections[0]
        more = part.model_copy(update={"sentences": (*part.sentences, free)})
        return verify(GOOD.model_copy(update={"sections": (more, *GOOD.sections[1:])}), LEDGER, BUSINESS)

    score = Token(claim="decision.score", policy="percent(0)", text="62%")
    limit = Token(claim="decision.threshold", policy="percent(0)", text="50%")
    above = Assertion(kind="comparison", claims=("decision.score", "decision.threshold"), word="higher than")
    frame = "The score is ⟦decision.score|percent(0)⟧, higher than the limit of ⟦decision.threshold|percent(0)⟧."
    assert with_sentence(frame, "The score is 62%, higher than the limit of 50%.", [score, limit], [above]) == []
    assert with_sentence(frame, "The score is 62%, higher than the limit of 50%.", [score, limit], [])
    invented = Token(claim="decision.mood", policy="name", text="fine")
    kinds_found = {p.kind for p in with_sentence("Mood: ⟦decision.mood|name⟧.", "Mood: fine.", [invented], [])}
    assert "unknown-claim" in kinds_found
    assert with_sentence("The model was ⟦", "The model was ⟦", [], [])
    effect = Assertion(kind="comparison", claims=("relevance.driver.1.effect", "decision.score"), word="more than")
    assert any(
        p.kind == "comparison" for p in with_sentence("It is more than it.", "It is more than it.", [], [effect])
    )


def test_a_persona_calls_things_by_its_own_names() -> None:
    own = BUSINESS.model_copy(update={"vocabulary": {"case": "application", "inputs": "facts"}})
    narrative = compose(LEDGER, [], own)
    text = " ".join(s.text for s in narrative.sentences())
    assert "this application" in text and "this case" not in text.lower()
    assert verify(narrative, LEDGER, own) == []
    loaded = own.model_copy(update={"vocabulary": {"case": "alarming case"}})
    assert "vocabulary" in {p.kind for p in verify(compose(LEDGER, [], loaded), LEDGER, loaded)}


def test_another_readers_narrative_is_refused() -> None:
    assert "persona" in kinds(GOOD, LEDGER, REGULATOR)
    part = GOOD.sections[0].model_copy(update={"title": "A clearly good decision"})
    assert {"title", "section"} <= kinds(GOOD.model_copy(update={"sections": (part, *GOOD.sections[1:])}))


def test_a_policy_that_hides_a_difference_is_refused() -> None:
    claim = Claim(id="telemetry.duration", kind="value", value=36_000.0, scale="seconds", artifact="t")
    ledger = replaced(LEDGER, claim)
    narrative = compose(ledger, [], SCIENTIST)
    assert verify(narrative, ledger, SCIENTIST) == []
    for wrong in ("0 days", "1 day", "10 minutes", "11 hours", "10 hours 1 minute"):
        spot = next(s for s in narrative.sentences() if "10 hours" in s.text and s.id.startswith("block."))
        text = spot.text.replace("10 hours", wrong)
        bad = changed(narrative, spot.id, lambda s, text=text: s.model_copy(update={"text": text}))  # type: ignore[misc]
        assert "value" in kinds(bad, ledger, SCIENTIST)


def inserted(char: str) -> Narrative:
    """The character among the words of a sentence, in frame and text alike."""
    return changed(GOOD, TOP, worded("the value is", f"the va{char}lue is"))


@pytest.mark.parametrize(
    ("char", "kind"),
    [
        ("４", "number"),
        ("Ⅳ", "number"),
        ("²", "number"),
        ("₂", "number"),
        ("五", "number"),
        ("٣", "number"),
        ("¾", "number"),
        ("％", "percentage"),
        ("٪", "percentage"),
        ("€", "currency"),
        ("＄", "currency"),
        ("\u200b", "characters"),
        ("\u200d", "characters"),
        ("\u2060", "characters"),
        ("\ufeff", "characters"),
        ("\u00ad", "characters"),
        ("\u0430", "characters"),
        ("ſ", "characters"),
        ("\u212a", "characters"),
        ("ﬁ", "characters"),
        ("\u0301", "characters"),
        ("\u202e", "characters"),
        ("\u2067", "characters"),
        ("\u00a0", "characters"),
        ("\n", "characters"),
        ("\x1f", "characters"),
        ("\ufffc", "characters"),
        ("🙂", "characters"),
    ],
)
def test_tricks_with_characters(char: str, kind: str) -> None:
    assert kind in kinds(inserted(char))


@pytest.mark.parametrize(
    ("words", "kind"),
    [
        ("in forty-six parts", "number"),
        ("in part ii", "number"),
        ("half of it", "number"),
        ("tenfold", "number"),
        ("per cent", "percentage"),
        ("basis points", "percentage"),
        ("lastly", "ordinal"),
        ("the twelfth", "ordinal"),
        ("in the last year", "date"),
        ("on Tuesday", "date"),
        ("in pence", "currency"),
        ("at the utmost", "superlative"),
        ("the biggest", "order"),
        ("all inputs", "quantifier"),
        ("every input", "quantifier"),
        ("it might", "hedge"),
        ("without doubt", "hedge"),
        ("it would", "hedge"),
        ("unfortunately", "persuasive"),
        ("which stems from", "causal"),
        ("it changes", "causal"),
        ("hardly", "negation"),
        ("which is above", "comparison"),
    ],
)
def test_bare_words_are_named_by_their_kind(words: str, kind: str) -> None:
    assert kind in kinds(changed(GOOD, TOP, worded("the value is", f"{words}: the value is")))


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_registered_phrase_is_said_in_passing(language: str) -> None:
    """Beside a token, in a sentence that holds without it; many phrases are made of plain words alone."""
    reader = load_persona("regulator", language)
    context = Context(LEDGER, LEDGER, reader, frozenset({"", "case", "P-17", "model", "population", "process"}))
    good = next(s for s in compose(LEDGER, [], reader).sentences() if s.id == TOP)
    assert not list(check_sentence(good, context))

    def beside(words: str) -> set[str]:
        more = {"frame": f"{good.frame} {words}.", "text": f"{good.text} {words}."}
        return {problem.kind for problem in check_sentence(good.model_copy(update=more), context)}

    data = lexicon(language)
    for phrase in sorted({*data.states, *data.standing}):
        assert "state" in beside(phrase), phrase
    turned = {
        "en": ("the answer was changed by a person", "errors, and in the process", "a person has changed answers"),
        "de": ("das Ergebnis hat eine Person geändert", "die erklärte Version ist die gelaufene"),
    }
    for words in turned[language]:
        assert beside(words) == {"state"}, words
        assert list(check_title(words, language)), words


def test_a_registered_phrase_is_no_name_for_an_input() -> None:
    own = BUSINESS.model_copy(update={"aliases": {"debt_ratio": "debts, and a person changed the answer"}})
    assert "vocabulary" in {p.kind for p in verify(compose(LEDGER, [], own), LEDGER, own)}


@pytest.mark.parametrize(
    "text",
    ["４６% of income", "٤٦% of income", "46.0% of income", "+46% of income", "046% of income", "46 % of income"],
)
def test_a_figure_is_printed_in_one_way_only(text: str) -> None:
    def change(sentence: Sentence) -> Sentence:
        tokens = [t.model_copy(update={"text": text}) if t.claim == f"{TOP}.value" else t for t in sentence.tokens]
        return sentence.model_copy(
            update={"text": sentence.text.replace("46% of income", text), "tokens": tuple(tokens)}
        )

    assert kinds(changed(GOOD, TOP, change)) & {"value", "text"}


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_any_token_told_otherwise_fails(data: st.DataObject) -> None:
    """One token changed in text and list alike, so that only reading it back can find it."""
    persona = data.draw(st.sampled_from(READERS))
    narrative = compose(LEDGER, [], persona)
    sentence = data.draw(st.sampled_from([s for part in narrative.sections for s in part.sentences if s.tokens]))
    index = data.draw(st.integers(0, len(sentence.tokens) - 1))
    token = sentence.tokens[index]
    place = data.draw(st.integers(0, len(token.text) - 1))
    other = data.draw(st.sampled_from("0123456789axZ−+%., ４\u0430\u200b").filter(lambda c: c != token.text[place]))
    how = data.draw(st.sampled_from(["replace", "insert", "delete"]))
    told = {
        "replace": token.text[:place] + other + token.text[place + 1 :],
        "insert": token.text[:place] + other + token.text[place:],
        "delete": token.text[:place] + token.text[place + 1 :],
    }[how]
    tokens = [token.model_copy(update={"text": told}) if i == index else t for i, t in enumerate(sentence.tokens)]
    literals = re.split(r"⟦[^⟧]*⟧", sentence.frame)
    text = literals[0] + "".join(t.text + after for t, after in zip(tokens, literals[1:], strict=True))
    if told != token.text:
        bad = changed(narrative, sentence.id, lambda s: s.model_copy(update={"text": text, "tokens": tuple(tokens)}))
        assert kinds(bad, LEDGER, persona) & {"value", "text"}


@pytest.mark.parametrize(
    ("policy", "text"), [("exact", "+3"), ("signed(0)", "+3"), ("round(1)", "+3.0"), ("sci(0)", "+3e0")]
)
def test_a_whole_effect_shows_its_sign(policy: str, text: str) -> None:
    claim = LEDGER[f"{TOP}.effect"].model_copy(update={"value": 3.0})
    assert render_value(claim, policy) == text
    assert misreading(text, claim, policy) is None
    assert misreading(text[1:], claim, policy)
    ledger = replaced(LEDGER, claim)
    told = compose(ledger, [], SCIENTIST)
    assert verify(told, ledger, SCIENTIST) == []
    assert any("effect +3 (" in s.text for s in told.sentences())


def test_a_cause_needs_a_change_that_was_scored_again() -> None:
    who: dict[str, Any] = {"subject": "P-17", "feature": "income", "artifact": "counterfactual"}
    scored = [
        Claim(id="counterfactual.1.name", kind="text", value="income", **who),
        Claim(id="counterfactual.1.value", kind="value", value=60_000.0, unit="EUR", scale="raw", decimals=0, **who),
        Claim(id="counterfactual.1.score", kind="value", value=0.48, scale="probability", **who),
    ]
    ledger = replaced(LEDGER, *scored)

    def told(word: str, claims: tuple[str, ...], shown: int = 3) -> set[str]:
        tokens = [
            Token(claim=c.id, policy=p, text=render_value(c, p))
            for c, p in zip(scored, ("name", "round(0)", "percent(0)"), strict=True)
        ]
        parts = ["With ", " set to ", f", this {word} the score: the score is "]
        kept = list(zip(parts, tokens, strict=True))[:shown]
        frame = "".join(f"{part}⟦{t.claim}|{t.policy}⟧" for part, t in kept) + (f" {word}." if shown < 3 else ".")
        text = "".join(part + t.text for part, t in kept) + (f" {word}." if shown < 3 else ".")
        stated = (Assertion(kind="causal", claims=claims, word=word),) if claims else ()
        free = Sentence(id="free", frame=frame, text=text, tokens=tuple(t for _, t in kept), assertions=stated)
        part = GOOD.sections[0]
        more = GOOD.model_copy(
            update={"sections": (part.model_copy(update={"sentences": (*part.sentences, free)}), *GOOD.sections[1:])}
        )
        return kinds(more, ledger)

    assert told("moves", ("counterfactual.1.score",)) == set()
    assert "causal" in told("moves", ())
    assert "causal" in told("moves", ("decision.score",))
    assert "causal" in told("causes", ("counterfactual.1.score",))
    assert "causal" in told("moves", ("counterfactual.1.score",), shown=2)


def test_a_figure_may_not_hide_that_something_is_there() -> None:
    small = LEDGER[f"{TOP}.share"].model_copy(update={"value": 0.003})
    assert (
        misreading("0%", small, "percent(0)") is None and hides(small, "percent(0)") and not hides(small, "percent(1)")
    )
    near = replaced(
        LEDGER,
        *[
            c
            for c in decision_claims(0.502, 0.5)
            if c.id in ("decision.score", "decision.threshold", "decision.margin")
        ],
    )
    frame = "The score is ⟦decision.score|percent(0)⟧, higher than the limit of ⟦decision.threshold|percent(0)⟧."
    tokens = tuple(Token(claim=f"decision.{k}", policy="percent(0)", text="50%") for k in ("score", "threshold"))
    above = Assertion(kind="comparison", claims=("decision.score", "decision.threshold"), word="higher than")
    free = Sentence(
        id="free",
        frame=frame,
        text="The score is 50%, higher than the limit of 50%.",
        tokens=tokens,
        assertions=(above,),
    )
    told = compose(near, [], BUSINESS)
    part = told.sections[0].model_copy(update={"sentences": (*told.sections[0].sentences, free)})
    assert kinds(told.model_copy(update={"sections": (part, *told.sections[1:])}), near) == {"precision"}


def test_a_personas_word_may_not_take_the_meaning_of_another() -> None:
    own = BUSINESS.model_copy(update={"vocabulary": {"limit": "score"}})
    assert "vocabulary" in {p.kind for p in verify(compose(LEDGER, [], own), LEDGER, own)}


def test_every_kind_of_problem_is_documented() -> None:
    """The kinds that the sources emit are those of the list, and the page prints each."""
    room = Path(__file__).parents[1] / "xagent/narrative"
    source = "".join((room / f"{name}.py").read_text() for name in ("_verify", "_sentence", "_backing"))
    emitted = set(re.findall(r'(?:_problem|_whole|yield|kind=)\(?\s*"([a-z-]+)"', source)) | set(
        dict(lexicon().refused)
    )
    assert emitted - {"ledger"} <= set(KINDS)
    page = (Path(__file__).parents[1] / "docs/verification.md").read_text()
    assert [kind for kind in (*KINDS, *REPORT_KINDS) if f"`{kind}`" not in page] == []


@pytest.mark.parametrize("name", ["_verify", "_sentence", "_stated", "_backing", "_reading", "_lexicon", "_format"])
def test_the_verifier_shares_no_code_with_the_narrators(name: str) -> None:
    """Whatever makes a narrator wrong must not make the verifier wrong in the same way."""
    seen, waiting = set(), [name]
    room = Path(__file__).parents[1] / "xagent/narrative"
    while waiting:
        here = waiting.pop()
        for module in re.findall(r"from xagent\.narrative\.?(\w*) import", (room / f"{here}.py").read_text()):
            if module not in seen:
                seen.add(module)
                waiting.append(module)
    assert seen <= {"_sentence", "_stated", "_backing", "_reading", "_lexicon", "_format", "_model"}
    for narrator in ("_compose", "_frame", "_render", "_words"):
        used = re.findall(r"from xagent\.narrative\.?(\w*) import", (room / f"{narrator}.py").read_text())
        assert not set(used) & {"_sentence", "_stated", "_backing", "_reading", "_lexicon", "_format", "_verify"}
