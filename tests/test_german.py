"""German: the same facts as in English, printed by the rules of the language, and checked as strictly."""

from __future__ import annotations

import ast
import re
import tomllib
from collections import Counter
from collections.abc import Iterator
from importlib.resources import files
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from narrative_samples import every_finding, ledger_of, replaced, simple, without
from test_report_sample import report

from xagent.errors import ConfigurationFault, UsageFault
from xagent.evidence import Claim, Finding, Ledger
from xagent.narrative import Narrative, Sentence, compose, render_value, verify, verify_text
from xagent.narrative._lexicon import lexicon
from xagent.narrative._reading import misreading
from xagent.narrative._words import blocks, figures, findings, words
from xagent.personas import languages, load_persona, persona_names
from xagent.report import verify_report
from xagent.report._citations import german
from xagent.report._labels import said, speaking

ROOT = Path(__file__).parent.parent
READERS = persona_names()
KINDS = ("tabular", "text", "image", "regression")
_TOKEN = re.compile(r"⟦([^⟦⟧|]+)(?:\|[^⟦⟧]+)?⟧")
_ASSERTION = re.compile(r"⟪(\w+)\|([^⟪⟫|]*)\|[^⟪⟫]+⟫")


def _toml(name: str) -> dict[str, Any]:
    return tomllib.loads(files("xagent.narrative").joinpath(name).read_text(encoding="utf-8"))


# -- the catalogues are whole -------------------------------------------------------------------------------------


@pytest.mark.parametrize("read", [blocks, findings, figures])
def test_every_frame_has_german_words_with_the_same_claims_and_assertions(read: Any) -> None:
    english, own = read("en"), read("de")
    assert list(english) == list(own)
    for block, entries in english.items():
        for entry, other in zip(entries, own[block], strict=True):
            assert (entry.id, entry.when, entry.group, entry.each, entry.key) == (
                other.id, other.when, other.group, other.each, other.key,
            )  # fmt: skip
            assert not other.untold, f"{entry.id}: no German for {sorted(other.untold)}"
            for voice, wording in entry.text.items():
                told = other.text[voice]
                assert Counter(_TOKEN.findall(wording)) == Counter(_TOKEN.findall(told)), (entry.id, voice)
                assert Counter(_ASSERTION.findall(wording)) == Counter(_ASSERTION.findall(told)), (entry.id, voice)
                assert wording.count("⟨") == told.count("⟨"), (entry.id, voice)


@pytest.mark.parametrize("name", ["blocks", "checks", "findings", "figures"])
def test_no_german_wording_is_left_over(name: str) -> None:
    english = {
        text
        for items in _toml(f"{name}.en.toml").values()
        for item in items
        for text in item.values()
        if isinstance(text, str)
    }
    assert {item["en"] for item in _toml(f"{name}.de.toml")["frame"]} <= english


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_frame_holds_a_word_that_the_verifier_refuses(language: str) -> None:
    """Also of frames that no sample makes anybody say."""
    data = lexicon(language)
    for entries in (blocks(language) | findings(language) | figures(language)).values():
        for entry in entries:
            for wording in entry.text.values():
                bare = re.sub(r"⟦[^⟦⟧]*⟧|⟪[^⟪⟫]*⟫", "\x1f", wording).translate({ord("⟨"): None, ord("⟩"): None})
                refused = [(kind, match[0]) for kind, pattern in data.refused if (match := pattern.search(bare))]
                assert not refused, (entry.id, refused)
                strange = set(re.findall(r"[^\s\x1f.,;:()“”„!?/-]+", bare.lower())) - data.vocabulary
                assert not strange, (entry.id, strange)


def test_words_that_a_language_model_may_add_are_in_the_vocabulary() -> None:
    assert set(_toml("llm.de.toml")["plain"].split()) <= lexicon("de").vocabulary


