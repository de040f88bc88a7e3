"""The narrator of a language model without a graph, and the client that asks: bounds, ladder, record."""

from __future__ import annotations

import copy
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from narrative_samples import ledger_of, replaced

from xagent.agent.llm import Client, NoAnswer, Replay, described, load_profile, open_llm, profile_names
from xagent.errors import ConfigurationFault
from xagent.evidence import Claim, Ledger
from xagent.narrative import Narrative, Sentence, compose, verify
from xagent.narrative._lexicon import lexicon
from xagent.narrative._llm_answer import Wording, compiled
from xagent.narrative._llm_brief import answer_schema, plain_words, tasks_of, words_of
from xagent.narrative.llm import Unanswered, Worded, word
from xagent.personas import Persona, load_persona, persona_names
from xagent.settings import LlmSettings, load_settings
from xagent.testing import ScriptedServer
from xagent.testing._scenarios import honest
from xagent.testing._server import Reply

Json = dict[str, Any]
KINDS = ("tabular", "text", "image", "regression")
PLAIN = load_persona("business_user")
READERS = [name for name in persona_names() if load_persona(name).redaction.wording]


def worded(
    answer: Callable[[Json], str], ledger: Ledger | None = None, persona: Persona = PLAIN
) -> tuple[Worded, Narrative, Ledger]:
    """What becomes of a narrative when the model answers so; the template; the ledger."""
    ledger = ledger or ledger_of()
    template = compose(ledger, [], persona)
    result = word(template, ledger, persona, [], lambda m, schema: answer({"messages": m, "schema": schema}), described)
    return result, template, ledger


def told(narrative: Narrative) -> list[tuple[str, set[str]]]:
    return [
        (s.id, {t.claim for t in s.tokens} | {c for a in s.assertions for c in a.claims}) for s in narrative.sentences()
    ]


# -- sentences ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("reader", READERS)
def test_a_sentence_taken_apart_and_put_together_is_the_same(kind: str, reader: str) -> None:
    persona, ledger = load_persona(reader), ledger_of(kind)
    tasks = tasks_of(compose(ledger, [], persona), persona)
    assert len(tasks) > 8
    for task in tasks:
        wording = Wording.model_validate({"id": task.sentence.id, "parts": list(task.parts)})
        made = compiled(wording, task, ledger.visible_to(reader), persona)
        assert isinstance(made, Sentence), made
        assert made.model_copy(update={"author": "template"}) == task.sentence


@pytest.mark.parametrize("reader", READERS)
def test_an_honest_wording_is_shown_whole(reader: str) -> None:
    persona = load_persona(reader)
    result, template, ledger = worded(lambda body: json.dumps({"sentences": honest(body)}), persona=persona)
    asked = {task.sentence.id for task in tasks_of(template, persona)}
    assert {s.id for s in result.narrative.sentences() if s.author == "llm"} == asked
    assert verify(result.narrative, ledger, persona, []) == []
    assert told(result.narrative) == told(template)


PIECES = st.sampled_from(
    ["spoke for", "spoke against", "above", "below", "largest", "the limit of", "97%", "three", "certainly", "Approve",
     "because", "income", "Declined", "not", "value is", "of the weight", "", "“", "⟦trust.level|name⟧", "{x}",
     "\u202e"]
)  # fmt: skip


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(data=st.data())
def test_no_answer_makes_an_unverified_or_poorer_narrative(data: st.DataObject) -> None:
    """Whatever is done to parts of an honest answer, what is shown holds and tells the same facts."""

    def answer(body: Json) -> str:
        sentences = honest(body)
        for sentence in sentences:
            for _ in range(data.draw(st.integers(0, 2))):
                parts = sentence["parts"]
                place = data.draw(st.integers(0, len(parts) - 1))
                change = data.draw(st.sampled_from(["drop", "kind", "text", "claims", "swap", "double"]))
                if change == "drop" and len(parts) > 1:
                    del parts[place]
                elif change == "kind":
                    parts[place]["kind"] = data.draw(st.sampled_from(["words", "claim", "direction", "state", "order"]))
                elif change == "text":
                    parts[place]["text"] = data.draw(PIECES)
                elif change == "claims":
                    other = data.draw(st.sampled_from(sentences))["parts"]
                    parts[place]["claims"] = data.draw(st.sampled_from(other))["claims"]
                elif change == "swap":
                    parts.insert(0, parts.pop(place))
                else:
                    parts.append(copy.deepcopy(parts[place]))
        return json.dumps({"sentences": sentences})

    result, template, ledger = worded(answer)
    assert verify(result.narrative, ledger, PLAIN, []) == []
    before = dict(told(template))
    for ident, cited in told(result.narrative):
        assert cited >= before[ident]
    assert result.narrative.warnings == template.warnings and result.narrative.figures == template.figures


