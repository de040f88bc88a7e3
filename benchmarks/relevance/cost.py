"""Cost of a trace in multiples of a plain forward and gradient: `python benchmarks/relevance/cost.py [rounds] [rules]`.

The plain forward and gradient has frozen parameters too and differentiates the same score with respect to the same
embeddings, by torch's own gradient. Time: one thread, process time, methods interleaved; the fastest of all rounds, and
the median over rounds of the ratio within a round. The garbage collector runs between rounds, as in `timeit`: inside it
would always hit the same method, and a trace leaves it no cycles. Only ratios mean anything. Memory: bytes of tensors
beyond those of the model and its inputs, at their peak, counted where they are allocated.
"""

from __future__ import annotations

import gc
import statistics
import sys
import time
import weakref
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves
from transformers import BertConfig, BertForSequenceClassification, LlamaConfig, LlamaForCausalLM

from xagent.relevance import Target, Tracer, trace_answer

RULES = ("gradient", "fastest", "conserving", "attnlrp")
INSIDE = {"layers": True, "heads": True, "neurons": True}
Method = Callable[[], Any]


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


def methods_of(model: Any, inputs: dict[str, Any], rules: tuple[str, ...]) -> dict[str, Method]:
    """What is timed, by name; the first is the unit."""

    def forward(i: dict[str, Any]) -> Tensor:
        return model(**i).logits.flatten(1)  # type: ignore[no-any-return]

    methods: dict[str, Method] = {"forward and gradient": lambda: plain(model, inputs)}
    methods["forward"] = lambda: torch.no_grad()(model)(**inputs)
    for name in rules:
        tracer = Tracer(model, name, forward)
        methods[name] = lambda t=tracer: t.trace(inputs, ["inputs_embeds"], Target.index(1))  # type: ignore[misc]
    if "conserving" in rules:
        tracer = Tracer(model, "conserving", forward)
        methods["conserving; layers, heads, neurons"] = lambda: tracer.trace(
            inputs, ["inputs_embeds"], Target.index(1), **INSIDE
        )
    return methods


def timed(methods: dict[str, Method], rounds: int) -> dict[str, tuple[float, float]]:
    """By method: the ratio of the fastest rounds, and the median of the ratios, to the first method."""
    seconds: dict[str, list[float]] = {name: [] for name in methods}
    for method in methods.values():
        method()
    gc.disable()
    try:
        for _ in range(rounds):
            gc.collect()
            for name, method in methods.items():
                begun = time.process_time()
                method()
                seconds[name].append(time.process_time() - begun)
    finally:
        gc.enable()
    unit = next(iter(seconds.values()))
    return {
        name: (min(own) / min(unit), statistics.median(a / b for a, b in zip(own, unit, strict=True)))
        for name, own in seconds.items()
    }


class Allocated(TorchDispatchMode):
    """Counts the bytes of every tensor that is made inside, as long as it lives."""

    def __init__(self) -> None:
        super().__init__()
        self.now, self.peak = 0, 0
        self._known: dict[int, Any] = {}

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        known = {x.untyped_storage()._cdata for x in tree_leaves((args, kwargs)) if isinstance(x, Tensor)}
        result = func(*args, **(kwargs or {}))
        for x in tree_leaves(result):
            if isinstance(x, Tensor):
                storage = x.untyped_storage()
                if storage._cdata not in known and storage._cdata not in self._known:
                    self._note(storage)
        return result

    def _note(self, storage: Any) -> None:
        key, size = storage._cdata, storage.nbytes()

        def gone(_: Any) -> None:
            if self._known.pop(key, None) is not None:
                self.now -= size

        self._known[key] = weakref.ref(storage, gone)
        self.now += size
        self.peak = max(self.peak, self.now)


def kept_by_autograd(model: Any, inputs: dict[str, Any]) -> int:
    """Bytes that torch's own graph of the forward saves, every storage once, without the parameters."""
    own = {p.untyped_storage()._cdata for p in (*model.parameters(), *model.buffers())}
    saved: dict[int, int] = {}

    def pack(x: Tensor) -> Tensor:
        storage = x.untyped_storage()
        if storage._cdata not in own:
            saved[storage._cdata] = storage.nbytes()
        return x

    x = inputs["inputs_embeds"].clone().requires_grad_()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda x: x):
        output = model(**{**inputs, "inputs_embeds": x}).logits  # holds the graph while it is counted
    return sum(saved.values()) if output.requires_grad else 0


def peak(method: Method) -> int:
    """Most bytes that were alive at once while `method` ran."""
    method()
    with Allocated() as allocated:
        method()
    return allocated.peak


def span_cost(rounds: int = 5, prompt: int = 192, answer: int = 64) -> dict[str, tuple[float, float]]:
    """A span of `answer` tokens beside a trace of one token over the same text, by the answers' own engine."""
    model, _ = llama()
    model.eval().requires_grad_(False)
    ids = torch.randint(3, 1000, (prompt + answer,))
    whole = {"one token": (ids[:-1], ids[-1:]), f"span of {answer} tokens": (ids[:prompt], ids[prompt:])}
    return timed(
        {name: lambda p=p, a=a: trace_answer(model, p, a, way="span") for name, (p, a) in whole.items()},  # type: ignore[misc]
        rounds,
    )


def main(rounds: int, rules: tuple[str, ...]) -> None:
    """Print one row for each method and model."""
    torch.set_num_threads(1)
    torch.manual_seed(0)
    print(
        "| model | method | x forward and gradient, fastest round | median of rounds | peak memory / kept by autograd |"
    )
    print("| --- | --- | ---: | ---: | ---: |")
    for make in (bert, llama):
        model, inputs = make()
        model.eval().requires_grad_(False)
        methods = methods_of(model, inputs, rules)
        kept = kept_by_autograd(model, inputs)
        for name, (fastest, median) in timed(methods, rounds).items():
            memory = "-" if name == "forward" else f"{peak(methods[name]) / kept:.2f}"
            print(f"| {make.__doc__} | {name} | {fastest:.2f} | {median:.2f} | {memory} |", flush=True)
    print("\n| answer, Llama 8 x 512 | x one token, fastest round | median of rounds |\n| --- | ---: | ---: |")
    for name, (fastest, median) in span_cost(max(3, rounds // 3)).items():
        print(f"| {name} | {fastest:.2f} | {median:.2f} |", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 7, tuple(sys.argv[2:]) or RULES)
