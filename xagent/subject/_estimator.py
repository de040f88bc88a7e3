"""Subjects from fitted scikit-learn estimators: functions of rows without a network behind them.

scikit-learn is not imported: an estimator is what has `predict`, and a pipeline is what has `steps`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xagent.case import OutputSpec, TabularInput
from xagent.errors import InvalidCase, UsageFault
from xagent.subject._subject import Input, Subject
from xagent.subject._units import Encoded, Player

if TYPE_CHECKING:
    import pandas as pd

TINY = 1e-12
_NOT_IDENTITY = {"PoissonRegressor", "GammaRegressor", "TweedieRegressor"}


@dataclass(frozen=True)
class Linear:
    """logits = coefficients @ row + intercept, in raw units. coefficients: (K, d) float64; intercept: (K,) float64.

    For output kind `logit` the first of the two rows is zero, as in `Subject.forward`.
    """

    coefficients: Tensor
    intercept: Tensor


class EstimatorSubject(Subject):
    """Rows given to `predict_proba`, `decision_function` or `predict`. `module` is None: nothing can be traced.

    The traced tensor `input` (1, d) float64 holds raw numbers; of a column of texts it holds places in `levels`, and
    NaN where a value is missing, which the estimator itself has to deal with. Scores are the decision function when
    its softmax or sigmoid is the estimator's probability, else log-probabilities (clipped at 1e-12), so that
    `score(..., "probability")` always gives what `predict_proba` gives. A classifier without `predict_proba` has its
    decision function taken for a logit: its probabilities are then only a squashed margin.
    """

    kind = "tabular"

    def __init__(
        self,
        estimator: Any,
        columns: Sequence[str],
        output: OutputSpec,
        *,
        method: str,
        levels: Mapping[str, Sequence[Any]] | None = None,
        groups: Mapping[str, Sequence[str]] | None = None,
    ) -> None:
        super().__init__(None, output, device=torch.device("cpu"), dtype=torch.float64)
        self.estimator = estimator
        self.columns = list(columns)
        self.levels = {name: list(values) for name, values in (levels or {}).items()}
        self._method = method
        self._players = column_players(self.columns, groups)

    def encode(self, input: Input) -> Encoded:
        import pandas as pd

        if not isinstance(input, TabularInput):
            raise InvalidCase(f"input.kind: the model takes rows, not {input.kind}.", "Set it to 'tabular'.")
        if extra := sorted(set(input.values) - set(self.columns)):
            raise InvalidCase(f"input.values.{extra[0]}: the model has no column {extra[0]!r}.", "Remove it.")
        for name in self.columns:
            if name not in input.values:
                raise InvalidCase(f"input.values: the column {name!r} is missing.", "Add it; null says unknown.")
        row = self.encode_table(
            pd.DataFrame({n: [input.values[n]] for n in self.columns}, dtype=object), "input.values"
        )
        missing = tuple(name for name in self.columns if input.values[name] is None)
        return Encoded("tabular", {"input": row}, "input", self._players, missing)

    def encode_table(self, frame: pd.DataFrame, field: str = "reference") -> Tensor:
        columns = []
        for name in self.columns:
            if name not in frame.columns:
                raise InvalidCase(f"{field}: the table has no column {name!r}.", "Give every column of the model.")
            columns.append(self._places(frame[name], name) if name in self.levels else _numbers(frame[name], field))
        return torch.from_numpy(np.stack(columns, axis=1))

    def background(self, reference: Tensor | None = None, encoded: Encoded | None = None) -> Tensor:
        """Mean of each column of numbers, most frequent level of each column of texts; zeros without a reference."""
        if reference is None:
            return torch.zeros(1, len(self.columns), dtype=self.dtype)
        cells = []
        for place, name in enumerate(self.columns):
            column = reference[:, place]
            known = column[~column.isnan()]
            if not len(known):
                cells.append(column[0])
            else:
                cells.append(known.mode().values if name in self.levels else known.mean())
        return torch.stack(cells)[None].to(self.dtype)

    def linear_coefficients(self) -> Linear | None:
        """The estimator as one linear map of raw columns, when it is one: affine scalers before a linear model.

        Then (row - baseline) * coefficients is exact relevance. None for anything else; the claim is checked against
        the estimator's own answers.
        """
        steps = [step for _, step in getattr(self.estimator, "steps", [("", self.estimator)])]
        final = steps[-1]
        if self.levels or self._method == "predict_proba" or not _is_linear(final):
            return None
        scale, shift = np.ones(len(self.columns)), np.zeros(len(self.columns))
        for step in steps[:-1]:
            affine = _affine(step, len(self.columns))
            if affine is None:
                return None
            scale, shift = affine[0] * scale, affine[0] * shift + affine[1]
        weights = np.atleast_2d(np.asarray(final.coef_, dtype=np.float64))
        constant = np.broadcast_to(np.atleast_1d(np.asarray(final.intercept_, dtype=np.float64)), len(weights))
        coefficients, intercept = weights * scale, weights @ shift + constant
        if self.output.kind == "logit":
            coefficients, intercept = np.vstack([0 * coefficients, coefficients]), np.append(0.0, intercept)
        probe = torch.from_numpy(np.random.default_rng(0).normal(size=(8, len(self.columns))))
        answer = probe.numpy() @ coefficients.T + intercept
        if not np.allclose(answer, self.logits({"input": probe}).numpy(), rtol=1e-6, atol=1e-8):
            return None
        return Linear(torch.from_numpy(coefficients), torch.from_numpy(np.asarray(intercept)))

    def _call(self, inputs: dict[str, Tensor]) -> Any:
        rows = inputs["input"].detach().cpu().double().numpy()
        return torch.from_numpy(self._answer(self._frame(rows)))

    def _answer(self, table: Any) -> NDArray[np.float64]:
        try:
            with self.lock:
                raw = np.asarray(getattr(self.estimator, self._method)(table), dtype=np.float64)
        except ValueError as error:
            raise InvalidCase(f"The model refuses the row ({str(error)[:200]}).", "Correct that value.") from error
        return np.log(np.maximum(raw, TINY)) if self._method == "predict_proba" else raw

    def _frame(self, rows: NDArray[np.float64]) -> Any:
        """What the estimator was fitted on: a DataFrame when it knows column names, else an array."""
        import pandas as pd

        if not hasattr(self.estimator, "feature_names_in_") and not self.levels:
            return rows
        columns: dict[str, Any] = {}
        for place, name in enumerate(self.columns):
            column = rows[:, place]
            if name in self.levels:
                column = np.array([None if np.isnan(c) else self.levels[name][int(c)] for c in column], dtype=object)
            columns[name] = column
        return pd.DataFrame(columns)

    def _places(self, column: pd.Series[Any], name: str) -> NDArray[np.float64]:
        """Places of the levels; one never seen is added, and the estimator decides whether it accepts it."""
        places = []
        with self.lock:
            known = {value: place for place, value in enumerate(self.levels[name])}
            for value in column:
                if value is None or value != value:  # noqa: PLR0124 - NaN is the value that differs from itself
                    places.append(np.nan)
                    continue
                if value not in known:
                    known[value] = len(known)
                    self.levels[name].append(value)
                places.append(float(known[value]))
        return np.array(places, dtype=np.float64)


def estimator_subject(
    estimator: Any,
    columns: pd.DataFrame | Sequence[str] | None = None,
    output: OutputSpec | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
) -> EstimatorSubject:
    """See `Subject.from_estimator`."""
    names, levels, sample = _columns(estimator, columns)
    if not hasattr(estimator, "classes_"):
        spec = output or OutputSpec(kind="value")
        if not hasattr(estimator, "predict"):
            raise UsageFault("The estimator has no predict.", "Give a fitted scikit-learn estimator.")
        return EstimatorSubject(estimator, names, spec, method="predict", levels=levels, groups=groups)
    classes = tuple(str(name) for name in estimator.classes_)
    if output is not None and output.classes and len(output.classes) != len(classes):
        raise UsageFault(f"output.classes names {len(output.classes)} classes, the estimator has {len(classes)}.")
    classes = output.classes if output is not None and output.classes else classes
    method = _method(estimator, names, levels, sample)
    kind = "logit" if method == "decision_function" and len(classes) == 2 else "logits"
    spec = OutputSpec(kind=kind, classes=classes)
    return EstimatorSubject(estimator, names, spec, method=method, levels=levels, groups=groups)


def column_players(columns: Sequence[str], groups: Mapping[str, Sequence[str]] | None) -> tuple[Player, ...]:
    """One player a column, or a group of columns under the group's name, in the order of their first column."""
    if len(set(columns)) < len(columns):
        raise UsageFault("Two columns have the same name.", "Name each column once.")
    owner: dict[str, str] = {}
    for group, members in (groups or {}).items():
        for name in members:
            if name not in columns or name in owner:
                raise UsageFault(f"groups: {name!r} in {group!r} is no column, or is in two groups.", "Correct groups.")
            owner[name] = group
    places: dict[str, list[int]] = {}
    for place, name in enumerate(columns):
        places.setdefault(owner.get(name, name), []).append(place)
    return tuple(Player(feature, feature, tuple(index)) for feature, index in places.items())


