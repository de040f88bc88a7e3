"""Explaining a prediction of a model that is in memory: `xagent.explain(model=..., x=..., reference=...)`."""

from __future__ import annotations

import tempfile
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

from xagent.bring._live import live_case, with_answer
from xagent.bring._model import identity_pixels, output_spec
from xagent.bring._moment import moment_of
from xagent.bring._record import record_prediction
from xagent.case import Case, ImageInput, OutputSpec, RecordedPrediction, SystemCard, TabularInput, TextInput, validated
from xagent.errors import UsageFault

if TYPE_CHECKING:
    import torch

    from xagent.personas import Persona
    from xagent.report import Report
    from xagent.settings import Settings
    from xagent.subject import Subject


def explain_live(
    model: Any,
    x: Any,
    reference: Any = None,
    *,
    persona: str | Persona = "regulator",
    settings: Settings | None = None,
    tokenizer: Any = None,
    encoder: Any = None,
    feature_names: Sequence[str] | None = None,
    classes: Sequence[str] = (),
    output_kind: str | None = None,
    unit: str | None = None,
    target: str | None = None,
    threshold: float | None = None,
    card: SystemCard | Mapping[str, Any] | None = None,
    decided_at: datetime | None = None,
    name: str | None = None,
    version: str = "live",
    case_id: str = "live",
    subject: str = "this-input",
    reference_name: str = "the reference rows",
) -> Report:
    """The verified report on what a model in memory answers to one input.

    model: a torch module in eval mode that takes one tensor, a Hugging Face classifier (with `tokenizer` and a text as
    x), or a fitted scikit-learn estimator or pipeline. x, reference, feature_names, card: see `live_case`. encoder: a
    `TabularEncoder` or `ImageEncoder`, or its JSON; without one, raw numbers go into a module as they are, in the order
    of the reference's columns. classes, output_kind, unit: what the outputs mean, where the model does not say.
    target, threshold: see `record_prediction`. decided_at: by default now, to the second; give it when two reports on
    the same evidence are to be the same bytes.

    Raises UsageFault, InvalidCase.
    """
    from xagent.agent import run
    from xagent.personas import Persona, load_persona
    from xagent.settings import load_settings

    moment = moment_of(decided_at)
    common: dict[str, Any] = {
        "feature_names": feature_names,
        "card": card,
        "name": name or type(model).__name__,
        "version": version,
        "case_id": case_id,
        "subject": subject,
        "reference_name": reference_name,
    }
    with tempfile.TemporaryDirectory(prefix="xagent-") as folder:
        unknown = RecordedPrediction(score=0.0, scale="value", decided_at=moment)
        draft, _ = live_case(x, reference, unknown, folder=Path(folder), output={"kind": "value"}, **common)
        live = _subject(model, draft, reference, tokenizer, encoder, (classes, output_kind, unit))
        answer = record_prediction(live, draft.input, decided_at=moment, target=target, threshold=threshold)
        case, known = with_answer(draft, live.output, answer)
        settings = settings or load_settings()
        reader = persona if isinstance(persona, Persona) else load_persona(persona, folder=settings.personas)
        return run(case, known, live, [reader], settings)[0]


Said = tuple[Sequence[str], str | None, str | None]
"""What the caller says about the outputs: classes, kind, unit."""


def _subject(model: Any, case: Case, reference: Any, tokenizer: Any, encoder: Any, said: Said) -> Subject:
    """The subject of a model in memory. The kind of its output is found by running it once, where nobody says it."""
    import torch

    from xagent.subject import Subject

    value = case.input
    if not isinstance(model, torch.nn.Module):
        if not hasattr(model, "predict") or not isinstance(value, TabularInput):
            raise UsageFault(
                f"A {type(model).__name__} with {value.kind} input is no model that can be explained.",
                "Give a torch module, a transformer with its tokenizer, or a fitted scikit-learn estimator.",
            )
        columns = list(value.values)
        table = reference[columns] if hasattr(reference, "columns") else columns
        live: Subject = Subject.from_estimator(model, table)
        if said[0] or said[2]:
            said_output = {"kind": live.output.kind, "classes": tuple(said[0]) or live.classes, "unit": said[2]}
            output = validated(OutputSpec, said_output, "outputs")
            live = Subject.from_estimator(model, table, output)
        return live
    if isinstance(value, TextInput):
        if tokenizer is None:
            raise UsageFault("A text model needs its tokenizer.", "Pass tokenizer=.")
        spec = None
        if any(said):
            config: Any = model.config
            classes = said[0] or tuple(config.id2label[place] for place in sorted(config.id2label))
            spec = validated(OutputSpec, output_spec(len(classes), classes, said[1], said[2]), "outputs")
        return Subject.from_transformer(model, tokenizer, spec)
    assert isinstance(value, TabularInput | ImageInput)  # answers have a door of their own
    plan = _encoder(encoder, value)
    shape = (len(plan),) if isinstance(plan, list) else getattr(plan, "shape", None) or (plan.width,)
    spec = validated(OutputSpec, output_spec(_outputs(model, shape), *said), "outputs")
    return Subject.from_module(model, plan, spec)


def _encoder(encoder: Any, value: TabularInput | ImageInput) -> Any:
    """The encoder, made from its JSON where that is given; names of columns, or pixels as they are, where none is."""
    from pydantic import ValidationError

    from xagent.subject import ImageEncoder, TabularEncoder

    kind = TabularEncoder if isinstance(value, TabularInput) else ImageEncoder
    if encoder is None:
        if isinstance(value, TabularInput):
            return list(value.values)
        rows = value.pixels or []
        first = rows[0][0]
        channels = len(first) if isinstance(first, list) else 1
        encoder = identity_pixels(len(rows), len(rows[0]), channels)
    if isinstance(encoder, kind):
        return encoder
    try:
        return kind.model_validate(encoder)
    except ValidationError as error:
        first_error = error.errors(include_url=False, include_context=False)[0]
        field = ".".join(str(part) for part in first_error["loc"]) or "the top level"
        raise UsageFault(f"encoder: {field}: {first_error['msg']}.", f"Give a {kind.__name__} or its JSON.") from None


def _outputs(model: torch.nn.Module, shape: Sequence[int]) -> int:
    """How many numbers a module answers to one row of that shape, (d,) or (C, H, W)."""
    import torch

    parameter = next((p for p in model.parameters() if p.is_floating_point()), torch.zeros(0))
    if model.training:
        raise UsageFault("The model is in training mode.", "Call model.eval() before explaining it.")
    try:
        with torch.no_grad():
            raw = model(torch.zeros(1, *shape, dtype=parameter.dtype, device=parameter.device))
    except (RuntimeError, ValueError, TypeError, IndexError) as error:
        sizes = " x ".join(str(size) for size in shape)
        raise UsageFault(
            f"The model does not take one tensor of {sizes} numbers a row ({str(error).splitlines()[0][:200]}).",
            "Name its columns with feature_names, or pass encoder=.",
        ) from None
    raw = getattr(raw, "logits", raw)
    raw = raw["logits"] if isinstance(raw, Mapping) and "logits" in raw else raw
    raw = raw[0] if isinstance(raw, tuple) and raw else raw
    if not isinstance(raw, torch.Tensor) or raw.ndim not in (1, 2) or len(raw) != 1:
        raise UsageFault("The model does not answer with a tensor (batch, outputs).", "Wrap it in a module that does.")
    return int(raw.shape[1]) if raw.ndim == 2 else 1