def test_every_state_of_the_verifier_is_known_in_german() -> None:
    def rules(language: str) -> list[tuple[Any, ...]]:
        return [
            tuple((key, str(value)) for key, value in item.items() if key != "phrases")
            for item in _toml(f"states.{language}.toml")["state"]
        ]

    assert rules("de") == rules("en")
    own = _toml("states.de.toml")
    foreign = set(lexicon("en").states) | lexicon("en").standing
    said_twice = (set(lexicon("de").states) | lexicon("de").standing) & foreign
    assert not said_twice, f"still in English: {sorted(said_twice)}"
    assert all(item["phrases"] for item in own["state"])


def test_the_german_lexicon_has_every_class_of_words() -> None:
    english, own = _toml("lexicon.en.toml"), _toml("lexicon.de.toml")
    for part in ("refused", "direction", "comparison", "causal", "order", "guarded", "format"):
        assert set(own[part]) == set(english[part]), part
    assert _toml("words.de.toml")["alias"].keys() == _toml("words.en.toml")["alias"].keys()
    assert [band["under"] for band in _toml("words.de.toml")["band"]] == [
        band["under"] for band in _toml("words.en.toml")["band"]
    ]
    covered = {pattern for patterns in lexicon("de").roles.values() for pattern in patterns}
    missing = {p for patterns in lexicon("en").roles.values() for p in patterns} - covered
    assert not missing, "claims that no German word introduces"


def _labels() -> Iterator[str]:
    """Labels that code and templates ask for: what stands in a call of said()."""
    for path in (ROOT / "xagent" / "report").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Name) and node.func.id in ("said", "_head"):
                given = (c.value for a in node.args for c in ast.walk(a) if isinstance(c, ast.Constant))
                yield from (label for label in given if isinstance(label, str))
    for path in (ROOT / "templates" / "report").rglob("*.j2"):
        yield from re.findall(r'said\("([^"]*)"', path.read_text(encoding="utf-8"))


def test_every_label_and_every_field_of_the_checklists_has_german_words() -> None:
    known = tomllib.loads((ROOT / "xagent" / "report" / "labels.de.toml").read_text(encoding="utf-8"))["labels"]
    keys = {"ok", "status", "not_applicable"}  # looked up in a dict inside the call
    assert not set(_labels()) - set(known) - keys
    for path in (ROOT / "xagent" / "law").glob("checklist_*.toml"):
        for field in tomllib.loads(path.read_text(encoding="utf-8"))["fields"]:
            wanted = [field["field"], *(source["label"] for source in field["sources"])]
            assert not set(wanted) - set(known), path.name
    braces = {
        a: b for a, b in known.items() if Counter(re.findall(r"\{\w+\}", a)) != Counter(re.findall(r"\{\w+\}", b))
    }
    assert not braces


def test_the_personas_differ_in_words_alone() -> None:
    assert languages() == ("en", "de")
    for name in READERS:
        english, own = load_persona(name), load_persona(name, "de")
        words_of = {"title", "reader", "language", "avoid", "reading_grade", "sections"}
        assert english.model_dump(exclude=words_of) == own.model_dump(exclude=words_of)
        assert [(s.id, s.blocks) for s in english.sections] == [(s.id, s.blocks) for s in own.sections]
        assert own.language == "de"


# -- the same facts, verified -------------------------------------------------------------------------------------


def _ledgers() -> Iterator[tuple[str, Ledger, list[Finding]]]:
    for kind in KINDS:
        yield kind, ledger_of(kind), []
    yield "every finding", *every_finding()
    failed = Finding(
        id="trust.do-not-rely", kind="trust.do-not-rely", severity="stop", claims={"level": "trust.level"}
    )  # fmt: skip
    yield "do not rely", replaced(ledger_of(), *simple({"trust.level": "do not rely"})), [failed]
    yield (
        "bare",
        without(ledger_of(), "trust.", "telemetry.", "drift.", "deviation.", "reproduction.", "decision.t"),
        [],
    )


