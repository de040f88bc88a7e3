"""From characters to tokens and back: sources, recording with the model's own sampling, and planted truth."""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from xagent.relevance import (
    Passage,
    RelevanceError,
    chunks,
    record_answer,
    recorded,
    sentences,
    sources_from,
    token_sources,
    turns,
)

FIXTURE = Path(__file__).parent.parent / "fixtures" / "answer"
PLANTED = json.loads((FIXTURE / "planted.json").read_text())
CHAT = "{% for m in messages %}<s> {{ m.content }} {% endfor %}{% if add_generation_prompt %}? amber{% endif %}"


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The models are too small to share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@cache
def model() -> Any:
    return LlamaForCausalLM.from_pretrained(FIXTURE / "model").eval()


@cache
def tokenizer() -> Any:
    return PreTrainedTokenizerFast.from_pretrained(FIXTURE / "model")


def texts(text: str, passages: tuple[Passage, ...]) -> list[str]:
    return [text[p.start : p.end] for p in passages]


def test_sentences_end_where_a_reader_would_end_them() -> None:
    text = "Dr. Ada paid 3.50 euros. Did she? “Yes!” she said.\n\nA heading\n\n1. First point"
    expected = ["Dr. Ada paid 3.50 euros.", "Did she?", "“Yes!”", "she said.", "A heading", "1. First point"]
    assert texts(text, sentences(text)) == expected


@given(st.text(alphabet="ab .!?\n。1", max_size=60))
def test_sentences_hold_every_letter_once(text: str) -> None:
    found = sentences(text)
    assert all(a.end <= b.start for a, b in itertools.pairwise(found))
    assert "".join("".join(texts(text, found)).split()) == "".join(text.split())


@settings(max_examples=50)
@given(st.lists(st.integers(1, 5), min_size=1, max_size=8), st.lists(st.integers(0, 30), max_size=6))
def test_every_token_goes_to_one_passage_at_most(widths: list[int], cuts: list[int]) -> None:
    ends = [sum(widths[: i + 1]) for i in range(len(widths))]
    offsets = [(end - width, end) for end, width in zip(ends, widths, strict=True)]
    edges = sorted({c for c in cuts if c < ends[-1]} | {0, ends[-1]})
    passages = [Passage(str(i), a, b) for i, (a, b) in enumerate(itertools.pairwise(edges))]
    taken = [p for source in sources_from(passages, offsets, "x" * ends[-1]) for p in source.positions]
    assert sorted(taken) == list(range(len(widths)))


def test_a_token_goes_to_the_passage_with_most_of_its_letters() -> None:
    text = "ab cd"
    sources = sources_from([Passage("ab", 0, 2), Passage("cd", 3, 5)], [(0, 0), (0, 2), (2, 5)], text)
    assert [s.positions for s in sources] == [(1,), (2,)]


def test_chunks_and_turns_are_found_in_order() -> None:
    assert texts("x b b y", chunks("x b b y", ["b", "b"])) == ["b", "b"]
    assert [p.name for p in chunks("one two", {"doc": "one", "faq": "two"})] == ["doc", "faq"]
    with pytest.raises(RelevanceError, match="faq"):
        chunks("two one", {"doc": "one", "faq": "two"})
    messages = [{"role": "system", "content": "be kind"}, {"role": "user", "content": " hi "}, {"role": "tool"}]
    assert [p.name for p in turns("[be kind] [hi]", messages)] == ["turn.1.system", "turn.2.user"]


def test_token_sources_number_the_prompt() -> None:
    assert [s.positions for s in token_sources(3)] == [(0,), (1,), (2,)]


def test_recording_gives_the_models_own_words_with_offsets() -> None:
    planted = PLANTED["prompts"][0]
    record = record_answer(model(), tokenizer(), planted["prompt"], max_new_tokens=1)
    assert record.answer == planted["answer"]
    assert [record.answer[a:b] for a, b in record.answer_offsets] == [planted["answer"]]
    assert [record.prompt[a:b] for a, b in record.prompt_offsets] == planted["prompt"].split()


def test_sampling_is_seeded_and_leaves_the_process_as_it_was() -> None:
    state = torch.get_rng_state()
    prompt = PLANTED["prompts"][0]["prompt"]
    options: dict[str, Any] = {"max_new_tokens": 6, "temperature": 9.0, "eos_token_id": -1}
    one, other, third = (record_answer(model(), tokenizer(), prompt, seed=s, **options).answer for s in (1, 1, 2))
    assert one == other != third
    assert torch.equal(torch.get_rng_state(), state)


def test_a_chat_is_explained_by_its_turns() -> None:
    messages = [{"role": "system", "content": "blue fox"}, {"role": "user", "content": "amber owl"}]
    record = record_answer(model(), tokenizer(), messages=messages, max_new_tokens=1, template={"chat_template": CHAT})
    answer = record.explain(model(), by="turns")
    assert [(s.name, s.text) for s in answer.sources] == [("turn.1.system", "blue fox"), ("turn.2.user", "amber owl")]
    assert record.answer == "owl"
    assert float(answer.matrix[0, 1]) > abs(float(answer.matrix[0, 0]))


def test_tokens_that_split_a_character_still_have_offsets() -> None:
    class Bytes:
        """Decodes bytes; an unfinished character is a replacement mark."""

        def decode(self, ids: list[int], **_: Any) -> str:
            return bytes(ids).decode("utf-8", errors="replace")

    from xagent.relevance._answer_record import decoded

    text, offsets = decoded(Bytes(), list("aé!".encode()))
    assert text == "aé!"
    assert offsets == [(0, 1), (1, 1), (1, 2), (2, 3)]


def test_planted_values_are_found_by_every_way() -> None:
    """The pair that is asked for gets most of the relevance of its value, out of six."""
    assert PLANTED["accuracy"] >= 0.99
    hits = total = 0
    for planted in PLANTED["prompts"][:8]:
        record = recorded(tokenizer(), planted["prompt"], planted["continued"])
        answers = [record.explain(model(), by=planted["chunks"], way=way) for way in ("rows", "columns")]
        torch.testing.assert_close(answers[0].matrix, answers[1].matrix, rtol=0, atol=1e-4)
        found = answers[0].matrix[[0, 3, 6]].argmax(1).tolist()
        hits, total = hits + sum(a == b for a, b in zip(found, planted["sources"], strict=True)), total + 3
    assert hits / total >= 0.95


def test_wrong_sources_are_named() -> None:
    record = recorded(tokenizer(), PLANTED["prompts"][0]["prompt"], "fox")
    with pytest.raises(RelevanceError, match="paragraphs"):
        record.sources("paragraphs")
    with pytest.raises(RelevanceError, match="either"):
        record_answer(model(), tokenizer())