def _columns(estimator: Any, columns: Any) -> tuple[list[str], dict[str, list[Any]], Any]:
    """Column names, levels of the columns that are no numbers, and some rows to try the estimator on."""
    known = getattr(estimator, "feature_names_in_", None)
    if columns is not None and hasattr(columns, "dtypes"):
        names = [str(name) for name in (known if known is not None else columns.columns)]
        levels = {
            n: sorted(columns[n].dropna().unique(), key=str) for n in names if columns[n].dtype.kind not in "biuf"
        }
        return names, levels, columns[names].head(50)
    names = [str(name) for name in (columns if columns is not None else known if known is not None else ())]
    if not names:
        raise UsageFault("The estimator does not know its columns.", "Give their names, or a DataFrame of rows.")
    count = getattr(estimator, "n_features_in_", len(names))
    if count != len(names):
        raise UsageFault(f"{len(names)} columns are named, the estimator was fitted on {count}.", "Name them all.")
    return names, {}, None


def _method(estimator: Any, names: list[str], levels: dict[str, list[Any]], sample: Any) -> str:
    """`decision_function` when it is the logit of the probability or there is no probability, else `predict_proba`."""
    if not hasattr(estimator, "predict_proba"):
        if not hasattr(estimator, "decision_function"):
            raise UsageFault("The classifier has neither predict_proba nor decision_function.", "Give one that has.")
        return "decision_function"
    if not hasattr(estimator, "decision_function"):
        return "predict_proba"
    probe = EstimatorSubject(estimator, names, OutputSpec(kind="value"), method="predict_proba", levels=levels)
    rows = np.random.default_rng(0).normal(size=(20, len(names)))
    if levels or sample is not None:
        rows = probe.encode_table(sample, "columns").numpy()
    table = probe._frame(rows)
    chance = torch.from_numpy(np.asarray(estimator.predict_proba(table), dtype=np.float64))
    scores = torch.from_numpy(np.asarray(estimator.decision_function(table), dtype=np.float64))
    if scores.ndim == 1:
        scores = torch.stack([torch.zeros_like(scores), scores], dim=1)
    same = scores.shape == chance.shape and torch.allclose(scores.softmax(dim=1), chance, rtol=1e-6, atol=1e-9)
    return "decision_function" if same else "predict_proba"


