"""Sixteen bits: the account closes to a hundredth on every family, in float32 where that takes it, and says so."""

from __future__ import annotations

import copy
import os
import subprocess
import sys
from typing import Any

import pytest
import torch
from test_relevance_sweep import FAMILIES, family, leading, question
from torch import Tensor, nn

from xagent.relevance import RelevanceError, Target, Tracer

HALF = (torch.bfloat16, torch.float16)


def columns(name: str) -> list[Target]:
    """The largest score of the model, and two that nobody picked."""
    some = [Target.index(0), Target.index(1)]
    largest = leading(name)
    return [largest, *(t if largest.position is None else t.at(-1) for t in some)]


def nets() -> dict[str, tuple[nn.Module, tuple[int, ...]]]:
    torch.manual_seed(0)

    class Last(nn.Module):
        def __init__(self, cell: type[nn.Module]) -> None:
            super().__init__()
            self.cell, self.head = cell(4, 6, 2, batch_first=True, bidirectional=True), nn.Linear(12, 2)  # type: ignore[call-arg]

        def forward(self, x: Tensor) -> Tensor:
            return self.head(self.cell(x)[0][:, -1])  # type: ignore[no-any-return]

    encoder = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    found = {
        "lstm": (Last(nn.LSTM), (2, 5, 4)),
        "gru": (Last(nn.GRU), (2, 5, 4)),
        "encoder": (nn.Sequential(encoder, nn.Flatten(), nn.Linear(24, 2)), (2, 3, 8)),
        "cnn": (
            nn.Sequential(
                nn.Conv2d(1, 4, 3, padding=1), nn.BatchNorm2d(4), nn.SiLU(), nn.MaxPool2d(2),
                nn.ConvTranspose2d(4, 4, 2), nn.GroupNorm(2, 4), nn.Flatten(), nn.Linear(100, 2),
            ),
            (2, 1, 8, 8),
        ),
    }  # fmt: skip
    return {name: (net.eval(), shape) for name, (net, shape) in found.items()}


# ------------------------------------------------------------------------------------------------ every family


@pytest.mark.parametrize("name", FAMILIES)
def test_bfloat16_adds_up_to_a_hundredth_in_any_column(name: str) -> None:
    model = family(name).to(torch.bfloat16)
    inputs, of, _ = question(name, model, torch.bfloat16)
    for target in columns(name):
        trace = Tracer(model).trace(inputs, of, target)
        assert trace.ledger.gap.max() <= 1e-2
        assert trace.audit == {}
        assert (trace.precision == "float32") == (trace.rounding is not None)
        assert trace.precision in ("float32", "bfloat16")
    assert {p.dtype for p in model.parameters()} == {torch.bfloat16}


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("name", FAMILIES)
def test_float32_is_the_trace_of_the_same_weights_in_float32(name: str) -> None:
    model = family(name).to(torch.bfloat16)
    inputs, of, target = question(name, model, torch.bfloat16)
    ours = Tracer(model, precision="float32").trace(inputs, of, target)
    wide = {key: x.float() if isinstance(x, Tensor) and x.is_floating_point() else x for key, x in inputs.items()}
    theirs = Tracer(copy.deepcopy(model).float()).trace(wide, of, target)
    assert ours.precision == theirs.precision == "float32"
    torch.testing.assert_close(ours.score, theirs.score, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(ours.relevance, theirs.relevance, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours.ledger.biases, theirs.ledger.biases, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(ours.ledger.positions, theirs.ledger.positions, rtol=1e-3, atol=1e-5)
    with torch.no_grad():
        own = target.score(model(**inputs).logits).double()
    assert theirs.rounding is None
    assert ours.rounding is not None
    torch.testing.assert_close(ours.rounding, ours.score.double() - own)


@pytest.mark.parametrize("dtype", HALF)
@pytest.mark.parametrize("name", ["lstm", "gru", "encoder", "cnn"])
def test_torchs_own_layers_in_sixteen_bits(name: str, dtype: torch.dtype) -> None:
    net, shape = nets()[name]
    net, x = net.to(dtype), torch.randn(shape).to(dtype)
    trace = Tracer(net).trace(x, target=Target.index(0))
    assert trace.ledger.gap.max() <= 1e-2
    wide = Tracer(net, precision="float32").trace(x, target=Target.index(0))
    assert wide.ledger.gap.max() < 1e-5
    assert wide.audit == {}
    oracle = Tracer(copy.deepcopy(net).float()).trace(x.float(), target=Target.index(0))
    torch.testing.assert_close([*wide.relevance.values()], [*oracle.relevance.values()], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("rules", ["fastest", "attnlrp", "blend:0.25", "gamma", "z+", "gradient"])
def test_every_set_of_rules_in_float32(rules: str) -> None:
    net, shape = nets()["encoder"]
    net, x = net.bfloat16(), torch.randn(shape).bfloat16()
    trace = Tracer(net, rules, precision="float32").trace(x, target=Target.index(1))
    assert trace.precision == "float32"
    assert trace.ledger.gap.max() < 1e-5


# ---------------------------------------------------------------------------------------------- what is reported


def small_score() -> tuple[nn.Module, Tensor]:
    """Parts of about 30 that cancel to less than 1: no 16 bits can add them up."""
    torch.manual_seed(3)
    net = nn.Sequential(nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 64), nn.GELU(), nn.Linear(64, 1)).bfloat16()
    return net, (torch.randn(1, 64) * 8).bfloat16()


def test_auto_repeats_only_where_the_account_misses() -> None:
    net, x = small_score()
    model, auto = (Tracer(net, precision=p).trace(x) for p in ("model", "auto"))
    assert (model.precision, model.rounding) == ("bfloat16", None)
    assert model.ledger.gap > 1e-2
    assert auto.precision == "float32"
    assert auto.ledger.gap < 1e-4
    assert auto.rounding is not None
    torch.testing.assert_close(auto.rounding, auto.score.double() - model.score.double())
    assert auto.rounding.abs() > 0
    easy = nn.Linear(3, 1, bias=False).bfloat16()
    once = Tracer(easy).trace(torch.ones(1, 3).bfloat16())
    assert once.precision == "bfloat16"
    assert once.relevance["input"].dtype == torch.float32


def test_a_removal_is_measured_in_the_precision_of_the_trace() -> None:
    net, x = small_score()
    trace = Tracer(net).trace(x)
    removal = trace.verify(2)
    changed = x.float()
    changed[0, removal.index[0, 1]] = 0
    effect = trace.score - copy.deepcopy(net).float()(changed)[:, 0]
    torch.testing.assert_close(removal.effect[:, 1], effect.detach(), rtol=1e-3, atol=1e-4)


def overflowing() -> nn.Module:
    net = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 1)).half()
    with torch.no_grad():
        net[0].weight.fill_(3e4)
        net[2].weight.fill_(1e-3)
    return net


