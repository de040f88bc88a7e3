"""An answer of a language model as a case: loaded, reproduced, traced to the sources of its prompt, told to readers."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import pytest
import torch

from xagent.case import Case, load_card, load_case, validated
from xagent.errors import InvalidCase
from xagent.subject import AnswerSubject, load_subject
from xagent.tools import Context, case_claims, claims_of, run_tool
from xagent.tools._answer_claims import words_of

ROOT = Path(__file__).parent.parent / "fixtures" / "answer"
PROMPTS = json.loads((ROOT / "planted.json").read_text(encoding="utf-8"))["prompts"]


@pytest.fixture(scope="module")
def subject() -> AnswerSubject:
    found = load_subject(load_case(ROOT / "case.json"))
    assert isinstance(found, AnswerSubject)
    return found


def made(**given: Any) -> Case:
    """The fixture's case with another input."""
    data = json.loads((ROOT / "case.json").read_text(encoding="utf-8"))
    data["input"] = {"kind": "generation", **given}
    case = validated(Case, data, "case.json")
    case._folder = ROOT
    return case


def context(case: Case, subject: AnswerSubject, *tools: str) -> Context:
    ctx = Context(case, load_card(case), subject)
    for name in tools:
        artifact = run_tool(name, ctx)
        assert artifact.status == "ok", artifact.why
        ctx = Context(case, ctx.card, subject, found={**ctx.found, name: artifact})
    return ctx


@pytest.mark.parametrize("number", range(len(PROMPTS)))
def test_the_planted_row_is_the_first_driver(subject: AnswerSubject, number: int) -> None:
    planted = PROMPTS[number]
    sources = [{"name": f"row {i}", "text": text} for i, text in enumerate(planted["chunks"])]
    case = made(prompt=planted["prompt"], answer=planted["answer"], sources=sources)
    found = context(case, subject, "relevance").found["relevance"].data
    assert found["players"][0]["label"] == f"row {planted['sources'][0]}" and found["players"][0]["relevance"] > 0


def test_every_word_of_an_answer_has_its_row(subject: AnswerSubject) -> None:
    """The matrix by token: the three values of the continued answer come from three rows."""
    case = load_case(ROOT / "case-continued.json")
    ctx = context(case, subject, "relevance")
    data = ctx.found["relevance"].data
    answer, planted = data["answer"], PROMPTS[1]
    assert [token["text"] for token in answer["tokens"]] == planted["continued"].split()
    for token, row in zip((0, 3, 6), planted["sources"], strict=True):
        line = answer["matrix"][token]
        assert line.index(max(line)) == row
    claims = {claim.id: claim for claim in claims_of(ctx.found["relevance"], ctx)}
    assert "answer.top.2.name" not in claims  # lemon: no row has a fair part of its weight
    rows = [claims[f"answer.top.{n}.name"].feature for n in (1, 3, 5)]  # words: kite, lemon, hen, rose, owl
    assert rows == [f"source.{row + 1}" for row in planted["sources"]]
    shares = [claims[f"answer.{part}.share"].value for part in ("passages", "own", "sink", "other")]
    assert sum(shares) == pytest.approx(1) and claims["answer.own.share"].value > 0


def test_everything_adds_up_to_the_score(subject: AnswerSubject) -> None:
    data = context(load_case(ROOT / "case-continued.json"), subject, "relevance").found["relevance"].data
    answer = data["answer"]
    by_source = [math.fsum(line[i] for line in answer["matrix"]) for i in range(len(answer["sources"]))]
    assert by_source == pytest.approx([source["relevance"] for source in answer["sources"]], rel=1e-3, abs=1e-4)
    total = sum(by_source) + answer["sink"] + answer["other"] + answer["own"]
    assert total == pytest.approx(data["ledger"]["inputs"], rel=1e-4)
    assert math.fsum(token["score"] for token in answer["tokens"]) == pytest.approx(data["score"], rel=1e-5)
    assert data["gap"] < 1e-5
    held = sum(token["relevance"] for token in answer["prompt"])
    assert held == pytest.approx(total - answer["own"], rel=1e-4, abs=1e-4)
    assert {token["source"] for token in answer["prompt"]} == {None, *(s["feature"] for s in answer["sources"])}
    assert answer["prompt"][0] == {"text": "<s>", "relevance": answer["sink"], "source": None}
    assert {(head["layer"], head["head"]) for head in data["heads"]} == {
        (f"model.layers.{layer}.self_attn", head) for layer in range(2) for head in range(4)
    }


