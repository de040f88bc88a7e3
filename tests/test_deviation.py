"""Is one input unusual: valid p-values, power where it counts, and "cannot tell" where nothing can be told."""

from __future__ import annotations

import hashlib
import json
import threading
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from bare_case import bare_case
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from xagent.case import SystemCard, load_case
from xagent.errors import InvalidCase
from xagent.evidence import Ledger
from xagent.tools import Context, NotApplicable
from xagent.tools import _conformal as conformal
from xagent.tools._columns import Column
from xagent.tools._confidence_cache import forget
from xagent.tools._deviation_profile import fitted
from xagent.tools._deviation_scores import SCORES
from xagent.tools._population import Reference, Rows
from xagent.tools._population_texts import language, measures
from xagent.tools.deviation import ALPHA, MINIMUM_ROWS, Deviation, DeviationResult

ROWS = 1500


@pytest.fixture(autouse=True)
def nothing_kept() -> None:
    """Some tests put other tables behind a file of the same bytes."""
    forget()


def context(folder: Path, given: dict[str, Any], reference: str | None = None, **features: Any) -> Context:
    kind = given["kind"]
    case = bare_case(given)
    if reference is not None:
        case["reference"] = {"path": reference, "name": "last year's applicants"}
    (folder / "case.json").write_text(json.dumps(case))
    card = SystemCard.model_validate({"schema": "xagent.system/1", "name": "s", "features": features})
    subject = {"text": FakeTexts, "image": FakeImages}.get(kind, SimpleNamespace)()
    return Context(case=load_case(folder / "case.json"), card=card, subject=subject)  # type: ignore[arg-type]


def table(rng: np.random.Generator, n: int) -> pd.DataFrame:
    """Correlated numbers, a skewed one, a count with many zeros, levels and a truth value; some values missing."""
    common = rng.normal(size=n)
    frame = pd.DataFrame({f"x{i}": 0.9 * common + 0.44 * rng.normal(size=n) for i in range(5)})
    frame["income"] = np.round(np.exp(10 + 0.5 * rng.normal(size=n)))
    frame["late"] = rng.poisson(0.4, size=n)
    frame["savings"] = np.where(rng.random(n) < 0.2, np.nan, rng.normal(size=n))
    frame["purpose"] = rng.choice(["car", "home", "study"], size=n, p=[0.6, 0.3, 0.1])
    frame["owner"] = rng.random(n) < 0.5
    return frame


def values(frame: pd.DataFrame, row: int = 0, **change: Any) -> dict[str, Any]:
    found = {k: (None if pd.isna(v) else getattr(v, "item", lambda v=v: v)()) for k, v in frame.iloc[row].items()}
    return {"kind": "tabular", "values": {**found, **change}}


@pytest.fixture(scope="module")
def known() -> pd.DataFrame:
    return table(np.random.default_rng(1), ROWS)


def judge(folder: Path, frame: pd.DataFrame, given: dict[str, Any], **features: Any) -> DeviationResult:
    frame.to_csv(folder / "reference.csv", index=False)
    return Deviation().run(context(folder, given, "reference.csv", **features))


def feature(data: DeviationResult, name: str) -> Any:
    return next(f for f in data.features if f.name == name)


# The p-value


def rows_of(frame: pd.DataFrame) -> Rows:
    columns = []
    for name in frame:
        series = frame[name]
        numeric = pd.api.types.is_numeric_dtype(series) and series.dtype != bool
        columns.append(
            Column(str(name), "numeric", series.to_numpy(dtype=float))
            if numeric
            else Column(str(name), "categorical", series.astype(str).to_numpy(dtype=object))
        )
    return Rows(len(frame), tuple(columns), None, "test")


def flagged(reference: pd.DataFrame, asked: pd.DataFrame, seed: int = 0) -> float:
    """Share of the asked rows whose combined p-value is at most alpha, by the tool's own profile."""
    known, rows = rows_of(reference), rows_of(asked)
    profile = fitted(Reference(known.columns, known, known.n, {}, None), seed, ALPHA, MINIMUM_ROWS)
    assert profile.scorer is not None
    scores = profile.scorer.scores(rows)
    assert len(scores) == SCORES
    p = np.minimum.reduce([conformal.p_values(profile.calibration[n], s) for n, s in scores.items()]) * len(scores)
    return float((p <= ALPHA).mean())


