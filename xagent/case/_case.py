"""The case: one prediction, the model that made it, and where its evidence lies."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, PrivateAttr, StringConstraints, model_validator

from xagent.case._fields import (
    LARGEST,
    Frozen,
    Identifier,
    LongText,
    Moment,
    Number,
    RelativePath,
    Scalar,
    Sha256,
    ShortText,
)
from xagent.case._generation import GenerationInput
from xagent.case._serving import Happening, Serving

__all__ = ["LARGEST", "Case", "Frozen", "Moment", "Scalar", "ShortText"]


class OutputSpec(Frozen):
    """What the numbers that come out of the model mean.

    kind: `logits` (batch, classes) before a softmax; `logit` (batch, 1) or (batch,) before a sigmoid, the second of two
    classes; `value` (batch, 1) or (batch,), a regression in `unit`; `generation`, a language model's logits
    (batch, tokens, vocabulary), read at the tokens of the recorded answer.
    classes: names in the order of the outputs; for `logit` exactly two, the negative one first; else empty.
    """

    kind: Literal["logits", "logit", "value", "generation"]
    classes: tuple[ShortText, ...] = Field(default=(), max_length=10_000)
    unit: ShortText | None = None

    @model_validator(mode="after")
    def _classes_fit(self) -> OutputSpec:
        if self.kind == "value" and self.classes:
            raise ValueError("a regression (kind 'value') has no classes")
        if self.kind == "generation" and (self.classes or self.unit):
            raise ValueError("a language model (kind 'generation') has neither classes nor a unit")
        if self.kind == "logit" and len(self.classes) != 2:
            raise ValueError("kind 'logit' needs exactly two classes, the negative one first")
        if self.kind == "logits" and len(self.classes) < 2:
            raise ValueError("kind 'logits' needs at least two classes")
        if len(set(self.classes)) != len(self.classes):
            raise ValueError("class names must differ")
        return self


class ModelReference(Frozen):
    """Which model made the prediction, and the file that is loaded to explain it.

    format `live` is a model that exists only in memory (`xagent.explain(model=...)`): it has no path and cannot be
    loaded again.
    """

    format: Literal["torch-export", "transformers", "xgboost", "lightgbm", "declared", "live"]
    path: Annotated[str, StringConstraints(max_length=1000)] = ""
    sha256: Sha256 | None = None
    """Of the model file, or of `model.safetensors` in a transformers folder."""
    name: ShortText
    version: ShortText
    encoder: RelativePath | None = None
    """JSON file that turns raw values into tensors; needed for tabular and image input of a torch-export model. Trees
    take raw values under the names in their file when there is none; a declared model never has one."""
    output: OutputSpec

    @model_validator(mode="after")
    def _path_fits_format(self) -> ModelReference:
        if (self.format == "live") != (self.path == ""):
            raise ValueError("'path' is needed for a model on disk and must be left out for a live one")
        if self.format == "declared" and self.encoder is not None:
            raise ValueError("'encoder' must be left out: a declared model takes raw values")
        return self


class TabularInput(Frozen):
    """One row: raw values by feature name, as the decision system received them. None is a missing value."""

    kind: Literal["tabular"]
    values: dict[ShortText, Scalar] = Field(min_length=1, max_length=10_000)


class TextInput(Frozen):
    """One text to be classified, at most 200,000 characters."""

    kind: Literal["text"]
    text: LongText


class ImageInput(Frozen):
    """One image, either rows of grey values (height x width) or (height x width x channels), or a PNG file."""

    kind: Literal["image"]
    pixels: list[list[float]] | list[list[list[float]]] | None = None
    path: RelativePath | None = None

    @model_validator(mode="after")
    def _one_source(self) -> ImageInput:
        if (self.pixels is None) == (self.path is None):
            raise ValueError("give either 'pixels' or 'path'")
        return self


class RecordedPrediction(Frozen):
    """What the deployed system answered, as it was recorded at the time.

    score is on `scale`: `probability` in [0, 1] of `label`'s class, `logit` (its raw output), `value` (regression), or
    `log_probability` of a generated answer: the sum over its tokens of the natural logarithm of the probability that
    the model gave each of them, at most 0. A generation has no label and no target; its answer stands in the input.
    target names the class whose score is compared with `threshold` (default: `label`). For a classification the
    score is the target's. adverse says whether the outcome is unfavourable to the person.
    """

    label: ShortText | None = None
    score: Number
    scale: Literal["probability", "logit", "value", "log_probability"] = "probability"
    target: ShortText | None = None
    threshold: Number | None = None
    decision: ShortText | None = None
    adverse: bool | None = None
    decided_at: Moment
    tolerance: float = Field(default=1e-4, gt=0, le=1)
    """Largest absolute difference, in units of the score, at which the prediction counts as reproduced."""


class Population(Frozen):
    """The reference population: rows (CSV or Parquet), texts (JSONL with `text`) or images (npz with `pixels`)."""

    path: RelativePath
    name: ShortText
    """What the rows are, in words: it is printed wherever a value is compared with them."""
    sha256: Sha256 | None = None
    period: ShortText | None = None
    label: ShortText | None = None
    """Where the true outcomes stand: a column, a key of every line, or an array of the npz file. A class name, or a
    number for a regression; empty where nobody knows it. None: no outcomes are supplied."""
    used_in_training: bool | None = None
    """Whether the model was fitted on these rows, which makes it look better on them than on new ones."""


class Window(Frozen):
    """Recent inputs around the time of the decision, in the same layout as the reference population."""

    path: RelativePath
    name: ShortText = "recent inputs"
    sha256: Sha256 | None = None
    start: Moment | None = None
    end: Moment | None = None


class TelemetrySource(Frozen):
    """The trace of the process that served this prediction: OTLP JSON, or another format of docs/telemetry.md."""

    path: RelativePath
    sha256: Sha256 | None = None
    trace_id: Annotated[str, StringConstraints(pattern=r"^[ -~]{1,200}$")] | None = None
    """As the file names it: 32 hex digits in OpenTelemetry's formats, another text in others."""
    expected_steps: tuple[ShortText, ...] = Field(default=(), max_length=200)
    """Names of the steps that should have run, in order; empty when nobody knows them."""
    baseline: RelativePath | None = None
    """Traces of ordinary requests to the same service, in one file: what their steps are and how long they take."""
    baseline_sha256: Sha256 | None = None


