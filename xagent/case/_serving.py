"""How a prediction was served, beside the trace: the row computed again, versions, what happened when."""

from __future__ import annotations

from typing import Literal

from pydantic import Field, model_validator

from xagent.case._fields import Frozen, Moment, Scalar, ShortText


class OfflineRow(Frozen):
    """The same inputs, computed again offline for the same entity and the same moment.

    values: raw values by feature name; of a generation the text of a source by its name. Features that are left out are
    not compared. tolerance: largest relative difference of two numbers that still count as the same; tolerances: the
    same in the unit of the feature, by feature name.
    """

    values: dict[ShortText, Scalar] = Field(min_length=1, max_length=10_000)
    name: ShortText = "the row computed again offline"
    tolerance: float = Field(default=1e-6, ge=0, le=1)
    tolerances: dict[ShortText, float] = Field(default_factory=dict, max_length=10_000)

    @model_validator(mode="after")
    def _tolerances_fit(self) -> OfflineRow:
        for name, size in self.tolerances.items():
            if size < 0:
                raise ValueError(f"tolerances.{name} is negative")
            if name not in self.values:
                raise ValueError(f"tolerances.{name} is about no feature of 'values'")
        return self


class Serving(Frozen):
    """What the serving of this prediction is checked against. preprocess_version: of the code and settings that turn a
    record into the model's input, as they are explained."""

    offline: OfflineRow | None = None
    preprocess_version: ShortText | None = None


class Happening(Frozen):
    """A release, a change of the configuration, or an incident. version: of the model, for a release of it. until: when
    an incident was over; left out, it is still open."""

    kind: Literal["release", "change", "incident"]
    name: ShortText
    at: Moment
    until: Moment | None = None
    version: ShortText | None = None

    @model_validator(mode="after")
    def _fits(self) -> Happening:
        if self.until is not None and self.until < self.at:
            raise ValueError("'until' lies before 'at'")
        if self.version is not None and self.kind != "release":
            raise ValueError("'version' belongs to a release")
        return self
