"""One typed fact, made by code from an artifact, never by a language model."""

from __future__ import annotations

import re
import unicodedata
from hashlib import sha256
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

Kind = Literal["value", "effect", "rank", "share", "compare", "threshold", "category", "drift", "time", "count", "text"]
Scale = Literal["probability", "logit", "points", "share", "seconds", "raw", "none"]


class Claim(BaseModel):
    """A fact that a sentence may cite.

    id: stable and readable, `relevance.driver.1.share`. kind: what sort of fact. subject: whom or what it is about (the
    case's pseudonym, `model`, `population`, `process`). feature: the input it concerns. value: number, string or
    boolean; a `time` is ISO 8601 text. unit: printed after the number. scale: never mixed within a comparison.
    sign: +1 towards the explained outcome, -1 against it, 0 neither. baseline: name of what it is compared with.
    artifact and pointer: the tool, and the JSON pointer into that artifact's data (or into the case or the system card
    when artifact is `case` or `system_card`). uncertainty: half-width or interval. visibility: who may see it, `all` or
    persona names separated by commas.
    decimals: printed precision asked for by the feature's card, None for the policy's default.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    id: str
    kind: Kind
    subject: str = ""
    feature: str | None = None
    value: bool | int | float | str | None
    unit: str | None = None
    scale: Scale = "none"
    sign: Literal[-1, 0, 1] | None = None
    baseline: str | None = None
    artifact: str
    pointer: str = ""
    uncertainty: tuple[float, float] | None = None
    visibility: str = "all"
    decimals: int | None = None

    def public(self) -> dict[str, Any]:
        return self.model_dump(mode="json")


def slug(name: str) -> str:
    """A feature's name as one readable part of a claim id: at most 48 of lower case letters, digits and `-_.`.

    A space becomes a hyphen. A name that would lose anything else carries six hex digits of its hash, so that two
    names never share a slug by accident.
    """
    plain = unicodedata.normalize("NFKD", name).encode("ascii", "ignore").decode().lower()
    short = re.sub(r"[^a-z0-9_.]+", "-", plain).strip("-")[:48]
    lossless = short and "-" not in name and name.replace(" ", "-") == short
    return short if lossless else f"{short or 'x'}-{sha256(name.encode(errors='surrogatepass')).hexdigest()[:6]}"
