"""Was the input served wrongly: another model, another input, stale, imputed or skewed values, a wrong unit?"""

from __future__ import annotations

import statistics
from collections.abc import Iterator, Mapping
from typing import Any, ClassVar

from xagent.case import Case, TabularInput
from xagent.evidence import Claim
from xagent.telemetry import ProcessTrace
from xagent.tools import _served as served
from xagent.tools import _serving_inputs as inputs
from xagent.tools import _serving_units as units
from xagent.tools._base import Context, Result, Tool
from xagent.tools._line import Line, Source, sources_of
from xagent.tools._population import reference_columns
from xagent.tools._serving_claims import claims
from xagent.tools._serving_lines import lines
from xagent.tools._serving_result import Identity, ServedFeature, ServingResult
from xagent.tools._traced import NO_TRACE, State, overall, state_of, trace_files, trace_of


class Serving(Tool[ServingResult]):
    """Replay against the log, deployed against explained, age, imputation, skew and units of the inputs.

    Every check is made as far as its evidence was supplied; what was not is said line by line. Raises InvalidCase for
    a file that cannot be read as one trace, and for an offline row that names an input which the case lacks.
    """

    name: ClassVar[str] = "serving"
    needs: ClassVar[tuple[str, ...]] = ("reproduction",)
    result: ClassVar[type[Result]] = ServingResult

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "future_tolerance_seconds": served.FUTURE_TOLERANCE_SECONDS,
            "unit_factors": list(units.FACTORS),
            "unit_alpha": units.ALPHA,
            "unit_least_rows": units.LEAST,
        }

    def inputs(self, ctx: Context) -> dict[str, str]:
        known: Mapping[str, str] = getattr(ctx.subject, "sha256", {})
        return {**known, **{s.role: s.sha256 for s in sources_of(ctx, "reference")}, **trace_files(ctx)}

    def run(self, ctx: Context) -> ServingResult:
        case = ctx.case
        trace = trace_of(ctx, keep_payloads=True)
        spans = served.model_spans(trace, case.model.name) if trace else []
        known: Mapping[str, str] = getattr(ctx.subject, "sha256", {})
        none = Identity(state="not supplied", deployed=None, why=NO_TRACE)
        prediction, replayed = case.prediction, _replayed(ctx)
        score_state, score = served.check_score(spans, prediction.score, prediction.tolerance)
        if trace is None:
            score_state = "not supplied"
        if replayed is not None:  # the score of the log that lies farthest from what the model answers
            _, score = served.check_score(spans, replayed, prediction.tolerance)
        found, compared = _features(ctx, trace)
        found, judged, seen = _units(ctx, found)
        explained = known.get("model") or case.model.sha256
        offline = case.serving.offline if case.serving else None
        result = ServingResult(
            state="ok",
            trace_id=trace.trace_id if trace else None,
            replayed=replayed,
            logged=score,
            difference=None if score is None or replayed is None else score - replayed,
            tolerance=prediction.tolerance,
            version=_identity(served.check_version(spans, case.model.name, case.model.version)) if trace else none,
            hash=_identity(served.check_hash(spans, explained)) if trace else none,
            preprocess=_identity(_preprocess(ctx, trace, known.get("encoder"))) if trace else none,
            score_state=score_state,
            features=found,
            limited=sum(f.limit is not None for f in found),
            compared=compared,
            offline=offline.name if offline else None,
            unit_compared=judged,
            unit_seen=seen,
            unit_alpha=units.ALPHA,
            lines=(),
        )
        logged = inputs.logged_input(case, trace) if trace else None
        said = tuple(lines(ctx, result, trace, logged, _own_files(ctx)))
        return result.model_copy(update={"lines": said, "state": _overall(said, trace is not None or compared > 0)})

    def claims(self, data: ServingResult, ctx: Context) -> Iterator[Claim]:
        yield from claims(data, ctx)


def _overall(said: tuple[Line, ...], supplied: bool) -> State:
    """The worst line; `ok` only where the model, run again, gives the answer of the log."""
    state = overall(line.state for line in said)
    if state != "ok" or state_of(said, "replay") == "ok":
        return state
    return "cannot tell" if supplied else "not supplied"


def _own_files(ctx: Context) -> tuple[Source, ...]:
    known: Mapping[str, str] = getattr(ctx.subject, "sha256", {})
    return tuple(Source(role=role, sha256=digest) for role, digest in sorted(known.items()))


