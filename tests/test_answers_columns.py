"""The way by columns: what it carries forward equals what rows carry back, and what it cannot follow it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from answer_models import COLUMN_FAMILIES, IDS, REPLY, WAYS, assert_same, explain, ids_of, model_of
from torch import Tensor

from xagent.relevance import NoColumns, Source, _columns_pass, trace_answer
from xagent.relevance._answer_forward import Script
from xagent.relevance._columns_pass import attention_bytes, row_bytes

pytestmark = pytest.mark.usefixtures("one_thread")


@pytest.mark.parametrize("rules", ["conserving", "fastest"])
@pytest.mark.parametrize("name", COLUMN_FAMILIES)
def test_columns_are_rows(name: str, rules: str) -> None:
    model = model_of(name)
    rows = explain(model, "rows", rules=rules)
    assert_same(explain(model, "columns", rules=rules), rows)
    assert float(rows.matrix.abs().max()) > 1e-3


@pytest.mark.parametrize("name", COLUMN_FAMILIES)
def test_long_carriers_are_rows_too(name: str) -> None:
    """Late sources, more than one block of queries, and what carriers need not take part in."""
    model, prompt = model_of(name), ids_of(90, 7)
    sources = [Source("early", tuple(range(2, 30))), Source("late", tuple(range(60, 88)))]
    rows, columns = (trace_answer(model, prompt, REPLY, sources, way=way) for way in WAYS)
    assert_same(columns, rows)


def test_chunks_of_carriers_change_nothing() -> None:
    model = model_of("gpt2")
    script = Script(model, IDS, REPLY)
    least = 2 * row_bytes(script) + attention_bytes(script)
    assert_same(explain(model, "columns", memory=least), explain(model, "columns"))
    with pytest.raises(NoColumns, match="memory"):
        explain(model, "columns", memory=least - 1)


def test_columns_refuse_what_they_cannot_follow() -> None:
    with pytest.raises(NoColumns, match="rows"):
        explain(model_of("mamba"), "columns")
    with pytest.raises(NoColumns, match="conserving"):
        explain(model_of("llama"), "columns", rules="attnlrp")


class Mixing(torch.nn.Module):
    """A model that lets the samples of a batch see each other."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = model_of("llama")
        self.config = self.inner.config

    def get_input_embeddings(self) -> Any:
        return self.inner.get_input_embeddings()

    def forward(self, inputs_embeds: Tensor) -> Tensor:
        logits: Tensor = self.inner(inputs_embeds=inputs_embeds.flip(0), use_cache=False).logits
        return logits


@pytest.mark.parametrize("name", COLUMN_FAMILIES)
def test_carriers_stay_out_of_what_only_scales(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Queries, keys, norms and routers are computed for the real row alone, by a plan that holds."""
    plans: list[Any] = []

    def spied(*args: Any) -> Any:
        plans.append(args[4])
        return forward(*args)

    forward = _columns_pass._forward
    monkeypatch.setattr(_columns_pass, "_forward", spied)
    explain(model_of(name), "columns")
    assert len(plans) <= 2  # experts differ from those of the first two tokens: planned once more
    last = plans[-1]
    assert last is not None
    assert sum(not live for _, live in last) > 0.1 * len(last)


class Backwards(Mixing):
    """A model that reads from the end: nothing of a carrier may be taken for zero without a look."""

    def forward(self, inputs_embeds: Tensor) -> Tensor:
        logits: Tensor = self.inner(inputs_embeds=inputs_embeds.flip(1), use_cache=False).logits
        return logits


def test_models_that_look_ahead_lose_nothing() -> None:
    model, sources = Backwards().eval(), [Source("early", tuple(range(2, 8))), Source("late", tuple(range(20, 28)))]
    rows, columns = (trace_answer(model, ids_of(30), REPLY[:4], sources, way=way) for way in WAYS)
    assert_same(columns, rows)
    assert float(rows.matrix.abs().min()) > 1e-4


def test_rows_that_meet_are_noticed() -> None:
    model = Mixing().eval()
    with pytest.raises(NoColumns, match="mixes the rows"):
        explain(model, "columns")
    assert explain(model, "rows").status == "exact"
