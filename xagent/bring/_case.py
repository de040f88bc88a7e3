"""Drafting the folder of a case: inferring what files can tell, running the model once, writing everything down."""

from __future__ import annotations

import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from xagent.bring._classic import classic_inputs, classic_model
from xagent.bring._input import image_inputs, read_input, tabular_inputs, text_inputs
from xagent.bring._model import copy_model, output_spec, program_shape, transformers_classes
from xagent.bring._moment import moment_of
from xagent.case import load_case, sha256_of
from xagent.errors import UsageFault
from xagent.evidence import slug

Json = dict[str, Any]
_TELEMETRY_SUFFIXES = (".json", ".jsonl")


@dataclass(frozen=True)
class Draft:
    """What the author said; None and empty mean: find out."""

    model: Path
    reference: Path
    row: int | None
    input: Path | None
    telemetry: Path | None
    window: Path | None
    encoder: Path | None
    features: tuple[str, ...]
    classes: tuple[str, ...]
    output_kind: str | None
    unit: str | None
    threshold: float | None
    target: str | None
    decided_at: datetime
    name: str
    version: str | None
    case_id: str | None
    subject: str | None
    reference_name: str


@dataclass
class Drafted:
    """Contents of the files to be written, and the sentences that say what was assumed."""

    case: Json
    card: Json
    encoder: Json | None = None
    notes: list[str] = field(default_factory=list)


def draft_case(draft: Draft, folder: Path) -> tuple[Draft, Drafted]:
    """Everything but the prediction, which needs the files in place. Copies the files that the case names."""
    found = _drafted(draft)
    model = copy_model(draft.model, folder)
    weights = folder / model / "model.safetensors" if (folder / model).is_dir() else folder / model
    digest = sha256_of(weights)
    found.case["model"] |= {"path": model, "sha256": digest, "name": draft.name}
    if draft.version is None:
        found.notes.append("The version of the model is not known; the start of its SHA-256 stands for it.")
    found.case["model"]["version"] = draft.version or f"sha256-{digest[:12]}"
    if found.encoder is not None:
        _write_json(folder / "encoder.json", found.encoder)
        found.case["model"]["encoder"] = "encoder.json"
    found.case["reference"] = {**_copied(draft.reference, folder, "reference"), "name": draft.reference_name}
    if draft.window is not None:
        found.case["window"] = {**_copied(draft.window, folder, "window"), "name": "recent inputs"}
    if draft.telemetry is not None:
        if draft.telemetry.suffix not in _TELEMETRY_SUFFIXES:
            raise UsageFault(f"--telemetry: {draft.telemetry.name} is no .json or .jsonl file.", "Export OTLP JSON.")
        found.case["telemetry"] = _copied(draft.telemetry, folder, "telemetry")
    return draft, found


def write_case(drafted: tuple[Draft, Drafted], folder: Path) -> list[Path]:
    """Run the model, then write case.json, system.json and notes.txt; every path in the folder, case.json first."""
    from xagent.bring._record import check_populations, record_prediction
    from xagent.subject import load_subject

    draft, found = drafted
    _write_json(folder / "system.json", found.card)
    _write_json(folder / "case.json", found.case | {"prediction": _unanswered(found.case, draft)})
    case = load_case(folder / "case.json")
    subject = load_subject(case, device="cpu")
    check_populations(case, subject)
    prediction = record_prediction(
        subject,
        case.input,
        decided_at=moment_of(draft.decided_at).astimezone(UTC),
        target=draft.target,
        threshold=draft.threshold,
    )
    found.case["prediction"] = prediction.model_dump(mode="json", exclude_none=True)
    _write_json(folder / "case.json", found.case)
    load_case(folder / "case.json")
    if draft.decided_at.tzinfo is None:
        found.notes.append("The time of the decision was given without a zone and is read as UTC.")
    if draft.threshold is None:
        found.notes.append("No threshold is known; --threshold gives the one that the decision used.")
    found.notes.append("The recorded prediction is what the model answered when this folder was written.")
    found.notes.append(
        "Everything that only a person can know is left out of system.json: xagent init --check lists it."
    )
    (folder / "notes.txt").write_text("\n".join(found.notes) + "\n", encoding="utf-8")
    first = [folder / "case.json", folder / "system.json", folder / "notes.txt"]
    return first + sorted(p for p in folder.iterdir() if p not in first)


def _drafted(draft: Draft) -> Drafted:
    notes: list[str] = []
    given = None if draft.input is None else read_input(draft.input)
    if given is None and draft.row is None:
        notes.append("No row was named; the first row of the reference is explained.")
    cards: Mapping[str, Json] = {}
    encoder: Json | None = None
    if draft.model.is_dir():
        named = transformers_classes(draft.model)
        if draft.classes and len(draft.classes) != len(named):
            raise UsageFault(f"--classes names {len(draft.classes)}, the model has {len(named)}.", "Name one for each.")
        classes = draft.classes or named
        output = output_spec(len(classes) or 1, classes, "logits" if classes else "value", draft.unit)
        format_, value = "transformers", text_inputs(draft, given)
    elif draft.model.suffix == ".pt2":
        shape = program_shape(draft.model)
        output = output_spec(shape.outputs, draft.classes, draft.output_kind, draft.unit)
        format_ = "torch-export"
        if draft.reference.suffix == ".npz":
            value, encoder = image_inputs(draft, given, shape, notes)
        else:
            value, encoder, cards = tabular_inputs(draft, given, shape, notes)
    elif (classic := classic_model(draft.model)) is not None:
        output = output_spec(classic.outputs, draft.classes, classic.kind, draft.unit)
        format_ = classic.format
        value, encoder, cards = classic_inputs(draft, given, classic, notes)
    else:
        raise UsageFault(
            f"MODEL: {draft.model.name} is neither a .pt2 program nor a folder of transformers, nor a model of "
            "XGBoost (.json, .ubj), LightGBM (.txt) or xagent.declare (.json).",
            "Export it with torch.export, or save it in its library's own format.",
        )
    if output.get("classes") and not draft.classes and format_ != "transformers":
        notes.append("The classes of the model have no names; --classes gives them.")
    row = "input" if given is not None else f"row-{draft.row or 0}"
    case: Json = {
        "schema": "xagent.case/1",
        "id": draft.case_id or f"{slug(draft.name)}-{row}",
        "subject": draft.subject or row,
        "system_card": "system.json",
        "model": {"format": format_, "output": output},
        "input": value,
    }
    outcomes = {name: {"label": name} for name in output.get("classes", ())}
    card: Json = {"schema": "xagent.system/1", "name": draft.name, "outcomes": outcomes, "features": dict(cards)}
    return Drafted(case, card, encoder, notes)


def _unanswered(case: Json, draft: Draft) -> Json:
    """A prediction that passes validation, so that the model can be loaded and asked for the real one."""
    moment = moment_of(draft.decided_at).astimezone(UTC).isoformat()
    classes = case["model"]["output"].get("classes")
    if not classes:
        return {"score": 0.0, "scale": "value", "decided_at": moment}
    return {"label": classes[0], "score": 0.0, "decided_at": moment}


def _copied(path: Path, folder: Path, role: str) -> Json:
    target = folder / f"{role}{path.suffix}"
    shutil.copyfile(path, target)
    return {"path": target.name, "sha256": sha256_of(target)}


def _write_json(path: Path, data: Mapping[str, Any]) -> None:
    path.write_text(json.dumps(data, indent=2, ensure_ascii=False, allow_nan=False) + "\n", encoding="utf-8")
