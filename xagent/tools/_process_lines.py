"""The checks of the process tool, each as a line with what it rests on."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from xagent.tools._line import Line, Source
from xagent.tools._process_norm import ALPHA, LEAST, USUAL
from xagent.tools._process_result import ProcessResult
from xagent.tools._traced import State


def lines(
    data: ProcessResult,
    lacks: Mapping[str, str],
    log: tuple[Source, ...],
    baseline: tuple[Source, ...],
    happenings: int,
    version: str,
) -> Iterator[Line]:
    """One line for each check. lacks: what the format cannot say, by topic. version: of the model that is explained."""
    yield from _shape(data, lacks, log, baseline)
    yield _latency(data, lacks, (*log, *baseline))
    for check, found, topic, method in (
        (
            "retries",
            data.retries,
            "steps",
            "siblings of one name in a row, counts of resends, retry events",
        ),
        ("timeouts", len(data.timeouts), "status", "types of errors, HTTP status 408 and 504, gRPC code 4"),
        ("errors", len(data.errors), "status", "spans with an error that none of their children has"),
        ("fallbacks", len(data.fallbacks), "steps", "steps that are marked as standing in for another"),
    ):
        absent = topic in lacks and not found
        yield Line(
            check=check,
            state="deviation" if found else "not supplied" if absent else "ok",
            why=lacks[topic] if absent else None,
            value=float(found),
            n=data.spans,
            method=method,
            sources=log,
        )
    yield _models(data, log)
    yield _guardrails(data, log)
    yield _override(data, log)
    yield _sampling(data, log)
    yield _timeline(data, happenings, version)


def _shape(
    data: ProcessResult, lacks: Mapping[str, str], log: tuple[Source, ...], baseline: tuple[Source, ...]
) -> Iterator[Line]:
    known = data.norm is not None and "steps" not in lacks
    why = None
    if not known:
        why = lacks.get("steps") or (
            f"Fewer than {LEAST} baseline traces are no norm." if data.baseline else "Nobody states the expected steps."
        )
    unknown: State = "cannot tell" if data.baseline and not known else "not supplied"
    method = f"steps of at least {USUAL:.0%} of the baseline traces" if data.norm == "learned" else "stated steps"
    for check, found in (("steps", data.missing), ("order", data.out_of_order)):
        yield Line(
            check=check,
            state=("deviation" if found else "ok") if known else unknown,
            why=why,
            value=float(len(found)) if known else None,
            n=len(data.norm_steps),
            threshold=USUAL if data.norm == "learned" else None,
            method=method,
            sources=(*log, *(baseline if data.norm == "learned" else ())),
        )
    # One orphan instead of a root is a caller that records elsewhere; more than one top means that spans are missing.
    tops = data.roots + data.orphans
    gaps = tops != 1 or data.unfinished > 0
    whole = "parents" not in lacks
    yield Line(
        check="completeness",
        state=("cannot tell" if gaps else "ok") if whole else "not supplied",
        why=lacks.get("parents") or (_gap(data) if gaps else None),
        value=float(data.orphans),
        n=data.spans,
        method="spans without a parent, spans whose parent is absent, spans without an end",
        sources=log,
    )
    timed = "durations" not in lacks
    skewed = "Spans lie outside their parents, as where clocks differ." if data.skewed else None
    yield Line(
        check="clocks",
        state=("cannot tell" if data.skewed else "ok") if timed and whole else "not supplied",
        why=lacks.get("durations") or lacks.get("parents") or skewed,
        value=float(len(data.skewed)),
        n=data.spans,
        threshold=0.001,
        method="spans that end before they start or lie outside their parent, in seconds",
        sources=log,
    )


def _gap(data: ProcessResult) -> str:
    if data.unfinished:
        return "Some spans have no end."
    return "The trace has no root." if not data.roots else "Spans are missing between those that were recorded."


def _latency(data: ProcessResult, lacks: Mapping[str, str], sources: tuple[Source, ...]) -> Line:
    state: State = "ok"
    why = None
    resolution = 1 / (data.baseline + 1) if data.baseline else None
    if "durations" in lacks:
        state, why = "not supplied", lacks["durations"]
    elif not data.baseline:
        state, why = "not supplied", "The case names no baseline traces."
    elif data.latency_p is None or resolution is None:
        state, why = "cannot tell", f"No step stands in {LEAST} baseline traces."
    elif data.latency_p <= ALPHA:
        state = "deviation"
    elif resolution > ALPHA and data.latency_p <= resolution:
        state, why = "cannot tell", "It was slower than all baseline traces, which are too few for a verdict."
    return Line(
        check="latency",
        state=state,
        why=why,
        value=data.latency_p,
        n=data.baseline,
        threshold=ALPHA,
        method="self time of each step in spreads above its median; the largest, ranked among the baseline traces",
        resolution=resolution,
        sources=sources,
    )


def _models(data: ProcessResult, log: tuple[Source, ...]) -> Line:
    same = [call.same for call in data.models]
    state: State = "not supplied"
    if same:
        state = "deviation" if False in same else "cannot tell" if None in same else "ok"
    why = {"not supplied": "The trace names no calls of a model.", "cannot tell": "A call names only one of the two."}
    return Line(
        check="answering model",
        state=state,
        why=why.get(state),
        value=float(len(data.substituted)),
        n=len(same),
        method="the model that was asked against the one that answered; a dated version of a name is the same",
        sources=log,
    )


def _guardrails(data: ProcessResult, log: tuple[Source, ...]) -> Line:
    silent = sum(g.verdict is None for g in data.guardrails)
    state: State = "not supplied" if not data.guardrails else "cannot tell" if silent else "ok"
    why = {
        "not supplied": "No guardrail is recorded, which does not prove that none ran.",
        "cannot tell": "A guardrail ran, and its verdict is not recorded.",
    }
    return Line(
        check="guardrails",
        state=state,
        why=why.get(state),
        value=float(silent),
        n=len(data.guardrails),
        method="verdicts as the guardrails gave them; what they mean is not judged",
        sources=log,
    )


def _override(data: ProcessResult, log: tuple[Source, ...]) -> Line:
    states: dict[str, State] = {"yes": "deviation", "no": "ok", "cannot tell": "cannot tell"}
    state = states[data.override.state]
    return Line(
        check="human override",
        state=state,
        why="No step of a person is recorded, and the trace may be incomplete." if state == "cannot tell" else None,
        value=float(data.override.count),
        n=data.spans,
        method="changes of the outcome that the trace records; none is proof only in a complete trace",
        sources=log,
    )


def _sampling(data: ProcessResult, log: tuple[Source, ...]) -> Line:
    counted = data.format.startswith("OTLP") or data.sampling_share is not None
    state: State = "cannot tell" if data.dropped else "ok" if counted else "not supplied"
    why = {
        "cannot tell": "The recorder threw parts of the trace away.",
        "not supplied": "The trace does not say what was left out.",
    }
    return Line(
        check="sampling",
        state=state,
        why=why.get(state),
        value=float(data.dropped),
        n=data.spans,
        method="attributes, events and links that the recorder counted as dropped",
        sources=log,
    )


def _timeline(data: ProcessResult, happenings: int, version: str) -> Line:
    other = data.release is not None and data.release.version not in (None, version)
    state: State = "not supplied" if not happenings else "deviation" if data.incidents or other else "ok"
    return Line(
        check="time line",
        state=state,
        why=None if happenings else "The case names no releases, changes or incidents.",
        value=float(len(data.incidents)),
        n=happenings,
        method="time of the decision against releases of a model, changes and open incidents",
    )
