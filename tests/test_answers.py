"""Whole answers of language models: span, rows and columns agree, and every line adds up to its score."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Literal

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    DeepseekV3Config,
    DeepseekV3ForCausalLM,
    FalconConfig,
    FalconForCausalLM,
    Gemma2Config,
    Gemma2ForCausalLM,
    GPT2Config,
    GPT2LMHeadModel,
    GPTNeoXConfig,
    GPTNeoXForCausalLM,
    GptOssConfig,
    GptOssForCausalLM,
    GraniteConfig,
    GraniteForCausalLM,
    LlamaConfig,
    LlamaForCausalLM,
    MambaConfig,
    MambaForCausalLM,
    MixtralConfig,
    MixtralForCausalLM,
    Olmo2Config,
    Olmo2ForCausalLM,
    OPTConfig,
    OPTForCausalLM,
    Phi3Config,
    Phi3ForCausalLM,
    PhiConfig,
    PhiForCausalLM,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen3MoeConfig,
    Qwen3MoeForCausalLM,
)

from xagent.relevance import NoColumns, RelevanceError, Source, Target, Tracer, _columns_pass, trace_answer
from xagent.relevance._answer_closure import close
from xagent.relevance._answer_forward import Script
from xagent.relevance._columns_pass import attention_bytes, row_bytes

PROMPT, ANSWER = 9, 6
SOURCES = (Source("first", (1, 2)), Source("second", (3, 4, 6)), Source("third", (7,)))
SMALL: dict[str, Any] = {"vocab_size": 61, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 4}
GROUPED: dict[str, Any] = {**SMALL, "num_key_value_heads": 2, "intermediate_size": 24}
LATENT: dict[str, Any] = {
    **SMALL, "num_key_value_heads": 4, "intermediate_size": 24, "n_routed_experts": 4, "num_experts_per_tok": 2,
    "n_group": 1, "topk_group": 1, "moe_intermediate_size": 12, "q_lora_rank": 8, "kv_lora_rank": 8,
    "qk_rope_head_dim": 4, "qk_nope_head_dim": 4, "v_head_dim": 4, "first_k_dense_replace": 1,
}  # fmt: skip
COLUMN_FAMILIES = ["llama", "llama-eager", "qwen2", "gpt2", "neox", "mixtral", "qwen3-moe", "deepseek-v3", "gpt-oss",
                   "gemma2", "granite", "phi3", "phi", "olmo2", "falcon", "opt"]  # fmt: skip
GPT2: dict[str, Any] = {"vocab_size": 61, "n_embd": 16, "n_layer": 2, "n_head": 2, "n_positions": 128}


@pytest.fixture(autouse=True, scope="module")
def one_thread() -> Iterator[None]:
    """The models are too small to share."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def model_of(name: str) -> Any:
    """A small random model; biases and scales are random too, so that leaving one out shows."""
    torch.manual_seed(3)
    made: dict[str, Any] = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**GROUPED)),
        "llama-eager": lambda: LlamaForCausalLM(LlamaConfig(**GROUPED, attn_implementation="eager")),
        "qwen2": lambda: Qwen2ForCausalLM(Qwen2Config(**GROUPED)),
        "gpt2": lambda: GPT2LMHeadModel(GPT2Config(**GPT2)),
        "neox": lambda: GPTNeoXForCausalLM(GPTNeoXConfig(**SMALL, intermediate_size=24)),
        "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**GROUPED, num_local_experts=4)),
        "qwen3-moe": lambda: Qwen3MoeForCausalLM(
            Qwen3MoeConfig(**GROUPED, head_dim=4, moe_intermediate_size=12, num_experts=4, num_experts_per_tok=2)
        ),
        "deepseek-v3": lambda: DeepseekV3ForCausalLM(DeepseekV3Config(**LATENT)),
        "gpt-oss": lambda: GptOssForCausalLM(GptOssConfig(**GROUPED, head_dim=4, num_local_experts=4)),
        "gemma2": lambda: Gemma2ForCausalLM(Gemma2Config(**GROUPED, head_dim=4, final_logit_softcapping=0.5)),
        "granite": lambda: GraniteForCausalLM(GraniteConfig(**GROUPED, logits_scaling=4.0)),
        "phi3": lambda: Phi3ForCausalLM(Phi3Config(**GROUPED, pad_token_id=0, eos_token_id=0)),
        "phi": lambda: PhiForCausalLM(PhiConfig(**SMALL, intermediate_size=24)),
        "olmo2": lambda: Olmo2ForCausalLM(Olmo2Config(**GROUPED, eos_token_id=0)),
        "falcon": lambda: FalconForCausalLM(FalconConfig(**SMALL)),
        "opt": lambda: OPTForCausalLM(OPTConfig(**SMALL, ffn_dim=24, word_embed_proj_dim=16)),
        "mamba": lambda: MambaForCausalLM(
            MambaConfig(vocab_size=61, hidden_size=16, num_hidden_layers=2, state_size=4, eos_token_id=0)
        ),
    }
    model = made[name]().eval()
    for parameter in model.parameters():
        parameter.data.mul_(3) if parameter.dim() > 1 else parameter.data.add_(0.3 * torch.randn_like(parameter))
    return model