def _numbers(column: pd.Series[Any], field: str) -> NDArray[np.float64]:
    try:
        numbers = np.asarray(column.astype("float64"), dtype=np.float64)
    except (ValueError, TypeError) as error:
        raise InvalidCase(f"{field}.{column.name}: {str(error)[:100]}.", "Give a number.") from error
    if np.isinf(numbers).any():
        raise InvalidCase(f"{field}.{column.name}: a value is infinite.", "Give the real value.")
    return numbers


def _is_linear(final: Any) -> bool:
    home = type(final).__module__
    known = home.startswith("sklearn.linear_model") or type(final).__name__ in ("LinearSVC", "LinearSVR")
    return known and hasattr(final, "coef_") and type(final).__name__ not in _NOT_IDENTITY


def _affine(step: Any, width: int) -> tuple[NDArray[np.float64], NDArray[np.float64]] | None:
    """(scale, shift) of a preprocessing step that is scale * x + shift column by column; None for any other."""
    if step is None or step == "passthrough":
        return np.ones(width), np.zeros(width)
    name, one, zero = type(step).__name__, np.ones(width), np.zeros(width)
    if not type(step).__module__.startswith("sklearn.preprocessing"):
        return None
    if name in ("StandardScaler", "RobustScaler"):
        centre = step.mean_ if name == "StandardScaler" else step.center_
        used = step.with_mean if name == "StandardScaler" else step.with_centering
        scale = one / (step.scale_ if step.scale_ is not None else one)
        return scale, -(centre if used and centre is not None else zero) * scale
    if name == "MaxAbsScaler":
        return one / step.scale_, zero
    if name == "MinMaxScaler" and not step.clip:
        return step.scale_ * one, step.min_ * one
    return None
