"""Reading the data files: a checklist that cites a withdrawn or unknown document does not load."""

from __future__ import annotations

import re
import tomllib
from datetime import date
from functools import cache
from pathlib import Path
from typing import Any, TypeVar

from pydantic import BaseModel, TypeAdapter, ValidationError

from xagent.errors import ConfigurationFault
from xagent.law._types import Checklist, Regime, Superseded

_HERE = Path(__file__).parent
_Model = TypeVar("_Model", bound=BaseModel)


def checklist_names() -> tuple[str, ...]:
    """Names of the checklists that are shipped, sorted."""
    return tuple(sorted(path.stem.removeprefix("checklist_") for path in _HERE.glob("checklist_*.toml")))


@cache
def load_checklist(name: str = "regulator") -> Checklist:
    """The checklist of that name, validated. Raises ConfigurationFault when there is none or it does not hold."""
    if name not in checklist_names():
        raise ConfigurationFault(f"There is no checklist {name!r}.", f"Choose from: {', '.join(checklist_names())}.")
    return read_checklist(_HERE / f"checklist_{name}.toml")


def read_checklist(path: Path) -> Checklist:
    """The checklist in a TOML file.

    Raises ConfigurationFault when the file is malformed, cites a regime that `regimes.toml` does not know, or cites a
    document that `superseded.toml` lists as withdrawn.
    """
    data = _toml(path)
    regimes = load_regimes()
    checklist = _validated(Checklist, {**data, "regimes": regimes}, path)
    for field in checklist.fields:
        for article in field.articles:
            if article.regime not in regimes:
                raise ConfigurationFault(
                    f"{path.name}: {field.id} cites the unknown regime {article.regime!r}.",
                    "Add it to regimes.toml with the day it applies from, or correct the spelling.",
                )
            _refuse_superseded(f"{article.regime} {regimes[article.regime].name} {article.cite}", field.id, path)
        for text in (field.field, *(source.label for source in field.sources)):
            _refuse_superseded(text, field.id, path)
    cited = {article.regime for field in checklist.fields for article in field.articles}
    return checklist.model_copy(update={"regimes": {key: regimes[key] for key in sorted(cited)}})


def law_as_of(name: str = "regulator") -> date:
    """The day whose law a checklist stands for."""
    return load_checklist(name).law_as_of


@cache
def load_regimes() -> dict[str, Regime]:
    """Every regime that may be cited, by id, sorted."""
    path = _HERE / "regimes.toml"
    found = _many(Regime, path, "regime")
    return {regime.id: regime for regime in sorted(found, key=lambda regime: regime.id)}


@cache
def load_superseded() -> tuple[Superseded, ...]:
    """Documents that were rescinded or withdrawn and must not be cited."""
    return _many(Superseded, _HERE / "superseded.toml", "superseded")


def _refuse_superseded(text: str, field: str, path: Path) -> None:
    squeezed = _squeezed(text)
    for document in load_superseded():
        for name in document.names:
            if re.search(rf"\b{re.escape(_squeezed(name))}\b", squeezed):
                raise ConfigurationFault(
                    f"{path.name}: {field} cites {name}, which was withdrawn on {document.since.isoformat()}.",
                    document.note,
                )


def _squeezed(text: str) -> str:
    """Lower case, every run of other characters one space: `SR 11-7`, `sr11-7` and `SR-11/7` are the same document."""
    spaced = re.sub(r"(?<=[a-z])(?=[0-9])", " ", text.lower())
    return re.sub(r"[^a-z0-9]+", " ", spaced).strip()


def _many(model: type[_Model], path: Path, key: str) -> tuple[_Model, ...]:
    data = _toml(path)
    try:
        return TypeAdapter(tuple[model, ...]).validate_python(data.get(key, ()))  # type: ignore[valid-type]
    except ValidationError as error:
        raise _fault(error, path) from None


def _validated(model: type[_Model], data: Any, path: Path) -> _Model:
    try:
        return model.model_validate(data)
    except ValidationError as error:
        raise _fault(error, path) from None


def _fault(error: ValidationError, path: Path) -> ConfigurationFault:
    first = error.errors(include_url=False, include_context=False)[0]
    where = ".".join(str(part) for part in first["loc"]) or "the top level"
    return ConfigurationFault(f"{path.name}: {where}: {first['msg'].removeprefix('Value error, ')}.", "Mend the file.")


def _toml(path: Path) -> dict[str, Any]:
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise ConfigurationFault(f"{path.name} cannot be read ({error}).", "Mend or reinstall it.") from None
