"""A trace leaves nothing changed: not the process, not the model, whatever is raised inside of it and where."""

from __future__ import annotations

import random
import warnings
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch
import torch.nn.functional as F
import transformers
from hypothesis import given, settings
from hypothesis import strategies as st
from test_relevance_sweep import family, question
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from xagent.relevance import RULE_SETS, Step, Target, Tracer, register


class Trip(TorchFunctionMode):
    """Raises at the n-th operation."""

    def __init__(self, n: int, error: type[BaseException]) -> None:
        super().__init__()
        self.left, self.error = n, error

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        self.left -= 1
        if self.left == 0:
            raise self.error("tripped")
        return func(*args, **(kwargs or {}))


class Written(nn.Module):
    """An activation written out in python."""

    def forward(self, x: Tensor) -> Tensor:
        return x * torch.sigmoid(1.702 * x)


def functions(holder: Any) -> list[tuple[str, int]]:
    return [(name, id(member)) for name, member in sorted(vars(holder).items()) if callable(member)]


def process() -> dict[str, object]:
    """Everything of the process that a trace could leave changed."""
    state = np.random.get_state()
    return {
        "gradients": (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), torch.is_anomaly_enabled()),
        "dtype": torch.get_default_dtype(),
        "device": torch.get_default_device(),
        "deterministic": (torch.are_deterministic_algorithms_enabled(), torch.backends.cudnn.deterministic),
        "threads": (torch.get_num_threads(), torch.get_num_interop_threads()),
        "random": (torch.get_rng_state().tolist(), random.getstate(), state[0], state[1].tolist(), state[2:]),
        "warnings": (list(warnings.filters), warnings.showwarning),
        "modes": (torch._C._len_torch_function_stack(), torch._C._len_torch_dispatch_stack()),
        "torch function": torch._C._is_torch_function_enabled(),
        "saved tensors": torch._C._autograd._top_saved_tensors_default_hooks(True),
        "autocast": [torch.is_autocast_enabled(d) for d in ("cpu", "cuda")] + [torch.is_autocast_cache_enabled()],
        "sdpa": (
            torch.backends.cuda.flash_sdp_enabled(), torch.backends.cuda.math_sdp_enabled(),
            torch.backends.cuda.mem_efficient_sdp_enabled(), torch.backends.cuda.cudnn_sdp_enabled(),
        ),
        "matmul": (torch.get_float32_matmul_precision(), torch.backends.mkldnn.enabled),
        "functions": [functions(h) for h in (torch, torch.Tensor, F, nn.Linear, nn.Module, torch.autograd)],
        "transformers": [
            functions(transformers.models.bert.modeling_bert), functions(transformers.modeling_utils),
            functions(transformers.models.bert.modeling_bert.BertSelfAttention),
            functions(transformers.masking_utils),
        ],
    }  # fmt: skip


def of_model(model: nn.Module) -> dict[str, object]:
    named = [*model.named_parameters()]
    hooks = ("_forward_hooks", "_forward_pre_hooks", "_backward_hooks", "_backward_pre_hooks", "_state_dict_hooks")
    config = getattr(model, "config", None)
    return {
        "parameters": [(n, id(p), p.requires_grad, p.grad is None, p.dtype, p._version) for n, p in named],
        "values": [p.double().sum().item() for p in model.parameters()],
        "buffers": [(n, id(b), b._version) for n, b in model.named_buffers()],
        "modules": [
            (n, m.training, sorted(vars(m)), m.__class__, m._compiled_call_impl is None, id(vars(m).get("forward")),
             [len(getattr(m, h)) for h in hooks])
            for n, m in model.named_modules()
        ],
        "config": None if config is None else (repr(config.to_dict()), config._attn_implementation),
    }  # fmt: skip


@pytest.fixture
def own_rules() -> Iterator[None]:
    before = dict(RULE_SETS["conserving"].rules)
    yield
    RULE_SETS["conserving"].rules = before


def net() -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 2, 3), nn.BatchNorm2d(2), nn.ReLU(inplace=True), Written(), nn.Flatten(), nn.Linear(72, 2)
    ).eval()
    model[0].weight.requires_grad_(False)
    return model


process()  # asking for the first time imports parts of torch
MODELS = {dtype: net().to(dtype) for dtype in (torch.float32, torch.bfloat16, torch.float16)}


