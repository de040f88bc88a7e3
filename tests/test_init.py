"""From a model file and a table to a case that loads and reproduces, or to one clear error and nothing else."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from xagent.bring import check_case, explain_live, init_case, live_case
from xagent.bring._table import checked_names, feature_cards, split_unit
from xagent.case import RecordedPrediction, SystemCard, TabularInput, load_card, load_case
from xagent.errors import InvalidCase, UsageFault, XagentError
from xagent.subject import load_subject, reproduce

WHEN = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
HOSTILE = ["income_eur", "size (mm)", "<b>bold</b>", "=1+1", "a/b~c", "⟦x|exact⟧", "ütf ⚖", "../etc"]


class Net(torch.nn.Module):
    def __init__(self, inputs: int, outputs: int, softmax: bool = False) -> None:
        super().__init__()
        self.first = torch.nn.Linear(inputs, 5)
        self.last = torch.nn.Linear(5, outputs)
        self.softmax = softmax

    def forward(self, input: torch.Tensor) -> torch.Tensor:
        out = self.last(torch.relu(self.first(input.flatten(1))))
        return out.softmax(-1) if self.softmax else out


def export(path: Path, example: torch.Tensor, outputs: int, softmax: bool = False) -> Path:
    torch.manual_seed(0)
    model = Net(example[0].numel(), outputs, softmax).eval()
    batch = torch.export.Dim("batch", min=1, max=4096)
    program = torch.export.export(model, (example.expand(2, *example.shape[1:]),), dynamic_shapes=({0: batch},))
    torch.export.save(program, path)
    return path


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Models of 8 numbers with 2 and 1 outputs, one with a softmax, one of 2x4 pixels; a table with hostile names."""
    folder = tmp_path_factory.mktemp("made")
    export(folder / "two.pt2", torch.zeros(1, 8), 2)
    export(folder / "one.pt2", torch.zeros(1, 8), 1)
    export(folder / "soft.pt2", torch.zeros(1, 8), 2, softmax=True)
    export(folder / "pixels.pt2", torch.zeros(1, 1, 2, 4), 3)
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(rng.normal(size=(20, 8)).round(3), columns=HOSTILE)
    frame["=1+1"] = rng.integers(0, 2, 20)
    frame["a/b~c"] = rng.integers(10, 90, 20)
    frame.to_csv(folder / "rows.csv", index=False)
    np.savez(folder / "images.npz", pixels=rng.random((5, 2, 4)))
    return folder


def bring(made: Path, out: Path, model: str = "two.pt2", **more: Any) -> Path:
    init_case(made / model, made / more.pop("reference", "rows.csv"), out=out, decided_at=WHEN, **more)
    return out


def test_the_folder_explains_at_once(made: Path, tmp_path: Path) -> None:
    out = bring(made, tmp_path / "case", row=3, classes=["no", "yes"])
    case = load_case(out / "case.json")
    subject, card = load_subject(case, device="cpu"), load_card(case)
    frame = pd.read_csv(made / "rows.csv")
    assert isinstance(case.input, TabularInput)
    assert list(case.input.values.items()) == [(n, frame[n].iloc[3].item()) for n in HOSTILE]
    again = subject.score(
        subject.logits(subject.encode(case.input).inputs), subject.target_index(case.prediction.target)
    )
    assert float(again[0]) == pytest.approx(case.prediction.score, abs=1e-6)
    assert case.prediction.score >= 0.5
    assert subject.hash_state == "ok"
    assert case.decided_at == WHEN
    assert card.feature("income_eur").model_dump(include={"label", "unit", "kind"}) == {
        "label": "income",
        "unit": "EUR",
        "kind": "numeric",
    }
    assert (card.feature("size (mm)").unit, card.feature("=1+1").kind) == ("mm", "boolean")
    assert card.feature("a/b~c").kind == "integer"
    assert card.feature("a/b~c").minimum == frame["a/b~c"].min()
    notes = (out / "notes.txt").read_text()
    assert "mean 0, scale 1" in notes
    assert "The recorded prediction is what the model answered" in notes