KEYS = st.sampled_from(["sentences", "id", "parts", "kind"])
LEAVES = st.none() | st.booleans() | st.floats() | st.text(max_size=8)
TREES = st.recursive(LEAVES, lambda t: st.lists(t, max_size=4) | st.dictionaries(KEYS, t), max_leaves=12)


@settings(max_examples=30, deadline=None)
@given(text=st.text(max_size=200) | TREES.map(json.dumps))
def test_nonsense_leaves_the_template(text: str) -> None:
    result, template, _ = worded(lambda body: text)
    restored = [s.model_copy(update={"author": "template"}) for s in result.narrative.sentences()]
    assert restored == template.sentences()


def test_a_model_that_says_nothing_about_a_sentence_leaves_it_to_the_template() -> None:
    result, _, _ = worded(lambda body: json.dumps({"sentences": honest(body)[:1]}))
    assert {s.author for s in result.narrative.sentences()} == {"template", "llm"}


@pytest.mark.parametrize("kind", KINDS)
def test_german_sentences_are_put_together_as_well(kind: str) -> None:
    persona, ledger = load_persona("business_user", "de"), ledger_of(kind)
    template = compose(ledger, [], persona)
    for task in tasks_of(template, persona):
        made = compiled(
            Wording.model_validate({"id": task.sentence.id, "parts": list(task.parts)}), task, ledger, persona
        )
        assert isinstance(made, Sentence), made
        assert made.text == task.sentence.text

    def shorter(body: Json) -> str:
        sentences = [
            {"id": s["id"], "parts": copy.deepcopy(s["parts"])}
            for s in json.loads(body["messages"][1]["content"])["sentences"]
        ]
        for sentence in sentences:
            sentence["parts"][0:0] = [{"kind": "words", "text": "Hier:", "claims": []}]
        return json.dumps({"sentences": sentences})

    result, _, _ = worded(shorter, ledger, persona)
    assert verify(result.narrative, ledger, persona, []) == []


def test_a_wording_that_changes_nothing_is_the_templates() -> None:
    def echo(body: Json) -> str:
        asked = json.loads(body["messages"][1]["content"])["sentences"]
        return json.dumps({"sentences": [{"id": s["id"], "parts": s["parts"]} for s in asked]})

    result, template, _ = worded(echo)
    assert result.narrative == template


def test_a_true_sentence_that_says_less_is_refused() -> None:
    """It would verify on its own; the fact that it leaves out was chosen by the template."""

    def less(body: Json) -> str:
        parts = [
            {"kind": "words", "text": "The score comes to", "claims": []},
            {"kind": "claim", "text": "", "claims": ["decision.score"]},
        ]
        return json.dumps({"sentences": [{"id": "block.score.1", "parts": parts}]})

    result, _, _ = worded(less)
    assert next(s.author for s in result.narrative.sentences() if s.id == "block.score.1") == "fallback"
    refused = [p for entry in result.trail for p in entry["problems"]]
    assert {(p["kind"], p["token"]) for p in refused} == {("required", "decision.target")}


@pytest.mark.parametrize("language", ["en", "de"])
def test_no_registered_phrase_can_be_said_in_passing(language: str) -> None:
    """Such phrases state facts; the words of a template's vocabulary are enough to write some of them."""
    persona, data = load_persona("business_user", language), lexicon(language)
    assert plain_words(language) <= data.vocabulary
    ledger = ledger_of()
    tasks = tasks_of(compose(ledger, [], persona), persona)
    loose = [p for p in (*data.states, *data.standing) if set(words_of(p)) <= data.vocabulary]
    assert len(loose) > 10
    for task in tasks:
        for phrase in loose:
            parts = [*task.parts, {"kind": "words", "text": f"{phrase}.", "claims": []}]
            wording = Wording.model_validate({"id": task.sentence.id, "parts": parts})
            assert isinstance(compiled(wording, task, ledger, persona), list), phrase


