"""The relevance engine on the families of Hugging Face, tiny and random: the account closes, nothing is unknown."""

from __future__ import annotations

import warnings
from typing import Any

import pytest
import torch
import transformers as hf
from torch import nn

from xagent.relevance import Target, Trace, Tracer

D = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 128, "vocab_size": 100}
K = {**D, "num_key_value_heads": 2}
H = {**K, "head_dim": 16}
EXPERTS = {"num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 64}
IMAGE = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "image_size": 32, "patch_size": 8}
OPT = {"hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4, "ffn_dim": 128, "vocab_size": 100}
BART = {
    "d_model": 64, "encoder_layers": 2, "decoder_layers": 2, "encoder_attention_heads": 4,
    "decoder_attention_heads": 4, "encoder_ffn_dim": 128, "decoder_ffn_dim": 128, "vocab_size": 100,
}  # fmt: skip
DEEPSEEK = {
    **D, "num_key_value_heads": 4, "n_routed_experts": 4, "num_experts_per_tok": 2, "n_group": 1, "topk_group": 1,
    "moe_intermediate_size": 64, "q_lora_rank": 32, "kv_lora_rank": 16, "qk_rope_head_dim": 8, "qk_nope_head_dim": 8,
    "v_head_dim": 16, "first_k_dense_replace": 1,
}  # fmt: skip
QWEN_NEXT = {
    **H, **EXPERTS, "shared_expert_intermediate_size": 64, "linear_num_value_heads": 4, "linear_num_key_heads": 2,
    "linear_key_head_dim": 16, "linear_value_head_dim": 16,
}  # fmt: skip
DEBERTA = {**D, "relative_attention": True, "pos_att_type": ["p2c", "c2p"], "position_biased_input": False}
MAMBA2 = {
    "hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100, "num_heads": 8, "head_dim": 16, "n_groups": 1,
    "chunk_size": 8,
}  # fmt: skip
T5 = {"d_model": 64, "d_kv": 16, "d_ff": 128, "num_layers": 2, "num_heads": 4, "vocab_size": 100}
SWIN = {
    "embed_dim": 16, "depths": [2, 2], "num_heads": [2, 4], "image_size": 32, "patch_size": 4, "window_size": 4,
}  # fmt: skip
CONVNEXT = {"hidden_sizes": [16, 32], "depths": [2, 2], "num_stages": 2, "image_size": 32}
GPT2 = {"n_embd": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}
BLOOM = {"hidden_size": 64, "n_layer": 2, "n_head": 4, "vocab_size": 100}
MAMBA = {"hidden_size": 64, "num_hidden_layers": 2, "vocab_size": 100}
DISTIL = {"dim": 64, "n_layers": 2, "n_heads": 4, "hidden_dim": 128, "vocab_size": 100}

# family: (model class, configuration class, its settings, kind of input)
FAMILIES: dict[str, tuple[str, str, dict[str, Any], str]] = {
    "Llama": ("LlamaForCausalLM", "LlamaConfig", K, "text"),
    "Mistral": ("MistralForCausalLM", "MistralConfig", K, "text"),
    "Qwen2": ("Qwen2ForCausalLM", "Qwen2Config", K, "text"),
    "Qwen3": ("Qwen3ForCausalLM", "Qwen3Config", H, "text"),
    "Qwen3-MoE": ("Qwen3MoeForCausalLM", "Qwen3MoeConfig", {**H, **EXPERTS}, "text"),
    "Mixtral": ("MixtralForCausalLM", "MixtralConfig", {**K, "num_local_experts": 4}, "text"),
    "Gemma 2": ("Gemma2ForCausalLM", "Gemma2Config", H, "text"),
    "Gemma 3": ("Gemma3ForCausalLM", "Gemma3TextConfig", H, "text"),
    "Phi-3": ("Phi3ForCausalLM", "Phi3Config", {**K, "pad_token_id": 0}, "text"),
    "OLMo 2": ("Olmo2ForCausalLM", "Olmo2Config", K, "text"),
    "Granite": ("GraniteForCausalLM", "GraniteConfig", K, "text"),
    "GPT-OSS": ("GptOssForCausalLM", "GptOssConfig", {**H, "num_local_experts": 4, "num_experts_per_tok": 2}, "text"),
    "DeepSeek-V3": ("DeepseekV3ForCausalLM", "DeepseekV3Config", DEEPSEEK, "text"),
    "GPT-2": ("GPT2LMHeadModel", "GPT2Config", GPT2, "text"),
    "GPT-NeoX": ("GPTNeoXForCausalLM", "GPTNeoXConfig", D, "text"),
    "OPT": ("OPTForCausalLM", "OPTConfig", {**OPT, "word_embed_proj_dim": 64}, "text"),
    "Bloom": ("BloomForCausalLM", "BloomConfig", BLOOM, "text"),
    "Falcon": ("FalconForCausalLM", "FalconConfig", D, "text"),
    "Nemotron": ("NemotronForCausalLM", "NemotronConfig", K, "text"),
    "Mamba": ("MambaForCausalLM", "MambaConfig", MAMBA, "text"),
    "Mamba-2": ("Mamba2ForCausalLM", "Mamba2Config", MAMBA2, "text"),
    "Qwen3-Next": ("Qwen3NextForCausalLM", "Qwen3NextConfig", QWEN_NEXT, "text"),
    "BERT": ("BertForSequenceClassification", "BertConfig", D, "text"),
    "RoBERTa": ("RobertaForSequenceClassification", "RobertaConfig", D, "text"),
    "DistilBERT": ("DistilBertForSequenceClassification", "DistilBertConfig", DISTIL, "text"),
    "ELECTRA": ("ElectraForSequenceClassification", "ElectraConfig", {**D, "embedding_size": 64}, "text"),
    "DeBERTa-v2": ("DebertaV2ForSequenceClassification", "DebertaV2Config", DEBERTA, "text"),
    "ModernBERT": ("ModernBertForSequenceClassification", "ModernBertConfig", {**D, "pad_token_id": 0}, "text"),
    "ALBERT": ("AlbertForSequenceClassification", "AlbertConfig", {**D, "embedding_size": 32}, "text"),
    "T5": ("T5ForConditionalGeneration", "T5Config", T5, "pair"),
    "BART": ("BartForConditionalGeneration", "BartConfig", BART, "pair"),
    "ViT": ("ViTForImageClassification", "ViTConfig", {**IMAGE, "intermediate_size": 128}, "image"),
    "DINOv2": ("Dinov2ForImageClassification", "Dinov2Config", IMAGE, "image"),
    "Swin": ("SwinForImageClassification", "SwinConfig", SWIN, "image"),
    "ConvNeXt": ("ConvNextForImageClassification", "ConvNextConfig", CONVNEXT, "image"),
    "ResNet": (
        "ResNetForImageClassification", "ResNetConfig",
        {"embedding_size": 16, "hidden_sizes": [16, 32], "depths": [2, 2]}, "image",
    ),
}  # fmt: skip


def family(name: str, seed: int = 0) -> nn.Module:
    """The model in evaluation mode with random weights, biases and positions included."""
    model_class, config_class, settings, _ = FAMILIES[name]
    torch.manual_seed(seed)
    model: nn.Module = getattr(hf, model_class)(getattr(hf, config_class)(**settings)).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.dim() > 1:
                parameter.normal_(0, 0.08)
            elif not parameter.any():
                parameter.normal_(0, 0.02)
    return model


def question(name: str, model: Any, dtype: torch.dtype = torch.float32) -> tuple[dict[str, Any], list[str], Target]:
    """Inputs of the model, what is explained by, and the target."""
    kind = FAMILIES[name][3]
    generator = torch.Generator().manual_seed(1)
    if kind == "image":
        return (
            {"pixel_values": torch.randn(1, 3, 32, 32, generator=generator).to(dtype)},
            ["pixel_values"],
            Target.index(1),
        )
    words = model.get_input_embeddings().weight
    of = [n for n, m in model.named_modules() if isinstance(m, nn.Embedding) and m.weight is words]
    of = of[1:] if kind == "pair" else of  # the encoder's and the decoder's, not the one that they share
    inputs: dict[str, Any] = {"input_ids": torch.randint(3, 100, (1, 12), generator=generator)}
    if kind == "pair":
        inputs["decoder_input_ids"] = torch.randint(3, 100, (1, 5), generator=generator)
    if "Sequence" in FAMILIES[name][0]:
        return inputs, of, Target.index(1)
    return {**inputs, "use_cache": False}, of, Target.index(7).at(-1)


def leading(name: str) -> Target:
    """The largest score of the model in 32 bits: one near zero would make of every rounding a large share."""
    model = family(name)
    inputs, _, _ = question(name, model)
    with torch.no_grad():
        scores = model(**inputs).logits
    target = Target.index(int(scores.flatten(0, -2)[-1].argmax()))
    return target.at(-1) if scores.dim() == 3 else target


def trace_of(name: str, rules: str = "conserving", dtype: torch.dtype = torch.float32) -> Trace:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        target, model = leading(name), family(name).to(dtype)
        inputs, of, _ = question(name, model, dtype)
        return Tracer(model, rules).trace(inputs, of, target)


@pytest.mark.parametrize("name", FAMILIES)
def test_every_family_adds_up(name: str) -> None:
    trace = trace_of(name)
    assert trace.ledger.gap.max() < 1e-5
    assert trace.audit == {}
    assert not trace.ledger.unhandled.any()
    assert all(r.abs().sum() > 0 for r in trace.relevance.values())


@pytest.mark.parametrize("rules", ["fastest", "attnlrp", "gamma"])
@pytest.mark.parametrize("name", ["Llama", "Mixtral", "GPT-OSS", "GPT-2", "Mamba", "BERT", "T5", "ViT", "ConvNeXt"])
def test_the_other_rules_account_for_everything(name: str, rules: str) -> None:
    trace = trace_of(name, rules)
    assert trace.ledger.gap.max() < 1e-5
    assert trace.audit == {}
    if rules == "attnlrp" and name in ("Llama", "BERT", "ViT"):  # attention passes relevance, and loses some
        assert trace.ledger.softmax.abs().max() > 1e-4


@pytest.mark.parametrize("name", ["Llama", "Qwen3-MoE", "GPT-2", "BERT", "ResNet", "Mamba"])
def test_sixteen_bits_are_enough(name: str) -> None:
    """The account of the largest score closes to a hundredth, and the relevance is that of 32 bits."""
    half, full = trace_of(name, dtype=torch.bfloat16), trace_of(name)
    assert half.audit == {}
    assert half.ledger.gap.max() < 1e-2
    for key, relevance in full.relevance.items():
        both = torch.stack([relevance.flatten(), half.relevance[key].float().flatten()])
        assert torch.corrcoef(both)[0, 1] > 0.98
