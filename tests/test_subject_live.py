"""Subjects of objects in memory answer exactly as the objects do, and leave them as they were."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.compose import ColumnTransformer
from sklearn.ensemble import RandomForestClassifier
from sklearn.impute import SimpleImputer
from sklearn.linear_model import LinearRegression, LogisticRegression, PoissonRegressor
from sklearn.pipeline import Pipeline, make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, PolynomialFeatures, RobustScaler, StandardScaler
from sklearn.svm import LinearSVC
from torch import nn

from xagent.case import OutputSpec, TabularInput
from xagent.errors import InvalidCase, UsageFault
from xagent.subject import Subject

NAMES = ["a", "b", "c"]
YES_NO = OutputSpec(kind="logits", classes=("no", "yes"))


def data() -> tuple[pd.DataFrame, np.ndarray]:
    draw = np.random.default_rng(0)
    frame = pd.DataFrame(draw.normal(5, 3, (80, 3)), columns=NAMES)
    return frame, (frame["a"] - 2 * frame["b"] + draw.normal(size=80) > -5).to_numpy().astype(int)


def row(frame: pd.DataFrame, place: int = 0) -> TabularInput:
    values = {str(k): v.item() if hasattr(v, "item") else v for k, v in frame.iloc[place].items()}
    return TabularInput(kind="tabular", values=values)


def test_module_by_column_names_and_groups() -> None:
    torch.manual_seed(0)
    module = nn.Sequential(nn.Linear(3, 4), nn.ReLU(), nn.Linear(4, 2)).eval()
    subject = Subject.from_module(module, NAMES, YES_NO, groups={"both": ["a", "c"]})
    encoded = subject.encode(TabularInput(kind="tabular", values={"a": 1, "b": 2, "c": 3}))
    assert [(p.feature, p.index) for p in encoded.players] == [("both", (0, 2)), ("b", (1,))]
    torch.testing.assert_close(subject.logits(encoded.inputs), module(torch.tensor([[1.0, 2, 3]])).detach())
    assert all(parameter.requires_grad for parameter in module.parameters())
    assert subject.hash_state == "cannot tell"


def test_module_that_cannot_be_explained() -> None:
    module = nn.Linear(3, 2)
    with pytest.raises(UsageFault, match="training mode"):
        Subject.from_module(module, NAMES, YES_NO)
    with pytest.raises(InvalidCase, match="fails on a plain input"):
        Subject.from_module(module.eval(), ["a", "b"], YES_NO)
    with pytest.raises(UsageFault, match="'z' in 'g'"):
        Subject.from_module(module, NAMES, YES_NO, groups={"g": ["z"]})
    with pytest.raises(UsageFault, match="same name"):
        Subject.from_module(module, ["a", "a", "b"], YES_NO)


LINEAR: dict[str, Any] = {
    "plain": LogisticRegression(),
    "scaled": make_pipeline(StandardScaler(), MinMaxScaler(), LogisticRegression()),
    "robust": make_pipeline(RobustScaler(), LogisticRegression()),
    "margin": make_pipeline(StandardScaler(), LinearSVC()),
}
OTHER: dict[str, Any] = {
    "forest": RandomForestClassifier(n_estimators=5, random_state=0),
    "squares": make_pipeline(PolynomialFeatures(2), StandardScaler(), LogisticRegression()),
}


@pytest.mark.parametrize("name", [*LINEAR, *OTHER])
def test_classifier_answers_as_itself(name: str) -> None:
    frame, labels = data()
    estimator = (LINEAR | OTHER)[name].fit(frame, labels)
    subject = Subject.from_estimator(estimator, output=YES_NO)
    logits = subject.logits({"input": subject.encode_table(frame)})
    if hasattr(estimator, "predict_proba"):
        chance = subject.score(logits, 1, "probability").numpy()
        np.testing.assert_allclose(chance, estimator.predict_proba(frame)[:, 1], atol=1e-9)
    else:
        np.testing.assert_allclose(subject.score(logits, 1, "logit").numpy(), estimator.decision_function(frame))
    assert subject.module is None
    assert (subject.linear_coefficients() is not None) == (name in LINEAR)


@pytest.mark.parametrize("name", LINEAR)
def test_linear_coefficients_are_exact(name: str) -> None:
    frame, labels = data()
    subject = Subject.from_estimator(LINEAR[name].fit(frame, labels))
    rows = subject.encode_table(frame)
    linear = subject.linear_coefficients()
    assert linear is not None
    torch.testing.assert_close(rows @ linear.coefficients.T + linear.intercept, subject.logits({"input": rows}))


def test_regressors_and_link_functions() -> None:
    frame, _ = data()
    target = 3 * frame["a"].to_numpy() + 1
    plain = Subject.from_estimator(make_pipeline(StandardScaler(), LinearRegression()).fit(frame, target))
    linear = plain.linear_coefficients()
    assert plain.output.kind == "value"
    assert linear is not None
    torch.testing.assert_close(linear.coefficients, torch.tensor([[3.0, 0, 0]]).double())
    counts = Subject.from_estimator(PoissonRegressor().fit(frame, np.abs(target)))
    assert counts.linear_coefficients() is None


def test_arrays_without_names_need_names() -> None:
    frame, labels = data()
    estimator = LogisticRegression().fit(frame.to_numpy(), labels)
    subject = Subject.from_estimator(estimator, NAMES)
    assert subject.encode(row(frame)).inputs["input"].tolist() == [frame.iloc[0].tolist()]
    assert subject.logits({"input": subject.encode_table(frame)}).shape == (80, 2)
    with pytest.raises(UsageFault, match="does not know its columns"):
        Subject.from_estimator(estimator)
    with pytest.raises(UsageFault, match="2 columns are named"):
        Subject.from_estimator(estimator, ["a", "b"])


def test_pipeline_with_texts_and_gaps() -> None:
    frame, labels = data()
    frame["town"] = np.where(frame["a"] > 5, "Ulm", "Bonn")
    frame.loc[3, "b"] = np.nan
    steps = ColumnTransformer([("n", SimpleImputer(), NAMES), ("t", OneHotEncoder(), ["town"])])
    estimator = Pipeline([("columns", steps), ("model", RandomForestClassifier(n_estimators=5, random_state=0))])
    estimator.fit(frame, labels)
    subject = Subject.from_estimator(estimator, frame)
    rows = subject.encode_table(frame)
    expected = estimator.predict_proba(frame)[:, 1]
    np.testing.assert_allclose(
        subject.score(subject.logits({"input": rows}), 1, "probability").numpy(), expected, atol=1e-9
    )
    gap = subject.encode(TabularInput(kind="tabular", values={"a": 1, "b": None, "c": 2, "town": "Ulm"}))
    assert gap.missing == ("b",)
    assert subject.logits(gap.inputs).isfinite().all()
    base = subject.background(rows)
    assert base[0, 0] == pytest.approx(frame["a"].mean())
    assert subject.levels["town"][int(base[0, 3])] == frame["town"].mode()[0]
    unknown = subject.encode(TabularInput(kind="tabular", values={"a": 1, "b": 2, "c": 2, "town": "Rome"}))
    with pytest.raises(InvalidCase, match="Rome"):
        subject.logits(unknown.inputs)
    for values, said in (({"a": 1}, "'b' is missing"), ({"a": 1, "z": 1}, "no column 'z'")):
        with pytest.raises(InvalidCase, match=said):
            subject.encode(TabularInput(kind="tabular", values=values))
    with pytest.raises(InvalidCase, match=r"input\.values\.a"):
        subject.encode(TabularInput(kind="tabular", values={"a": "x", "b": 2, "c": 2, "town": "Ulm"}))
