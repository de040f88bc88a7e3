"""T6: the lookup of T5 in other architectures: GPT-2, Qwen2 with grouped keys, a mixture of experts, and bfloat16."""

from __future__ import annotations

import copy
import sys
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Qwen2Config,
    Qwen2ForCausalLM,
    Qwen2MoeConfig,
    Qwen2MoeForCausalLM,
)

from . import t05_lookup
from ._cache import trained
from ._cases import Case, Task, cosine
from ._ours import trace
from .t05_lookup import explained, fixture, learn, size


def gpt2() -> nn.Module:
    model: nn.Module = GPT2LMHeadModel(
        GPT2Config(
            vocab_size=size()["vocab_size"], n_embd=64, n_layer=2, n_head=4, n_inner=128, n_positions=64,
            resid_pdrop=0.0, embd_pdrop=0.0, attn_pdrop=0.0, bos_token_id=0, eos_token_id=2,
            tie_word_embeddings=False,
        )
    )  # fmt: skip
    return model


def qwen2() -> nn.Module:
    model: nn.Module = Qwen2ForCausalLM(Qwen2Config(**size(), num_key_value_heads=2))
    return model


def qwen2_moe() -> nn.Module:
    config = Qwen2MoeConfig(
        **size(), num_key_value_heads=2, num_experts=4, num_experts_per_tok=2, moe_intermediate_size=64,
        shared_expert_intermediate_size=128,
    )  # fmt: skip
    model: nn.Module = Qwen2MoeForCausalLM(config)
    return model


VARIANTS: dict[str, Callable[[], nn.Module]] = {"gpt2": gpt2, "qwen2": qwen2, "qwen2_moe": qwen2_moe}


LONGER = {"gpt2": 4, "qwen2": 1, "qwen2_moe": 1}
"""Multiples of the fixture's steps of training: learnt positions take longer to learn a lookup."""


def train(seed: int, name: str) -> nn.Module:
    def longer(module: nn.Module, seed: int) -> None:
        make: Any = fixture()
        usual = make.CURRICULUM
        make.CURRICULUM = tuple((pairs, LONGER[name] * steps) for pairs, steps in usual)
        try:
            learn(module, seed)
        finally:
            make.CURRICULUM = usual

    return trained(f"t06-{name}", seed, VARIANTS[name], longer, sys.modules[__name__], t05_lookup, fixture())


def accuracy(seed: int, name: str) -> float:
    """On prompts that were not trained on."""
    make = fixture()
    ids, _ = make.batch(1000, make.PAIRS, torch.Generator().manual_seed(seed + 9), hide=0.0)
    return float(make.right(train(seed, name), ids).double().mean())


def cases(seed: int, quick: bool, names: tuple[str, ...] = tuple(VARIANTS)) -> list[Case]:
    found = []
    for name in names:
        if accuracy(seed, name) < 0.99:  # a model that guesses has no planted truth
            raise RuntimeError(f"{name} has not learnt the lookup with seed {seed}")
        sources = (sys.modules[__name__], t05_lookup, fixture())
        found += explained(train(seed, name), seed, 2 if quick else 4, f"t06-{name}", *sources)
    return found


def half_precision(seed: int, rules: str = "conserving") -> list[float]:
    """Cosine of the trace in bfloat16 with the trace in float32, for prompts of T5's model."""
    found = []
    for case in t05_lookup.cases(seed, True):
        score = copy.deepcopy(case.score).to(torch.bfloat16)
        half = replace(case, score=score, x=case.x.bfloat16(), baseline=case.baseline.bfloat16())
        found.append(cosine(trace(half, rules), trace(case, rules)))
    return found


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    return t05_lookup.measure(case, relevance)


TASK = Task("T6", "the lookup in GPT-2, Qwen2, Qwen2-MoE", "exact Shapley of 13 words against <mask>", cases, measure)