@pytest.mark.parametrize("reader", READERS)
@pytest.mark.parametrize("case", list(_ledgers()), ids=lambda case: case[0])
def test_german_says_what_english_says_and_is_verified(case: tuple[str, Ledger, list[Finding]], reader: str) -> None:
    _, ledger, found = case
    english, own = load_persona(reader), load_persona(reader, "de")
    told, said_ = compose(ledger, found, english), compose(ledger, found, own)
    assert verify(said_, ledger, own, found) == []
    assert [s.id for s in said_.sentences()] == [s.id for s in told.sentences()]
    for ours, theirs in zip(said_.sentences(), told.sentences(), strict=True):
        assert Counter(t.claim for t in ours.tokens) == Counter(t.claim for t in theirs.tokens), ours.id
        assert Counter((a.kind, a.claims) for a in ours.assertions) == Counter(
            (a.kind, a.claims) for a in theirs.assertions
        ), ours.id


@pytest.mark.parametrize("reader", READERS)
def test_every_digit_lies_in_a_token(reader: str) -> None:
    ledger, found = every_finding()
    for sentence in compose(ledger, found, load_persona(reader, "de")).sentences():
        rest = sentence.text
        for token in sentence.tokens:
            rest = rest.replace(token.text, "", 1)
        assert not any(char.isdigit() for char in rest), sentence.text


@settings(max_examples=60, deadline=None)
@given(st.data())
def test_a_token_that_says_something_else_is_found(data: st.DataObject) -> None:
    ledger, found = every_finding()
    persona = load_persona(data.draw(st.sampled_from(READERS)), "de")
    narrative = compose(ledger, found, persona)
    sentences = [s for s in narrative.sentences() if s.tokens]
    sentence = data.draw(st.sampled_from(sentences))
    place = data.draw(st.integers(0, len(sentence.tokens) - 1))
    token = sentence.tokens[place]
    digits = [i for i, char in enumerate(token.text) if char.isdigit()]
    if digits:
        at = data.draw(st.sampled_from(digits))
        other = token.text[:at] + str((int(token.text[at]) + 1) % 10) + token.text[at + 1 :]
    else:
        other = token.text + "er"
    texts = [t.text for t in sentence.tokens]
    texts[place] = other
    assert verify(_with(narrative, sentence, _printed(sentence, texts)), ledger, persona, found)


def _printed(sentence: Sentence, texts: list[str]) -> Sentence:
    """The sentence with other texts for its tokens."""
    literals = re.split(r"⟦[^⟦⟧]+⟧", sentence.frame)
    text = literals[0] + "".join(part + after for part, after in zip(texts, literals[1:], strict=True))
    tokens = tuple(t.model_copy(update={"text": new}) for t, new in zip(sentence.tokens, texts, strict=True))
    return sentence.model_copy(update={"text": text, "tokens": tokens})


def _with(narrative: Narrative, old: Sentence, new: Sentence) -> Narrative:
    return Narrative.model_validate_json(
        narrative.model_dump_json().replace(old.model_dump_json(), new.model_dump_json())
    )


def _problems(old: str, new: str, *, reader: str = "regulator", kind: str = "tabular") -> set[str]:
    """Kinds of problems of the first sentence that says `old`, after its frame, text and assertions say `new`."""
    ledger, persona = ledger_of(kind), load_persona(reader, "de")
    narrative = compose(ledger, [], persona)
    sentence = next(s for s in narrative.sentences() if old in s.text)
    turned = Sentence.model_validate_json(sentence.model_dump_json().replace(old, new))
    found = verify(_with(narrative, sentence, turned), ledger, persona, [])
    return {problem.kind for problem in found if problem.sentence == sentence.id}


@pytest.mark.parametrize(
    ("old", "new", "kind"),
    [
        ("sprach für", "sprach gegen", "direction"),
        ("sprach gegen", "sprach für", "direction"),
        ("dafür sprachen", "dagegen sprachen", "direction"),
        ("über", "unter", "comparison"),
        ("Der erfasste Score wurde reproduziert", "Der erfasste Score wurde nicht reproduziert", "state"),
        ("längsten", "kürzesten", "order"),
    ],
)
def test_words_that_turn_a_fact_are_found(old: str, new: str, kind: str) -> None:
    assert kind in _problems(old, new)


