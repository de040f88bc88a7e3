"""Inside the model (layers, heads, neurons), real removal, modules as inputs, and the edges of what can be asked."""

from __future__ import annotations

import gc
import math
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from relevance_models import Attending, randomised, values
from test_relevance_sweep import family, question
from torch import Tensor, nn

from xagent.relevance import RelevanceError, Target, Trace, Tracer
from xagent.relevance._flow import flow


def llama(**options: Any) -> tuple[nn.Module, Trace]:
    model = family("Llama").double()
    inputs, of, target = question("Llama", model)
    ids = torch.cat([inputs["input_ids"], inputs["input_ids"].flip(1)])
    return model, Tracer(model).trace({**inputs, "input_ids": ids}, of, target, **options)


def test_heads_and_neurons_hold_the_relevance_of_their_layer() -> None:
    _, trace = llama(layers=True, heads=True, neurons=True)
    for i in range(2):
        block = f"model.layers.{i}"
        heads, neurons = trace.heads[f"{block}.self_attn"], trace.neurons[f"{block}.mlp.down_proj"]
        assert heads.shape == (2, 4, 12)
        assert neurons.shape == (2, 12, 128)
        # nothing is added or lost between the heads or neurons and the output of their linear layer
        torch.testing.assert_close(heads.flatten(1).sum(1), trace.layers[f"{block}.self_attn.o_proj"])
        torch.testing.assert_close(neurons.flatten(1).sum(1), trace.layers[f"{block}.mlp"])
    _, bare = llama()
    torch.testing.assert_close(bare.relevance, trace.relevance)
    assert bare.layers == bare.heads == bare.neurons == {}


def test_eager_attention_has_the_same_heads() -> None:
    model = family("BERT").double()
    inputs, of, target = question("BERT", model)
    found = []
    for implementation in ("sdpa", "eager"):
        model.set_attn_implementation(implementation)  # type: ignore[operator]
        found.append(Tracer(model).trace(inputs, of, target, heads=True, neurons=True))
    torch.testing.assert_close(found[0].heads, found[1].heads)
    torch.testing.assert_close(found[0].neurons, found[1].neurons)


def test_heads_that_are_folded_into_the_batch_are_unfolded() -> None:
    x = values(3, 4, 8)
    tracers = [
        Tracer(model, forward=lambda i, model=model: model(i["x"]).sum((1, 2))[:, None])
        for model in (randomised(Attending(need_weights)) for need_weights in (True, False))
    ]
    folded, fused = (t.trace({"x": x}, ["x"], Target.value(), heads=True, layers=True).heads for t in tracers)
    assert folded["attention"].shape == (3, 2, 4)
    torch.testing.assert_close(folded, fused)
    alone = tracers[0].trace({"x": x[1:2]}, ["x"], Target.value(), heads=True)
    torch.testing.assert_close(alone.heads["attention"][0], folded["attention"][1])


@pytest.mark.parametrize("name", ["Mixtral", "Qwen3-MoE", "GPT-OSS", "DeepSeek-V3"])
@pytest.mark.parametrize("implementation", ["eager", "batched_mm", "grouped_mm"])
def test_experts_share_what_their_mixture_has(name: str, implementation: str) -> None:
    model = family(name)
    model.set_experts_implementation(implementation)  # type: ignore[operator]
    inputs, of, target = question(name, model)
    inputs["input_ids"] = torch.cat([inputs["input_ids"], inputs["input_ids"].flip(1)])
    trace = Tracer(model).trace(inputs, of, target, layers=True, experts=True)
    assert list(trace.experts) == [layer for layer in trace.layers if layer.endswith(".experts")]
    for layer, relevance in trace.experts.items():
        assert relevance.shape == (2, 12, 4)
        assert int((relevance != 0).sum(-1).max()) <= 2  # two are chosen for a token
        torch.testing.assert_close(relevance.sum((1, 2)).double(), trace.layers[layer], rtol=1e-4, atol=1e-6)
    assert Tracer(model).trace(inputs, of, target).experts == {}


def test_the_relevance_of_an_expert_is_that_of_its_term() -> None:
    """By hand: the gradient at the mixture's output times w_tk f_k(x_t), computed expert by expert."""
    model = family("Mixtral").double()
    model.set_experts_implementation("eager")  # type: ignore[operator]
    inputs, of, target = question("Mixtral", model)
    experts: Any = model.get_submodule("model.layers.1.mlp.experts")
    seen: dict[str, Any] = {}

    def note(_module: nn.Module, args: Any, output: Tensor) -> None:
        seen["args"] = [x.detach().clone() for x in args]
        output.register_hook(lambda gradient: seen.update(gradient=gradient.clone()))

    handle = experts.register_forward_hook(note)
    trace = Tracer(model).trace(inputs, of, target, experts=True)
    handle.remove()
    x, chosen, weights = seen["args"]
    by_hand = torch.zeros(1, len(x), 4, dtype=torch.float64)
    with torch.no_grad():
        for token in range(len(x)):
            for slot in range(2):
                number = int(chosen[token, slot])
                gate, up = (experts.gate_up_proj[number] @ x[token]).chunk(2)
                term = weights[token, slot] * (experts.down_proj[number] @ (F.silu(gate) * up))
                by_hand[0, token, number] += seen["gradient"][token] @ term
    torch.testing.assert_close(trace.experts["model.layers.1.mlp.experts"], by_hand)


