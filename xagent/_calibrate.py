"""Trust levels for one model: what its thresholds must be so that the levels mean what they say there.

In: a case with a reference population. Out: a file of thresholds, and the figures that they were chosen by. Rows of the
reference are explained; the truth of each row is its exact (or long sampled) Shapley values; the method's own list,
lists of other families, and spoilt ones are graded against it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xagent._calibrate_rows import drawn_cases, truth_of
from xagent.case import Case, load_card
from xagent.errors import InvalidCase
from xagent.tools import Context
from xagent.tools._contrast import (
    Contrast,
    background_of,
    decision_threshold,
    reference_hashes,
    reference_of,
    score_coalitions,
)
from xagent.tools._relevance_result import is_refined
from xagent.tools._trust_setup import exact_players, grouping_of, manifold_of, places_of
from xagent.tools.relevance import Relevance
from xagent.tools.trust import CITED
from xagent.trust import Limits, Probes, Trust, judge, load_limits, probe, weigh

if TYPE_CHECKING:
    from xagent.settings import Settings
    from xagent.subject import Subject

GOOD, WRONG = 0.9, 0.7
"""Cosines to the truth from which on a list counts as good, and below which as wrong."""
NOISE = (0.1, 0.2, 0.35, 0.5, 1.0, 2.0)
SPOILT = ("random", "negated", "shuffled")
LEAST = 20
"""Explanations above a threshold without which nothing is known about it."""
STEP = 0.005
LOWEST = 0.5
"""No list that reaches less than half of what any list can is relied on, whatever was measured."""
TARGETS: dict[str, tuple[float, float]] = {"strong": (0.95, 0.0), "fair": (0.80, 0.05), "limited": (0.0, 0.25)}
"""Of all lists above a threshold at least so many are good; of the 20 just above it at most so many are wrong. All of
them together would not do: easy lists far above hide what happens at the threshold."""


@dataclass(frozen=True)
class Graded:
    """One list of one row: its source, its cosine to the truth, and what was measured of it."""

    source: str
    cosine: float
    trust: Trust


@dataclass(frozen=True)
class Calibration:
    """limits: the thresholds found. before, after: figures of the levels under the shipped thresholds and these. rows:
    reference rows that could be measured, of `drawn`. exact: whether the truth was exact for all of them."""

    limits: Limits
    before: dict[str, float]
    after: dict[str, float]
    rows: int
    drawn: int
    exact: bool
    explanations: int


def calibrate(
    case: Case, subject: Subject, settings: Settings, rows: int, say: Callable[[int, int], None] | None = None
) -> Calibration:
    """Measure `rows` rows of the case's reference and choose thresholds. Raises InvalidCase without a reference, with
    one of fewer than 50 rows, or where not a single row can be measured."""
    graded: list[Graded] = []
    measured, exact, reasons = 0, True, set()
    cases = drawn_cases(case, subject, rows, settings.seed)
    card = load_card(case)
    for number, one in enumerate(cases):
        ctx = Context(case=one, card=card, subject=subject, seed=settings.seed + number, rules=settings.rules,
                      exact=settings.trust.exact, refine=settings.trust.refine)  # fmt: skip
        found = _grade(ctx)
        if isinstance(found, str):
            reasons.add(found)
        else:
            lists, whole = found
            graded += lists
            exact &= whole
            measured += 1
        if say:
            say(number + 1, len(cases))
    if not graded:
        raise InvalidCase(
            f"reference: not one of {len(cases)} rows could be measured ({'; '.join(sorted(reasons))}).",
            "Check that the reference population is what the model was built on.",
        )
    shipped = load_limits()
    about = {"name": case.model.name, "version": case.model.version}
    hashes = reference_hashes(Context(case=case, card=card, subject=subject))
    about |= {"sha256": hashes["model"]} if "model" in hashes else {}
    about |= {"reference": hashes["reference"]}
    limits = replace(
        shipped, version=f"{shipped.version}+calibrated", fidelity=chosen(graded, shipped), model=about, measured={}
    )
    after = figures(graded, limits)
    limits = replace(limits, measured={"rows": measured, "explanations": len(graded), **after})
    return Calibration(limits, figures(graded, shipped), after, measured, len(cases), exact, len(graded))


def _grade(ctx: Context) -> tuple[list[Graded], bool] | str:
    """Every list of one row, and whether its truth is exact; or why the row cannot be measured."""
    data = Relevance().run(ctx).model_dump(mode="json")
    encoded = ctx.subject.encode(ctx.case.input)
    reference = reference_of(ctx)
    background, _ = background_of(ctx, encoded, reference)
    contrast = Contrast(data["target_index"], data["foil_index"])
    probes = probe(
        score_coalitions(ctx, encoded, contrast, background),
        len(encoded.players),
        ctx.seed,
        grouping=grouping_of(ctx, encoded, reference, load_limits()),
        exact=exact_players(ctx, encoded),
    )
    if isinstance(probes, str):
        return probes
    truth, unit, whole = truth_of(probes, ctx.seed)
    if not float(truth.norm()) > 0:
        return "no effect"
    listed = {player["feature"]: player["relevance"] for player in data["players"]}
    own = torch.tensor([listed[player.feature] for player in encoded.players], dtype=torch.float64)
    places = places_of(ctx, encoded, background, manifold_of(ctx, encoded, reference))
    outside = places(probes.placed) if places else None
    graded = []
    for source, relevance in _lists(own, truth, unit, probes, ctx.seed):
        trust = weigh(
            probes, relevance, ctx.seed, threshold=decision_threshold(ctx), cited=CITED,
            outside=None if outside is None else lambda _: outside,
            complete=source == "own" and (data["complete"] or is_refined(data)),
            by_removal=source == "removal" or (source == "own" and (data["by_removal"] or is_refined(data))),
        )  # fmt: skip
        if isinstance(trust, Trust):
            graded.append(Graded(source, _cosine(_summed(relevance, unit), truth), trust))
    return graded, whole


def _lists(own: Tensor, truth: Tensor, unit: Tensor, probes: Probes, seed: int) -> Iterator[tuple[str, Tensor]]:
    """The method's own list, the removal of one unit at a time, the truth, the truth with noise, and spoilt lists."""
    generator = torch.Generator().manual_seed(seed)
    size = float(truth.square().mean().sqrt())

    def spread(values: Tensor) -> Tensor:
        return values[unit] / torch.bincount(unit)[unit]

    yield "own", own
    if len(probes.alone) == len(truth):
        yield "removal", spread(probes.full - probes.alone)
    yield "truth", spread(truth)
    for noise in NOISE:
        yield f"noise {noise:g}", spread(truth + noise * size * torch.randn(len(truth), generator=generator))
    yield "random", spread(size * torch.randn(len(truth), generator=generator, dtype=torch.float64))
    yield "negated", spread(-truth)
    yield "shuffled", spread(truth.roll(int(torch.randint(1, max(len(truth), 2), (1,), generator=generator))))


