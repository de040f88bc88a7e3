"""Answers against planted and exact truth: `python benchmarks/relevance/answers_truth.py`.

The key-value model of fixtures/answer, its 24 prompts. By token: RMA, the share of |relevance| on the asked key, its
value and the query; RRA, how many of the three are among the three largest. By source, the six pairs: whether the asked
pair leads, and the cosine to their exact Shapley values (64 forwards; removal of the whole passage, its embeddings set
to zero, which here is also the model's own mask, or its tokens dropped).
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import LlamaForCausalLM, PreTrainedTokenizerFast

from xagent.relevance import Record, Source, recorded

FIXTURE = Path(__file__).parents[2] / "fixtures" / "answer"
SEEDS = ("logit", "centred", "log_probability")


def main() -> None:
    """Print one row for each rule set and seed."""
    torch.set_num_threads(1)
    model: Any = LlamaForCausalLM.from_pretrained(FIXTURE / "model").eval()
    tokenizer = PreTrainedTokenizerFast.from_pretrained(FIXTURE / "model")
    prompts = json.loads((FIXTURE / "planted.json").read_text())["prompts"]
    exact: dict[Any, Tensor] = {}
    print("| rules | seed | RMA | RRA | leads | cosine, zeros | cosine, dropped |")
    print("| --- | --- | ---: | ---: | ---: | ---: | ---: |")
    for rules, seed in itertools.product(("conserving", "attnlrp", "gradient"), SEEDS):
        found: list[list[float]] = []
        for planted in prompts:
            record = recorded(tokenizer, planted["prompt"], planted["answer"])
            answer = record.explain(model, by=planted["chunks"], way="rows", rules=rules, seed=seed)
            assert answer.tokens is not None
            size, true = answer.tokens[0].abs(), [planted["key"], planted["value"], planted["query"]]
            largest = set(size.argsort(descending=True)[:3].tolist())
            line = [float(size[true].sum() / size.sum()), len(largest & set(true)) / 3]
            line.append(float(answer.matrix[0].argmax() == planted["sources"][0]))
            for removal in ("zeros", "dropped"):
                key = (planted["prompt"], seed, removal)
                if key not in exact:
                    exact[key] = shapley(model, record, answer.sources, removal, seed)
                line.append(float(F.cosine_similarity(answer.matrix[0], exact[key], dim=0)))
            found.append(line)
        means = torch.tensor(found, dtype=torch.float64).mean(0).tolist()
        print(f"| {rules} | {seed} | " + " | ".join(f"{x:.3f}" for x in means) + " |", flush=True)


def shapley(model: Any, record: Record, sources: Sequence[Source], removal: str, seed: str) -> Tensor:
    """(C,) exact Shapley values of the sources for the score of the first answer token."""
    count, values = len(sources), {}
    for kept in itertools.product((False, True), repeat=count):
        gone = [p for source, keep in zip(sources, kept, strict=True) if not keep for p in source.positions]
        with torch.no_grad():
            x = model.get_input_embeddings()(record.prompt_ids[None]).clone()
            x[0, gone] = 0
            if removal == "dropped":
                x = x[:, [p for p in range(x.shape[1]) if p not in gone]]
            logits = model(inputs_embeds=x, use_cache=False).logits[0, -1]
        score = {"logit": logits, "centred": logits - logits.mean(), "log_probability": logits.log_softmax(0)}[seed]
        values[kept] = float(score[int(record.answer_ids[0])])
    amounts = torch.zeros(count, dtype=torch.float64)
    for kept, value in values.items():
        for i in (i for i in range(count) if not kept[i]):
            size = sum(kept)
            weight = math.factorial(size) * math.factorial(count - size - 1) / math.factorial(count)
            amounts[i] += weight * (values[(*kept[:i], True, *kept[i + 1 :])] - value)
    return amounts


if __name__ == "__main__":
    main()