# -- words that colour, count or doubt ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("word", "kind"),
    [
        ("zwei", "number"), ("fünfundvierzig", "number"), ("dreihundert", "number"), ("die Hälfte", "number"),
        ("ein Drittel", "number"), ("mehrfach", "number"), ("vierzig", "number"), ("doppelter", "number"),
        ("zweiter", "ordinal"), ("letzte", "ordinal"), ("zuletzt", "ordinal"), ("zwanzigsten", "ordinal"),
        ("Prozent", "percentage"), ("prozentual", "percentage"), ("im März", "date"), ("am Dienstag", "date"),
        ("gestern", "date"), ("Euro", "currency"), ("deutlicher", "persuasive"), ("überzeugend", "persuasive"),
        ("starkes", "persuasive"), ("erheblichem", "persuasive"), ("wahrscheinlich", "hedge"),
        ("offensichtlich", "hedge"), ("zweifellos", "hedge"), ("könnte", "hedge"), ("vermutlich", "hedge"),
        ("weil", "causal"), ("verursachte", "causal"), ("aufgrund", "causal"), ("daher", "causal"),
        ("nicht", "negation"), ("keine", "negation"), ("ohne", "negation"), ("höheres", "comparison"),
        ("mehr als", "comparison"), ("größtes", "order"), ("hauptsächlich", "order"), ("am meisten", "superlative"),
        ("erhöhte", "direction"), ("spricht dagegen", "direction"), ("maximale", "superlative"),
        ("sämtliche", "quantifier"), ("Quark", "unknown-word"), ("é", "characters"), ("7", "number"), ("½", "number"),
    ],
)  # fmt: skip
def test_a_bare_word_is_refused_by_its_kind(word: str, kind: str) -> None:
    ledger, persona = ledger_of(), load_persona("regulator", "de")
    narrative = compose(ledger, [], persona)
    sentence = next(s for s in narrative.sentences() if s.id == "block.identity.1")
    text = {"frame": f"{word} {sentence.frame}", "text": f"{word} {sentence.text}"}
    found = verify(_with(narrative, sentence, sentence.model_copy(update=text)), ledger, persona, [])
    assert kind in {p.kind for p in found if p.sentence == sentence.id}, found


# -- signs of the language ----------------------------------------------------------------------------------------


def _claim(value: Any, kind: str = "value", **more: Any) -> Claim:
    return Claim(id="decision.score", kind=kind, value=value, artifact="case", **more)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("claim", "policy", "text"),
    [
        (_claim(1234567.891), "round(2)", "1.234.567,89"),
        (_claim(-0.5), "exact", "−0,5"),
        (_claim(0.62, scale="probability"), "percent(1)", "62,0\u00a0%"),
        (_claim(0.01, "compare", scale="points"), "points(0)", "1 Prozentpunkt"),
        (_claim(-0.123, "compare", scale="points"), "points(1)", "12,3 Prozentpunkte"),
        (_claim(46.0, unit="% of income"), "exact", "46\u00a0% of income"),
        (_claim(21.5, unit="°C"), "round(1)", "21,5°C"),
        (_claim(1.5e-9), "sci(1)", "1,5e−9"),
        (_claim("2026-03-20T14:05:00+01:00", "time"), "date", "20. März 2026"),
        (_claim("2026-03-20T14:05:00+01:00", "time"), "time", "20. März 2026, 13:05 Uhr UTC"),
        (_claim(90061.0, scale="seconds"), "duration", "1 Tag 1 Stunde"),
        (_claim(0.25, scale="seconds"), "duration", "0,250 Sekunden"),
        (_claim("Straße", "category"), "quoted", "„Straße“"),
        (_claim(None, "category"), "name", "nicht erfasst"),
    ],
)
def test_a_claim_is_printed_and_read_by_german_rules(claim: Claim, policy: str, text: str) -> None:
    assert render_value(claim, policy, "de") == text
    assert misreading(text, claim, policy, "de") is None
    english = render_value(claim, policy, "en")
    assert english == text or misreading(english, claim, policy, "de") is not None


