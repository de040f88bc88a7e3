"""Personas: the built-in ones are whole, and a user's own is refused with one clear sentence when it is not."""

from __future__ import annotations

from importlib.resources import files
from pathlib import Path

import pytest

from xagent.cli import app
from xagent.errors import ConfigurationFault
from xagent.narrative import _words
from xagent.personas import BLOCKS, CHARTS, VOICES, load_persona, persona_names

OWN = files("xagent.personas").joinpath("business_user.toml").read_text(encoding="utf-8").replace(
    'name = "business_user"', 'name = "desk"'
)  # fmt: skip


def test_five_readers_are_built_in() -> None:
    assert persona_names() == ("auditor", "business_user", "customer", "data_scientist", "regulator")
    business = load_persona("business_user")
    assert (business.limits.max_for, business.limits.max_against, business.limits.pages) == (4, 4, 1)
    assert business.reading_grade == 9
    assert load_persona("regulator").checklist
    assert load_persona("data_scientist").code
    assert (load_persona("auditor").checklist_name, load_persona("auditor").signoff) == ("auditor", True)
    customer = load_persona("customer")
    assert not customer.redaction.wording and customer.disclosure.sensitive == "name"
    assert {load_persona(name).voice for name in persona_names()} == set(VOICES)


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
        (('language = "en"', 'language = "tlh"'), "language"),
        (('name = "desk"', 'name = "regulator"'), "built-in"),
        (("[precision]", '[vocabulary]\ncase = "50 cases"\n[precision]'), "vocabulary.case"),
        (("[precision]", '[vocabulary]\nagainst = "for"\n[precision]'), "vocabulary.against"),
        (("[precision]", '[precision.policies]\n"a.b" = "loud"\n[precision]'), "precision.policies.a.b"),
        (("[precision]", '[aliases]\nincome = "5 wages"\n[precision]'), "aliases.income"),
        (("[precision]", '[aliases]\na = "pay"\nb = "Pay"\n[precision]'), "same alias"),
        (("[precision]", '[disclosure]\nwithhold = ["trust.*"]\n[precision]'), "'trust.level' is required"),
        (("[precision]", '[disclosure]\nwithhold = ["relevance.*"]\n[precision]'), "every reader gets"),
        (("[precision]", '[disclosure]\nunprinted = ["decision.score"]\n[precision]'), "'decision.score' is required"),
        (("[precision]", '[disclosure]\nsensitive = "hide"\n[precision]'), "disclosure.sensitive"),
        (("[precision]", '[redaction]\nvalues = ["⟦x⟧"]\n[precision]'), "redaction.values"),
        (("tables = []", "tables = []\nsignoff = true"), "sign-off"),
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
    with pytest.raises(ConfigurationFault, match="no persona 'owner'"):
        load_persona("owner")
    with pytest.raises(ConfigurationFault, match="no persona file"):
        load_persona(tmp_path / "none.toml")
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        load_persona(str(tmp_path) + "/")


def test_own_personas_of_a_folder(tmp_path: Path) -> None:
    (tmp_path / "desk.toml").write_text(OWN, encoding="utf-8")
    (tmp_path / "other.toml").write_text(OWN, encoding="utf-8")
    assert persona_names(tmp_path) == (*persona_names(), "desk", "other")
    assert load_persona("desk", folder=tmp_path).name == "desk"
    assert load_persona("regulator", folder=tmp_path) == load_persona("regulator")
    with pytest.raises(ConfigurationFault, match=r"other\.toml: name: it is 'desk' inside"):
        load_persona("other", folder=tmp_path)
    with pytest.raises(ConfigurationFault, match="no persona 'king'"):
        load_persona("king", folder=tmp_path)
    with pytest.raises(ConfigurationFault, match="cannot be read"):
        persona_names(tmp_path / "none")
    (tmp_path / "regulator.toml").write_text(OWN, encoding="utf-8")
    assert (
        load_persona("regulator", folder=tmp_path).title == "Regulator or auditor"
    )  # a built-in one is never replaced


def test_show_says_what_is_shown_and_what_is_kept_back(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    own = OWN.replace("[precision]", '[disclosure]\nwithhold = ["drift.feature.*"]\n[precision]', 1)
    (tmp_path / "desk.toml").write_text(own, encoding="utf-8")
    monkeypatch.setenv("XAGENT_PERSONAS", str(tmp_path))
    assert app(["personas", "list"], standalone_mode=False) in (0, None)
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()] == [*persona_names(), "desk"]
    app(["personas", "show", "desk"], standalone_mode=False)
    said = capsys.readouterr().out
    assert str(tmp_path / "desk.toml") in said
    titles = [section.title for section in load_persona("desk", folder=tmp_path).sections]
    assert [said.index(title) for title in titles] == sorted(said.index(title) for title in titles)
    for words in ("drift.feature.*", "at most 4 for and 4 against", "trust.level", "log-odds"):
        assert words in said