@pytest.mark.parametrize("n", [400, 2000])
def test_ordinary_rows_are_flagged_about_as_often_as_alpha_says(n: int) -> None:
    """4 references of n rows, 500 rows each: expected at most 1 %, with a standard deviation below 1 point."""
    shares = []
    for seed in range(4):
        rng = np.random.default_rng([7, seed])
        shares.append(flagged(table(rng, n), table(rng, 500), seed))
    assert np.mean(shares) <= 0.02


def one_beyond(frame: pd.DataFrame, reference: pd.DataFrame) -> None:
    top, bottom = reference["x2"].max(), reference["x2"].min()
    frame["x2"] = top + 0.3 * (top - bottom)


def unit_error(frame: pd.DataFrame, reference: pd.DataFrame) -> None:
    frame["income"] *= 10


def new_level(frame: pd.DataFrame, reference: pd.DataFrame) -> None:
    frame["purpose"] = "yacht"


def broken_correlation(frame: pd.DataFrame, reference: pd.DataFrame) -> None:
    frame["x0"], frame["x1"] = 1.8, -1.8


@pytest.mark.parametrize(
    ("what", "least"), [(one_beyond, 0.98), (unit_error, 0.75), (new_level, 0.98), (broken_correlation, 0.8)]
)
def test_unusual_rows_are_flagged(known: pd.DataFrame, what: Any, least: float) -> None:
    asked = table(np.random.default_rng(3), 200)
    what(asked, known)
    assert flagged(known, asked) >= least


@given(arrays(float, st.integers(1, 60), elements=st.integers(-5, 5)), st.integers(-6, 6))
def test_the_p_value_is_the_exact_rank(calibration: Any, score: int) -> None:
    expected = (1 + (calibration >= score).sum()) / (len(calibration) + 1)
    assert conformal.p_values(calibration, np.array([float(score)]))[0] == expected


def test_p_is_never_smaller_than_it_can_be(tmp_path: Path, known: pd.DataFrame) -> None:
    data = judge(tmp_path, known, values(known, x0=1e9, x1=-1e9, income=1e12, purpose="yacht"))
    assert data.resolution == pytest.approx(3 / (data.calibration + 1))
    assert data.p == data.resolution
    assert data.calibration + data.fitted == ROWS


# The tool


def test_one_value_beyond_the_range(tmp_path: Path, known: pd.DataFrame) -> None:
    ctx_features = {"income": {"label": "Income", "unit": "EUR", "decimals": 0}}
    top = float(known["income"].max())
    data = judge(tmp_path, known, values(known, income=2 * top), **ctx_features)
    assert data.state == "deviation"
    assert data.causes[0] == "income"
    check = feature(data, "income")
    assert (check.kind, check.percentile, check.maximum) == ("above the known range", 100.0, top)
    ctx = context(tmp_path, values(known, income=2 * top), "reference.csv", **ctx_features)
    claims = Ledger(Deviation().claims(DeviationResult.model_validate(data.model_dump(mode="json")), ctx))
    assert claims["deviation.feature.income.kind"].value == "above the known range"
    assert claims["deviation.feature.income.maximum"].unit == "EUR"
    assert claims["deviation.p"].value == data.p
    assert claims["deviation.calibration.n"].value == data.calibration
    assert not any(key.startswith("deviation.feature.x0") for key in claims)
    assert set(Deviation().inputs(ctx)) == {"reference"}


def test_an_ordinary_row_is_ok_and_the_same_every_time(tmp_path: Path, known: pd.DataFrame) -> None:
    given = {"kind": "tabular", "values": {f"x{i}": 0.1 for i in range(5)} | {"income": 22000, "late": 0}}
    first = judge(tmp_path, known, given)
    np.random.default_rng().normal()
    assert (first.state, first.outside, first.causes) == ("ok", 0, ())
    assert judge(tmp_path, known, given) == first


@pytest.mark.parametrize(
    ("change", "name", "kind"),
    [
        ({"purpose": "yacht"}, "purpose", "unknown level"),
        ({"x0": None}, "x0", "missing"),
        ({"purpose": None}, "purpose", "missing"),
        ({"x0": -50.0}, "x0", "below the known range"),
        ({"x0": "much"}, "x0", "unknown level"),
    ],
)
def test_what_the_reference_never_shows(
    tmp_path: Path, known: pd.DataFrame, change: dict[str, Any], name: str, kind: str
) -> None:
    data = judge(tmp_path, known, values(known, **change), x0={"label": "x0", "kind": "numeric"})
    assert (feature(data, name).kind, feature(data, name).state) == (kind, "deviation")
    assert data.outside == 1
    assert data.state == "deviation"


