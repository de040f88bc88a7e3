"""Options that several commands take, with the words that --help says of them."""

from __future__ import annotations

from enum import StrEnum
from typing import Annotated

import typer


class DeviceName(StrEnum):
    auto = "auto"
    cpu = "cpu"
    cuda = "cuda"


Device = Annotated[DeviceName | None, typer.Option(help="Where the model runs.")]
Seed = Annotated[int | None, typer.Option(help="Seed of every random choice.")]
AllowMismatch = Annotated[
    bool | None, typer.Option("--allow-mismatch", help="Go on with a model file that is not the recorded one.")
]
AllowOutside = Annotated[bool | None, typer.Option("--allow-outside", help="Let paths of the case leave its folder.")]
NoLlm = Annotated[bool | None, typer.Option("--no-llm", help="No language model, whatever the settings say.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="No progress on stderr.")]


def parts(text: str | None) -> tuple[str, ...]:
    """The parts of a list that is written with commas, in their order; blank ones are left out."""
    return tuple(part.strip() for part in (text or "").split(",") if part.strip())
