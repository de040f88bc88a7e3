"""A language model chooses words around facts; the verifier decides which of its sentences are shown.

The template narrative comes first and stays the measure: which facts are told, in which order, and what stands when a
wording fails. The model is given sentences taken apart into words and claims, without the values, and gives them back
in the same form. Its wording is compiled to the notation of the template narrator, figures are printed by code, and
each sentence that the verifier refuses is shown to it, with the problems, at most twice. Warnings, notices and the
descriptions of charts are never worded by it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from xagent.evidence import Finding, Ledger
from xagent.narrative._kinds import KINDS
from xagent.narrative._llm_answer import compiled, read_wordings
from xagent.narrative._llm_brief import BATCH, Describe, Task, answer_schema, brief, tasks_of
from xagent.narrative._llm_prompt import prompt
from xagent.narrative._model import Narrative, Problem, Sentence
from xagent.narrative._verify import verify
from xagent.personas import Persona

__all__ = ["MOST_REPAIRS", "Unanswered", "Worded", "prompt", "word"]

Json = dict[str, Any]
Ask = Callable[[list[Json], Json], str]
"""Messages and the JSON Schema of the answer, to the text of the answer; raises `Unanswered`."""
MOST_REPAIRS = 2
MOST_SHOWN = 24
"""Problems that are shown at a time."""
LONGEST_ECHO = 20_000
_TELLS_VALUES = frozenset({"text", "value", "precision"})
"""Kinds of problem whose message quotes what a token prints."""


class Unanswered(Exception):  # noqa: N818 - the template stands in
    """There is no answer; the message says why."""


@dataclass(frozen=True)
class Worded:
    """narrative: verified as far as the template's was. trail: what was asked, refused and accepted, JSON-ready."""

    narrative: Narrative
    trail: list[Json]


def word(
    narrative: Narrative,
    ledger: Ledger,
    persona: Persona,
    findings: Sequence[Finding],
    ask: Ask,
    describe: Describe,
) -> Worded:
    """The narrative with those sentences that the model worded and the verifier holds.

    Sentences whose wording failed keep the template's words and have the author `fallback`. Where the explanation
    failed its tests (`trust.level` is `do not rely`) nothing is asked.
    """
    seen = ledger.visible_to(persona.name)
    if not persona.redaction.wording:
        return Worded(narrative, [{"asked": [], "why": "The persona gives a language model nothing to word."}])
    level = seen.get("trust.level")
    if level is not None and level.value == "do not rely":
        return Worded(
            narrative, [{"asked": [], "why": "The explanation failed its tests, so the template's words stand."}]
        )
    job = _Job(narrative, ledger, seen, persona, findings, ask, describe)
    tasks = tasks_of(narrative, persona)
    for batch in (tasks[n : n + BATCH] for n in range(0, len(tasks), BATCH)):
        job.batch(batch)
    return Worded(job.result(tasks), job.trail)