def test_every_path_that_is_returned_is_there(made: Path, tmp_path: Path) -> None:
    paths = init_case(made / "two.pt2", made / "rows.csv", out=tmp_path / "case", decided_at=WHEN)
    assert paths[0] == tmp_path / "case" / "case.json"
    assert sorted(paths) == sorted((tmp_path / "case").iterdir())
    assert [path.name for path in tmp_path.iterdir()] == ["case"]


def test_the_same_call_writes_the_same_bytes(made: Path, tmp_path: Path) -> None:
    one, two = bring(made, tmp_path / "one"), bring(made, tmp_path / "two")
    assert [p.read_bytes() for p in sorted(one.iterdir())] == [p.read_bytes() for p in sorted(two.iterdir())]


def test_without_a_time_it_is_now_to_the_second(made: Path, tmp_path: Path) -> None:
    before = datetime.now(UTC).replace(microsecond=0)
    init_case(made / "two.pt2", made / "rows.csv", out=tmp_path / "case")
    moment = load_case(tmp_path / "case" / "case.json").decided_at
    assert before <= moment <= datetime.now(UTC)
    assert moment.microsecond == 0


@pytest.mark.parametrize(
    ("at", "kept"),
    [
        (datetime(2026, 1, 1, 1, tzinfo=timezone(timedelta(hours=2))), "2025-12-31T23:00:00Z"),
        (datetime(2026, 1, 1, 1), "2026-01-01T01:00:00Z"),  # noqa: DTZ001 - as a command line gives it
    ],
)
def test_a_time_is_kept_in_utc(made: Path, tmp_path: Path, at: datetime, kept: str) -> None:
    init_case(made / "two.pt2", made / "rows.csv", out=tmp_path / "case", decided_at=at)
    assert json.loads((tmp_path / "case" / "case.json").read_text())["prediction"]["decided_at"] == kept
    assert ("read as UTC" in (tmp_path / "case" / "notes.txt").read_text()) == (at.tzinfo is None)


def test_input_file_and_encoder_of_levels(made: Path, tmp_path: Path) -> None:
    levels = {"name": "grade", "kind": "onehot", "levels": ["a", "b"], "missing": {"level": "a"}}
    numbers = [{"name": f"x{i}", "kind": "numeric", "mean": 1, "scale": 2} for i in range(6)]
    encoder = {"schema": "xagent.encoder/1", "kind": "tabular", "features": [levels, *numbers]}
    (tmp_path / "enc.json").write_text(json.dumps(encoder))
    frame = pd.DataFrame({f"x{i}": [0.5, 1.5] for i in range(6)} | {"grade": ["a", "b"], "outcome": [0, 1]})
    frame.to_csv(tmp_path / "rows.csv", index=False)
    row: dict[str, Any] = {f"x{i}": i for i in range(6)} | {"grade": None}
    (tmp_path / "row.json").write_text(json.dumps(row))
    init_case(
        made / "two.pt2",
        tmp_path / "rows.csv",
        input=tmp_path / "row.json",
        encoder=tmp_path / "enc.json",
        out=tmp_path / "case",
        decided_at=WHEN,
    )
    case = load_case(tmp_path / "case" / "case.json")
    assert isinstance(case.input, TabularInput)
    assert case.input.values["grade"] is None
    card = load_card(case)
    assert (card.feature("grade").kind, card.feature("grade").levels) == ("categorical", {"a": "a", "b": "b"})
    assert "outcome" not in card.features


def test_images(made: Path, tmp_path: Path) -> None:
    out = bring(made, tmp_path / "case", "pixels.pt2", reference="images.npz", row=4, classes=["a", "b", "c"])
    case = load_case(out / "case.json")
    assert load_subject(case, device="cpu").encode(case.input).inputs["input"].shape == (1, 1, 2, 4)


def test_a_text_model_and_its_telemetry(fixtures: Path, tmp_path: Path) -> None:
    triage = fixtures / "triage"
    (tmp_path / "mail.txt").write_text("I was charged twice, please refund me", encoding="utf-8")
    init_case(
        triage / "model",
        triage / "reference.jsonl",
        input=tmp_path / "mail.txt",
        telemetry=triage / "telemetry.jsonl",
        out=tmp_path / "case",
        decided_at=WHEN,
    )
    case = load_case(tmp_path / "case" / "case.json")
    config = json.loads((triage / "model" / "config.json").read_text(encoding="utf-8"))
    assert list(case.model.output.classes) == [config["id2label"][str(i)] for i in range(len(config["id2label"]))]
    assert reproduce(case, load_subject(case, device="cpu")).score == pytest.approx(case.prediction.score, abs=1e-6)
    assert case.telemetry is not None
    assert {path.suffix for path in (tmp_path / "case" / "model").iterdir()} <= {".json", ".safetensors", ".txt"}