class Reused(nn.Module):
    """Linear layers whose input or output is used twice, one that is called twice, one whose output is overwritten."""

    def __init__(self) -> None:
        super().__init__()
        self.norm, self.one, self.two, self.three = nn.LayerNorm(6), nn.Linear(6, 6), nn.Linear(6, 6), nn.Linear(6, 6)
        self.act, self.last = nn.GELU(), nn.Linear(6, 2)

    def forward(self, x: Tensor) -> Tensor:
        h = self.norm(x)
        a = self.one(h)
        b = self.three(self.act(self.two(h))) + self.two(a)  # h and a go to two places
        c = self.three(b)
        c *= 2.0
        return self.last(self.act(c) + a + h).sum(1)  # type: ignore[no-any-return]


@pytest.mark.parametrize("rules", ["conserving", "fastest", "gamma", "gradient"])
@pytest.mark.parametrize("rows", [1, 3])
def test_what_layers_hold_is_what_an_input_in_their_place_would_get(rules: str, rows: int) -> None:
    torch.manual_seed(0)
    model = Reused().eval().double()
    x = torch.randn(rows, 4, 6, dtype=torch.float64)
    layers = Tracer(model, rules).trace({"x": x}, ["x"], Target.index(1), layers=True, neurons=True).layers
    assert sorted(layers) == ["act", "last", "norm", "one", "three", "two"]
    for name, calls in {"norm": 1, "one": 1, "two": 2, "act": 2, "three": 2}.items():
        held = sum(through_call(model, rules, x, name, call) for call in range(calls))
        torch.testing.assert_close(layers[name], held)


def through_call(model: nn.Module, rules: str, x: Tensor, name: str, call: int) -> Tensor:
    """Relevance of what one call of a module returns: value * gradient of zeros that are added to it."""
    values: list[Tensor] = []

    def forward(given: dict[str, Any]) -> Any:
        values.clear()

        def added(_module: nn.Module, _args: Any, output: Tensor) -> Tensor:
            values.append(output.detach().clone())
            return output + given["zeros"] if len(values) == call + 1 else output

        handle = model.get_submodule(name).register_forward_hook(added)
        try:
            return model(given["x"])
        finally:
            handle.remove()

    zeros = torch.zeros_like(x)
    forward({"x": x, "zeros": zeros})
    minus = -values[call]
    trace = Tracer(model, rules, forward).trace(
        {"x": x, "zeros": zeros}, ["x", "zeros"], Target.index(1), {"zeros": minus}
    )
    return trace.relevance["zeros"].flatten(1).sum(1)  # (0 + value) * gradient


def test_nothing_recorded_waits_for_the_garbage_collector() -> None:
    model = family("BERT")
    inputs, of, target = question("BERT", model)
    tracer = Tracer(model)
    ask = {"layers": True, "heads": True, "neurons": True, "experts": True}
    tracer.trace(inputs, of, target, **ask)
    gc.collect()
    gc.set_debug(gc.DEBUG_SAVEALL)
    try:
        tracer.trace(inputs, of, target, **ask)
        gc.collect()
        left = [x for x in gc.garbage if isinstance(x, Tensor)]
    finally:
        gc.set_debug(0)
        gc.garbage.clear()
    assert left == []


def test_a_layer_that_is_overwritten_later_keeps_its_value() -> None:
    def forward(i: dict[str, Tensor]) -> Tensor:
        y = double(i["x"])
        y += 1
        y[:, 0] = 0
        return y.sum(1)

    double = nn.Linear(3, 3, bias=False)
    model = nn.Sequential(double).eval()
    x = torch.randn(2, 3)
    trace = Tracer(model, forward=forward).trace({"x": x}, ["x"], Target.value(), layers=True)
    torch.testing.assert_close(trace.layers["0"], double(x)[:, 1:].sum(1).double().detach())
    assert trace.ledger.gap.max() < 1e-5