class Case(Frozen):
    """One prediction to be explained (`schema` is `xagent.case/1`). Relative paths resolve against the case file."""

    schema_: Literal["xagent.case/1"] = Field(alias="schema")
    id: Identifier
    title: ShortText | None = None
    subject: ShortText
    """Pseudonym of the person or thing the prediction is about; never a name."""
    system_card: RelativePath | None = None
    model: ModelReference
    input: Annotated[TabularInput | TextInput | ImageInput | GenerationInput, Field(discriminator="kind")]
    prediction: RecordedPrediction
    reference: Population | None = None
    window: Window | None = None
    telemetry: TelemetrySource | None = None
    serving: Serving | None = None
    timeline: tuple[Happening, ...] = Field(default=(), max_length=200)
    """Releases, changes and incidents around the time of the decision."""

    _folder: Path = PrivateAttr(default=Path())
    _allow_outside: bool = PrivateAttr(default=False)

    @property
    def folder(self) -> Path:
        """The folder that relative paths resolve against."""
        return self._folder

    @property
    def allow_outside(self) -> bool:
        """Whether paths may leave the case's folder."""
        return self._allow_outside

    @property
    def decided_at(self) -> datetime:
        return self.prediction.decided_at

    @model_validator(mode="after")
    def _label_is_no_input(self) -> Case:
        label = self.reference.label if self.reference is not None else None
        if label is not None and isinstance(self.input, TabularInput) and label in self.input.values:
            raise ValueError(f"reference.label {label!r} is an input of the model, not its outcome")
        return self

    @model_validator(mode="after")
    def _prediction_fits_model(self) -> Case:
        output, prediction = self.model.output, self.prediction
        if "generation" in (output.kind, self.input.kind):
            self._answer_fits_model()
            return self
        if prediction.scale == "log_probability":
            raise ValueError("prediction.scale 'log_probability' belongs to a generated answer")
        for field in ("label", "target"):
            name = getattr(prediction, field)
            if name is not None and output.classes and name not in output.classes:
                raise ValueError(f"prediction.{field} {name!r} is not one of model.output.classes")
        if output.kind == "value":
            if prediction.scale != "value":
                raise ValueError("prediction.scale must be 'value' for a regression")
        elif prediction.label is None:
            raise ValueError("prediction.label is needed for a classification")
        elif prediction.scale == "value":
            raise ValueError("prediction.scale must be 'probability' or 'logit' for a classification")
        if prediction.scale == "probability":
            for field in ("score", "threshold"):
                number = getattr(prediction, field)
                if number is not None and not 0 <= number <= 1:
                    raise ValueError(f"prediction.{field} is a probability and must lie between 0 and 1")
        return self

    def _answer_fits_model(self) -> None:
        prediction = self.prediction
        if self.model.output.kind != self.input.kind:
            raise ValueError("model.output.kind and input.kind must both be 'generation'")
        if self.model.format == "torch-export":
            raise ValueError("model.format must be 'transformers' for a generated answer")
        if prediction.scale != "log_probability":
            raise ValueError("prediction.scale must be 'log_probability' for a generated answer")
        for field in ("label", "target"):
            if getattr(prediction, field) is not None:
                raise ValueError(f"prediction.{field} must be left out: the answer stands in input.answer")
        for field in ("score", "threshold"):
            number = getattr(prediction, field)
            if number is not None and number > 0:
                raise ValueError(f"prediction.{field} is a log-probability and must not be above 0")

    def public(self) -> dict[str, Any]:
        """The case as JSON-ready data, with `schema` under its published name and datetimes in ISO 8601."""
        return self.model_dump(mode="json", by_alias=True)
