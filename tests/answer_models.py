"""Small random language models of many families, one question to all of them, and what two answers must share."""

from __future__ import annotations

from typing import Any, Literal

import torch
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

from xagent.relevance import Source, trace_answer

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
