"""The relevance engine on torch's own layers, one by one: the account closes and nothing is unknown."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from relevance_models import Attending, randomised, values
from torch import Tensor, nn

from xagent.relevance import Target, Trace, Tracer


def summed(y: Any) -> Tensor:
    """One score per sample, with a weight of its own for every output."""
    y = y[0] if isinstance(y, tuple) else y
    flat = y.flatten(1)
    return (flat * torch.linspace(1, 2, flat.shape[1], dtype=flat.dtype)).sum(1)


def trace_of(model: nn.Module, x: Tensor, rules: str = "conserving", call: Callable[..., Any] | None = None) -> Trace:
    run = call or model
    return Tracer(model, rules, forward=lambda i: summed(run(i["x"]))).trace({"x": x}, ["x"], Target.value())


LAYERS: dict[str, tuple[Callable[[], nn.Module], tuple[int, ...]]] = {
    "LSTM": (lambda: nn.LSTM(3, 4, 2, batch_first=True, bidirectional=True), (2, 5, 3)),
    "LSTM, projected": (lambda: nn.LSTM(3, 4, proj_size=2, batch_first=True), (2, 5, 3)),
    "GRU": (lambda: nn.GRU(3, 4, 2, batch_first=True, bidirectional=True), (2, 5, 3)),
    "RNN, tanh": (lambda: nn.RNN(3, 4, batch_first=True, bias=False), (2, 5, 3)),
    "RNN, relu": (lambda: nn.RNN(3, 4, nonlinearity="relu", batch_first=True), (2, 5, 3)),
    "LSTMCell": (lambda: nn.LSTMCell(3, 4), (2, 3)),
    "GRUCell": (lambda: nn.GRUCell(3, 4), (2, 3)),
    "RNNCell": (lambda: nn.RNNCell(3, 4), (2, 3)),
    "TransformerEncoder": (
        lambda: nn.TransformerEncoder(
            nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, activation="gelu"), 2, enable_nested_tensor=False
        ),
        (2, 4, 8),
    ),
    "TransformerEncoderLayer, norm first": (
        lambda: nn.TransformerEncoderLayer(8, 2, 12, batch_first=True, norm_first=True), (2, 4, 8),
    ),
    "Linear": (lambda: nn.Linear(3, 4), (2, 5, 3)),
    "Conv1d": (lambda: nn.Conv1d(4, 6, 3, padding=1), (2, 4, 9)),
    "Conv2d, depthwise": (lambda: nn.Conv2d(4, 8, 3, groups=4), (2, 4, 7, 7)),
    "Conv2d, dilated and strided": (lambda: nn.Conv2d(4, 3, 3, dilation=2, stride=2), (2, 4, 9, 9)),
    "Conv2d, reflecting": (lambda: nn.Conv2d(4, 3, 3, padding=1, padding_mode="reflect"), (2, 4, 5, 5)),
    "Conv3d": (lambda: nn.Conv3d(2, 3, 2), (2, 2, 4, 4, 4)),
    "ConvTranspose1d": (lambda: nn.ConvTranspose1d(4, 6, 3, stride=2), (2, 4, 5)),
    "ConvTranspose2d": (lambda: nn.ConvTranspose2d(4, 6, 3, stride=2, groups=2, output_padding=1), (2, 4, 5, 5)),
    "ConvTranspose3d": (lambda: nn.ConvTranspose3d(2, 3, 2), (2, 2, 3, 3, 3)),
    "MaxPool1d": (lambda: nn.MaxPool1d(2), (2, 4, 8)),
    "MaxPool2d": (lambda: nn.MaxPool2d(3, 2, 1, ceil_mode=True), (2, 4, 8, 8)),
    "MaxPool3d": (lambda: nn.MaxPool3d(2), (2, 2, 4, 4, 4)),
    "AvgPool1d": (lambda: nn.AvgPool1d(2), (2, 4, 8)),
    "AvgPool2d": (lambda: nn.AvgPool2d(3, 2, 1, count_include_pad=False), (2, 4, 8, 8)),
    "AvgPool3d": (lambda: nn.AvgPool3d(2), (2, 2, 4, 4, 4)),
    "LPPool2d": (lambda: nn.LPPool2d(2, 2), (2, 4, 8, 8)),
    "AdaptiveMaxPool2d": (lambda: nn.AdaptiveMaxPool2d(3), (2, 4, 8, 8)),
    "AdaptiveAvgPool1d": (lambda: nn.AdaptiveAvgPool1d(3), (2, 4, 8)),
    "AdaptiveAvgPool3d": (lambda: nn.AdaptiveAvgPool3d(2), (2, 2, 4, 4, 4)),
    "BatchNorm1d": (lambda: nn.BatchNorm1d(4), (2, 4)),
    "BatchNorm2d": (lambda: nn.BatchNorm2d(4), (2, 4, 3, 3)),
    "BatchNorm3d": (lambda: nn.BatchNorm3d(2), (2, 2, 3, 3, 3)),
    "InstanceNorm2d": (lambda: nn.InstanceNorm2d(4, affine=True), (2, 4, 3, 3)),
    "GroupNorm": (lambda: nn.GroupNorm(2, 4), (2, 4, 3, 3)),
    "LayerNorm": (lambda: nn.LayerNorm((4, 3)), (2, 5, 4, 3)),
    "RMSNorm": (lambda: nn.RMSNorm(4), (2, 5, 4)),
    "LocalResponseNorm": (lambda: nn.LocalResponseNorm(2), (2, 4, 3, 3)),
    "PReLU": (lambda: nn.PReLU(4), (2, 4, 3)),
    "GLU": (nn.GLU, (2, 4)),
    "Upsample": (lambda: nn.Upsample(scale_factor=2, mode="bilinear"), (2, 4, 3, 3)),
    "PixelShuffle": (lambda: nn.PixelShuffle(2), (2, 4, 3, 3)),
    "Unfold": (lambda: nn.Unfold(2), (2, 4, 3, 3)),
    "Fold": (lambda: nn.Fold((4, 4), 2, stride=2), (2, 8, 4)),
    "ZeroPad2d": (lambda: nn.ZeroPad2d(1), (2, 4, 3, 3)),
    "ReplicationPad2d": (lambda: nn.ReplicationPad2d(1), (2, 4, 3, 3)),
    "Softmax": (lambda: nn.Softmax(-1), (2, 4)),
    "LogSoftmax": (lambda: nn.LogSoftmax(-1), (2, 4)),
    "ChannelShuffle": (lambda: nn.ChannelShuffle(2), (2, 4, 3, 3)),
    "LPPool3d": (lambda: nn.LPPool3d(2, 2), (2, 2, 4, 4, 4)),
    "AdaptiveMaxPool3d": (lambda: nn.AdaptiveMaxPool3d(2), (2, 2, 4, 4, 4)),
    "Linear, weight norm": (lambda: nn.utils.parametrizations.weight_norm(nn.Linear(4, 3)), (2, 4)),
    "Linear, spectral norm": (lambda: nn.utils.parametrizations.spectral_norm(nn.Linear(4, 3)), (2, 4)),
    "InstanceNorm1d, fixed": (
        lambda: nn.InstanceNorm1d(4, affine=True, track_running_stats=True), (2, 4, 5),
    ),
    "Upsample, nearest": (lambda: nn.Upsample(scale_factor=2), (2, 4, 3)),
    "CircularPad2d": (lambda: nn.CircularPad2d(1), (2, 4, 3, 3)),
    "ConstantPad1d": (lambda: nn.ConstantPad1d(1, 2.5), (2, 4, 3)),
    "Mish": (nn.Mish, (2, 4)),
    "Hardswish": (nn.Hardswish, (2, 4)),
    "Softplus": (nn.Softplus, (2, 4)),
    "Threshold": (lambda: nn.Threshold(0.1, 20), (2, 4)),
}  # fmt: skip


@pytest.mark.parametrize("name", LAYERS)
def test_every_layer_adds_up(name: str) -> None:
    make, shape = LAYERS[name]
    torch.manual_seed(0)
    model, x = randomised(make()), values(*shape)
    trace = trace_of(model, x)
    torch.testing.assert_close(trace.score, summed(model(x)).detach())
    assert trace.ledger.gap.max() < 1e-9
    assert trace.audit == {}
    alone = [trace_of(model, x[i : i + 1]) for i in range(2)]
    torch.testing.assert_close(trace.relevance["x"], torch.cat([t.relevance["x"] for t in alone]))
    torch.testing.assert_close(trace.ledger.biases, torch.cat([t.ledger.biases for t in alone]))


@pytest.mark.parametrize("name", ["LSTM", "GRU", "RNN, relu", "LSTM, projected"])
def test_recurrent_nets_of_any_layout(name: str) -> None:
    """Time first, and a packed batch of unequal lengths, equal the same sequences one by one."""
    model = randomised(LAYERS[name][0]())
    x, lengths = values(3, 5, 3), torch.tensor([5, 3, 1])

    def packed(x: Tensor) -> Tensor:
        y, _ = model(nn.utils.rnn.pack_padded_sequence(x, lengths[: len(x)], batch_first=True))
        return nn.utils.rnn.pad_packed_sequence(y, batch_first=True, total_length=5)[0]

    y = packed(x)
    trace = Tracer(model, forward=lambda i: summed(packed(i["x"])[:, 0])).trace({"x": x}, ["x"], Target.value())
    assert trace.audit == {}
    assert trace.ledger.gap.max() < 1e-9
    assert not trace.relevance["x"][2, 1:].any()
    for row, length in enumerate(lengths.tolist()):
        alone, _ = model(x[row : row + 1, :length])
        torch.testing.assert_close(y[row : row + 1, :length], alone)
        single = trace_of(model, x[row : row + 1, :length], call=lambda v: model(v)[0][:, 0])
        torch.testing.assert_close(trace.relevance["x"][row : row + 1, :length], single.relevance["x"])
    timely = type(model)(3, 4, batch_first=False, **_settings(model)).double().eval()
    timely.load_state_dict(model.state_dict())
    swapped = trace_of(timely, x, call=lambda v: timely(v.transpose(0, 1))[0].transpose(0, 1))
    torch.testing.assert_close(swapped.relevance["x"], trace_of(model, x).relevance["x"])


def _settings(model: Any) -> dict[str, Any]:
    kept = {"num_layers": model.num_layers, "bidirectional": model.bidirectional, "bias": model.bias}
    if model.mode.startswith("RNN"):
        kept["nonlinearity"] = model.mode[4:].lower()
    return kept | ({"proj_size": model.proj_size} if model.proj_size else {})


def test_the_gates_of_a_recurrent_net_are_constants() -> None:
    """One step of a GRU from zero: h' = (1 - z) n, and all of the relevance goes through n."""
    model = randomised(nn.GRUCell(3, 2, bias=False))
    x = values(1, 3)
    z = torch.sigmoid(x @ model.weight_ih[2:4].T)  # type: ignore[operator,union-attr,index]
    n = x @ model.weight_ih[4:].T  # type: ignore[operator,union-attr,index]
    by_hand = (x * (((1 - z) * n.tanh() / n * torch.tensor([[1.0, 2.0]])) @ model.weight_ih[4:])).detach()  # type: ignore[index]
    torch.testing.assert_close(trace_of(model, x).relevance["x"], by_hand)


