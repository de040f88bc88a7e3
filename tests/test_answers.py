"""Whole answers of language models: span, rows and columns agree, and every line adds up to its score."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from answer_models import ANSWER, COLUMN_FAMILIES, IDS, PROMPT, REPLY, SOURCES, assert_same, explain, ids_of, model_of

from xagent.relevance import RelevanceError, Source, Target, Tracer, trace_answer
from xagent.relevance._answer_closure import close

pytestmark = pytest.mark.usefixtures("one_thread")


def test_the_two_rule_sets_differ_on_gates() -> None:
    model = model_of("llama")
    conserving, fastest = (explain(model, "columns", rules=rules) for rules in ("conserving", "fastest"))
    assert float((conserving.matrix - fastest.matrix).abs().max()) > 1e-3


@pytest.mark.parametrize(
    ("name", "rules"),
    [(name, "conserving") for name in (*COLUMN_FAMILIES, "mamba")]
    + [(name, rules) for name in ("llama", "gpt2", "mixtral") for rules in ("fastest", "gradient", "attnlrp")],
)
def test_span_is_the_sum_of_rows(name: str, rules: str) -> None:
    model, weights = model_of(name), torch.tensor([1.0, -0.5, 0.0, 2.0, 0.25, 1.0])
    rows = explain(model, "rows", rules=rules)
    span = explain(model, "span", rules=rules, weights=weights)
    assert_same(span, rows.span(weights))
    torch.testing.assert_close(span.tokens, rows.span(weights).tokens, rtol=0, atol=1e-5)
    assert span.matrix.shape == (1, 3)


@pytest.mark.parametrize("way", ["rows", "columns", "span"])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2"])
def test_every_line_adds_up(name: str, way: str) -> None:
    answer = explain(model_of(name), way)
    parts = answer.matrix.sum(1) + answer.sink + answer.other + answer.own
    torch.testing.assert_close(parts, answer.ledger.inputs)
    assert answer.status == "exact"
    assert float((answer.ledger.score - answer.ledger.total).abs().max()) <= 1e-5 * float(answer.scores.abs().max())
    assert bool((answer.ledger.biases.abs() > 1e-3).all()) == (name != "llama")
    assert bool((answer.ledger.positions.abs() > 1e-3).all()) == (name == "gpt2")


def test_a_row_is_a_trace_of_that_token() -> None:
    model = model_of("llama")
    seen = torch.cat([IDS, REPLY[:3]])
    x = model.get_input_embeddings()(seen[None]).detach()
    tracer = Tracer(model, forward=lambda i: model(**i, use_cache=False).logits[:, -1])
    trace = tracer.trace({"inputs_embeds": x}, of=["inputs_embeds"], target=Target.index(int(REPLY[3])))
    row = explain(model, "rows").tokens[3]
    torch.testing.assert_close(
        row[: len(seen)], trace.relevance["inputs_embeds"].sum(-1)[0].double(), rtol=0, atol=1e-5
    )
    assert not bool(row[len(seen) :].any())


@pytest.mark.parametrize("chunk", [2, 4, 64])
@pytest.mark.parametrize("name", ["qwen2", "qwen3-moe"])
def test_chunks_of_rows_change_nothing(name: str, chunk: int) -> None:
    model = model_of(name)
    assert_same(explain(model, "rows", chunk=chunk), explain(model, "rows", chunk=1))


def test_blocks_of_rows_change_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    model = model_of("llama")
    whole = explain(model, "rows")
    monkeypatch.setattr("xagent.relevance._answer_rows.rows.__defaults__", (1, 2))
    assert_same(explain(model, "rows"), whole)


@pytest.mark.parametrize("seed", ["logit", "centred", "log_probability", "contrast"])
@pytest.mark.parametrize("name", ["llama", "gemma2", "granite", "phi", "mixtral"])
def test_seeds_are_linear_in_the_logits_and_agree(name: str, seed: str) -> None:
    """The head computes only what a score needs: with a bias (phi), a soft cap (gemma2), a scale (granite) too."""
    model, foils = model_of(name), ids_of(ANSWER, 2)
    options: dict[str, Any] = {"seed": seed, **({"foils": foils} if seed == "contrast" else {})}
    rows = explain(model, "rows", **options)
    assert_same(explain(model, "columns", **options), rows)
    with torch.no_grad():
        logits = model(input_ids=torch.cat([IDS, REPLY])[None]).logits[0, PROMPT - 1 : -1]
    own = logits.gather(1, REPLY[:, None])[:, 0]
    less = {
        "logit": torch.zeros(ANSWER),
        "centred": logits.mean(1),
        "log_probability": (logits.softmax(1) * logits).sum(1),
        "contrast": logits.gather(1, foils[:, None])[:, 0],
    }
    torch.testing.assert_close(rows.scores.float(), own - less[seed], rtol=1e-4, atol=1e-4)
    weights = torch.tensor([1.0, -0.5, 0.0, 2.0, 0.25, 1.0])
    assert_same(explain(model, "span", weights=weights, **options), rows.span(weights))
    assert rows.status == "exact"


def test_contrast_is_the_difference_of_two_answers() -> None:
    model, foils = model_of("llama"), ids_of(ANSWER, 2)
    first = trace_answer(model, IDS, REPLY[:1], SOURCES, way="rows").matrix
    second = trace_answer(model, IDS, foils[:1], SOURCES, way="rows").matrix
    contrast = trace_answer(model, IDS, REPLY[:1], SOURCES, way="rows", seed="contrast", foils=foils[:1]).matrix
    torch.testing.assert_close(contrast, first - second, rtol=0, atol=1e-5)


def test_the_cheaper_way_is_chosen() -> None:
    model, long = model_of("llama"), ids_of(20, 4)
    assert trace_answer(model, IDS, long, SOURCES).way == "columns"
    assert trace_answer(model, IDS, long[:2], SOURCES).way == "rows"
    assert trace_answer(model, IDS, long, SOURCES, rules="attnlrp").way == "rows"
    assert trace_answer(model_of("mamba"), IDS, long, SOURCES).way == "rows"


def test_closure_conserves_and_equals_the_series() -> None:
    model = model_of("qwen2")
    answer = explain(model, "rows", seed="centred")
    weights = torch.tensor([0.0, 0, 0, 0, 1, 1], dtype=torch.float64)
    closure = answer.closure(weights)
    total = float(closure.tokens.sum() + closure.ledger + closure.kept.sum())
    assert total == pytest.approx(closure.score, rel=1e-9)
    assert closure.score == pytest.approx(float(weights @ answer.scores))
    by_source = float(closure.sources.sum()) + closure.sink + closure.other
    assert by_source == pytest.approx(float(closure.tokens.sum()))


def test_closure_is_the_limit_of_handing_on() -> None:
    generator = torch.Generator().manual_seed(0)
    own = torch.randn(5, 5, generator=generator, dtype=torch.float64).tril(-1)
    given = torch.rand(5, 3, generator=generator, dtype=torch.float64) + 2
    scores, weights = own.sum(1) + given.sum(1), torch.tensor([0, 0, 0, 1, 1], dtype=torch.float64)
    handed, kept, _ = close(own, given, scores, weights, floor=1e-3)
    hops, w = torch.zeros(3, dtype=torch.float64), weights
    for _ in range(5):  # nilpotent: after five hops nothing is left
        hops, w = hops + w @ given, (w @ own) / scores
    torch.testing.assert_close(handed, hops)
    assert not bool(kept.any())


def test_closure_keeps_what_a_weak_token_cannot_hand_on() -> None:
    own = torch.tensor([[0.0, 0], [3.0, 0]], dtype=torch.float64)
    given = torch.tensor([[-1.0], [1.0]], dtype=torch.float64)
    scores = torch.tensor([-1.0, 4.0], dtype=torch.float64)
    handed, kept, _ = close(own, given, scores, torch.tensor([0.0, 1.0], dtype=torch.float64), floor=1e-3)
    assert handed.tolist() == [1.0]
    assert kept.tolist() == [3.0, 0.0]


def test_closure_needs_rows() -> None:
    with pytest.raises(RelevanceError, match="rows"):
        explain(model_of("llama"), "columns").closure()


def test_the_sink_is_apart_and_can_be_switched_off() -> None:
    model = model_of("llama")
    sources = (Source("start", (0, 1)),)
    apart = trace_answer(model, IDS, REPLY, sources, way="rows")
    inside = trace_answer(model, IDS, REPLY, sources, way="rows", sink=0)
    torch.testing.assert_close(apart.matrix[:, 0] + apart.sink, inside.matrix[:, 0])
    assert float(apart.sink.abs().min()) > 0
    assert not bool(inside.sink.any())


def test_nothing_is_left_changed() -> None:
    model = model_of("llama")
    model.lm_head.weight.requires_grad_(False)
    before = [p.requires_grad for p in model.parameters()]
    state = torch.get_rng_state()
    for way in ("rows", "columns", "span"):
        explain(model, way)
    assert [p.requires_grad for p in model.parameters()] == before
    assert torch.equal(torch.get_rng_state(), state)
    assert torch.is_grad_enabled()
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in model.modules())


def test_bf16_answers_agree_within_its_precision() -> None:
    model = model_of("llama").to(torch.bfloat16)
    rows, columns = explain(model, "rows"), explain(model, "columns")
    assert rows.status == columns.status == "exact"
    assert float(F.cosine_similarity(rows.matrix.flatten(), columns.matrix.flatten(), dim=0)) > 0.99


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", ["llama", "qwen2", "gpt2", "gpt-oss", "gemma2", "phi3"])
def test_what_sixteen_bits_miss_is_computed_in_float32(name: str, dtype: torch.dtype) -> None:
    model = model_of(name).to(dtype)
    exact = {way: explain(model, way, precision="float32") for way in ("span", "rows", "columns")}
    for way, answer in exact.items():
        assert answer.precision == "float32"
        assert answer.ledger.gap.max() < 1e-3
        found = explain(model, way)  # "auto"
        assert found.ledger.gap.max() <= 1e-2
        assert found.precision in ("float32", str(dtype).removeprefix("torch."))
    assert_same(exact["rows"], exact["columns"])
    assert_same(exact["span"], exact["rows"].span())
    assert next(model.parameters()).dtype == dtype
    assert explain(model, "span", precision="model").precision == str(dtype).removeprefix("torch.")


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"prompt_ids": []}, "prompt_ids"),
        ({"answer_ids": [99]}, "vocabulary"),
        ({"sources": [Source("a", (1,)), Source("b", (1,))]}, '"b" shares'),
        ({"sources": [Source("a", (50,))]}, "outside the prompt"),
        ({"seed": "contrast"}, "foils"),
        ({"weights": [1.0]}, "weights"),
        ({"way": "span", "weights": [1.0]}, "weights"),
        ({"chunk": 0, "way": "rows"}, "chunk"),
    ],
)
def test_wrong_questions_are_named(options: dict[str, Any], message: str) -> None:
    asked: dict[str, Any] = {"prompt_ids": IDS, "answer_ids": REPLY, **options}
    with pytest.raises(RelevanceError, match=message):
        trace_answer(model_of("llama"), **asked)


def test_training_mode_and_broken_weights_are_refused() -> None:
    model = model_of("llama")
    with pytest.raises(RelevanceError, match="eval"):
        explain(model.train(), "rows")
    model.eval().lm_head.weight.data[:] = float("nan")
    for way in ("rows", "columns", "span"):
        with pytest.raises(RelevanceError, match="finite"):
            explain(model, way)


def test_one_token_of_prompt_and_of_answer() -> None:
    model = model_of("gpt2")
    one, other = (trace_answer(model, IDS[:1], REPLY[:1], way=way) for way in ("rows", "columns"))
    assert_same(one, other)
    assert one.own.tolist() == [0.0]
