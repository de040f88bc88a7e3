"""The relevance engine: what it conserves, what it equals, what it refuses."""

from __future__ import annotations

import io
import itertools
from typing import Any

import pytest
import torch
from captum.attr import InputXGradient
from hypothesis import given, settings
from hypothesis import strategies as st
from relevance_models import randomised
from torch import Tensor, nn
from transformers import BertConfig, BertForSequenceClassification

from xagent.relevance import Target, Trace, Tracer

ACTIVATIONS = (nn.ReLU, nn.GELU, nn.SiLU, nn.Tanh, nn.ELU, nn.Sigmoid, nn.Softplus, nn.LeakyReLU, nn.Hardswish)


def mlp(seed: int, widths: tuple[int, ...] = (5, 8, 6, 3), activation: type[nn.Module] = nn.GELU) -> nn.Module:
    layers: list[nn.Module] = []
    for i, (a, b) in enumerate(itertools.pairwise(widths)):
        layers += [nn.Linear(a, b)] if i == len(widths) - 2 else [nn.Linear(a, b), nn.LayerNorm(b), activation()]
    return randomised(nn.Sequential(*layers), seed, torch.float32)


def cnn(seed: int, channels: int = 4, pool: type[nn.Module] = nn.MaxPool2d) -> nn.Module:
    return randomised(
        nn.Sequential(
            nn.Conv2d(1, channels, 3, padding=1),
            nn.BatchNorm2d(channels),
            nn.ReLU(inplace=True),
            pool(2),
            nn.Conv2d(channels, 3, 3),
            nn.GroupNorm(3, 3),
            nn.SiLU(),
            nn.AdaptiveAvgPool2d(2),
            nn.Flatten(),
            nn.Dropout(0.5),
            nn.Linear(12, 3),
        ),
        seed,
        torch.float32,
    )


def bert(attention: str, seed: int = 0, activation: str = "gelu") -> BertForSequenceClassification:
    config = BertConfig(
        vocab_size=40, hidden_size=32, num_hidden_layers=2, num_attention_heads=4, intermediate_size=48,
        max_position_embeddings=16, num_labels=3, hidden_act=activation, attn_implementation=attention,
    )  # fmt: skip
    torch.manual_seed(seed)
    model = BertForSequenceClassification(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(0, 0.2)
    return model


def bert_inputs(rows: int = 2) -> dict[str, Tensor]:
    mask = torch.ones(rows, 7, dtype=torch.long)
    mask[0, 5:] = 0
    return {
        "inputs_embeds": torch.randn(rows, 7, 32, generator=torch.Generator().manual_seed(3)),
        "attention_mask": mask,
    }


def explain(model: nn.Module, x: Tensor, target: Target | None = None, **options: Any) -> Trace:
    rules = options.pop("rules", "conserving")
    return Tracer(model, rules).trace({"input": x}, ["input"], target or Target.contrast(1, 0), **options)


# ------------------------------------------------------------------------------------------------- conservation


@settings(max_examples=25, deadline=None)
@given(
    seed=st.integers(0, 2**20),
    widths=st.lists(st.integers(2, 9), min_size=2, max_size=4).map(lambda w: (5, *w, 2)),
    activation=st.sampled_from(ACTIVATIONS),
    rules=st.sampled_from(["conserving", "gradient"]),
)
def test_every_mlp_adds_up(seed: int, widths: tuple[int, ...], activation: type[nn.Module], rules: str) -> None:
    x = torch.randn(3, 5, generator=torch.Generator().manual_seed(seed)).double()
    trace = explain(mlp(seed, widths, activation).double(), x, rules=rules)
    assert trace.ledger.gap.max() < 1e-8
    if rules == "conserving":
        assert trace.status == "exact"
        assert not trace.ledger.unhandled.any()


@settings(max_examples=15, deadline=None)
@given(seed=st.integers(0, 2**20), channels=st.integers(1, 6), pool=st.sampled_from([nn.MaxPool2d, nn.AvgPool2d]))
def test_every_cnn_adds_up(seed: int, channels: int, pool: type[nn.Module]) -> None:
    x = torch.randn(2, 1, 8, 8, generator=torch.Generator().manual_seed(seed)).double()
    trace = explain(cnn(seed, channels, pool).double(), x)
    assert trace.ledger.gap.max() < 1e-8
    assert trace.status == "exact"
    assert trace.ledger.biases.abs().min() > 0


@pytest.mark.parametrize("seed", range(3))
def test_float32_adds_up_to_a_hundred_thousandth(seed: int) -> None:
    torch.manual_seed(seed)
    assert explain(mlp(seed), torch.randn(4, 5)).ledger.gap.max() < 1e-5
    assert explain(cnn(seed), torch.randn(4, 1, 8, 8)).ledger.gap.max() < 1e-5


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_bert_adds_up_and_padding_gets_nothing(attention: str) -> None:
    model, inputs = bert(attention), bert_inputs()
    trace = Tracer(model).trace(inputs, ["inputs_embeds"], Target.contrast(2, 0))
    assert trace.status == "exact"
    assert trace.ledger.gap.max() < 1e-5
    assert trace.ledger.positions.abs().min() > 1e-6
    assert trace.ledger.biases.abs().min() > 1e-6
    assert not trace.relevance["inputs_embeds"][0, 5:].any()
    assert trace.relevance["inputs_embeds"][0, :5].any()
    torch.testing.assert_close(trace.score, model(**inputs).logits[:, 2] - model(**inputs).logits[:, 0])


def test_bert_attention_implementations_agree() -> None:
    traces = [Tracer(bert(a)).trace(bert_inputs(), ["inputs_embeds"], Target.index(1)) for a in ("sdpa", "eager")]
    torch.testing.assert_close(traces[0].relevance, traces[1].relevance, rtol=1e-4, atol=1e-6)


def test_an_activation_written_out_in_python_is_one_operation() -> None:
    """gelu_new differs from gelu by 1e-3; taken apart, half of its relevance would end in the constant 1."""
    plain, written = (
        Tracer(bert("sdpa", activation=a)).trace(bert_inputs(), ["inputs_embeds"], Target.index(1))
        for a in ("gelu", "gelu_new")
    )
    assert written.ledger.gap.max() < 1e-5
    assert not written.ledger.constants.any()
    torch.testing.assert_close(plain.ledger.inputs, written.ledger.inputs, rtol=0.05, atol=0.01)


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5), (torch.bfloat16, 0.01)]
)
def test_precisions(dtype: torch.dtype, tolerance: float) -> None:
    trace = explain(mlp(1).to(dtype), torch.linspace(-1, 1, 10).view(2, 5).to(dtype))
    assert trace.score.dtype == dtype
    assert trace.relevance["input"].dtype == torch.promote_types(dtype, torch.float32)
    assert trace.ledger.gap.max() < tolerance


