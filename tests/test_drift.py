"""Has the population drifted: few false flags, shifts found, missing values and new levels seen, outliers ignored."""

from __future__ import annotations

import json
from collections import Counter
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bare_case import bare_case
from hypothesis import given, settings
from hypothesis import strategies as st

from xagent.case import OutputSpec, SystemCard, load_case
from xagent.errors import InvalidCase
from xagent.evidence import Ledger
from xagent.subject import Subject
from xagent.tools import Context, NotApplicable, _stats
from xagent.tools.drift import LEVEL, Drift, DriftResult


def context(folder: Path, given: dict[str, Any], reference: str | None, window: str | None, **features: Any) -> Context:
    case = bare_case(given)
    if reference:
        case["reference"] = {"path": reference, "name": "last year"}
    if window:
        case["window"] = {"path": window}
    (folder / "case.json").write_text(json.dumps(case))
    card = SystemCard.model_validate({"schema": "xagent.system/1", "name": "s", "features": features})
    return Context(case=load_case(folder / "case.json"), card=card, subject=SimpleNamespace())  # type: ignore[arg-type]


class Frames:
    """Drift between two frames that need no file: the table reader is replaced."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch
        for name in ("reference.csv", "window.csv"):
            (folder / name).write_text("")

    def __call__(self, reference: pd.DataFrame, window: pd.DataFrame, **features: Any) -> DriftResult:
        frames = {"reference": reference, "window": window}
        self.monkeypatch.setattr("xagent.tools._population.read_table", lambda path, field: frames[field])
        row = reference.head(1).to_dict("records")[0] if len(reference) else dict.fromkeys(reference.columns, 1.0)
        values = {k: (None if pd.isna(v) else getattr(v, "item", lambda v=v: v)()) for k, v in row.items()}
        given = {"kind": "tabular", "values": values}
        self.context = context(self.folder, given, "reference.csv", "window.csv", **features)
        return Drift().run(self.context)


@pytest.fixture
def compare(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Frames:
    return Frames(tmp_path, monkeypatch)


def table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    return pd.DataFrame(
        {
            "age": np.round(rng.normal(40, 10, n)),
            "income": np.round(np.exp(10 + 0.5 * rng.normal(size=n))),
            "savings": np.where(rng.random(n) < 0.05, np.nan, rng.normal(size=n)),
            "purpose": rng.choice(["car", "home", "study"], n, p=[0.6, 0.3, 0.1]),
            "owner": rng.random(n) < 0.5,
        }
    )


REFERENCE = table(np.random.default_rng(1), 3000)


def states(data: DriftResult) -> dict[str, str]:
    return {f.name: f.state for f in data.features}


def flags(data: DriftResult, name: str) -> list[str]:
    return [t.kind for f in data.features if f.name == name for t in f.tests if t.flagged]


# False alarms and power


def test_whole_reports_without_drift_rarely_flag_anything(compare: Frames) -> None:
    rng = np.random.default_rng(6)
    flagged = [compare(REFERENCE, table(rng, 300)).drifted > 0 for _ in range(60)]
    assert np.mean(flagged) <= 0.12


def test_levels_have_the_false_alarm_rate_they_state() -> None:
    """500 pairs of samples, the reference no larger than the window: 5 % of p below 0.05, within three errors."""
    rng = np.random.default_rng(8)

    def draw() -> Counter[str]:
        return Counter(rng.choice(["a", "b", "c", "d"], 1000, p=[0.4, 0.3, 0.2, 0.1]).tolist())

    rate = np.mean([_stats.test_levels(draw(), draw()).p <= 0.05 for _ in range(500)])
    assert 0.02 <= rate <= 0.08


@pytest.mark.parametrize("rows", [100, 270, 2000])
def test_the_stated_shift_is_found_four_times_in_five(rows: int) -> None:
    rng = np.random.default_rng(9)
    shift = _stats.detectable_shift(20_000, rows, 50)
    assert shift is not None
    found = 0
    for _ in range(100):
        test = _stats.test_numbers(np.sort(rng.normal(size=20_000)), np.sort(rng.normal(shift, 1, rows)))
        found += test.p <= LEVEL / 50 and test.effect >= test.floor
    assert 0.65 <= found / 100 <= 0.95


@pytest.mark.parametrize(("rows", "shift"), [(600, 0.2), (270, 0.3), (100, 0.5)])
def test_the_stated_shift_agrees_with_measured_power(rows: int, shift: float, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(_stats, "EFFECT_FLOOR", 0.0)
    assert _stats.detectable_shift(20_000, rows, 50) == pytest.approx(shift, rel=0.05)


def test_no_shift_is_promised_where_none_could_be_found() -> None:
    assert _stats.detectable_shift(2, 2, 50) is None


# One change each


def change_age(frame: pd.DataFrame) -> None:
    frame["age"] += 6


def change_income(frame: pd.DataFrame) -> None:
    frame["income"] *= 1.5


def change_purpose(frame: pd.DataFrame) -> None:
    frame.loc[frame.index[::3], "purpose"] = "study"


def new_purpose(frame: pd.DataFrame) -> None:
    frame.loc[frame.index[::20], "purpose"] = "boat"


def change_owner(frame: pd.DataFrame) -> None:
    frame.loc[frame.index[::3], "owner"] = True


def lose_age(frame: pd.DataFrame) -> None:
    frame.loc[frame.sample(frac=0.4, random_state=0).index, "age"] = np.nan


def lose_all_income(frame: pd.DataFrame) -> None:
    frame["income"] = np.nan


def fix_savings(frame: pd.DataFrame) -> None:
    frame["savings"] = 2.0


CHANGES = [
    (change_age, "age", ["distribution"]),
    (change_income, "income", ["distribution"]),
    (change_purpose, "purpose", ["distribution"]),
    (new_purpose, "purpose", ["new levels"]),
    (change_owner, "owner", ["distribution"]),
    (lose_age, "age", ["missing values"]),
    (lose_all_income, "income", ["missing values"]),
]


@pytest.mark.parametrize(("change", "name", "kinds"), CHANGES)
def test_one_change_is_found_and_nothing_else(compare: Frames, change: Any, name: str, kinds: list[str]) -> None:
    window = table(np.random.default_rng(2), 400)
    change(window)
    data = compare(REFERENCE, window)
    assert flags(data, name) == kinds
    assert states(data) == {n: "deviation" if n == name else "ok" for n in REFERENCE.columns}
    assert (data.state, data.drifted) == ("deviation", 1)


def test_a_feature_that_became_constant_has_drifted(compare: Frames) -> None:
    window = table(np.random.default_rng(2), 400)
    fix_savings(window)
    assert "distribution" in flags(compare(REFERENCE, window), "savings")


def test_one_outlier_changes_no_verdict(compare: Frames) -> None:
    for change in (None, change_age):
        window = table(np.random.default_rng(2), 400)
        if change:
            change(window)
        before = states(compare(REFERENCE, window))
        for name in ("age", "income", "savings"):
            spoilt = window.copy()
            spoilt.loc[7, name] = 1e6
            assert states(compare(REFERENCE, spoilt)) == before
            worse = REFERENCE.copy()
            worse.loc[7, name] = 1e6
            assert states(compare(worse, window)) == before


def test_a_tiny_certain_shift_is_no_drift(compare: Frames) -> None:
    rng = np.random.default_rng(0)
    data = compare(pd.DataFrame({"x": rng.normal(size=50_000)}), pd.DataFrame({"x": rng.normal(0.05, 1, size=50_000)}))
    (test,) = data.features[0].tests
    assert (data.state, test.p < 1e-6, test.effect < test.floor) == ("ok", True, True)


# Windows that cannot tell


@pytest.mark.parametrize("rows", [0, 1, 29])
def test_a_small_window_cannot_tell(compare: Frames, rows: int) -> None:
    window = table(np.random.default_rng(2), rows)
    if rows:
        change_age(window)
    data = compare(REFERENCE, window)
    assert data.state == "cannot tell"
    assert set(states(data).values()) == {"cannot tell"}
    assert (data.n, data.detectable, data.why) == (rows, None, "The window has fewer than 30 rows.")
    claims = Ledger(Drift().claims(data, compare.context))
    assert claims["drift.window.n"].value == rows
    assert "drift.detectable" not in claims


def test_a_small_reference_cannot_tell(compare: Frames) -> None:
    data = compare(REFERENCE.head(1), table(np.random.default_rng(2), 400))
    assert (data.state, data.why) == ("cannot tell", "The reference has fewer than 30 rows.")


def test_identical_windows_are_ok(compare: Frames) -> None:
    data = compare(REFERENCE, REFERENCE.copy())
    assert data.state == "ok"
    assert all(t.effect == 0 and t.p == 1 for f in data.features for t in f.tests)


def test_columns_without_values_or_variation(compare: Frames) -> None:
    def frame(n: int, **columns: Any) -> pd.DataFrame:
        return pd.DataFrame({k: [v] * n for k, v in columns.items()})

    before = frame(100, empty=np.nan, same=1.0, level="a", filled=np.nan, few=1.0)
    after = frame(60, empty=np.nan, same=1.0, level="a", filled=2.0, few=1.0)
    after.loc[5:, "few"] = np.nan
    data = compare(before, after)
    assert states(data) == {
        "empty": "cannot tell",
        "same": "ok",
        "level": "ok",
        "filled": "deviation",
        "few": "deviation",
    }
    assert flags(data, "few") == ["missing values"]


def test_a_window_of_another_type_counts_as_missing(compare: Frames) -> None:
    window = table(np.random.default_rng(2), 400)
    window["age"] = window["age"].astype(object)
    window.loc[::2, "age"] = "n/a!"
    data = compare(REFERENCE, window)
    age = next(f for f in data.features if f.name == "age")
    assert (age.unreadable, age.n, flags(data, "age")) == (200, 200, ["missing values"])


def test_infinite_and_huge_values_are_no_trouble(compare: Frames) -> None:
    window = table(np.random.default_rng(2), 400)
    window.loc[:99, "age"] = np.inf
    window.loc[3, "income"] = 1.7e308
    data = compare(REFERENCE, window)
    age = next(f for f in data.features if f.name == "age")
    assert (age.unreadable, age.n, flags(data, "age")) == (100, 300, ["missing values"])
    assert states(data)["income"] == "ok"
    assert DriftResult.model_validate(data.model_dump(mode="json")) == data


def test_new_levels_are_expected_where_most_levels_are_rare(compare: Frames) -> None:
    rng = np.random.default_rng(3)

    def codes(n: int) -> pd.DataFrame:
        return pd.DataFrame({"code": [f"code {i}" for i in rng.integers(0, 5000, n)]})

    data = compare(codes(3000), codes(400))
    assert data.state == "ok"
    assert data.features[0].new_share is not None
    assert data.features[0].new_share > 0.4
    assert compare(codes(3000), codes(400).replace(r"^.*$", "other", regex=True)).state == "deviation"


@pytest.mark.parametrize("dtype", ["str", object, "category"])
def test_levels_of_every_dtype(compare: Frames, dtype: Any) -> None:
    window = table(np.random.default_rng(2), 400)
    reference = REFERENCE.astype({"purpose": dtype})
    assert states(compare(reference, window)) == states(compare(REFERENCE, window))
    boat = window.assign(purpose="boat").astype({"purpose": dtype})
    data = compare(reference, boat)
    purpose = next(f for f in data.features if f.name == "purpose")
    assert (purpose.state, purpose.new_levels, purpose.new_share) == ("deviation", ("boat",), 1.0)
    assert all(t.p_raw > 0 for t in purpose.tests)


@pytest.mark.parametrize("owner", ["int", "text", "object"])
def test_truth_values_however_they_are_written(compare: Frames, owner: str) -> None:
    window = table(np.random.default_rng(2), 400)
    spelt = {"int": window["owner"].astype(int), "text": window["owner"].map({True: "True", False: "false"})}
    window["owner"] = spelt.get(owner, window["owner"].astype(object))
    assert states(compare(REFERENCE, window))["owner"] == "ok"


# The tool


def test_claims_speak_of_drifted_features_only(compare: Frames) -> None:
    window = table(np.random.default_rng(2), 400)
    change_income(window)
    data = compare(REFERENCE, window, income={"label": "Income", "unit": "EUR", "decimals": 0})
    claims = Ledger(Drift().claims(DriftResult.model_validate(data.model_dump(mode="json")), compare.context))
    assert claims["drift.drifted.count"].value == 1
    shift = claims["drift.feature.income.shift"]
    assert (shift.unit, shift.sign, shift.subject) == ("EUR", 1, "population")
    assert claims["drift.feature.income.effect"].kind == "drift"
    assert not any(key.startswith("drift.feature.age") for key in claims)
    assert set(Drift().inputs(compare.context)) == {"reference", "window"}


def test_what_is_missing_is_named(tmp_path: Path, compare: Frames) -> None:
    given = {"kind": "tabular", "values": {"age": 1.0}}
    with pytest.raises(NotApplicable, match="reference population"):
        Drift().run(context(tmp_path, given, None, "window.csv"))
    with pytest.raises(NotApplicable, match="recent window"):
        Drift().run(context(tmp_path, given, "reference.csv", None))
    with pytest.raises(InvalidCase, match=r"window\.csv has no column 'age'"):
        compare(REFERENCE, REFERENCE.drop(columns="age"))
    with pytest.raises(InvalidCase, match=r"reference\.csv has no rows"):
        compare(REFERENCE.head(0), REFERENCE)


class Letters:
    """A model whose embedding of a word is what letters it has; (1, T, 26). It cannot be looked into."""

    def encode_texts(self, texts: list[str]) -> list[Any]:
        return [
            SimpleNamespace(inputs={"x": torch.tensor([[self.word(w) for w in t.split()]])}, traced="x") for t in texts
        ]

    def word(self, word: str) -> list[float]:
        return [float(word.count(chr(97 + i))) for i in range(26)]


def test_texts_drift_by_the_embedding_where_no_measure_moves(tmp_path: Path) -> None:
    rng = np.random.default_rng(1)

    def write(name: str, words: list[str]) -> None:
        lines = (json.dumps({"text": " ".join(rng.choice(words, 8))}) for _ in range(200))
        (tmp_path / name).write_text("\n".join(lines))

    write("reference.jsonl", ["pain", "rest", "mild"])
    given = {"kind": "text", "text": "pain"}
    ctx = replace(context(tmp_path, given, "reference.jsonl", "window.jsonl"), subject=Letters())  # type: ignore[arg-type]
    for words, state in ((["pain", "rest", "mild"], "ok"), (["bill", "form", "post"], "deviation")):
        write("window.jsonl", words)
        data = Drift().run(ctx)
        assert states(data)["embedding of the model"] == data.state == state
        assert states(data)["number of characters"] == "ok"
        assert data.joint is not None
        assert (data.joint.auc > 0.9) == (state == "deviation")
    claims = Ledger(Drift().claims(data, ctx))
    assert claims["drift.feature.embedding-of-the-model.effect"].value > 0.8
    assert claims["feature.embedding-of-the-model.label"].value == "embedding of the model"


def test_texts_drift_by_their_measures(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def write(name: str, words: int, n: int = 200) -> None:
        lines = (json.dumps({"text": " ".join(["word"] * int(rng.poisson(words) + 1))}) for _ in range(n))
        (tmp_path / name).write_text("\n".join(lines))

    write("reference.jsonl", 10)
    given = {"kind": "text", "text": "a word"}
    ctx = replace(context(tmp_path, given, "reference.jsonl", "window.jsonl"), subject=Letters())  # type: ignore[arg-type]
    for words, state in ((10, "ok"), (14, "deviation")):
        write("window.jsonl", words)
        assert Drift().run(ctx).state == state
    (tmp_path / "window.jsonl").write_text("")
    assert (Drift().run(ctx).state, Drift().run(ctx).n) == ("cannot tell", 0)


def test_the_stability_index_comes_with_its_null() -> None:
    rng = np.random.default_rng(4)
    reference = np.sort(rng.normal(size=5000))
    assert _stats.stability_index(reference, reference[:99]) is None
    pairs = [_stats.stability_index(reference, np.sort(rng.normal(size=500))) for _ in range(200)]
    above = np.mean([psi > null for psi, null in (p for p in pairs if p)])
    assert len([p for p in pairs if p]) == 200
    assert above <= 0.12
    constant = _stats.stability_index(np.ones(300), np.ones(300))
    assert constant is not None
    assert constant[0] == 0


@settings(max_examples=60)
@given(
    before=st.lists(st.sampled_from([*"abcdefgh"]), min_size=30, max_size=120),
    after=st.lists(st.sampled_from([*"abcdefghij"]), min_size=30, max_size=120),
)
def test_tests_of_levels_stay_in_bounds(before: list[str], after: list[str]) -> None:
    known, recent = Counter(before), Counter(after)
    for test in (_stats.test_levels(known, recent), _stats.test_new_levels(known, recent)):
        assert 0 < test.p <= 1
        assert 0 <= test.effect <= 1
    assert _stats.test_levels(known, Counter(reversed(before))).effect == 0


@given(st.integers(30, 5000), st.integers(30, 5000), st.floats(0, 1), st.floats(0, 1))
def test_missing_shares_stay_in_bounds(n: int, m: int, one: float, other: float) -> None:
    test = _stats.test_missing((round(one * n), n), (round(other * m), m))
    assert 0 < test.p <= 1
    assert 0 <= test.effect <= 1


# Lines, time line, expected performance


def test_every_line_has_its_state_and_sources(compare: Frames) -> None:
    window = table(np.random.default_rng(2), 600)
    window.loc[300:, "age"] += 25
    data = compare(REFERENCE, window)
    found = {line.check: line for line in data.lines}
    assert {check: line.state for check, line in found.items()} == {
        "window": "ok",
        "missing values": "ok",
        "new levels": "ok",
        "distribution": "deviation",
        "all inputs together": "not supplied",
        "expected performance": "not supplied",
        "time line": "deviation",
    }
    assert {s.role for line in data.lines for s in line.sources} == {"reference", "window"}
    assert all(line.why for line in data.lines if line.state in ("cannot tell", "not supplied"))
    assert found["distribution"].resolution == data.detectable
    age = next(f for f in data.features if f.name == "age")
    assert age.onset is not None
    assert abs(age.onset.row - 300) < 40
    claims = Ledger(Drift().claims(DriftResult.model_validate(data.model_dump(mode="json")), compare.context))
    assert claims["drift.feature.age.onset.sub_window"].value == age.onset.sub_window
    assert claims["drift.timeline.count"].value == 10
    assert "drift.joint.auc" not in claims
    asked = replace(compare.context, classifier=True)
    told = Drift().run(asked)
    assert {line.check for line, own in zip(told.lines, data.lines, strict=True) if line != own} == {
        "all inputs together"
    }
    assert told.joint is not None
    assert told.lines[4].state == "deviation"
    assert Ledger(Drift().claims(told, asked))["drift.joint.auc"].value == told.joint.auc
    assert Drift().parameters(asked) != Drift().parameters(compare.context)
    small = compare(REFERENCE, window.head(20))
    assert {line.state for line in small.lines} == {"cannot tell", "not supplied"}


def test_times_of_the_rows_order_the_time_line(compare: Frames) -> None:
    window = table(np.random.default_rng(2), 600)
    window.loc[400:, "age"] += 12
    window["timestamp"] = pd.date_range("2026-01-01", periods=600, freq="h").strftime("%Y-%m-%dT%H:%M:%SZ")
    data = compare(REFERENCE, window.sample(frac=1, random_state=0))
    age = next(f for f in data.features if f.name == "age")
    assert data.ordered_by == "the column “timestamp”"
    assert age.onset is not None
    assert age.onset.at is not None
    assert abs((pd.Timestamp(age.onset.at) - pd.Timestamp("2026-01-17T16:00:00Z")).total_seconds()) < 40 * 3600


class Steep(torch.nn.Module):
    """Certain where x is far from zero."""

    def forward(self, rows: torch.Tensor) -> torch.Tensor:
        return torch.stack([-rows[:, 0], rows[:, 0]], dim=1)


@pytest.mark.parametrize(("spread", "state"), [(2.0, "ok"), (0.5, "deviation")])
def test_expected_right_answers_are_those_of_the_window(tmp_path: Path, spread: float, state: str) -> None:
    """Only the inputs change: what is expected without outcomes is what the outcomes, drawn by the same rule, give."""
    rng = np.random.default_rng(11)

    def drawn(n: int, spread: float) -> pd.DataFrame:
        x = rng.normal(0, spread, n)
        chance = 1 / (1 + np.exp(-1.2 * x))  # the model says 2x: it is too sure, which the reference shows
        return pd.DataFrame({"x": x, "turned out": np.where(rng.random(n) < chance, "yes", "no")})

    drawn(2000, 2.0).to_csv(tmp_path / "reference.csv", index=False)
    window = drawn(2000, spread)
    window.to_csv(tmp_path / "window.csv", index=False)
    ctx = context(tmp_path, {"kind": "tabular", "values": {"x": 0.5}}, "reference.csv", "window.csv")
    subject = Subject.from_module(Steep().eval(), ["x"], OutputSpec(kind="logits", classes=("no", "yes")))
    labelled = ctx.case.reference.model_copy(update={"label": "turned out"})  # type: ignore[union-attr]
    case = ctx.case.model_copy(update={"reference": labelled})
    told = Drift().run(replace(ctx, case=case, subject=subject)).performance
    right = float(((window["x"] > 0) == (window["turned out"] == "yes")).mean())
    assert told.state == state
    assert told.expected == pytest.approx(right, abs=0.035)
    assert "relation between inputs and outcomes" in told.assumption
    assert told.change is not None
    assert told.measured is not None
    assert told.change == pytest.approx(told.expected - told.measured, abs=0.01)


def test_no_performance_is_expected_without_wrong_answers(tmp_path: Path) -> None:
    x = np.linspace(-9, 9, 400)
    pd.DataFrame({"x": x, "y": np.where(x > 0, "yes", "no")}).to_csv(tmp_path / "reference.csv", index=False)
    pd.DataFrame({"x": x}).to_csv(tmp_path / "window.csv", index=False)
    ctx = context(tmp_path, {"kind": "tabular", "values": {"x": 0.5}}, "reference.csv", "window.csv")
    subject = Subject.from_module(Steep().eval(), ["x"], OutputSpec(kind="logits", classes=("no", "yes")))
    labelled = ctx.case.reference.model_copy(update={"label": "y"})  # type: ignore[union-attr]
    case = ctx.case.model_copy(update={"reference": labelled})
    told = Drift().run(replace(ctx, case=case, subject=subject)).performance
    assert told.state == "cannot tell"
    assert "too few wrong answers" in str(told.why)
