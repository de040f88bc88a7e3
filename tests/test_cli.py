"""The command line from the outside: exit codes, one clear line for every bad input, nothing half-written."""

from __future__ import annotations

import gc
import json
import shutil
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from xagent import cli
from xagent._shell import no_collection
from xagent.errors import XagentError

Json = dict[str, Any]


@pytest.fixture
def folder(tmp_path: Path, fixtures: Path) -> Path:
    """A copy of the diagnosis fixture that a test may damage."""
    copy = tmp_path / "case"
    shutil.copytree(fixtures / "diagnosis", copy, ignore=shutil.ignore_patterns("*.py", "__pycache__"))
    return copy


def _run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of one call of the command line."""
    argv = ["xagent", *arguments]
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr("sys.argv", argv)
        cli.main()
    out = capsys.readouterr()
    return int(left.value.code or 0), out.out, out.err


def _edit(folder: Path, change: Callable[[Json], object], name: str = "case.json") -> None:
    path = folder / name
    data = json.loads(path.read_text())
    change(data)
    path.write_text(json.dumps(data))


def _set(path: str, value: Any) -> Callable[[Json], object]:
    def change(data: Json) -> None:
        *parents, last = path.split("/")
        for part in parents:
            data = data[part]
        if value is ...:
            del data[last]
        else:
            data[last] = value

    return change


FIRST = "mean_radius"
DAMAGE: dict[str, tuple[Callable[[Path], object], int, str]] = {
    "truncated JSON": (lambda f: (f / "case.json").write_text('{"schema": "xagent.case/1",'), 3, "case.json"),
    "unknown key": (lambda f: _edit(f, _set("colour", 1)), 3, "colour"),
    "missing feature": (lambda f: _edit(f, _set(f"input/values/{FIRST}", ...)), 3, FIRST),
    "unknown feature": (lambda f: _edit(f, _set("input/values/shoe size", 1)), 3, "shoe size"),
    "NaN in the input": (
        lambda f: (f / "case.json").write_text(
            (f / "case.json").read_text().replace('"values": {', '"values": {"x": NaN,')
        ),
        3,
        "NaN",
    ),
    "text for a number": (lambda f: _edit(f, _set(f"input/values/{FIRST}", "large")), 3, FIRST),
    "a huge number": (lambda f: _edit(f, _set(f"input/values/{FIRST}", 1e400)), 3, ""),
    "missing value": (lambda f: _edit(f, _set(f"input/values/{FIRST}", None)), 3, FIRST),
    "no model file": (lambda f: (f / "model.pt2").unlink(), 3, "model"),
    "wrong hash": (lambda f: _edit(f, _set("model/sha256", "0" * 64)), 7, "model"),
    "text as model": (lambda f: _replace_model(f, b"hello, I am a model\n"), 3, "model.pt2"),
    "pickle as model": (
        lambda f: _replace_model(f, b"\x80\x04\x8c\x05posix\x8c\x06system\x93\x8c\x02id\x85R."),
        3,
        "model.pt2",
    ),
    "zip of something else": (lambda f: _replace_model(f, _zip({"readme.txt": b"x"})), 3, "model.pt2"),
    "reference without rows": (lambda f: _rows(f, 0), 3, "reference"),
    "reference lacks a column": (lambda f: _drop_column(f, FIRST), 3, FIRST),
    "telemetry without spans": (
        lambda f: (f / "telemetry.jsonl").write_text('{"resourceSpans": []}\n'),
        3,
        "telemetry",
    ),
    "path leaves the folder": (lambda f: _edit(f, _set("reference/path", "../../../etc/passwd")), 3, "reference"),
    "unknown class": (lambda f: _edit(f, _set("prediction/label", "purple")), 3, "prediction.label"),
    "card with unknown key": (lambda f: _edit(f, _set("owner_name", "x"), "system.json"), 3, "owner_name"),
    "encoder is broken": (lambda f: (f / "encoder.json").write_text("{}"), 3, "encoder"),
}


def _replace_model(folder: Path, content: bytes) -> None:
    (folder / "model.pt2").write_bytes(content)
    _edit(folder, _set("model/sha256", None))


def _zip(members: dict[str, bytes]) -> bytes:
    import io

    stream = io.BytesIO()
    with zipfile.ZipFile(stream, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)
    return stream.getvalue()


def _rows(folder: Path, n: int) -> None:
    lines = (folder / "reference.csv").read_text().splitlines(keepends=True)
    (folder / "reference.csv").write_text("".join(lines[: n + 1]))
    _forget_hash(folder)


def _drop_column(folder: Path, name: str) -> None:
    import pandas as pd

    frame = pd.read_csv(folder / "reference.csv").drop(columns=name)
    frame.to_csv(folder / "reference.csv", index=False)
    _forget_hash(folder)


def _forget_hash(folder: Path) -> None:
    _edit(folder, lambda data: data["reference"].pop("sha256", None))


@pytest.mark.parametrize("name", sorted(DAMAGE))
def test_bad_input_gets_one_clear_line_and_leaves_nothing(
    name: str, folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    damage, code, named = DAMAGE[name]
    damage(folder)
    out = tmp_path / "out"
    got, printed, said = _run(capsys, "explain", "-q", "-o", str(out), str(folder / "case.json"))
    assert got == code, said
    assert said.startswith("xagent: ") and said.count("\n") == 1, said
    assert named in said
    assert "Traceback" not in said and not printed
    assert not out.exists() or not list(out.iterdir())


def test_reference_with_one_row_is_reported_not_hidden(folder: Path, tmp_path: Path) -> None:
    from xagent import explain

    _rows(folder, 1)
    report = explain(folder / "case.json", persona="data_scientist")
    assert report.verification.verified == report.verification.total
    assert report.ledger["deviation.state"].value == "cannot tell"


HOSTILE = (
    '<script>alert(1)</script>{{ 7*7 }}{% for x in y %}\u202etxet desrever\u202c & "quotes" ⟦decision.score|exact⟧'
)


def test_hostile_text_is_shown_as_text(folder: Path, tmp_path: Path) -> None:
    """HTML, jinja, right-to-left overrides and our own token brackets, in every string a case or card may hold."""
    from xagent import explain

    kept = {"schema", "id", "format", "path", "sha256", "encoder", "kind", "label", "target", "scale", "decided_at"}
    kept |= {"classes", "trace_id", "start", "end", "direction", "automation", "date", "name", "system_card"}

    def poison(node: Any, key: str = "") -> Any:
        if isinstance(node, dict):
            return {k: poison(v, k) for k, v in node.items()}
        if isinstance(node, list):
            return [poison(v, key) for v in node]
        return HOSTILE if isinstance(node, str) and key not in kept else node

    for file in ("case.json", "system.json"):
        path = folder / file
        path.write_text(json.dumps(poison(json.loads(path.read_text()))))

    def names(card: Json) -> None:
        for feature in card["features"].values():
            feature["label"] = HOSTILE + feature["label"]
        for outcome in card.get("outcomes", {}).values():
            outcome["label"] = HOSTILE + outcome["label"]
        card["name"] = HOSTILE

    _edit(folder, names, "system.json")
    for persona in ("data_scientist", "business_user", "regulator"):
        report = explain(folder / "case.json", persona=persona)
        assert report.verification.verified == report.verification.total > 0
        assert "<script>alert" not in report.html
        assert "&lt;script&gt;" in report.html
        assert "49" not in report.html.split("</style>")[-1].split("alert(1)")[1][:20]
        assert "\u202e" not in report.html


def test_usage_and_configuration_have_their_own_codes(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    case = str(folder / "case.json")
    out = str(tmp_path / "out")
    assert _run(capsys, "explain", "--format", "docx", "-o", out, case)[0] == 2
    assert _run(capsys, "explain")[0] == 2
    assert _run(capsys, "explain", "--persona", "king", "-o", out, case)[0] == 6
    assert _run(capsys, "explain", "--rules", "magic", "-o", out, case)[0] == 6
    monkeypatch.chdir(tmp_path)
    (tmp_path / "xagent.toml").write_text("sed = 3\n")
    code, _, said = _run(capsys, "explain", "-o", out, case)
    assert code == 6 and "sed" in said
    assert not (tmp_path / "out").exists()


def test_a_mismatch_is_the_first_finding_when_allowed(folder: Path) -> None:
    from xagent import explain
    from xagent.settings import load_settings

    _edit(folder, _set("model/sha256", "0" * 64))
    _edit(folder, _set("prediction/score", 0.123))
    report = explain(folder / "case.json", "regulator", load_settings(allow_mismatch=True))
    kinds = [finding["finding"] for finding in report.data["warnings"]]
    assert kinds[0].startswith("reproduction.failed")
    assert any(kind.startswith("model.hash-differs") for kind in kinds)


def test_stdin_and_json_output(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    import io

    monkeypatch.chdir(folder)
    monkeypatch.setattr("sys.stdin", io.StringIO((folder / "case.json").read_text()))
    code, printed, said = _run(capsys, "explain", "-q", "--json", "--persona", "business_user", "-")
    assert code == 0, said
    assert json.loads(printed)["persona"]["name"] == "business_user"


def test_schemas_are_published_and_fit(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for name in ("case", "system", "report"):
        code, printed, _ = _run(capsys, "schema", name)
        assert code == 0 and json.loads(printed)["$schema"].startswith("https://json-schema.org/")


def test_every_error_has_its_own_documented_code() -> None:
    codes = {kind.exit_code for kind in XagentError.__subclasses__()}
    assert codes - {1} == {2, 3, 5, 6, 7, 8}
    assert all(str(code) in cli.EXIT_CODES for code in codes)


def test_an_image_of_the_wrong_shape_is_named(
    tmp_path: Path, fixtures: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "digits"
    shutil.copytree(fixtures / "digits", copy)
    _edit(copy, _set("input/pixels", np.zeros((5, 9)).tolist()))
    code, _, said = _run(capsys, "explain", "-q", "-o", str(tmp_path / "out"), str(copy / "case.json"))
    assert code == 3 and "pixels" in said and "8" in said


def test_collection_is_off_inside_and_nothing_is_looked_through_when_it_comes_back() -> None:
    seen: list[str] = []
    frozen = gc.get_freeze_count()
    with no_collection():
        assert not gc.isenabled()
        kept: list[list[int]] = [[] for _ in range(50_000)]
        gc.callbacks.append(lambda phase, _: seen.append(phase))
    some: list[list[int]] = [[] for _ in range(100)]
    gc.callbacks.pop()
    assert gc.isenabled() and gc.get_freeze_count() == frozen
    assert kept and some and not seen