def test_the_part_of_the_baseline_is_booked() -> None:
    x, reference = torch.randn(3, 5), torch.randn(1, 5)
    with_it, without = explain(mlp(2), x, baseline={"input": reference}), explain(mlp(2), x)
    gradient = without.relevance["input"] / x
    torch.testing.assert_close(with_it.relevance["input"], (x - reference) * gradient, rtol=1e-3, atol=1e-5)
    torch.testing.assert_close(with_it.ledger.inputs + with_it.ledger.baseline, without.ledger.inputs)
    assert with_it.ledger.gap.max() < 1e-5
    assert with_it.ledger.baseline.abs().min() > 0


# ----------------------------------------------------------------------------------------------------- equality


def test_equals_lrp_by_hand() -> None:
    """LRP-0 of a two-layer ReLU net, written as the redistribution of Bach et al. 2015, eq. 56."""
    model = randomised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 2)), 4)
    x = torch.randn(1, 4).double()
    w1, b1, w2, b2 = (p.detach() for p in model.parameters())
    z1 = w1 @ x[0] + b1
    a1 = z1.clamp(min=0)
    z2 = w2[1] @ a1 + b2[1]
    hidden = torch.tensor([a1[j] * w2[1, j] / z2 * z2 for j in range(6)])
    by_hand = torch.tensor([sum(x[0, i] * w1[j, i] / z1[j] * hidden[j] for j in range(6)) for i in range(4)])
    trace = explain(model, x, Target.index(1))
    torch.testing.assert_close(trace.relevance["input"][0], by_hand)
    torch.testing.assert_close(trace.ledger.biases[0], b2[1] + sum(b1[j] / z1[j] * hidden[j] for j in range(6)))


