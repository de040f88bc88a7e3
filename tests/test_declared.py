"""Declared models: equal to what they were declared from, exact relevance, hostile files, and the two fixtures told."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from interpret.glassbox import ExplainableBoostingClassifier
from sklearn.compose import ColumnTransformer
from sklearn.datasets import load_wine
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, Ridge
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

import xagent
from xagent.case import OutputSpec, TabularInput
from xagent.errors import InvalidCase, UsageFault
from xagent.subject._declared import read_declared
from xagent.subject._declared_subject import DeclaredSubject
from xagent.trust import exact_shapley

ROOT = Path(__file__).parent.parent / "fixtures"
KINDS = {"identity": "value", "logit": "logit", "softmax": "logits"}


def subject_of(data: dict[str, Any]) -> DeclaredSubject:
    model = read_declared(json.dumps(data).encode())
    classes = {"identity": (), "logit": ("no", "yes")}.get(model.link, tuple(f"c{n}" for n in range(model.outputs)))
    return DeclaredSubject(model, OutputSpec(kind=KINDS[model.link], classes=classes))


def applicants() -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"income": rng.normal(50, 9, 300), "years": rng.normal(8, 3, 300)})
    frame["purpose"] = rng.choice(["car", "home", "other"], 300)
    y = (frame["income"] / 9 + frame["years"] / 3 + (frame["purpose"] == "car") > 8.4).to_numpy().astype(int)
    frame.loc[::9, "income"] = np.nan
    return frame, y


def test_declared_probabilities_are_scikit_learn_s() -> None:
    wine = load_wine(as_frame=True)
    frame, y = applicants()
    table = make_pipeline(
        ColumnTransformer(
            [
                ("numbers", make_pipeline(SimpleImputer(), StandardScaler()), ["income", "years"]),
                ("levels", OneHotEncoder(handle_unknown="ignore"), ["purpose"]),
            ]
        ),
        LogisticRegression(),
    )
    pairs = [
        (table, frame, y),
        (make_pipeline(StandardScaler(), LogisticRegression()), wine.data, wine.target),
        (make_pipeline(MinMaxScaler(), LogisticRegression()), wine.data, wine.target == 1),
    ]
    for estimator, x, label in pairs:
        estimator.fit(x, label)
        subject = subject_of(xagent.declare(estimator))
        rows = subject.encode_table(x)
        ours = subject.logits({"input": rows}).softmax(1).numpy()
        assert np.abs(ours - estimator.predict_proba(x)).max() < 1e-12
    strange = frame.iloc[[1]].assign(purpose="boat")
    subject = subject_of(xagent.declare(table))
    ours = subject.logits({"input": subject.encode_table(strange)}).softmax(1).numpy()
    assert np.abs(ours - table.predict_proba(strange)).max() < 1e-12


def test_declared_values_are_scikit_learn_s_and_others_are_refused(tmp_path: Path) -> None:
    frame, y = applicants()
    x = frame[["income", "years"]].fillna(0.0)
    for estimator in (LinearRegression(), Ridge(), make_pipeline(StandardScaler(), Ridge())):
        estimator.fit(x, y)
        subject = subject_of(xagent.declare(estimator, tmp_path / "model.json"))
        ours = subject.scores_of(subject.encode_table(x).numpy())[:, 0]
        assert np.abs(ours - estimator.predict(x)).max() < 1e-12
    with pytest.raises(UsageFault, match="is no model that can be declared"):
        xagent.declare(RandomForestClassifier(n_estimators=2).fit(x, y))
    with pytest.raises(UsageFault, match="does not know its columns"):
        xagent.declare(LinearRegression().fit(x.to_numpy(), y))


def boosting() -> Any:
    """What a fitted explainable boosting classifier of `interpret` offers: tables with a line for missing values first
    and for unknown levels last."""
    rng = np.random.default_rng(4)
    return SimpleNamespace(
        link_="logit",
        intercept_=np.array([-0.3]),
        feature_names_in_=["age", "purpose"],
        bins_=[[np.array([30.0, 50.0]), np.array([40.0])], [{"car": 1, "home": 2}]],
        term_features_=[(0,), (1,), (0, 1)],
        term_scores_=[rng.normal(size=5), rng.normal(size=4), rng.normal(size=(4, 4))],
    )


def test_boosting_terms_add_up() -> None:
    model = boosting()
    subject = subject_of(xagent.declare(model))
    one, two, both = model.term_scores_
    for age, a, pair in ((None, 0, 0), (29.9, 1, 1), (30.0, 2, 1), (45.0, 2, 2), (50.0, 3, 2)):
        for purpose, p in ((None, 0), ("car", 1), ("home", 2), ("boat", 3)):
            encoded = subject.encode(TabularInput(kind="tabular", values={"age": age, "purpose": purpose}))
            expected = -0.3 + one[a] + two[p] + both[pair, p]
            assert float(subject.logits(encoded.inputs)[0, 1]) == pytest.approx(expected, abs=1e-12)


def test_a_real_boosting_machine_answers_the_same() -> None:
    frame, y = applicants()
    model = ExplainableBoostingClassifier(interactions=2, outer_bags=2, max_rounds=40, n_jobs=1)
    with warnings.catch_warnings():  # it warns that its own pictures leave missing values out
        warnings.simplefilter("ignore", UserWarning)
        model.fit(frame, y)
    subject = subject_of(xagent.declare(model))
    ours = subject.scores_of(subject.encode_table(frame).numpy())[:, 0]
    assert np.abs(ours - model.decision_function(frame)).max() < 1e-12


def test_relevance_of_terms_and_pairs_is_the_enumerated_shapley_value() -> None:
    subject = subject_of(xagent.declare(boosting()))
    rng = np.random.default_rng(5)
    rows = torch.from_numpy(np.column_stack([rng.normal(45, 12, 40), rng.integers(0, 2, 40)]))
    encoded = subject.encode(TabularInput(kind="tabular", values={"age": 61.0, "purpose": "car"}))
    row = encoded.inputs["input"].numpy()[0]
    found = subject.exact_relevance(encoded, rows)

    def score(keep: torch.Tensor) -> torch.Tensor:
        mixed = np.where(keep.numpy()[:, None, :], row, rows.numpy()[None])
        return torch.from_numpy(subject.scores_of(mixed.reshape(-1, 2)).reshape(len(keep), -1).mean(axis=1))

    assert float((found.values[:, 1] - exact_shapley(score, 2)).abs().max()) < 1e-12
    none, first, second, both = score(
        torch.tensor([[False, False], [True, False], [False, True], [True, True]])
    ).tolist()
    assert found.pairs[0].features == ("age", "purpose")
    joint = both - first - second + none
    assert float(found.pairs[0].worth[1]) == pytest.approx(joint, abs=1e-12)


def test_a_linear_model_gets_weight_times_difference_from_the_mean() -> None:
    wine = load_wine(as_frame=True)
    fitted = LogisticRegression(max_iter=5000).fit(wine.data / 10, wine.target)
    subject = subject_of(xagent.declare(fitted))
    rows = subject.encode_table(wine.data / 10)
    encoded = subject.encode(TabularInput(kind="tabular", values=(wine.data.iloc[5] / 10).to_dict()))
    found = subject.exact_relevance(encoded, subject.background(rows))
    expected = fitted.coef_ * (wine.data.iloc[5] / 10 - (wine.data / 10).mean()).to_numpy()
    assert np.abs(found.values.T.numpy() - expected).max() < 1e-9
    assert found.method == "coefficients of a linear model"


def test_points_of_a_scorecard_are_on_the_scale_of_the_logit() -> None:
    table = pd.DataFrame(
        [("age", None, None, 10.0), ("age", 30.0, None, 25.0), ("age", 50.0, None, 40.0), ("age", None, "missing", 5.0),
         ("home", None, "own", 30.0), ("home", None, "rent", 0.0)],
        columns=["feature", "lower", "level", "points"],
    )  # fmt: skip
    subject = subject_of(xagent.declare(table, factor=20.0, offset=50.0))
    for age, home, points in ((29.0, "own", 40), (30.0, "rent", 25), (70.0, "own", 70), (None, "rent", 5)):
        encoded = subject.encode(TabularInput(kind="tabular", values={"age": age, "home": home}))
        assert float(subject.logits(encoded.inputs)[0, 1]) == pytest.approx((points - 50) / 20, abs=1e-12)
    with pytest.raises(InvalidCase, match=r"input\.values\.home: the value is missing"):
        subject.encode(TabularInput(kind="tabular", values={"age": 1.0, "home": None}))
    with pytest.raises(InvalidCase, match="'boat' is not a level"):
        subject.encode(TabularInput(kind="tabular", values={"age": 1.0, "home": "boat"}))


def small() -> dict[str, Any]:
    return {
        "schema": "xagent.model/1",
        "link": "softmax",
        "features": [{"name": "a", "kind": "numeric"}, {"name": "c", "kind": "categorical", "levels": ["x", "y"]}],
        "intercept": [0.1, 0.2],
        "terms": [
            {"kind": "linear", "feature": "a", "coefficient": [1.0, -1.0]},
            {"kind": "bins", "feature": "a", "edges": [0.0], "values": [[0, 1], [1, 0]], "closed": "right"},
            {"kind": "points", "feature": "a", "x": [0.0, 2.0], "values": [[0, 0], [2, 4]]},
            {"kind": "levels", "feature": "c", "values": [[0, 1], [2, 3]]},
            {"kind": "pair", "features": ["a", "c"], "axes": [[1.0], None],
             "values": [[[0, 0], [1, 1]], [[2, 2], [3, 3]]]},
        ],
    }  # fmt: skip


def test_terms_by_hand() -> None:
    subject = subject_of(small())
    rows = subject.encode_table(pd.DataFrame({"a": [0.0, 1.0], "c": ["x", "y"]}))
    assert subject.scores_of(rows.numpy()).tolist() == [
        pytest.approx([0.1 + 0 + 0 + 0 + 0 + 0, 0.2 + 0 + 1 + 0 + 1 + 0]),
        pytest.approx([0.1 + 1 + 1 + 1 + 2 + 3, 0.2 - 1 + 0 + 2 + 3 + 3]),
    ]


def broken(change: Any) -> str:
    data = small()
    change(data, data["terms"])
    with pytest.raises(ValueError, match=r".") as caught:
        read_declared(json.dumps(data).encode())
    return str(caught.value)


def test_hostile_files_are_refused_with_the_entry() -> None:
    found = [
        broken(lambda d, t: d.__setitem__("code", "x")),
        broken(lambda d, t: t[0].__setitem__("feature", "nobody")),
        broken(lambda d, t: t[0].__setitem__("coefficient", [1.0])),
        broken(lambda d, t: t[0].__setitem__("coefficient", [1.0, float("nan")])),
        broken(lambda d, t: t[0].__setitem__("scale", 0)),
        broken(lambda d, t: t[0].__setitem__("coefficient", [1e40, 0])),
        broken(lambda d, t: t[1].__setitem__("edges", [1.0, 0.0])),
        broken(lambda d, t: t[1].__setitem__("values", [[0, 1]])),
        broken(lambda d, t: t[2].__setitem__("x", [0.0, 0.0])),
        broken(lambda d, t: t[3].__setitem__("feature", "a")),
        broken(lambda d, t: t[3].__setitem__("values", [[0, 1]] * 3)),
        broken(lambda d, t: t[4].__setitem__("features", ["a", "a"])),
        broken(lambda d, t: t[4].__setitem__("axes", [None, None])),
        broken(lambda d, t: t[4].__setitem__("values", [[[0, 0]], [[0, 0]]])),
        broken(lambda d, t: d.__setitem__("intercept", 0.0)),
        broken(lambda d, t: d.__setitem__("link", "log")),
        broken(lambda d, t: d["features"].append({"name": "a", "kind": "numeric"})),
        broken(lambda d, t: d["features"][1].__setitem__("levels", ["x", "x"])),
    ]
    assert all(0 < len(said) < 300 for said in found)
    for content in (b"", b"[]", b"null", b"[" * 100_000, b'{"a":' * 100_000, b"\xff", b'{"schema": 1, "schema": 2}'):
        with pytest.raises(ValueError, match=r"."):
            read_declared(content)


@settings(max_examples=120, deadline=None)
@given(st.data())
def test_a_damaged_file_is_refused_or_still_a_sum_of_finite_terms(data: st.DataObject) -> None:
    content = bytearray(json.dumps(small()).encode())
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        content[at : at + data.draw(st.integers(0, 3))] = bytes(data.draw(st.lists(st.integers(32, 126), max_size=3)))
    try:
        model = read_declared(bytes(content))
    except ValueError:
        return
    classes = tuple(f"c{n}" for n in range(model.outputs))
    subject = DeclaredSubject(model, OutputSpec(kind="logits", classes=classes))
    assert np.isfinite(subject.scores_of(np.zeros((2, len(model.features))))).all()


@pytest.mark.parametrize(("folder", "level"), [("wine", "fair"), ("scorecard", "strong")])
def test_fixtures_are_told_to_every_reader_with_exact_relevance(folder: str, level: str) -> None:
    from xagent._explain import explain_all
    from xagent.personas import persona_names

    for report in explain_all(ROOT / folder / "case.json", persona_names()):
        found = {artifact["tool"]: artifact for artifact in report.data["artifacts"]}
        assert not [tool for tool, artifact in found.items() if artifact["status"] == "failed"]
        assert report.verification.total == report.verification.verified and not report.verification.problems
        if report.data["persona"]["name"] == "customer":
            assert found["relevance"]["withheld"] and not found["relevance"]["data"]
            continue
        relevance = found["relevance"]["data"]
        assert relevance["status"] == "exact" and relevance["complete"] and relevance["gap"] < 1e-12
        assert relevance["rows"]["used"] == relevance["rows"]["available"]
        assert found["reproduction"]["data"]["state"] == "ok"
        assert found["trust"]["data"]["level"] == level
