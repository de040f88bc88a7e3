"""OpenLineage events: the runs of jobs that made features and models, START to COMPLETE, FAIL or ABORT.

Format: OpenLineage 2-0-2. The events of one run become one span; its datasets become events called `dataset`. A trace
is a run with all below it, by the `parent` facet. Events of datasets and jobs without a run are passed over.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from xagent.telemetry._trace import Event, Span, SpanStatus
from xagent.telemetry._values import flat, free_id, iso_ns, text

LACKS = {
    "serving": "OpenLineage speaks of the jobs that made data, not of the request that was served.",
}
_ENDS = {"COMPLETE": "ok", "FAIL": "error", "ABORT": "error"}
_STATES = {*_ENDS, "START", "RUNNING", "OTHER"}
_NOT_FACTS = ("_producer", "_schemaURL", "_deleted")


def sniff_openlineage(records: Sequence[Any]) -> bool:
    """Whether the first record has an `eventTime` and a run, a job or a dataset."""
    first = records[0] if records else None
    return isinstance(first, Mapping) and "eventTime" in first and bool({"run", "job", "dataset"} & first.keys())


def read_openlineage(records: Sequence[Any]) -> list[Span]:
    """Every run of the file. Raises ValueError for a record that is no event, or has no run id and time."""
    runs: dict[str, list[Mapping[str, Any]]] = {}
    for number, record in enumerate(records, start=1):
        if not sniff_openlineage([record]):
            raise ValueError(f"record {number} is no OpenLineage event")
        if "run" not in record:
            continue
        if not isinstance(record["run"], Mapping) or not isinstance(record.get("job"), Mapping):
            raise ValueError(f"record {number} has no run and job")
        runs.setdefault(free_id(record["run"].get("runId"), f"runId of record {number}"), []).append(record)
    spans = [_span(run_id, events) for run_id, events in runs.items()]
    above = {span.span_id: span.parent_id for span in spans}
    roots = {run_id: root for run_id, events in runs.items() if (root := _root(events))}
    return [dataclasses.replace(span, trace_id=_top(span.span_id, above, roots)) for span in spans]


def _span(run_id: str, events: Sequence[Mapping[str, Any]]) -> Span:
    moments = sorted(((iso_ns(e.get("eventTime"), "eventTime"), i) for i, e in enumerate(events)))
    ordered = [(time_ns, events[i]) for time_ns, i in moments]
    ended = [(time_ns, _state(e)) for time_ns, e in ordered if _state(e) in _ENDS]
    started = [time_ns for time_ns, e in ordered if _state(e) not in _ENDS]
    found: dict[str, Any] = {}
    for _, event in ordered:
        found |= _facets(event["run"], "openlineage.run") | _facets(event["job"], "openlineage.job")
        found |= {"openlineage.job.name": text(event["job"].get("name")),
                  "openlineage.job.namespace": text(event["job"].get("namespace")),
                  "openlineage.producer": text(event.get("producer"))}  # fmt: skip
    parent = _facet(events, "parent").get("run")
    status: SpanStatus = "unset"
    if ended:
        status = "ok" if _ENDS[ended[-1][1]] == "ok" else "error"
    return Span(
        trace_id=run_id,
        span_id=run_id,
        parent_id=free_id(parent.get("runId"), "parent runId") if isinstance(parent, Mapping) else None,
        name=found["openlineage.job.name"] or "(no name)",
        kind="internal",
        start_ns=ordered[0][0],
        end_ns=ended[-1][0] if ended and started else None,
        status=status,
        message=ended[-1][1].lower() if ended and status == "error" else "",
        attributes={key: value for key, value in found.items() if value != ""},
        events=tuple(_datasets(ordered)),
        instant=bool(ended) and not started,
    )


def _state(event: Mapping[str, Any]) -> str:
    state = str(event.get("eventType") or "OTHER").upper()
    if state not in _STATES:
        raise ValueError(f"{state[:40]!r} is no type of event")
    return state


def _facets(part: Mapping[str, Any], prefix: str) -> dict[str, Any]:
    facets = part.get("facets")
    if not isinstance(facets, Mapping):
        return {}
    found: dict[str, Any] = {}
    for name, facet in facets.items():
        if isinstance(facet, Mapping) and name != "parent":
            facts = {key: value for key, value in facet.items() if key not in _NOT_FACTS}
            found |= flat(facts, f"{prefix}.{name}") if facts else {}
    return found


def _facet(events: Sequence[Mapping[str, Any]], name: str) -> Mapping[str, Any]:
    for event in events:
        facets = event["run"].get("facets")
        if isinstance(facets, Mapping) and isinstance(facets.get(name), Mapping):
            return facets[name]  # type: ignore[no-any-return]
    return {}


def _root(events: Sequence[Mapping[str, Any]]) -> str | None:
    run = (_facet(events, "parent").get("root") or {}).get("run")
    return free_id(run.get("runId"), "root runId") if isinstance(run, Mapping) else None


def _top(run_id: str, above: Mapping[str, str | None], roots: Mapping[str, str]) -> str:
    seen: set[str] = set()
    while run_id not in seen:
        seen.add(run_id)
        if run_id in roots:
            return roots[run_id]
        parent = above.get(run_id)
        if parent is None:
            return run_id
        run_id = parent
    return min(seen)


def _datasets(ordered: Sequence[tuple[int, Mapping[str, Any]]]) -> Iterator[Event]:
    """Each dataset of the run once, with the version that the last event to name it gave."""
    found: dict[tuple[str, str, str], Event] = {}
    for time_ns, event in ordered:
        for side in ("inputs", "outputs"):
            for dataset in event.get(side) or ():
                facts = {
                    "openlineage.dataset.role": side.removesuffix("s"),
                    "openlineage.dataset.namespace": text(dataset.get("namespace")),
                    "xagent.dataset.name": text(dataset.get("name")),
                    **_facets(dataset, "openlineage.dataset"),
                }
                version = facts.get("openlineage.dataset.version.datasetVersion")
                if isinstance(version, str):
                    facts["xagent.dataset.version"] = text(version)
                key = (side, facts["openlineage.dataset.namespace"], facts["xagent.dataset.name"])
                found[key] = Event("dataset", time_ns, facts)
    return iter(found.values())
