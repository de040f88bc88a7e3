"""From a model file and a reference table to a folder that explains at once, and what is still missing in it."""

from __future__ import annotations

import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from xagent.bring._case import Draft, draft_case, write_case
from xagent.bring._moment import moment_of
from xagent.case import load_card, load_case
from xagent.errors import UsageFault
from xagent.law import Checklist, load_checklist


@dataclass(frozen=True)
class Gap:
    """Something a reader is owed and only a person can say.

    path: where it belongs, `system.json: provider.name`. asked_for: what it is. fields: ids of the checklist that ask
    for it. articles: the citations of those fields. needed: whether a field stays "not provided" without it.
    """

    path: str
    asked_for: str
    fields: tuple[str, ...]
    articles: tuple[str, ...]
    needed: bool


def init_case(
    model: Path,
    reference: Path,
    *,
    out: Path,
    row: int | None = None,
    input: Path | None = None,
    telemetry: Path | None = None,
    window: Path | None = None,
    encoder: Path | None = None,
    features: Sequence[str] = (),
    classes: Sequence[str] = (),
    output_kind: str | None = None,
    unit: str | None = None,
    threshold: float | None = None,
    target: str | None = None,
    decided_at: datetime | None = None,
    name: str | None = None,
    version: str | None = None,
    case_id: str | None = None,
    subject: str | None = None,
    reference_name: str = "the reference rows",
) -> list[Path]:
    """Write a folder with `case.json`, `system.json`, `notes.txt` and copies of every file they name.

    model: a `.pt2` program or a folder of transformers. reference: CSV or Parquet (rows), npz with `pixels` (images)
    or JSONL with `text` (texts). The explained input is `row` of the reference (counted from 0; the first when nothing
    is said) or the file `input`: JSON, a CSV of one row, or a text. encoder: by default `encoder.json` beside the
    model; without one, numbers go into the model as they are. features: which columns go in, and in which order.
    output_kind: `logits`, `logit` or `value`, see `OutputSpec`; needed for a model of one output without class names.
    decided_at: when the prediction was made, by default now, to the second; without a zone it is UTC. The recorded
    prediction is what the model answers here.

    Kinds, levels, ranges and units of features are read off the reference; `notes.txt` lists every assumption. Paths
    that were written are returned, `case.json` first. `out` must not exist or be empty, and appears only when all of it
    is there. Raises UsageFault, InvalidCase.
    """
    model, reference, out = Path(model), Path(reference), Path(out)
    if row is not None and input is not None:
        raise UsageFault("--row and --input both name the input.", "Give one of them.")
    for path, option in (
        (model, "MODEL"),
        (reference, "--reference"),
        (input, "--input"),
        (telemetry, "--telemetry"),
        (window, "--window"),
        (encoder, "--encoder"),
    ):
        if path is not None and not Path(path).exists():
            raise UsageFault(f"{option}: there is no {path}.", "Check the path.")
    _refuse_full(out)
    draft = Draft(
        model=model,
        reference=reference,
        row=row,
        input=input,
        telemetry=telemetry,
        window=window,
        encoder=encoder,
        features=tuple(features),
        classes=tuple(classes),
        output_kind=output_kind,
        unit=unit,
        threshold=threshold,
        target=target,
        decided_at=decided_at or moment_of(None),
        name=name or model.stem,
        version=version,
        case_id=case_id,
        subject=subject,
        reference_name=reference_name,
    )
    out.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{out.name}-", dir=out.parent))
    try:
        folder = work / "case"
        folder.mkdir()
        written = write_case(draft_case(draft, folder), folder)
        _refuse_full(out)
        if out.exists():
            out.rmdir()
        folder.rename(out)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    return [out / path.relative_to(folder) for path in written]


def check_case(folder: Path, checklist: Checklist | None = None) -> list[Gap]:
    """What the system card of a case leaves open, in the order of the checklist; needed gaps first.

    folder: the case's folder or its case.json. Raises InvalidCase when the case itself does not hold.
    """
    from xagent.bring._gaps import is_absent

    path = Path(folder)
    case = load_case(path / "case.json" if path.is_dir() else path)
    law = checklist or load_checklist()
    roots = {"card": load_card(case).model_dump(mode="json"), "case": case.public()}
    files = {"card": case.system_card or "system.json", "case": path.name if path.is_file() else "case.json"}
    found: dict[str, Gap] = {}
    for field in law.fields:
        for source in field.sources:
            root, _, rest = source.path.partition(".")
            if root not in roots or not is_absent(roots[root], rest.split(".")):
                continue
            key = f"{files[root]}: {rest}"
            seen = found.get(key, Gap(key, f"{field.field}: {source.label}", (), (), False))
            found[key] = Gap(
                key,
                seen.asked_for,
                (*seen.fields, field.id),
                tuple(dict.fromkeys((*seen.articles, *law.cited(field)))),
                seen.needed or source.needed,
            )
    return sorted(found.values(), key=lambda gap: not gap.needed)


def _refuse_full(out: Path) -> None:
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise UsageFault(f"{out} is already there and not an empty folder.", "Name a new folder with -o.")