@settings(max_examples=60, deadline=None)
@given(
    trip=st.integers(1, 60),
    error=st.sampled_from([RuntimeError, KeyboardInterrupt, SystemExit, torch.OutOfMemoryError]),
    grad=st.booleans(),
    inside=st.booleans(),
    dtype=st.sampled_from(list(MODELS)),
    precision=st.sampled_from(["auto", "float32"]),
)
def test_whatever_trips_at_whatever_operation(
    trip: int, error: type[BaseException], grad: bool, inside: bool, dtype: torch.dtype, precision: str
) -> None:
    model = MODELS[dtype]
    x = torch.randn(2, 1, 8, 8).to(dtype)
    kept = x.clone()
    options = {"layers": inside, "heads": inside, "neurons": inside}
    with torch.set_grad_enabled(grad):
        before = process(), of_model(model)
        try:
            with Trip(trip, error):
                Tracer(model, precision=precision).trace({"input": x}, ["input"], Target.index(0), **options)
        except BaseException as caught:
            if not isinstance(caught, error):
                assert type(caught).__name__ in ("OutOfMemory", "RelevanceError")
                assert "tripped" in str(caught)
        after = process(), of_model(model)
    for was, now in zip(before, after, strict=True):
        for key in was:
            assert now[key] == was[key], key
    assert torch.equal(x, kept)
    assert not x.requires_grad


def in_forward(model: nn.Module, error: BaseException) -> Callable[[], object]:
    def forward(i: dict[str, Any]) -> Any:
        model(**i)
        raise error

    inputs, of, target = question("BERT", model)
    return lambda: Tracer(model, forward=forward).trace(inputs, of, target)


def in_target(model: nn.Module, error: BaseException) -> Callable[[], object]:
    def function(output: Any) -> Tensor:
        raise error

    inputs, of, _ = question("BERT", model)
    return lambda: Tracer(model).trace(inputs, of, Target.of_output(function))


def in_rule(model: nn.Module, error: BaseException) -> Callable[[], object]:
    @register("layer_norm")
    def broken(step: Step, *args: Any, **kwargs: Any) -> Any:
        raise error

    inputs, of, target = question("BERT", model)
    return lambda: Tracer(model).trace(inputs, of, target, layers=True)


def in_gradient(model: nn.Module, error: BaseException) -> Callable[[], object]:
    @register("layer_norm")
    def broken(step: Step, input: Tensor, *args: Any, **kwargs: Any) -> Any:
        def back(gradient: Tensor) -> Tensor:
            raise error

        return step.carry(input, step.value(), back)

    inputs, of, target = question("BERT", model)
    return lambda: Tracer(model, precision="float32").trace(inputs, of, target, layers=True)


def in_removal(model: nn.Module, error: BaseException) -> Callable[[], object]:
    inputs, of, target = question("BERT", model)
    calls = []

    def forward(i: dict[str, Any]) -> Any:
        calls.append(1)
        if len(calls) > 1:
            raise error
        return model(**i)

    trace = Tracer(model, forward=forward).trace(inputs, of, target)
    return lambda: trace.verify(2)


@pytest.mark.parametrize("error", [ValueError("own"), KeyboardInterrupt("own")], ids=["error", "interrupt"])
@pytest.mark.parametrize("where", [in_forward, in_target, in_rule, in_gradient, in_removal])
@pytest.mark.parametrize("attention", ["sdpa", "flex_attention"])
def test_an_exception_of_the_users_own_code_arrives_and_nothing_stays(
    own_rules: None, where: Any, error: BaseException, attention: str
) -> None:
    model: Any = family("BERT")
    model.config._attn_implementation = attention
    ask = where(model, error)
    before = process(), of_model(model)
    with pytest.raises(type(error), match="own"):
        ask()
    after = process(), of_model(model)
    for was, now in zip(before, after, strict=True):
        for key in was:
            assert now[key] == was[key], key
    assert model.config._attn_implementation == attention


def test_a_trace_of_a_language_model_changes_nothing() -> None:
    model = family("Llama").bfloat16()
    inputs, of, target = question("Llama", model)
    before = process(), of_model(model)
    for precision in ("model", "float32"):
        trace = Tracer(model, precision=precision).trace(inputs, of, target, layers=True, heads=True, neurons=True)
        trace.verify(2)
    after = process(), of_model(model)
    for was, now in zip(before, after, strict=True):
        for key in was:
            assert now[key] == was[key], key
