"""Trees: scores against the libraries, relevance against enumeration, shap and XGBoost, hostile files."""

from __future__ import annotations

import json
import math
import warnings
from itertools import combinations
from pathlib import Path
from typing import Any

import lightgbm
import numpy as np
import pandas as pd
import pytest
import xgboost
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from xagent.case import OutputSpec, TabularInput, load_case
from xagent.errors import InvalidCase
from xagent.subject import load_subject, read_classic
from xagent.subject._trees import Forest
from xagent.subject._trees_lightgbm import read_lightgbm
from xagent.subject._trees_subject import TreesSubject, tree_columns
from xagent.subject._trees_ubjson import read_ubjson
from xagent.subject._trees_xgboost import read_xgboost

with warnings.catch_warnings():  # its import uses what matplotlib is about to retire
    warnings.simplefilter("ignore")
    import shap

ROWS, NAMES = 300, ["age", "income", "rate", "purpose", "grade"]
SHAPE = {"tree_method": "hist", "nthread": 1, "seed": 3, "max_depth": 4, "max_cat_to_onehot": 1}
LEAVES = {"num_leaves": 12, "verbose": -1, "num_threads": 1, "min_data_in_leaf": 5, "min_data_per_group": 5,
          "cat_smooth": 1, "deterministic": True, "seed": 3}  # fmt: skip


def table() -> tuple[pd.DataFrame, np.ndarray]:
    """Numbers with gaps, two categorical columns (texts and whole numbers), and three classes that need all of them."""
    rng = np.random.default_rng(1)
    frame = pd.DataFrame(rng.normal(size=(ROWS, 3)), columns=NAMES[:3])
    frame["purpose"] = pd.Categorical(rng.choice(["car", "home", "other"], ROWS))
    frame["grade"] = pd.Categorical(rng.choice([10, 20, 30, 40], ROWS))
    score = frame["age"] + frame["income"] * (frame["purpose"] == "car") + (frame["grade"].astype(int) == 20)
    frame.loc[::7, "age"] = np.nan
    frame.loc[::5, "purpose"] = np.nan
    return frame, np.digitize(score, [-0.3, 0.8])


def codes(frame: pd.DataFrame) -> np.ndarray:
    plain = frame.copy()
    for name in ("purpose", "grade"):
        plain[name] = plain[name].cat.codes.astype(float).where(plain[name].notna())
    return plain.to_numpy(float)


def boosted(objective: str, suffix: str = "json", rounds: int = 15, **more: Any) -> tuple[bytes, np.ndarray, Any]:
    frame, y = table()
    label = y.astype(float) if objective.startswith("reg") else (y > 0 if objective.startswith("binary") else y)
    data = xgboost.DMatrix(frame, label=label, enable_categorical=True)
    classes = {"num_class": 3} if objective.startswith("multi") else {}
    booster = xgboost.train({**SHAPE, "objective": objective, **classes, **more}, data, rounds)
    return bytes(booster.save_raw(suffix)), booster.predict(data, output_margin=True), booster


def light(objective: str, rounds: int = 15, **more: Any) -> tuple[bytes, np.ndarray]:
    frame, y = table()
    label = y.astype(float) if objective == "regression" else (y > 0).astype(int) if objective == "binary" else y
    classes = {"num_class": 3} if objective == "multiclass" else {}
    booster = lightgbm.train(
        {**LEAVES, "objective": objective, **classes, **more}, lightgbm.Dataset(frame, label=label), rounds
    )
    return booster.model_to_string().encode(), booster.predict(frame, raw_score=True)


def subject_of(model: Any) -> TreesSubject:
    classes = {"logit": ("no", "yes"), "logits": ("a", "b", "c"), "value": ()}[model.scores]
    return TreesSubject(model, OutputSpec(kind=model.scores, classes=classes), tree_columns(model.names, model.levels))


@pytest.mark.parametrize("suffix", ["json", "ubj"])
@pytest.mark.parametrize("objective", ["binary:logistic", "multi:softprob", "reg:squarederror"])
def test_xgboost_scores_are_the_library_s(objective: str, suffix: str) -> None:
    content, margins, _ = boosted(objective, suffix)
    ours = read_xgboost(content).forest.margins(codes(table()[0]))
    # The library adds leaves in single precision.
    assert np.abs(ours - margins.reshape(ours.shape)).max() < 5e-6


def test_dart_and_parallel_trees_count_with_their_weights() -> None:
    for more in ({"booster": "dart", "rate_drop": 0.5}, {"num_parallel_tree": 3, "subsample": 0.5}):
        content, margins, booster = boosted("reg:squarederror", **more)
        del booster
        ours = read_xgboost(content).forest.margins(codes(table()[0]))
        assert np.abs(ours[:, 0] - margins).max() < 5e-6


