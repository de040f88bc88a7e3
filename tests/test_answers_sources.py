"""From characters to tokens and back: sources, recording with the model's own sampling, and planted truth."""

from __future__ import annotations

import itertools
import json
from functools import cache
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from xagent.relevance import (
    Passage,
    RelevanceError,
    Source,
    Tracer,
    chunks,
    record_answer,
    recorded,
    sentences,
    sources_from,
    token_sources,
    tools,
    trace_answer,
    turns,
)

FIXTURE = Path(__file__).parent.parent / "fixtures" / "answer"
PLANTED = json.loads((FIXTURE / "planted.json").read_text())
CHAT = "{% for m in messages %}<s> {{ m.content }} {% endfor %}{% if add_generation_prompt %}? amber{% endif %}"
pytestmark = pytest.mark.usefixtures("one_thread")


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


TOOLED: list[dict[str, Any]] = [
    {"role": "user", "content": "which animals"},
    {"role": "assistant", "content": None, "tool_calls": [{"id": "7", "function": {"name": "zoo", "arguments": {}}}]},
    {"role": "tool", "tool_call_id": "7", "content": "owl cat"},
    {
        "role": "user",
        "content": [
            {"type": "text", "text": "and"},
            {"type": "tool_result", "tool_use_id": "7", "content": [{"type": "text", "text": "fox"}]},
            {"type": "image", "url": "none"},
        ],
    },
    {"role": "function", "name": "farm", "content": {"pigs": 2}},
]


def test_outputs_of_tools_are_sources_of_their_own() -> None:
    text = '[which animals] [owl cat] [and fox] [{"pigs": 2}]'
    found = tools(text, TOOLED)
    assert [p.name for p in found] == ["tool.1.zoo", "tool.2.zoo", "tool.3.farm"]
    assert texts(text, found) == ["owl cat", "fox", '{"pigs": 2}']
    assert texts(text, turns(text, TOOLED)) == ["which animals", "owl cat", "and fox", '{"pigs": 2}']
    with pytest.raises(RelevanceError, match=r"turn\.3\.tool"):
        tools("[which animals] [and fox]", TOOLED)


def test_a_tools_output_gets_the_relevance_of_what_it_said() -> None:
    messages = [{"role": "user", "content": "blue fox"}, {"role": "tool", "name": "zoo", "content": "amber owl"}]
    record = record_answer(model(), tokenizer(), messages=messages, max_new_tokens=1, template={"chat_template": CHAT})
    answer = Tracer(model()).matrix(record, sources="tools")
    assert record.answer == "owl"
    assert [(s.name, s.text, s.start, s.end) for s in answer.sources] == [("tool.1.zoo", "amber owl", 17, 26)]
    assert float(answer.matrix[0, 0]) > 0.5 * float(answer.scores[0])
    with pytest.raises(RelevanceError, match="no tools"):
        record_answer(model(), tokenizer(), "<s> blue fox ? blue", max_new_tokens=1).sources("tools")


@pytest.mark.parametrize(
    ("second", "message"), [((2, 4), "lies within"), ((4, 9), "overlaps"), ((0, 6), "lies within"), ((5, 4), "no char")]
)
def test_sources_that_share_characters_are_refused(second: tuple[int, int], message: str) -> None:
    with pytest.raises(RelevanceError, match=message):
        sources_from([Passage("one", 0, 6), Passage("two", *second)], [(0, 3), (3, 6), (6, 9)], "abcdefghi")


@settings(max_examples=20, deadline=None)
@given(st.lists(st.integers(1, 14), min_size=1, max_size=5, unique=True), st.integers(0, 3))
def test_every_token_is_in_exactly_one_place(positions: list[int], sink: int) -> None:
    record = recorded(tokenizer(), PLANTED["prompts"][0]["prompt"], "cat ?")
    positions = sorted(p for p in positions if p < len(record.prompt_ids))
    sources = [Source(str(p), (p,)) for p in positions]
    answer = Tracer(model()).matrix(record, sources=sources, way="rows", sink=sink)
    assert answer.tokens is not None
    named = [p for p in positions if p >= sink]
    prompt = len(record.prompt_ids)
    rest = [p for p in range(prompt) if p not in named and p >= sink]
    torch.testing.assert_close(answer.sink, answer.tokens[:, :sink].sum(1))
    torch.testing.assert_close(answer.other, answer.tokens[:, rest].sum(1))
    torch.testing.assert_close(answer.own, answer.tokens[:, prompt:].sum(1))
    for i, p in enumerate(positions):
        assert float(answer.matrix[0, i]) == (float(answer.tokens[0, p]) if p in named else 0.0)


def test_the_tracers_names_for_answers() -> None:
    record = recorded(tokenizer(), PLANTED["prompts"][0]["prompt"], PLANTED["prompts"][0]["continued"])
    tracer = Tracer(model(), rules="fastest")
    one = tracer.matrix(record, way="rows", seed="centred")
    other = tracer.matrix(record.prompt_ids, record.answer_ids, record.sources(), way="rows", seed="centred")
    torch.testing.assert_close(one.matrix, other.matrix)
    assert one.rules == "fastest"
    assert one.tokens is not None
    whole, bare = tracer.closure(one), tracer.closure(one.tokens)
    assert float(whole.tokens.sum() + whole.ledger + whole.kept.sum()) == pytest.approx(whole.score)
    torch.testing.assert_close(bare.tokens, whole.tokens, rtol=1e-3, atol=1e-3)  # this model has next to no ledger
    for wrong in ({"answer": "cat"}, {"sources": "turns"}):
        with pytest.raises(RelevanceError, match="record"):
            tracer.matrix(record.prompt_ids, **{"answer": record.answer_ids, **wrong})
    with pytest.raises(RelevanceError, match="closure"):
        tracer.closure(torch.ones(3, 2))