def test_float16_that_overflows_is_traced_in_float32() -> None:
    net, x = overflowing(), torch.ones(1, 4).half()
    assert net(x).isinf().all()
    with pytest.raises(RelevanceError, match="not finite"):
        Tracer(net, precision="model").trace(x)
    trace = Tracer(net).trace(x)
    assert trace.precision == "float32"
    assert trace.ledger.gap < 1e-5
    assert trace.rounding is not None
    assert trace.rounding.isinf().all()


def test_weights_that_are_not_numbers_are_an_error_in_any_precision() -> None:
    net = nn.Linear(2, 1).half()
    with torch.no_grad():
        net.weight[0, 0] = torch.nan
    for precision in ("auto", "model", "float32"):
        with pytest.raises(RelevanceError, match="weight"):
            Tracer(net, precision=precision).trace(torch.ones(1, 2).half())


def test_other_precisions_stay_what_they_are() -> None:
    for dtype in (torch.float64, torch.float32):
        for precision in ("auto", "model", "float32"):
            net, x = nn.Linear(2, 1).to(dtype), torch.ones(1, 2, dtype=dtype)
            trace = Tracer(net, precision=precision).trace(x)
            assert trace.score.dtype == trace.relevance["input"].dtype == dtype
            assert trace.precision == str(dtype).removeprefix("torch.")
            assert trace.rounding is None
    with pytest.raises(RelevanceError, match="float8"):
        Tracer(nn.Linear(2, 1), precision="float8")


@pytest.mark.parametrize("inside", [True, False])
def test_autocasting_is_left_out_in_float32(inside: bool) -> None:
    net = nn.Sequential(nn.Linear(16, 32), nn.GELU(), nn.Linear(32, 2))
    x = torch.randn(2, 16)

    def cast(i: dict[str, Tensor]) -> Any:
        with torch.autocast("cpu", dtype=torch.bfloat16, enabled=inside):
            return net(i["input"])

    plain = Tracer(net).trace(x, target=Target.index(0))
    with torch.autocast("cpu", dtype=torch.bfloat16, enabled=not inside):
        trace = Tracer(net, forward=cast, precision="float32").trace({"input": x}, target=Target.index(0))
        assert torch.is_autocast_enabled("cpu") != inside
    assert trace.precision == "float32"
    torch.testing.assert_close(trace.relevance, plain.relevance, rtol=1e-4, atol=1e-6)
    assert trace.ledger.gap.max() < 1e-4


def test_a_model_that_cannot_run_in_float32_is_one_clear_error() -> None:
    net, x = small_score()

    class Kernel(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            if x.dtype != torch.bfloat16:
                raise RuntimeError("kernel: only bfloat16")
            return x * 1

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient

    def forward(i: dict[str, Tensor]) -> Tensor:
        return net(Kernel.apply(i["x"]))  # type: ignore[no-any-return,no-untyped-call]

    with pytest.raises(RelevanceError, match=r'cannot be computed in float32 .*only bfloat16.*precision="model"'):
        Tracer(net, forward=forward).trace({"x": x})
    assert Tracer(net, forward=forward, precision="model").trace({"x": x}).ledger.gap > 1e-2


# --------------------------------------------------------------------------------------------------- memory

WEIGHTS = """
import resource, torch
from torch import nn
from xagent.relevance import Tracer
class Product(nn.Module):
    def __init__(self): super().__init__(); self.w = nn.Parameter(torch.randn(1024, 1024, dtype=torch.bfloat16) / 32)
    def forward(self, x): return torch.nn.functional.gelu(x @ self.w)
parts = [Product() if i % 2 else nn.Linear(1024, 1024, dtype=torch.bfloat16) for i in range(40)]
net, x = nn.Sequential(*parts, nn.Linear(1024, 1, dtype=torch.bfloat16)), torch.randn(1, 1024).bfloat16()
peak = lambda: resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024
Tracer(net[-1], precision="float32").trace(x)
Tracer(net, precision="model").trace(x)
before = peak()
assert Tracer(net, precision="float32").trace(x).precision == "float32"
print(peak() - before)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="ru_maxrss counts KiB on Linux alone")
def test_no_second_copy_of_the_weights() -> None:
    """80 MiB of weights would be 160 MiB in float32; what is cast at any one time is a few matrices of 4 MiB."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "100000", "OMP_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, "-c", WEIGHTS], capture_output=True, text=True, env=environment, check=True)
    assert int(done.stdout) < 60
