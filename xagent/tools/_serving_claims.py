"""The claims that follow from how an input was served."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from xagent.case import TabularInput
from xagent.evidence import Claim, slug
from xagent.tools._base import Context
from xagent.tools._case_claims import SCALES, value_facts
from xagent.tools._line import Line
from xagent.tools._serving_result import ServedFeature, ServingResult
from xagent.tools._traced import Kind, made

_LINES = {"replay": "replay", "logged input": "input", "preprocessing": "preprocess", "training-serving skew": "skew",
          "units": "unit", "age of inputs": "age", "imputed inputs": "imputed"}  # fmt: skip


def claims(data: ServingResult, ctx: Context) -> Iterator[Claim]:
    """Claims of the result. Those about a trace are left out where the case names none."""
    yield _claim("serving.state", "category", data.state, "/state")
    places = {line.check: i for i, line in enumerate(data.lines)}
    for check, key in _LINES.items():
        place = places[check]
        yield _claim(f"serving.{key}.state", "category", data.lines[place].state, f"/lines/{place}/state")
        yield from _why(f"serving.{key}.why", data.lines[place], place)
    if data.trace_id is not None:
        yield from _identities(data)
    yield from _replay(data, ctx)
    stale, imputed = len(data.stale), len(data.imputed)
    if data.trace_id is not None or imputed:
        yield _claim("telemetry.imputed.count", "count", imputed, "/features")
    if data.trace_id is not None:
        yield _claim("telemetry.stale.count", "count", stale, "/features")
        yield _claim("serving.limited.count", "count", data.limited, "/limited")
    if data.compared:
        yield _claim("serving.skew.count", "count", len(data.skewed), "/features")
        yield _claim("serving.skew.compared.count", "count", data.compared, "/compared")
        yield _claim("serving.skew.name", "text", data.offline, "/offline")
    if data.unit_compared:
        yield _claim("serving.unit.count", "count", len(data.suspected), "/features")
        yield _claim("serving.unit.compared.count", "count", data.unit_compared, "/unit_compared")
        yield _claim("serving.unit.seen.share", "share", data.unit_seen, "/unit_seen")
    for i, feature in enumerate(data.features):
        yield from _feature(feature, f"/features/{i}", ctx)


def _why(key: str, line: Line, place: int) -> Iterator[Claim]:
    if line.state == "cannot tell" and line.why is not None:
        yield _claim(key, "text", line.why, f"/lines/{place}/why")


def _identities(data: ServingResult) -> Iterator[Claim]:
    yield _claim("telemetry.version.state", "category", data.version.state, "/version/state")
    yield _claim("telemetry.hash.state", "category", data.hash.state, "/hash/state")
    yield _claim("telemetry.score.state", "category", data.score_state, "/score_state")
    for key, found, pointer in (
        ("telemetry.version.deployed", data.version, "/version/deployed"),
        ("telemetry.hash.deployed", data.hash, "/hash/deployed"),
        ("serving.preprocess.deployed", data.preprocess, "/preprocess/deployed"),
    ):
        if found.deployed is not None:
            yield _claim(key, "text", found.deployed, pointer)


def _replay(data: ServingResult, ctx: Context) -> Iterator[Claim]:
    if data.difference is None:
        return
    scale = SCALES[ctx.case.prediction.scale]
    unit = ctx.case.model.output.unit if ctx.case.prediction.scale == "value" else None
    for key, value, pointer in (
        ("serving.replay.logged", data.logged, "/logged"),
        ("serving.replay.score", data.replayed, "/replayed"),
        ("serving.replay.difference", data.difference, "/difference"),
    ):
        about = {"subject": ctx.case.subject, "artifact": "serving", "pointer": pointer}
        yield Claim(id=key, kind="value", value=value, scale=scale, unit=unit, **about)


def _feature(feature: ServedFeature, pointer: str, ctx: Context) -> Iterator[Claim]:
    part, name = slug(feature.name), feature.name
    yield _claim(f"telemetry.feature.{part}.state", "category", feature.state, f"{pointer}/state", feature=name)
    for field in ("age", "limit"):
        seconds = getattr(feature, field)
        if seconds is not None:
            key = f"telemetry.feature.{part}.{field}"
            yield _claim(key, "value", seconds, f"{pointer}/{field}", feature=name, seconds=True)
    if feature.imputed:
        yield _claim(f"telemetry.feature.{part}.imputed", "category", "yes", f"{pointer}/imputed", feature=name)
    if feature.skewed:
        yield _claim(f"serving.feature.{part}.skew", "category", "yes", f"{pointer}/skewed", feature=name)
        if isinstance(ctx.case.input, TabularInput):  # a passage of a prompt is no figure to print beside another
            yield _value(f"serving.feature.{part}.offline", feature.offline, f"{pointer}/offline", name, ctx)
    if feature.factor is not None:
        yield _claim(f"serving.feature.{part}.unit", "category", "suspected", f"{pointer}/factor", feature=name)
        yield _claim(f"serving.feature.{part}.factor", "value", feature.factor, f"{pointer}/factor", feature=name)
        yield _value(f"serving.feature.{part}.likely", feature.likely, f"{pointer}/likely", name, ctx)


def _value(key: str, value: Any, pointer: str, name: str, ctx: Context) -> Claim:
    facts = value_facts(value, ctx.card.feature(name))
    return Claim(id=key, subject=ctx.case.subject, feature=name, artifact="serving", pointer=pointer, **facts)


def _claim(
    key: str, kind: Kind, value: Any, pointer: str, *, seconds: bool = False, feature: str | None = None
) -> Claim:
    return made("serving", key, kind, value, pointer, seconds=seconds, feature=feature)