def test_rank_may_be_added_and_a_false_rank_is_refused() -> None:
    def leading(body: Json) -> str:
        sentences = [s for s in honest(body) if s["id"] in ("relevance.driver.1", "relevance.driver.2")]
        for sentence in sentences:
            sentence["parts"][0] = {"kind": "words", "text": "With the", "claims": []}
            order = {"kind": "order", "text": "largest", "claims": [f"{sentence['id']}.rank"]}
            sentence["parts"][1:1] = [order, {"kind": "words", "text": "effect here,", "claims": []}]
        return json.dumps({"sentences": sentences})

    result, _, ledger = worded(leading)
    by_id = {s.id: s for s in result.narrative.sentences()}
    assert by_id["relevance.driver.1"].text.startswith("With the largest effect here, ")
    assert by_id["relevance.driver.2"].author == "fallback"
    assert verify(result.narrative, ledger, PLAIN, []) == []


def test_nothing_is_asked_when_the_explanation_failed_or_the_persona_says_no() -> None:
    def never(body: Json) -> str:
        raise AssertionError("asked")

    failed = Claim(id="trust.level", kind="category", value="do not rely", artifact="trust")
    result, template, _ = worded(never, replaced(ledger_of(), failed))
    assert result.narrative == template and result.trail[0]["asked"] == []
    data = PLAIN.public() | {"name": "shy", "redaction": {"wording": False}}
    result, template, _ = worded(never, persona=Persona.model_validate(data))
    assert result.narrative == template


