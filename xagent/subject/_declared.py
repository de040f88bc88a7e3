"""A model that is a sum of terms, as a JSON file of ours (`xagent.model/1`): coefficients and tables, no code.

Linear, logistic and multinomial regression, scorecards, generalised additive models and explainable boosting machines
with their pairs are all sums of terms. A number that differs by class is written as a list, one for each score.
"""

from __future__ import annotations

import json
from typing import Any, Literal

from pydantic import Field, ValidationError, model_validator

from xagent.subject._declared_terms import Feature, Term, Worth
from xagent.subject._spec import Spec

MAX_BYTES = 64 * 1024**2
MAX_CELLS = 10_000_000


class DeclaredModel(Spec):
    """features: columns in order. intercept: of every score. link: what the sums are: a value (identity), the logit of
    the second of two classes, or a logit for each class (softmax)."""

    schema_: Literal["xagent.model/1"] = Field(alias="schema")
    link: Literal["identity", "logit", "softmax"]
    features: tuple[Feature, ...] = Field(min_length=1, max_length=10_000)
    intercept: Worth
    terms: tuple[Term, ...] = Field(max_length=100_000)

    @property
    def outputs(self) -> int:
        return len(self.intercept) if isinstance(self.intercept, tuple) else 1

    @property
    def places(self) -> dict[str, int]:
        return {feature.name: place for place, feature in enumerate(self.features)}

    @model_validator(mode="after")
    def _fits(self) -> DeclaredModel:
        known = {feature.name: feature for feature in self.features}
        if len(known) < len(self.features):
            raise ValueError("feature names must differ")
        if (self.link == "softmax") != (self.outputs > 1):
            raise ValueError("link 'softmax' needs an intercept for each of at least two classes, any other link one")
        cells = 0
        for number, term in enumerate(self.terms):
            for name in term.of:
                if name not in known:
                    raise ValueError(f"term {number + 1} names the unknown feature {name[:60]!r}")
            for worth in term.worths():
                if (len(worth) if isinstance(worth, tuple) else 1) != self.outputs:
                    raise ValueError(f"term {number + 1} has a value that is not one for each of {self.outputs} scores")
                cells += self.outputs
            if cells > MAX_CELLS:
                raise ValueError(f"more than {MAX_CELLS} values")
            if (wrong := term.misfit(known)) is not None:
                raise ValueError(f"term {number + 1}: {wrong}")
        return self


def read_declared(content: bytes) -> DeclaredModel:
    """Raises ValueError that names the entry at fault."""
    if len(content) > MAX_BYTES:
        raise ValueError(f"it is larger than {MAX_BYTES // 2**20} MiB")
    try:
        data = json.loads(content.decode(), parse_constant=_refuse, object_pairs_hook=_unique)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None
    try:
        return DeclaredModel.model_validate(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        place = ".".join(str(part) for part in first["loc"]) or "the top level"
        said = "unknown key" if first["type"] == "extra_forbidden" else first["msg"].removeprefix("Value error, ")
        raise ValueError(f"{place}: {said}") from None


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, which is no number")


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    result = dict(pairs)
    if len(result) < len(pairs):
        raise ValueError("a key in it stands twice")
    return result
