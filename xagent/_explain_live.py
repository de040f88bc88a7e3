"""Explaining a prediction of a model that is already in memory: no case file, no model file."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xagent.agent import run
from xagent.bring import live_case, record_prediction
from xagent.case import OutputSpec, SystemCard
from xagent.errors import UsageFault
from xagent.personas import Persona, load_persona
from xagent.report import Report
from xagent.settings import Settings, load_settings
from xagent.subject import Subject

if TYPE_CHECKING:
    import torch


def explain_live(
    model: Any,
    x: Any,
    *,
    reference: Any = None,
    persona: str | Persona = "regulator",
    settings: Settings | None = None,
    target: str | None = None,
    threshold: float | None = None,
    classes: Sequence[str] | None = None,
    tokenizer: Any = None,
    encoder: Any = None,
    feature_names: Sequence[str] | None = None,
    groups: Mapping[str, Sequence[str]] | None = None,
    card: SystemCard | Mapping[str, Any] | None = None,
    name: str | None = None,
    case_id: str = "live",
    reference_name: str = "the reference rows",
    decided_at: datetime | None = None,
) -> Report:
    """The verified report on what `model` answers to `x`, for one reader.

    model: a `torch.nn.Module` in eval mode that takes (batch, d); a Hugging Face classifier, with `tokenizer`; or a
    fitted scikit-learn estimator. x: a row (dictionary, Series, one-row DataFrame or array), or a text. reference: the
    DataFrame of rows (or texts) it is compared with; without one, values are compared with nothing and drift and
    deviation are reported as not assessed. target: the class that is explained, by default the predicted one. classes:
    names of the outputs in their order; a module with one output and two classes gives a logit, one with one output
    and no classes is a regression. groups: columns that are one feature. card: what is known of the system.
    decided_at: the date that the report bears, by default now.

    Raises UsageFault or InvalidCase, naming the argument or column.
    """
    subject = _subject(model, x, reference, classes, tokenizer, encoder, feature_names, groups)
    settings = settings or load_settings()
    reader = persona if isinstance(persona, Persona) else load_persona(persona)
    when = decided_at or datetime.now(UTC).replace(microsecond=0)
    when = when if when.tzinfo else when.replace(tzinfo=UTC)
    blank: dict[str, Any] = {"score": 0.0, "decided_at": when.isoformat()}
    blank |= {"scale": "value"} if subject.output.kind == "value" else {"label": subject.classes[0]}
    with tempfile.TemporaryDirectory(prefix="xagent-") as folder:
        case, system = live_case(
            x,
            reference,
            blank,
            folder=Path(folder),
            output=subject.output,
            name=name or type(model).__name__,
            feature_names=feature_names,
            card=card,
            case_id=case_id,
            reference_name=reference_name,
        )
        recorded = record_prediction(subject, case.input, decided_at=when, target=target, threshold=threshold)
        return run(case.model_copy(update={"prediction": recorded}), system, subject, [reader], settings)[0]


def _subject(
    model: Any,
    x: Any,
    reference: Any,
    classes: Sequence[str] | None,
    tokenizer: Any,
    encoder: Any,
    feature_names: Sequence[str] | None,
    groups: Mapping[str, Sequence[str]] | None,
) -> Subject:
    from torch import nn

    if tokenizer is not None:
        output = OutputSpec(kind="logits", classes=tuple(classes)) if classes else None
        return Subject.from_transformer(model, tokenizer, output)
    if isinstance(model, nn.Module):
        takes = encoder if encoder is not None else _columns(x, reference, feature_names)
        return Subject.from_module(model, takes, _output(model, takes, classes), groups)
    if hasattr(model, "predict"):
        output = OutputSpec(kind="logits", classes=tuple(classes)) if classes else None
        columns = reference if hasattr(reference, "columns") else _columns(x, reference, feature_names)
        return Subject.from_estimator(model, columns, output, groups)
    raise UsageFault(
        f"model: {type(model).__name__} is neither a torch module nor an estimator with predict().",
        "Pass a torch.nn.Module, a Hugging Face model with tokenizer=, or a scikit-learn estimator.",
    )


def _columns(x: Any, reference: Any, names: Sequence[str] | None) -> list[str]:
    """Names of the columns that the model takes, from whoever knows them."""
    if names is not None:
        return [str(n) for n in names]
    for table in (x, reference):
        found = getattr(table, "columns", None)
        if found is None:
            found = table if isinstance(table, Mapping) else getattr(table, "index", None)
        if found is not None and not callable(found):
            return [str(n) for n in found]
    raise UsageFault("x: its columns have no names.", "Pass feature_names=, a dictionary, or a DataFrame.")


def _output(model: torch.nn.Module, takes: Any, classes: Sequence[str] | None) -> OutputSpec:
    """What a module's numbers mean, from how many there are and the classes that were named."""
    import torch

    if not isinstance(takes, list):
        if not classes:
            raise UsageFault("classes: the names of the outputs are needed with an encoder.", "Pass classes=[...].")
        return OutputSpec(kind="logits", classes=tuple(classes))
    like = next(model.parameters(), torch.zeros(1))
    try:
        with torch.no_grad():
            out = model(torch.zeros(1, len(takes), dtype=like.dtype, device=like.device))
    except (RuntimeError, TypeError, ValueError) as error:
        raise UsageFault(
            f"model: it does not take a tensor (1, {len(takes)}): {error}", "Name its columns with feature_names=."
        ) from error
    width = out.shape[-1] if getattr(out, "ndim", 0) == 2 else 1
    if width == 1:
        return OutputSpec(kind="logit", classes=tuple(classes)) if classes else OutputSpec(kind="value")
    named = tuple(classes or (f"class {i}" for i in range(width)))
    if len(named) != width:
        raise UsageFault(f"classes: {len(named)} names for {width} outputs.", "Name every output once.")
    return OutputSpec(kind="logits", classes=named)
