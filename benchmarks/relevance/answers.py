"""Cost of explaining a whole answer in multiples of one forward: `python benchmarks/relevance/answers.py [rounds]`.

Llama 8 x 512 with random weights, a prompt of 192 tokens in 8 sources, answers of 64 and 256 tokens. One thread,
process time, methods interleaved, the fewest seconds of all rounds; only the ratios mean anything. The forward is the
teacher-forced one over prompt and answer with the answer's logits, without a graph. Short methods are repeated until a
turn is as long as one of columns, so that a busy machine slows all alike. Rows are timed once.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from xagent.relevance import Source, trace_answer
from xagent.relevance._answer_forward import Script
from xagent.relevance._answer_memory import LiveBytes
from xagent.relevance._answer_rows import span
from xagent.relevance._table import rule_set

PROMPT, SOURCES, VOCABULARY = 192, 8, 8000
TURNS = {"forward": 10, "span": 5, "one token": 5, "forward and backward": 4}


def main(rounds: int) -> None:
    """Print one row for each way and length, then the price of less memory."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=VOCABULARY, hidden_size=512, num_hidden_layers=8, num_attention_heads=8, num_key_value_heads=4,
        intermediate_size=1408, max_position_embeddings=4096,
    )  # fmt: skip
    model = LlamaForCausalLM(config).eval()
    print("| answer tokens | way | rules | x forward | for each | largest difference to rows |")
    print("| ---: | --- | --- | ---: | --- | ---: |")
    for length in (64, 256):
        costs(model, length, rounds)
    segments(model)


def costs(model: Any, length: int, rounds: int) -> None:
    """Span, columns and rows of one answer, beside a forward, and a trace of its last token alone."""
    size = PROMPT // SOURCES
    sources = [Source(f"chunk.{i + 1}", tuple(range(size * i, size * (i + 1)))) for i in range(SOURCES)]
    ids = torch.randint(1, VOCABULARY, (PROMPT + length,), generator=torch.Generator().manual_seed(length))

    def forward() -> Any:
        with torch.no_grad():
            return model(input_ids=ids[None, :-1], use_cache=False, logits_to_keep=length)

    def both() -> Any:
        x = model.get_input_embeddings()(ids[None, :-1]).detach().requires_grad_()
        score = model(inputs_embeds=x, use_cache=False, logits_to_keep=1).logits[0, -1, 5]
        return torch.autograd.grad(score, [x, *model.parameters()], allow_unused=True)

    def explain(way: Any, rules: str) -> Any:
        if way == "one token":
            return trace_answer(model, ids[:-1], ids[-1:], sources, way="span", rules=rules)
        return trace_answer(model, ids[:PROMPT], ids[PROMPT:], sources, way=way, rules=rules)

    asked = [(way, rules) for rules in ("conserving", "fastest") for way in ("one token", "span", "columns")]
    asked.append(("rows", "conserving"))
    methods: dict[Any, Callable[[], Any]] = {("forward", ""): forward, ("forward and backward", ""): both}
    methods |= {each: lambda each=each: explain(*each) for each in asked}  # type: ignore[misc]
    best, result = measured(methods, rounds)
    base = best[("forward", "")]
    print(f"| {length} | forward and backward | | {best[('forward and backward', '')] / base:.1f} | | |")
    for way, rules in asked:
        ratio, reference = best[(way, rules)] / base, result[("rows", "conserving")]
        each = {
            "span": f"{best[(way, rules)] / best[('one token', rules)]:.2f} x one token",
            "columns": f"{ratio / SOURCES:.2f} a source, {ratio / (SOURCES + 2):.2f} a carrier",
            "rows": f"{ratio / length:.2f} a token",
        }.get(way, "")
        difference = ""
        if rules == "conserving" and way in ("span", "columns"):
            reference = reference.span() if way == "span" else reference
            largest = (result[(way, rules)].matrix - reference.matrix).abs().max() / reference.matrix.abs().max()
            difference = f"{largest:.0e}"
        print(f"| {length} | {way} | {rules} | {ratio:.1f} | {each} | {difference} |", flush=True)


def measured(methods: dict[Any, Callable[[], Any]], rounds: int) -> tuple[dict[Any, float], dict[Any, Any]]:
    """Fewest seconds of process time for one call, and the result, by method."""
    best: dict[Any, float] = {}
    results: dict[Any, Any] = {}
    for number in range(rounds):
        for name, run in methods.items():
            if number and name[0] == "rows":
                continue
            times = TURNS.get(name[0], 1)
            start = time.process_time()
            for _ in range(times):
                results[name] = run()
            best[name] = min(best.get(name, float("inf")), (time.process_time() - start) / times)
    return best, results


def segments(model: Any) -> None:
    """A span over 2,048 tokens with the whole graph, and with layers computed again."""
    ids = torch.randint(1, VOCABULARY, (2048 + 16,), generator=torch.Generator().manual_seed(0))
    script, rules, weights = Script(model, ids[:2048], ids[2048:]), rule_set("conserving"), torch.ones(16).double()
    print("\n| span over 2,048 + 16 tokens | peak MiB beyond the model | x the first |\n| --- | ---: | ---: |")
    first = 0.0
    for name, again in (("whole graph", False), ("layers computed again", True)):
        start = time.process_time()
        span(script, rules, weights, segments=again)
        seconds = time.process_time() - start
        first = first or seconds
        with LiveBytes() as measured_bytes:
            span(script, rules, weights, segments=again)
        print(f"| {name} | {measured_bytes.peak / 2**20:.0f} | {seconds / first:.2f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
