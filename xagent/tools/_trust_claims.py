"""What may be said about how far an explanation can be relied on."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xagent.evidence import Claim
from xagent.tools._base import Context
from xagent.tools._trust_result import Checks, TrustResult

MOST_NAMED = 6
"""Groups that are named; more would not be read, and the artifact holds all."""


def trust_claims(data: TrustResult, ctx: Context) -> Iterator[Claim]:
    """All claims of the artifact; the level, the weakest check and the reason alone when nothing could be measured."""

    def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
        more = {"subject": ctx.case.subject, **more}
        return Claim(id=f"trust.{key}", kind=kind, value=value, artifact="trust", pointer=pointer, **more)

    yield claim("level", "category", data.level, "/level")
    yield claim("weakest", "text", data.weakest, "/weakest")
    if data.calibrated_for is not None:
        yield claim("calibrated.name", "text", data.calibrated_for, "/calibrated_for", subject="model")
    if "trust" in data.absent:
        yield claim("why", "text", data.absent["trust"], "/absent/trust")
        return
    yield claim("cited.count", "count", len(data.cited), "/cited")
    yield claim("groups.count", "count", data.groups, "/groups")
    yield from _checks(data, claim, "", "")
    if data.off_manifold is not None:
        state = "deviation" if data.off_manifold > data.limits["off_manifold"]["fair"] else "ok"
        yield claim("off_manifold.state", "category", state, "/off_manifold")
    for key, value in (("gap", data.gap), ("order.z", data.order)):
        if value is not None:
            yield claim(key, "value", value, f"/{key.partition('.')[0]}")
    for n, group in enumerate(data.together[:MOST_NAMED]):
        yield claim(f"group.{n + 1}.name", "text", " + ".join(group.labels), f"/together/{n}/labels")
        yield claim(f"group.{n + 1}.correlation", "value", group.correlation, f"/together/{n}/correlation")
    if (seen := data.sensitivity) is not None:
        at = "/sensitivity"
        yield claim("baseline.count", "count", len(seen.tried), f"{at}/tried")
        yield claim("baseline.kept.share", "share", seen.kept, f"{at}/kept", scale="share")
        yield claim("baseline.worst.name", "text", seen.worst, f"{at}/worst")
        yield claim("baseline.first", "category", seen.first, f"{at}/first")
        yield claim("baseline.first.under", "text", seen.first_under, f"{at}/first_under")
        for n, (feature, label) in enumerate(zip(seen.moved, seen.moved_labels, strict=True)):
            yield claim(f"baseline.moved.{n + 1}.name", "text", label, f"{at}/moved_labels/{n}", feature=feature)
    if data.conditional is not None:
        yield claim("conditional.level", "category", data.conditional.level, "/conditional/level")
        if data.conditional.why is None:
            yield from _checks(data.conditional, claim, "conditional.", "/conditional")


def _checks(data: Checks, claim: Any, prefix: str, at: str) -> Iterator[Claim]:
    yield claim(f"{prefix}coalitions.count", "count", data.coalitions, f"{at}/coalitions")
    yield claim(f"{prefix}exhaustive", "category", "yes" if data.exhaustive else "no", f"{at}/exhaustive")
    values = {"ceiling": data.ceiling, "fidelity": data.fidelity, "agreement": data.agreement}
    for key, value in values.items():
        if value is not None:
            yield claim(f"{prefix}{key}", "value", value, f"{at}/{key}")
    if data.shapley is not None:
        yield claim(f"{prefix}shapley.cosine", "value", data.shapley, f"{at}/shapley")
    if data.ratio is not None:
        yield claim(f"{prefix}ratio", "value", data.ratio, f"{at}/ratio", uncertainty=data.interval)
    shares: dict[str, tuple[float | None, str]] = {
        # The part of the variance that a fit with correlation C explains is C squared.
        "described.share": (None if data.ceiling is None else max(data.ceiling, 0.0) ** 2, "/ceiling"),
        "reached.share": (data.ratio, "/ratio"),
        "keep.share": (data.keep_share, "/keep_share"),
        "random.share": (data.random_share, "/random_share"),
        "random.flips.share": (data.random_flips, "/random_flips"),
        "off_manifold": (data.off_manifold, "/off_manifold"),
    }
    if data.interval is not None and not data.exhaustive:
        shares |= {f"reached.{end}": (data.interval[n], f"/interval/{n}") for n, end in enumerate(("low", "high"))}
    for key, (value, pointer) in shares.items():
        if value is not None:
            yield claim(f"{prefix}{key}", "share", value, f"{at}{pointer}", scale="share")
    if data.flips is not None:
        yield claim(f"{prefix}remove.flips", "category", "yes" if data.flips else "no", f"{at}/flips")
    if data.controls:
        yield claim(f"{prefix}controls.count", "count", data.controls, f"{at}/controls")
