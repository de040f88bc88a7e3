"""Prompts as people write them: retrieved passages of several sentences, chats, tools; a small byte-level model."""

from __future__ import annotations

import itertools
import json
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, processors, trainers
from transformers import BertConfig, BertLMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from xagent.case import Case, GenerationInput, Message, OutputSpec, located, validated
from xagent.errors import InvalidCase
from xagent.relevance import Passage, sources_from
from xagent.relevance import sentences as engine_sentences
from xagent.subject import AnswerSubject, Subject, load_subject
from xagent.subject._passages import Part, parts_of, positions_of, sentences
from xagent.subject._template import chat_text
from xagent.tools import Context, run_tool

RULES = "Refunds are paid within 14 days. Dr. Huber approves every refund above 200 euros."
MAIL = "The parcel arrived broken!\n\nPlease refund 250 euros."
QUESTION = "Who has to approve this refund?"
PROMPT = f"Answer from the passages.\n\nRules: {RULES}\n\nMail: {MAIL}\n\n{QUESTION}"
TEMPLATE = (
    "{{ bos_token }}{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] | trim }}\n{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
CHAT = [
    {"role": "system", "content": "Use the tools."},
    {"role": "user", "content": QUESTION},
    {"role": "tool", "content": '{"rule": "Dr. Huber approves every refund above 200 euros."}'},
]


@pytest.fixture(scope="module")
def parts() -> tuple[LlamaForCausalLM, PreTrainedTokenizerFast]:
    torch.manual_seed(0)
    bpe = Tokenizer(models.BPE())
    bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    bpe.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    bpe.train_from_iterator([PROMPT] * 3, trainer)
    bpe.post_processor = processors.TemplateProcessing(single="<s> $A", special_tokens=[("<s>", 0)])
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, bos_token="<s>", eos_token="</s>", pad_token="</s>")
    tokenizer.chat_template = TEMPLATE
    config = LlamaConfig(
        vocab_size=len(tokenizer), hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=64,
        max_position_embeddings=512, bos_token_id=0, eos_token_id=1, tie_word_embeddings=True,
    )  # fmt: skip
    return LlamaForCausalLM(config).eval(), tokenizer


