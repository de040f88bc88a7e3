"""When trust is limited or two methods disagree: what does a method of yet another kind say about the top drivers?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar

from xagent.evidence import Claim
from xagent.tools._agreement import compare
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._contrast import reference_hashes
from xagent.tools._probed import encoded_of
from xagent.tools._relevance_result import is_refined
from xagent.tools.second_opinion import (
    Opinion,
    SeenDriver,
    affordable,
    game_of,
    listed_under_test,
    opinion,
    seen_drivers,
    values_of,
)

GRADIENT_METHODS = ("integrated_gradients", "gradient_x_input")
"""What an ask may choose from where the model has gradients; the first is taken when nobody chose."""


class FurtherOpinionResult(Result):
    """method: what was run. cosine_second: to the removal method of the second opinion, None without one. drivers: the
    list's top drivers as this method sees them."""

    method: Opinion
    background: str
    cosine: float | None
    cosine_second: float | None
    drivers: tuple[SeenDriver, ...]


class FurtherOpinion(Tool[FurtherOpinionResult]):
    """Integrated gradients where the model has gradients; else a removal method that takes inputs out together."""

    name = "further_opinion"
    needs = ("relevance", "second_opinion")
    on_request: ClassVar[bool] = True
    result = FurtherOpinionResult

    def choices(self, ctx: Context) -> dict[str, tuple[str, ...]]:
        return {"method": GRADIENT_METHODS} if ctx.subject.module is not None else {}

    def run(self, ctx: Context) -> FurtherOpinionResult:
        found = listed_under_test(ctx)
        encoded = encoded_of(ctx)
        asked = ctx.requests.get(self.name, {}).get("method", GRADIENT_METHODS[0])
        name, options = (asked, {}) if ctx.subject.module else affordable(encoded.kind, len(encoded.players))
        if name == "occlusion":
            raise NotApplicable("There are too many inputs for any further method within the budget.")
        game, background = game_of(ctx, encoded, found)
        listed = values_of(found, encoded)
        made = opinion(ctx, game, name, listed, options)
        if made.status != "ok":
            raise NotApplicable(str(made.why))
        agreement = compare(listed, made.relevance, made.error)
        if agreement is None:
            raise NotApplicable("Every input has a relevance of zero, so there is no driver to compare.")
        second = ctx.found.get("second_opinion")
        theirs = None
        # Of a refined list the second opinion is its own trace, and the removal method is the list itself.
        if second is not None and second.status == "ok" and not is_refined(found):
            theirs = compare(second.data["methods"][1]["relevance"], made.relevance, made.error)
        drivers, _ = seen_drivers(ctx, encoded, listed, made, agreement)
        return FurtherOpinionResult(
            method=made,
            background=background,
            cosine=agreement.cosine,
            cosine_second=theirs.cosine if theirs else None,
            drivers=drivers,
        )

    def claims(self, data: FurtherOpinionResult, ctx: Context) -> Iterator[Claim]:
        def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
            about = {"subject": ctx.case.subject, "artifact": self.name, **more}
            return Claim(id=f"further.{key}", kind=kind, value=value, pointer=pointer, **about)

        yield claim("method.name", "text", data.method.words, "/method/words", subject="process")
        yield claim("method.family", "category", data.method.family, "/method/family", subject="process")
        yield claim("method.forwards", "count", data.method.forwards, "/method/forwards", subject="process")
        if data.method.gap is not None:
            yield claim("method.gap", "value", data.method.gap, "/method/gap")
        for key, value in (("cosine", data.cosine), ("cosine_second", data.cosine_second)):
            if value is not None:
                yield claim(key.replace("_", "."), "value", value, f"/{key}")
        yield claim("top.count", "count", len(data.drivers), "/drivers")
        confirmed = sum(driver.state == "confirmed" for driver in data.drivers)
        yield claim("confirmed.count", "count", confirmed, "/drivers")
        for n, driver in enumerate(data.drivers):
            own = {"feature": driver.feature}
            yield claim(f"driver.{n + 1}.state", "category", driver.state, f"/drivers/{n}/state", **own)

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx)
