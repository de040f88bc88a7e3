"""The law as data: complete, dated, and closed to documents that were withdrawn."""

from __future__ import annotations

import re
from datetime import date
from pathlib import Path

import pytest

from xagent.errors import ConfigurationFault
from xagent.law import checklist_names, law_as_of, load_checklist, load_regimes, load_superseded
from xagent.law._read import read_checklist

MINIMAL = """
name = "mine"
title = "My list"
law_as_of = 2026-11-20
[[fields]]
id = "Z1"
field = "{field}"
mandatory = true
articles = [{{ regime = "{regime}", cite = "{cite}", mark = "primary" }}]
sources = [{{ path = "{path}", label = "name" }}]
"""


def _file(folder: Path, **parts: str) -> Path:
    given = {"field": "Name", "regime": "us-sr-26-2", "cite": "validation", "path": "card.name"} | parts
    path = folder / "checklist_mine.toml"
    path.write_text(MINIMAL.format(**given), encoding="utf-8")
    return path


def test_regulator_has_its_36_fields_of_one_day() -> None:
    checklist = load_checklist()
    assert [field.id for field in checklist.fields] == [f"A{n}" for n in range(1, 37)]
    assert law_as_of() == date(2026, 11, 20)
    assert "regulator" in checklist_names()
    assert set(checklist.regimes) == {a.regime for field in checklist.fields for a in field.articles}


def test_a_citation_says_when_it_does_not_apply_yet() -> None:
    checklist = load_checklist()
    assert "AI Act Art. 12(1) (applies from 2 December 2027)" in checklist.cited(checklist.field("A1"))
    assert "AI Act Art. 86(1)" in checklist.cited(checklist.field("A6"))
    assert "Colorado SB 26-189 human review (applies from 1 January 2027)" in checklist.cited(checklist.field("A25"))
    assert "CCD2 Art. 18(8)" in checklist.cited(checklist.field("A25"))  # it applies from this very day


def test_mandatory_means_that_binding_law_asks() -> None:
    checklist, regimes = load_checklist(), load_regimes()
    for field in checklist.fields:
        if field.mandatory:
            assert any(regimes[article.regime].binding for article in field.articles), field.id


def test_card_sources_are_fields_of_the_card() -> None:
    from xagent.case import SystemCard

    card = SystemCard.model_json_schema(by_alias=True)
    for field in load_checklist().fields:
        for source in field.sources:
            if source.path.startswith("card."):
                node = card
                for part in source.path.split(".")[1:]:
                    node = _into(node, part, card)
                    assert node is not None, source.path


def _into(node: dict[str, object], part: str, root: dict[str, object]) -> dict[str, object] | None:
    """One step down a JSON Schema, through references and alternatives."""
    options = [node, *node.get("anyOf", [])]  # type: ignore[misc]
    options += [root["$defs"][o["$ref"].rsplit("/", 1)[1]] for o in options if "$ref" in o]  # type: ignore[index]
    if part == "*":
        return next((o["additionalProperties"] for o in options if "additionalProperties" in o), None)
    return next((o["properties"][part] for o in options if part in o.get("properties", {})), None)


@pytest.mark.parametrize(
    "cite",
    [
        "SR 11-7",
        "sr11-7, section V",
        "see SR-11-7",
        "OCC 2011-12",
        "OCC Bulletin 2011-12",
        "CFPB 2022-03",
        "CFPB Circular 2023-03",
        "CFPB Circular  2022–03",
    ],
)
def test_a_withdrawn_document_is_refused(tmp_path: Path, cite: str) -> None:
    with pytest.raises(ConfigurationFault, match=r"Z1 cites .* withdrawn on"):
        read_checklist(_file(tmp_path, cite=cite))


def test_it_is_refused_in_the_words_of_a_field_too(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="withdrawn"):
        read_checklist(_file(tmp_path, field="Validation under SR 11-7"))


@pytest.mark.parametrize("cite", ["SR 26-2, section 11", "comment 9(b)(2)-7", "OCC 2026-13", "Bulletin 2011-121"])
def test_what_only_looks_alike_is_not(tmp_path: Path, cite: str) -> None:
    assert read_checklist(_file(tmp_path, cite=cite)).field("Z1").articles[0].cite == cite


@pytest.mark.parametrize(
    ("parts", "said"),
    [
        ({"regime": "eu-ai-actt"}, "unknown regime 'eu-ai-actt'"),
        ({"path": "env.HOME"}, "starts with none of"),
        ({"path": "claims:relevance.driver"}, "must end with a dot"),
        ({"path": "card.*.features.*"}, "more than one"),
    ],
)
def test_a_broken_list_names_the_fault(tmp_path: Path, parts: dict[str, str], said: str) -> None:
    with pytest.raises(ConfigurationFault, match=re.escape(said)):
        read_checklist(_file(tmp_path, **parts))


def test_an_unknown_name_is_no_path() -> None:
    with pytest.raises(ConfigurationFault, match="no checklist"):
        load_checklist("../../secret")


def test_every_withdrawn_document_says_what_to_cite() -> None:
    assert {document.since for document in load_superseded()} == {date(2026, 4, 17), date(2025, 5, 12)}
    assert all(document.note.startswith("Cite ") for document in load_superseded())
