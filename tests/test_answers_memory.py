"""Long prompts: layers computed again change nothing, and the measured peak stays below the bound."""

from __future__ import annotations

from functools import cache
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, MixtralConfig, MixtralForCausalLM

from xagent.relevance import RelevanceError, Source, Target, Tracer, trace_answer
from xagent.relevance._answer_forward import Script
from xagent.relevance._answer_memory import LiveBytes
from xagent.relevance._answer_rows import rows, span
from xagent.relevance._table import rule_set

SIZES: dict[str, Any] = {"vocab_size": 101, "hidden_size": 32, "num_hidden_layers": 6, "num_attention_heads": 4,
    "num_key_value_heads": 2, "intermediate_size": 64, "max_position_embeddings": 4096}  # fmt: skip
PROMPT, ANSWER = 2048, 4
MIB = 1 << 20
pytestmark = pytest.mark.usefixtures("one_thread")


@cache
def model_of(name: str) -> Any:
    torch.manual_seed(1)
    made = {
        "llama": lambda: LlamaForCausalLM(LlamaConfig(**SIZES)),
        "gpt2": lambda: GPT2LMHeadModel(
            GPT2Config(vocab_size=101, n_embd=32, n_layer=6, n_head=4, n_positions=4096, bos_token_id=0, eos_token_id=0)
        ),
        "mixtral": lambda: MixtralForCausalLM(MixtralConfig(**SIZES, num_local_experts=4)),
    }
    return made[name]().eval()


def ids(length: int) -> Tensor:
    return torch.randint(1, 101, (length,), generator=torch.Generator().manual_seed(length))


@pytest.mark.parametrize("rules", ["conserving", "attnlrp"])
@pytest.mark.parametrize("name", ["llama", "gpt2", "mixtral"])
def test_layers_computed_again_change_nothing(name: str, rules: str) -> None:
    script, chosen = Script(model_of(name), ids(20), ids(3)), rule_set(rules)
    weights = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
    for plain, again in (
        (span(script, chosen, weights), span(script, chosen, weights, segments=True)),
        (rows(script, chosen), rows(script, chosen, segments=True)),
        (rows(script, chosen), rows(script, chosen, chunk=3, segments=True)),
    ):
        torch.testing.assert_close(again.parts, plain.parts, rtol=0, atol=1e-6)
        for entry, amount in plain.entries.items():  # nothing is posted twice
            torch.testing.assert_close(again.entries[entry], amount, rtol=0, atol=1e-6, msg=entry)
        assert float(plain.parts.abs().max()) > 1e-4
        assert plain.audit == again.audit
    assert all("forward" not in vars(m) for m in script.model.modules())


@pytest.mark.parametrize("rules", ["conserving", "gradient"])
def test_operations_without_a_rule_are_counted_once(rules: str) -> None:
    script, chosen = Script(model_of("llama"), ids(20), ids(3)), rule_set(rules)
    assert rows(script, chosen, segments=True).audit == rows(script, chosen).audit


@pytest.mark.parametrize(("way", "bound"), [("span", 20), ("rows", 24), ("columns", 30), ("columns", 60)])
@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test_the_peak_stays_below_the_bound(name: str, way: str, bound: int) -> None:
    sources = [Source(f"part.{i}", tuple(range(256 * i, 256 * i + 256))) for i in range(8)]
    with LiveBytes() as measured:
        answer = trace_answer(
            model_of(name), ids(PROMPT), ids(ANSWER), sources, way=way, memory=bound * MIB  # type: ignore[arg-type]
        )  # fmt: skip
    assert measured.peak <= bound * MIB
    assert answer.status == "exact"
    if way == "span":
        with LiveBytes() as unbound:
            plain = trace_answer(model_of(name), ids(PROMPT), ids(ANSWER), sources, way="span")
        assert unbound.peak > bound * MIB  # so that the bound did something
        torch.testing.assert_close(answer.matrix, plain.matrix, rtol=0, atol=1e-6)


@pytest.mark.parametrize("way", ["span", "rows", "columns", "auto"])
def test_a_bound_that_cannot_be_kept_is_an_error(way: str) -> None:
    with pytest.raises(RelevanceError, match="MiB"):
        trace_answer(model_of("llama"), ids(600), ids(40), [Source("a", (1,))], way=way, memory=MIB)  # type: ignore[arg-type]


def test_a_model_that_computes_its_layers_again_by_itself_is_refused_by_name() -> None:
    """Hugging Face's gradient checkpointing works in training mode only; an answer is traced in evaluation mode."""
    model = LlamaForCausalLM(LlamaConfig(**SIZES)).eval()
    plain = trace_answer(model, ids(8), ids(2), way="rows").tokens
    model.activation_checkpointing_enable()
    again = trace_answer(model, ids(8), ids(2), way="rows").tokens
    assert plain is not None and again is not None
    torch.testing.assert_close(again, plain)
    with pytest.raises(RelevanceError, match="training mode"):
        trace_answer(model.train(), ids(8), ids(2))
    embedded = {"inputs_embeds": model.get_input_embeddings()(ids(8)[None]).detach()}
    tracer = Tracer(model, forward=lambda given: model(**given, use_cache=False).logits[:, -1])
    with pytest.raises(RelevanceError, match=r"checkpointing|training"):
        tracer.trace(embedded, of=["inputs_embeds"], target=Target.index(1))
