"""A `.pt2` file is data: every attack that works on bare `torch.export.load` is refused, and leaves no trace."""

from __future__ import annotations

import contextlib
import io
import json
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from xagent.errors import InvalidCase
from xagent.subject._expression import Unsafe, checked_expression
from xagent.subject._guard import check_archive
from xagent.subject._operations import checked_operation
from xagent.subject._program import checked_program
from xagent.subject._torch_export import load_exported

Edit = Callable[[bytes], bytes]


class Net(torch.nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = torch.nn.Linear(2, 2)

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        return torch.relu(self.linear(input)) * 2


class Payload:
    """A pickle that opens a file for writing when it is loaded."""

    def __init__(self, marker: str) -> None:
        self.marker = marker

    def __reduce__(self) -> Any:
        return open, (self.marker, "w")


@pytest.fixture(scope="module")
def honest(tmp_path_factory: pytest.TempPathFactory) -> Path:
    torch.set_num_threads(1)
    path = tmp_path_factory.mktemp("honest") / "model.pt2"
    rows = {0: torch.export.Dim("batch", min=1, max=4096)}
    torch.export.save(torch.export.export(Net().eval(), (torch.zeros(2, 2),), dynamic_shapes=(rows,)), path)
    return path


def rewrite(source: Path, target: Path, edits: dict[str, Edit], extra: dict[str, bytes] | None = None) -> Path:
    """A copy of an archive with some members edited."""
    with zipfile.ZipFile(source) as old, zipfile.ZipFile(target, "w") as new:
        for name in old.namelist():
            inner = name.split("/", 1)[1]
            new.writestr(f"{target.stem}/{inner}", edits.get(inner, bytes)(old.read(name)))
        for inner, content in (extra or {}).items():
            new.writestr(f"{target.stem}/{inner}", content)
    return target


def on_json(change: Callable[[dict[str, Any]], object]) -> Edit:
    def edit(content: bytes) -> bytes:
        data = json.loads(content)
        change(data)
        return json.dumps(data).encode()

    return edit


def saved(value: Any) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


def evil_expression(data: dict[str, Any]) -> None:
    for meta in data["graph_module"]["graph"]["tensor_values"].values():
        for size in meta["sizes"]:
            if "as_expr" in size:
                size["as_expr"]["expr_str"] = "open('expression.marker', 'w') or 2"


def evil_operation(data: dict[str, Any]) -> None:
    """`from_file` with shared=True creates the file that it maps."""
    node = data["graph_module"]["graph"]["nodes"][1]
    node["target"] = "torch.ops.aten.from_file.default"
    arguments = {"filename": {"as_string": "operation.marker"}, "shared": {"as_bool": True}, "size": {"as_int": 4}}
    node["inputs"] = [{"name": name, "arg": value, "kind": 1} for name, value in arguments.items()]


PROGRAM = "models/model.json"
ATTACKS: dict[str, dict[str, Edit]] = {
    "samples": {"data/sample_inputs/model.pt": lambda _: saved(((Payload("samples.marker"),), {}))},
    "weights": {
        "data/weights/weight_1": lambda _: saved(Payload("weights.marker")),
        "data/weights/model_weights_config.json": on_json(
            lambda data: data["config"]["linear.bias"].update(use_pickle=True)
        ),
    },
    "expression": {PROGRAM: on_json(evil_expression)},
    "operation": {PROGRAM: on_json(evil_operation)},
    "guards": {
        PROGRAM: on_json(lambda data: data.update(guards_code=["__import__('os').system('touch guards.marker') == 0"]))
    },
}
BARE = """
import sys, torch
for name in sys.argv[1:]:
    try:
        torch.export.load(name + ".pt2").module()(torch.zeros(3, 2))
    except Exception:
        pass
"""


@pytest.fixture(scope="module")
def attacks(honest: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacks")
    for name, edits in ATTACKS.items():
        rewrite(honest, folder / f"{name}.pt2", edits)
    return folder


@pytest.fixture(scope="module")
def bare(attacks: Path, tmp_path_factory: pytest.TempPathFactory) -> set[str]:
    """Names of the attacks that ran code when the very same files were given to torch alone."""
    folder = tmp_path_factory.mktemp("bare")
    for path in attacks.glob("*.pt2"):
        (folder / path.name).write_bytes(path.read_bytes())
    subprocess.run([sys.executable, "-c", BARE, *ATTACKS], cwd=folder, capture_output=True, timeout=300, check=False)
    return {path.stem for path in folder.glob("*.marker")}


@pytest.mark.parametrize("name", ATTACKS)
def test_attack_works_on_bare_torch_and_is_stopped_here(
    name: str, attacks: Path, bare: set[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert name in bare, "the attack does not work, so refusing it proves nothing"
    monkeypatch.chdir(tmp_path)
    if name == "guards":  # honest models carry guard code too, so it is left behind instead of refused
        model, _, _ = load_exported(attacks / "guards.pt2", torch.device("cpu"), (2,))
        model(torch.zeros(3, 2))
    else:
        with pytest.raises(InvalidCase, match=rf"model\.path: {name}\.pt2 ") as caught:
            load_exported(attacks / f"{name}.pt2", torch.device("cpu"), (2,))
        assert caught.value.exit_code == 3
        assert caught.value.hint
    assert not list(tmp_path.iterdir())


def test_honest_model_gives_the_same_numbers(honest: Path) -> None:
    model, dtype, digest = load_exported(honest, torch.device("cpu"), (2,))
    rows = torch.randn(5, 2, generator=torch.Generator().manual_seed(0))
    assert torch.equal(model(rows), torch.export.load(honest).module()(rows))
    assert dtype == torch.float32
    assert len(digest) == 64


def test_torch_sees_neither_samples_nor_metadata(honest: Path) -> None:
    archive = check_archive(honest).archive
    assert torch.export.load(io.BytesIO(archive)).example_inputs is None
    with zipfile.ZipFile(io.BytesIO(archive)) as members:
        text = members.read(next(name for name in members.namelist() if name.endswith("models/model.json")))
    assert b"stack_trace" not in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"\x80\x04\x95\x0b\x00\x00\x00\x00\x00\x00\x00", "pickle"),
        ("a model, honestly é".encode(), "text"),
        (b"\x7fELF\x02\x01\x01\xff\xfe" * 9, "not a zip"),
        (b"PK\x03\x04 and then nothing", "damaged"),
    ],
)
def test_other_files_renamed_to_pt2(content: bytes, said: str, tmp_path: Path) -> None:
    path = tmp_path / "model.pt2"
    path.write_bytes(content)
    with pytest.raises(InvalidCase, match=said):
        check_archive(path)


def test_zip_bomb_is_not_unpacked(honest: Path, tmp_path: Path) -> None:
    path = tmp_path / "bomb.pt2"
    with zipfile.ZipFile(honest) as old, zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as new:
        for name in old.namelist():
            new.writestr(name, bytes(2**26) if name.endswith("weight_0") else old.read(name))
    assert path.stat().st_size < 2**20
    with pytest.raises(InvalidCase, match="compressed"):
        check_archive(path)


@pytest.mark.parametrize(
    "member", ["data/aotinductor/model/x.so", "../../evil", "data/weights/model.pt", "data/constants/custom_obj_0"]
)
def test_unexpected_member(member: str, honest: Path, tmp_path: Path) -> None:
    path = rewrite(honest, tmp_path / "model.pt2", {}, {member: b"x"})
    with pytest.raises(InvalidCase, match="does not write"):
        check_archive(path)


def test_member_that_stands_twice(honest: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = rewrite(honest, tmp_path / "model.pt2", {}, {PROGRAM: b"{}"})
    with pytest.raises(InvalidCase, match="twice"):
        check_archive(path)


def test_tensor_larger_than_its_data(honest: Path, tmp_path: Path) -> None:
    def grow(data: dict[str, Any]) -> None:
        data["config"]["linear.bias"]["tensor_meta"]["sizes"] = [{"as_int": 10**12}]

    path = rewrite(honest, tmp_path / "m.pt2", {"data/weights/model_weights_config.json": on_json(grow)})
    with pytest.raises(InvalidCase, match="larger than the data"):
        check_archive(path)


def _node(data: dict[str, Any]) -> dict[str, Any]:
    return data["graph_module"]["graph"]["nodes"][0]


CHANGES: dict[str, Callable[[dict[str, Any]], object]] = {
    "identifier": lambda data: _node(data).update(name="x=open('f','w')"),
    "schema": lambda data: _node(data).update(inputs="none"),
    "nested graph": lambda data: _node(data)["inputs"][0].update(arg={"as_graph": {}}),
    "as a value": lambda data: _node(data)["inputs"][0].update(arg={"as_operator": "torch.hub.load"}),
    "custom object": lambda data: data["graph_module"]["signature"]["input_specs"].append({"custom_obj": {}}),
    "custom_obj_values": lambda data: data["graph_module"]["graph"].update(custom_obj_values={"a": {}}),
    "dotted": lambda data: data["graph_module"]["signature"]["input_specs"][0]["parameter"].update(
        parameter_name='a"),open("f")'
    ),
    "only tuples": lambda data: data["graph_module"]["module_call_graph"][0]["signature"].update(
        out_spec=json.dumps([1, {"type": "evil.Class", "context": "null", "children_spec": []}])
    ),
    "malformed": lambda data: data["graph_module"]["module_call_graph"][0]["signature"].update(
        out_spec=json.dumps([1, {"type": "builtins.tuple", "context": '{"__enum__": 1}', "children_spec": []}])
    ),
    "exactly one tensor": lambda data: data["graph_module"]["signature"]["input_specs"].append(
        data["graph_module"]["signature"]["input_specs"][-1]
    ),
    "changes its own state": lambda data: data["graph_module"]["signature"]["output_specs"].append(
        {"buffer_mutation": {"arg": {"name": "a"}, "buffer_name": "b"}}
    ),
}


@pytest.mark.parametrize("said", CHANGES)
def test_program_outside_the_schema(said: str, honest: Path) -> None:
    with zipfile.ZipFile(honest) as archive:
        text = archive.read(next(name for name in archive.namelist() if name.endswith(PROGRAM)))
    checked_program(text)
    with pytest.raises(Unsafe, match=said):
        checked_program(on_json(CHANGES[said])(text))


@pytest.fixture(scope="module")
def program(honest: Path) -> bytes:
    with zipfile.ZipFile(honest) as archive:
        return archive.read(next(name for name in archive.namelist() if name.endswith(PROGRAM)))


def _places(data: Any, path: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    items = data.items() if isinstance(data, dict) else enumerate(data) if isinstance(data, list) else ()
    return [path, *(place for key, value in items for place in _places(value, (*path, key)))]


LEAVES = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=5)
JSON = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(st.text(max_size=5), inner))


@given(st.data())
def test_no_program_makes_the_guard_stumble(program: bytes, data: st.DataObject) -> None:
    """Whatever stands in one place of the JSON, the answer is a checked program or a clear refusal."""
    value = json.loads(program)
    place = data.draw(st.sampled_from(_places(value)[1:]))
    holder = value
    for key in place[:-1]:
        holder = holder[key]
    holder[place[-1]] = data.draw(JSON)
    with contextlib.suppress(Unsafe):
        checked_program(json.dumps(value).encode())


@given(st.integers(0, 10**6), st.binary(min_size=1, max_size=8))
def test_no_archive_makes_the_guard_stumble(honest: Path, scratch: Path, position: int, noise: bytes) -> None:
    content = honest.read_bytes()
    position %= len(content)
    scratch.write_bytes(content[:position] + noise + content[position + len(noise) :])
    with contextlib.suppress(InvalidCase):
        check_archive(scratch)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("scratch") / "model.pt2"


@pytest.mark.parametrize(
    "target",
    [
        "torch.hub.load",
        "torch.load",
        "torch.ops.aten.save.default",
        "torch.ops.aten.add.out",
        "torch.ops.higher_order.cond",
        "torch.ops.mylib.op.default",
        "torch.ops.aten.add",
        "torch.ops.aten.relu.default.__globals__.x",
        "_operator.pow",
        "_operator.attrgetter",
        "math.factorial",
        "#ext:op",
        "",
        7,
    ],
)
def test_operation_outside_the_list(target: object) -> None:
    with pytest.raises(Unsafe):
        checked_operation(target)


@pytest.mark.parametrize(
    "text",
    [
        "Symbol('s0', positive=True, integer=True)",
        "Mul(Integer(-2), FloorDiv(Symbol('s12', integer=True), Integer(4)))",
        "Max(s0, 2*u1 + 1)",
        "Pow(Symbol('s0', integer=True), Integer(-1))",
    ],
)
def test_real_shape_expressions_pass(text: str) -> None:
    checked_expression(text)


@pytest.mark.parametrize(
    "text",
    [
        "__import__('os')",
        "s0.__class__",
        "(lambda: 1)()",
        "[1][0]",
        "'a'",
        "Symbol('x')",
        "Symbol('s0', commutative=print)",
        "Pow(Integer(9), Integer(999999999))",
        "Pow(Pow(Integer(9), Integer(4)), Integer(4))",
        "9**9",
        "f'{s0}'",
        "Max(*s0)",
        "s0 if s0 else s1",
        "1e5",
        "9" * 30,
        "(" * 3000,
        "-" * 3999 + "1",
    ],
)
def test_other_expressions_are_refused(text: str) -> None:
    with pytest.raises(Unsafe):
        checked_expression(text)


@given(st.text(alphabet="s0u12 ()+-*/,.'[]{}:=_abcMaxodSymbl", max_size=60))
def test_what_passes_is_made_of_harmless_tokens(text: str) -> None:
    """Whatever the text, what comes out is built of the grammar's words alone."""
    try:
        written = checked_expression(text)
    except Unsafe:
        return
    allowed = r"[su]\d+|'[su]\d+'|\d+|[A-Z][A-Za-z]+(?=\()|true|false|[a-z]+=(True|False)|[-+*/(), ]"
    assert re.fullmatch(rf"({allowed})+", written)
