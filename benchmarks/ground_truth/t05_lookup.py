"""T5: a small Llama that looks a key up in its prompt (the answer fixture's data and training, other seeds).

Truth: exact Shapley values of the 13 words that may be hidden; planted: the asked key, its value and the query.
"""

from __future__ import annotations

import contextlib
import importlib.util
import io
import sys
from functools import cache
from pathlib import Path
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn
from transformers import LlamaConfig, LlamaForCausalLM

from ._cache import cached, trained
from ._cases import Case, Task, mass, usual
from ._networks import versus_rest
from ._shapley import shapley

FIXTURE = Path(__file__).parents[2] / "fixtures" / "answer" / "make.py"


@cache
def fixture() -> ModuleType:
    """The script that makes the answer fixture, for its data and its training loop."""
    spec = importlib.util.spec_from_file_location("answer_fixture", FIXTURE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def size() -> dict[str, Any]:
    """What every variant shares; no padding, or <mask> would be a zero vector, where norms and paths break."""
    return {
        "vocab_size": len(fixture().VOCABULARY), "hidden_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4,
        "intermediate_size": 128, "max_position_embeddings": 64, "bos_token_id": 0, "eos_token_id": 2,
        "pad_token_id": None, "tie_word_embeddings": False,
    }  # fmt: skip


def learn(module: nn.Module, seed: int) -> None:
    """The fixture's training, silent."""
    with contextlib.redirect_stdout(io.StringIO()):
        fixture().train(module)


def train(seed: int) -> nn.Module:
    return trained(
        "t05", seed, lambda: LlamaForCausalLM(LlamaConfig(**size())), learn, sys.modules[__name__], fixture()
    )


class NextValue(nn.Module):
    """Word embeddings (n, tokens, width) -> (n,): logit of the right value minus the mean of the other values."""

    weights: Tensor

    def __init__(self, model: nn.Module, value: int) -> None:
        super().__init__()
        self.model = model
        first, count = fixture().FIRST_VALUE, len(fixture().VALUES)
        among = range(first, first + count)
        self.register_buffer("weights", versus_rest(value, len(fixture().VOCABULARY), among))

    def forward(self, x: Tensor) -> Tensor:
        logits = self.model(inputs_embeds=x, use_cache=False).logits[:, -1]
        score: Tensor = (logits * self.weights).sum(1)
        return score


def prompts(model: nn.Module, seed: int, count: int) -> list[dict[str, Any]]:
    """Prompts `<s> key value ... ? key` that the model answers right, with the places of their sources."""
    make = fixture()
    generator = torch.Generator().manual_seed(seed + 100)
    found: list[dict[str, Any]] = []
    table = 1 + 2 * make.PAIRS
    while len(found) < count:
        ids, _ = make.batch(1, make.PAIRS, generator, hide=0.0)
        if not bool(make.right(model, ids)[0, 0]):
            continue
        key = ids[0, :table].tolist().index(int(ids[0, table + 1]), 1)
        found.append({"ids": ids[:, : table + 2], "value": int(ids[0, table + 2]), "key": key, "query": table + 1})
    return found


def explained(model: nn.Module, seed: int, count: int, name: str, *sources: ModuleType) -> list[Case]:
    """Cases over the word embeddings; players are the words of the table and the query, removed by <mask>."""
    make = fixture()
    embed = model.get_input_embeddings()  # type: ignore[operator]
    asked = prompts(model, seed, count)
    blank: list[Case] = []
    for prompt in asked:
        ids = prompt["ids"]
        x = embed(ids).detach()
        baseline = embed(torch.full_like(ids, make.VOCABULARY.index(make.MASK))).detach()
        unit = torch.arange(-1, ids.shape[1] - 1)
        unit[-2], unit[-1] = -1, ids.shape[1] - 3  # the question mark always stays
        places = unit[None, :, None].expand_as(x).contiguous()
        players = ids.shape[1] - 2
        planted = frozenset({prompt["key"] - 1, prompt["key"], players - 1})
        score = NextValue(model, prompt["value"]).eval()
        facts = {"value": prompt["key"]}
        blank.append(Case(score, x, baseline, places, torch.zeros(players), planted, facts=facts))

    def make_truth() -> dict[str, Tensor]:
        return {str(i): shapley(case.coalitions, case.players) for i, case in enumerate(blank)}

    truth = cached(f"{name}-truth-{count}", seed, make_truth, *sources)
    return [
        Case(c.score, c.x, c.baseline, c.unit, truth[str(i)], c.planted, facts=c.facts) for i, c in enumerate(blank)
    ]


def cases(seed: int, quick: bool) -> list[Case]:
    return explained(train(seed), seed, 4 if quick else 16, "t05", sys.modules[__name__], fixture())


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    """The usual figures and whether the value is the word of largest relevance."""
    words = relevance[:-1]
    found = usual(case, relevance)
    found["value first"] = float(int(words.argmax()) == case.facts["value"])
    found["mass"] = mass(relevance, case.planted)
    return found


TASK = Task("T5", "key-value lookup, Llama", "exact Shapley of 13 words against <mask>", cases, measure)
