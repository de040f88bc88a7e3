"""Did the process that served this prediction go as it should, with the model that is explained?"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, ClassVar, Literal

from xagent.case import TabularInput, resolve_file, sha256_of
from xagent.errors import InvalidCase
from xagent.evidence import Claim, slug
from xagent.telemetry import ProcessTrace, read_trace
from xagent.tools import _process as process
from xagent.tools import _served as served
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._served import State


class Step(Result):
    """One bar of the time line. start_offset: seconds after the first span of the trace. seconds: from start to end;
    self_seconds: less the steps within it; both None for a span that never ended."""

    name: str
    kind: str
    start_offset: float
    seconds: float | None
    self_seconds: float | None
    status: Literal["unset", "ok", "error"]
    retry: bool


class ServedFeature(Result):
    """How one input was served. age: seconds before the decision; limit: the system card's `stale_after_seconds`."""

    name: str
    state: State
    age: float | None
    limit: float | None
    imputed: bool
    source: str | None
    readable: bool


class Override(Result):
    """Whether a person changed the outcome, as the trace records it. at: ISO 8601."""

    state: Literal["yes", "no", "cannot tell"]
    who: str | None
    before: str | None
    after: str | None
    why: str | None
    at: str | None


class Identity(Result):
    """Deployed against explained; `why` says what the state rests on."""

    state: State
    deployed: str | None
    why: str


class Fallback(Result):
    """An answer that `step` gave in the place of `of`."""

    step: str
    of: str


class TelemetryResult(Result):
    """What the trace of one prediction shows. Times are seconds; names are those of the spans."""

    state: State
    format: str
    trace_id: str
    spans: int
    steps_count: int
    steps: tuple[Step, ...]
    expected_state: State
    missing: tuple[str, ...]
    out_of_order: tuple[str, ...]
    unexpected: tuple[str, ...]
    retries: int
    errors: tuple[str, ...]
    fallbacks: tuple[Fallback, ...]
    orphans: int
    roots: int
    skewed: tuple[str, ...]
    unfinished: int
    dropped: int
    duration: float | None
    version: Identity
    hash: Identity
    score_state: State
    score: float | None
    features: tuple[ServedFeature, ...]
    override: Override


