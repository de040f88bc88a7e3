"""From a name or a path to a validated persona."""

from __future__ import annotations

import re
import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from xagent.errors import ConfigurationFault
from xagent.personas._persona import BLOCKS, Persona

MAX_BYTES = 256 * 1024
MAX_FILES = 200
_CATALOGUE = re.compile(r"catalogue\.([a-z]{2,3})\.toml")


def persona_names(folder: Path | None = None) -> tuple[str, ...]:
    """Names of the built-in personas, sorted, and after them those of a folder of a user's own.

    Raises ConfigurationFault when there is no such folder.
    """
    names = (f.name for f in files("xagent.personas").iterdir())
    found = sorted(n.removesuffix(".toml") for n in names if n.endswith(".toml") and not _CATALOGUE.fullmatch(n))
    return (*found, *(_own_files(folder) if folder else ()))


def persona_source(name: str | Path, folder: Path | None = None) -> Path | None:
    """The file that a persona comes from; None for a built-in one."""
    if isinstance(name, str) and not name.endswith(".toml") and not {"/", "\\"} & set(name):
        return None if name in persona_names() else (_own_files(folder) if folder else {}).get(name)
    return Path(name)


def _own_files(folder: Path) -> dict[str, Path]:
    """The files of a folder by the names they must have inside, sorted."""
    try:
        found = sorted(path for path in folder.iterdir() if path.suffix == ".toml")
    except OSError as error:
        raise ConfigurationFault(
            f"personas: the folder {folder} cannot be read ({error.strerror}).", "Correct it in xagent.toml."
        ) from None
    if len(found) > MAX_FILES:
        raise ConfigurationFault(f"personas: {folder} holds {len(found)} files.", f"Keep at most {MAX_FILES}.")
    return {path.stem: path for path in found}


def languages() -> tuple[str, ...]:
    """Languages that the built-in personas are written in, English first."""
    found = (_CATALOGUE.fullmatch(f.name) for f in files("xagent.personas").iterdir())
    return ("en", *sorted(match[1] for match in found if match))


def load_persona(name: str | Path, language: str | None = None, folder: Path | None = None) -> Persona:
    """A built-in persona by name, or a user's own (`schema = "xagent.persona/1"`): by the path of its TOML file, or by
    its name when the file is `<name>.toml` in `folder`.

    language: of `languages()`; without one, English, or what a user's own file says. A file is written in one language,
    and asking for another is an error: nobody translated its titles.

    Raises ConfigurationFault, naming the file, the field and the mend.
    """
    if not isinstance(name, str | Path):
        raise ConfigurationFault(f"persona: {name!r} is no name.", "Give a name, a path or a Persona.")
    if isinstance(name, str) and name in persona_names():
        return _built_in(name, language or "en")
    path = persona_source(name, folder)
    if path is None:
        raise ConfigurationFault(
            f"There is no persona {name!r}.",
            f"Choose one of {', '.join(persona_names(folder))}, or give the path of a .toml file.",
        )
    persona = _parsed(_text_of(path), path.name)
    if not str(name).endswith(".toml") and persona.name != name:
        raise ConfigurationFault(
            f"{path.name}: name: it is {persona.name!r} inside.",
            f"Call the file {persona.name}.toml, or mend the name.",
        )
    if persona.name in persona_names():
        raise ConfigurationFault(
            f"{path.name}: name: {persona.name!r} is a built-in persona.",
            "Give yours a name of its own; what a reader may see is decided by that name.",
        )
    if language not in (None, persona.language):
        raise ConfigurationFault(
            f"{path.name}: language: it is written in {persona.language!r}, and {language!r} was asked for.",
            "Write a file with its own name and titles in that language.",
        )
    return persona


@cache
def _built_in(name: str, language: str) -> Persona:
    text = files("xagent.personas").joinpath(f"{name}.toml").read_text(encoding="utf-8")
    if language == "en":
        return _parsed(text, f"{name}.toml")
    if language not in languages():
        raise ConfigurationFault(
            f"language: no persona is written in {language!r}.", f"Use {' or '.join(languages())}."
        )
    return _overlaid(tomllib.loads(text), name, language)


def _overlaid(data: dict[str, Any], name: str, language: str) -> Persona:
    """A built-in persona in the words of another language; what it may see and must be told stays the same."""
    catalogue = f"catalogue.{language}.toml"
    own = tomllib.loads(files("xagent.personas").joinpath(catalogue).read_text(encoding="utf-8")).get(name)
    if own is None or set(own["titles"]) != {section["id"] for section in data["sections"]}:
        raise ConfigurationFault(f"{catalogue}: {name!r} is not there whole.", "Add its title, reader and titles.")
    sections = [{**section, "title": own["titles"][section["id"]]} for section in data["sections"]]
    words = {key: value for key, value in own.items() if key in ("title", "reader", "avoid", "reading_grade")}
    return Persona.model_validate({**data, **words, "language": language, "sections": sections})


def _text_of(path: Path) -> str:
    try:
        if path.stat().st_size > MAX_BYTES:
            raise ConfigurationFault(
                f"{path.name} is larger than {MAX_BYTES // 1024} KiB.", "A persona is a short file."
            )
        return path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise ConfigurationFault(f"There is no persona file {path}.", "Check the path.") from None
    except UnicodeDecodeError:
        raise ConfigurationFault(f"{path.name} is not UTF-8 text.", "Save it as UTF-8 TOML.") from None
    except (OSError, ValueError) as error:
        raise ConfigurationFault(f"{path} cannot be read ({error}).", "Check the path and its permissions.") from None


def _parsed(text: str, name: str) -> Persona:
    try:
        return Persona.model_validate(tomllib.loads(text))
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationFault(f"{name} is not valid TOML: {error}.", "Mend the file there.") from None
    except ValidationError as error:
        problems = error.errors(include_url=False, include_context=False)
        first = next(
            (p for p in problems if p["type"] == "extra_forbidden"), problems[0]
        )  # a misspelt key, then the rest
        field = ".".join(str(part) for part in first["loc"]) or "the whole"
        if first["type"] == "extra_forbidden":
            raise ConfigurationFault(f"{name}: unknown key {field!r}.", "Remove it or correct its spelling.") from None
        if first["type"] == "missing":
            raise ConfigurationFault(f"{name}: {field!r} is missing.", "Add it; see the built-in personas.") from None
        hint = f"Blocks are {', '.join(BLOCKS)}." if ".blocks." in field else "Correct that value."
        raise ConfigurationFault(f"{name}: {field}: {first['msg'].removeprefix('Value error, ')}.", hint) from None