@pytest.mark.parametrize("more", [{}, {"zero_as_missing": True}, {"use_missing": False}])
@pytest.mark.parametrize("objective", ["binary", "multiclass", "regression"])
def test_lightgbm_scores_are_the_library_s(objective: str, more: dict[str, Any]) -> None:
    content, scores = light(objective, **more)
    ours = read_lightgbm(content).forest.margins(codes(table()[0]))
    assert np.abs(ours - scores.reshape(ours.shape)).max() < 1e-12


def test_a_random_forest_of_lightgbm_is_a_mean() -> None:
    """The library's raw score is the sum of the trees, but what it predicts from is their mean."""
    content, scores = light("binary", boosting="rf", bagging_freq=1, bagging_fraction=0.6)
    ours = read_lightgbm(content).forest.margins(codes(table()[0]))[:, 0]
    assert np.abs(ours - scores / 15).max() < 1e-12


def enumerated(score: Any, players: int) -> np.ndarray:
    """(P, K) Shapley values from all coalitions; score: tuple of players -> (K,)."""
    worth = {kept: score(kept) for size in range(players + 1) for kept in combinations(range(players), size)}
    values = []
    for player in range(players):
        total = 0.0
        for kept, value in worth.items():
            if player not in kept:
                weight = math.factorial(len(kept)) * math.factorial(players - len(kept) - 1) / math.factorial(players)
                total = total + weight * (worth[tuple(sorted((*kept, player)))] - value)
        values.append(total)
    return np.array(values)


@pytest.mark.parametrize("maker", ["xgboost", "lightgbm"])
def test_relevance_is_the_enumerated_shapley_value(maker: str) -> None:
    """Every coalition scored by the forest itself against all rows; gaps and categories included."""
    content = boosted("multi:softprob")[0] if maker == "xgboost" else light("multiclass")[0]
    subject = subject_of(read_xgboost(content) if maker == "xgboost" else read_lightgbm(content))
    rows = codes(table()[0])[:60]
    import torch

    background = subject.background(torch.from_numpy(rows))
    values = {name: None if pd.isna(v) else v for name, v in table()[0].iloc[70].items()}
    encoded = subject.encode(TabularInput(kind="tabular", values=values))
    row = encoded.inputs["input"].numpy()[0]
    found = subject.exact_relevance(encoded, background)

    def score(kept: tuple[int, ...]) -> np.ndarray:
        mixed = rows.copy()
        mixed[:, list(kept)] = row[list(kept)]
        return subject.scores_of(mixed).mean(axis=0)

    assert np.abs(found.values.numpy() - enumerated(score, 5)).max() < 1e-12
    assert np.abs((found.values.sum(0) + found.base - found.scores).numpy()).max() < 1e-12
    assert found.rows == 60


def test_relevance_is_shap_s_and_adds_up_to_xgboost_s_margin() -> None:
    """shap's TreeExplainer takes no categories, so its twin has numbers alone; XGBoost itself compares with training
    covers unless it is given a reference, so only the sum of its contributions is comparable."""
    frame, y = table()
    plain = frame[NAMES[:3]].fillna(0.0)
    data = xgboost.DMatrix(plain, label=y)
    booster = xgboost.train({**SHAPE, "objective": "multi:softprob", "num_class": 3}, data, 20)
    subject = subject_of(read_xgboost(bytes(booster.save_raw("json"))))
    rows = subject.encode_table(plain.head(80))
    explainer = shap.TreeExplainer(booster, data=plain.head(80), feature_perturbation="interventional")
    theirs = explainer.shap_values(plain.iloc[100:104], check_additivity=False)
    added = booster.predict(xgboost.DMatrix(plain.iloc[100:104]), pred_contribs=True).sum(axis=2)
    for n in range(4):
        values = plain.iloc[100 + n].to_dict()
        found = subject.exact_relevance(subject.encode(TabularInput(kind="tabular", values=values)), rows)
        assert np.abs(found.values.numpy() - theirs[n]).max() < 1e-5  # shap reads single-precision leaves
        assert np.abs((found.values.sum(0) + found.base).numpy() - added[n]).max() < 5e-6