class Telemetry(Tool[TelemetryResult]):
    """Steps against expectation, repeats, errors, model identity, age of the data, imputation, human override.

    Raises NotApplicable without telemetry, InvalidCase for a file that cannot be read as one trace.
    """

    name: ClassVar[str] = "telemetry"
    result: ClassVar[type[Result]] = TelemetryResult

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "clock_tolerance_seconds": process.CLOCK_TOLERANCE_NS / 1e9,
            "future_tolerance_seconds": served.FUTURE_TOLERANCE_SECONDS,
            "time_zero": "start of the first span",
            "step_seconds": "length of the span; self_seconds less the steps within it",
        }

    def inputs(self, ctx: Context) -> dict[str, str]:
        source = ctx.case.telemetry
        if source is None:
            return {}
        mapping = {"telemetry mapping": sha256_of(ctx.mapping)} if ctx.mapping and ctx.mapping.is_file() else {}
        return {"telemetry": sha256_of(resolve_file(ctx.case, source.path, "telemetry")), **mapping}

    def run(self, ctx: Context) -> TelemetryResult:
        source = ctx.case.telemetry
        if source is None:
            raise NotApplicable("The case names no telemetry.")
        path = resolve_file(ctx.case, source.path, "telemetry")
        if source.sha256 is not None and sha256_of(path) != source.sha256:
            raise InvalidCase(
                f"telemetry: {path.name} is not the file that the case names by its sha256.",
                "Restore that file, or correct telemetry.sha256.",
            )
        return self._read(read_trace(path, source.trace_id, mapping=ctx.mapping), ctx, source.expected_steps)

    def _read(self, trace: ProcessTrace, ctx: Context, expected: tuple[str, ...]) -> TelemetryResult:
        case = ctx.case
        steps = process.find_steps(trace, expected)
        expectation = process.against_expected(steps, expected)
        dropped = sum(span.dropped for span in trace.spans)
        whole = expectation.state == "ok" and len(trace.roots) + len(trace.orphans) == 1 and not dropped
        spans = served.model_spans(trace, case.model.name)
        explained = getattr(ctx.subject, "sha256", {}).get("model") or case.model.sha256
        score_state, score = served.check_score(spans, case.prediction.score, case.prediction.tolerance)
        override = served.find_override(trace, whole)
        result = TelemetryResult(
            state="ok",
            format=trace.format,
            trace_id=trace.trace_id,
            spans=len(trace.spans),
            steps_count=sum(not step.retry for step in steps),
            steps=tuple(_step(step, trace) for step in steps),
            expected_state=expectation.state,
            missing=expectation.missing,
            out_of_order=expectation.out_of_order,
            unexpected=expectation.unexpected,
            retries=process.count_retries(trace),
            errors=tuple(span.name for span in process.find_errors(trace)),
            fallbacks=tuple(Fallback(step=step, of=of) for step, of in served.find_fallbacks(trace)),
            orphans=len(trace.orphans),
            roots=len(trace.roots),
            skewed=tuple(span.name for span in process.find_skew(trace)),
            unfinished=sum(span.end_ns is None and not span.instant for span in trace.spans),
            dropped=dropped,
            duration=process.duration(trace),
            version=Identity(**vars(served.check_version(spans, case.model.name, case.model.version))),
            hash=Identity(**vars(served.check_hash(spans, explained))),
            score_state=score_state,
            score=score,
            features=tuple(_features(trace, ctx)),
            override=Override(**vars(override)),
        )
        return result.model_copy(update={"state": _overall(result)})

    def claims(self, data: TelemetryResult, ctx: Context) -> Iterator[Claim]:
        for key, value, pointer in (
            ("state", data.state, "/state"),
            ("expected.state", data.expected_state, "/expected_state"),
            ("version.state", data.version.state, "/version/state"),
            ("hash.state", data.hash.state, "/hash/state"),
            ("score.state", data.score_state, "/score_state"),
            ("override.state", data.override.state, "/override/state"),
        ):
            yield _claim(key, "category", value, pointer)
        stale = [f for f in data.features if f.state == "deviation"]
        for key, count, pointer in (
            ("spans.count", data.spans, "/spans"),
            ("steps.count", data.steps_count, "/steps_count"),
            ("missing.count", len(data.missing), "/missing"),
            ("order.count", len(data.out_of_order), "/out_of_order"),
            ("retries.count", data.retries, "/retries"),
            ("errors.count", len(data.errors), "/errors"),
            ("fallback.count", len(data.fallbacks), "/fallbacks"),
            ("orphans.count", data.orphans, "/orphans"),
            ("skew.count", len(data.skewed), "/skewed"),
            ("dropped.count", data.dropped, "/dropped"),
            ("stale.count", len(stale), "/features"),
            ("imputed.count", sum(f.imputed for f in data.features), "/features"),
        ):
            yield _claim(key, "count", count, pointer)
        for key, names, pointer in (
            ("missing", data.missing, "/missing"),
            ("order", data.out_of_order, "/out_of_order"),
            ("errors", data.errors, "/errors"),
        ):
            for i, name in enumerate(names):
                yield _claim(f"{key}.{i + 1}.name", "text", name, f"{pointer}/{i}")
        for i, fallback in enumerate(data.fallbacks):
            yield _claim(f"fallback.{i + 1}.name", "text", fallback.step, f"/fallbacks/{i}/step")
            yield _claim(f"fallback.{i + 1}.of", "text", fallback.of, f"/fallbacks/{i}/of")
        if data.duration is not None:
            yield _claim("duration", "value", data.duration, "/duration", seconds=True)
        timed = [i for i, step in enumerate(data.steps) if step.self_seconds is not None]
        if timed:
            slowest = max(timed, key=lambda i: (data.steps[i].self_seconds or 0.0, -i))
            yield _claim("slowest.name", "text", data.steps[slowest].name, f"/steps/{slowest}/name")
            yield _claim(
                "slowest.seconds",
                "value",
                data.steps[slowest].self_seconds,
                f"/steps/{slowest}/self_seconds",
                seconds=True,
            )
        if data.version.deployed is not None:
            yield _claim("version.deployed", "text", data.version.deployed, "/version/deployed")
        if data.hash.deployed is not None:
            yield _claim("hash.deployed", "text", data.hash.deployed, "/hash/deployed")
        yield from _override_claims(data.override)
        for i, feature in enumerate(data.features):
            yield from _feature_claims(feature, f"/features/{i}")