def test_the_score_is_the_log_probability_by_hand(subject: AnswerSubject) -> None:
    case = load_case(ROOT / "case-continued.json")
    assert case.input.kind == "generation" and subject.module is not None
    ids = subject.tokenizer(f"{case.input.prompt} {case.input.answer}")["input_ids"]
    count = len(case.input.answer.split())
    with torch.no_grad():
        likely = subject.module(input_ids=torch.tensor([ids])).logits[0, :-1].log_softmax(-1)
    by_hand = sum(float(likely[place - 1, ids[place]]) for place in range(len(ids) - count, len(ids)))
    assert by_hand == pytest.approx(case.prediction.score, abs=1e-4)
    encoded = subject.encode(case.input)
    assert float(subject.score(subject.logits(encoded.inputs))) == pytest.approx(by_hand, abs=1e-4)
    found = context(case, subject, "reproduction").found["reproduction"]
    assert found.data["state"] == "ok" and found.data["scale"] == "log_probability"
    other = case.model_copy(update={"prediction": case.prediction.model_copy(update={"score": by_hand - 0.01})})
    assert run_tool("reproduction", context(other, subject)).data["state"] == "deviation"


def test_a_removed_row_is_blank_and_all_else_stays(subject: AnswerSubject) -> None:
    case = load_case(ROOT / "case.json")
    encoded = subject.encode(case.input)
    keep = torch.ones(1, len(encoded.players), dtype=torch.bool)
    keep[0, 3] = False
    changed = subject.ablate(encoded, keep)["inputs_embeds"][0] != encoded.inputs["inputs_embeds"][0]
    assert tuple(changed.any(1).nonzero().flatten().tolist()) == encoded.players[3].index == (7, 8)
    before, after = (subject.logits(inputs)[0, 0] for inputs in (encoded.inputs, subject.ablate(encoded, keep)))
    assert before - after > 5  # the planted row


def test_trust_deviation_and_the_rest_apply_or_say_why_not(subject: AnswerSubject) -> None:
    case = load_case(ROOT / "case.json")
    ctx = context(case, subject, "relevance", "trust", "deviation", "drift", "serving", "process")
    trust = ctx.found["trust"].data
    assert trust["level"] == "strong" and trust["background_name"] == "a prompt of blanked passages"
    assert trust["agreement"] > 0.9 and trust["flips"] is None
    assert ctx.found["deviation"].data["state"] == ctx.found["drift"].data["state"] == "ok"
    refused = run_tool("counterfactual", ctx)
    assert refused.status == "not_applicable" and refused.why == "Single changes are tried on rows of a table alone."
    facts = {claim.id: claim.value for claim in case_claims(case, ctx.card, subject.encode(case.input).players)}
    assert facts["answer.text"] == "kite" and facts["feature.source.4.label"] == "register row 4 (teal)"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"answer": ""}, "input.answer: String should have at least 1 character"),
        ({"answer": " \n"}, "'answer' is empty"),
        ({"prompt": None}, "give either 'prompt' or 'messages'"),
        ({"messages": [{"role": "user", "content": "a"}]}, "give either 'prompt' or 'messages'"),
        ({"sources": [{"name": "memo", "text": "absent"}]}, r"sources.0.text \('memo'\) does not occur in the prompt"),
        (
            {"sources": [{"name": "a", "text": "teal kite"}, {"name": "b", "text": "kite rose"}]},
            r"sources.1 \('b'\) overlaps sources.0 in the prompt",
        ),
        ({"sources": [{"name": "a", "text": "teal"}, {"name": "a", "text": "rose"}]}, "the sources must differ"),
        ({"by": "turns"}, "the prompt is no chat"),
        ({"by": "sources", "sources": []}, "none are named"),
        ({"unheard": 1}, "unknown key 'input.unheard'"),
    ],
)  # fmt: skip
def test_a_bad_input_is_one_clear_error(change: dict[str, Any], said: str) -> None:
    data = json.loads((ROOT / "case.json").read_text(encoding="utf-8"))
    given = {**data["input"], **change}
    with pytest.raises(InvalidCase, match=said):
        made(**{key: value for key, value in given.items() if key != "kind" and value is not None})