def test_one_hot_columns_go_together() -> None:
    """A feature that is several columns is one player: the game of its columns apart would hold rows that cannot be."""
    import torch

    from xagent.subject._encoder import TabularEncoder

    frame, y = table()
    levels = ["car", "home", "other"]
    wide = np.column_stack([frame["income"], *[(frame["purpose"] == level).astype(float) for level in levels]])
    booster = xgboost.train({**SHAPE, "objective": "binary:logistic"}, xgboost.DMatrix(wide, label=y > 0), 20)
    model = read_xgboost(bytes(booster.save_raw("ubj")))
    spec = {"schema": "xagent.encoder/1", "kind": "tabular", "features": [
        {"name": "income", "kind": "numeric"},
        {"name": "purpose", "kind": "onehot", "levels": levels, "unknown": "zeros"}]}  # fmt: skip
    subject = TreesSubject(
        model, OutputSpec(kind="logit", classes=("no", "yes")), (), encoder=TabularEncoder.model_validate(spec)
    )
    encoded = subject.encode(TabularInput(kind="tabular", values={"income": 0.4, "purpose": "home"}))
    rows = torch.from_numpy(wide[:50])
    found = subject.exact_relevance(encoded, rows).values.numpy()[:, 1]
    row = encoded.inputs["input"].numpy()[0]

    def score(kept: tuple[int, ...]) -> np.ndarray:
        columns = [c for player in kept for c in ((0,), (1, 2, 3))[player]]
        mixed = wide[:50].copy()
        mixed[:, columns] = row[columns]
        return subject.scores_of(mixed).mean(axis=0)

    assert np.abs(found - enumerated(score, 2)[:, 0]).max() < 1e-12


def test_a_game_that_disagrees_with_the_model_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    subject = subject_of(read_xgboost(boosted("reg:squarederror")[0]))
    encoded = subject.encode(TabularInput(kind="tabular", values=dict.fromkeys(NAMES)))
    rows = subject.encode_table(table()[0].head(20))
    real = Forest.margins
    monkeypatch.setattr(Forest, "margins", lambda self, x: real(self, x) + (x[:, [1]] > 0) * 1e-3)
    with pytest.raises(ArithmeticError, match="coalitions"):
        subject.exact_relevance(encoded, rows)


def test_unknown_levels_and_columns_are_named() -> None:
    subject = subject_of(read_xgboost(boosted("reg:squarederror")[0]))
    values = {"age": 1.0, "income": 2.0, "rate": None, "purpose": "boat", "grade": 20}
    with pytest.raises(InvalidCase, match=r"input\.values\.purpose: 'boat' is not a level"):
        subject.encode(TabularInput(kind="tabular", values=values))
    with pytest.raises(InvalidCase, match="the table has no column 'grade'"):
        subject.encode_table(table()[0][NAMES[:4]])


def xgboost_plain() -> Any:
    return json.loads(boosted("binary:logistic", rounds=2)[0])


def broken(change: Any) -> str:
    data = xgboost_plain()
    trees = data["learner"]["gradient_booster"]["model"]["trees"]
    change(data["learner"], trees[0])
    with pytest.raises(ValueError, match=r".") as caught:
        read_xgboost(json.dumps(data).encode())
    return str(caught.value)


def test_hostile_trees_are_refused_with_a_reason() -> None:
    huge = 10**30
    found = [
        broken(lambda m, t: t["left_children"].__setitem__(0, 0)),  # a cycle
        broken(lambda m, t: t["left_children"].__setitem__(0, t["right_children"][0])),  # one child twice
        broken(lambda m, t: t["left_children"].__setitem__(0, 10**6)),
        broken(lambda m, t: t["split_indices"].__setitem__(0, 99)),
        broken(lambda m, t: t["split_indices"].__setitem__(0, -5)),
        broken(lambda m, t: t["split_conditions"].__setitem__(0, "x")),
        broken(lambda m, t: t["split_conditions"].__setitem__(0, float("nan"))),
        broken(lambda m, t: t["split_conditions"].__setitem__(0, 1e400)),
        broken(lambda m, t: t["split_conditions"].__setitem__(-1, 1e35)),
        broken(lambda m, t: t["tree_param"].__setitem__("num_nodes", str(huge))),
        broken(lambda m, t: t["tree_param"].__setitem__("size_leaf_vector", "3")),
        broken(lambda m, t: t.__setitem__("left_children", [[1], 2])),
        broken(lambda m, t: t.pop("default_left")),
        broken(lambda m, t: m["learner_model_param"].__setitem__("num_feature", "7")),
        broken(lambda m, t: m["learner_model_param"].__setitem__("base_score", "[NaN]")),
        broken(lambda m, t: m["learner_model_param"].__setitem__("base_score", "[1.5]")),
        broken(lambda m, t: m["objective"].__setitem__("name", "count:poisson")),
        broken(lambda m, t: m["gradient_booster"].__setitem__("name", "gblinear")),
        broken(lambda m, t: m["gradient_booster"]["model"].__setitem__("tree_info", [0, 4])),
        broken(lambda m, t: m["gradient_booster"]["model"].__setitem__("trees", [])),
        broken(lambda m, t: m.__setitem__("attributes", {"best_iteration": "0"})),
    ]
    assert all(0 < len(said) < 300 for said in found)
    for content in (b"", b"{", b"[" * 100_000, b'{"a":' * 100_000, b"{" + b"L" * 50, b"\xff\xfe", b"null", b"{}"):
        with pytest.raises(ValueError, match=r"."):
            read_xgboost(content)
    # A chain of trees deeper than any real one is refused; a list that claims more than the file holds is not made.
    with pytest.raises(ValueError, match="beyond its end"):
        read_ubjson(b"{i\x01a[#L" + (2**40).to_bytes(8, "big"))
    with pytest.raises(ValueError, match="deeply"):
        read_ubjson(b"[" * 10_000)


