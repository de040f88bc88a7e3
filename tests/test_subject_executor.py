"""The executor of checked programs against torch's own loader: the same numbers to the last bit, or torch itself."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import zipfile
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor, nn

from xagent.errors import InvalidCase
from xagent.relevance import Target, Tracer
from xagent.subject._executor import Executor
from xagent.subject._guard import check_archive
from xagent.subject._torch_export import ExportedModel, load_exported

CPU = torch.device("cpu")
pytestmark = [
    pytest.mark.filterwarnings(f"ignore:{said}")
    for said in (
        "No complete tensor",
        "The tensor attributes",
        ".*nested tensor",
        ":DeprecationWarning",
        ":FutureWarning",
    )
]
Body = Callable[[Any, Tensor], Any]


class Net(nn.Module):
    """Any function of rows (batch, 6), with a few tensors at hand."""

    def __init__(self, body: Body) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 2)
        self.tied = nn.Linear(6, 6)
        self.tied.weight = self.a.weight
        self.norm = nn.BatchNorm1d(6)
        self.conv = nn.Conv1d(1, 3, 3)
        self.lstm = nn.LSTM(2, 4, batch_first=True)
        self.layer = nn.TransformerEncoderLayer(2, 1, 8, batch_first=True)
        self.register_buffer("kept", torch.randn(6).t())
        self.register_buffer("passing", torch.randn(6), persistent=False)
        self.norm.running_mean.normal_()  # type: ignore[union-attr]
        self.strided = nn.Parameter(torch.randn(4, 6).t())
        self._input = nn.Parameter(torch.randn(1))
        self.body = body

    def forward(self, rows: Tensor) -> Any:
        return self.body(self, rows)


def in_place(net: Any, x: Tensor) -> Tensor:
    y = net.a(x)
    y[:, 1] += 2
    y[:, 2:4].mul_(net.kept[2:4])
    return net.b(F.relu_(y))  # type: ignore[no-any-return]


def several(net: Any, x: Tensor) -> Tensor:
    parts = [*x.chunk(2, dim=1), *torch.split(x, [1, 2, 3], dim=1), *torch.unbind(x[:, None], 1)]
    values, places = x.topk(2, dim=1)
    spread, middle = torch.std_mean(x, dim=1, keepdim=True)
    return torch.cat([*parts, values, places.to(x.dtype), spread, middle, x.max(1, keepdim=True)[0]], 1)


def counted(net: Any, x: Tensor) -> Tensor:
    n = x.shape[0]
    steps = torch.arange(n * 2, dtype=x.dtype).view(n, 2) / (n + 1)
    flat = torch.unflatten(x.reshape(n * 3, 2).view(-1), 0, (n, 6))
    return net.b(flat) + steps + torch.zeros(n, 2).fill_(n // 2) + x.new_full((max(n, 3), 2), 0.5)[:1]  # type: ignore[no-any-return]


def picked(net: Any, x: Tensor) -> Tensor:
    y = x[:, torch.tensor([0, 3, 5])] + torch.tensor([1.0, 2.0, float("inf")]).clamp(max=3)
    y = torch.where(y > 0, y, -0.25 * y).masked_fill(y > 1, float("-inf"))
    y = y.nan_to_num(neginf=-9.0)
    y[:, torch.tensor([1])] = y[:, :1] * 2
    return y


BODIES: dict[str, Body] = {
    "linear": lambda net, x: net.b(torch.relu(net.norm(net.a(x)))),
    "tied": lambda net, x: net.tied(net.a(x)) * net.kept + net.passing * 3 + net._input,
    "strided": lambda net, x: (x @ net.strided).softmax(-1),
    "in place": in_place,
    "several": several,
    "counted": counted,
    "picked": picked,
    "convolution": lambda net, x: F.avg_pool1d(net.conv(x[:, None]), 2).flatten(1),
    "recurrent": lambda net, x: net.lstm(x.view(-1, 3, 2))[0][:, -1],
    "attention": lambda net, x: net.layer(x.view(-1, 3, 2)).mean(1),
    "typed": lambda net, x: net.b(x.double().exp().to(torch.bfloat16).float()).to(
        memory_format=torch.contiguous_format
    ),
    "a tuple": lambda net, x: (net.b(x), x.sum(1), None),
    "a dictionary": lambda net, x: {"logits": net.b(x), "more": [x, (x * 2,)]},
    "a scalar": lambda net, x: torch.einsum("bi,ij->bj", x, net.a.weight) ** 2 / x.abs().sum().clamp(min=1e-3),
}


def exported(folder: Path, module: nn.Module, *, by_name: bool = False, least: int = 1) -> Path:
    torch.set_num_threads(1)
    free = {0: torch.export.Dim("batch", min=least, max=4096)}
    sample = torch.randn(5, 6)
    args, kwargs = ((), {"rows": sample}) if by_name else ((sample,), {})
    program = torch.export.export(module.eval(), args, kwargs, dynamic_shapes={"rows": free})
    torch.export.save(program, folder / "model.pt2")
    return folder / "model.pt2"


def both(path: Path) -> tuple[ExportedModel, nn.Module]:
    """The program here, which must not have needed torch's loader, and there."""
    ours, _, _ = load_exported(path, CPU, (6,))
    assert isinstance(ours.network, Executor)
    theirs: nn.Module = torch.export.load(path).module(check_guards=False)
    return ours, theirs