def _step(step: process.StepSpan, trace: ProcessTrace) -> Step:
    return Step(
        name=step.span.name,
        kind=step.kind,
        start_offset=(step.span.start_ns - trace.start_ns) / 1e9,
        seconds=step.span.seconds,
        self_seconds=step.self_seconds,
        status=step.span.status,
        retry=step.retry,
    )


def _features(trace: ProcessTrace, ctx: Context) -> Iterator[ServedFeature]:
    """Inputs that the trace speaks of, and those whose age the system card limits."""
    spoken = served.served_features(trace, ctx.case.decided_at)
    used = ctx.case.input.values if isinstance(ctx.case.input, TabularInput) else {}
    limited = {name for name in used if ctx.card.feature(name).stale_after_seconds is not None}
    for name in sorted(spoken.keys() | limited):
        found = spoken.get(name, served.Served(None, False, None, True))
        limit = ctx.card.feature(name).stale_after_seconds
        yield ServedFeature(
            name=name,
            state=served.staleness(found.age, limit),
            age=found.age,
            limit=limit,
            imputed=found.imputed,
            source=found.source,
            readable=found.readable,
        )


def _overall(data: TelemetryResult) -> State:
    """`deviation` for anything that went otherwise than it should; `ok` only when everything could be checked."""
    went_wrong = (
        bool(data.missing or data.out_of_order or data.retries or data.errors or data.fallbacks),
        data.override.state == "yes",
        any(f.state == "deviation" or f.imputed for f in data.features),
        "deviation" in (data.version.state, data.hash.state, data.score_state),
    )
    if any(went_wrong):
        return "deviation"
    unknown = {data.expected_state, data.version.state, data.hash.state, *(f.state for f in data.features if f.limit)}
    # One orphan instead of a root is a caller that records elsewhere; more than one top means that spans are missing.
    partial = data.roots + data.orphans != 1 or data.dropped or data.unfinished or data.skewed
    return "cannot tell" if unknown != {"ok"} or partial else "ok"


def _override_claims(override: Override) -> Iterator[Claim]:
    roles = (("who", "who"), ("from", "before"), ("to", "after"), ("why", "why"))
    for key, field in roles:
        if (text := getattr(override, field)) is not None:
            yield _claim(f"override.{key}", "text", text, f"/override/{field}")
    if override.at is not None:
        yield _claim("override.at", "time", override.at, "/override/at")


def _feature_claims(feature: ServedFeature, pointer: str) -> Iterator[Claim]:
    key = f"feature.{slug(feature.name)}"
    yield _claim(f"{key}.state", "category", feature.state, f"{pointer}/state", feature=feature.name)
    for field in ("age", "limit"):
        seconds = getattr(feature, field)
        if seconds is not None:
            yield _claim(f"{key}.{field}", "value", seconds, f"{pointer}/{field}", feature=feature.name, seconds=True)
    if feature.imputed:
        yield _claim(f"{key}.imputed", "category", "yes", f"{pointer}/imputed", feature=feature.name)


def _claim(
    key: str,
    kind: Literal["category", "count", "text", "time", "value"],
    value: str | float | None,
    pointer: str,
    *,
    feature: str | None = None,
    seconds: bool = False,
) -> Claim:
    return Claim(
        id=f"telemetry.{key}",
        kind=kind,
        subject="process",
        feature=feature,
        value=value,
        unit="s" if seconds else None,
        scale="seconds" if seconds else "none",
        artifact="telemetry",
        pointer=pointer,
    )