@pytest.fixture(scope="module")
def folder(parts: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("model")
    for part in parts:
        part.save_pretrained(path / "model")
    return path


def case_of(folder: Path, **given_input: Any) -> Case:
    data = {
        "schema": "xagent.case/1",
        "id": "rag",
        "subject": "mail-1",
        "model": {
            "format": "transformers", "path": "model", "name": "m", "version": "1", "output": {"kind": "generation"},
        },
        "input": {"kind": "generation", **given_input},
        "prediction": {"score": -1.0, "scale": "log_probability", "decided_at": "2026-01-01T00:00:00Z"},
    }  # fmt: skip
    case = validated(Case, json.loads(json.dumps(data)), "case.json")
    case._folder = folder
    return case


def test_sentences_of_retrieved_passages(folder: Path) -> None:
    case = case_of(folder, prompt=PROMPT, answer=" Dr. Huber approves it.")
    subject = load_subject(case)
    assert isinstance(subject, AnswerSubject)
    encoded = subject.encode(case.input)
    told = encoded.exchange
    assert told is not None and told.prompt_ids[0] == 0 and told.kinds == ("sentence",) * 6
    assert told.texts == (
        "Answer from the passages.",
        "Rules: Refunds are paid within 14 days.",
        "Dr. Huber approves every refund above 200 euros.",
        "Mail: The parcel arrived broken!",
        "Please refund 250 euros.",
        QUESTION,
    )
    for player, text in zip(encoded.players, told.texts, strict=True):
        # the tokens of a sentence are its words, with the space before each
        assert "".join(told.prompt_tokens[i] for i in player.index).strip() == text
    assert "".join(told.answer_tokens) == " Dr. Huber approves it."


@pytest.mark.parametrize("rules", ["conserving", "gradient"])
def test_documents_carry_a_longer_answer(folder: Path, rules: str) -> None:
    """The matrix, made by another pass than the drivers, adds up to them; both to the score under conserving rules."""
    sources = [
        {"name": "rules", "kind": "document", "text": f"{RULES} "},
        {"name": "mail", "kind": "tool", "text": MAIL},
        {"name": "task", "kind": "instruction", "text": "Answer from the passages."},
    ]
    case = case_of(folder, prompt=PROMPT, answer=" Dr. Huber approves every refund above 200 euros.", sources=sources)
    subject = load_subject(case)
    found = run_tool("relevance", Context(case, None, subject, rules=rules))  # type: ignore[arg-type]
    assert found.status == "ok", found.why
    answer = found.data["answer"]
    assert [(s["label"], s["kind"], s["text"]) for s in answer["sources"]] == [
        ("rules", "document", RULES), ("mail", "tool", MAIL), ("task", "instruction", "Answer from the passages."),
    ]  # fmt: skip
    summed = torch.tensor(answer["matrix"]).sum(0)
    listed = torch.tensor([s["relevance"] for s in answer["sources"]])
    torch.testing.assert_close(summed, listed, rtol=1e-3, atol=1e-5)
    assert answer["way"] == ("columns" if rules == "conserving" else "rows")
    if rules == "conserving":
        inputs = float(listed.sum()) + answer["sink"] + answer["other"] + answer["own"]
        assert inputs == pytest.approx(found.data["score"], rel=1e-4, abs=1e-6)


def test_a_chat_with_a_tool(folder: Path) -> None:
    case = case_of(folder, messages=CHAT, answer="Dr. Huber", by="turns")
    subject = load_subject(case)
    encoded = subject.encode(case.input)
    assert encoded.exchange is not None
    assert encoded.exchange.prompt.startswith("<s><|system|>Use the tools.\n<|user|>")
    assert encoded.exchange.prompt.endswith("\n<|assistant|>")
    assert int((encoded.exchange.prompt_ids == 0).sum()) == 1  # the template wrote the first token, once
    assert encoded.exchange.kinds == ("instruction", "turn", "tool")
    assert [player.label for player in encoded.players] == ["turn 1, system", "turn 2, user", "turn 3, tool"]
    assert encoded.exchange.texts == tuple(message["content"] for message in CHAT)
    named = case_of(
        folder,
        messages=CHAT,
        answer="Dr. Huber",
        sources=[{"name": "rule", "kind": "tool", "text": "Dr. Huber approves"}],
    )
    assert [player.label for player in subject.encode(named.input).players] == ["rule"]
    by_sentence = subject.encode(case_of(folder, messages=CHAT, answer="a").input)
    assert by_sentence.exchange is not None and len(by_sentence.players) == 3


@pytest.mark.parametrize(
    ("template", "said"),
    [
        (None, "holds no chat template"),
        ("{{ messages[0].__class__.__mro__ }}", "SecurityError"),
        ("{{ ''['__class__'] }}", "SecurityError"),
        ("{% set n = namespace(_x=1) %}{{ n._x }}", "SecurityError"),
        ("{{ strftime_now('%Y') }}", "date of today"),
        ("{{ raise_exception('roles must alternate') }}", "roles must alternate"),
        ("{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}", "too long"),
        ("{% set n = namespace(t='x') %}{% for a in range(60) %}{% set n.t = n.t ~ n.t %}{% endfor %}", "emory"),
        ("{% if %}", "TemplateSyntaxError"),
        ("{{ '' }}", "empty or an endless text"),
        ("x" * 100_001, "longer than"),
    ],
)  # fmt: skip
def test_a_template_that_does_harm_is_one_clear_error(template: str | None, said: str) -> None:
    with pytest.raises(InvalidCase, match=said):
        chat_text(template, [Message(role="user", content="hello")], "<s>", "</s>")


def test_a_template_that_rewrites_a_turn_is_named(folder: Path, parts: Any) -> None:
    model, tokenizer = parts
    subject = Subject.from_language_model(model, tokenizer)
    subject.template = "{% for message in messages %}{{ message.content | upper }}{% endfor %}"
    given_input = case_of(folder, messages=CHAT, answer="a", by="turns").input
    with pytest.raises(InvalidCase, match=r"input\.messages\.0: .* word for word"):
        subject.encode(given_input)


def test_models_that_write_no_answers_are_refused(parts: Any) -> None:
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=400, hidden_size=16, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16
    )
    with pytest.raises(InvalidCase, match="depends on the tokens after it"):
        Subject.from_language_model(BertLMHeadModel(config).eval(), parts[1])


