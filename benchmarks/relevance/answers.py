"""Cost of explaining a whole answer in multiples of one forward: `python benchmarks/relevance/answers.py [rounds]`.

Llama 8 x 512 with random weights, a prompt of 192 tokens in 8 sources, answers of 64 and 256 tokens. One thread,
process time, methods interleaved, the fastest of all rounds; only the ratios mean anything. The forward is the
teacher-forced one over prompt and answer with the answer's logits, without a graph. Rows are timed once: they take as
long as the rest together.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xagent.relevance import Source, trace_answer

PROMPT, SOURCES = 192, 8


def main(rounds: int) -> None:
    """Print one row for each way and length."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=8000, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4,
        intermediate_size=1408,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    size = PROMPT // SOURCES
    sources = [Source(f"chunk.{i + 1}", tuple(range(size * i, size * (i + 1)))) for i in range(SOURCES)]
    print(
        "| answer tokens | way | rules | x forward | largest difference to rows |\n| ---: | --- | --- | ---: | ---: |"
    )
    for length in (64, 256):
        ids = torch.randint(1, 8000, (PROMPT + length,))

        def forward(ids: Any = ids, length: int = length) -> Any:
            with torch.no_grad():
                return model(input_ids=ids[None, :-1], use_cache=False, logits_to_keep=length)

        def explain(way: Any, rules: str, ids: Any = ids) -> Any:
            return trace_answer(model, ids[:PROMPT], ids[PROMPT:], sources, way=way, rules=rules)

        ways = [(way, rules) for rules in ("conserving", "fastest") for way in ("span", "columns", "rows")]
        methods: dict[Any, Callable[[], Any]] = {w: lambda w=w, e=explain: e(*w) for w in ways}  # type: ignore[misc]
        best, result = measured({"forward": forward, **methods}, rounds)
        for way, rules in ways:
            reference = result[("rows", rules)]
            reference = reference.span() if way == "span" else reference
            difference = (result[(way, rules)].matrix - reference.matrix).abs().max() / reference.matrix.abs().max()
            ratio = best[(way, rules)] / best["forward"]
            print(f"| {length} | {way} | {rules} | {ratio:.1f} | {difference:.0e} |", flush=True)


def measured(methods: dict[Any, Callable[[], Any]], rounds: int) -> tuple[dict[Any, float], dict[Any, Any]]:
    """Fewest seconds of process time and the result, by method."""
    best: dict[Any, float] = {}
    results: dict[Any, Any] = {}
    for number in range(rounds):
        for name, run in methods.items():
            if number and name[0] == "rows":
                continue
            start = time.process_time()
            results[name] = run()
            best[name] = min(best.get(name, float("inf")), time.process_time() - start)
    return best, results


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