@settings(max_examples=100, deadline=None)
@given(
    st.floats(-1e12, 1e12, allow_nan=False),
    st.sampled_from(["exact", "round(0)", "round(3)", "signed(2)", "size(1)", "sci(3)"]),
)
def test_any_number_reads_back(value: float, policy: str) -> None:
    claim = _claim(value)
    assert misreading(render_value(claim, policy, "de"), claim, policy, "de") is None


def test_words_of_the_program_are_german_and_those_of_the_case_are_not() -> None:
    def printed(key: str, value: str, kind: str = "category", **more: Any) -> str:
        claim = Claim(id=key, kind=kind, value=value, artifact="case", **more)  # type: ignore[arg-type]
        text = render_value(claim, "term", "de")
        assert misreading(text, claim, "term", "de") is None
        return text

    assert printed("trust.level", "do not rely") == "nicht verwenden"
    assert printed("relevance.driver.1.name", "row 2, column 15", "text", feature="cell.2.15") == "Zeile 2, Spalte 15"
    assert printed("confidence.set.why", "There are too few known cases to compare with (1,200).", "text").endswith(
        "(1.200)"
    )
    assert printed("decision.label", "strong") == "strong"  # the case says so
    assert printed("input.debt.value", "fair", feature="debt") == "fair"


# -- reports and doors --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("reader", READERS)
def test_a_german_report_holds_and_shows_no_english_label(reader: str) -> None:
    made = report(reader, language="de")
    found = verify(Narrative.model_validate(made.data["narrative"]), made.ledger, load_persona(reader, "de"))
    assert (found, made.verification.verified) == ([], made.verification.total)
    assert made.name.endswith(f".{reader}.de")
    page = re.sub(r"(?s)<(style|script).*?</\1>", "", made.html)
    assert '<html lang="de"' in made.html
    words_shown = " ".join(re.sub(r"<[^>]+>", " ", page).split())
    for english in (
        "Before you read on",
        "Score of",
        "The model",
        "Threshold",
        "Spoke for",
        "Evidence",
        "Share",
        "Why",
    ):
        assert english not in words_shown, english


def test_labels_are_those_of_the_report_that_is_drawn() -> None:
    assert said("Threshold") == "Threshold"
    with speaking("de"):
        assert said("Threshold") == "Schwellenwert"
        with pytest.raises(ConfigurationFault, match=r"labels\.de\.toml"):
            said("Nobody wrote this")
    assert said("Threshold") == "Threshold"
    with pytest.raises(ConfigurationFault, match="language"), speaking("xx"):
        pass


@pytest.mark.parametrize(
    ("cited", "text"),
    [
        ("AI Act Art. 13(3)(b)(iv) and (vii) (applies from 2 December 2027)",
         "Art. 13 Abs. 3 Buchst. b Ziff. iv und Ziff. vii KI-VO (gilt ab 2. Dezember 2027)"),
        ("AI Act Annex IV(1)(c) and (6)", "Anhang IV Nr. 1 Buchst. c und Nr. 6 KI-VO"),
        ("GDPR Art. 13(2)(f) and 15(1)(h)", "Art. 13 Abs. 2 Buchst. f und Art. 15 Abs. 1 Buchst. h DSGVO"),
        ("CJEU C-203/22 paras 74-76", "EuGH C-203/22 Rn. 74-76"),
        ("NIST AI RMF MEASURE 2.9", "NIST AI RMF MEASURE 2.9"),
    ],
)  # fmt: skip
def test_citations_are_written_as_german_lawyers_do(cited: str, text: str) -> None:
    assert german(cited) == text


