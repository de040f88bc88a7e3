"""The prompts of the language model: files of the templates folder, the same for every run."""

from __future__ import annotations

from functools import cache
from pathlib import Path

from xagent.errors import ConfigurationFault


@cache
def prompt(name: str) -> str:
    """The text of `prompts/<name>.md`, inside the installed package or at the root of a source checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "_templates", package.parent / "templates"):
        path = folder / "prompts" / f"{name}.md"
        if path.is_file():
            return path.read_text(encoding="utf-8")
    raise ConfigurationFault(f"The prompt {name!r} is missing.", "Reinstall the package.")