def test_an_encoder_beside_the_model_is_taken(fixtures: Path, tmp_path: Path) -> None:
    """A fixture's own recorded prediction comes back when its row is brought anew."""
    diagnosis = fixtures / "diagnosis"
    known = load_case(diagnosis / "case.json")
    (tmp_path / "row.json").write_text(known.input.model_dump_json(), encoding="utf-8")
    out = tmp_path / "case"
    classes = known.model.output.classes
    init_case(
        diagnosis / "model.pt2", diagnosis / "reference.csv", input=tmp_path / "row.json", out=out, classes=classes
    )
    brought = load_case(out / "case.json")
    assert brought.prediction.label == known.prediction.label
    assert brought.prediction.score == pytest.approx(known.prediction.score, abs=1e-5)
    assert "encoder.json:" not in (out / "notes.txt").read_text(encoding="utf-8")


def test_a_regression_says_so(made: Path, tmp_path: Path) -> None:
    out = bring(made, tmp_path / "case", "one.pt2", output_kind="value", unit="EUR")
    case = load_case(out / "case.json")
    assert (case.prediction.scale, case.prediction.label, case.model.output.unit) == ("value", None, "EUR")


@pytest.mark.parametrize(
    ("model", "options", "said"),
    [
        ("one.pt2", {}, "has one output"),
        ("two.pt2", {"classes": ["a", "b", "c"]}, "has 2 outputs, but 3 classes"),
        ("two.pt2", {"row": 20}, "no row 20"),
        ("two.pt2", {"row": -1}, "no row -1"),
        ("two.pt2", {"features": HOSTILE[:7]}, "takes 8 inputs, but 7 are named"),
        ("two.pt2", {"features": [*HOSTILE[:7], "nope"]}, "no column 'nope'"),
        ("two.pt2", {"reference": "images.npz"}, "The model takes 8"),
        ("two.pt2", {"target": "maybe"}, "'maybe' is no class"),
        ("soft.pt2", {}, "already probabilities"),
        ("pixels.pt2", {}, "the reference is a table"),
        ("rows.csv", {}, "neither a .pt2 program nor a folder"),
        ("none.pt2", {}, "there is no"),
    ],
)
def test_a_fault_is_one_sentence_and_leaves_nothing(
    made: Path, tmp_path: Path, model: str, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(XagentError) as fault:
        bring(made, tmp_path / "deep" / "case", model, **options)
    assert said in fault.value.message
    assert fault.value.hint
    assert [p for p in tmp_path.rglob("*") if p.name != "deep"] == []


def test_numbers_that_do_not_fit_are_named_with_the_mend(made: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(made / "rows.csv").assign(target=1, purpose="car")
    frame.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(InvalidCase) as fault:
        init_case(made / "two.pt2", tmp_path / "rows.csv", out=tmp_path / "case")
    assert fault.value.message == "The model takes 8 inputs, but the reference has 9 columns of numbers and 1 of text."
    assert "encoder.json" in fault.value.hint
    assert "--features" in fault.value.hint
    init_case(made / "two.pt2", tmp_path / "rows.csv", out=tmp_path / "case", features=HOSTILE)
    assert (tmp_path / "case" / "case.json").exists()


def test_missing_values_need_an_encoder(made: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(made / "rows.csv")
    frame.loc[5, "income_eur"] = None
    frame.to_csv(tmp_path / "rows.csv", index=False)
    with pytest.raises(InvalidCase, match="'income_eur' has missing values"):
        init_case(made / "two.pt2", tmp_path / "rows.csv", out=tmp_path / "case")


def test_a_folder_with_something_in_it_is_left_alone(made: Path, tmp_path: Path) -> None:
    (tmp_path / "mine.txt").write_text("mine")
    with pytest.raises(UsageFault, match="not an empty folder"):
        bring(made, tmp_path)
    assert [p.name for p in tmp_path.iterdir()] == ["mine.txt"]
    (tmp_path / "empty").mkdir()
    assert (bring(made, tmp_path / "empty") / "case.json").exists()


def test_gaps_name_their_place_and_articles(made: Path, tmp_path: Path) -> None:
    out = bring(made, tmp_path / "case")
    gaps = {gap.path: gap for gap in check_case(out)}
    purpose = gaps["system.json: purpose"]
    assert purpose.needed
    assert purpose.fields == ("A3",)
    assert "AI Act Art. 49" in purpose.articles
    assert gaps["system.json: automation"].fields == ("A5", "A7")
    assert "system.json: features.*.sensitive" not in gaps
    needed = [gap.needed for gap in check_case(out)]
    assert needed == sorted(needed, reverse=True)
    card = json.loads((out / "system.json").read_text())
    (out / "system.json").write_text(json.dumps(card | {"purpose": "Sort", "withheld": ["weights"]}))
    left = {gap.path for gap in check_case(out)}
    assert set(gaps) - left == {"system.json: purpose", "system.json: withheld"}


@pytest.mark.parametrize(
    ("name", "label", "unit"),
    [
        ("annual_income_eur", "annual income", "EUR"),
        ("sepal length (mm)", "sepal length", "mm"),
        ("load [mg/dL]", "load", "mg/dL"),
        ("rate_pct", "rate", "%"),
        ("temp (°C)", "temp", "°C"),
        ("num_days", "num days", None),
        ("income (gross)", "income (gross)", None),
        ("room_m", "room m", None),
        ("growth (10%)", "growth (10%)", None),
        ("eur", "eur", None),
        ("(mm)", "(mm)", None),
        ("___", "___", None),
    ],
)
def test_units_of_names(name: str, label: str, unit: str | None) -> None:
    assert split_unit(name) == (label, unit)


def test_labels_stay_apart() -> None:
    frame = pd.DataFrame({"income_eur": [1.5, 2.5], "income_usd": [1.5, 2.5]})
    assert [card["label"] for card in feature_cards(frame, list(frame)).values()] == ["income_eur", "income_usd"]


@settings(max_examples=100, deadline=None)
@given(st.text(min_size=1, max_size=40))
def test_a_label_is_never_blank_for_a_name_that_is_not(name: str) -> None:
    label, unit = split_unit(name)
    assert label.strip() or not name.strip()
    assert unit is None or unit.strip()


@settings(max_examples=100, deadline=None)
@given(st.dictionaries(st.text(max_size=30), st.sampled_from(["number", "text", "flag", "nothing"]), max_size=5))
def test_any_columns_give_a_valid_card_or_a_clear_refusal(columns: dict[str, str]) -> None:
    values: dict[str, list[Any]] = {
        "number": [1.5, -2.25, None],
        "text": ["a", "", None],
        "flag": [True, False, True],
        "nothing": [None, None, None],
    }
    frame = pd.DataFrame({name: values[kind] for name, kind in columns.items()})
    try:
        frame = checked_names(frame, "reference")
    except InvalidCase as fault:
        assert fault.hint
        return
    card = {"schema": "xagent.system/1", "name": "x", "features": feature_cards(frame, list(frame.columns))}
    assert list(SystemCard.model_validate(card).features) == list(columns)


def test_a_reference_that_does_not_encode_is_named_at_once(made: Path, tmp_path: Path) -> None:
    frame = pd.read_csv(made / "rows.csv").rename(columns={"ütf ⚖": "grade"}).assign(grade="low")
    frame.loc[7, "grade"] = "new"
    frame.to_csv(tmp_path / "rows.csv", index=False)
    features: list[dict[str, Any]] = [
        {"name": name, "kind": "numeric"} if name != "grade" else {"name": name, "kind": "ordinal", "levels": ["low"]}
        for name in frame.columns
    ]
    encoder = {"schema": "xagent.encoder/1", "kind": "tabular", "features": features}
    (tmp_path / "encoder.json").write_text(json.dumps(encoder))
    with pytest.raises(InvalidCase, match=r"reference\.grade: 'new' is not a level .* row 8"):
        init_case(made / "two.pt2", tmp_path / "rows.csv", encoder=tmp_path / "encoder.json", out=tmp_path / "case")
    assert not (tmp_path / "case").exists()


def live(folder: Path, x: Any, reference: Any, **more: Any) -> Any:
    answer = RecordedPrediction(label="yes", score=0.75, decided_at=WHEN)
    options: dict[str, Any] = {"output": {"kind": "logits", "classes": ["no", "yes"]}} | more
    return live_case(x, reference, answer, folder=folder, **options)


@pytest.mark.parametrize("form", ["dict", "series", "frame", "array", "tensor", "flat"])
def test_a_row_may_come_in_any_form(tmp_path: Path, form: str) -> None:
    frame = pd.DataFrame({"income_eur": [1.5, 2.5, 3.5], "age": [20, 30, 40]})
    row = frame.iloc[[1]]
    forms: dict[str, Any] = {
        "dict": {"income_eur": np.float32(2.5), "age": np.int64(30)},
        "series": row.iloc[0],
        "frame": row,
        "array": row.to_numpy(),
        "tensor": torch.tensor(row.to_numpy()),
        "flat": [2.5, 30],
    }
    case, card = live(tmp_path, forms[form], frame)
    assert case.model.format == "live"
    assert case.input.values == {"income_eur": 2.5, "age": 30}
    assert card.feature("income_eur").unit == "EUR"
    assert pd.read_csv(case.folder / case.reference.path).equals(frame)
    assert load_case(tmp_path / "case.json") == case


def test_live_text_and_image(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
    case, _ = live(tmp_path / "a", "refund me\u2028now", ["one\u2028line", "two"])
    assert len((tmp_path / "a" / case.reference.path).read_text().splitlines()) == 2
    case, _ = live(tmp_path / "b", {"pixels": np.ones((2, 2), dtype=np.float32)}, np.zeros((3, 2, 2)))
    assert np.load(tmp_path / "b" / case.reference.path)["pixels"].shape == (3, 2, 2)


def test_live_card_keeps_what_the_caller_knows(tmp_path: Path) -> None:
    known = {"name": "Loans", "features": {"age": {"label": "Age of applicant", "sensitive": True}}}
    _, card = live(tmp_path, {"age": 30}, pd.DataFrame({"age": [20, 40]}), card=known)
    assert (card.name, card.feature("age").label, card.outcome("yes").label) == ("Loans", "Age of applicant", "yes")


@pytest.mark.parametrize(
    ("x", "frame", "said"),
    [
        ({"a": 1.0}, {"b": [1.0]}, "no column 'a'"),
        ({"a": float("inf")}, {"a": [1.0]}, "infinite"),
        ({"a": [1, 2]}, {"a": [1.0]}, "a list is no value"),
        ([1.0, 2.0], {"a": [1.0]}, "does not fit 1 features"),
        ({"a": "1"}, {"a": ["1", "2"]}, "read as numbers"),
        ({"a": "nan"}, {"a": ["nan", "x"]}, "reads as a missing value"),
        ({1: 2, "1": 3}, {"a": [1.0]}, "same name"),
        ({"a": "\ud800"}, {"a": ["x", "y"]}, "cannot be written"),
        ({"a": "x"}, {"a": ["x", "\ud800"]}, "no Unicode"),
        ({"a": 1}, {"a\ud800": [1]}, "no usable name"),
    ],
)
def test_a_live_fault_names_the_column(tmp_path: Path, x: Any, frame: dict[str, Any], said: str) -> None:
    with pytest.raises(InvalidCase) as fault:
        live(tmp_path, x, pd.DataFrame(frame))
    assert said in fault.value.message


def test_a_row_follows_the_order_of_the_reference(tmp_path: Path) -> None:
    case, _ = live(tmp_path, {"b": 2.0, "a": 1.0}, pd.DataFrame({"a": [1.0], "x": [0.0], "b": [2.0]}))
    assert list(case.input.values) == ["a", "b"]


def test_columns_of_one_name_are_refused(tmp_path: Path) -> None:
    with pytest.raises(InvalidCase, match="'a' is there twice"):
        live(tmp_path, {"a": 1}, pd.DataFrame([[1, 2]], columns=["a", "a"]))


def test_a_live_model_in_a_file_has_no_path() -> None:
    from xagent.case import ModelReference

    common: dict[str, Any] = {"name": "m", "version": "1", "output": {"kind": "value"}}
    assert ModelReference(format="live", **common).path == ""
    with pytest.raises(ValueError, match="path"):
        ModelReference(format="live", path="m.pt2", **common)
    with pytest.raises(ValueError, match="path"):
        ModelReference(format="torch-export", **common)


@pytest.fixture
def table() -> pd.DataFrame:
    rng = np.random.default_rng(0)
    return pd.DataFrame(rng.normal(size=(40, 3)).round(2), columns=["income_eur", "age", "x"])


def net(inputs: int = 3, outputs: int = 2) -> Net:
    torch.manual_seed(0)
    return Net(inputs, outputs).eval()


def test_a_module_in_memory_is_explained(table: pd.DataFrame) -> None:
    report = explain_live(net(), table.iloc[3], table, classes=["no", "yes"], decided_at=WHEN, persona="data_scientist")
    with torch.no_grad():
        answer = net()(torch.tensor(table.iloc[[3]].to_numpy(), dtype=torch.float32)).softmax(-1)[0]
    assert report.data["decision"]["score"] == pytest.approx(float(answer.max()), abs=1e-6)
    assert report.data["decision"]["label"] == ["no", "yes"][int(answer.argmax())]
    assert report.data["case"]["model"]["format"] == "live"
    again = explain_live(net(), table.iloc[3], table, classes=["no", "yes"], decided_at=WHEN, persona="data_scientist")
    assert again.json == report.json


def test_a_pipeline_in_memory_is_explained(table: pd.DataFrame) -> None:
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pipeline = make_pipeline(StandardScaler(), LogisticRegression()).fit(table, table["x"] > 0)
    report = explain_live(pipeline, dict(table.iloc[3]), table, classes=["low", "high"], decided_at=WHEN)
    answer = pipeline.predict_proba(table.iloc[[3]])[0]
    assert report.data["decision"]["score"] == pytest.approx(answer.max(), abs=1e-6)
    assert report.data["decision"]["label"] == ["low", "high"][int(answer.argmax())]


@pytest.mark.parametrize(
    ("model", "x", "options", "said"),
    [
        (net().train(), {"income_eur": 1.0, "age": 2.0, "x": 3.0}, {}, "training mode"),
        (net(4), {"income_eur": 1.0, "age": 2.0, "x": 3.0}, {}, "does not take one tensor of 3 numbers"),
        (net(outputs=1), {"income_eur": 1.0, "age": 2.0, "x": 3.0}, {}, "has one output"),
        (net(), {"income_eur": 1.0, "age": 2.0, "x": 3.0}, {"encoder": {"kind": "tabular"}}, "encoder: schema"),
        (net(), "a text", {}, "needs its tokenizer"),
        (object(), {"income_eur": 1.0, "age": 2.0, "x": 3.0}, {}, "is no model that can be explained"),
    ],
)
def test_a_live_model_that_cannot_be_explained_says_why(
    table: pd.DataFrame, model: Any, x: Any, options: dict[str, Any], said: str
) -> None:
    with pytest.raises(UsageFault) as fault:
        explain_live(model, x, ["one", "two"] if isinstance(x, str) else table, decided_at=WHEN, **options)
    assert said in fault.value.message
    assert fault.value.hint


@pytest.mark.parametrize("persona", ["regulator", "business_user", "data_scientist"])
def test_hostile_names_reach_a_verified_report(made: Path, tmp_path: Path, persona: str) -> None:
    from xagent import explain

    out = bring(made, tmp_path / "case", row=3, classes=["<i>no</i>", "⟦yes⟧"], threshold=0.5)
    report = explain(out / "case.json", persona)
    assert not report.verification.problems
    assert "<b>bold</b>" not in report.html
    assert "<i>no</i>" not in report.html
    if persona == "regulator":
        assert all(row["value"].strip() for row in report.data["checklist"])
        assert [row["state"] for row in report.data["checklist"]].count("missing") > 20
