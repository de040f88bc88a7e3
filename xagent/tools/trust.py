"""How far the relevance of this prediction can be relied on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from xagent.errors import ConfigurationFault
from xagent.evidence import Claim
from xagent.tools._base import Context, NotApplicable, Tool
from xagent.tools._contrast import (
    Contrast,
    background_of,
    decision_threshold,
    reference_hashes,
    reference_of,
    score_coalitions,
)
from xagent.tools._other_baselines import lists_from_other_baselines
from xagent.tools._probed import encoded_of, probed
from xagent.tools._relevance_result import is_refined
from xagent.tools._trust_claims import trust_claims
from xagent.tools._trust_result import (
    Checks,
    ConditionalResult,
    SensitivityResult,
    TogetherResult,
    TrustResult,
)
from xagent.tools._trust_setup import (
    conditional_of,
    exact_players,
    grouping_of,
    manifold_of,
    places_of,
    with_progress,
)

if TYPE_CHECKING:
    from xagent.subject import Encoded
    from xagent.trust import Grouping, Limits, Undetermined
    from xagent.trust import Trust as Measured

CITED = 4


class Trust(Tool[TrustResult]):
    """Removes evidence piece by piece and compares what happens with what the relevance says should happen."""

    name = "trust"
    version = "2"
    needs = ("relevance",)
    result = TrustResult

    def run(self, ctx: Context) -> TrustResult:
        import torch

        from xagent.trust import Undetermined, assess_trust

        found = ctx.found.get("relevance")
        if found is None or found.status != "ok":
            raise NotApplicable("There is no relevance whose reliability could be measured.")
        limits = limits_for(ctx)
        encoded = encoded_of(ctx)
        reference = reference_of(ctx)
        background, name = background_of(ctx, encoded, reference)
        contrast = Contrast(found.data["target_index"], found.data["foil_index"])
        listed = {player["feature"]: player["relevance"] for player in found.data["players"]}
        grouping = grouping_of(ctx, encoded, reference, limits)
        manifold = manifold_of(ctx, encoded, reference)
        places = places_of(ctx, encoded, background, manifold)
        refined = is_refined(found.data)
        others, aside = lists_from_other_baselines(
            ctx, encoded, contrast, reference, found.data["baseline"], background, limits.baseline["change"], refined
        )
        answer = assess_trust(
            with_progress(ctx, score_coalitions(ctx, encoded, contrast, background), self.name),
            torch.tensor([listed[player.feature] for player in encoded.players], dtype=torch.float64),
            len(encoded.players),
            ctx.seed,
            threshold=decision_threshold(ctx),
            cited=CITED,
            outside=places,
            complete=found.data["complete"] or refined,
            by_removal=found.data["by_removal"] or refined,
            grouping=grouping,
            exact=exact_players(ctx, encoded),
            limits=limits,
            baselines=others,
            conditional=conditional_of(ctx, encoded, contrast, reference, manifold),
            order=ctx.order,
            probes=probed(ctx, encoded, contrast, background, grouping, limits, self.name),
        )
        about = {
            "background_name": name,
            "limits": {key: value for key, value in vars(limits).items() if key not in ("model", "measured")},
            "calibrated_for": limits.model.get("name"),
        }
        if isinstance(answer, Undetermined):
            return TrustResult(level=answer.level, weakest=answer.weakest, absent={"trust": answer.why}, **about)
        return TrustResult(
            level=answer.level,
            weakest=answer.weakest,
            version=answer.version,
            cited=tuple(encoded.players[p].feature for p in answer.evidence.cited),
            evidence=answer.evidence.state,
            order=answer.order,
            gap=answer.gap,
            score=answer.full,
            background_score=answer.background,
            groups=answer.groups,
            grouping=grouping.how,
            together=_together(ctx, encoded, grouping),
            sensitivity=_sensitivity(ctx, encoded, answer),
            set_aside=aside,
            conditional=_conditional(answer.conditional),
            rows=answer.rows,
            absent=dict(_absent(answer, places is not None)),
            **_numbers(answer),
            **about,
        )

    def claims(self, data: TrustResult, ctx: Context) -> Iterator[Claim]:
        return trust_claims(data, ctx)

    def parameters(self, ctx: Context) -> dict[str, Any]:
        limits = limits_for(ctx)
        levels = {"version": limits.version, "sha256": limits.sha256}
        return {"seed": ctx.seed, "cited": CITED, "exact": ctx.exact, "order": ctx.order, "levels": levels}

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx) | ({"levels": limits_for(ctx).sha256} if ctx.levels else {})


def limits_for(ctx: Context) -> Limits:
    """The thresholds of the settings, else those that ship. Raises ConfigurationFault for those of another model."""
    from xagent.trust import load_limits, read_limits

    if ctx.levels is None:
        return load_limits()
    limits, own = read_limits(ctx.levels), ctx.subject.sha256.get("model")
    if limits.model and limits.model.get("sha256") != own:
        raise ConfigurationFault(
            f"{ctx.levels.name} was calibrated for another model ({limits.model.get('name', 'without a name')}).",
            "Run `xagent calibrate` on this case, or take the setting trust.levels away.",
        )
    return limits


def _numbers(answer: Measured) -> dict[str, Any]:
    """The fields of `Checks`, from a measurement and its evidence test."""
    evidence = answer.evidence
    names = set(Checks.model_fields)
    found = {name: value for name, value in vars(answer).items() if name in names}
    tested = {name: value for name, value in vars(evidence).items() if name in names}
    return found | tested


def _label(ctx: Context, encoded: Encoded, place: int) -> str:
    player = encoded.players[place]
    return ctx.card.feature(player.feature).label if encoded.kind == "tabular" else player.label


def _together(ctx: Context, encoded: Encoded, grouping: Grouping) -> tuple[TogetherResult, ...]:
    return tuple(
        TogetherResult(
            features=tuple(encoded.players[p].feature for p in group),
            labels=tuple(_label(ctx, encoded, p) for p in group),
            correlation=grouping.correlation[int(grouping.bundle[group[0]])],
        )
        for group in grouping.together()
    )


def _sensitivity(ctx: Context, encoded: Encoded, answer: Measured) -> SensitivityResult | None:
    seen = answer.sensitivity
    if seen is None:
        return None
    moved = tuple(encoded.players[p].feature for p in seen.moved)
    labels = tuple(_label(ctx, encoded, p) for p in seen.moved)
    return SensitivityResult(**{**vars(seen), "moved": moved, "moved_labels": labels})


def _conditional(again: Measured | Undetermined | None) -> ConditionalResult | None:
    from xagent.trust import NEIGHBOURS, Undetermined

    if again is None:
        return None
    about: dict[str, Any] = {"level": again.level, "weakest": again.weakest, "neighbours": NEIGHBOURS}
    if isinstance(again, Undetermined):
        return ConditionalResult(why=again.why, **about)
    return ConditionalResult(**about, **_numbers(again))


def _absent(answer: Measured, manifold_known: bool) -> Iterator[tuple[str, str]]:
    """Why a number is missing, by its name."""
    why = {
        "nothing cited": "No input speaks for the outcome, so none was cited.",
        "no control": "All other sets of that size were cited as well.",
        "no contrast": "The list itself gives the cited inputs hardly more weight than others.",
    }
    if answer.evidence.state != "tested":
        yield "evidence", why[answer.evidence.state]
    if answer.evidence.cited and answer.evidence.keep_share is None:
        yield "keep_share", "The score lies too close to the threshold for shares of its margin."
    if answer.evidence.cited and answer.evidence.flips is None:
        yield "flips", "There is no decision threshold to cross."
    if answer.ratio is None:
        yield (
            "ratio",
            "No list of separate inputs describes this prediction, so fidelity has nothing to be measured by.",
        )
    if answer.agreement is None:
        yield "agreement", "The relevance is itself made by removal, or removing single inputs changes nothing."
    if answer.shapley is None:
        yield "shapley", "There are too many inputs to try all combinations, or the exact values are all zero."
    if not manifold_known:
        yield "off_manifold", "There is no reference population of two rows or more to compare the probes with."
    if answer.sensitivity is None:
        yield "sensitivity", "There is no other baseline to compare with."
    if answer.gap is None:
        yield "gap", "The score of the case equals that of the background."
