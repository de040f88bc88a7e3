"""What a hostile user brings: one line that names the field and the mend and nothing written, or a verified report."""

from __future__ import annotations

import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch

import xagent
from xagent._shell import MOST_SAID
from xagent.cli import main
from xagent.errors import InvalidCase, XagentError
from xagent.personas import persona_names
from xagent.report._tables import MOST_STEPS, steps_table

Json = dict[str, Any]
FIXTURES = Path(__file__).parent.parent / "fixtures"


@pytest.fixture
def case(tmp_path: Path) -> Path:
    return Path(shutil.copytree(FIXTURES / "diagnosis", tmp_path / "case"))


def run(capsys: pytest.CaptureFixture[str], *argv: object, stdin: str | None = None) -> tuple[int, str, str]:
    with pytest.MonkeyPatch.context() as patch, pytest.raises(SystemExit) as left:
        patch.setattr(sys, "argv", ["xagent", *map(str, argv)])
        patch.setattr(sys, "stdin", io.StringIO(stdin))
        main()
    said = capsys.readouterr()
    return int(left.value.code or 0), said.out, said.err


def edit(path: Path, change: Callable[[Json], object]) -> None:
    data = json.loads(path.read_text(encoding="utf-8"))
    change(data)
    path.write_text(json.dumps(data), encoding="utf-8")


def refused(capsys: pytest.CaptureFixture[str], case: Path, *expected: str, code: int = 3) -> None:
    out = case / "out"
    got, printed, said = run(capsys, "explain", "-q", "-o", out, "--format", "json", case / "case.json")
    assert got == code, said
    assert not printed
    assert not out.exists()
    assert said.startswith("xagent: ")
    assert said.count("\n") == 1
    assert len(said) < MOST_SAID + 20
    for text in expected:
        assert text in said


def explained(capsys: pytest.CaptureFixture[str], case: Path) -> list[Json]:
    got, printed, said = run(capsys, "explain", "-q", "-p", "all", "--json", case / "case.json")
    assert got == 0, said
    assert not said
    decoder, reports = json.JSONDecoder(), []
    while printed.strip():
        report, end = decoder.raw_decode(printed.lstrip())
        printed = printed.lstrip()[end:]
        reports.append(report)
    for report in reports:
        assert report["verification"]["verified"] == report["verification"]["total"] > 0
    assert len(reports) == len(persona_names())
    return reports


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"decided_at": "0001-01-01T00:00:00+14:00"}, "prediction.decided_at: the time lies outside"),
        ({"decided_at": "9999-12-31T23:59:59-14:00"}, "prediction.decided_at: the time lies outside"),
        ({"scale": "logit", "score": 1e308, "threshold": -1e308}, "prediction.score"),
        ({"scale": "logit", "threshold": -1e308}, "prediction.threshold"),
    ],
)
def test_a_prediction_out_of_range_is_named(
    case: Path, capsys: pytest.CaptureFixture[str], change: Json, expected: str
) -> None:
    edit(case / "case.json", lambda data: data["prediction"].update(change))
    refused(capsys, case, expected)


