"""Cost of a trace in multiples of a plain forward and gradient: `python benchmarks/relevance/cost.py [rounds] [rules]`.

One thread, process time, methods interleaved, the fastest of all rounds; only the ratios mean anything. The plain
forward and gradient has frozen parameters too and differentiates the same score with respect to the same embeddings.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from xagent.relevance import Target, Tracer

RULES = ("gradient", "fastest", "conserving", "attnlrp")


def bert() -> tuple[Any, dict[str, Any]]:
    """BERT 6 x 384, 128 tokens."""
    config = BertConfig(hidden_size=384, num_hidden_layers=6, num_attention_heads=6, intermediate_size=1536)
    return BertForSequenceClassification(config), {"inputs_embeds": torch.randn(1, 128, 384)}


def llama() -> tuple[Any, dict[str, Any]]:
    """Llama 8 x 512, 256 tokens, scores of the last token only."""
    config = LlamaConfig(
        hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4, intermediate_size=1408
    )
    return LlamaForCausalLM(config), {
        "inputs_embeds": torch.randn(1, 256, 512), "use_cache": False, "logits_to_keep": 1
    }  # fmt: skip


def plain(model: Any, inputs: dict[str, Any]) -> Tensor:
    """What every gradient method costs at least."""
    x = inputs["inputs_embeds"].clone().requires_grad_()
    score = model(**{**inputs, "inputs_embeds": x}).logits.flatten(1)[:, 1].sum()
    return torch.autograd.grad(score, x)[0]


def main(rounds: int, rules: tuple[str, ...]) -> None:
    """Print one row for each method and model."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print("| model | method | x forward and gradient |\n| --- | --- | ---: |")
    for make in (bert, llama):
        model, inputs = make()
        model.eval().requires_grad_(False)

        def forward(i: dict[str, Any], model: Any = model) -> Tensor:
            return model(**i).logits.flatten(1)  # type: ignore[no-any-return]

        methods: dict[str, Callable[[], Any]] = {"forward and gradient": lambda m=model, i=inputs: plain(m, i)}
        methods["forward"] = lambda m=model, i=inputs: torch.no_grad()(m)(**i)
        for name in rules:
            tracer = Tracer(model, name, forward)
            methods[name] = lambda t=tracer, i=inputs: t.trace(i, ["inputs_embeds"], Target.index(1))
        fastest = dict.fromkeys(methods, float("inf"))
        for _ in range(rounds):
            for name, method in methods.items():
                begun = time.process_time()
                method()
                fastest[name] = min(fastest[name], time.process_time() - begun)
        for name, seconds in fastest.items():
            print(f"| {make.__doc__} | {name} | {seconds / fastest['forward and gradient']:.2f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7, tuple(sys.argv[2:]) or RULES)
