"""From a fitted estimator, an explainable boosting machine or a table of points to a declared model (`xagent.model/1`).

Nothing of the estimator but its numbers goes into the file, and the file is held against the estimator's own answers.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from xagent.bring._declare_tables import declare_boosting, declare_points, plain
from xagent.errors import UsageFault

if TYPE_CHECKING:
    import pandas as pd

_VALUES = {
    *("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "HuberRegressor"),
    *("QuantileRegressor", "BayesianRidge", "ARDRegression", "TheilSenRegressor"),
}
_CLASSES = {"LogisticRegression", "LogisticRegressionCV"}
_PROBES = 32


def declare(
    model: Any,
    path: str | Path | None = None,
    *,
    columns: Sequence[str] | None = None,
    factor: float = 1.0,
    offset: float = 0.0,
) -> dict[str, Any]:
    """The declared model of an estimator as JSON-ready data; written to `path` where one is given.

    model: a fitted scikit-learn linear or logistic regression, a pipeline that ends in one (scalers, imputers, one-hot
    encoders and column transformers before it), an explainable boosting machine of `interpret`, or a scorecard: a
    DataFrame with `feature`, `points` and `lower` (lower edge of the range, empty for the lowest) or `level`.
    columns: names of the features, where the model was fitted without names. factor, offset: of a scorecard, whose
    points are offset + factor * logit. Raises UsageFault for what is no sum of terms, or answers otherwise than its
    file.
    """
    if hasattr(model, "term_scores_") and hasattr(model, "bins_"):
        data = declare_boosting(model)
    elif hasattr(model, "columns") and hasattr(model, "iterrows"):
        data = declare_points(model, factor, offset)
    else:
        data = _declared_linear(model, columns)
    _checked(data)
    if path is not None:
        Path(path).write_text(json.dumps(data, indent=1, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
    return data


def _checked(data: dict[str, Any]) -> Any:
    from xagent.subject._declared import read_declared

    try:
        return read_declared(json.dumps(data, allow_nan=False).encode())
    except ValueError as error:
        raise UsageFault(f"The model cannot be declared: {error}.", "Check its numbers.") from None


@dataclass(frozen=True)
class _Column:
    """What one column of numbers is of a raw feature: (x - mean) / scale, or 1 where the feature has the level.

    fill: raw value that an imputer puts in the place of a missing one. open: an unknown level counts as none.
    """

    feature: str
    mean: float = 0.0
    scale: float = 1.0
    level: Any = None
    levels: tuple[Any, ...] | None = None
    fill: Any = None
    open: bool = False


def _declared_linear(estimator: Any, columns: Sequence[str] | None) -> dict[str, Any]:
    steps = [step for _, step in getattr(estimator, "steps", [("", estimator)])]
    final, name = steps[-1], type(steps[-1]).__name__
    if not type(final).__module__.startswith("sklearn.linear_model") or name not in _VALUES | _CLASSES:
        known = ", ".join(sorted(_VALUES | _CLASSES))
        raise UsageFault(
            f"A {name} is no model that can be declared.", f"These can: {known}, pipelines that end in one."
        )
    if not hasattr(final, "coef_"):
        raise UsageFault(f"The {name} is not fitted.", "Fit it first.")
    first = steps[0]
    names = getattr(estimator, "feature_names_in_", getattr(first, "feature_names_in_", columns))
    if names is None:
        raise UsageFault("The estimator does not know its columns.", "Name them with columns=[...].")
    names = [str(n) for n in names]
    made = [_Column(n) for n in names]
    for step in steps[:-1]:
        made = _after(step, made)
    weights = np.atleast_2d(np.asarray(final.coef_, dtype=np.float64))
    constant = np.broadcast_to(np.atleast_1d(np.asarray(final.intercept_, dtype=np.float64)), len(weights))
    if weights.shape[1] != len(made):
        raise UsageFault(
            f"The {name} takes {weights.shape[1]} columns, {len(made)} arrive.", "Give the whole pipeline."
        )
    link = "identity" if name in _VALUES else "logit" if len(weights) == 1 else "softmax"
    features, terms = _terms(names, made, weights)
    data = {
        "schema": "xagent.model/1",
        "link": link,
        "features": features,
        "intercept": plain(constant),
        "terms": terms,
    }
    _compare(estimator, data, names)
    return data


def _terms(names: list[str], made: list[_Column], weights: Any) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    """Features in the order of the input and one term for each column of numbers or each one-hot feature."""
    features: list[dict[str, Any]] = []
    terms: list[dict[str, Any]] = []
    for name in names:
        own = [(column, weights[:, place]) for place, column in enumerate(made) if column.feature == name]
        leveled = [pair for pair in own if pair[0].levels is not None]
        if not leveled:
            features.append({"name": name, "kind": "numeric"})
            for column, weight in own:
                term = {"kind": "linear", "feature": name, "coefficient": plain(weight)}
                term |= {"mean": column.mean, "scale": column.scale}
                if column.fill is not None:
                    term["missing"] = plain(weight * ((float(column.fill) - column.mean) / column.scale))
                terms.append(term)
            if not own:
                terms.append({"kind": "linear", "feature": name, "coefficient": plain(0 * weights[:, 0]),
                              "missing": plain(0 * weights[:, 0])})  # fmt: skip
            continue
        if len(leveled) != len(own):
            raise UsageFault(f"The column {name!r} goes in both as a number and as levels.", "Use it in one way.")
        levels = leveled[0][0].levels
        assert levels is not None
        worth = {str(level): 0 * weights[:, 0] for level in levels}
        for column, weight in leveled:
            # An encoder in front of a scaler gives (1 - mean) / scale for the level and -mean / scale for all others.
            for level, sum_ in worth.items():
                worth[level] = sum_ + weight * (((level == str(column.level)) - column.mean) / column.scale)
        none = sum((weight * (-column.mean / column.scale) for column, weight in leveled), 0 * weights[:, 0])
        features.append({"name": name, "kind": "categorical", "levels": [_level(level) for level in levels]})
        term = {"kind": "levels", "feature": name, "values": [plain(worth[str(level)]) for level in levels]}
        if leveled[0][0].open:
            term["unknown"] = plain(none)
        fill = leveled[0][0].fill
        if fill is not None:
            term["missing"] = plain(worth.get(str(fill), none))
        terms.append(term)
    return features, terms


def _after(step: Any, made: list[_Column]) -> list[_Column]:
    """The columns after a step of preprocessing. Raises UsageFault for a step that is none of ours."""
    if step is None or step == "passthrough":
        return made
    name, home = type(step).__name__, type(step).__module__
    if hasattr(step, "steps"):
        for _, inner in step.steps:
            made = _after(inner, made)
        return made
    if home.startswith("sklearn.compose") and name == "ColumnTransformer":
        result: list[_Column] = []
        for _, inner, chosen in step.transformers_:
            picked = _picked(step, made, chosen)
            if not (isinstance(inner, str) and inner == "drop") and picked:
                result += _after(inner, picked)
        return result
    if home.startswith("sklearn.impute") and name == "SimpleImputer" and not step.add_indicator:
        if len(step.statistics_) != len(made) or any(column.level is not None for column in made):
            raise UsageFault("An imputer drops columns or stands behind an encoder.", "Put it first.")
        return [
            replace(column, fill=fill if isinstance(fill, str) else float(fill) * column.scale + column.mean)
            if column.fill is None
            else column
            for column, fill in zip(made, step.statistics_.tolist(), strict=True)
        ]
    if home.startswith("sklearn.preprocessing") and name == "OneHotEncoder":
        return _one_hot(step, made)
    from xagent.subject._estimator import _affine

    affine = _affine(step, len(made))
    if affine is None or (affine[0] == 0).any():
        raise UsageFault(f"The step {name} cannot be declared.", "Use scalers, SimpleImputer and OneHotEncoder.")
    if name == "StandardScaler":  # its own mean and scale, so that numbers come out as scikit-learn computes them
        mean = step.mean_ if step.with_mean else np.zeros(len(made))
        scale = step.scale_ if step.scale_ is not None else np.ones(len(made))
    else:
        mean, scale = -affine[1] / affine[0], 1 / affine[0]
    return [
        replace(c, mean=float(c.mean + m * c.scale), scale=float(c.scale * s))
        for c, m, s in zip(made, mean, scale, strict=True)
    ]


def _one_hot(step: Any, made: list[_Column]) -> list[_Column]:
    result = []
    if getattr(step, "infrequent_categories_", None) is not None and any(
        group is not None for group in step.infrequent_categories_
    ):
        raise UsageFault("An encoder gathers infrequent levels.", "Fit it without min_frequency and max_categories.")
    for place, (column, levels) in enumerate(zip(made, step.categories_, strict=True)):
        if column.scale != 1.0 or column.mean != 0.0:
            raise UsageFault(f"The column {column.feature!r} is scaled before it is encoded.", "Encode raw levels.")
        known = [level for level in levels.tolist() if level is not None and level == level]  # noqa: PLR0124 - NaN
        if len(known) < len(levels):
            raise UsageFault(f"A level of {column.feature!r} is a missing value.", "Impute it before the encoder.")
        dropped = None if step.drop_idx_ is None else step.drop_idx_[place]
        open_ = step.handle_unknown != "error"
        result += [
            replace(column, level=level, levels=tuple(known), open=open_)
            for number, level in enumerate(known)
            if number != dropped
        ]
    return result


def _picked(step: Any, made: list[_Column], chosen: Any) -> list[_Column]:
    if isinstance(chosen, slice):
        return made[chosen]
    chosen = [chosen] if isinstance(chosen, str | int) else list(chosen)
    if chosen and all(isinstance(c, bool | np.bool_) for c in chosen):
        return [column for column, wanted in zip(made, chosen, strict=True) if wanted]
    names = [str(n) for n in getattr(step, "feature_names_in_", [c.feature for c in made])]
    return [made[names.index(c) if isinstance(c, str) else int(c)] for c in chosen]


def _level(level: Any) -> Any:
    if isinstance(level, float) and level.is_integer():
        return int(level)
    return level if isinstance(level, bool | int | str) else str(level)


def _compare(estimator: Any, data: dict[str, Any], names: list[str]) -> None:
    """Random rows through the estimator and through the file. Raises UsageFault when they differ."""
    import pandas as pd

    from xagent.case import OutputSpec
    from xagent.subject._declared_subject import DeclaredSubject

    rng, table = np.random.default_rng(0), {}
    for feature in data["features"]:
        own = [t for t in data["terms"] if t["feature"] == feature["name"]]
        if feature["kind"] == "categorical":
            table[feature["name"]] = [feature["levels"][i] for i in rng.integers(0, len(feature["levels"]), _PROBES)]
        else:
            mean, scale = own[0].get("mean", 0.0), own[0].get("scale", 1.0)
            table[feature["name"]] = (mean + scale * rng.normal(size=_PROBES)).tolist()
    frame: pd.DataFrame = pd.DataFrame(table)[names]
    named = hasattr(estimator, "feature_names_in_") or hasattr(getattr(estimator, "steps", [("", None)])[0][1],
                                                               "feature_names_in_")  # fmt: skip
    rows: Any = frame if named else frame.to_numpy()
    model = _checked(data)
    subject = DeclaredSubject(model, OutputSpec(kind="value"))
    ours = subject.scores_of(subject.encode_table(frame).numpy())
    theirs = np.asarray(
        estimator.predict(rows) if data["link"] == "identity" else estimator.predict_proba(rows), dtype=np.float64
    )
    if data["link"] != "identity":
        logits = np.concatenate([0 * ours, ours], axis=1) if data["link"] == "logit" else ours
        ours = np.exp(logits - logits.max(axis=1, keepdims=True))
        ours /= ours.sum(axis=1, keepdims=True)
    if not np.allclose(ours.reshape(theirs.shape), theirs, rtol=1e-9, atol=1e-9):
        raise UsageFault("The declared model answers otherwise than the estimator.", "Declare its parts by hand.")
