"""What a reference is like, as far as one row is compared with it: made once, then kept for the next case.

Kept are plain arrays and a JSON text in one npz file, under a name made of the hashes of everything it depends on.
"""

from __future__ import annotations

import json
import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xagent.case import TabularInput
from xagent.tools._base import Context
from xagent.tools._columns import Shape
from xagent.tools._confidence_cache import Arrays, remembered
from xagent.tools._conformal import Marginal, p_values
from xagent.tools._deviation_scores import SCORES, Scorer
from xagent.tools._population import Reference, Rows, file_hash, need_reference, read_reference

Floats = NDArray[np.float64]

VERSION = 1
"""Of what is kept; counts up with every change of the scores."""
MOST_FIT = 20_000
MOST_CALIBRATION = 5_000


@dataclass(frozen=True)
class Joint:
    """p: of each score by name. calibration: rows held out; fitted: rows that the scores were made on. contributions:
    of each feature to the squared Mahalanobis distance, empty without such features."""

    p: dict[str, float]
    calibration: int
    fitted: int
    contributions: dict[str, float]

    @property
    def combined(self) -> float:
        """Bonferroni over the scores; never below `resolution`."""
        return min(1.0, len(self.p) * min(self.p.values()))

    @property
    def resolution(self) -> float:
        """The smallest p-value that could have come out."""
        return min(1.0, len(self.p) / (self.calibration + 1))


@dataclass(frozen=True)
class Profile:
    """marginals: of all rows of the reference, `total` many. scorer, calibration: the scores and those of the rows held
    out, each in rising order; None for a reference too small to be split. embedding: what the vectors of rows are."""

    marginals: tuple[Marginal, ...]
    total: int
    representation: str
    embedding: str | None
    scorer: Scorer | None
    calibration: dict[str, Floats]

    @property
    def shapes(self) -> dict[str, Shape]:
        return {m.name: Shape(m.kind, m.truth, frozenset(m.levels)) for m in self.marginals}

    def judge(self, row: Rows) -> Joint | None:
        """Conformal p-values of one row."""
        if self.scorer is None:
            return None
        scores = self.scorer.scores(row)
        p = {name: float(p_values(self.calibration[name], score)[0]) for name, score in scores.items()}
        held = len(next(iter(self.calibration.values())))
        return Joint(p, held, self.scorer.m, self.scorer.contributions(row))


def profile_of(ctx: Context, alpha: float, least: int) -> Profile:
    """The profile of the case's reference. Raises NotApplicable without one, InvalidCase when it cannot be read."""
    need_reference(ctx)
    made: list[Profile] = []

    def make() -> Arrays:
        made.append(fitted(read_reference(ctx), ctx.seed, alpha, least))
        return _packed(made[0])

    held = remembered(_key(ctx, alpha, least), ctx.cache, make, "deviation")
    if made:
        return made[0]
    try:
        return _unpacked(held)
    except (KeyError, TypeError, ValueError):  # an entry that somebody spoilt
        return fitted(read_reference(ctx), ctx.seed, alpha, least)


def fitted(reference: Reference, seed: int, alpha: float, least: int) -> Profile:
    """A seeded split: some rows make the scores, the others say what a score means."""
    marginals = tuple(
        Marginal.of(c, reference.shapes[c.name].truth if c.name in reference.shapes else False)
        for c in reference.columns
    )
    rows, scorer, calibration = reference.rows, None, {}
    if rows.n >= least:
        order = np.random.default_rng(seed).permutation(rows.n)
        held = calibration_size(rows.n, math.ceil(SCORES / alpha) - 1)
        scorer = Scorer.of(rows.take(order[held : held + MOST_FIT]))
        calibration = {name: np.sort(found) for name, found in scorer.scores(rows.take(order[:held])).items()}
    return Profile(marginals, reference.total, rows.representation, reference.embedding, scorer, calibration)


