"""The engine on a CUDA device: what the CPU says, in every precision, within the memory of autograd."""

from __future__ import annotations

import copy

import pytest
import torch
from test_relevance_sweep import FAMILIES, family, question
from torch import Tensor, nn

from xagent.relevance import Target, Tracer

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("name", FAMILIES)
def test_cuda_equals_the_cpu(name: str, dtype: torch.dtype) -> None:
    model = family(name).to(dtype)
    inputs, of, target = question(name, model, dtype)
    there = {key: x.cuda() if isinstance(x, Tensor) else x for key, x in inputs.items()}
    cpu = Tracer(model, precision="float32").trace(inputs, of, target)
    on_cuda = copy.deepcopy(model).cuda()
    cuda = Tracer(on_cuda, precision="float32").trace(there, of, target)
    for key, relevance in cpu.relevance.items():
        torch.testing.assert_close(cuda.relevance[key].cpu(), relevance, rtol=1e-2, atol=1e-4)
    assert cuda.ledger.gap.max() < 1e-4
    auto = Tracer(on_cuda).trace(there, of, target)
    assert auto.ledger.gap.max() <= 1e-2
    assert auto.audit == {}


def test_extra_memory_is_at_most_what_autograd_keeps_twice() -> None:
    torch.manual_seed(0)
    net = nn.Sequential(*[m for _ in range(8) for m in (nn.Linear(512, 512), nn.GELU(), nn.LayerNorm(512))]).cuda()
    x = torch.randn(4096, 512, device="cuda")

    def peak(run: object) -> int:
        assert callable(run)
        run()
        torch.cuda.synchronize()
        torch.cuda.reset_peak_memory_stats()
        before = torch.cuda.memory_allocated()
        run()
        torch.cuda.synchronize()
        return torch.cuda.max_memory_allocated() - before

    def plain() -> None:
        leaf = x.clone().requires_grad_()
        torch.autograd.grad(net(leaf)[:, 0].sum(), leaf)

    assert peak(lambda: Tracer(net).trace(x, target=Target.index(0))) <= 2 * peak(plain)


def test_no_second_copy_of_the_weights_on_cuda() -> None:
    net = nn.Sequential(*[nn.Linear(1024, 1024) for _ in range(32)]).bfloat16().cuda()
    x = torch.randn(1, 1024, device="cuda").bfloat16()
    tracer = Tracer(net, precision="float32")
    tracer.trace(x, target=Target.index(0))
    torch.cuda.reset_peak_memory_stats()
    before = torch.cuda.memory_allocated()
    tracer.trace(x, target=Target.index(0))
    weights = sum(p.numel() * 4 for p in net.parameters())
    assert torch.cuda.max_memory_allocated() - before < weights / 3


def test_a_batch_that_does_not_fit_is_halved() -> None:
    net, free = nn.Linear(4, 1).cuda(), torch.cuda.mem_get_info()[0]

    def forward(i: dict[str, Tensor]) -> Tensor:
        torch.empty(len(i["input"]) * free // 3, dtype=torch.uint8, device="cuda")
        return net(i["input"])  # type: ignore[no-any-return]

    trace = Tracer(net, forward=forward).trace({"input": torch.randn(8, 4, device="cuda")}, ["input"])
    assert trace.score.shape == (8,)