def test_hostile_text_is_refused_with_a_reason() -> None:
    good = light("binary", rounds=2)[0].decode()
    cuts = [
        ("left_child=", "left_child=0 "),
        ("num_leaves=12", "num_leaves=99999999999"),
        ("num_leaves=12", "num_leaves=13"),
        ("split_feature=", "split_feature=77 "),
        ("leaf_value=", "leaf_value=nan "),
        ("objective=binary sigmoid:1", "objective=poisson"),
        ("objective=binary sigmoid:1", "objective=binary sigmoid:3"),
        ("is_linear=0", "is_linear=1"),
        ("max_feature_idx=4", "max_feature_idx=1000000000"),
        ("num_tree_per_iteration=1", "num_tree_per_iteration=3"),
        ("end of trees", "end"),
        ("pandas_categorical:[", "pandas_categorical:[["),
    ]
    for old, new in cuts:
        assert old in good
        with pytest.raises(ValueError, match=r".") as caught:
            read_lightgbm(good.replace(old, new, 1).encode())
        assert len(str(caught.value)) < 300


@pytest.fixture(scope="module")
def files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    del tmp_path_factory
    return {
        "json": boosted("multi:softprob", rounds=1)[0],
        "ubj": boosted("multi:softprob", "ubj", rounds=1)[0],
        "txt": light("multiclass", rounds=1)[0],
    }


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["json", "ubj", "txt"]), st.data())
def test_a_damaged_file_is_refused_or_still_a_forest(files: dict[str, bytes], kind: str, data: st.DataObject) -> None:
    """Bytes overwritten, cut or doubled anywhere: a ValueError, or finite scores; never another error, never a hang."""
    content = bytearray(files[kind])
    for _ in range(data.draw(st.integers(1, 3))):
        at = data.draw(st.integers(0, len(content) - 1))
        way = data.draw(st.sampled_from(["byte", "digit", "cut", "double"]))
        if way == "cut":
            del content[at : at + data.draw(st.integers(1, 40))]
        elif way == "double":
            content[at:at] = content[at : at + data.draw(st.integers(1, 40))]
        else:
            content[at] = data.draw(st.integers(48, 57) if way == "digit" else st.integers(0, 255))
        if not content:
            break
    try:
        model = (read_lightgbm if kind == "txt" else read_xgboost)(bytes(content))
    except ValueError:
        return
    rows = np.zeros((3, model.forest.trees.columns))
    rows[1] = np.nan
    assert np.isfinite(model.forest.margins(rows)).all()


def test_files_that_do_not_fit_the_case(tmp_path: Path) -> None:
    root = Path(__file__).parent.parent / "fixtures/wine"
    case = json.loads((root / "case.json").read_text(encoding="utf-8"))
    (tmp_path / "model.json").write_bytes((root / "model.json").read_bytes())
    for name in ("reference.csv", "window.csv", "system.json"):
        (tmp_path / name).write_bytes((root / name).read_bytes())

    def load(**model: Any) -> None:
        (tmp_path / "case.json").write_text(json.dumps({**case, "model": {**case["model"], **model}}), encoding="utf-8")
        load_subject(load_case(tmp_path / "case.json"), device="cpu")

    load()
    with pytest.raises(InvalidCase, match=r"model\.output\.classes names 4 classes"):
        load(output={"kind": "logits", "classes": [*case["model"]["output"]["classes"], "other"]})
    with pytest.raises(InvalidCase, match="is no lightgbm model"):
        load(format="lightgbm")
    with pytest.raises(InvalidCase, match="is no declared model"):
        load(format="declared")
    assert read_classic(tmp_path / "model.json")[0] == "xgboost"