def test_recorded_tokens_are_kept(folder: Path, parts: Any) -> None:
    """`Huber` has more than one spelling in tokens; what was recorded counts."""
    tokenizer = parts[1]
    whole = tokenizer(" Huber", add_special_tokens=False)["input_ids"]
    letters = [tokenizer(c, add_special_tokens=False)["input_ids"][0] for c in " Huber"]
    subject = load_subject(case_of(folder, prompt=PROMPT, answer=" Huber"))
    scores = []
    for ids in (whole, letters):
        encoded = subject.encode(case_of(folder, prompt=PROMPT, answer=" Huber", answer_ids=ids).input)
        assert encoded.exchange is not None and encoded.exchange.answer_ids.tolist() == ids
        scores.append(float(subject.logits(encoded.inputs)[0, 1]))
    assert len(letters) > len(whole) and scores[0] != scores[1]


def test_a_live_model_is_explained(parts: Any) -> None:
    from xagent import explain

    model, tokenizer = parts
    moment = datetime(2026, 1, 1, tzinfo=UTC)
    common = {"model": model, "tokenizer": tokenizer, "decided_at": moment, "settings": None}
    report = explain(prompt=PROMPT, answer=" Dr. Huber.", sources={"rules": RULES, "mail": MAIL}, **common)
    assert report.verification.verified == report.verification.total and not report.verification.problems
    assert report.ledger["answer.text"].value == " Dr. Huber."
    own = explain(messages=CHAT, by="turns", max_new_tokens=4, persona="business_user", **common)
    assert own.ledger["answer.tokens.count"].value <= 4 and own.ledger["answer.sources.count"].value == 3
    assert own.ledger["reproduction.state"].value == "ok"


TEXTS = st.text(alphabet="ab. !?\n1A,", max_size=60)


@settings(max_examples=200, deadline=None)
@given(TEXTS)
def test_sentences_are_those_of_the_engine(text: str) -> None:
    assert sentences(text, 0, len(text)) == [(p.start, p.end) for p in engine_sentences(text)]


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.lists(st.integers(0, 60), max_size=8), st.lists(st.integers(0, 60), max_size=30))
def test_tokens_of_parts_are_those_of_the_engine(text: str, cuts: list[int], marks: list[int]) -> None:
    def spans(edges: list[int]) -> list[tuple[int, int]]:
        inside = sorted({edge for edge in edges if edge <= len(text)})
        return list(itertools.pairwise(inside))

    held, offsets = spans(cuts)[::2], [(0, 0), *spans(marks)]
    mine = positions_of([Part("", "passage", a, b) for a, b in held], offsets, text, 0)
    theirs = sources_from([Passage("", a, b) for a, b in held], offsets, text)
    assert mine == [source.positions for source in theirs]


@settings(max_examples=200, deadline=None)
@given(TEXTS, st.lists(st.tuples(st.integers(0, 59), st.integers(1, 10)), max_size=4))
def test_a_located_source_is_where_it_says_and_alone(text: str, cuts: list[tuple[int, int]]) -> None:
    class Named:
        def __init__(self, name: str, text: str) -> None:
            self.name, self.text = name, text

    asked = [Named(str(i), text[a : a + n]) for i, (a, n) in enumerate(cuts) if text[a : a + n].strip()]
    try:
        places = located([text], asked)
    except ValueError as error:
        assert "overlaps" in str(error)
        return
    assert [text[a:b] for _, a, b in places] == [source.text.strip() for source in asked]
    taken = [c for _, a, b in places for c in range(a, b)]
    assert len(taken) == len(set(taken))


def test_equal_sentences_are_told_apart() -> None:
    given_input = GenerationInput(kind="generation", prompt="Yes. Not so. Yes. Yes.", answer="a")
    labels = [part.label for part in parts_of(given_input, "Yes. Not so. Yes. Yes.", [])]
    assert labels == ["Yes.", "Not so.", "Yes. (2)", "Yes. (3)"]


def test_an_output_of_words_has_no_classes() -> None:
    with pytest.raises(ValueError, match="neither classes nor a unit"):
        OutputSpec(kind="generation", classes=("a", "b"))