def test_a_value_that_is_often_missing_may_be_missing(tmp_path: Path, known: pd.DataFrame) -> None:
    data = judge(tmp_path, known, values(known, savings=None))
    assert feature(data, "savings").state == "ok"
    assert feature(data, "savings").tail_p == pytest.approx(0.2, abs=0.05)


def test_an_outlier_in_the_reference_hides_nothing_else(tmp_path: Path, known: pd.DataFrame) -> None:
    spoilt = known.copy()
    spoilt.loc[5, "x4"] = 1e6
    given = values(known, 9, x2=float(known["x2"].max()) + 2.0)
    assert judge(tmp_path, spoilt, given).state == judge(tmp_path, known, given).state == "deviation"


@pytest.mark.parametrize("n", [1, 2, 49, 60, 300])
def test_a_small_reference_cannot_tell(tmp_path: Path, known: pd.DataFrame, n: int) -> None:
    data = judge(tmp_path, known.head(n), values(known, 700))
    assert data.state == "cannot tell"
    assert data.why is not None
    assert (data.p is None) == (n < 50)
    outside = judge(tmp_path, known.head(n), values(known, 700, purpose="yacht"))
    assert feature(outside, "purpose").kind == "unknown level"


def test_the_smallest_reference_that_can_tell(tmp_path: Path, known: pd.DataFrame) -> None:
    assert judge(tmp_path, known.head(348), values(known, x0=99.0)).state == "cannot tell"
    data = judge(tmp_path, known.head(349), values(known, x0=99.0))
    assert (data.state, data.p) == ("deviation", 0.01)


def test_references_that_are_refused(tmp_path: Path, known: pd.DataFrame) -> None:
    with pytest.raises(NotApplicable, match=r"^The case names no reference population\.$"):
        Deviation().run(context(tmp_path, values(known)))
    with pytest.raises(InvalidCase, match=r"reference\.csv has no rows"):
        judge(tmp_path, known.head(0), values(known))
    with pytest.raises(InvalidCase, match=r"reference\.csv has no column 'x3'"):
        judge(tmp_path, known.drop(columns="x3"), values(known))
    with pytest.raises(InvalidCase, match=r"column 'x0' of reference\.csv .* not a number \(row 3\)"):
        judge(tmp_path, known.assign(x0=[0, 1, "two"] * 500), values(known), x0={"label": "x0", "kind": "numeric"})
    with pytest.raises(InvalidCase, match="not a number"):
        judge(tmp_path, known.assign(x0=np.inf), values(known))


def test_columns_without_information_are_no_trouble(tmp_path: Path, known: pd.DataFrame) -> None:
    odd = known.assign(same=3.0, empty=np.nan, level="one")
    data = judge(tmp_path, odd, values(known, same=3.0, empty=1.0, level="one"))
    assert [feature(data, name).state for name in ("same", "empty", "level")] == ["ok", "cannot tell", "ok"]
    assert feature(judge(tmp_path, odd, values(known, same=4.0)), "same").kind == "above the known range"
    only_levels = judge(tmp_path, known[["purpose"]], {"kind": "tabular", "values": {"purpose": "yacht"}})
    assert len(only_levels.scores) == 1
    assert only_levels.state == "deviation"


@pytest.mark.parametrize(
    ("column", "value"),
    [
        (pd.Series(["a", "b"] * 200, dtype="str"), "a"),
        (pd.Series(["a", "b"] * 200, dtype=object), "a"),
        (pd.Series(["a", "b"] * 200, dtype="category"), "a"),
        (pd.Series([True, False] * 200), True),
        (pd.Series([True, False, None, True] * 100, dtype=object), True),
        (pd.Series([0, 1] * 200), True),
        (pd.Series([True, False] * 200), 1),
        (pd.Series(["True", "False"] * 200, dtype="str"), False),
        (pd.Series([1, 2, None, 3] * 100, dtype="Int64"), 2),
        (pd.Series([1, 2.5, None, 3] * 100, dtype=object), 2),
        (pd.Series([1001, 1002] * 200), "01001"),
        (pd.Series(pd.date_range("2026-01-01", periods=400)), "2026-03-01"),
    ],
)
def test_every_dtype_knows_its_own_values(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, column: pd.Series[Any], value: Any
) -> None:
    (tmp_path / "reference.parquet").write_bytes(b"")
    monkeypatch.setattr("xagent.tools._population.read_table", lambda path, field: pd.DataFrame({"x": column}))
    data = Deviation().run(context(tmp_path, {"kind": "tabular", "values": {"x": value}}, "reference.parquet"))
    assert (data.features[0].state, data.features[0].kind) == ("ok", None)