def chosen(graded: list[Graded], shipped: Limits) -> dict[str, float]:
    """Thresholds of the fidelity ratio: each the lowest from which on the lists keep what the level says. Where too few
    lists lie above any threshold the shipped one stays; none is below the next level's."""
    rated = sorted((g.trust.ratio, g.cosine) for g in graded if g.trust.ratio is not None)
    found: dict[str, float] = {}
    for level, (good, wrong) in TARGETS.items():
        kept: float | None = None
        for threshold in np.arange(1 - STEP, LOWEST - STEP / 2, -STEP):
            above = [cosine for ratio, cosine in rated if ratio >= threshold]
            if len(above) < LEAST:
                continue
            if _share(above, lambda c: c > GOOD) < good or _share(above[:LEAST], lambda c: c < WRONG) > wrong:
                break
            kept = round(float(threshold), 3)
        found[level] = shipped.fidelity[level] if kept is None else kept
    found["fair"] = min(found["fair"], found["strong"])
    found["limited"] = min(found["limited"], found["fair"])
    return found


def figures(graded: list[Graded], limits: Limits) -> dict[str, float]:
    """How many lists are strong, how many of these are good, how many of the strong and fair ones are wrong, and how
    many of the spoilt ones that are wrong are refused. A share that nothing was counted for is left out."""
    levels = [(g, _level(g, limits)) for g in graded]
    strong = [g.cosine for g, level in levels if level == "strong"]
    fair = [g.cosine for g, level in levels if level in ("strong", "fair")]
    spoilt = [level for g, level in levels if g.source in SPOILT and g.cosine < WRONG]
    found: dict[str, float] = {"strong": len(strong), "strong_or_fair": len(fair), "spoilt": len(spoilt)}
    if strong:
        found["good_given_strong"] = _share(strong, lambda c: c > GOOD)
    if fair:
        found["wrong_given_strong_or_fair"] = _share(fair, lambda c: c < WRONG)
    if spoilt:
        found["spoilt_refused"] = spoilt.count("do not rely") / len(spoilt)
    return found


def _level(graded: Graded, limits: Limits) -> str:
    trust = graded.trust
    return judge(
        limits,
        ceiling=trust.ceiling,
        ratio=trust.ratio,
        beaten=trust.evidence.beaten,
        agreement=trust.agreement,
        shapley=None,  # the truth itself: with it every calibration would look right
        off_manifold=trust.off_manifold,
    )[0]


def _share(values: list[float], holds: Callable[[float], bool]) -> float:
    return sum(map(holds, values)) / len(values)


def _summed(relevance: Tensor, unit: Tensor) -> Tensor:
    return torch.zeros(int(unit.max()) + 1, dtype=torch.float64).index_add_(0, unit, relevance)


def _cosine(a: Tensor, b: Tensor) -> float:
    norm = float(a.norm() * b.norm())
    return float(a @ b) / norm if norm > 0 else 0.0


def levels_file(found: Calibration) -> str:
    """The thresholds as TOML, with the figures that they were chosen by; the same calibration gives the same text."""
    lines = [
        "# Trust levels of one model, written by `xagent calibrate`. Name this file by the setting trust.levels.",
        'schema = "xagent.levels/1"',
        f"version = {json.dumps(found.limits.version)}",
    ]
    tables: list[tuple[str, dict[str, Any]]] = [
        (name, value)
        for name, value in vars(found.limits).items()
        if isinstance(value, dict) and name not in ("model", "measured")
    ]
    tables += [("model", found.limits.model), ("measured", found.limits.measured)]
    for name, table in tables:
        lines += ["", f"[{name}]"]
        for key, value in table.items():
            lines.append(f"{key} = {json.dumps(round(value, 6) if isinstance(value, float) else value)}")
    return "\n".join(lines) + "\n"