def same(ours: Any, theirs: Any) -> None:
    if isinstance(theirs, Tensor):
        assert ours.dtype == theirs.dtype
        assert ours.stride() == theirs.stride()
        assert torch.equal(ours.view(-1).nan_to_num(1.5), theirs.view(-1).nan_to_num(1.5))
    elif isinstance(theirs, dict):
        assert type(ours) is type(theirs)
        assert list(ours) == list(theirs)
        same(list(ours.values()), list(theirs.values()))
    elif isinstance(theirs, list | tuple):
        assert type(ours) is type(theirs)
        for one, other in zip(ours, theirs, strict=True):
            same(one, other)
    else:
        assert ours == theirs


@pytest.mark.parametrize("name", BODIES)
def test_the_same_to_the_last_bit(name: str, tmp_path: Path) -> None:
    ours, theirs = both(exported(tmp_path, Net(BODIES[name])))
    for seed, count in enumerate((1, 2, 5, 64)):
        rows = torch.randn(count, 6, generator=torch.Generator().manual_seed(seed))
        before = rows.clone()
        same(ours.network(rows), theirs(rows))
        assert torch.equal(rows, before)


LAYERS: list[Callable[[], nn.Module]] = [
    nn.ReLU, nn.GELU, nn.Tanh, nn.Softplus, lambda: nn.Linear(6, 6), lambda: nn.Linear(6, 6, bias=False),
    lambda: nn.LayerNorm(6), lambda: nn.BatchNorm1d(6), lambda: nn.GroupNorm(2, 6), lambda: nn.Dropout(0.5),
    lambda: nn.Sequential(nn.Linear(6, 6), nn.ReLU(inplace=True)), lambda: nn.RMSNorm(6), lambda:
    lambda: nn.Unflatten(1, (2, 3)), nn.Flatten,
]  # fmt: skip


class Stack(nn.Module):
    def __init__(self, places: list[int], seed: int) -> None:
        super().__init__()
        torch.manual_seed(seed)
        self.layers = nn.Sequential(*(LAYERS[place]() for place in places if place < 12), nn.Flatten(), nn.Linear(6, 3))

    def forward(self, rows: Tensor) -> Tensor:
        return self.layers(rows * 1) + rows.mean(1, keepdim=True)  # type: ignore[no-any-return]


def called(model: nn.Module, inputs: dict[str, Tensor]) -> Any:
    return model(inputs["input"])


@settings(max_examples=12, deadline=None)
@given(st.lists(st.integers(0, len(LAYERS) - 1), min_size=1, max_size=6), st.integers(0, 99), st.integers(1, 9))
def test_any_stack_predicts_and_is_traced_the_same(scratch: Path, places: list[int], seed: int, count: int) -> None:
    ours, theirs = both(exported(scratch, Stack(places, seed)))
    rows = torch.randn(count, 6)
    same(ours(rows), theirs(rows))
    one, other = (
        Tracer(model, forward=partial(called, model)).trace({"input": rows}, ["input"], Target.index(1))
        for model in (ours, theirs)
    )
    assert torch.equal(one.relevance["input"], other.relevance["input"])
    assert (one.audit, one.status) == (other.audit, other.status)
    assert torch.equal(one.ledger.biases, other.ledger.biases)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch")