def test_equals_captum_where_both_are_exact() -> None:
    model = nn.Sequential(nn.Linear(5, 7, bias=False), nn.ReLU(), nn.Linear(7, 3, bias=False))
    x = torch.randn(4, 5)
    oracle = InputXGradient(model).attribute(x.clone().requires_grad_(), target=2)
    trace = explain(model, x, Target.index(2))
    torch.testing.assert_close(trace.relevance["input"], oracle.detach())
    torch.testing.assert_close(trace.ledger.inputs, trace.score.double(), rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("rules", ["gradient", "conserving"])
def test_gradient_rules_are_plain_autograd(rules: str) -> None:
    model, x = cnn(5), torch.randn(2, 1, 8, 8)
    leaf = x.clone().requires_grad_()
    output = model(leaf * 1)
    plain = x * torch.autograd.grad((output[:, 1] - output[:, 0]).sum(), leaf)[0]
    same = torch.allclose(explain(model, x, rules=rules).relevance["input"], plain, rtol=1e-4, atol=1e-6)
    assert same == (rules == "gradient")


@pytest.mark.parametrize("make", [mlp, cnn])
def test_an_exported_program_equals_its_module(make: Any) -> None:
    model = make(6)
    x = torch.randn(2, 5) if make is mlp else torch.randn(2, 1, 8, 8)
    file = io.BytesIO()
    torch.export.save(torch.export.export(model, (x,)), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    ours, theirs = explain(model, x), explain(loaded, x)
    torch.testing.assert_close(theirs.relevance, ours.relevance, rtol=1e-5, atol=1e-6)
    torch.testing.assert_close(theirs.ledger.biases, ours.ledger.biases, rtol=1e-5, atol=1e-6)
    assert theirs.status == "exact"
    assert theirs.ledger.gap.max() < 1e-5


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_exported_bert_equals_bert() -> None:
    class Logits(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.model = bert("sdpa")

        def forward(self, inputs_embeds: Tensor, attention_mask: Tensor) -> Tensor:
            return self.model(inputs_embeds=inputs_embeds, attention_mask=attention_mask).logits  # type: ignore[no-any-return]

    inputs = bert_inputs()
    program = torch.export.export(Logits(), (), inputs).module()
    ours, theirs = (Tracer(m).trace(inputs, ["inputs_embeds"], Target.index(0)) for m in (Logits(), program))
    torch.testing.assert_close(theirs.relevance, ours.relevance, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(theirs.ledger.positions, ours.ledger.positions, rtol=1e-4, atol=1e-6)
    assert theirs.ledger.gap.max() < 1e-5


def test_a_contrast_is_the_difference() -> None:
    model, x = cnn(7), torch.randn(2, 1, 8, 8)
    a, b, both = (explain(model, x, t) for t in (Target.index(1), Target.index(2), Target.contrast(1, 2)))
    torch.testing.assert_close(
        both.relevance["input"], a.relevance["input"] - b.relevance["input"], rtol=1e-4, atol=1e-5
    )
    torch.testing.assert_close(both.ledger.biases, a.ledger.biases - b.ledger.biases, rtol=1e-4, atol=1e-5)


def folded(seed: int) -> nn.Module:
    """torch's own encoder layer: inside, the tokens come first and the batch second."""
    layer = nn.TransformerEncoderLayer(6, 2, 8, batch_first=True)
    return randomised(nn.Sequential(layer, nn.Flatten(), nn.Linear(12, 2)), seed, torch.float32)


@pytest.mark.parametrize("model", [mlp(8), cnn(8), folded(8)], ids=["mlp", "cnn", "folded"])
def test_a_batch_is_its_samples(model: nn.Module) -> None:
    shape = {"Conv2d": (1, 8, 8), "Linear": (5,), "TransformerEncoderLayer": (2, 6)}[type(model[0]).__name__]  # type: ignore[index]
    x = torch.randn(2, *shape)
    batch = explain(model, x, layers=True)
    singles = [explain(model, x[i : i + 1], layers=True) for i in range(2)]
    assert batch.ledger.gap.max() < 1e-4
    for entry in ("inputs", "biases", "constants", "score"):
        parts = torch.cat([getattr(s.ledger, entry) for s in singles])
        torch.testing.assert_close(getattr(batch.ledger, entry), parts, rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(
        batch.relevance["input"], torch.cat([s.relevance["input"] for s in singles]), rtol=1e-4, atol=1e-5
    )
    for name, values in batch.layers.items():
        torch.testing.assert_close(values, torch.cat([s.layers[name] for s in singles]), rtol=1e-4, atol=1e-5)


def test_layers_show_where_relevance_ends() -> None:
    model = randomised(nn.Sequential(nn.Linear(4, 6), nn.ReLU(inplace=True), nn.Linear(6, 2)), 9, torch.float32)
    trace = explain(model, torch.randn(3, 4), Target.index(0), layers=True)
    assert list(trace.layers) == ["0", "1", "2"]
    torch.testing.assert_close(trace.layers["2"], trace.score.double())
    torch.testing.assert_close(trace.layers["0"], trace.layers["1"])
    last_bias = model[2].bias[0].double().detach()  # type: ignore[index,union-attr]
    torch.testing.assert_close(trace.layers["1"], trace.score.double() - last_bias, rtol=1e-5, atol=1e-6)
