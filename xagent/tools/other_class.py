"""What spoke for a class that was not the answer: the same relevance, asked about another target."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any, ClassVar

from xagent.evidence import Claim
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._case_claims import sign_of
from xagent.tools._contrast import reference_hashes
from xagent.tools.relevance import Relevance

MOST = 6
"""Inputs that are told, the strongest first."""


class OtherDriver(Result):
    """An input by its share of the sum of magnitudes; relevance is signed, towards the other class."""

    feature: str
    label: str
    relevance: float
    share: float


class OtherClassResult(Result):
    """target: the class that was asked about; foil: the strongest class beside it. score: target's output minus the
    foil's. gap: what the list misses of it. drivers: by rank."""

    target: str
    foil: str
    score: float
    gap: float
    method: str
    drivers: tuple[OtherDriver, ...]


class OtherClass(Tool[OtherClassResult]):
    """Which inputs spoke for another class than the answer, and which against it, by the same relevance."""

    name = "other_class"
    needs = ("relevance",)
    on_request: ClassVar[bool] = True
    result = OtherClassResult

    def choices(self, ctx: Context) -> dict[str, tuple[str, ...]]:
        return {"target": _others(ctx)}

    def run(self, ctx: Context) -> OtherClassResult:
        others = _others(ctx)
        if not others:
            raise NotApplicable("With fewer than three classes the other one is the same list with its signs turned.")
        found = ctx.found.get("relevance")
        asked = ctx.requests.get(self.name, {}).get("target")
        foil = found.data.get("foil") if found is not None and found.status == "ok" else None
        target = asked or (foil if foil in others else others[0])
        if target not in others:
            raise NotApplicable("The class that was asked for is not among the other classes of the model.")
        prediction = ctx.case.prediction.model_copy(update={"target": target})
        data = Relevance().run(replace(ctx, case=ctx.case.model_copy(update={"prediction": prediction})))
        assert data.target is not None and data.foil is not None
        listed = tuple(
            OtherDriver(feature=p.feature, label=p.label, relevance=p.relevance, share=p.share)
            for p in data.players[:MOST]
        )
        return OtherClassResult(
            target=data.target, foil=data.foil, score=data.score, gap=data.gap, method=data.method, drivers=listed
        )

    def claims(self, data: OtherClassResult, ctx: Context) -> Iterator[Claim]:
        def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
            about = {"subject": ctx.case.subject, "artifact": self.name, **more}
            return Claim(id=f"other.{key}", kind=kind, value=value, pointer=pointer, **about)

        yield claim("target", "category", ctx.card.outcome(data.target).label, "/target")
        yield claim("foil", "category", ctx.card.outcome(data.foil).label, "/foil")
        yield claim("score", "value", data.score, "/score", scale="logit")
        yield claim("gap", "value", data.gap, "/gap")
        for n, driver in enumerate(data.drivers):
            key, at, own = f"driver.{n + 1}", f"/drivers/{n}", {"feature": driver.feature}
            sign = sign_of(driver.relevance)
            side = {1: "for", -1: "against", 0: "neither"}[sign]
            yield claim(f"{key}.name", "text", driver.label, f"{at}/label", **own)
            yield claim(f"{key}.effect", "effect", driver.relevance, f"{at}/relevance", sign=sign, scale="logit", **own)
            yield claim(f"{key}.share", "share", driver.share, f"{at}/share", scale="share", **own)
            yield claim(f"{key}.rank", "rank", n + 1, at, **own)
            yield claim(f"{key}.direction", "category", side, f"{at}/relevance", sign=sign, **own)

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {**Relevance().parameters(ctx), **ctx.requests.get(self.name, {})}

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx)


def _others(ctx: Context) -> tuple[str, ...]:
    """Classes that were not explained, where there are enough of them to be worth another list."""
    output, prediction = ctx.case.model.output, ctx.case.prediction
    if output.kind != "logits" or len(output.classes) < 3:
        return ()
    return tuple(name for name in output.classes if name != (prediction.target or prediction.label))
