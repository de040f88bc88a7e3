"""Large models with random weights on one GPU: a trace and a 64-token answer against the model's own forward.

    python benchmarks/relevance/gpu.py                      # Llama-8B, Mixtral and ViT-L shapes in bfloat16, CUDA
    python benchmarks/relevance/gpu.py --scale 0.02 --device cpu --rounds 1

--scale multiplies widths, depth, vocabulary and lengths; 1 is the real shape. Ratios are medians of interleaved rounds
with the smallest and largest in brackets, each against a forward without a graph in the same round; peak memory is what
the run held above the weights (on the CPU it is not measured).
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from typing import Any

import torch

from xagent.relevance import Source, Target, Tracer, trace_answer

PROMPT, ANSWER, SOURCES = 2048, 64, 8
Runs = dict[str, Callable[[], Any]]


def sized(full: int, scale: float, step: int = 1, least: int = 1) -> int:
    """full * scale as a multiple of `step`, at least `least` steps."""
    return max(least, round(full * scale / step)) * step


def llama(scale: float) -> tuple[Any, int]:
    """Llama-3.1-8B: 32 x 4096, 32 heads on 8, 14336, vocabulary 128256."""
    from transformers import LlamaConfig, LlamaForCausalLM

    heads = sized(32, scale**0.5, 4)
    config = LlamaConfig(
        hidden_size=heads * sized(128, scale**0.25, 16), num_hidden_layers=sized(32, scale**0.5, least=2),
        num_attention_heads=heads, num_key_value_heads=heads // 4, intermediate_size=sized(14336, scale, 16),
        vocab_size=sized(128256, scale, 64), max_position_embeddings=8192,
    )  # fmt: skip
    return LlamaForCausalLM(config), config.vocab_size


def mixtral(scale: float) -> tuple[Any, int]:
    """Mixtral with 8 experts, two a token, a quarter of the depth of 8x7B."""
    from transformers import MixtralConfig, MixtralForCausalLM

    heads = sized(32, scale**0.5, 4)
    config = MixtralConfig(
        hidden_size=heads * sized(128, scale**0.25, 16), num_hidden_layers=sized(8, scale**0.5, least=2),
        num_attention_heads=heads, num_key_value_heads=heads // 4, intermediate_size=sized(14336, scale, 16),
        vocab_size=sized(32000, scale, 64), num_local_experts=8, num_experts_per_tok=2,
    )  # fmt: skip
    return MixtralForCausalLM(config), config.vocab_size


def vit(scale: float) -> tuple[Any, int]:
    """ViT-L/16 at 224 x 224: 24 x 1024."""
    from transformers import ViTConfig, ViTForImageClassification

    heads = sized(16, scale**0.5, 2)
    side = sized(224, scale**0.25, 16, least=2)
    config = ViTConfig(
        hidden_size=heads * 64, num_hidden_layers=sized(24, scale**0.5, least=2), num_attention_heads=heads,
        intermediate_size=heads * 256, image_size=side, patch_size=16, num_labels=1000,
    )  # fmt: skip
    return ViTForImageClassification(config), side


def language_runs(model: Any, vocabulary: int, scale: float) -> Runs:
    """Forward of the prompt; traces of its next token; forward of prompt and answer; span, columns and rows of it."""
    device = next(model.parameters()).device
    generator = torch.Generator().manual_seed(0)
    length, answer = sized(PROMPT, scale, SOURCES, 2), sized(ANSWER, scale, least=4)
    ids = torch.randint(vocabulary, (length + answer,), generator=generator).to(device)
    embedded = model.get_input_embeddings()(ids[None, :length]).detach()
    inputs = {"inputs_embeds": embedded, "use_cache": False, "logits_to_keep": 1}
    size = length // SOURCES
    sources = [Source(f"chunk.{i + 1}", tuple(range(size * i, size * (i + 1)))) for i in range(SOURCES)]
    target = Target.index(1).at(-1)

    def forward(upto: int, keep: int) -> Any:
        with torch.no_grad():
            return model(input_ids=ids[None, :upto], use_cache=False, logits_to_keep=keep).logits

    runs: Runs = {f"forward of the prompt ({length} tokens)": lambda: forward(length, 1)}
    for rules in ("conserving", "fastest", "attnlrp"):
        tracer = Tracer(model, rules)
        runs[f"trace of one token, {rules}"] = lambda t=tracer: t.trace(  # type: ignore[misc]
            inputs, ["inputs_embeds"], target
        )
    runs[f"forward with the answer ({answer} tokens)"] = lambda: forward(length + answer - 1, answer)
    for way in ("span", "columns", "rows"):
        runs[f"answer by {way}, {SOURCES} sources"] = (
            lambda way=way: trace_answer(  # type: ignore[misc]
                model, ids[:length], ids[length:], sources, way=way
            )
        )
    return runs


def image_runs(model: Any, side: int, scale: float) -> Runs:
    parameter = next(model.parameters())
    x = torch.randn(1, 3, side, side, generator=torch.Generator().manual_seed(0)).to(parameter)
    runs: Runs = {f"forward of an image ({side} x {side})": lambda: torch.no_grad()(model)(pixel_values=x)}
    for rules in ("conserving", "fastest", "attnlrp", "gamma"):
        tracer = Tracer(model, rules)
        runs[f"trace, {rules}"] = lambda t=tracer: t.trace(  # type: ignore[misc]
            {"pixel_values": x}, ["pixel_values"], Target.index(1)
        )
    return runs


def measured(runs: Runs, device: torch.device, rounds: int) -> dict[str, tuple[list[float], int, float, str]]:
    """By name: ratios to the forward before it, peak bytes, forward's seconds, and the gap or the error in words."""
    result: dict[str, tuple[list[float], int, float, str]] = {name: ([], 0, 0.0, "") for name in runs}
    for number in range(rounds + 1):  # the first round warms up
        own = 1.0
        for name, run in runs.items():
            ratios, peak, _, note = result[name]
            if note.startswith("failed") or ("by rows" in name and number > 1):
                continue
            try:
                seconds, bytes_, found = _once(run, device)
            except Exception as fault:  # one that does not fit must not cost the others
                result[name] = ratios, peak, 0.0, f"failed: {type(fault).__name__}: {str(fault)[:80]}"
                continue
            own = seconds if name.startswith("forward") else own
            ledger = getattr(found, "ledger", None)
            gap = "" if ledger is None else f"{float(ledger.gap.max()):.0e}"
            result[name] = ratios + [seconds / own] * (number > 0), max(peak, bytes_), own, gap
    return result


