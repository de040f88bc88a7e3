"""The claims that follow from what the deviation tool found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xagent.evidence import Claim, slug
from xagent.tools._base import Context
from xagent.tools._deviation_result import DeviationResult, FeatureCheck
from xagent.tools._population import label_claims


def deviation_claims(data: DeviationResult, ctx: Context) -> Iterator[Claim]:
    """`deviation.*`: the verdict, what it rests on, and every flagged feature."""
    name = data.reference_name

    def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
        more = {"subject": ctx.case.subject, "baseline": name, **more}
        return Claim(id=f"deviation.{key}", kind=kind, value=value, artifact="deviation", pointer=pointer, **more)

    yield claim("state", "category", data.state, "/state")
    yield claim("alpha", "threshold", data.alpha, "/alpha", baseline=None)
    yield claim("calibration.n", "count", data.calibration, "/calibration", subject="population")
    yield claim("reference.n", "count", data.reference_rows, "/reference_rows", subject="population")
    yield claim("features.count", "count", len(data.features), "/features", baseline=None)
    yield claim("outside.count", "count", data.outside, "/outside")
    yield claim("tail.count", "count", data.tail, "/tail")
    yield claim("tail.expected", "value", data.expected_tail, "/expected_tail")
    yield claim("representation", "text", data.representation, "/representation", baseline=None)
    for i, line in enumerate(data.lines):
        if line.check == "contract":
            yield claim("contract.state", "category", line.state, f"/lines/{i}/state", baseline=None)
            yield claim("contract.n", "count", line.n, f"/lines/{i}/n", baseline=None)
    yield claim("contract.count", "count", data.breaches, "/breaches", baseline=None)
    if data.why is not None:
        yield claim("why", "text", data.why, "/why", baseline=None)
    if data.p is not None:
        yield claim("p", "value", data.p, "/p")
    if data.resolution is not None:
        yield claim("resolution", "value", data.resolution, "/resolution")
    for i, cause in enumerate(data.causes):
        yield claim(f"cause.{i + 1}.name", "text", ctx.card.feature(cause).label, f"/causes/{i}", feature=cause)
    yield from label_claims(ctx, [check.name for check in data.features])
    for i, check in enumerate(data.features):
        if check.state != "ok":
            yield from _feature(check, f"/features/{i}", ctx, claim)


def _feature(check: FeatureCheck, pointer: str, ctx: Context, claim: Any) -> Iterator[Claim]:
    key, card = f"feature.{slug(check.name)}", ctx.card.feature(check.name)
    yield claim(f"{key}.state", "category", check.state, f"{pointer}/state", feature=check.name)
    if check.kind is not None:
        yield claim(f"{key}.kind", "category", check.kind, f"{pointer}/kind", feature=check.name)
    if check.percentile is not None:
        yield claim(f"{key}.percentile", "value", check.percentile, f"{pointer}/percentile", feature=check.name)
    for bound in ("minimum", "maximum") if not check.date else ():
        if (value := getattr(check, bound)) is not None:
            more = {"feature": check.name, "unit": card.unit, "decimals": card.decimals, "scale": "raw"}
            yield claim(f"{key}.{bound}", "value", value, f"{pointer}/{bound}", **more)
