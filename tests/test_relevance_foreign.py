"""What is not torch: other tools' patches, fused attention, compiled parts, kernels that no mode can see."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import transformers
from test_relevance_sweep import family, question
from torch import Tensor, nn
from transformers.models.llama import modeling_llama

from xagent.relevance import RelevanceError, Target, Trace, Tracer


def patched(*args: Any, **kwargs: Any) -> Any:
    """Stands for what lxt and others put in the place of torch's and transformers' own functions."""
    raise AssertionError("must not be called")


def of_llama() -> Trace:
    model = family("Llama")
    inputs, of, target = question("Llama", model)
    return Tracer(model).trace(inputs, of, target)


@pytest.mark.parametrize(
    ("owner", "name"),
    [
        (F, "softmax"),
        (torch, "matmul"),
        (torch.Tensor, "mul"),
        (nn.Linear, "forward"),
        (nn.Module, "__call__"),
        (modeling_llama, "apply_rotary_pos_emb"),
        (modeling_llama, "eager_attention_forward"),
        (modeling_llama.LlamaMLP, "forward"),
        (modeling_llama.LlamaRMSNorm, "forward"),
    ],
)
def test_a_patch_of_the_process_is_refused_by_name(monkeypatch: pytest.MonkeyPatch, owner: Any, name: str) -> None:
    model = family("Llama")
    inputs, of, target = question("Llama", model)
    monkeypatch.setattr(owner, name, patched)
    with pytest.raises(RelevanceError, match=rf'{name}" was replaced .*patched.*fresh process'):
        Tracer(model).trace(inputs, of, target)
    monkeypatch.undo()
    assert Tracer(model).trace(inputs, of, target).status == "exact"


def test_a_patch_behind_a_wrapper_and_one_among_the_attentions(monkeypatch: pytest.MonkeyPatch) -> None:
    import functools

    monkeypatch.setattr(F, "gelu", functools.partial(patched))
    with pytest.raises(RelevanceError, match="gelu"):
        of_llama()
    monkeypatch.undo()
    table = transformers.modeling_utils.ALL_ATTENTION_FUNCTIONS
    monkeypatch.setitem(type(table)._global_mapping, "sdpa", patched)
    with pytest.raises(RelevanceError, match="sdpa"):
        of_llama()


def test_a_users_own_modules_hooks_and_instances_are_no_patch() -> None:
    class Own(nn.Linear):
        def forward(self, x: Tensor) -> Tensor:
            return super().forward(x) * 2

    model = nn.Sequential(Own(3, 2), nn.Linear(2, 1))
    plain = model[1].forward
    model[1].forward = lambda x: plain(x) * 1
    model[0].register_forward_hook(lambda *_: None)
    assert Tracer(model).trace(torch.ones(1, 3)).ledger.gap < 1e-5


# --------------------------------------------------------------------------------- fused and compiled


@pytest.mark.parametrize("name", ["BERT", "Llama", "ViT"])
@pytest.mark.parametrize("fused", ["flash_attention_2", "flex_attention"])
def test_fused_attention_is_traced_as_torchs_own_and_restored(name: str, fused: str) -> None:
    model: Any = family(name)
    inputs, of, target = question(name, model)
    plain = Tracer(model).trace(inputs, of, target)
    model.config._attn_implementation = fused
    trace = Tracer(model).trace(inputs, of, target)
    assert trace.verify(1).effect.isfinite().all()
    assert model.config._attn_implementation == fused
    torch.testing.assert_close(trace.relevance, plain.relevance)
    assert trace.status == "exact"


def test_capped_attention_goes_eager_because_torchs_kernel_has_no_cap() -> None:
    model: Any = family("Gemma 2")
    inputs, of, target = question("Gemma 2", model)
    model.config._attn_implementation = "eager"
    plain = Tracer(model).trace(inputs, of, target)
    model.config._attn_implementation = "flash_attention_2"
    torch.testing.assert_close(Tracer(model).trace(inputs, of, target).relevance, plain.relevance)
    assert model.config._attn_implementation == "flash_attention_2"


def test_attention_weights_that_a_user_asks_for_stay() -> None:
    model: Any = family("BERT")
    model.set_attn_implementation("eager")
    inputs, of, target = question("BERT", model)
    seen = []

    def forward(i: dict[str, Any]) -> Any:
        output = model(**i, output_attentions=True)
        seen.append([x.detach() for x in output.attentions])
        return output

    trace = Tracer(model, forward=forward).trace(inputs, of, target)
    assert trace.ledger.gap.max() < 1e-5
    for ours, theirs in zip(seen[0], model(**inputs, output_attentions=True).attentions, strict=True):
        torch.testing.assert_close(ours, theirs.detach())


def test_compiled_parts_run_as_they_were_written() -> None:
    def explode(*_: Any) -> Any:
        raise AssertionError("must not be compiled")

    parts = [nn.Linear(3, 4), nn.Sequential(nn.GELU(), nn.LayerNorm(4)), nn.Linear(4, 2)]
    plain = nn.Sequential(*parts)
    x = torch.randn(2, 3)
    ours = Tracer(plain).trace(x, target=Target.index(0), layers=True)
    whole: Any = torch.compile(plain, backend=explode)
    within = nn.Sequential(parts[0], torch.compile(parts[1], backend=explode), parts[2])  # type: ignore[arg-type]
    compiled_before = vars(within[1])["forward"]
    for model in (whole, within):
        trace = Tracer(model).trace(x, target=Target.index(0))
        torch.testing.assert_close(trace.relevance["input"], ours.relevance["input"])
        assert trace.status == "exact"
    assert vars(within[1])["forward"] is compiled_before
    plain[1].compile(backend=explode)  # in place
    call = plain[1]._compiled_call_impl
    torch.testing.assert_close(Tracer(plain).trace(x, target=Target.index(0)).relevance, ours.relevance)
    assert plain[1]._compiled_call_impl is call is not None


def test_kernels_that_no_mode_can_see_are_named() -> None:
    class Fused(torch.autograd.Function):
        @staticmethod
        def forward(ctx: Any, x: Tensor) -> Tensor:
            ctx.save_for_backward(x)
            return x**3

        @staticmethod
        def backward(ctx: Any, gradient: Tensor) -> Tensor:  # type: ignore[override]
            return gradient * 3 * ctx.saved_tensors[0] ** 2

    @torch.library.custom_op("relevance_test::halved", mutates_args=())
    def halved(x: Tensor) -> Tensor:
        return x.abs().sqrt()

    halved.register_autograd(
        lambda ctx, g: g * ctx.slope, setup_context=lambda ctx, inputs, output: setattr(ctx, "slope", 0.5 / output)
    )
    linear = nn.Linear(3, 2)
    x = torch.rand(1, 3) + 1
    one, both = (
        Tracer(linear, forward=f).trace({"x": x}, target=Target.index(0))
        for f in (
            lambda i: Fused.apply(Fused.apply(linear(i["x"]))),  # type: ignore[no-untyped-call]
            lambda i: linear(torch.ops.relevance_test.halved(i["x"])),
        )
    )
    (name,) = one.audit
    assert name.startswith("unseen: test_relevance_foreign.")
    assert name.endswith("Fused")
    assert one.audit[name] == 2
    assert "halved" in next(iter(both.audit))
    assert both.ledger.gap < 1e-5
    assert one.status == both.status == "audited"