def _once(run: Callable[[], Any], device: torch.device) -> tuple[float, int, Any]:
    cuda = device.type == "cuda"
    if cuda:
        torch.cuda.synchronize(device)
        torch.cuda.reset_peak_memory_stats(device)
    before = torch.cuda.memory_allocated(device) if cuda else 0
    begun = time.perf_counter()
    found = run()
    if cuda:
        torch.cuda.synchronize(device)
    seconds = time.perf_counter() - begun
    return seconds, (torch.cuda.max_memory_allocated(device) - before) if cuda else 0, found


def main(arguments: list[str] | None = None) -> None:
    """Print one table a model."""
    parser = argparse.ArgumentParser(description="Relevance on large random models, as ratios to their own forward.")
    parser.add_argument("--scale", type=float, default=1.0, help="1 is the real shape, 0.01 a toy")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1, help="on a CPU")
    parser.add_argument("--only", nargs="*", default=["llama", "mixtral", "vit"])
    asked = parser.parse_args(arguments)
    device = torch.device(asked.device)
    if device.type == "cuda" and not torch.cuda.is_available():
        parser.error("there is no CUDA device; try --device cpu --scale 0.02")
    dtype = torch.bfloat16 if device.type == "cuda" else torch.float32
    if device.type == "cpu":
        torch.set_num_threads(asked.threads)
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"CPU, {torch.get_num_threads()} thread(s)"
    print(f"torch {torch.__version__}, {where}, {dtype}, scale {asked.scale}")
    for make, runs_of in ((llama, language_runs), (mixtral, language_runs), (vit, image_runs)):
        if make.__name__ not in asked.only:
            continue
        torch.manual_seed(0)
        torch.set_default_dtype(dtype)
        try:
            with device:
                model, extra = make(asked.scale)
        finally:
            torch.set_default_dtype(torch.float32)
        model.eval().requires_grad_(False)
        count = sum(p.numel() for p in model.parameters())
        print(f"\n**{make.__doc__.splitlines()[0]}** {count / 1e6:,.1f} million parameters\n")
        print("| run | x its forward | peak MiB above the weights | gap |\n| --- | ---: | ---: | ---: |")
        for name, (ratios, peak, _, note) in measured(runs_of(model, extra, asked.scale), device, asked.rounds).items():
            spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f}-{max(ratios):.2f})" if ratios else "-"
            print(f"| {name} | {spread} | {f'{peak / 2**20:,.0f}' if peak else '-'} | {note or '-'} |", flush=True)
        del model


if __name__ == "__main__":
    main()
