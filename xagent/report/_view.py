"""From a report's data to what its page shows: text, cells, charts and tables, in reading order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from xagent.evidence import Ledger
from xagent.narrative import FindingText, Narrative
from xagent.personas import Persona
from xagent.report._cells import STATES, Cell, Facts
from xagent.report._charts import Chart, drift_chart, margin_chart, timeline_chart
from xagent.report._exhibits import RelevanceExhibits
from xagent.report._figure_data import figure_tables
from xagent.report._labels import said
from xagent.report._sentences import Sentences, tone
from xagent.report._tables import (
    Table,
    artifacts_table,
    budget_table,
    deviation_table,
    drift_table,
    manifest_table,
    methods_table,
    parameters_table,
    performance_table,
    process_table,
    steps_table,
    trust_table,
)

Json = dict[str, Any]


class View:
    """What the templates read. data: a report (`xagent.report/1`), nothing else."""

    def __init__(self, data: Json) -> None:
        self.data = data
        self.persona = Persona.model_validate(data["persona"])
        self.ledger = Ledger.from_public(data["claims"])
        self.facts = Facts(self.ledger, self.persona)
        self._sentences = Sentences(self.ledger, self.persona)
        self.words = Narrative.model_validate(data["narrative"])
        self.artifacts = {a["tool"]: a["data"] for a in data["artifacts"] if a["status"] == "ok"}
        self.alts: dict[str, str] = {f.id: f.alt.text for f in self.words.figures if f.id in self.persona.charts}
        self.plain = self.persona.plain
        self.sheet = self.persona.limits.pages == 1
        self.drivers = self._driver_rows()

    # -- head -----------------------------------------------------------------------------------------------------

    @property
    def title(self) -> str:
        """Title of the document."""
        case = self.data["case"]
        reader = self.persona.title.lower() if self.persona.language == "en" else self.persona.title
        return said("{case}: report for the {reader}", case=case.get("title") or case["id"], reader=reader)

    @property
    def headline(self) -> Cell:
        """What was decided or answered, in words; a regression's figure."""
        for key in ("answer.text", "decision.label", "decision.outcome", "decision.score"):
            if cell := self.facts.cell(key):
                return cell
        return Cell(self.data["case"]["id"])

    @property
    def eyebrow(self) -> Cell:
        return self.facts.cell("system.name") or Cell(
            str(self.data["case"]["system"].get("name") or said("Prediction"))
        )

    @property
    def meta(self) -> list[tuple[str, Cell]]:
        found = [
            ("Decision", self.facts.cell("decision.outcome")),
            ("Case", self.facts.cell("case.id") or Cell(self.data["case"]["id"])),
            ("About", self.facts.cell("case.subject")),
            ("Decided", self.facts.cell("case.decided_at")),
            ("Model", self._joined("model.name", "model.version")),
            ("Reader", Cell(self.persona.title)),
        ]
        return [(said(label), cell) for label, cell in found if cell is not None]

    def _joined(self, *keys: str) -> Cell | None:
        cells = self._cells(keys)
        return Cell(" ".join(cell.text for cell in cells), " ".join(cell.claim for cell in cells)) if cells else None

    @property
    def measures(self) -> list[tuple[str, Cell, str, str]]:
        """Label, cell, and its text cut before the unit."""
        score, limit = self._score_words
        labels = ((score, "score"), (limit, "threshold"), (said("Margin"), "margin"))
        cells = [(label, self.facts.cell(f"decision.{key}")) for label, key in labels]
        return [(label, cell, *_number_and_unit(cell.text)) for label, cell in cells if cell]

    @property
    def _score_words(self) -> tuple[str, str]:
        words = self.persona.vocabulary
        limit = words["limit"].capitalize() if "limit" in words else said("Limit" if self.plain else "Threshold")
        return words["score"].capitalize() if "score" in words else said("Score"), limit

    @property
    def checks(self) -> list[Json]:
        """The state of each question, in a word, a mark and a tone."""
        return [check for row in _ASKED.get(self.persona.voice, _CHECKS) if (check := self._check(*row))]

    def _check(self, label: str, key: str, words: dict[str, str]) -> Json | None:
        value = self.facts.value(key)
        if not isinstance(value, str):
            return None
        tone = STATES.get(value) or _LEVELS.get(value, "unknown")
        word = words.get(value) or _STATE_WORDS.get(value)
        word = self.facts.text(key) if word is None else said(word)
        return {"label": said(label), "cell": Cell(word, key), "tone": tone, "mark": _MARKS[tone]}

    @property
    def brief(self) -> list[tuple[str, list[tuple[str, list[Cell]]]]]:
        """For longer reports, the first page's answer to why, what is unusual and what next."""
        if self.sheet:
            return []
        rows: list[tuple[str, list[tuple[str, list[Cell]]]]] = []
        if self.persona.voice == "personal":  # next steps there are told to those who decide
            channel = self.facts.cell("contest.channel", "text")
            return [(said("If you do not agree"), [("", [channel])])] if channel else []
        for label, side in (("Spoke for it", "for"), ("Spoke against it", "against")):
            ranks = [n for n in self.drivers if tone(self.facts.number(f"relevance.driver.{n}.effect")) == side]
            if ranks and "drivers" in self.alts:
                keys = [[f"relevance.driver.{n}.{part}" for part in ("name", "share")] for n in ranks[:3]]
                rows.append((said(label), [(side, self._cells(pair)) for pair in keys]))
        odd = [key for key in self.facts.ids("deviation.feature.") if key.endswith(".kind")][:3]
        if odd:
            parts = [(self.facts.feature(key.split(".")[2], key), self._cells([key])) for key in odd]
            rows.append((said("Unusual"), [("", [name, *cells]) for name, cells in parts]))
        if step := self.facts.cell("decision.next_step", "text"):
            rows.append((said("What to do next"), [("", [step])]))
        return rows

    def _cells(self, keys: Sequence[str]) -> list[Cell]:
        return [cell for key in keys if (cell := self.facts.cell(key))]

    # -- body -----------------------------------------------------------------------------------------------------

    @property
    def warnings(self) -> list[Json]:
        return [self._finding(f) for f in self.words.warnings]

    @property
    def notices(self) -> list[Json]:
        return [self._finding(f) for f in self.words.findings]

    @property
    def margin(self) -> Chart | None:
        return margin_chart(self.facts, self.alts["margin"], self._score_words) if "margin" in self.alts else None

    @property
    def runs(self) -> list[list[Json]]:
        """Sections in order; on a single sheet, neighbours that are words only stand together, side by side."""
        runs: list[list[Json]] = []
        for section in [*self.sections, *([self._noticed] if self.words.findings else [])]:
            light = not section["exhibits"] and not section["tables"]
            if self.sheet and light and runs and runs[-1][-1]["light"]:
                runs[-1].append({**section, "light": True})
            else:
                runs.append([{**section, "light": light}])
        return runs

    @property
    def _noticed(self) -> Json:
        return {**_NOTICES, "title": said("Also worth knowing"), "notices": self.notices}

    @property
    def sections(self) -> list[Json]:
        """Sections of the narrative in the reader's order, each with the charts and tables of its blocks."""
        plans = {plan.id: plan for plan in self.persona.sections}
        sections = []
        for section in self.words.sections:
            blocks = plans[section.id].blocks if section.id in plans else ()
            exhibits = [exhibit for block in blocks for exhibit in self._exhibits(block)]
            tables = [t for block in blocks for t in self._tables(block) if t.id in self.persona.tables and t.rows]
            if section.sentences or exhibits or tables:
                words = {"id": section.id, "title": section.title, "flow": self._sentences.flow(section.sentences)}
                sections.append({**words, "exhibits": exhibits, "tables": tables, "notices": []})
        return sections

    def _exhibits(self, block: str) -> Iterator[Json]:
        if block == "drivers":
            yield from self._relevance_exhibits()
        elif block == "drift" and "drift" in self.alts:
            if chart := drift_chart(self.facts, self.alts["drift"]):
                tables = [drift_table(self.facts)]
                yield {"kind": "chart", "chart": chart, "tables": tables, "title": said("Size of the shift")}
        elif block == "process" and "timeline" in self.alts:
            steps = self.artifacts.get("process", {}).get("steps") or []
            if chart := timeline_chart(steps, self.alts["timeline"]):
                yield {"kind": "chart", "chart": chart, "tables": [steps_table(steps)], "title": said("Time line")}

    def _relevance_exhibits(self) -> Iterator[Json]:
        target = self.facts.text("relevance.target") or self.headline.text
        found = self.artifacts.get("relevance", {})
        yield from RelevanceExhibits(found, self.facts, self.persona, self.alts, self.drivers, target)

    def _tables(self, block: str) -> Iterator[Table]:
        if block == "trust":
            yield trust_table(self.facts)
            if self.facts.text("trust.level") != "do not rely":  # its rows are drivers, and none may be given then
                yield methods_table(self.facts)
        elif block == "deviation":
            yield deviation_table(self.facts)
        elif block == "process":
            yield process_table(self.artifacts)
        elif block == "validation":
            yield performance_table(self.facts)

    # -- tail -----------------------------------------------------------------------------------------------------

    @property
    def appendix(self) -> list[Table]:
        if not self.persona.appendix:
            return []
        tables = [
            budget_table(self.facts),
            parameters_table(self.data["artifacts"]),
            artifacts_table(self.data["artifacts"]),
            manifest_table(self.data["manifest"]),
        ]
        kept = [t for t in tables if t.rows and (t.id in self.persona.tables or t.id in ("artifacts", "manifest"))]
        return [*figure_tables(self.artifacts.get("relevance", {}), list(self.alts)), *kept]

    @property
    def checklist(self) -> Json | None:
        """Rows with their count by state; None for readers who get none."""
        rows = self.data["checklist"]
        if not rows or not self.persona.checklist:
            return None
        states = [row["state"] for row in rows]
        counts = {state: states.count(state) for state in sorted(set(states), key=lambda s: (s != "provided", s))}
        return {"rows": rows, "total": len(rows), "counts": counts}

    @property
    def snippet(self) -> list[str]:
        """Lines of Python that make this report again."""
        if not self.persona.code:
            return []
        manifest = self.data["manifest"]
        seeds = ", ".join(f"{name}={value}" for name, value in manifest["seeds"].items())
        language = "" if self.persona.language == "en" else f', language="{self.persona.language}"'
        return [
            f"import xagent  # {manifest['versions'].get('xagent', '')}".rstrip(" #"),
            "from xagent.settings import load_settings",
            "",
            f'report = xagent.explain("case.json", "{self.persona.name}", load_settings({seeds}){language})',
            f'assert report.data["manifest"]["claims"] == "{manifest["claims"]}"',
        ]

    @property
    def checked(self) -> Json:
        """How many sentences and figures were verified, how many a language model worded, and in how many it failed."""
        every = self.words.sentences()
        return {
            "sentences": len(every),
            "figures": sum(len(sentence.tokens) for sentence in every),
            "by_llm": sum(sentence.author == "llm" for sentence in every),
            "fell_back": sum(sentence.author == "fallback" for sentence in every),
        }

    # -- words ----------------------------------------------------------------------------------------------------

    def _finding(self, finding: FindingText) -> Json:
        return {"severity": finding.severity, "id": finding.finding, "parts": self._sentences.parts(finding.sentence)}

    def _driver_rows(self) -> list[int]:
        """Ranks to show: the strongest for and against within the reader's limits, in order of strength."""
        limits = self.persona.limits
        room = {"for": limits.max_for, "against": limits.max_against, "neither": 0}
        chosen, n = [], 1
        while (effect := self.facts.number(f"relevance.driver.{n}.effect")) is not None:
            side = tone(effect)
            if room[side] > 0:
                room[side] -= 1
                chosen.append(n)
            n += 1
        return chosen