def test_dates_have_a_range(tmp_path: Path) -> None:
    frame = pd.DataFrame({"since": pd.date_range("2025-01-01", periods=400).strftime("%Y-%m-%d")})
    card = {"label": "Customer since", "kind": "date"}
    for date, kind in (("2025-06-01", None), ("2031-01-01", "above the known range"), ("soon", "unknown level")):
        data = judge(tmp_path, frame, {"kind": "tabular", "values": {"since": date}}, since=card)
        assert data.features[0].kind == kind
    with pytest.raises(InvalidCase, match="not a date"):
        judge(
            tmp_path, frame.replace("2025-03-01", "March"), {"kind": "tabular", "values": {"since": date}}, since=card
        )


@given(st.lists(st.integers(0, 6), min_size=1, max_size=40), st.integers(-1, 7))
def test_tails_are_probabilities_and_never_zero(known: list[int], asked: int) -> None:
    for kind in ("numeric", "categorical"):
        dtype = float if kind == "numeric" else object
        made = [np.array([v if kind == "numeric" else str(v) for v in vs], dtype=dtype) for vs in (known, [asked])]
        p, excess = conformal.tails(Column("x", kind, made[0]), Column("x", kind, made[1]))  # type: ignore[arg-type]
        assert 1 / (len(known) + 1) <= p[0] <= 1
        assert (excess[0] > 0) == (
            asked not in known if kind == "categorical" else not min(known) <= asked <= max(known)
        )


# Texts and images


class FakeTexts:
    """Each word is a vector made from its letters; (1, T, 26)."""

    def encode_texts(self, texts: list[str]) -> list[Any]:
        return [self.encode(SimpleNamespace(text=text)) for text in texts]

    def encode(self, given: Any) -> Any:
        words = [[float(w.count(chr(97 + i))) for i in range(26)] for w in given.text.lower().split()]
        if not words:
            raise InvalidCase("the text holds no word.")
        return SimpleNamespace(inputs={"inputs_embeds": torch.tensor([words])}, traced="inputs_embeds")


class FakeImages:
    def encode(self, given: Any) -> Any:
        return SimpleNamespace(inputs={"input": torch.tensor(given.pixels)[None, None]}, traced="input")

    def encode_images(self, path: Path, field: str) -> torch.Tensor:
        return torch.tensor(np.load(path)["pixels"])[:, None]


