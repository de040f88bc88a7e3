"""A batch that does not fit into memory is explained in halves, or one clear error says what to do."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xagent.relevance import RelevanceError, Target, Trace, Tracer

TORCH = torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
CPU = RuntimeError("[enforce fail at alloc_cpu.cpp:124] DefaultCPUAllocator: can't allocate memory: you tried ...")
OTHER = RuntimeError("not enough memory: you tried to allocate 123 bytes.")


def scarce(net: nn.Module, fits: int, error: Exception, sizes: list[int]) -> Any:
    """A forward that holds `fits` samples at most."""

    def forward(i: dict[str, Tensor]) -> Any:
        x = i["x"]
        sizes.append(len(x))
        if len(x) > fits:
            raise error
        return net(x) * i.get("factor", torch.ones(()))

    return forward


def net() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 3)).double()


def same(ours: Trace, theirs: Trace) -> None:
    torch.testing.assert_close(ours.relevance, theirs.relevance)
    torch.testing.assert_close(ours.score, theirs.score)
    for entry in ("inputs", "baseline", "biases", "constants", "total", "score"):
        torch.testing.assert_close(getattr(ours.ledger, entry), getattr(theirs.ledger, entry))
    torch.testing.assert_close(ours.layers, theirs.layers)
    assert (ours.audit, ours.status, ours.precision) == (theirs.audit, theirs.status, theirs.precision)


@settings(max_examples=25, deadline=None)
@given(rows=st.integers(1, 9), fits=st.integers(1, 9), error=st.sampled_from([TORCH, CPU, OTHER]))
def test_chunks_are_the_batch(rows: int, fits: int, error: Exception) -> None:
    model, sizes = net(), list[int]()
    x, factor = torch.randn(rows, 4).double(), torch.rand(rows, 1).double()
    inputs, options = {"x": x, "factor": factor}, {"baseline": {"x": torch.rand(rows, 4).double()}, "layers": True}
    plain = Tracer(model, forward=scarce(model, 99, error, [])).trace(inputs, ["x"], Target.index(1), **options)  # type: ignore[arg-type]
    trace = Tracer(model, forward=scarce(model, fits, error, sizes)).trace(inputs, ["x"], Target.index(1), **options)  # type: ignore[arg-type]
    same(trace, plain)
    assert max(size for size in sizes if size <= fits) <= fits
    assert sum(size for size in sizes if size <= fits) == rows
    for k in (1, 2):
        ours, theirs = trace.verify(k), plain.verify(k)
        torch.testing.assert_close(ours.effect, theirs.effect)
        assert torch.equal(ours.index, theirs.index)


def test_one_sample_that_does_not_fit_is_one_clear_error() -> None:
    model, sizes = net(), list[int]()
    with pytest.raises(RelevanceError, match=r"One sample does not fit into memory \(CUDA out of memory.*16 bits"):
        Tracer(model, forward=scarce(model, 0, TORCH, sizes)).trace(
            {"x": torch.randn(5, 4).double()}, ["x"], Target.index(1)
        )
    assert sizes == [5, 3, 2, 1]


def test_what_is_no_lack_of_memory_arrives_as_it_is() -> None:
    model, sizes = net(), list[int]()
    with pytest.raises(RuntimeError, match="shapes cannot be multiplied"):
        Tracer(model, forward=scarce(model, 9, TORCH, sizes)).trace(
            {"x": torch.randn(5, 7).double()}, ["x"], Target.index(1)
        )
    assert sizes == [5]


def test_a_batch_that_cannot_be_split_says_so() -> None:
    def forward(i: dict[str, Tensor]) -> Tensor:
        if len(i["x"]) > 1:
            raise TORCH
        return i["x"].expand(3, 4)

    with pytest.raises(RelevanceError, match="cannot be split"):
        Tracer(nn.Module(), forward=forward).trace({"x": torch.randn(2, 4)}, ["x"], Target.index(1))


def test_chunks_of_sixteen_bits_are_repeated_in_float32_too() -> None:
    torch.manual_seed(0)
    half = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1)).bfloat16()
    x = (torch.randn(4, 64) * 8).bfloat16()
    model, sizes = half, list[int]()
    trace = Tracer(model, forward=scarce(half, 2, OTHER, sizes), precision="float32").trace({"x": x}, ["x"])
    plain = Tracer(half, precision="float32").trace(x)
    assert trace.precision == "float32"
    torch.testing.assert_close(trace.relevance["x"], plain.relevance["input"], rtol=1e-3, atol=1e-4)
    assert trace.rounding is not None
    assert trace.rounding.shape == (4,)


def test_words_in_chunks_by_the_embedding_that_is_named() -> None:
    model = nn.Sequential(nn.Embedding(9, 4), nn.Flatten(), nn.Linear(12, 2))
    ids = torch.randint(0, 9, (5, 3))
    plain = Tracer(model).trace({"x": ids}, ["0"], Target.index(1))
    trace = Tracer(model, forward=scarce(model, 2, CPU, [])).trace({"x": ids}, ["0"], Target.index(1))
    torch.testing.assert_close(trace.relevance, plain.relevance)
    torch.testing.assert_close(trace.verify(2).effect, plain.verify(2).effect)
