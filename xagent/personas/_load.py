"""From a name or a path to a validated persona."""

from __future__ import annotations

import tomllib
from functools import cache
from importlib.resources import files
from pathlib import Path

from pydantic import ValidationError

from xagent.errors import ConfigurationFault
from xagent.personas._persona import BLOCKS, Persona

MAX_BYTES = 256 * 1024


def persona_names() -> tuple[str, ...]:
    """Names of the built-in personas, sorted."""
    folder = files("xagent.personas")
    return tuple(sorted(f.name.removesuffix(".toml") for f in folder.iterdir() if f.name.endswith(".toml")))


def load_persona(name: str | Path) -> Persona:
    """A built-in persona by name, or a user's own by the path of its TOML file (`schema = "xagent.persona/1"`).

    Raises ConfigurationFault, naming the file, the field and the mend.
    """
    if not isinstance(name, str | Path):
        raise ConfigurationFault(f"persona: {name!r} is no name.", "Give a name, a path or a Persona.")
    if isinstance(name, str) and not name.endswith(".toml") and not {"/", "\\"} & set(name):
        if name not in persona_names():
            raise ConfigurationFault(
                f"There is no persona {name!r}.",
                f"Choose one of {', '.join(persona_names())}, or give the path of a .toml file.",
            )
        return _built_in(name)
    path = Path(name)
    persona = _parsed(_text_of(path), path.name)
    if persona.name in persona_names():
        raise ConfigurationFault(
            f"{path.name}: name: {persona.name!r} is a built-in persona.",
            "Give yours a name of its own; what a reader may see is decided by that name.",
        )
    return persona


@cache
def _built_in(name: str) -> Persona:
    return _parsed(files("xagent.personas").joinpath(f"{name}.toml").read_text(encoding="utf-8"), f"{name}.toml")


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