def ids_of(length: int, seed: int = 0) -> Tensor:
    return torch.randint(1, 61, (length,), generator=torch.Generator().manual_seed(seed))


IDS, REPLY = ids_of(PROMPT), ids_of(ANSWER, 1)
WAYS: tuple[Literal["rows", "columns"], ...] = ("rows", "columns")


def explain(model: Any, way: str, **options: Any) -> Any:
    return trace_answer(model, IDS, REPLY, SOURCES, way=way, **options)  # type: ignore[arg-type]


def assert_same(one: Any, other: Any, tolerance: float = 1e-5) -> None:
    scale = float(other.scores.abs().max())
    for name in ("matrix", "sink", "other", "own"):
        torch.testing.assert_close(getattr(one, name), getattr(other, name), rtol=0, atol=tolerance * scale, msg=name)
    for name in ("inputs", "biases", "positions", "constants", "softmax", "score"):
        ours, theirs = getattr(one.ledger, name), getattr(other.ledger, name)
        torch.testing.assert_close(ours, theirs, rtol=0, atol=tolerance * scale, msg=f"ledger {name}")


@pytest.mark.parametrize("rules", ["conserving", "fastest"])
@pytest.mark.parametrize("name", COLUMN_FAMILIES)
def test_columns_are_rows(name: str, rules: str) -> None:
    model = model_of(name)
    rows = explain(model, "rows", rules=rules)
    assert_same(explain(model, "columns", rules=rules), rows)
    assert float(rows.matrix.abs().max()) > 1e-3


def test_the_two_rule_sets_differ_on_gates() -> None:
    model = model_of("llama")
    conserving, fastest = (explain(model, "columns", rules=rules) for rules in ("conserving", "fastest"))
    assert float((conserving.matrix - fastest.matrix).abs().max()) > 1e-3


@pytest.mark.parametrize("name", COLUMN_FAMILIES)
def test_long_carriers_are_rows_too(name: str) -> None:
    """Late sources, more than one block of queries, and what carriers need not take part in."""
    model, prompt = model_of(name), ids_of(90, 7)
    sources = [Source("early", tuple(range(2, 30))), Source("late", tuple(range(60, 88)))]
    rows, columns = (trace_answer(model, prompt, REPLY, sources, way=way) for way in WAYS)
    assert_same(columns, rows)


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


def test_chunks_of_carriers_change_nothing() -> None:
    model = model_of("gpt2")
    script = Script(model, IDS, REPLY)
    least = 2 * row_bytes(script) + attention_bytes(script)
    assert_same(explain(model, "columns", memory=least), explain(model, "columns"))
    with pytest.raises(NoColumns, match="memory"):
        explain(model, "columns", memory=least - 1)


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


def test_columns_refuse_what_they_cannot_follow() -> None:
    with pytest.raises(NoColumns, match="rows"):
        explain(model_of("mamba"), "columns")
    with pytest.raises(NoColumns, match="conserving"):
        explain(model_of("llama"), "columns", rules="attnlrp")


class Mixing(torch.nn.Module):
    """A model that lets the samples of a batch see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = model_of("llama")
        self.config = self.inner.config

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def forward(self, inputs_embeds: Tensor) -> Tensor:
        logits: Tensor = self.inner(inputs_embeds=inputs_embeds.flip(0), use_cache=False).logits
        return logits


@pytest.mark.parametrize("name", COLUMN_FAMILIES)
def test_carriers_stay_out_of_what_only_scales(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries, keys, norms and routers are computed for the real row alone, by a plan that holds."""
    plans: list[Any] = []

    def spied(*args: Any) -> Any:
        plans.append(args[4])
        return forward(*args)

    forward = _columns_pass._forward
    monkeypatch.setattr(_columns_pass, "_forward", spied)
    explain(model_of(name), "columns")
    assert len(plans) <= 2  # experts differ from those of the first two tokens: planned once more
    last = plans[-1]
    assert last is not None
    assert sum(not live for _, live in last) > 0.1 * len(last)


class Backwards(Mixing):
    """A model that reads from the end: nothing of a carrier may be taken for zero without a look."""

    def forward(self, inputs_embeds: Tensor) -> Tensor:
        logits: Tensor = self.inner(inputs_embeds=inputs_embeds.flip(1), use_cache=False).logits
        return logits


def test_models_that_look_ahead_lose_nothing() -> None:
    model, sources = Backwards().eval(), [Source("early", tuple(range(2, 8))), Source("late", tuple(range(20, 28)))]
    rows, columns = (trace_answer(model, ids_of(30), REPLY[:4], sources, way=way) for way in WAYS)
    assert_same(columns, rows)
    assert float(rows.matrix.abs().min()) > 1e-4


def test_rows_that_meet_are_noticed() -> None:
    model = Mixing().eval()
    with pytest.raises(NoColumns, match="mixes the rows"):
        explain(model, "columns")
    assert explain(model, "rows").status == "exact"


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
