"""Did the process that served this prediction go as it should?"""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any, ClassVar

from xagent.case import Case, Happening, resolve_file, sha256_of
from xagent.errors import InvalidCase
from xagent.evidence import Claim
from xagent.telemetry import (
    Fact,
    ProcessTrace,
    fallbacks,
    guardrails,
    model_calls,
    overrides,
    read_traces,
    sampling,
    timeouts,
)
from xagent.tools import _process as process
from xagent.tools import _process_norm as norms
from xagent.tools._base import Context, NotApplicable, Result, Tool
from xagent.tools._line import Line, Source
from xagent.tools._process_claims import claims
from xagent.tools._process_lines import lines
from xagent.tools._process_result import Fallback, ModelCall, Moment, Override, ProcessResult, Slow, Step, Verdict
from xagent.tools._served import plain_text
from xagent.tools._traced import NO_TRACE, State, overall, trace_files, trace_of, traced


class Process(Tool[ProcessResult]):
    """Steps against expectation or norm, latency, repeats, errors, stand-ins, guardrails, people, and what is missing.

    Raises NotApplicable without telemetry, InvalidCase for a file that cannot be read as one trace.
    """

    name: ClassVar[str] = "process"
    result: ClassVar[type[Result]] = ProcessResult

    def parameters(self, ctx: Context) -> dict[str, Any]:
        return {
            "clock_tolerance_seconds": process.CLOCK_TOLERANCE_NS / 1e9,
            "norm_share": norms.USUAL,
            "norm_least_traces": norms.LEAST,
            "latency_alpha": norms.ALPHA,
            "time_zero": "start of the first span",
            "step_seconds": "length of the span; self_seconds less the steps within it",
        }

    def inputs(self, ctx: Context) -> dict[str, str]:
        return {**trace_files(ctx), **{s.role: s.sha256 for s in _baseline_file(ctx)}}

    def run(self, ctx: Context) -> ProcessResult:
        source, trace = ctx.case.telemetry, trace_of(ctx)
        if source is None or trace is None:
            raise NotApplicable(NO_TRACE)
        steps = process.find_steps(trace, source.expected_steps)
        norm = _norm(ctx, trace)
        stated = bool(source.expected_steps)
        learned = not stated and norm is not None and norm.n >= norms.LEAST
        if stated or not learned or norm is None:
            expectation = process.against_expected(steps, source.expected_steps)
            usual: tuple[str, ...] = source.expected_steps
        else:
            expectation, usual = norms.against_norm(steps, norm), norm.steps
        if "steps" in trace.lacks:
            expectation = process.Expectation("not supplied", (), (), ())
        latency_p, latency = norms.latencies(steps, norm) if norm else (None, [])
        left_out = sampling(trace)
        whole = expectation.state == "ok" and len(trace.roots) + len(trace.orphans) == 1 and not left_out.dropped
        share = left_out.share.value if left_out.share else None
        release, change, open_incidents = _happenings(ctx.case)
        result = ProcessResult(
            state="ok",
            format=trace.format,
            trace_id=trace.trace_id,
            spans=len(trace.spans),
            steps_count=sum(not step.retry for step in steps),
            steps=tuple(_step(step, trace) for step in steps),
            norm="stated" if stated else "learned" if learned else None,
            norm_steps=usual,
            baseline=norm.n if norm else 0,
            expected_state=expectation.state,
            missing=expectation.missing,
            out_of_order=expectation.out_of_order,
            unexpected=expectation.unexpected,
            orphans=len(trace.orphans),
            roots=len(trace.roots),
            skewed=tuple(span.name for span in process.find_skew(trace)),
            unfinished=sum(span.end_ns is None and not span.instant for span in trace.spans),
            retries=process.count_retries(trace),
            timeouts=_timed_out(trace),
            errors=tuple(span.name for span in process.find_errors(trace)),
            fallbacks=tuple(_fallbacks(trace)),
            models=tuple(_calls(trace)),
            guardrails=tuple(_verdicts(trace)),
            override=_override(trace, whole),
            dropped=left_out.dropped,
            sampling_share=float(share) if isinstance(share, int | float) and 0 <= share <= 1 else None,
            duration=process.duration(trace),
            latency_p=latency_p,
            latency=tuple(Slow(**vars(found), slow=found.p <= norms.ALPHA) for found in latency),
            release=release,
            incidents=open_incidents,
            change=change,
            lacks=tuple(trace.lacks[topic] for topic in sorted(trace.lacks)),
            lines=(),
        )
        log = traced(trace)
        said = tuple(
            lines(result, trace.lacks, log, _baseline_file(ctx), len(ctx.case.timeline), ctx.case.model.version)
        )
        return result.model_copy(update={"lines": said, "state": _overall(said)})

    def claims(self, data: ProcessResult, ctx: Context) -> Iterator[Claim]:
        yield from claims(data, ctx.case.model.version)


