"""How far the relevance of this prediction can be relied on."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from xagent.evidence import Claim
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._contrast import (
    Contrast,
    Reference,
    background_of,
    decision_threshold,
    reference_hashes,
    reference_of,
    score_coalitions,
)

if TYPE_CHECKING:
    from torch import Tensor

    from xagent.subject import Encoded

CITED = 4
WIDEST = 4096
"""Numbers in one input beyond which distances to a whole population take too much memory and say too little."""


class TrustResult(Result):
    """What `xagent.trust.assess_trust` found; every number is None when it does not exist, and `absent` says why.

    cited: features named as reasons, strongest first. keep_share: part of the margin that stays when only they do.
    background_name: what the removed inputs are replaced by.
    """

    level: Literal["strong", "fair", "limited", "do not rely"]
    weakest: str
    version: str | None = None
    ceiling: float | None = None
    fidelity: float | None = None
    ratio: float | None = None
    interval: tuple[float, float] | None = None
    cited: tuple[str, ...] = ()
    evidence: str | None = None
    keep_share: float | None = None
    random_share: float | None = None
    flips: bool | None = None
    random_flips: float | None = None
    beaten: float | None = None
    agreement: float | None = None
    off_manifold: float | None = None
    gap: float | None = None
    score: float | None = None
    background_score: float | None = None
    background_name: str
    coalitions: int = 0
    groups: int = 0
    exhaustive: bool = False
    absent: dict[str, str] = Field(default_factory=dict)


class Trust(Tool[TrustResult]):
    """Removes evidence piece by piece and compares what happens with what the relevance says should happen."""

    name = "trust"
    needs = ("relevance",)
    result = TrustResult

    def run(self, ctx: Context) -> TrustResult:
        import torch

        from xagent.trust import Undetermined, assess_trust

        found = ctx.found.get("relevance")
        if found is None or found.status != "ok":
            raise NotApplicable("There is no relevance whose reliability could be measured.")
        encoded = ctx.subject.encode(ctx.case.input)
        reference = reference_of(ctx)
        background, name = background_of(ctx, encoded, reference)
        listed = {player["feature"]: player["relevance"] for player in found.data["players"]}
        outside = _outside(ctx, encoded, background, reference)
        answer = assess_trust(
            score_coalitions(ctx, encoded, Contrast(found.data["target_index"], found.data["foil_index"]), background),
            torch.tensor([listed[player.feature] for player in encoded.players], dtype=torch.float64),
            len(encoded.players),
            ctx.seed,
            threshold=decision_threshold(ctx),
            cited=CITED,
            outside=outside,
            complete=found.data["complete"],
            by_removal=found.data["by_removal"],
        )
        if isinstance(answer, Undetermined):
            return TrustResult(
                level=answer.level, weakest=answer.weakest, background_name=name, absent={"trust": answer.why}
            )
        evidence = answer.evidence
        return TrustResult(
            level=answer.level,
            weakest=answer.weakest,
            version=answer.version,
            ceiling=answer.ceiling,
            fidelity=answer.fidelity,
            ratio=answer.ratio,
            interval=answer.interval,
            cited=tuple(encoded.players[p].feature for p in evidence.cited),
            evidence=evidence.state,
            keep_share=evidence.keep_share,
            random_share=evidence.random_share,
            flips=evidence.flips,
            random_flips=evidence.random_flips,
            beaten=evidence.beaten,
            agreement=answer.agreement,
            off_manifold=answer.off_manifold,
            gap=answer.gap,
            score=answer.full,
            background_score=answer.background,
            background_name=name,
            coalitions=answer.coalitions,
            groups=answer.groups,
            exhaustive=answer.exhaustive,
            absent=dict(_absent(answer, outside is not None)),
        )

    def claims(self, data: TrustResult, ctx: Context) -> Iterator[Claim]:
        def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
            return Claim(
                id=f"trust.{key}",
                kind=kind,
                value=value,
                subject=ctx.case.subject,
                artifact=self.name,
                pointer=pointer,
                **more,
            )

        yield claim("level", "category", data.level, "/level")
        yield claim("weakest", "text", data.weakest, "/weakest")
        if "trust" in data.absent:
            yield claim("why", "text", data.absent["trust"], "/absent/trust")
            return
        yield claim("cited.count", "count", len(data.cited), "/cited")
        numbers: list[tuple[str, str, Any, float | None]] = [
            ("ceiling", "/ceiling", "value", data.ceiling),
            ("fidelity", "/fidelity", "value", data.fidelity),
            ("agreement", "/agreement", "value", data.agreement),
            ("gap", "/gap", "value", data.gap),
            ("keep.share", "/keep_share", "share", data.keep_share),
            ("random.share", "/random_share", "share", data.random_share),
            ("off_manifold", "/off_manifold", "share", data.off_manifold),
        ]
        for key, pointer, kind, value in numbers:
            if value is not None:
                yield claim(key, kind, value, pointer, scale="share" if kind == "share" else "none")
        if data.ratio is not None:
            yield claim("ratio", "value", data.ratio, "/ratio", uncertainty=data.interval)
        if data.flips is not None:
            yield claim("remove.flips", "category", "yes" if data.flips else "no", "/flips")

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {"seed": ctx.seed, "cited": CITED}

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx)


def _outside(
    ctx: Context, encoded: Encoded, background: Tensor, reference: Reference | None
) -> Callable[[Tensor], Tensor] | None:
    """Which probes leave the reference population; None when there are too few rows, or too wide ones, to say."""
    from xagent.trust import Manifold

    if reference is None or len(reference.rows) < 2 or background.numel() > WIDEST:
        return None
    manifold = Manifold(reference.rows.flatten(1), ctx.seed)

    def outside(keep: Tensor) -> Tensor:
        return manifold.outside(ctx.subject.ablate(encoded, keep, background)[encoded.traced].flatten(1))

    return outside


def _absent(answer: Any, manifold_known: bool) -> Iterator[tuple[str, str]]:
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
    if not manifold_known:
        yield "off_manifold", "There is no reference population to compare the probes with."
    if answer.gap is None:
        yield "gap", "The score of the case equals that of the background."
