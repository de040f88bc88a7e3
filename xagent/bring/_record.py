"""The prediction of a model, recorded as if the deployed system had written it down."""

from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING

from xagent.bring._input import read_texts
from xagent.case import (
    Case,
    GenerationInput,
    ImageInput,
    RecordedPrediction,
    TabularInput,
    TextInput,
    read_table,
    resolve_file,
    validated,
)
from xagent.errors import InvalidCase, UsageFault

if TYPE_CHECKING:
    from xagent.subject import Subject


def record_prediction(
    subject: Subject,
    input: TabularInput | TextInput | ImageInput | GenerationInput,
    *,
    decided_at: datetime,
    target: str | None = None,
    threshold: float | None = None,
) -> RecordedPrediction:
    """Run the model on one input and write down what it answers.

    The score is the probability of `target` (by default of the predicted class), the value of a regression, or the
    log-probability of an answer.
    Raises InvalidCase when the input does not fit, the answer is not finite, or the outputs are already probabilities
    (a softmax of a softmax would be recorded); UsageFault when `target` is no class.
    """
    encoded = subject.encode(input)
    logits = subject.logits(encoded.inputs)
    if not bool(logits.isfinite().all()):
        raise InvalidCase(
            "The model's answer to this input is not a finite number.", "Check the input and the encoder."
        )
    if subject.output.kind == "generation":
        likely = min(0.0, float(subject.score(logits, None, "log_probability")[0]))
        written = {"score": likely, "scale": "log_probability", "tolerance": min(1.0, max(1e-4, -likely * 1e-5))}
        return validated(RecordedPrediction, {**written, "decided_at": decided_at}, "prediction")
    if subject.output.kind == "value":
        score = float(logits[0, 0])
        # a regression reproduces to a few float32 steps of its own size
        tolerance = min(1.0, max(1e-4, abs(score) * 1e-5))
        answer = {"score": score, "scale": "value", "threshold": threshold, "tolerance": tolerance}
        return validated(RecordedPrediction, {**answer, "decided_at": decided_at}, "prediction")
    if subject.output.kind == "logits" and bool((logits >= 0).all()) and abs(float(logits[0].sum()) - 1) < 1e-5:
        raise InvalidCase(
            "The model's outputs are already probabilities.", "Export the model without its final softmax."
        )
    if target is not None and target not in subject.classes:
        raise UsageFault(
            f"--target {target!r} is no class of this model.", f"Choose from: {', '.join(subject.classes)}."
        )
    label = subject.classes[int(logits[0].argmax())]
    score = float(subject.score(logits, subject.target_index(target or label), "probability").flatten()[0])
    answer = {"label": label, "score": min(1.0, max(0.0, score)), "target": target or label, "threshold": threshold}
    return validated(RecordedPrediction, {**answer, "decided_at": decided_at}, "prediction")


def check_populations(case: Case, subject: Subject) -> None:
    """Encode the reference and the window once, so that a row that does not fit is named now and not in a report.

    Raises InvalidCase, naming the population and the column or line.
    """
    for role, population in (("reference", case.reference), ("window", case.window)):
        if population is None:
            continue
        path = resolve_file(case, population.path, f"{role}.path")
        if case.input.kind == "tabular":
            subject.encode_table(read_table(path, role), role)
        elif case.input.kind == "image":
            subject.encode_images(path, role)
        else:
            read_texts(path, role)