def _identity(found: served.Identity) -> Identity:
    return Identity(**vars(found))


def _replayed(ctx: Context) -> float | None:
    artifact = ctx.found.get("reproduction")
    if artifact is None or artifact.status != "ok":
        return None
    score = artifact.data.get("recomputed")
    return float(score) if isinstance(score, int | float) else None


def _preprocess(ctx: Context, trace: ProcessTrace, encoder: str | None) -> served.Identity:
    stated = ctx.case.serving.preprocess_version if ctx.case.serving else None
    return served.check_preprocess(trace, stated, encoder)


def _features(ctx: Context, trace: ProcessTrace | None) -> tuple[tuple[ServedFeature, ...], int]:
    """Inputs that anything is known of, by name, and how many were computed again offline."""
    case, names = ctx.case, inputs.player_names(ctx.case)
    spoken = {}
    if trace is not None:
        spoken = {names.get(k, k): v for k, v in served.served_features(trace, case.decided_at).items()}
    offline = case.serving.offline if case.serving else None
    compared, differ = inputs.skewed(case, offline) if offline else (0, [])
    other = {d.name: d for d in differ}
    used = inputs.served_values(case)
    limits = {name: _limit(ctx, name, names) for name in {*used, *spoken}}
    missing = {name for name, value in used.items() if value is None} if isinstance(case.input, TabularInput) else set()
    told = {*spoken, *other, *missing, *(name for name, limit in limits.items() if limit is not None and name in used)}
    told |= {name for name in used if _is_default(ctx, name, used[name])}
    found = []
    for name in sorted(told):
        record = spoken.get(name, served.Served(None, False, None, True))
        imputed = record.imputed or name in missing
        found.append(
            ServedFeature(
                name=name,
                state=served.staleness(record.age, limits.get(name)),
                age=record.age,
                limit=limits.get(name),
                imputed=imputed,
                defaulted=not imputed and not record.judged and _is_default(ctx, name, used.get(name)),
                source=record.source,
                readable=record.readable,
                skewed=name in other,
                offline=other[name].offline if name in other else None,
                difference=other[name].absolute if name in other else None,
            )
        )
    return tuple(found), compared


def _limit(ctx: Context, name: str, names: Mapping[str, str]) -> float | None:
    """The card's limit, under the name that the explanation uses or under that of the source."""
    called = [name, *(given for given, player in names.items() if player == name)]
    return next((s for key in called if (s := ctx.card.feature(key).stale_after_seconds) is not None), None)


def _is_default(ctx: Context, name: str, value: Any) -> bool:
    default = ctx.card.feature(name).default
    return default is not None and value is not None and value == default and isinstance(ctx.case.input, TabularInput)


def _units(ctx: Context, known: tuple[ServedFeature, ...]) -> tuple[tuple[ServedFeature, ...], int, float | None]:
    """The features with what is suspected of their units, how many could be judged, and the median of what is seen."""
    numbers = _numbers(ctx.case, ctx)
    if ctx.case.reference is None or not numbers:
        return known, 0, None
    rows, _, _ = reference_columns(ctx)
    columns = {column.name: column for column in rows.columns if column.kind == "numeric" and column.name in numbers}
    alpha = units.ALPHA / max(1, len(columns))
    judged, suspected = [], {}
    for name, column in sorted(columns.items()):
        outcome = units.unit_error(numbers[name], column.ordered, alpha)
        if outcome is not None:
            judged.append(outcome[1])
            if outcome[0] is not None:
                suspected[name] = outcome[0]
    by_name = {feature.name: feature for feature in known}
    for name, suspicion in suspected.items():
        limit = ctx.card.feature(name).stale_after_seconds
        plain = ServedFeature(
            name=name, state=served.staleness(None, limit), age=None, limit=limit, imputed=False, readable=True
        )
        update = {"factor": suspicion.factor, "likely": suspicion.likely}
        by_name[name] = by_name.get(name, plain).model_copy(update=update)
    found = tuple(by_name[name] for name in sorted(by_name))
    return found, len(judged), statistics.median(judged) if judged else None


def _numbers(case: Case, ctx: Context) -> dict[str, float]:
    """Inputs that are amounts, not levels."""
    if not isinstance(case.input, TabularInput):
        return {}
    return {
        name: float(value)
        for name, value in case.input.values.items()
        if isinstance(value, int | float)
        and not isinstance(value, bool)
        and ctx.card.feature(name).kind in ("numeric", "integer")
    }