def test_at_most_two_repairs_and_the_problems_are_shown() -> None:
    seen: list[list[Json]] = []

    def bad(body: Json) -> str:
        seen.append(body["messages"])
        sentences = honest(body)
        for sentence in sentences:
            sentence["parts"].append({"kind": "words", "text": "clearly", "claims": []})
        return json.dumps({"sentences": sentences})

    result, template, _ = worded(bad)
    batches = -(-len(tasks_of(template, PLAIN)) // 10)
    assert len(seen) == 3 * batches
    shown = json.loads(seen[1][-1]["content"].split("\n", 3)[3])["problems"]
    assert {problem["kind"] for problem in shown} == {"hedge"} and all(problem["mend"] for problem in shown)
    assert "clearly" not in " ".join(s.text for s in result.narrative.sentences())


def test_the_schema_knows_the_ids_of_this_run_alone() -> None:
    ledger = ledger_of()
    tasks = tasks_of(compose(ledger, [], PLAIN), PLAIN)[:3]
    schema = answer_schema(tasks, ledger)
    item = schema["properties"]["sentences"]["items"]
    claims = item["properties"]["parts"]["items"]["properties"]["claims"]["items"]["enum"]
    assert set(claims) == {key for task in tasks for key in task.claims} <= set(ledger)
    assert item["properties"]["id"]["enum"] == [task.sentence.id for task in tasks]
    assert item["additionalProperties"] is False and item["required"] == ["id", "parts"]


def test_values_are_given_only_where_the_persona_says_so() -> None:
    ledger = ledger_of()
    entry = {e["id"]: e for e in described(["relevance.driver.1.value", "relevance.driver.1.share"], ledger, PLAIN)}
    assert (
        "value" not in entry["relevance.driver.1.value"] and entry["relevance.driver.1.share"]["band"] == "a large part"
    )
    open_ = PLAIN.public() | {"name": "open", "redaction": {"values": ["*"], "inputs": True}}
    (value,) = described(["relevance.driver.1.value"], ledger, Persona.model_validate(open_))
    assert value["value"] == 46.0
    shut = PLAIN.public() | {"name": "shut", "redaction": {"hide": ["relevance.driver.*.value"]}}
    assert described(["relevance.driver.1.value"], ledger, Persona.model_validate(shut)) == []


# -- the client -----------------------------------------------------------------------------------------------------


def client(server: ScriptedServer, profile: str = "generic", **more: Any) -> Client:
    given: dict[str, Any] = {"base_url": server.base_url, "model": "scripted", "timeout": 1.0, "total": 5.0} | more
    return Client(LlmSettings(**given), load_profile(profile), seed=7)


ASK: list[Json] = [{"role": "user", "content": "{}"}]
SCHEMA: Json = {"type": "object", "properties": {}, "additionalProperties": False}


def test_the_ladder_goes_down_once_and_is_remembered() -> None:
    def script(body: Json, number: int) -> Reply:
        form = body.get("response_format", {}).get("type")
        return Reply(status=400, text="no") if form == "json_schema" else Reply(text=form)

    with ScriptedServer(script) as server:
        asker = client(server)
        assert [asker.ask("t", ASK, schema=SCHEMA).text for _ in range(2)] == ["json_object"] * 2
        first, second = asker.take()
        asker.close()
    assert [a["step"] for a in first["attempts"]] == ["json_schema", "json_object"]
    assert [a["step"] for a in second["attempts"]] == ["json_object"]
    assert first["prompt_sha256"] == second["prompt_sha256"] and first["response_sha256"] == second["response_sha256"]
    assert first["temperature"] == 0.0 and first["system_fingerprint"] == "fp_scripted"


@pytest.mark.parametrize("name", profile_names())
def test_every_profile_asks_in_a_way_of_its_own(name: str) -> None:
    profile = load_profile(name)
    with ScriptedServer(lambda body, number: Reply(text="{}")) as server:
        asker = client(server, name)
        asker.ask("t", ASK, schema=SCHEMA)
        asker.close()
        (body,) = server.requests
    assert body.get("response_format", {"type": "prompted"})["type"] == profile.ladder[0]
    assert body[profile.limit] == 4096 and body.get("temperature") == profile.temperature
    assert body.get("seed") == (7 if profile.seed else None)


def test_a_refusal_is_not_repeated_and_a_busy_server_is_waited_for() -> None:
    for status, times in ((401, 1), (403, 1), (429, 3), (503, 3)):
        with ScriptedServer(lambda body, number, s=status: Reply(status=s, headers={"retry-after": "0"})) as server:
            asker = client(server)
            with pytest.raises(NoAnswer, match=str(status)):
                asker.ask("t", ASK)
            assert len(server.requests) == times
            asker.close()


def test_a_wait_longer_than_the_time_left_is_not_waited_for() -> None:
    began = time.monotonic()
    with ScriptedServer(lambda body, number: Reply(status=429, headers={"retry-after": "3600"})) as server:
        asker = client(server)
        with pytest.raises(NoAnswer):
            asker.ask("t", ASK)
        asker.close()
        assert len(server.requests) == 1
    assert time.monotonic() - began < 3600


def test_the_total_time_bounds_all_questions_together() -> None:
    with ScriptedServer(lambda body, number: Reply(text="x" * 200, drip=0.01)) as server:
        asker = client(server, total=0.2, timeout=30.0)
        for why in ("did not answer", "used up"):
            with pytest.raises(NoAnswer, match=why):
                asker.ask("t", ASK)
        asker.close()
        assert len(server.requests) == 1


def test_time_in_which_nothing_is_asked_is_not_counted() -> None:
    with ScriptedServer(lambda body, number: Reply(text="{}")) as server:
        asker = client(server, total=0.5)
        asker.ask("t", ASK)
        time.sleep(0.6)
        assert asker.ask("t", ASK).text == "{}"
        asker.close()


def test_an_answer_without_an_end_is_cut_off() -> None:
    with ScriptedServer(lambda body, number: Reply(body=b'{"choices": "' + b"x" * 5_000_000)) as server:
        asker = client(server)
        with pytest.raises(NoAnswer, match="larger than"):
            asker.ask("t", ASK)
        asker.close()


def test_the_key_is_sent_and_never_recorded() -> None:
    with ScriptedServer(lambda body, number: Reply(status=401, text="bad key: sk-secret-1234")) as server:
        asker = client(server, api_key="sk-secret-1234")
        with pytest.raises(NoAnswer) as error:
            asker.ask("t", ASK)
        assert server.headers[0]["authorization"] == "Bearer sk-secret-1234"
        assert "sk-secret" not in json.dumps(asker.take()) + str(error.value)
        asker.close()
    assert "sk-secret" not in repr(LlmSettings(base_url="http://h/v1", model="m", api_key="sk-secret-1234"))  # type: ignore[arg-type]


# -- settings -------------------------------------------------------------------------------------------------------


def test_default_is_no_language_model_and_no_package_of_one() -> None:
    assert open_llm(load_settings()) is None
    code = "import sys, xagent.agent, xagent._explain; assert not {'openai', 'xagent.agent.llm'} & set(sys.modules)"
    subprocess.run([sys.executable, "-c", code], check=True, timeout=120)


@pytest.mark.parametrize(
    ("llm", "said"),
    [
        ({"base_url": "localhost:8000"}, "http://"),
        ({"base_url": "http://user:pass@host/v1"}, "no user, password"),
        ({"base_url": "http://host/v1"}, "llm.model"),
        ({"base_url": "http://host/v1", "model": "m", "profile": "unheard-of"}, "generic"),
        ({"base_url": "http://host/v1", "model": "m", "timeout": 0}, "llm.timeout"),
        ({"url": "http://host/v1"}, "llm.url"),
    ],
)
def test_a_wrong_setting_is_named(llm: Json, said: str) -> None:
    with pytest.raises(ConfigurationFault, match=said) as error:
        open_llm(load_settings(llm=llm))
    assert "pass@" not in str(error.value)


def test_without_the_package_the_install_line_is_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "openai", None)
    with pytest.raises(ConfigurationFault, match="pip install 'openai>=3,<4'"):
        open_llm(load_settings(llm={"base_url": "http://127.0.0.1:1/v1", "model": "m"}))
    assert open_llm(load_settings(llm={"base_url": "http://127.0.0.1:1/v1", "model": "m"}, no_llm=True)) is None