@pytest.mark.parametrize("rules", ["conserving", "fastest", "attnlrp", "blend:0.3"])
def test_multihead_attention_with_and_without_weights_agrees(rules: str) -> None:
    traces = [trace_of(randomised(Attending(w)), values(2, 4, 8), rules) for w in (True, False)]
    torch.testing.assert_close(traces[0].relevance, traces[1].relevance)
    for trace in traces:
        assert trace.audit == {}
        assert trace.ledger.gap.max() < 1e-9
        assert bool(trace.ledger.softmax.any()) == (rules in ("attnlrp", "blend:0.3"))


def test_a_whole_transformer_has_two_inputs() -> None:
    model = randomised(nn.Transformer(8, 2, 1, 1, 12, batch_first=True))
    inputs = {"src": values(1, 4, 8), "tgt": values(1, 3, 8, seed=2)}
    tracer = Tracer(model, forward=lambda i: summed(model(**i)))
    trace = tracer.trace(inputs, ["src", "tgt"], Target.value())
    assert trace.audit == {}
    assert trace.ledger.gap.max() < 1e-9
    assert all(r.any() for r in trace.relevance.values())


class Towers(nn.Module):
    """A query and a document meet in their cosine; a third input is not used."""

    def __init__(self) -> None:
        super().__init__()
        self.query = nn.Sequential(nn.Linear(4, 6), nn.GELU(), nn.Linear(6, 5))
        self.document = nn.Sequential(nn.Linear(3, 6), nn.ReLU(), nn.Linear(6, 5))

    def forward(self, query: Tensor, document: Tensor, unused: Tensor) -> dict[str, Tensor]:
        return {"score": F.cosine_similarity(self.query(query), self.document(document), dim=1)}


