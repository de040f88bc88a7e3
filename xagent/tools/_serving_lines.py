"""The checks of the serving tool, each as a line with what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from xagent.case import TabularInput
from xagent.telemetry import ProcessTrace
from xagent.tools._base import Context
from xagent.tools._line import Line, Source, sources_of
from xagent.tools._serving_inputs import Logged
from xagent.tools._serving_result import Identity, ServedFeature, ServingResult
from xagent.tools._serving_units import LEAST
from xagent.tools._traced import NO_TRACE, State, traced

SEEN = 0.5
"""Where fewer of the reference's values would show an error of a factor of ten, its absence says nothing."""
_HASH = "SHA-256 of the file that is explained against the one that the trace names"


def lines(
    ctx: Context,
    data: ServingResult,
    trace: ProcessTrace | None,
    logged: Logged | None,
    own: tuple[Source, ...],
) -> Iterator[Line]:
    """One line for each check, in the order in which a reader should trust them. own: files of the model."""
    log = traced(trace)
    yield _replay(data, trace, (*own, *log))
    yield _recorded(ctx, data, log)
    yield Line(
        check="logged input",
        state=logged.state if logged else "not supplied",
        why=logged.why if logged else NO_TRACE,
        n=logged.n if logged else 0,
        method="the input that is explained against the content that the trace holds",
        sources=log,
    )
    yield _identity("model version", data.version, "name and version of the model against those of the trace", log)
    yield _identity("model file", data.hash, _HASH, (*_of(own, "model"), *log))
    yield _identity(
        "preprocessing", data.preprocess, "version and SHA-256 of the preprocessing", (*_of(own, "encoder"), *log)
    )
    yield _age(data.features, trace, log)
    yield _imputed(data, trace, log)
    yield _skew(data)
    yield _units(ctx, data)


def _of(sources: Sequence[Source], role: str) -> tuple[Source, ...]:
    return tuple(source for source in sources if source.role == role)


def _replay(data: ServingResult, trace: ProcessTrace | None, sources: tuple[Source, ...]) -> Line:
    state: State
    why: str | None = None
    if trace is None:
        state, why = "not supplied", NO_TRACE
    elif data.difference is not None:
        state = "ok" if abs(data.difference) <= data.tolerance else "deviation"
    else:
        state = "cannot tell"
        why = "The trace gives no score." if data.logged is None else "The model was not run again."
    return Line(
        check="replay",
        state=state,
        why=why,
        value=None if data.difference is None else abs(data.difference),
        n=int(data.logged is not None),
        threshold=data.tolerance,
        method="the model run again on the input, against the score of the trace that lies farthest from it",
        sources=sources,
    )


def _recorded(ctx: Context, data: ServingResult, log: tuple[Source, ...]) -> Line:
    why = {"not supplied": NO_TRACE, "cannot tell": "The trace gives no score."}.get(data.score_state)
    return Line(
        check="logged score",
        state=data.score_state,
        why=why,
        value=data.logged,
        n=int(data.logged is not None),
        threshold=ctx.case.prediction.tolerance,
        method="the score of the trace against the recorded one",
        sources=log,
    )


def _identity(check: str, found: Identity, method: str, sources: tuple[Source, ...]) -> Line:
    return Line(
        check=check,
        state=found.state,
        why=None if found.state == "ok" else found.why,
        n=int(found.deployed is not None),
        method=method,
        sources=sources,
    )


def _age(features: Sequence[ServedFeature], trace: ProcessTrace | None, log: tuple[Source, ...]) -> Line:
    limited = [f for f in features if f.limit is not None]
    late = [f for f in features if f.state == "deviation"]
    blind = sum(f.state == "cannot tell" for f in limited)
    state: State = "deviation" if late else "cannot tell" if blind else "ok"
    why = f"{blind} inputs with a limit have no time." if blind and not late else None
    if trace is None:
        state, why = "not supplied", NO_TRACE
    elif not limited and not late:
        state, why = "not supplied", "The system card limits the age of no input."
    return Line(
        check="age of inputs",
        state=state,
        why=why,
        value=float(len(late)),
        n=sum(f.age is not None for f in features),
        method="time of the decision less the oldest event time of the input, against the system card's limit",
        sources=log,
    )


def _imputed(data: ServingResult, trace: ProcessTrace | None, log: tuple[Source, ...]) -> Line:
    unsure = sum(f.defaulted for f in data.features)
    spoken = any(f.age is not None or f.imputed or f.source is not None for f in data.features)
    state: State = "deviation" if data.imputed else "cannot tell" if unsure else "ok"
    why = f"{unsure} inputs have the value that stands for a missing one." if unsure else None
    if not data.imputed and not unsure:
        if trace is None:
            state, why = "not supplied", NO_TRACE
        elif not spoken:
            state, why = "not supplied", "The trace does not speak of the inputs."
    return Line(
        check="imputed inputs",
        state=state,
        why=None if state == "deviation" else why,
        value=float(len(data.imputed)),
        n=len(data.features),
        method="marks in the trace, missing values of the case, and the system card's defaults",
        sources=log,
    )


def _skew(data: ServingResult) -> Line:
    state: State = "not supplied" if not data.compared else "deviation" if data.skewed else "ok"
    return Line(
        check="training-serving skew",
        state=state,
        why=None if data.compared else "No row was computed again offline.",
        value=float(len(data.skewed)) if data.compared else None,
        n=data.compared,
        method="served values against the offline row, with the tolerance that the case states",
    )


def _units(ctx: Context, data: ServingResult) -> Line:
    state: State = "ok"
    why: str | None = None
    if data.suspected:
        state = "deviation"
    elif ctx.case.reference is None:
        state, why = "not supplied", "The case names no reference population."
    elif not isinstance(ctx.case.input, TabularInput):
        state, why = "not supplied", "The input holds no amounts."
    elif data.unit_seen is None:
        state, why = "cannot tell", f"No input is an amount with {LEAST} reference values."
    elif data.unit_seen < SEEN:
        state, why = "cannot tell", "The reference is so wide that most errors of a factor of ten would not show."
    return Line(
        check="units",
        state=state,
        why=why,
        value=float(len(data.suspected)) if data.unit_compared else None,
        n=data.unit_compared,
        threshold=data.unit_alpha,
        method="power-law tail of the reference (Hill 1975); the value is common when 10, 100 or 1000 is divided out",
        resolution=data.unit_seen,
        sources=sources_of(ctx, "reference"),
    )