def calibration_size(n: int, enough: int) -> int:
    """Rows held out of n: half, or `enough` if that is more and leaves fifty to fit on."""
    return min(MOST_CALIBRATION, max(n // 2, min(n - 50, enough)))


def _key(ctx: Context, alpha: float, least: int) -> dict[str, Any] | None:
    """Everything that a profile depends on; None for a model without a file, whose embedding could change."""
    import scipy
    import sklearn

    given, card = ctx.case.input, ctx.card.features
    key: dict[str, Any] = {
        "what": "deviation",
        "version": VERSION,
        "reference": file_hash(ctx, need_reference(ctx), "reference"),
        "kind": given.kind,
        "seed": ctx.seed,
        "alpha": alpha,
        "least": least,
        "libraries": [np.__version__, scipy.__version__, sklearn.__version__],
    }
    if isinstance(given, TabularInput):
        stated = {n: card[n].kind if n in card and "kind" in card[n].model_fields_set else None for n in given.values}
        return key | {"features": [[n, type(v).__name__, stated[n]] for n, v in given.values.items()]}
    import torch

    subject = ctx.subject
    files = getattr(subject, "sha256", {})
    if "model" not in files:
        return None
    return key | {
        "files": files,
        "device": subject.device.type,
        "dtype": str(subject.dtype),
        "torch": torch.__version__,
    }


def _packed(profile: Profile) -> Arrays:
    scorer = profile.scorer
    facts: dict[str, Any] = {
        "total": profile.total,
        "representation": profile.representation,
        "embedding": profile.embedding,
        "whole": [_facts(m) for m in profile.marginals],
        "scores": list(profile.calibration),
    }
    arrays = dict(_arrays("whole", profile.marginals))
    if scorer is not None:
        facts |= {"m": scorer.m, "vectors": scorer.vectors, "used": scorer.used}
        facts["fit"] = [_facts(m) for m in scorer.marginals]
        arrays |= dict(_arrays("fit", scorer.marginals))
        arrays |= {"location": scorer.location, "precision": scorer.precision, "near": scorer.near}
        arrays |= {f"calibration.{i}": found for i, found in enumerate(profile.calibration.values())}
    text = json.dumps(facts, sort_keys=True, ensure_ascii=False).encode()
    return arrays | {"facts": np.frombuffer(text, dtype=np.uint8)}


def _unpacked(arrays: Arrays) -> Profile:
    facts = json.loads(arrays["facts"].tobytes())
    scorer = None
    if "fit" in facts:
        scorer = Scorer(
            m=facts["m"],
            marginals=_marginals("fit", facts["fit"], arrays),
            vectors=facts["vectors"],
            used=tuple(facts["used"]),
            location=arrays["location"],
            precision=arrays["precision"],
            near=arrays["near"],
        )
    return Profile(
        marginals=_marginals("whole", facts["whole"], arrays),
        total=facts["total"],
        representation=facts["representation"],
        embedding=facts["embedding"],
        scorer=scorer,
        calibration={name: arrays[f"calibration.{i}"] for i, name in enumerate(facts["scores"])},
    )


def _facts(m: Marginal) -> dict[str, Any]:
    return {"name": m.name, "kind": m.kind, "n": m.n, "gone": m.gone, "levels": m.levels, "truth": m.truth}


def _arrays(part: str, marginals: tuple[Marginal, ...]) -> Iterator[tuple[str, NDArray[Any]]]:
    for i, marginal in enumerate(marginals):
        yield f"{part}.{i}", marginal.ordered if marginal.counts is None else marginal.counts


def _marginals(part: str, facts: list[dict[str, Any]], arrays: Arrays) -> tuple[Marginal, ...]:
    found = []
    for i, fact in enumerate(facts):
        array = arrays[f"{part}.{i}"]
        levels = fact["kind"] == "categorical"
        found.append(
            Marginal(
                name=fact["name"],
                kind=fact["kind"],
                n=fact["n"],
                gone=fact["gone"],
                ordered=np.empty(0) if levels else array,
                levels=tuple(fact["levels"]),
                counts=array if levels else None,
                truth=fact["truth"],
            )
        )
    return tuple(found)