@pytest.mark.parametrize("rules", ["conserving", "attnlrp", "fastest", "gamma"])
def test_two_towers(rules: str) -> None:
    inputs = {"query": values(2, 4), "document": values(2, 3), "unused": values(2, 2)}
    trace = Tracer(randomised(Towers()), rules).trace(inputs, list(inputs), Target.value())
    assert trace.audit == {}
    assert trace.ledger.gap.max() < 1e-9
    assert not trace.relevance["unused"].any()


@pytest.mark.parametrize("mode", ["sum", "mean", "max"])
@pytest.mark.parametrize("padding", [None, 0])
def test_embedding_bags_are_explained_by_their_rows(mode: str, padding: int | None) -> None:
    bag = nn.EmbeddingBag(9, 4, mode=mode, padding_idx=padding)
    model = randomised(nn.Sequential(bag, nn.Linear(4, 2)))
    ids = torch.tensor([[1, 2, 3, 2], [4, 5, 0, 0]])
    trace = Tracer(model).trace({"input": ids}, ["0"], Target.index(1))
    assert trace.relevance["0"].shape == (2, 4, 4)
    torch.testing.assert_close(trace.score, model(ids)[:, 1].detach())
    assert trace.ledger.gap.max() < 1e-9
    if mode != "max":
        assert bool(trace.relevance["0"][1, 2:].any()) == (padding is None)
    offsets = {"ids": ids.flatten(), "offsets": torch.tensor([0, 4])}
    flat = Tracer(model, forward=lambda i: model[1](model[0](i["ids"], i["offsets"]))).trace(
        offsets, ["0"], Target.index(1)
    )
    torch.testing.assert_close(flat.relevance["0"], trace.relevance["0"].flatten(0, 1))


