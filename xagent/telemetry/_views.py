"""What a trace says, by question, each answer with the attribute, the span and the file it comes from."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import dataclass

from xagent.telemetry._trace import Event, Fact, Origin, Payload, ProcessTrace, Span

_TIMEOUT = re.compile(r"time(d)?[ _-]?out|deadline[ _-]?exceeded", re.IGNORECASE)
_TIMEOUT_STATUS = (408, 504)
_VERDICTS = ("xagent.guardrail.verdict", "gen_ai.guardrail.result.")


@dataclass(frozen=True)
class ModelCall:
    """One call of a model by name, as GenAI spans record it."""

    span: Span
    requested: Fact | None
    answered: Fact | None
    provider: Fact | None

    @property
    def same(self) -> bool | None:
        """Whether the model that was asked answered. None unless both are named. A dated version of a name
        (`large-1` and `large-1-2026-10-01`) is the same."""
        if self.requested is None or self.answered is None:
            return None
        asked, answered = str(self.requested.value), str(self.answered.value)
        return answered == asked or re.fullmatch(re.escape(asked) + r"[-@:][\d.-]+", answered) is not None


@dataclass(frozen=True)
class Guardrail:
    """One check of an input or an output. verdicts: in the words of the guardrail, never turned into yes or no."""

    span: Span
    name: Fact | None
    version: Fact | None
    on: Fact | None
    verdicts: tuple[Fact, ...]
    why: Fact | None


@dataclass(frozen=True)
class Override:
    """A person's change of an outcome. time_ns: when, as stated, else when it was recorded."""

    span: Span
    who: Fact | None
    before: Fact | None
    after: Fact | None
    why: Fact | None
    at: Fact | None
    time_ns: int


@dataclass(frozen=True)
class Fallback:
    """An answer that `span` gave in the place of `of`."""

    span: Span
    of: Fact
    why: Fact | None


@dataclass(frozen=True)
class FeatureRecord:
    """What was recorded of one input: event times, sources and whether it was imputed, each as often as stated."""

    name: str
    event_times: tuple[Fact, ...]
    sources: tuple[Fact, ...]
    imputed: tuple[Fact, ...]


@dataclass(frozen=True)
class Annotation:
    """A judgement that was added afterwards, by a person, a model or a program (`source`)."""

    span: Span
    event: Event
    name: Fact | None
    value: Fact | None
    source: Fact | None
    who: Fact | None
    why: Fact | None


@dataclass(frozen=True)
class Sampling:
    """What the recorder left out. sampled: True when a span carries the flag, None when none does. share: the share of
    requests that were recorded, where stated. dropped: attributes, events and links thrown away."""

    sampled: bool | None
    share: Fact | None
    dropped: int


def model_calls(trace: ProcessTrace) -> tuple[ModelCall, ...]:
    """Spans that name a requested or an answering model, by start."""
    keys = ("gen_ai.request.model", "gen_ai.response.model", "gen_ai.provider.name")
    calls = [
        ModelCall(span, *(_first(found, key) for key in keys)) for span, found in _by_span(trace, trace.facts(*keys))
    ]
    return tuple(call for call in calls if call.requested or call.answered)


def guardrails(trace: ProcessTrace) -> tuple[Guardrail, ...]:
    """Spans that are guardrails by kind or by what they state. None recorded does not prove that none ran."""
    by_span = _grouped(trace.facts("xagent.guardrail.", "gen_ai.guardrail.result."))
    return tuple(
        Guardrail(
            span,
            _first(found, "xagent.guardrail.name"),
            _first(found, "xagent.guardrail.version"),
            _first(found, "xagent.guardrail.on"),
            tuple(f for f in found if f.key == _VERDICTS[0] or f.key.startswith(_VERDICTS[1])),
            _first(found, "xagent.guardrail.why"),
        )
        for span in trace.spans
        if (found := by_span.get(span.span_id, [])) or span.attributes.get("xagent.step.kind") == "guardrail"
    )


def overrides(trace: ProcessTrace) -> tuple[Override, ...]:
    """Changes of the outcome by a person, by time. Several in one span (as events) count on their own."""
    found: list[Override] = []
    for span, facts in _by_span(trace, trace.facts("xagent.override.")):
        for time_ns in sorted({fact.time_ns for fact in facts}):
            here = [fact for fact in facts if fact.time_ns == time_ns]
            who, before, after, why, at = (
                _first(here, f"xagent.override.{part}") for part in ("who", "from", "to", "why", "at")
            )
            found.append(Override(span, who, before, after, why, at, time_ns))
    return tuple(sorted(found, key=lambda o: o.time_ns))