def test_the_file_of_settings_names_a_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "xagent.toml").write_text('[llm]\nbase_url = "http://127.0.0.1:1/v1"\nmodel = "m"\nprofile = "vllm"\n')
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("XAGENT_LLM__TIMEOUT", "9")
    llm = load_settings().llm
    assert (llm.profile, llm.model, llm.timeout) == ("vllm", "m", 9.0)
    monkeypatch.setenv("XAGENT_NO_LLM", "true")
    assert open_llm(load_settings()) is None


# -- records --------------------------------------------------------------------------------------------------------


def test_a_replay_answers_as_recorded_and_says_when_it_cannot(tmp_path: Path) -> None:
    path = tmp_path / "x.run.json"
    with ScriptedServer(lambda body, number: Reply(text=str(number)) if number != 1 else Reply(status=401)) as server:
        asker = client(server)
        for _ in range(3):
            try:
                asker.ask("t", ASK)
            except NoAnswer:
                continue
        path.write_text(json.dumps({"llm": {"calls": asker.take()}}))
        asker.close()
    replay = Replay(path)
    assert replay.ask("t", ASK).text == "0"
    with pytest.raises(NoAnswer, match="401"):
        replay.ask("t", ASK)
    assert replay.ask("t", ASK).text == "2"
    with pytest.raises(NoAnswer, match="no answer to this prompt"):
        replay.ask("t", ASK)
    assert [call["outcome"] for call in replay.take()] == ["answered", "failed", "answered", "failed"]


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"llm": {}}', '{"llm": {"calls": [1]}}', '{"llm": {"calls": [{}]}}'])
def test_a_file_that_is_no_record_is_refused(text: str, tmp_path: Path) -> None:
    path = tmp_path / "x.run.json"
    path.write_text(text)
    with pytest.raises(ConfigurationFault, match=r"llm\.replay"):
        Replay(path)


def test_an_unanswered_question_is_in_the_trail() -> None:
    def silent(body: Json) -> str:
        raise Unanswered("The server cannot be reached.")

    result, _, _ = worded(silent)
    assert result.trail[0]["why"] == "The server cannot be reached."
    assert {s.author for s in result.narrative.sentences()} == {"template", "fallback"}
