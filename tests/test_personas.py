"""Personas: the built-in ones are whole, and a user's own is refused with one clear sentence when it is not."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from xagent.errors import ConfigurationFault
from xagent.narrative import _words
from xagent.personas import BLOCKS, CHARTS, load_persona, persona_names

OWN = files("xagent.personas").joinpath("business_user.toml").read_text(encoding="utf-8").replace(
    'name = "business_user"', 'name = "desk"'
)  # fmt: skip


def test_three_readers_are_built_in() -> None:
    assert persona_names() == ("business_user", "data_scientist", "regulator")
    business = load_persona("business_user")
    assert (business.limits.max_for, business.limits.max_against, business.limits.pages) == (4, 4, 1)
    assert business.reading_grade == 9
    assert load_persona("regulator").checklist
    assert load_persona("data_scientist").code


def test_every_block_and_chart_has_frames() -> None:
    assert set(BLOCKS) | {"driver"} == set(_words.blocks())
    assert set(CHARTS) == set(_words.figures())


def test_own_persona_by_path(tmp_path: Path) -> None:
    path = tmp_path / "desk.toml"
    path.write_text(OWN, encoding="utf-8")
    assert load_persona(path).name == load_persona(str(path)).name == "desk"


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (('title = "Business user"', "title = "), "not valid TOML"),
        (('voice = "plain"', 'voice = "loud"'), "voice"),
        (('reader = "', 'raeder = "'), "raeder"),
        (('blocks = ["drivers", "summary"]', 'blocks = ["drivers"]'), "'summary'"),
        (('blocks = ["drivers", "summary"]', 'blocks = ["drivers", "sumary"]'), "sections.1.blocks"),
        (("max_for = 4", "max_for = 0"), "limits.max_for"),
        (('language = "en"', 'language = "de"'), "language"),
        (('name = "desk"', 'name = "regulator"'), "built-in"),
        (("[precision]", '[vocabulary]\ncase = "50 cases"\n[precision]'), "vocabulary.case"),
        (("[precision]", '[vocabulary]\nagainst = "for"\n[precision]'), "vocabulary.against"),
    ],
)
def test_a_wrong_persona_names_the_field_and_a_mend(tmp_path: Path, change: tuple[str, str], words: str) -> None:
    assert change[0] in OWN
    path = tmp_path / "desk.toml"
    path.write_text(OWN.replace(*change, 1), encoding="utf-8")
    with pytest.raises(ConfigurationFault) as caught:
        load_persona(path)
    assert words in caught.value.message
    assert caught.value.hint
    assert str(tmp_path) not in str(caught.value)


def test_unknown_names_and_files(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationFault, match="no persona 'auditor'"):
        load_persona("auditor")
    with pytest.raises(ConfigurationFault, match="no persona file"):
        load_persona(tmp_path / "none.toml")
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        load_persona(str(tmp_path) + "/")