def test_a_language_that_is_not_there_is_refused(tmp_path: Path) -> None:
    from xagent import explain

    with pytest.raises(ConfigurationFault, match="'fr'"):
        load_persona("regulator", "fr")
    own = (ROOT / "xagent" / "personas" / "business_user.toml").read_text(encoding="utf-8")
    file = tmp_path / "mine.toml"
    file.write_text(own.replace('name = "business_user"', 'name = "mine"'), encoding="utf-8")
    with pytest.raises(ConfigurationFault, match="written in 'en'"):
        load_persona(file, "de")
    with pytest.raises(UsageFault, match="not in 'de'"):
        explain("case.json", load_persona("regulator"), language="de")
    with pytest.raises(ConfigurationFault):
        words("fr")
    with pytest.raises(ConfigurationFault, match="'de'"):  # prose of others is read in English alone, and it says so
        verify_text("Das Einkommen sprach für die Ablehnung.", ledger_of(), load_persona("regulator", "de"))


# -- reading ------------------------------------------------------------------------------------------------------

_VOWELS = re.compile(r"[aeiouyäöü]+", re.IGNORECASE)


def wiener_sachtextformel(text: str) -> float:
    """School grade of a German text (Bamberger and Vanecek 1984, first formula); syllables are groups of vowels."""
    sentences = [s for s in re.split(r"[.!?](?:\s|$)", text) if s.strip()]
    found = re.findall(r"[A-Za-zÄÖÜäöüß]+", text)
    syllables = [len(_VOWELS.findall(word)) or 1 for word in found]
    total = len(found)
    long_, short = sum(n >= 3 for n in syllables), sum(n == 1 for n in syllables)
    wide = sum(len(word) > 6 for word in found)
    return (
        0.1935 * 100 * long_ / total + 0.1672 * total / len(sentences)
        + 0.1297 * 100 * wide / total - 0.0327 * 100 * short / total - 0.875
    )  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", ["business_user", "customer"])
def test_plain_german_is_readable(kind: str, reader: str) -> None:
    persona = load_persona(reader, "de")
    text = " ".join(s.text for s in compose(ledger_of(kind), [], persona).sentences())
    assert persona.reading_grade is not None
    assert wiener_sachtextformel(text) <= persona.reading_grade, wiener_sachtextformel(text)


# -- real cases ---------------------------------------------------------------------------------------------------

CASES = sorted((ROOT / "fixtures").glob("*/case*.json"))
QUICK = {"credit/case-declined", "digits/case"}


@pytest.mark.parametrize(
    "case",
    [
        pytest.param(path, id=name, marks=[] if name in QUICK else pytest.mark.slow)
        for path in CASES
        if (name := f"{path.parent.name}/{path.stem}")
    ],
)
def test_every_reader_of_a_fixture_is_told_in_german_and_all_of_it_is_verified(case: Path) -> None:
    """One run for each language: the same claims are shown, and every sentence and figure holds."""
    from xagent._explain import explain_all

    with pytest.raises(UsageFault, match="two different readers are called 'customer'"):
        explain_all(case, [load_persona("customer", language) for language in ("en", "de")])
    reports = [explain_all(case, READERS, language=language) for language in ("en", "de")]
    for english, own in zip(*reports, strict=True):
        assert (english.data["persona"]["language"], own.data["persona"]["language"]) == ("en", "de")
        assert (own.verification.verified, own.verification.problems) == (own.verification.total, [])
        assert own.verification.total == english.verification.total
        assert own.data["claims"] == english.data["claims"]
        shown = [Counter(t["claim"] for s in _sentences(r.data) for t in s["tokens"]) for r in (english, own)]
        assert shown[0] == shown[1]
        assert not verify_report(own.data).problems


def _sentences(data: dict[str, Any]) -> list[dict[str, Any]]:
    words_ = data["narrative"]
    parts = [s for section in words_["sections"] for s in section["sentences"]]
    return parts + [item["sentence"] for part in ("warnings", "findings") for item in words_[part]]
