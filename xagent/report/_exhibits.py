"""The exhibits of relevance: drivers, words, sentences, image, answer, layers and heads, each with what backs it."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from xagent.personas import Persona
from xagent.report._answer import answer_chart, answer_statements, apart_table, source_marks, sources_table
from xagent.report._cells import Facts
from xagent.report._charts import drivers_chart
from xagent.report._heat import image_chart, image_statement
from xagent.report._labels import said
from xagent.report._layers import head_statements, heads_chart, layer_statements, layers_chart
from xagent.report._tables import drivers_table
from xagent.report._words import passage, prompt_passage, sentence_map

Json = dict[str, Any]


class RelevanceExhibits:
    """What the relevance artifact gives to see. alts: verified sentences by figure; no sentence, no figure."""

    def __init__(
        self, found: Json, facts: Facts, persona: Persona, alts: Mapping[str, str], drivers: list[int], target: str
    ) -> None:
        self._found = found
        self._facts = facts
        self._plain = persona.plain
        self._sheet = persona.limits.pages == 1
        self._alts = alts
        self._drivers = drivers
        self._target = target

    def __iter__(self) -> Iterator[Json]:
        """In reading order: what was looked at, then what moved the score, then how it went through the model."""
        yield from self._image()
        yield from self._text()
        yield from self._answer()
        yield from self._bars()
        yield from self._inside()

    def _image(self) -> Iterator[Json]:
        image = self._found.get("image")
        if image and "heatmap" in self._alts:
            players = self._found.get("players") or ()
            chart = image_chart(image, self._alts["heatmap"], self._facts, plain=self._plain, players=players)
            notes = [image_statement(image, players)]
            yield {"kind": "chart", "title": said("Where the model looked"), "chart": chart, "notes": notes}

    def _text(self) -> Iterator[Json]:
        size = {"plain": self._plain, "sheet": self._sheet}
        if "sentences" in self._alts and (rows := sentence_map(self._found, **size)):
            yield {
                "kind": "sentences",
                "title": said("Sentence by sentence"),
                "map": rows,
                "alt": self._alts["sentences"],
            }
        if "tokens" in self._alts and (text := passage(self._found, self._facts, **size)):
            yield self._passage(said("The words in their place"), text, "tokens")

    def _answer(self) -> Iterator[Json]:
        answer = self._found.get("answer")
        if not answer or not answer.get("sources") or "answer" not in self._alts:
            return
        table = sources_table(answer, self._facts, plain=self._plain, sheet=self._sheet)
        apart = apart_table(answer, plain=self._plain)
        shared = {"alt": self._alts["answer"], "tables": [table] if self._sheet or not apart else [table, apart]}
        chart = None if self._sheet else answer_chart(answer, self._alts["answer"])
        title = said("Where the answer comes from")
        if chart:
            notes = answer_statements(answer)
            yield {"kind": "chart", "title": title, "chart": chart, "notes": notes, "captioned": True, **shared}
        else:
            yield {"kind": "tables", "title": title, **shared}
        if "prompt" in self._alts and (text := prompt_passage(answer, source_marks(answer), sheet=self._sheet)):
            yield self._passage(said("The prompt, source by source"), text, "prompt")

    def _bars(self) -> Iterator[Json]:
        if "drivers" in self._alts and self._drivers:
            chart = drivers_chart(
                self._facts, self._alts["drivers"], self._drivers, shares=self._plain, target=self._target
            )
            table = drivers_table(self._facts, self._drivers, plain=self._plain)
            listed = self._plain and self._found.get("answer") and "answer" in self._alts  # by the table of sources
            tables = [] if listed else [table]
            yield {"kind": "chart", "title": said("What moved the score"), "chart": chart, "tables": tables}

    def _inside(self) -> Iterator[Json]:
        layers, heads = self._found.get("layers") or (), self._found.get("heads") or ()
        if "layers" in self._alts and (chart := layers_chart(layers, self._facts, self._alts["layers"])):
            yield {
                "kind": "chart",
                "title": said("Through the layers"),
                "chart": chart,
                "notes": layer_statements(layers),
            }
        if "heads" in self._alts and (chart := heads_chart(heads, self._alts["heads"])):
            yield {"kind": "chart", "title": said("Attention heads"), "chart": chart, "notes": head_statements(heads)}

    def _passage(self, title: str, text: Any, figure: str) -> Json:
        words = {"kind": "words", "title": title, "passage": text, "alt": self._alts[figure], "target": self._target}
        return {**words, "notes": [text.statement]}