def test_a_long_name_is_cut_and_the_mend_stays(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(case / "case.json", lambda data: data["input"]["values"].update({"x" * 400: 1, "y" * 500: 2}))
    refused(capsys, case, "xagent: input.values.xxx", "Remove it; the features are", "and 18 more.")


def test_a_long_path_is_cut_and_the_mend_stays(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(case / "case.json", lambda data: data["window"].update(path="w" * 900))
    refused(capsys, case, "Give a path inside the folder of the case.")


def test_a_value_that_is_no_scalar_is_named_without_the_branches_of_the_schema(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(case / "case.json", lambda data: data["input"]["values"].update(worst_area=[]))
    refused(capsys, case, "case.json: input.values.worst_area: this is neither text, a number")


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("value", [-1e308, 1e300])
def test_a_number_of_no_usable_size_is_refused_without_a_warning(
    case: Path, capsys: pytest.CaptureFixture[str], value: float
) -> None:
    edit(case / "case.json", lambda data: data["input"]["values"].update(worst_area=value))
    refused(capsys, case, "input.values.worst_area", "usable size")


@pytest.mark.filterwarnings("error")
def test_a_number_that_is_called_a_date_is_refused_without_a_warning(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    edit(case / "system.json", lambda data: data["features"]["mean_radius"].update(kind="date"))
    refused(capsys, case, "'mean_radius'", "not a date")


@pytest.mark.parametrize("role", ["reference", "window"])
def test_a_column_that_stands_twice_is_refused(case: Path, capsys: pytest.CaptureFixture[str], role: str) -> None:
    frame = pd.read_csv(case / f"{role}.csv")
    pd.concat([frame, frame[["worst_area"]] * 2], axis=1).to_csv(case / f"{role}.csv", index=False)
    edit(case / "case.json", lambda data: data[role].pop("sha256"))
    refused(capsys, case, f"{role}: the column 'worst_area' stands twice")


def test_inputs_from_after_the_decision_are_called_so(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    edit(case / "case.json", lambda data: data["prediction"].update(decided_at="2020-01-01T00:00:00Z"))
    for report in explained(capsys, case):
        words = json.dumps(report["narrative"])
        assert "had a value from after the decision" in words
        assert "had an old value" not in words


@pytest.mark.parametrize("end", [None, "0"])
def test_a_step_that_never_ended_is_drawn(case: Path, capsys: pytest.CaptureFixture[str], end: str | None) -> None:
    lines = []
    for line in (case / "telemetry.jsonl").read_text(encoding="utf-8").splitlines():
        data = json.loads(line)
        for scope in data["resourceSpans"][0]["scopeSpans"]:
            for span in scope["spans"]:
                span["endTimeUnixNano"] = end
        lines.append(json.dumps(data))
    (case / "telemetry.jsonl").write_text("\n".join(lines), encoding="utf-8")
    edit(case / "case.json", lambda data: data["telemetry"].pop("sha256"))
    out = case / "out"
    got, _, said = run(capsys, "explain", "-q", "-p", "all", "--format", "html", "-o", out, case / "case.json")
    assert got == 0, said
    assert "no end recorded" in (out / "diagnosis-0127.data_scientist.html").read_text(encoding="utf-8")


def test_a_report_that_cannot_be_drawn_keeps_the_others_from_being_written(
    case: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from xagent.report import _html

    def fails(data: Json) -> str:
        if data["persona"]["name"] == "regulator":
            raise InvalidCase("cannot be drawn.")
        return "<html></html>"

    monkeypatch.setattr(_html, "render_html", fails)
    got, _, said = run(capsys, "explain", "-q", "-p", "all", "-o", case / "out", case / "case.json", "--format", "html")
    assert (got, said) == (3, "xagent: cannot be drawn.\n")
    assert not (case / "out").exists()


def test_a_byte_order_mark_is_no_fault(case: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (case / "case.json").read_text(encoding="utf-8")
    (case / "case.json").write_text("\ufeff" + text, encoding="utf-8")
    explained(capsys, case)


@pytest.mark.parametrize(
    ("argv", "code", "expected"),
    [
        (["explode"], 2, "No such command 'explode'"),
        (["explain"], 2, "Missing argument"),
        (["explain", "--device", "tpu", "x"], 2, "'tpu'"),
        (["explain", "\0"], 3, "cannot be read"),
        (["explain", "-"], 3, "standard input is not valid JSON"),
    ],
)
def test_every_fault_of_the_call_is_one_line(
    capsys: pytest.CaptureFixture[str], argv: list[str], code: int, expected: str
) -> None:
    got, printed, said = run(capsys, *argv, stdin="")
    assert (got, printed) == (code, "")
    assert said.startswith("xagent: ")
    assert said.count("\n") == 1
    assert expected in said


def test_a_folder_in_the_place_of_a_report_leaves_nothing_half_written(
    case: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (case / "out" / "diagnosis-0127.regulator.json").mkdir(parents=True)
    got, _, said = run(capsys, "explain", "-q", "-o", case / "out", "--format", "html,json", case / "case.json")
    assert got == 6
    assert "is a folder" in said
    assert [path.name for path in (case / "out").iterdir()] == ["diagnosis-0127.regulator.json"]


@pytest.mark.parametrize("option", ["--window", "--encoder"])
def test_init_names_the_option_whose_file_is_missing(
    case: Path, capsys: pytest.CaptureFixture[str], option: str
) -> None:
    argv = ["init", case / "model.pt2", "--reference", case / "reference.csv", "-o", case / "new", option, case / "no"]
    got, _, said = run(capsys, *argv)
    assert got == 2
    assert f"{option}: there is no" in said
    assert not (case / "new").exists()


@pytest.mark.parametrize(
    "said",
    [
        {"classes": ["a", "a"]},
        {"classes": ["", "b"]},
        {"threshold": float("nan")},
        {"threshold": "x"},
        {"card": 5},
        {"persona": 5},
        {"decided_at": "yesterday"},
    ],
)
def test_the_live_face_answers_with_its_own_errors(said: Json) -> None:
    rows = np.random.default_rng(0).normal(size=(60, 3))
    with pytest.raises(XagentError) as fault:
        xagent.explain(model=torch.nn.Linear(3, 2).eval(), x=rows[0], reference=rows, **said)
    assert fault.value.exit_code in (2, 3, 6)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("pixels", [np.full((60, 2, 2), 1e308), np.ones((60, 2, 2), dtype=complex)])
def test_pixels_that_are_no_usable_numbers_are_refused(tmp_path: Path, pixels: Any) -> None:
    from xagent.subject import ImageEncoder

    encoder = ImageEncoder.model_validate(
        {"schema": "xagent.encoder/1", "kind": "image", "height": 2, "width": 2, "std": 0.5}
    )
    np.savez(tmp_path / "r.npz", pixels=pixels)
    with pytest.raises(InvalidCase, match="pixel"):
        encoder.encode_npz(tmp_path / "r.npz")


def test_a_process_of_thousands_of_steps_is_cut_and_says_so() -> None:
    step = {"name": "loop", "kind": "step", "start_offset": 0.0, "seconds": 1.0, "status": "ok", "retry": False}
    table = steps_table([step] * 10_000)
    assert len(table.rows) == MOST_STEPS
    assert "of 10,000" in table.caption
    assert [table.numeric(place) for place in range(5)] == [False, False, True, True, False]