def test_a_text_of_another_kind_is_unusual(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    words = ["pain", "in", "the", "chest", "arm", "since", "a", "day", "mild", "severe", "patient", "has", "at", "rest"]
    texts = [" ".join(rng.choice(words, rng.integers(5, 12))) for _ in range(400)]
    (tmp_path / "reference.jsonl").write_text("".join(json.dumps({"text": t, "label": "x"}) + "\n" for t in texts))

    def ask(text: str) -> DeviationResult:
        return Deviation().run(context(tmp_path, {"kind": "text", "text": text}, "reference.jsonl"))

    assert ask("the patient has mild pain in the arm").state == "ok"
    strange = ask("zxqv jjkw zzxq vvqz kkwj qqzx")
    assert strange.state == "deviation"
    assert "input embeddings" in strange.representation
    assert feature(ask("pain " * 200), "number of words").kind == "above the known range"
    (tmp_path / "reference.jsonl").write_text('{"text": "a"}\n{"words": "b"}\n')
    with pytest.raises(InvalidCase, match=r"line 2 of reference\.jsonl"):
        ask("pain")
    (tmp_path / "reference.jsonl").write_text('{"text": "a"}\n{"text": " "}\n')
    with pytest.raises(InvalidCase, match="reference: text 2 of 2"):
        ask("pain")


def test_an_image_of_another_kind_is_unusual(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    shape = np.outer(np.sin(np.arange(8)), np.cos(np.arange(8)))
    pixels = np.clip(shape[None] * rng.normal(5, 1, (500, 1, 1)) + rng.normal(8, 0.5, (500, 8, 8)), 0, 16)
    np.savez(tmp_path / "reference.npz", pixels=pixels)

    def ask(image: Any) -> DeviationResult:
        given = {"kind": "image", "pixels": np.asarray(image).tolist()}
        return Deviation().run(context(tmp_path, given, "reference.npz"))

    assert ask(np.clip(shape * 5 + rng.normal(8, 0.5, (8, 8)), 0, 16)).state == "ok"
    # As bright and as rich in contrast as the others, but turned: only the pixels themselves can tell.
    turned = ask(np.clip(shape.T[::-1] * 5 + rng.normal(8, 0.5, (8, 8)), 0, 16))
    assert (turned.state, turned.outside) == ("deviation", 0)
    assert feature(ask(np.full((8, 8), 16.0)), "mean brightness").kind == "above the known range"
    assert [f.name for f in turned.features] == ["mean brightness", "contrast", "sharpness"]
    np.savez(tmp_path / "reference.npz", pixels=pixels[:0])
    with pytest.raises(InvalidCase, match="has no rows"):
        ask(shape)


def test_the_embedding_is_what_the_last_layer_reads(tmp_path: Path) -> None:
    """A network that tells pictures by their left half: another right half is as it was, another left one is not."""
    rng = np.random.default_rng(3)
    net = torch.nn.Sequential(
        torch.nn.Flatten(), torch.nn.Linear(64, 4, bias=False), torch.nn.ReLU(), torch.nn.Linear(4, 2)
    ).double()
    with torch.no_grad():
        for weights in net.parameters():
            weights.copy_(torch.from_numpy(rng.normal(size=tuple(weights.shape))))
        net[1].weight.view(4, 8, 8)[:, :, 4:] = 0
    pixels = rng.normal(8, 1, (600, 8, 8))
    np.savez(tmp_path / "reference.npz", pixels=pixels)

    class Network(FakeImages):
        module, device, dtype, kind = net, torch.device("cpu"), torch.float64, "image"
        lock = threading.RLock()

        def forward(self, inputs: dict[str, torch.Tensor]) -> torch.Tensor:
            return net(inputs["input"])  # type: ignore[no-any-return]

    def ask(image: Any) -> DeviationResult:
        given = {"kind": "image", "pixels": np.asarray(image).tolist()}
        return Deviation().run(replace(context(tmp_path, given, "reference.npz"), subject=Network()))  # type: ignore[arg-type]

    assert "last linear layer" in ask(pixels[0]).representation
    p = {}
    for side, place in (("left", slice(0, 4)), ("right", slice(4, 8))):
        image = pixels[0].copy()
        image[:, place] = image[:, place].mean() + np.sign(net[1].weight[0].view(8, 8).detach().numpy())[:, place] * 1.5
        p[side] = {score.name: score.p for score in ask(image).scores}["Mahalanobis distance of the embedding"]
    assert p["left"] < 0.02 < p["right"]


# The system card


def test_what_the_card_does_not_allow(tmp_path: Path, known: pd.DataFrame) -> None:
    cards: dict[str, Any] = {
        "income": {"label": "Income", "minimum": 0, "maximum": 30_000},
        "late": {"label": "Late", "kind": "integer"},
        "purpose": {"label": "Purpose", "kind": "categorical", "levels": {"car": "Car", "home": "Home"}},
        "owner": {"label": "Owner", "kind": "boolean", "levels": {"true": "yes", "false": "no"}},
    }
    usual = values(known, 0, income=22_000.0, late=0, purpose="car", owner=True)
    data = judge(tmp_path, known, usual, **cards)
    assert (data.breaches, data.lines[0].check, data.lines[0].state, data.lines[0].n) == (0, "contract", "ok", 4)
    for change, name, kind in (
        ({"income": 31_000.0}, "income", "above the stated range"),
        ({"late": 0.5}, "late", "not of the stated type"),
        ({"purpose": "study"}, "purpose", "level not stated"),
    ):
        given = {"kind": "tabular", "values": {**usual["values"], **change}}
        data = judge(tmp_path, known, given, **cards)
        assert (feature(data, name).breach, feature(data, name).kind) == (kind, kind)
        assert (data.state, data.breaches, data.outside, data.causes) == ("deviation", 1, 0, (name,))
    ctx = context(tmp_path, {"kind": "tabular", "values": {**usual["values"], "income": -5.0}}, None, **cards)
    alone = Deviation().run(ctx)
    assert (alone.state, alone.p, feature(alone, "income").kind) == ("deviation", None, "below the stated range")
    assert {line.state for line in alone.lines} == {"deviation", "not supplied"}
    assert Ledger(Deviation().claims(alone, ctx))["deviation.contract.count"].value == 1


def test_every_line_says_what_it_rests_on(tmp_path: Path, known: pd.DataFrame) -> None:
    data = judge(tmp_path, known, values(known, x0=99.0))
    lines = {line.check: line for line in data.lines}
    assert lines["contract"].state == "not supplied"
    assert lines["known range and levels"].state == "deviation"
    assert lines["whole row"].state == "deviation"
    assert lines["whole row"].value == data.p
    assert lines["largest tail of a feature"].threshold == pytest.approx(ALPHA / 3)
    sha = hashlib.sha256((tmp_path / "reference.csv").read_bytes()).hexdigest()
    assert all(s.sha256 == sha for line in data.lines for s in line.sources)
    assert [bool(line.sources) for line in data.lines] == [False] + [True] * (len(data.lines) - 1)
    assert all(line.why for line in data.lines if line.state in ("cannot tell", "not supplied"))
    few = {line.check: line.state for line in judge(tmp_path, known.head(60), values(known, 700)).lines}
    assert few["whole row"] == few["tails"] == few["largest tail of a feature"] == "cannot tell"


# What is kept


def test_the_profile_is_kept_and_says_the_same(tmp_path: Path, known: pd.DataFrame, monkeypatch: Any) -> None:
    known.to_csv(tmp_path / "reference.csv", index=False)
    ctx = replace(context(tmp_path, values(known, x0=9.0), "reference.csv"), cache=tmp_path / "kept")
    first = Deviation().run(ctx)
    (entry,) = (tmp_path / "kept").iterdir()
    with np.load(entry, allow_pickle=False) as arrays:
        assert json.loads(arrays["facts"].tobytes())["total"] == ROWS
    forget()
    with monkeypatch.context() as patch:
        patch.setattr("xagent.tools._population.read_table", lambda *_: pytest.fail("the reference was read again"))
        assert Deviation().run(ctx) == first
    forget()
    entry.write_bytes(entry.read_bytes()[:1000])
    assert Deviation().run(ctx) == first
    known.iloc[:-1].to_csv(tmp_path / "reference.csv", index=False)
    assert Deviation().run(ctx).reference_rows == ROWS - 1
    assert len(list((tmp_path / "kept").iterdir())) == 2


def test_a_large_reference_keeps_its_range(tmp_path: Path) -> None:
    """The sample that the scores are made on may lack the largest value; the range does not."""
    frame = pd.DataFrame({"x": np.append(np.random.default_rng(0).normal(size=60_000), 50.0)})
    data = judge(tmp_path, frame, {"kind": "tabular", "values": {"x": 49.0}})
    assert (data.reference_rows, feature(data, "x").maximum, feature(data, "x").kind) == (60_001, 50.0, "rare value")


# Texts without a model


@pytest.mark.parametrize(
    ("text", "spoken"),
    [
        ("The patient has had pain in the chest since last night.", "English"),
        ("Seit gestern Nacht habe ich Schmerzen in der Brust und mir ist schlecht.", "German"),
        ("Le patient a une douleur dans la poitrine depuis hier.", "French"),
        ("El paciente tiene un dolor en el pecho desde ayer.", "Spanish"),
        ("Il paziente ha un dolore al petto da ieri e non sta bene.", "Italian"),
        ("De patiënt heeft sinds gisteren pijn in de borst en is niet lekker.", "Dutch"),
        ("У пациента боль в груди", "Cyrillic script"),
        ("患者は昨夜から胸が痛い", "Japanese"),
        ("zxqv jjkw zzxq", None),
        ("12 34 !", None),
        ("", None),
    ],
)
def test_the_language_of_a_text(text: str, spoken: str | None) -> None:
    assert language(text) == spoken


def test_unknown_tokens_are_counted_where_there_are_any() -> None:
    class Words:
        unk_token_id: int | None = 0

        def __call__(self, text: str, add_special_tokens: bool) -> dict[str, list[int]]:
            return {"input_ids": [1 if w.isalpha() else 0 for w in text.split()]}

    tokenizer = Words()
    assert measures("two words 1 2", tokenizer)["share of unknown tokens"] == 0.5
    tokenizer.unk_token_id = None
    assert "share of unknown tokens" not in measures("two words", tokenizer)
    assert "tokens per word" not in measures("two words", None)
