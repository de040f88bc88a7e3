"""Inputs in every form that a model takes, outputs in every form that it gives, and the edges of both."""

from __future__ import annotations

import dataclasses
import io
from typing import Any, NamedTuple

import pytest
import torch
from test_relevance_sweep import family, question
from torch import Tensor, nn

from xagent.relevance import RelevanceError, Target, Tracer


class Two(nn.Module):
    """Two inputs, a factor that is no tensor, and an option."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(3, 2), nn.Linear(4, 2)

    def forward(self, left: Tensor, right: Tensor, factor: float = 1.0, *, name: str = "plain") -> Tensor:
        assert name in ("plain", "other")
        return (torch.tanh(self.a(left)) + self.b(right)) * factor  # type: ignore[no-any-return]


LEFT, RIGHT = torch.randn(2, 3), torch.randn(2, 4)


def test_tuples_lists_names_and_positions_are_one() -> None:
    tracer, target = Tracer(Two()), Target.index(1)
    named = tracer.trace({"left": LEFT, "right": RIGHT, "factor": 2.0, "name": "other"}, ["left", "right"], target)
    for inputs, of in (
        ((LEFT, RIGHT, 2.0), ["left", "right"]),
        ([LEFT, RIGHT, 2.0], [0, 1]),
        ((LEFT, RIGHT, 2.0), (-3, "right")),
    ):
        trace = tracer.trace(inputs, of, target)  # type: ignore[arg-type]
        torch.testing.assert_close(trace.relevance, named.relevance)
    removal = tracer.trace((LEFT, RIGHT, 2.0), [1], target).verify(2)
    assert removal.effect.shape == (2, 2)


def test_the_only_floating_input_needs_no_name() -> None:
    net = nn.Linear(3, 1)
    by_name = Tracer(net).trace({"input": LEFT}, ["input"], Target.value())
    for inputs in (LEFT, (LEFT,), {"input": LEFT}):
        torch.testing.assert_close(Tracer(net).trace(inputs).relevance, by_name.relevance)
    with pytest.raises(RelevanceError, match="left, right"):
        Tracer(Two()).trace((LEFT, RIGHT))
    with pytest.raises(RelevanceError, match=r'`of`: "bert\.embeddings\.word_embeddings"'):
        Tracer(family("BERT")).trace(question("BERT", family("BERT"))[0])


@pytest.mark.parametrize(
    ("inputs", "of", "says"),
    [
        ((LEFT, RIGHT, 1.0, 2, 3), [0], "5 inputs; the model's forward takes 4|5 inputs; the model's forward takes 3"),
        ((LEFT, RIGHT), [2], "position 2; there are 2"),
        ((LEFT, RIGHT), ["left", 0], '"left" twice'),
        ((LEFT, RIGHT), [True], "True"),
        ((LEFT, RIGHT), ["nothing"], "Known inputs: left, right"),
        ("text", ["left"], "a str"),
        ({1: LEFT}, ["left"], "no text"),
        ((LEFT, RIGHT), "left", "must list"),
    ],
)
def test_wrong_inputs_are_one_sentence(inputs: Any, of: Any, says: str) -> None:
    with pytest.raises(RelevanceError, match=says):
        Tracer(Two()).trace(inputs, of, Target.index(0))


class Nested(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.net = nn.Linear(3, 2)

    def forward(self, batch: dict[str, Any], views: list[Tensor], *more: Tensor) -> Tensor:
        y = self.net(batch["x"]["values"]) * batch["scale"] + self.net(views[1])
        return y + sum(self.net(x) for x in more)  # type: ignore[no-any-return]


def test_tensors_inside_of_mappings_and_lists() -> None:
    a, b, c, d = (torch.randn(2, 3) for _ in range(4))
    batch, views = {"x": {"values": a, "ids": torch.arange(2)}, "scale": 3.0}, [b, c]
    trace = Tracer(Nested()).trace(
        {"batch": batch, "views": views}, ["batch.x.values", "views.1", "views.0"], Target.index(0)
    )
    weight = Nested().net.weight[0].detach()
    torch.testing.assert_close(trace.relevance["batch.x.values"], a * weight * 3)
    torch.testing.assert_close(trace.relevance["views.1"], c * weight)
    assert not trace.relevance["views.0"].any()
    assert batch["x"]["values"] is a  # type: ignore[index]
    assert trace.verify(1, of="views.1").effect.shape == (2, 1)
    rest = Tracer(Nested()).trace((batch, views, d, d), ["batch.x.values", "more.1"], Target.index(0))
    torch.testing.assert_close(rest.relevance["more.1"], d * weight)


@pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
def test_a_loaded_program_takes_the_same_forms() -> None:
    file = io.BytesIO()
    torch.export.save(torch.export.export(Two().eval(), (LEFT, RIGHT), {"factor": 2.0}), file)
    file.seek(0)
    loaded = torch.export.load(file).module()
    plain = Tracer(Two()).trace((LEFT, RIGHT, 2.0), [0, 1], Target.index(1))
    for inputs, of in (
        ({"left": LEFT, "right": RIGHT, "factor": 2.0}, ["left", "right"]),
        ({"factor": 2.0, "right": RIGHT, "left": LEFT}, ["left", "right"]),
        ((LEFT, RIGHT, 2.0), [0, 1]),
    ):
        trace = Tracer(loaded).trace(inputs, of, Target.index(1))  # type: ignore[arg-type]
        torch.testing.assert_close(trace.relevance, plain.relevance)


# --------------------------------------------------------------------------------------------------- outputs


@dataclasses.dataclass
class Record:
    name: str
    scores: Tensor


class Pair(NamedTuple):
    scores: Tensor
    hidden: Tensor


@pytest.mark.parametrize(
    "wrap",
    [
        lambda y: y,
        lambda y: (y, None),
        lambda y: [y],
        lambda y: {"loss": None, "scores": y},
        lambda y: {"other": y * 2, "logits": y},
        lambda y: {"deep": ({"scores": y},)},
        lambda y: Record("r", y),
        lambda y: Pair(y, y * 3),
    ],
)
def test_outputs_of_every_form(wrap: Any) -> None:
    net = nn.Linear(3, 2)
    plain = Tracer(net).trace(LEFT, target=Target.index(1))
    trace = Tracer(net, forward=lambda i: wrap(net(i["input"]))).trace({"input": LEFT}, target=Target.index(1))
    torch.testing.assert_close(trace.relevance, plain.relevance)


def test_no_tensor_in_the_output_is_an_error() -> None:
    with pytest.raises(RelevanceError, match="no tensor"):
        Tracer(nn.Module(), forward=lambda i: {"a": None}).trace({"x": LEFT})


# ------------------------------------------------------------------------------------------- masks and padding


def test_an_empty_mask_is_no_mask() -> None:
    """A mask of ones, and none at all, explain the same; a mask that leaves one token explains that token."""
    model = family("BERT")
    inputs, of, target = question("BERT", model)
    name, ids = of[0], inputs["input_ids"]
    bare = Tracer(model).trace(inputs, of, target)
    ones = Tracer(model).trace({**inputs, "attention_mask": torch.ones_like(ids)}, of, target)
    torch.testing.assert_close(bare.relevance, ones.relevance)
    only = torch.zeros_like(ids)
    only[:, 0] = 1
    trace = Tracer(model).trace({**inputs, "attention_mask": only}, of, target)
    assert not trace.relevance[name][:, 1:].any()
    assert trace.relevance[name][:, 0].any()
    assert trace.ledger.gap.max() < 1e-5


@pytest.mark.parametrize("name", ["Llama", "Mistral", "GPT-2", "Qwen3"])
def test_a_batch_padded_on_the_left_is_its_singles(name: str) -> None:
    model = family(name)
    inputs, of, target = question(name, model)
    ids = torch.cat([inputs["input_ids"], inputs["input_ids"].flip(1)])
    mask, places = torch.ones_like(ids), torch.arange(12).repeat(2, 1)
    ids[1, :5], mask[1, :5] = 0, 0
    places[1] = (mask[1].cumsum(0) - 1).clamp(min=0)
    extra = {"use_cache": False}
    batch = Tracer(model).trace({"input_ids": ids, "attention_mask": mask, "position_ids": places, **extra}, of, target)
    assert not batch.relevance[of[0]][1, :5].any()
    assert batch.ledger.gap.max() < 1e-5
    for row, start in enumerate((0, 5)):
        single = Tracer(model).trace({"input_ids": ids[row : row + 1, start:], **extra}, of, target)
        torch.testing.assert_close(
            batch.relevance[of[0]][row : row + 1, start:], single.relevance[of[0]], rtol=1e-3, atol=1e-5
        )
        torch.testing.assert_close(batch.score[row], single.score[0], rtol=1e-4, atol=1e-5)
        torch.testing.assert_close(batch.ledger.biases[row], single.ledger.biases[0], rtol=1e-3, atol=1e-5)


def test_a_batch_padded_on_the_right_is_its_singles() -> None:
    model = family("RoBERTa")
    inputs, of, target = question("RoBERTa", model)
    ids = torch.cat([inputs["input_ids"], inputs["input_ids"].flip(1)])
    mask = torch.ones_like(ids)
    ids[1, 7:], mask[1, 7:] = 1, 0
    batch = Tracer(model).trace({"input_ids": ids, "attention_mask": mask}, of, target)
    assert not batch.relevance[of[0]][1, 7:].any()
    single = Tracer(model).trace({"input_ids": ids[1:, :7]}, of, target)
    torch.testing.assert_close(batch.relevance[of[0]][1:, :7], single.relevance[of[0]], rtol=1e-3, atol=1e-5)


def test_a_score_that_does_not_depend_on_the_input_in_every_precision() -> None:
    class Constant(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.bias = nn.Parameter(torch.tensor([[1.0, 2.0]]))

        def forward(self, input: Tensor) -> Tensor:
            return self.bias.expand(len(input), 2) * 2

    for dtype in (torch.float64, torch.float32, torch.bfloat16, torch.float16):
        for precision in ("auto", "float32"):
            trace = Tracer(Constant().to(dtype), precision=precision).trace(
                torch.randn(3, 4).to(dtype), target=Target.contrast(1, 0)
            )
            assert not trace.relevance["input"].any()
            assert trace.score.tolist() == [2.0, 2.0, 2.0]
            assert trace.ledger.gap.max() == 0


@pytest.mark.parametrize("name", ["Llama", "BERT", "ViT", "ResNet"])
def test_a_contrast_is_the_difference_of_its_columns(name: str) -> None:
    model = family(name).double()
    inputs, of, target = question(name, model, torch.float64)
    a, b, both = (
        Tracer(model).trace(inputs, of, dataclasses.replace(t, position=target.position))
        for t in (Target.index(1), Target.index(0), Target.contrast(1, 0))
    )
    for key, relevance in both.relevance.items():
        torch.testing.assert_close(relevance, a.relevance[key] - b.relevance[key])
    torch.testing.assert_close(both.ledger.biases, a.ledger.biases - b.ledger.biases)


def test_an_input_that_the_model_ignores_gets_exactly_zero() -> None:
    class Ignores(Two):
        def forward(self, left: Tensor, right: Tensor) -> Tensor:  # type: ignore[override]
            return self.a(left)  # type: ignore[no-any-return]

    for dtype in (torch.float32, torch.bfloat16):
        trace = Tracer(Ignores().to(dtype)).trace((LEFT.to(dtype), RIGHT.to(dtype)), [0, 1], Target.index(0))
        assert not trace.relevance["right"].any()
        assert trace.relevance["left"].any()