def test_what_cannot_be_recorded_is_named() -> None:
    class Encoder(torch.nn.Module):
        config = SimpleNamespace(is_encoder_decoder=True)

    with pytest.raises(RelevanceError, match="no chat template"):
        record_answer(model(), tokenizer(), messages=[{"role": "user", "content": "hi"}])
    strict = "{% for m in messages %}{{ raise_exception('roles must alternate') }}{% endfor %}"
    with pytest.raises(RelevanceError, match="roles must alternate"):
        record_answer(
            model(), tokenizer(), messages=[{"role": "user", "content": "hi"}], template={"chat_template": strict}
        )
    with pytest.raises(RelevanceError, match="encoder"):
        record_answer(Encoder().eval(), tokenizer(), "hi")
    with pytest.raises(RelevanceError, match="encoder"):
        trace_answer(Encoder().eval(), [1], [2])
    with pytest.raises(RelevanceError, match="cannot generate"):
        record_answer(torch.nn.Linear(1, 1), tokenizer(), "hi")


def test_generation_ends_at_its_stop_token() -> None:
    planted = PLANTED["prompts"][0]
    stop = tokenizer().convert_tokens_to_ids(planted["answer"])
    ended = record_answer(model(), tokenizer(), planted["prompt"], max_new_tokens=6, eos_token_id=stop)
    assert ended.answer == planted["answer"]  # what ends an answer is a part of it
    assert ended.answer_ids.tolist() == [stop]


def test_stop_strings_come_with_the_tokenizer_that_generate_needs(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: dict[str, Any] = {}

    def generate(input_ids: torch.Tensor, **options: Any) -> torch.Tensor:
        asked.update(options)
        return torch.cat([input_ids, input_ids[:, -1:]], 1)

    monkeypatch.setattr(model(), "generate", generate)
    record_answer(model(), tokenizer(), PLANTED["prompts"][0]["prompt"], stop_strings=["cat"])
    assert asked["tokenizer"] is tokenizer()


class Chain(torch.nn.Module):
    """Every token is read off tokens that the test names: position i sees `sees[i]`, in the given shares."""

    def __init__(self, sees: dict[int, dict[int, float]], length: int) -> None:
        super().__init__()
        generator = torch.Generator().manual_seed(5)
        self.table = torch.nn.Embedding(20, 8, _weight=torch.rand(20, 8, generator=generator) + 0.1)
        self.attention = torch.zeros(length, length)
        for i, shares in sees.items():
            for j, share in shares.items():
                self.attention[i, j] = share

    def get_input_embeddings(self) -> Any:
        return self.table

    def forward(self, inputs_embeds: torch.Tensor) -> torch.Tensor:
        seen = self.attention[: inputs_embeds.shape[1], : inputs_embeds.shape[1]]
        logits: torch.Tensor = (seen @ inputs_embeds) @ self.table.weight.T
        return logits


def test_closure_follows_a_planted_chain_of_thought() -> None:
    """Prompt 0-4; thought 5 reads prompt 1, thought 6 reads 5 and prompt 3, the answer reads thought 6 alone."""
    chain = Chain({4: {1: 1.0}, 5: {5: 0.75, 3: 0.25}, 6: {6: 1.0}}, 8).eval()
    answer = trace_answer(chain, [1, 2, 3, 4, 5], [6, 7, 8], way="rows", sink=0)
    assert answer.tokens is not None
    last = torch.tensor([0.0, 0.0, 1.0], dtype=torch.float64)
    own = answer.tokens[2]
    assert own.nonzero().flatten().tolist() == [6]  # without closure nothing of it is in the prompt
    closure = answer.closure(last)
    assert closure.tokens.nonzero().flatten().tolist() == [1, 3]
    share = float(answer.tokens[1, 3] / answer.scores[1])  # of the middle thought, what comes from the prompt directly
    expected = torch.tensor([0, 1 - share, 0, share, 0], dtype=torch.float64) * float(answer.scores[2])
    torch.testing.assert_close(closure.tokens, expected, rtol=1e-5, atol=1e-6)
    assert float(closure.tokens.sum()) == pytest.approx(closure.score)
    assert not bool(closure.kept.any())


def test_closure_brings_the_third_value_back_to_its_pair() -> None:
    """The trained model: after two values and two questions of its own, the last value still comes from the prompt."""
    hits = 0
    for planted in PLANTED["prompts"][:8]:
        record = recorded(tokenizer(), planted["prompt"], planted["continued"])
        answer = record.explain(model(), by=planted["chunks"], way="rows", seed="centred")
        last = torch.zeros(7, dtype=torch.float64)
        last[6] = 1
        closure = answer.closure(last)
        total = float(closure.tokens.sum() + closure.ledger + closure.kept.sum())
        assert total == pytest.approx(float(answer.scores[6]), rel=1e-9)
        assert closure.sink + closure.other + float(closure.sources.sum()) == pytest.approx(float(closure.tokens.sum()))
        hits += int(closure.sources.argmax()) == planted["sources"][2]
    assert hits >= 7