@pytest.mark.parametrize("name", ["credit", "diagnosis", "digits"])
def test_fixtures_are_the_same(name: str, fixtures: Path) -> None:
    shape = check_archive(fixtures / name / "model.pt2").program.sizes[1:]
    assert None not in shape
    whole = tuple(size or 0 for size in shape)
    ours, dtype, _ = load_exported(fixtures / name / "model.pt2", CPU, whole)
    theirs = torch.export.load(fixtures / name / "model.pt2").module()
    assert isinstance(ours.network, Executor)
    rows = torch.randn(7, *whole, dtype=dtype)
    same(ours(rows), theirs(rows))
    assert [name.removeprefix("weights.") for name, _ in ours.network.named_parameters()] == [
        name for name, _ in theirs.named_parameters()
    ]


def test_an_input_by_name_and_a_shape_that_is_not_taken(tmp_path: Path) -> None:
    ours, theirs = both(exported(tmp_path, Net(BODIES["linear"]), by_name=True, least=3))
    rows = torch.randn(4, 6)
    same(ours(rows), theirs(rows=rows))
    for wrong in (torch.zeros(2, 6), torch.zeros(5000, 6), torch.zeros(4, 5), torch.zeros(4, 6, 1)):
        with pytest.raises(RuntimeError):
            theirs(rows=wrong)
        with pytest.raises(RuntimeError, match="The model"):
            ours(wrong)


def changed(path: Path, change: Callable[[dict[str, Any]], object]) -> Path:
    """The archive with another program in it."""
    target = path.with_name("changed.pt2")
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            content = old.read(name)
            if name.endswith("models/model.json"):
                data = json.loads(content)
                change(data)
                content = json.dumps(data).encode()
            new.writestr(name, content)
    return target


def test_what_is_not_plain_is_left_to_torch(tmp_path: Path) -> None:
    """torch takes the order of named sizes from the file; here they are only run when there is no doubt about it."""

    def rename(data: dict[str, Any]) -> None:
        node = next(n for n in data["graph_module"]["graph"]["nodes"] if n["target"] == "_operator.mul")
        node["inputs"][0]["kind"] = 2

    path = changed(exported(tmp_path, Net(counted)), rename)
    ours, _, _ = load_exported(path, CPU, (6,))
    assert not isinstance(ours.network, Executor)
    rows = torch.randn(3, 6)
    same(ours(rows), torch.export.load(path).module()(rows))


@pytest.mark.parametrize("change", ["unknown value", "unknown tensor", "another schema"])
def test_what_torch_cannot_load_is_still_an_invalid_case(change: str, tmp_path: Path) -> None:
    def edit(data: dict[str, Any]) -> None:
        node = data["graph_module"]["graph"]["nodes"][0]
        if change == "unknown value":
            node["inputs"][0]["arg"] = {"as_tensor": {"name": "nobody"}}
        elif change == "unknown tensor":
            data["graph_module"]["signature"]["input_specs"][0]["parameter"]["parameter_name"] = "nobody"
        else:
            data["schema_version"]["major"] = 99

    with pytest.raises(InvalidCase, match="cannot load"):
        load_exported(changed(exported(tmp_path, Net(BODIES["linear"])), edit), CPU, (6,))


def test_nothing_of_torchs_compiler_is_imported(tmp_path: Path) -> None:
    code = (
        "import sys, torch; from pathlib import Path; from xagent.subject._torch_export import load_exported;"
        "model = load_exported(Path(sys.argv[1]), torch.device('cpu'), (6,))[0]; model(torch.zeros(2, 6));"
        "print([name for name in ('sympy', 'torch._dynamo', 'torch._export.serde.serialize') if name in sys.modules])"
    )
    path = exported(tmp_path, Net(counted))
    done = subprocess.run([sys.executable, "-c", code, path], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_the_rewritten_archive_is_what_torch_loads(tmp_path: Path) -> None:
    path = exported(tmp_path, Net(BODIES["tied"]))
    rows = torch.randn(3, 6)
    again = torch.export.load(io.BytesIO(check_archive(path).archive)).module()
    same(again(rows), torch.export.load(path).module()(rows))