_NOTICES: Json = {"id": "notices", "flow": [], "exhibits": [], "tables": []}
_MARKS = {"ok": "\u2713", "deviation": "!", "unknown": "?", "absent": "\u2013"}
_LEVELS = {"strong": "ok", "fair": "ok", "limited": "unknown", "do not rely": "deviation"}
_STATE_WORDS = {"cannot tell": "Cannot tell", "not supplied": "Not supplied"}
_CHECKS: tuple[tuple[str, str, dict[str, str]], ...] = (
    ("Prediction", "reproduction.state", {"ok": "Reproduced", "deviation": "Not reproduced"}),
    ("Explanation", "trust.level",
     {"strong": "Strong", "fair": "Fair", "limited": "Limited", "do not rely": "Do not rely"}),
    ("This input", "deviation.state", {"ok": "Usual", "deviation": "Unusual"}),
    ("Recent inputs", "drift.state", {"ok": "No shift found", "deviation": "Shifted"}),
    ("Serving", "serving.state", {"ok": "No fault found", "deviation": "Faults found"}),
    ("Process", "telemetry.state", {"ok": "No fault found", "deviation": "Faults found"}),
)  # fmt: skip
_ASKED: dict[str, tuple[tuple[str, str, dict[str, str]], ...]] = {
    "personal": (
        ("The score", "reproduction.state", {"ok": "Computed again, the same", "deviation": "Computed again, another"}),
        ("Trust in the reasons", "trust.level",
         {"strong": "Strong", "fair": "Fair", "limited": "Limited", "do not rely": "None can be given"}),
        ("Your case", "deviation.state", {"ok": "Like those it knows", "deviation": "Unlike those it knows"}),
    ),
}  # fmt: skip
"""Questions of readers who ask others than `_CHECKS`."""


def _number_and_unit(text: str) -> tuple[str, str]:
    number, _, unit = text.partition(" ")
    return number, unit
