"""Does a method of another family weigh this prediction's inputs the same way?

The list under test comes from propagation (or from the coefficients of a linear model). The second opinion leaves
inputs out and looks at the score. Two methods of one family can agree in error; these two share nothing but the model.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from xagent.evidence import Claim
from xagent.tools._agreement import ABSENT, DRIVES, TOP, Agreement, compare
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._case_claims import sign_of
from xagent.tools._contrast import Contrast, background_of, reference_hashes, reference_of, score_coalitions
from xagent.tools._probed import encoded_of
from xagent.tools._relevance_result import is_refined

if TYPE_CHECKING:
    from xagent.methods import Attribution, Game
    from xagent.subject import Encoded

BUDGET = {"tabular": 4096}
"""Model rows that a removal method may take; a row of a table costs next to nothing."""
OTHER_BUDGET = 256
"""... and of texts, images and answers: what the trust tool takes for its coalitions."""
ROUNDING = 1e-6
"""Part of the score below which a relevance is the rounding of single precision."""
MOST_PAIRS, LEAST_PAIRS = 32, 4
"""Pairs of orders beyond which sampling gains little, and below which its standard errors mean nothing."""


class Opinion(Result):
    """One method. status: `not applicable` for one that was asked for and does not fit, and `why`.

    relevance: of each input, in the order of the encoder; error: standard error of a sampled method. forwards: model
    rows that it took. gap: how far the list misses the change of the score. cosine: to the list under test.
    """

    name: str
    words: str
    family: Literal["propagation", "gradient", "removal"]
    status: Literal["ok", "not applicable"] = "ok"
    why: str | None = None
    parameters: dict[str, bool | int | float | str] = Field(default_factory=dict)
    forwards: int = 0
    gap: float | None = None
    cosine: float | None = None
    relevance: tuple[float, ...] = ()
    error: tuple[float, ...] = ()


class SeenDriver(Result):
    """An input that matters to one of the two lists. own, other: relevance in either; share: of the other list's sum of
    magnitudes."""

    feature: str
    label: str
    state: Literal["confirmed", "sign differs", "absent", "cannot tell"]
    own: float
    other: float
    share: float


class SecondOpinionResult(Result):
    """methods: the list under test first, then the one it is compared with, then what else was asked for.

    cosine, rank, sign, overlap: see `_agreement.Agreement`. drivers: the list's top drivers by rank. missed: top
    drivers of the other method that are absent from the list. background: what inputs that are left out become.
    chosen: `by cost`, or `by the settings`.
    """

    methods: tuple[Opinion, ...]
    chosen: Literal["by cost", "by the settings"]
    background: str
    cosine: float | None
    rank: float | None
    sign: float
    overlap: float
    drivers: tuple[SeenDriver, ...]
    missed: tuple[SeenDriver, ...]


class SecondOpinion(Tool[SecondOpinionResult]):
    """Runs a removal method beside the tracer and says on which drivers the two families agree. A list that was refined
    by removal is compared with the trace it was made from."""

    name = "second_opinion"
    needs = ("relevance",)
    result = SecondOpinionResult

    def run(self, ctx: Context) -> SecondOpinionResult:
        from xagent.methods import METHODS, method_named

        found = listed_under_test(ctx)
        encoded = encoded_of(ctx)
        wanted: list[tuple[str, dict[str, Any]]] = [(method_named(name).name, {}) for name in ctx.methods]
        if found["by_removal"]:
            raise NotApplicable(
                "The list was itself made by leaving inputs out, and the model gives no gradients for another family."
            )
        if not is_refined(found) and not any(METHODS[name].family == "removal" for name, _ in wanted):
            wanted.insert(0, affordable(encoded.kind, len(encoded.players)))
        wanted.sort(key=lambda choice: METHODS[choice[0]].family != "removal")
        game, background = game_of(ctx, encoded, found)
        listed = values_of(found, encoded)
        own = Opinion(name="propagation", words=found["method"], family="propagation", relevance=listed)
        opinions = [own, *(opinion(ctx, game, name, listed, options) for name, options in wanted)]
        if is_refined(found):  # by removal: the other family is then the trace as it was
            own = own.model_copy(update={"name": "refined", "family": "removal"})
            fits = [_traced(found, listed, ctx.rules)]
        else:
            # A removal method that does not fit gives way to the next one, and in the end to what fits always.
            fits = [o for o in opinions if o.family == "removal" and o.status == "ok"]
        if not fits:
            name, options = affordable(encoded.kind, len(encoded.players))
            fits = [opinion(ctx, game, name, listed, options)]
            opinions.append(fits[0])
        second = fits[0]
        agreement = compare(listed, second.relevance, second.error)
        if agreement is None:
            raise NotApplicable("Every input has a relevance of zero, so there is no driver to compare.")
        if max(map(abs, listed)) <= ROUNDING * abs(found["score"]):
            raise NotApplicable("No input moves the score by more than rounding, so there is no driver to compare.")
        drivers, missed = seen_drivers(ctx, encoded, listed, second, agreement)
        return SecondOpinionResult(
            methods=(own, second, *(o for o in opinions[1:] if o is not second)),
            chosen="by the settings" if ctx.methods else "by cost",
            background=background,
            cosine=agreement.cosine,
            rank=agreement.rank,
            sign=agreement.sign,
            overlap=agreement.overlap,
            drivers=drivers,
            missed=missed,
        )

    def claims(self, data: SecondOpinionResult, ctx: Context) -> Iterator[Claim]:
        def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
            about = {"subject": ctx.case.subject, "artifact": self.name, **more}
            return Claim(id=f"agreement.{key}", kind=kind, value=value, pointer=pointer, **about)

        for n, method in enumerate(data.methods):
            key, at, process = f"method.{n + 1}", f"/methods/{n}", {"subject": "process"}
            yield claim(f"{key}.name", "text", method.words, f"{at}/words", **process)
            yield claim(f"{key}.family", "category", method.family, f"{at}/family", **process)
            if method.status != "ok":
                yield claim(f"{key}.why", "text", method.why, f"{at}/why", **process)
            elif n:
                yield claim(f"{key}.forwards", "count", method.forwards, f"{at}/forwards", **process)
                if method.cosine is not None:
                    yield claim(f"{key}.cosine", "value", method.cosine, f"{at}/cosine")
                if method.gap is not None:
                    yield claim(f"{key}.gap", "value", method.gap, f"{at}/gap")
        for key, value in (("cosine", data.cosine), ("rank", data.rank)):
            if value is not None:
                yield claim(key, "value", value, f"/{key}")
        yield claim("sign.share", "share", data.sign, "/sign", scale="share")
        yield claim("top.overlap", "share", data.overlap, "/overlap", scale="share")
        states = [driver.state for driver in data.drivers]
        unlike = states.count("sign differs") + states.count("absent")
        state = "deviation" if unlike or data.missed else "cannot tell" if "cannot tell" in states else "ok"
        yield claim("state", "category", state, "/drivers")
        yield claim("top.count", "count", len(states), "/drivers")
        yield claim("confirmed.count", "count", states.count("confirmed"), "/drivers")
        yield claim("disagree.count", "count", unlike + len(data.missed), "/drivers")
        scale, unit = ("raw", ctx.case.model.output.unit) if not ctx.subject.classes else ("logit", None)
        for part in ("drivers", "missed"):
            for n, driver in enumerate(getattr(data, part)):
                key = f"{part.removesuffix('s')}.{n + 1}"
                at, own = f"/{part}/{n}", {"feature": driver.feature}
                yield claim(f"{key}.name", "text", driver.label, f"{at}/label", **own)
                yield claim(f"{key}.state", "category", driver.state, f"{at}/state", **own)
                yield claim(f"{key}.share", "share", driver.share, f"{at}/share", scale="share", **own)
                more = {"scale": scale, "unit": unit, **own}
                yield claim(f"{key}.effect", "effect", driver.other, f"{at}/other", sign=sign_of(driver.other), **more)

    def parameters(self, ctx: Context) -> dict[str, Any]:
        """The budget and the bounds; the parameters of each method stand beside its list."""
        return {
            "seed": ctx.seed,
            "methods": list(ctx.methods),
            "budget": BUDGET.get(ctx.subject.kind, OTHER_BUDGET),
            "top": TOP,
            "drives": DRIVES,
            "absent": ABSENT,
        }

    def inputs(self, ctx: Context) -> dict[str, str]:
        return reference_hashes(ctx)


def _traced(found: Mapping[str, Any], listed: tuple[float, ...], rules: str) -> Opinion:
    """What was traced before the list was refined."""
    values = tuple(found["refined"]["traced"])
    exact = (0.0,) * len(values)
    agreement = compare(listed, values, exact)
    words = f"relevance propagation, {rules} rules"
    cosine = agreement.cosine if agreement else None
    return Opinion(name="propagation", words=words, family="propagation", cosine=cosine, relevance=values, error=exact)


def affordable(kind: str, players: int) -> tuple[str, dict[str, Any]]:
    """The best removal method within the budget for this kind of input, and its parameters."""
    budget = BUDGET.get(kind, OTHER_BUDGET)
    if players <= 12 and 2**players <= budget:
        return "exact_shapley", {}
    pairs = min(MOST_PAIRS, (budget - 2) // (2 * (players - 1)))
    return ("permutation", {"pairs": pairs}) if pairs >= LEAST_PAIRS else ("occlusion", {})


def listed_under_test(ctx: Context) -> Mapping[str, Any]:
    """The relevance that an earlier tool found. Raises NotApplicable where there is nothing to compare."""
    found = ctx.found.get("relevance")
    if found is None or found.status != "ok":
        raise NotApplicable("There is no relevance that another method could be compared with.")
    if len(found.data["players"]) < 2:
        raise NotApplicable("There is only one input, so methods cannot weigh the inputs differently.")
    return found.data


def game_of(ctx: Context, encoded: Encoded, found: Mapping[str, Any]) -> tuple[Game, str]:
    """The score that was explained as a game of the same inputs, and the name of its background."""
    from xagent.methods import Game
    from xagent.relevance import Target

    background, name = background_of(ctx, encoded, reference_of(ctx))
    contrast = Contrast(found["target_index"], found["foil_index"])
    foil = contrast.foil
    game = Game(
        ctx.subject.forward,
        encoded.inputs,
        encoded.traced,
        Target.index(contrast.target) if foil is None else Target.contrast(contrast.target, foil),
        background.mean(dim=0, keepdim=True),  # one input already, but for a subject that averages over rows
        tuple(player.index for player in encoded.players),
        ctx.subject.module,
        score_coalitions(ctx, encoded, contrast, background),
    )
    return game, name


def values_of(found: Mapping[str, Any], encoded: Encoded) -> tuple[float, ...]:
    """Relevance in the order of the encoder's players."""
    listed = {player["feature"]: player["relevance"] for player in found["players"]}
    return tuple(listed[player.feature] for player in encoded.players)