def _overall(said: tuple[Line, ...]) -> State:
    """The worst line; not `ok` where nobody knows which steps should have run."""
    state = overall(line.state for line in said)
    known = all(line.state == "ok" for line in said if line.check == "steps")
    return "cannot tell" if state == "ok" and not known else state


def _baseline_file(ctx: Context) -> tuple[Source, ...]:
    source = ctx.case.telemetry
    if source is None or source.baseline is None:
        return ()
    path = resolve_file(ctx.case, source.baseline, "telemetry.baseline")
    found = sha256_of(path)
    if source.baseline_sha256 is not None and found != source.baseline_sha256:
        raise InvalidCase(
            f"telemetry.baseline: {path.name} is not the file that the case names by its sha256.",
            "Restore that file, or correct telemetry.baseline_sha256.",
        )
    return (Source(role="baseline traces", sha256=found),)


def _norm(ctx: Context, trace: ProcessTrace) -> norms.Norm | None:
    """What the baseline traces have in common; the trace that is judged is none of them."""
    source = ctx.case.telemetry
    if source is None or source.baseline is None:
        return None
    _baseline_file(ctx)
    path = resolve_file(ctx.case, source.baseline, "telemetry.baseline")
    known = [t for t in read_traces(path, mapping=ctx.mapping) if t.trace_id != trace.trace_id]
    return norms.learn(known, source.expected_steps)


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


def _timed_out(trace: ProcessTrace) -> tuple[str, ...]:
    """Names of the spans that timed out, less those that only pass on a child's timeout."""
    late = {fact.origin.span_id for fact in timeouts(trace) if fact.origin.place != "resource"}
    above = {span.parent_id for span in trace.spans if span.span_id in late}
    return tuple(span.name for span in trace.spans if span.span_id in late and span.span_id not in above)


def _words(fact: Fact | None) -> str | None:
    return plain_text(fact.value) if fact else None


def _fallbacks(trace: ProcessTrace) -> Iterator[Fallback]:
    for found in fallbacks(trace):
        of = _words(found.of)
        if of is not None:
            yield Fallback(step=found.span.name, of=of, why=_words(found.why))


def _calls(trace: ProcessTrace) -> Iterator[ModelCall]:
    for call in model_calls(trace):
        yield ModelCall(
            step=call.span.name, requested=_words(call.requested), answered=_words(call.answered), same=call.same
        )


def _verdicts(trace: ProcessTrace) -> Iterator[Verdict]:
    for found in guardrails(trace):
        told = [text for fact in found.verdicts if (text := _words(fact)) is not None]
        yield Verdict(
            name=_words(found.name) or found.span.name,
            version=_words(found.version),
            on=_words(found.on),
            verdict="; ".join(dict.fromkeys(told)) or None,
            why=_words(found.why),
        )


def _override(trace: ProcessTrace, complete: bool) -> Override:
    """The last change of the outcome by a person. That none is recorded is proof only where a step of kind `human` ran
    without one, or where the trace is complete."""
    found = [o for o in overrides(trace) if any(_words(part) for part in (o.who, o.before, o.after, o.why))]
    if not found:
        seen = any(span.attributes.get("xagent.step.kind") == "human" for span in trace.spans)
        return Override(state="no" if seen or complete else "cannot tell")
    last = found[-1]
    return Override(
        state="yes",
        count=len(found),
        who=_words(last.who),
        before=_words(last.before),
        after=_words(last.after),
        why=_words(last.why),
        at=_stated_time(last.at) or _iso(datetime.fromtimestamp(last.time_ns // 1_000_000_000, UTC)),
    )


def _stated_time(fact: Fact | None) -> str | None:
    text = _words(fact)
    if text is None:
        return None
    try:
        moment = datetime.fromisoformat(text)
    except ValueError:
        return None
    return _iso(moment) if moment.tzinfo is not None else None


def _happenings(case: Case) -> tuple[Moment | None, Moment | None, tuple[Moment, ...]]:
    """The last release with a version and the last change before the decision, and the incidents open at that time."""
    at = case.decided_at
    before = sorted((h for h in case.timeline if h.at <= at), key=lambda h: (h.at, h.name))
    releases = [h for h in before if h.kind == "release" and h.version is not None]
    changes = [h for h in before if h.kind == "change"]
    incidents = [h for h in before if h.kind == "incident" and (h.until is None or h.until >= at)]
    return (
        _moment(releases[-1], at) if releases else None,
        _moment(changes[-1], at) if changes else None,
        tuple(_moment(h, at) for h in incidents),
    )


def _moment(found: Happening, decided: datetime) -> Moment:
    return Moment(
        kind=found.kind,
        name=found.name,
        version=found.version,
        at=_iso(found.at),
        until=_iso(found.until) if found.until else None,
        seconds=(decided - found.at).total_seconds(),
    )


def _iso(moment: datetime) -> str:
    return moment.astimezone(UTC).isoformat()