PLACES = torch.tensor([[0, 2, 2, 5]])
EYE = torch.eye(4, dtype=torch.float64)
READ = torch.linspace(-1.2, 1.2, 18, dtype=torch.float64).view(1, 3, 3, 2)

FUNCTIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "einsum of three": lambda x: torch.einsum("bi,bj,bk->bijk", x, x.tanh(), x + 1),
    "scatter": lambda x: x.new_ones(1, 6).scatter(1, PLACES + torch.tensor([0, 0, 1, 0]), x),
    "scatter_add": lambda x: x.new_ones(1, 6).scatter_add(1, PLACES, x),
    "scatter_reduce, sum": lambda x: x.new_ones(1, 6).scatter_reduce(1, PLACES, x, "sum"),
    "scatter_reduce, mean": lambda x: x.new_ones(1, 6).scatter_reduce(1, PLACES, x, "mean"),
    "scatter_reduce, amax": lambda x: x.new_full((1, 6), -1).scatter_reduce(1, PLACES, x, "amax"),
    "segment_reduce": lambda x: torch.segment_reduce(x.flatten(), "mean", lengths=torch.tensor([1, 3]))[None],
    "index_put": lambda x: x.new_ones(1, 6).index_put((torch.tensor([0]), torch.tensor([1])), x[:, 0], accumulate=True),
    "put": lambda x: x.new_ones(1, 6).put(torch.tensor([1, 4]), x[0, :2]),
    "diagonal_scatter": lambda x: x.new_ones(1, 2, 2).diagonal_scatter(x[:, :2], 0, 1, 2),
    "cumsum": lambda x: x.cumsum(1),
    "prod": lambda x: x.prod(1, keepdim=True),
    "cumprod": lambda x: x.cumprod(1),
    "Fourier mixing": lambda x: torch.fft.fft2(x.view(1, 2, 2)).real,
    "spectral filter": lambda x: torch.fft.irfft(torch.fft.rfft(x) * torch.tensor([1, 2 + 1j, 3j])),
    "spectrum": lambda x: torch.fft.rfft(x).abs(),
    "complex constant": lambda x: torch.view_as_real(torch.view_as_complex(x.view(1, 2, 2)) + (1 + 2j)),
    "complex rotation": lambda x: torch.view_as_real(
        torch.view_as_complex(x.view(1, 2, 2)) * torch.tensor([1j, 2 - 1j])
    ),
    "complex product": lambda x: torch.view_as_real(
        torch.view_as_complex(x.view(1, 2, 2)) * torch.view_as_complex(x.flip(1).view(1, 2, 2))
    ),
    "grid_sample": lambda x: F.grid_sample(x.view(1, 1, 2, 2), READ, align_corners=False),
    "affine_grid": lambda x: F.affine_grid(
        torch.cat([x, x[:, :2]], 1).view(1, 2, 3), [1, 1, 2, 2], align_corners=False
    ),
    "nearest, exact": lambda x: F.interpolate(x[None], scale_factor=2, mode="nearest-exact"),
    "nearest, ATen": lambda x: torch.ops.aten.upsample_nearest1d.vec(x[None], None, [2.0]),
    "bicubic, antialiased": lambda x: F.interpolate(x.view(1, 1, 2, 2), scale_factor=3, mode="bicubic", antialias=True),
    "area": lambda x: F.interpolate(x[None], scale_factor=0.5, mode="area"),
    "roll": lambda x: x.roll(1, 1),
    "unfold": lambda x: x.unfold(1, 2, 1),
    "quantile": lambda x: x.quantile(0.3, dim=1, keepdim=True),
    "distances": lambda x: torch.cdist(x[None], EYE[None]),
    "pairwise distance": lambda x: F.pairwise_distance(x, EYE[:1])[None],
    "bounds by element": lambda x: x.clamp(min=torch.tensor([0.1, -1.0, 0.5, -0.5], dtype=x.dtype)),
    "sparse product": lambda x: torch.sparse.mm(EYE.to_sparse(), x.T).T,
    "chain of products": lambda x: torch.linalg.multi_dot([x, EYE + 1, EYE - 2]),
    "fmod": lambda x: torch.fmod(x, 0.7),
    "trapezoid": lambda x: torch.trapezoid(x, dim=1)[None],
    "lerp": lambda x: torch.lerp(x, x.flip(1), 0.3),
    "addcmul": lambda x: torch.addcmul(x, x, torch.tanh(x), value=0.5),
    "addcdiv": lambda x: torch.addcdiv(x, x, x.abs() + 1, value=0.5),
    "max unpool": lambda x: F.max_unpool1d(*F.max_pool1d(x[:, None], 2, return_indices=True), 2),
    "soft embedding": lambda x: F.embedding(torch.tensor([[0, 1]]), x[0][:, None]),
    "bilinear": lambda x: F.bilinear(x, x, torch.ones(2, 4, 4, dtype=x.dtype), torch.ones(2, dtype=x.dtype)),
    "attention": lambda x: torch.ops.aten._scaled_dot_product_attention_math(*[x.view(1, 1, 2, -1)] * 3)[0],
    "rms norm": lambda x: F.rms_norm(x, (4,), torch.ones(4, dtype=x.dtype) * 2),
    "native group norm": lambda x: torch.ops.aten.native_group_norm(
        x[:, :, None], torch.ones(4, dtype=x.dtype), torch.ones(4, dtype=x.dtype), len(x), 4, 1, 2, 1e-5
    )[0],
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_every_function_adds_up(name: str) -> None:
    x = values(1, 4)
    trace = trace_of(nn.Module(), x, call=FUNCTIONS[name])
    assert trace.audit == {}
    assert trace.ledger.gap.max() < 1e-9
    assert trace.relevance["x"].any()
    torch.testing.assert_close(trace.score, summed(FUNCTIONS[name](x)))


