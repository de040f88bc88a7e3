"""Trained models and held-out samples: the fixtures' models as questions that every method can be asked.

The baseline is what the product takes: the mask token's embedding at every word, the mean of the training rows or
images. The explained score is the lead of the predicted class, over the other class of two or over the runner-up.
"""

from __future__ import annotations

import importlib.util
import sys
from dataclasses import dataclass
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import torch
from peers_question import Question, Scored, cell_units, token_units
from torch import Tensor, nn

FIXTURES = Path(__file__).parents[2] / "fixtures"
SEED = 101


@dataclass(frozen=True)
class Task:
    """Questions about one trained model. kind: text, image or table. foreign: what another environment needs of it."""

    name: str
    kind: str
    questions: list[Question]


def triage(samples: int) -> Task:
    """BERT, two layers; units are words, [CLS] and [SEP] stay."""
    from transformers import AutoTokenizer, BertForSequenceClassification

    folder = FIXTURES / "triage"
    bert = BertForSequenceClassification.from_pretrained(folder / "model").eval().requires_grad_(False)
    tokenizer = AutoTokenizer.from_pretrained(folder / "model")
    table = bert.get_input_embeddings().weight
    questions = []
    for message in script("triage", "generator").messages(samples, SEED):
        encoding = tokenizer(message["text"], return_tensors="pt")
        words = encoding.word_ids(0)
        units = [[i for i, w in enumerate(words) if w == word] for word in sorted({w for w in words if w is not None})]
        ids = encoding["input_ids"]
        inside = torch.tensor([[word is not None for word in words]])
        masked = ids.masked_fill(inside, tokenizer.mask_token_id)
        unit = token_units(ids.shape[1], units)
        questions.append(asked(bert, by_embeddings, table[ids], table[masked], unit, len(units)))
    return Task("triage: BERT 2 x 64, words", "text", questions)


def answer(samples: int) -> Task:
    """Llama, two layers, that looks values up; units are tokens after <s>; the score is the value against the next."""
    from transformers import LlamaForCausalLM

    make = script("answer", "make")
    model = LlamaForCausalLM.from_pretrained(FIXTURES / "answer" / "model").eval().requires_grad_(False)
    table = model.get_input_embeddings().weight
    ids, _ = make.batch(2 * samples, make.PAIRS, torch.Generator().manual_seed(SEED), 0.0)
    ids = ids[make.right(model, ids).all(1)][:samples, : 3 + 2 * make.PAIRS]
    length = ids.shape[1]
    masked = torch.full_like(ids[:1], make.VOCABULARY.index(make.MASK))
    masked[0, 0] = ids[0, 0]
    unit = token_units(length, [[i] for i in range(1, length)])
    baseline = table[masked]
    return Task(
        "answer: Llama 2 x 64, tokens",
        "text",
        [asked(model, last_by_embeddings, table[row[None]], baseline, unit, length - 1) for row in ids],
    )


def digits(samples: int) -> Task:
    """Convolutions with batch normalisation; units are pixels."""
    from sklearn.datasets import load_digits
    from sklearn.model_selection import train_test_split

    make = script("digits", "make")
    raw = load_digits()
    train, held_out = train_test_split(
        np.arange(len(raw.target)), test_size=360, stratify=raw.target, random_state=make.SEED
    )
    network = stored(make.network(), "digits")
    baseline = make.encode(raw.images[train]).mean(0, keepdim=True)
    unit, count = cell_units(8, 8, 1)
    images = make.encode(raw.images[held_out[:samples]])
    questions = [asked(network, plain, x[None], baseline, unit, count, window=1) for x in images]
    return Task("digits: CNN, pixels", "image", questions)


def diagnosis(samples: int) -> Task:
    """Network 30-32-16-2; units are columns."""
    network = nn.Sequential(nn.Linear(30, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 2))
    return table_task("diagnosis: MLP, columns", "diagnosis", "case.json", stored(network, "diagnosis"), samples)


def credit(samples: int) -> Task:
    """Network 25-32-16-1, one logit; units are features, a one-hot group is one."""
    network = nn.Sequential(nn.Linear(25, 32), nn.ReLU(), nn.Linear(32, 16), nn.ReLU(), nn.Linear(16, 1))
    return table_task("credit: MLP, features", "credit", "case-declined.json", stored(network, "credit"), samples)


TASKS = (triage, digits, diagnosis, credit, answer)


def table_task(name: str, fixture: str, case_file: str, network: nn.Module, samples: int) -> Task:
    """Rows of the fixture's window, encoded as the product encodes them; the baseline is the mean reference row."""
    import pandas as pd

    from xagent.case import load_case
    from xagent.subject import load_subject

    folder = FIXTURES / fixture
    case = load_case(folder / case_file)
    subject = load_subject(case)
    players = subject.encode(case.input).players
    unit = torch.full((1, subject.encode(case.input).inputs["input"].shape[1]), -1)
    for number, player in enumerate(players):
        unit[0, list(player.index)] = number
    rows = subject.encode_table(pd.read_csv(folder / "window.csv"))[:samples]
    baseline = subject.background(subject.encode_table(pd.read_csv(folder / "reference.csv")))
    return Task(name, "table", [asked(network, plain, x[None], baseline, unit, len(players)) for x in rows])


def asked(
    network: nn.Module, forward: Any, x: Tensor, baseline: Tensor, unit: Tensor, count: int, window: int = 0
) -> Question:
    """The lead of the predicted column; of a single column, the column itself."""
    with torch.no_grad():
        order = forward(network, x)[0].argsort(descending=True).tolist()
    scored = Scored(network, forward, order[0], order[1] if len(order) > 1 else None).eval()
    return Question(scored, x.detach(), baseline.detach().expand_as(x).clone(), unit, count, window)


def by_embeddings(network: Any, x: Tensor) -> Tensor:
    return network(inputs_embeds=x).logits  # type: ignore[no-any-return]


def last_by_embeddings(network: Any, x: Tensor) -> Tensor:
    return network(inputs_embeds=x, use_cache=False, logits_to_keep=1).logits[:, -1]  # type: ignore[no-any-return]


def plain(network: Any, x: Tensor) -> Tensor:
    return network(x)  # type: ignore[no-any-return]


def stored(network: nn.Module, fixture: str) -> nn.Module:
    """The network with the weights of the fixture's exported program: eager modules, which some peers hook."""
    network.load_state_dict(torch.export.load(FIXTURES / fixture / "model.pt2").state_dict)
    return network.eval().requires_grad_(False)


def script(fixture: str, name: str) -> ModuleType:
    """A module of a fixture's folder, under a name of its own."""
    for folder in (FIXTURES, FIXTURES / fixture):
        if str(folder) not in sys.path:
            sys.path.append(str(folder))
    spec = importlib.util.spec_from_file_location(f"{fixture}_{name}", FIXTURES / fixture / f"{name}.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module