def fallbacks(trace: ProcessTrace) -> tuple[Fallback, ...]:
    """Steps that stood in for another."""
    grouped = _by_span(trace, trace.facts("xagent.fallback.of", "xagent.fallback.why"))
    return tuple(
        Fallback(span, of, _first(found, "xagent.fallback.why"))
        for span, found in grouped
        if (of := _first(found, "xagent.fallback.of")) is not None
    )


def retries(trace: ProcessTrace) -> tuple[Fact, ...]:
    """What was recorded of repeats: counts of resends, numbers of attempts, and events that speak of a retry (their
    name is the value). Repeated siblings are the process tool's to find."""
    counted = trace.facts("http.request.resend_count", "xagent.retry.attempt")
    named = (
        Fact("(event)", event.name, event.time_ns or span.start_ns, Origin(trace.file, span.span_id, "event", "name"))
        for span in trace.spans
        for event in span.events
        if "retry" in event.name.lower()
    )
    return (*counted, *named)


def timeouts(trace: ProcessTrace) -> tuple[Fact, ...]:
    """The facts that say a step timed out: an error or exception type, or an HTTP status of 408 or 504."""
    facts = trace.facts("error.type", "exception.type", "http.response.status_code", "rpc.grpc.status_code")
    return tuple(
        fact
        for fact in facts
        if (isinstance(fact.value, str) and _TIMEOUT.search(fact.value))
        or (fact.key == "http.response.status_code" and fact.value in _TIMEOUT_STATUS)
        or (fact.key == "rpc.grpc.status_code" and fact.value in (4, "4"))
    )


def features(trace: ProcessTrace) -> tuple[FeatureRecord, ...]:
    """Inputs that the trace speaks of, by name."""
    parts: dict[str, dict[str, list[Fact]]] = {}
    for fact in trace.facts("xagent.feature."):
        name, _, part = fact.key.removeprefix("xagent.feature.").rpartition(".")
        if name and part in ("event_time", "source", "imputed"):
            parts.setdefault(name, {}).setdefault(part, []).append(fact)
    return tuple(
        FeatureRecord(name, *(tuple(parts[name].get(part, ())) for part in ("event_time", "source", "imputed")))
        for name in sorted(parts)
    )


def versions(trace: ProcessTrace) -> tuple[Fact, ...]:
    """What ran: model, preprocessing, service, code and agent versions and hashes, as stated."""
    return trace.facts(
        "xagent.model.", "xagent.preprocess.", "service.name", "service.version", "xagent.code.version",
        "gen_ai.agent.name", "gen_ai.agent.version", "xagent.dataset.version", "telemetry.sdk.version",
    )  # fmt: skip


def judgements(trace: ProcessTrace) -> tuple[Annotation, ...]:
    """Judgements that were added to the trace afterwards."""
    found = []
    for span in trace.spans:
        for event in span.events:
            if any(key.startswith("xagent.annotation.") for key in event.attributes):
                facts = _event_facts(trace, span, event)
                parts = (_first(facts, f"xagent.annotation.{p}") for p in ("name", "value", "source", "who", "why"))
                found.append(Annotation(span, event, *parts))
    return tuple(found)


def payloads(trace: ProcessTrace, role: str | None = None) -> tuple[tuple[Span, Payload], ...]:
    """Content by span, that of events included: hashes, and values where they were asked for. role: one only."""
    return tuple(
        (span, payload)
        for span in trace.spans
        for payload in (*span.payloads, *(p for event in span.events for p in event.payloads))
        if role is None or payload.role == role
    )


def sampling(trace: ProcessTrace) -> Sampling:
    """What the recorder left out, as far as it says so."""
    return Sampling(
        True if any(span.sampled for span in trace.spans) else None,
        _first(trace.facts("xagent.sampling.share"), "xagent.sampling.share"),
        sum(span.dropped for span in trace.spans),
    )


def _by_span(trace: ProcessTrace, facts: Iterable[Fact]) -> list[tuple[Span, list[Fact]]]:
    grouped = _grouped(facts)
    return [(span, grouped[span.span_id]) for span in trace.spans if span.span_id in grouped]


def _grouped(facts: Iterable[Fact]) -> dict[str, list[Fact]]:
    found: dict[str, list[Fact]] = {}
    for fact in facts:
        if fact.origin.place != "resource":
            found.setdefault(fact.origin.span_id, []).append(fact)
    return found


def _event_facts(trace: ProcessTrace, span: Span, event: Event) -> list[Fact]:
    return [
        Fact(
            key,
            value,
            event.time_ns or span.start_ns,
            Origin(trace.file, span.span_id, "event", event.aliases.get(key, key)),
        )
        for key, value in event.attributes.items()
    ]


def _first(facts: Iterable[Fact], key: str) -> Fact | None:
    return next((fact for fact in facts if fact.key == key), None)