@pytest.mark.parametrize("name", ["matrix_exp", "det", "atan2", "renorm"])
def test_what_has_no_rule_is_named_and_still_accounted_for(name: str) -> None:
    calls: dict[str, Callable[[Tensor], Tensor]] = {
        "matrix_exp": lambda x: torch.matrix_exp(x.view(1, 2, 2)),
        "det": lambda x: torch.linalg.det(x.view(1, 2, 2))[None],
        "atan2": lambda x: torch.atan2(x, x.flip(1)),
        "renorm": lambda x: torch.renorm(x, 2, 0, 1.0),
    }
    trace = trace_of(nn.Module(), values(1, 4), call=calls[name])
    assert [name in operation for operation in trace.audit] == [True]
    assert trace.status == "audited"
    assert trace.ledger.gap.max() < 1e-9


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
@pytest.mark.parametrize(
    "name", ["Conv2d, depthwise", "BatchNorm2d", "MaxPool2d", "TransformerEncoder", "RMSNorm", "GRU"]
)
@pytest.mark.parametrize("decomposed", [False, True])
def test_an_exported_layer_equals_the_layer(name: str, decomposed: bool) -> None:
    make, shape = LAYERS[name]
    model, x = randomised(make()), values(*shape)
    program = torch.export.export(model, (x,))
    exported = (program.run_decompositions() if decomposed else program).module()
    ours, theirs = trace_of(model, x), trace_of(exported, x)
    assert theirs.audit == {}
    assert theirs.ledger.gap.max() < 1e-9
    if name == "GRU" and decomposed:
        return  # torch's own unrolling has no gate in the first step, where the past is a constant
    torch.testing.assert_close(theirs.relevance, ours.relevance)
    torch.testing.assert_close(theirs.ledger.biases, ours.ledger.biases)
