"""The claims that follow from what the drift tool found."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from xagent.evidence import Claim, slug
from xagent.tools._base import Context
from xagent.tools._drift_result import DriftResult, FeatureDrift
from xagent.tools._population import label_claims


def drift_claims(data: DriftResult, ctx: Context) -> Iterator[Claim]:
    """`drift.*`: the verdict, what it rests on, and every feature that drifted."""

    def claim(key: str, kind: Any, value: Any, pointer: str, **more: Any) -> Claim:
        more = {"subject": "population", **more}
        return Claim(id=f"drift.{key}", kind=kind, value=value, artifact="drift", pointer=pointer, **more)

    base = data.reference_name
    yield claim("state", "category", data.state, "/state", baseline=base)
    yield claim("window.n", "count", data.n, "/n")
    yield claim("reference.n", "count", data.reference_n, "/reference_n")
    yield claim("features.count", "count", len(data.features), "/features")
    yield claim("drifted.count", "count", data.drifted, "/drifted")
    yield claim("floor", "threshold", data.floor, "/floor")
    yield claim("representation", "text", data.representation, "/representation")
    if data.why is not None:
        yield claim("why", "text", data.why, "/why")
    if data.detectable is not None:
        yield claim("detectable", "value", data.detectable, "/detectable")
    for i, line in enumerate(data.lines):
        if line.check in ("all inputs together", "expected performance", "time line"):
            key = {"all inputs together": "joint", "expected performance": "performance", "time line": "timeline"}
            yield claim(f"{key[line.check]}.state", "category", line.state, f"/lines/{i}/state")
    if data.joint is not None:
        yield claim("joint.auc", "value", data.joint.auc, "/joint/auc")
        yield claim("joint.chance", "value", data.joint.chance, "/joint/chance")
        yield claim("joint.p", "value", data.joint.p, "/joint/p")
        yield claim("joint.n", "count", data.joint.n, "/joint/n")
    told = data.performance
    if told.expected is not None:
        yield claim("performance.expected", "share", told.expected, "/performance/expected", scale="share")
        yield claim("performance.measured", "share", told.measured, "/performance/measured", scale="share")
        yield claim("performance.n", "count", told.n, "/performance/n")
        yield claim("performance.assumption", "text", told.assumption, "/performance/assumption")
    if any(feature.onset for feature in data.features):
        yield claim("timeline.count", "count", data.sub_windows, "/sub_windows")
        yield claim("timeline.order", "text", data.ordered_by, "/ordered_by")
    yield from label_claims(ctx, [feature.name for feature in data.features])
    for i, feature in enumerate(data.features):
        if feature.state == "deviation":
            yield from _feature(feature, f"/features/{i}", ctx, base, claim)


def _feature(feature: FeatureDrift, pointer: str, ctx: Context, base: str, claim: Any) -> Iterator[Claim]:
    key, card = f"feature.{slug(feature.name)}", ctx.card.feature(feature.name)
    more: dict[str, Any] = {"feature": feature.name, "baseline": base}
    strongest = max((j for j, test in enumerate(feature.tests) if test.flagged), key=lambda j: feature.tests[j].effect)
    test, place = feature.tests[strongest], f"{pointer}/tests/{strongest}"
    yield claim(f"{key}.state", "category", feature.state, f"{pointer}/state", **more)
    yield claim(f"{key}.kind", "category", test.kind, f"{place}/kind", **more)
    yield claim(f"{key}.effect", "drift", test.effect, f"{place}/effect", **more)
    yield claim(f"{key}.p", "value", test.p, f"{place}/p", **more)
    if feature.onset is not None:
        at = f"{pointer}/onset"
        yield claim(f"{key}.onset.sub_window", "count", feature.onset.sub_window, f"{at}/sub_window", **more)
        if feature.onset.at is not None:
            yield claim(f"{key}.onset.at", "time", feature.onset.at, f"{at}/at", **more)
    if feature.shift is not None:
        yield claim(
            f"{key}.shift",
            "value",
            feature.shift,
            f"{pointer}/shift",
            unit="days" if feature.kind == "date" else card.unit,
            decimals=card.decimals,
            scale="raw",
            sign=int(np.sign(feature.shift)),
            **more,
        )