@pytest.mark.parametrize(
    ("field", "value", "said"),
    [
        ("label", "cat", "prediction.label must be left out"),
        ("scale", "logit", "prediction.scale must be 'log_probability'"),
        ("score", 0.5, "must not be above 0"),
    ],
)
def test_a_bad_record_is_one_clear_error(field: str, value: Any, said: str) -> None:
    data = json.loads((ROOT / "case.json").read_text(encoding="utf-8"))
    data["prediction"][field] = value
    with pytest.raises(InvalidCase, match=said):
        validated(Case, data, "case.json")


def test_a_classifier_takes_no_answer() -> None:
    data = json.loads((ROOT / "case.json").read_text(encoding="utf-8"))
    data["model"]["output"] = {"kind": "logits", "classes": ["no", "yes"]}
    with pytest.raises(InvalidCase, match="must both be 'generation'"):
        validated(Case, data, "case.json")


def test_what_only_the_model_can_tell_is_refused_by_name(subject: AnswerSubject) -> None:
    table = PROMPTS[0]["prompt"]
    with pytest.raises(InvalidCase, match="prompt and answer have 82 tokens, the limit is 64"):
        subject.encode(made(prompt=" ".join(["<s>"] + ["teal kite"] * 40), answer="kite").input)
    with pytest.raises(InvalidCase, match="'start' has no token of its own"):
        subject.encode(made(prompt=table, answer="cat", sources=[{"name": "start", "text": "<s>"}]).input)
    with pytest.raises(InvalidCase, match="these tokens are another text"):
        subject.encode(made(prompt=table, answer="cat", answer_ids=[3]).input)
    with pytest.raises(InvalidCase, match="the model has no token 99"):
        subject.encode(made(prompt=table, answer="cat", answer_ids=[99]).input)
    with pytest.raises(InvalidCase, match="holds no chat template"):
        subject.encode(made(messages=[{"role": "user", "content": "teal"}], answer="cat").input)


def test_a_prompt_without_named_sources_falls_into_tokens(subject: AnswerSubject) -> None:
    prompt = PROMPTS[0]["prompt"].replace("?", "<mask>")
    encoded = subject.encode(made(prompt=prompt, answer="cat").input)
    assert [player.label for player in encoded.players] == prompt.split()[1:]
    assert encoded.exchange is not None and set(encoded.exchange.kinds) == {"token"}


def test_words_of_an_answer() -> None:
    assert words_of("It’s un believable!", ["It", "’s", " un", " bel", "ievable", "!"]) == [
        ("It’s", [0, 1]),
        ("un", [2]),
        ("believable!", [3, 4, 5]),
    ]
    assert words_of("a  b", ["a", " ", " b"]) == [("a", [0]), ("b", [2])]


@pytest.mark.parametrize(("name", "row"), [("case", "register row 4 (teal)"), ("case-continued", None)])
def test_all_readers_are_told_what_the_answer_rests_on(name: str, row: str | None) -> None:
    from xagent._explain import explain_all
    from xagent.personas import persona_names

    reports = explain_all(ROOT / f"{name}.json", sorted(persona_names()))
    assert len(reports) == len(persona_names())
    for report in reports:
        assert report.verification.verified == report.verification.total and not report.verification.problems
        told = [s["text"] for section in report.data["narrative"]["sections"] for s in section["sentences"]]
        drivers = [text for text in told if text.startswith("The passage “")]
        assert row is None or (f"“{row}”" in drivers[0] and " this answer" in drivers[0])
        assert any("against this answer" in text for text in drivers)
        assert any("“kite" in text for text in told[:8])
        plain = report.data["persona"]["name"] in ("business_user", "customer")
        assert any("start of the prompt" in text for text in told) or report.data["persona"]["name"] == "customer"
        words = [text.split("“")[1].split("”")[0] for text in told if text.startswith("Word of the answer: ")]
        one = row is not None or plain
        assert words == ([] if one else ["kite", "hen", "owl"])