def test_a_square_whose_base_is_overwritten_out_of_sight_keeps_its_value() -> None:
    def forward(i: dict[str, Tensor]) -> Tensor:
        y = i["x"] * 2
        square = y**2
        with torch.no_grad():
            y.detach().mul_(7)
        return square.sum(1)

    x = torch.randn(2, 3)
    trace = Tracer(nn.Module(), forward=forward).trace({"x": x}, ["x"], Target.value())
    torch.testing.assert_close(trace.relevance["x"], 4 * x**2)


# ------------------------------------------------------------------------------------------------------- removal


@pytest.mark.parametrize("shape", [(2, 6), (2, 4, 3), (2, 3, 2, 2)])
def test_removal_is_what_really_happens(shape: tuple[int, ...]) -> None:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Flatten(), nn.Linear(math.prod(shape[1:]), 5), nn.Tanh(), nn.Linear(5, 2)).double()
    x, baseline = torch.randn(shape).double(), torch.full((1, *shape[1:]), 0.5).double()
    trace = Tracer(model).trace({"input": x}, ["input"], Target.contrast(1, 0), baseline={"input": baseline})
    removal = trace.verify(3)
    by_unit = trace.tokens["input"].flatten(1)
    for row in range(2):
        order = by_unit[row].abs().argsort(descending=True)[:3]
        assert removal.index[row].tolist() == order.tolist()
        for place, unit in enumerate(order.tolist()):
            torch.testing.assert_close(removal.relevance[row, place], by_unit[row, unit])
            changed = x[row : row + 1].clone()
            where = (0, unit) if len(shape) < 4 else (0, slice(None), unit // 2, unit % 2)
            changed[where] = 0.5
            scores = [(y[:, 1] - y[:, 0]) for y in (model(x[row : row + 1]), model(changed))]
            torch.testing.assert_close(removal.effect[row, place : place + 1], (scores[0] - scores[1]).detach())
    assert trace.verify(99).index.shape[1] == by_unit.shape[1]


def test_removal_of_words_of_a_model_that_takes_only_integers() -> None:
    model, trace = llama()
    removal = trace.verify(2)
    assert removal.effect.shape == (2, 2)
    assert removal.effect.abs().min() > 0
    with pytest.raises(RelevanceError, match="at least 1"):
        trace.verify(0)
    with pytest.raises(RelevanceError, match="nothing"):
        trace.verify(1, of="nothing")
    assert not any(m._forward_hooks for m in model.modules())


# --------------------------------------------------------------------------------------------------------- edges


def words(rows: int = 2, tokens: int = 6) -> dict[str, Tensor]:
    ids = torch.randint(3, 100, (rows, tokens), generator=torch.Generator().manual_seed(5))
    return {"input_ids": ids, "attention_mask": torch.ones_like(ids)}


def of_bert(inputs: dict[str, Any], of: str = "bert.embeddings.word_embeddings") -> Trace:
    return Tracer(family("BERT")).trace(inputs, [of], Target.index(1))


def test_padding_and_unequal_lengths_equal_one_by_one() -> None:
    inputs = words()
    inputs["attention_mask"][1, 4:] = 0
    batch = of_bert(inputs)
    name = "bert.embeddings.word_embeddings"
    assert not batch.relevance[name][1, 4:].any()
    for row, length in enumerate((6, 4)):
        single = of_bert({key: x[row : row + 1, :length] for key, x in inputs.items()})
        torch.testing.assert_close(batch.relevance[name][row : row + 1, :length], single.relevance[name])
        torch.testing.assert_close(batch.ledger.positions[row], single.ledger.positions[0], rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("name", ["BERT", "ViT", "Llama", "T5", "GPT-2"])
def test_a_batch_is_one_gradient(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    model = family(name)
    inputs, of, target = question(name, model)
    batch = {
        key: torch.cat([x, x.flip(-1), x]) if isinstance(x, Tensor) and x.dim() else x for key, x in inputs.items()
    }
    gradients: list[object] = []

    def counted(*args: Any) -> None:
        gradients.append(args)
        flow(*args)

    monkeypatch.setattr("xagent.relevance._tracer.flow", counted)
    assert len(Tracer(model).trace(batch, of, target).score) == 3
    assert len(gradients) == 1


def test_a_single_token_and_a_tiny_model() -> None:
    assert of_bert(words(1, 1)).ledger.gap.max() < 1e-5
    tiny = nn.Linear(1, 1, bias=False)
    trace = Tracer(tiny).trace({"input": torch.ones(1, 1)}, ["input"], Target.value())
    torch.testing.assert_close(trace.relevance["input"][0, 0], tiny.weight[0, 0].detach())


@pytest.mark.parametrize("attention", ["sdpa", "eager"])
def test_a_sample_that_is_all_padding_is_finite_or_one_clear_error(attention: str) -> None:
    model = family("BERT")
    model.set_attn_implementation(attention)  # type: ignore[operator]
    inputs = words()
    inputs["attention_mask"][1] = 0
    try:
        trace = Tracer(model).trace(inputs, ["bert.embeddings.word_embeddings"], Target.index(1))
    except RelevanceError as error:
        assert "not finite" in str(error)
        return
    assert trace.ledger.gap.max() < 1e-4
    assert all(r.isfinite().all() for r in trace.relevance.values())


def test_an_empty_batch_and_an_empty_sequence_are_errors() -> None:
    for shape in ((0, 3), (2, 0)):
        with pytest.raises(RelevanceError, match="empty"):
            Tracer(nn.Linear(3, 2)).trace({"input": torch.ones(shape)}, ["input"], Target.index(0))


def test_a_parameter_that_is_not_a_number_is_named() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.Linear(2, 2))
    with torch.no_grad():
        model[1].weight[0, 0] = math.nan
    with pytest.raises(RelevanceError, match=r"not finite.*1\.weight"):
        Tracer(model).trace({"input": torch.ones(1, 3)}, ["input"], Target.index(0))


def test_a_relevance_that_is_not_a_number_is_an_error() -> None:
    tracer = Tracer(nn.Module(), "gradient", forward=lambda i: i["x"].sqrt().sum(1))
    with pytest.raises(RelevanceError, match="relevance is not finite"):
        tracer.trace({"x": torch.zeros(1, 2)}, ["x"], Target.value())


def test_integers_without_a_hook_name_the_embedding() -> None:
    with pytest.raises(RelevanceError, match=r'"bert\.embeddings\.word_embeddings"'):
        of_bert(words(), "input_ids")
    with pytest.raises(RelevanceError, match="not called"):
        Tracer(nn.ModuleDict({"a": nn.Linear(2, 2), "b": nn.Linear(2, 2)}), forward=lambda i: i["x"]).trace(
            {"x": torch.ones(1, 2)}, ["b"], Target.index(0)
        )


def test_a_compiled_model_is_traced_as_it_was_before() -> None:
    model = nn.Sequential(nn.Linear(3, 2), nn.GELU())
    x = {"input": torch.randn(2, 3)}
    ours, theirs = (
        Tracer(m).trace(x, ["input"], Target.index(0)) for m in (model, torch.compile(model, backend="eager"))
    )
    torch.testing.assert_close(ours.relevance, theirs.relevance)


def test_a_module_that_is_called_twice_is_two_inputs() -> None:
    embedding = nn.Embedding(9, 4)
    model = nn.ModuleDict({"words": embedding})

    def forward(i: dict[str, Tensor]) -> Tensor:
        return F.cosine_similarity(embedding(i["a"]).mean(1), embedding(i["b"]).mean(1), dim=1)

    inputs = {"a": torch.tensor([[1, 2, 3]]), "b": torch.tensor([[4, 5]])}
    trace = Tracer(model, forward=forward).trace(inputs, ["words"], Target.value())
    assert {name: r.shape[1] for name, r in trace.tokens.items()} == {"words": 3, "words#2": 2}
    for relevance in trace.relevance.values():
        torch.testing.assert_close(relevance.sum(), trace.score[0] / 2)
    assert trace.verify(1, of="words#2").index.shape == (1, 1)


@pytest.mark.parametrize("tokens", [2, 3, 4, 5])
def test_tokens_before_samples_are_told_apart(tokens: int) -> None:
    """(tokens, batch, features) inside: with 4 tokens and 2 samples nothing but the account can tell the order."""
    torch.manual_seed(0)
    encoder = nn.TransformerEncoder(
        nn.TransformerEncoderLayer(8, 2, 12, batch_first=False, norm_first=True), 2, enable_nested_tensor=False
    )
    model = nn.Sequential(encoder, nn.Linear(8, 2)).double().eval()
    x = torch.randn(2, tokens, 8, dtype=torch.float64)

    def forward(given: dict[str, Any]) -> Tensor:
        return model(given["x"].transpose(0, 1)).mean(0)  # type: ignore[no-any-return]

    tracer = Tracer(model, forward=forward)
    both = tracer.trace({"x": x}, ["x"], Target.index(1), layers=True)
    alone = [tracer.trace({"x": x[i : i + 1]}, ["x"], Target.index(1), layers=True) for i in range(2)]
    for entry in ("inputs", "biases", "constants", "total"):
        torch.testing.assert_close(getattr(both.ledger, entry), torch.cat([getattr(t.ledger, entry) for t in alone]))
    assert both.layers.keys() == alone[0].layers.keys()
    for name, held in both.layers.items():
        torch.testing.assert_close(held, torch.cat([t.layers[name] for t in alone]))