def opinion(ctx: Context, game: Game, name: str, listed: tuple[float, ...], options: dict[str, Any]) -> Opinion:
    """What one method says; where it does not fit, that and why."""
    from xagent.methods import MethodNotApplicable, explain, method_named

    method = method_named(name)
    try:
        with ctx.subject.lock:
            made: Attribution = explain(game, name, seed=ctx.seed, **options)
    except MethodNotApplicable as reason:
        return Opinion(name=name, words=method.words, family=method.family, status="not applicable", why=reason.message)
    values, error = tuple(made.relevance.tolist()), tuple(made.error.tolist())
    agreement = compare(listed, values, error)
    return Opinion(
        name=name,
        words=method.words,
        family=method.family,
        parameters=dict(made.parameters),
        forwards=made.forwards,
        gap=made.gap if made.complete else None,
        cosine=agreement.cosine if agreement else None,
        relevance=values,
        error=error,
    )


def seen_drivers(
    ctx: Context, encoded: Encoded, listed: tuple[float, ...], other: Opinion, agreement: Agreement
) -> tuple[tuple[SeenDriver, ...], tuple[SeenDriver, ...]]:
    """The list's own top drivers with their states, and the other method's that the list does not have."""
    total = sum(abs(v) for v in other.relevance)
    places = [*zip(agreement.top, agreement.states, strict=True), *((p, "absent") for p in agreement.missed)]
    seen = tuple(
        SeenDriver(
            feature=(player := encoded.players[p]).feature,
            label=ctx.card.feature(player.feature).label if encoded.kind == "tabular" else player.label,
            state=state,
            own=listed[p],
            other=other.relevance[p],
            share=abs(other.relevance[p]) / total if total > 0 else 0.0,
        )
        for p, state in places
    )
    return seen[: len(agreement.top)], seen[len(agreement.top) :]