class _Job:
    """The wording of one narrative."""

    def __init__(
        self,
        narrative: Narrative,
        ledger: Ledger,
        seen: Ledger,
        persona: Persona,
        findings: Sequence[Finding],
        ask: Ask,
        describe: Describe,
    ) -> None:
        self._template, self._ledger, self._seen, self._persona = narrative, ledger, seen, persona
        self._findings, self._ask, self._describe = findings, ask, describe
        self._accepted: dict[str, Sentence] = {}
        self._left: set[str] = set()
        self._known = frozenset(sentence.id for sentence in narrative.sentences())
        self._before = {_fault(p) for p in verify(narrative, ledger, persona, findings)}
        self.trail: list[Json] = []

    def batch(self, tasks: Sequence[Task]) -> None:
        """Ask for the wording of some sentences, and again for those that are refused."""
        question = json.dumps(brief(tasks, self._seen, self._persona, self._describe), ensure_ascii=False)
        messages: list[Json] = [
            {"role": "system", "content": prompt("narrator")},
            {"role": "user", "content": question},
        ]
        waiting = list(tasks)
        for attempt in range(1 + MOST_REPAIRS):
            round_: Json = {"round": attempt, "asked": [task.sentence.id for task in waiting]}
            self.trail.append(round_)
            try:
                text = self._ask(messages, answer_schema(waiting, self._seen))
            except Unanswered as reason:
                round_["why"] = str(reason)
                return
            refused, problems = self._judge(text, waiting, round_)
            round_["problems"] = [problem.public() for problem in problems]
            if not refused:
                return
            waiting = refused
            shown = json.dumps({"problems": [_shown(p) for p in problems[:MOST_SHOWN]]}, ensure_ascii=False)
            again = f"{prompt('repair')}\n{shown}"
            messages = [
                *messages[:2],
                {"role": "assistant", "content": text[:LONGEST_ECHO]},
                {"role": "user", "content": again},
            ]

    def _judge(self, text: str, tasks: Sequence[Task], round_: Json) -> tuple[list[Task], list[Problem]]:
        """Take over what holds. Returns the tasks to ask for again, and every problem found."""
        wordings, problems = read_wordings(text, tasks, self._known)
        malformed = bool(problems)
        made: dict[str, Sentence] = {}
        refused: set[str] = {problem.sentence for problem in problems}
        for task in tasks:
            if task.sentence.id not in wordings:
                if malformed:
                    refused.add(task.sentence.id)
                else:
                    self._left.add(task.sentence.id)
                continue
            outcome = compiled(wordings[task.sentence.id], task, self._seen, self._persona)
            if isinstance(outcome, Sentence) and outcome.frame == task.sentence.frame:
                self._left.add(task.sentence.id)
            elif isinstance(outcome, Sentence):
                made[task.sentence.id] = outcome
            else:
                problems += outcome
                refused.add(task.sentence.id)
        held, found = self._verified(made)
        problems += found
        refused |= set(made) - set(held)
        self._accepted |= held
        self._left -= refused
        round_["accepted"] = sorted(held)
        return [task for task in tasks if task.sentence.id in refused], problems

    def _verified(self, made: dict[str, Sentence]) -> tuple[dict[str, Sentence], list[Problem]]:
        """Those of the new sentences with which the whole narrative still holds, and the problems of the others."""
        held, found = dict(made), []
        while held:
            candidate = with_sentences(self._template, self._accepted | held)
            every = verify(candidate, self._ledger, self._persona, self._findings)
            problems = [problem for problem in every if _fault(problem) not in self._before]
            if not problems:
                break
            found += problems
            at_fault = {problem.sentence for problem in problems} & set(held)
            held = {key: sentence for key, sentence in held.items() if key not in at_fault} if at_fault else {}
        return held, found

    def result(self, tasks: Sequence[Task]) -> Narrative:
        """The narrative with its authors: `llm`, `fallback`, or `template` where the model left a sentence alone."""
        asked = {key for entry in self.trail for key in entry["asked"]}
        fallen = {
            task.sentence.id: task.sentence.model_copy(update={"author": "fallback"})
            for task in tasks
            if task.sentence.id in asked - self._left - set(self._accepted)
        }
        return with_sentences(self._template, fallen | self._accepted)


def with_sentences(narrative: Narrative, sentences: dict[str, Sentence]) -> Narrative:
    """The narrative with sentences of its sections replaced by id."""
    sections = tuple(
        section.model_copy(update={"sentences": tuple(sentences.get(s.id, s) for s in section.sentences)})
        for section in narrative.sections
    )
    return narrative.model_copy(update={"sections": sections})


def _fault(problem: Problem) -> tuple[str, str, str | None]:
    return problem.kind, problem.sentence, problem.token


def _shown(problem: Problem) -> Json:
    """A problem as the model sees it: without what a token prints."""
    told = problem.public()
    if problem.kind in _TELLS_VALUES:
        told["message"] = KINDS[problem.kind]
    return told
