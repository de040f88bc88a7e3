"""Figures of relevance: texts, sentences, images, answers and networks, drawn from data made by hand."""

from __future__ import annotations

import base64
import io
import json
import re
import zlib
from typing import Any

import pikepdf
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from test_report import HOSTILE, Page
from test_report_sample import artifacts, claims, report

from xagent.evidence import Claim, Ledger
from xagent.narrative import Narrative, compose, verify
from xagent.personas import load_persona, persona_names
from xagent.report import Report
from xagent.report._answer import grid_of, sources_table
from xagent.report._heat import image_chart
from xagent.report._layers import chosen_layers, short_names
from xagent.report._png import grey_png
from xagent.report._scale import Scale, amount
from xagent.report._view import View
from xagent.report._words import joined_tokens, passage, prompt_passage, sentence_map
from xagent.report.check import check_pdf

PERSONAS = persona_names()
PRINTED = ("business_user", "data_scientist", "regulator")  # pages take seconds
Json = dict[str, Any]


def with_relevance(found: Json, persona: str, title: str | None = None) -> Report:
    """A report over a relevance artifact: its players become the driver claims, its parts the counts."""
    players = found["players"]
    total = sum(abs(p["relevance"]) for p in players) or 1.0
    rows = [
        claim
        for claim in claims(**{"decision.label": title or "Urgent", "relevance.target": title or "Urgent"})
        if not re.match(
            r"(input|feature|relevance\.(driver|features|for|against)|(deviation|drift)\.feature)\.", claim.id
        )
    ]
    ranked = sorted(players, key=lambda p: -abs(p["relevance"]))

    def add(key: str, kind: Any, value: Any, **more: Any) -> None:
        rows.append(Claim(id=f"relevance.{key}", kind=kind, value=value, artifact="relevance", **more))

    for n, player in enumerate(ranked[:60], start=1):
        value, own = float(player["relevance"]), {"feature": player["feature"]}
        sign = (value > 0) - (value < 0)
        add(f"driver.{n}.name", "text", player["label"], **own)
        add(f"driver.{n}.effect", "effect", value, scale="logit", sign=sign, **own)
        add(f"driver.{n}.share", "share", abs(value) / total, scale="share", **own)
        add(f"driver.{n}.rank", "rank", n, **own)
        add(f"driver.{n}.direction", "category", {1: "for", -1: "against", 0: "neither"}[sign], sign=sign, **own)
    add("features.count", "count", len(players))
    for side, sign in (("for", 1), ("against", -1)):
        mine = [abs(p["relevance"]) for p in players if p["relevance"] * sign > 0]
        add(f"{side}.count", "count", len(mine), sign=sign)
        add(f"{side}.share", "share", min(1.0, sum(mine) / total), sign=sign, scale="share")
    answer = found.get("answer")
    for name, parts in (
        ("sentences", found.get("sentences")), ("sources", answer["sources"] if answer else None),
        ("layers", found.get("layers")), ("heads", found.get("heads")),
    ):  # fmt: skip
        if parts:
            add(f"{name}.count", "count", len(parts))
    tools = artifacts()
    tools[0] = tools[0].model_copy(update={"data": {"image": None, "tokens": None, **found}})
    return report(persona, rows, artifacts=tools, findings=[])


WORDS = re.findall(r"\w+", "My father is breathless since this morning He has no bleeding Please call back")


def text_data(texts: list[str] | None = None, sentences: list[str] | None = None) -> Json:
    words = texts or WORDS
    whole = sentences or ["My father is breathless, since this morning.", "He has “no” bleeding!", "Please call back."]
    weights = [0.24, 0.16, 0.6, 4.85, 1.52, 0.66, 0.43, -0.1, 0.2, -4.7, 3.0, -0.9, 0.3, -0.1]
    values = [weights[i % len(weights)] for i in range(len(words))]
    tokens = [{"text": w, "relevance": v} for w, v in zip(words, values, strict=True)]
    players = [
        {"feature": f"word.{n}", "label": t["text"], "relevance": t["relevance"], "share": 0.1, "rank": n}
        for n, t in enumerate(tokens, start=1)
    ]
    amounts = [8.46, -1.6, -0.7]
    parts = [{"text": s, "relevance": amounts[i % 3]} for i, s in enumerate(whole)]
    return {"players": players, "tokens": tokens, "sentences": parts, **inside_data()}


def inside_data(layers: int = 6, heads: int = 8) -> Json:
    names = ["bert.embeddings", *(f"bert.encoder.layer.{n}" for n in range(layers)), "bert.pooler", "classifier"]
    held = [{"name": name, "sum": 1.0002 - 0.004 * (len(names) - n)} for n, name in enumerate(names)]
    inner = [{"name": f"bert.encoder.layer.{n}.output", "sum": 0.2} for n in range(layers)]
    grid = [
        {"layer": f"bert.encoder.layer.{r}.attention.self", "head": c, "relevance": ((r * 7 + c * 5) % 11 - 4) / 7}
        for r in range(layers)
        for c in range(heads)
    ]
    return {"layers": [*held, *inner, {"name": "bert", "sum": 1.0}], "heads": grid}


def image_data(size: int = 8, cell: int = 1) -> Json:
    side = size // cell
    cells = [[((r * 5 + c * 3) % 13 - 5) * (1 if r < side - 2 else 0.2) / 4 for c in range(side)] for r in range(side)]
    relevance = [[cells[r // cell][c // cell] / cell**2 for c in range(size)] for r in range(size)]
    pixels = [[abs((r * 7 + c * c) % 17) / 16 for c in range(size)] for r in range(size)]
    players = [
        {"feature": f"cell.{r + 1}.{c + 1}", "label": f"row {r + 1}, column {c + 1}", "relevance": cells[r][c],
         "share": 0.0, "rank": 1}
        for r in range(side) for c in range(side)
    ]  # fmt: skip
    return {"players": players, "image": {"height": size, "width": size, "pixels": pixels, "map": relevance}}


PASSAGES = (
    ("instruction", "Instruction", "Answer with the notice period and nothing else."),
    ("document", "Tenancy agreement, clause 7", "The tenant may end this agreement with three months’ notice."),
    ("document", "Tenancy agreement, clause 12", "Pets are allowed with the landlord’s consent."),
    ("document", "Letter of 4 May", "The period was changed to one month by both parties."),
    ("turn", "Question", "How long is the notice period?"),
)


def answer_data(count: int = 5, length: int = 6) -> Json:
    weights = [0.3, -1.9, 0.05, 5.2, 1.1]
    sources = []
    for n in range(count):
        kind, label, text = PASSAGES[n % 5]
        value = weights[n % 5] / (1 + n // 5)
        sources.append({"feature": f"source.{n + 1}", "label": label if n < 5 else f"{label} ({n // 5})", "kind": kind,
                        "text": text, "relevance": value, "share": abs(value) / 8.55})  # fmt: skip
    pieces = ["The", " notice", " per", "iod", " is", " one", " month", "."]
    tokens = [{"text": pieces[t % 8], "score": 1.5 + 0.1 * t} for t in range(length)]
    matrix = [
        [s["relevance"] / length * (1 + ((t + c) % 3 - 1) * 0.6) for c, s in enumerate(sources)] for t in range(length)
    ]
    prompt = [{"text": "<s>", "relevance": 0.9, "source": None}]
    for source in sources:
        words = source["text"].split()
        prompt += [
            {"text": f" {word}", "relevance": source["relevance"] / len(words) * (1 + (i % 3 - 1) * 0.8),
             "source": source["feature"]}
            for i, word in enumerate(words)
        ]  # fmt: skip
    players = [{k: s[k] for k in ("feature", "label", "relevance", "share")} | {"rank": 1} for s in sources]
    answer = {"tokens": tokens, "sources": sources, "matrix": matrix, "prompt": prompt, "sink": 0.9, "other": -0.2,
              "own": 1.7, "way": "columns"}  # fmt: skip
    return {"players": players, "answer": answer, **inside_data(2, 4)}


KINDS = {"text": text_data, "image": image_data, "answer": answer_data}


# --- every figure -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("kind", list(KINDS))
def test_every_figure_has_its_verified_sentence(kind: str, persona: str) -> None:
    made = with_relevance(KINDS[kind](), persona)
    narrative = Narrative.model_validate(made.data["narrative"])
    alts = {figure.id: figure.alt for figure in narrative.figures}
    expected = {"text": {"tokens", "sentences"}, "image": {"heatmap"}, "answer": {"answer"}}[kind]
    if persona == "data_scientist" and kind != "image":
        expected |= {"layers", "heads"}
    if persona != "business_user" and kind == "answer":
        expected.add("prompt")
    if persona in ("auditor", "customer"):  # they get fewer charts
        expected &= set(load_persona(persona).charts)
    assert expected <= set(alts)
    assert {"layers", "heads"} & set(alts) == expected & {"layers", "heads"}
    reader, ledger = load_persona(persona), Ledger(list(made.ledger.values()))
    only = compose(ledger, [], reader).model_copy(update={"sections": ()})
    about = [p for p in verify(only, ledger, reader) if p.sentence.startswith("figure.")]
    assert about == []
    page = Page(made.html)
    words = " ".join("".join(page.text).split())
    for ident in expected:
        assert alts[ident].text in words, ident
    bound = {key for _, attrs in page.tags for key in (attrs.get("data-claim") or "").split()}
    assert bound <= set(made.ledger)


@pytest.mark.parametrize("persona", PRINTED)
@pytest.mark.parametrize("kind", list(KINDS))
def test_figures_are_whole_in_print(kind: str, persona: str) -> None:
    made = with_relevance(KINDS[kind](), persona)
    assert check_pdf(made.pdf) == []
    with pikepdf.open(io.BytesIO(made.pdf)) as pdf:
        if persona == "business_user":
            assert len(pdf.pages) == 1


def test_every_figure_has_its_table_in_the_evidence() -> None:
    texts = [f"word{n}" for n in range(90)]
    long = View(with_relevance(text_data(texts, ["One.", "Two."]), "data_scientist").data)
    tables = {table.id: table for table in long.appendix}
    assert {"words", "sentences", "layers", "heads"} <= set(tables)
    assert len(tables["words"].rows) == 60 and "strongest 60 of 90" in tables["words"].caption
    assert [cell.text for cell in tables["words"].rows[0]] == ["4", "word3", "+4.850", "4.2%"]
    answer = {table.id: table for table in View(with_relevance(answer_data(40, 90), "regulator").data).appendix}
    assert len(answer["answer"].head) == 10 and "adds up 33 further sources" in answer["answer"].caption
    assert "cells" in {table.id for table in View(with_relevance(image_data(), "regulator").data).appendix}
    assert "layers" not in answer


def test_a_figure_without_data_is_not_drawn() -> None:
    found = {**text_data(), "layers": [], "heads": [], "sentences": None}
    made = with_relevance(found, "data_scientist")
    titles = {figure["id"] for figure in made.data["narrative"]["figures"]}
    assert not titles & {"layers", "heads", "sentences", "answer", "prompt", "heatmap"}
    assert "Through the layers" not in made.html


# --- words ------------------------------------------------------------------------------------------------------------


def test_words_stand_in_their_text_with_sign_and_figure() -> None:
    view = View(with_relevance(text_data(), "data_scientist").data)
    shown = passage(text_data(), view.facts, plain=False, sheet=False)
    assert shown is not None
    whole = "".join(word.before + word.text + word.after for word in shown.words) + shown.tail
    assert whole == "My father is breathless, since this morning. He has “no” bleeding! Please call back."
    by = {word.text: word for word in shown.words}
    assert (by["breathless"].tone, by["breathless"].level, by["no"].tone, by["no"].level) == ("for", 4, "against", 4)
    assert by["breathless"].figure == view.facts.cell("relevance.driver.1.effect")
    assert by["has"].tone == "neither" and by["has"].figure is None
    assert shown.ends == ("\u22124.85", "+4.85") and shown.statement == ""


def test_a_long_text_is_cut_around_its_strongest_words_and_says_so() -> None:
    texts = [f"word{n}" for n in range(2000)]
    found = text_data(texts, [" ".join(texts)])
    found["tokens"][1200]["relevance"] = 9.0
    found["players"][1200]["relevance"] = 9.0
    view = View(with_relevance(found, "data_scientist").data)
    shown = passage(found, view.facts, plain=False, sheet=False)
    assert shown is not None and len(shown.words) <= 400
    assert "word1200" in {word.text for word in shown.words}
    assert f"{len(shown.words)} of 2,000 words" in shown.statement
    assert any(word.gap for word in shown.words)


def test_sentences_keep_sign_and_order() -> None:
    rows = sentence_map(text_data(), plain=False, sheet=False)
    assert rows is not None
    assert [(r.number, r.tone, r.figure) for r in rows.rows] == [
        (1, "for", "+8.46"), (2, "against", "\u22121.60"), (3, "neither", "\u22120.70")
    ]  # fmt: skip
    many = text_data(None, [f"Sentence {n}." for n in range(90)])
    capped = sentence_map(many, plain=True, sheet=True)
    assert capped is not None and len(capped.rows) == 5 and "5 of 90 sentences" in capped.statement
    assert sentence_map({**text_data(), "sentences": text_data()["sentences"][:1]}, plain=False, sheet=False) is None


# --- answers ----------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(st.integers(1, 40), st.integers(1, 120))
def test_the_matrix_keeps_its_sum_whatever_is_joined(count: int, length: int) -> None:
    answer = answer_data(count, length)["answer"]
    grid = grid_of(answer)
    assert grid is not None
    assert len(grid.rows) <= 24 and len(grid.columns) <= 9
    assert all(len(line) == len(grid.columns) for line in grid.cells)
    assert sum(map(sum, grid.cells)) == pytest.approx(sum(map(sum, answer["matrix"])))
    assert sum(grid.scores) == pytest.approx(sum(t["score"] for t in answer["tokens"]))
    assert grid.rest == (count - len(grid.columns) + 1 if count > 9 else 0)


def test_pieces_of_words_are_joined_but_not_across_sources() -> None:
    rows = [
        {"text": "The", "relevance": 1.0, "source": "a"}, {"text": " per", "relevance": 2.0, "source": "a"},
        {"text": "iod", "relevance": -0.5, "source": "a"}, {"text": "s", "relevance": 4.0, "source": "b"},
    ]  # fmt: skip
    assert joined_tokens(rows) == (["The", " period", "s"], [1.0, 1.5, 4.0], ["a", "a", "b"])
    words = [{"text": t, "relevance": 1.0, "source": None} for t in ("cat", "?", "white")]
    assert joined_tokens(words)[0] == ["cat", "?", "white"]


def test_sources_are_listed_with_excerpt_and_share() -> None:
    view = View(with_relevance(answer_data(), "regulator").data)
    table = sources_table(answer_data()["answer"], view.facts, plain=False, sheet=False)
    assert [row[0].text for row in table.rows] == ["S1", "S2", "S3", "S4", "S5"]
    assert table.rows[3][4].claim == "relevance.driver.1.share"
    assert "one month" in table.rows[3][2].text
    many = sources_table(answer_data(40)["answer"], view.facts, plain=True, sheet=True)
    assert len(many.rows) == 6 and "6 strongest of 40" in many.caption
    assert prompt_passage(answer_data()["answer"], {}, sheet=False) is not None


def test_one_line_for_a_whole_answer() -> None:
    answer = {**answer_data()["answer"], "way": "span"}
    answer["matrix"] = [[sum(column) for column in zip(*answer["matrix"], strict=True)]]
    grid = grid_of(answer)
    assert grid is not None and grid.rows == ["whole answer"]
    assert "weighed as a whole" in with_relevance({**answer_data(), "answer": answer}, "regulator").html


# --- networks ---------------------------------------------------------------------------------------------------------


def test_layers_that_follow_one_another_are_chosen() -> None:
    names = [layer["name"] for layer in chosen_layers(inside_data(3)["layers"])]
    assert names == ["bert.embeddings", *(f"bert.encoder.layer.{n}" for n in range(3)), "bert.pooler", "classifier"]
    flat = [{"name": "0", "sum": 1.0}, {"name": "1", "sum": 1.0}]
    assert chosen_layers(flat) == flat
    assert short_names(["a.layer.0.att", "a.layer.1.att"]) == ["layer 0", "layer 1"]
    assert short_names(["model.x"]) == ["model.x"]


# --- images -----------------------------------------------------------------------------------------------------------


def test_a_large_image_is_one_picture() -> None:
    made = with_relevance(image_data(224, 14), "data_scientist")
    svg = made.html.split("Where the model looked")[1].split("</svg>")[0]
    assert svg.count("<image") == 1 and svg.count("<rect") < 800
    png = base64.b64decode(re.search(r"data:image/png;base64,([^\"]+)", svg)[1])  # type: ignore[index]
    assert len(png) == 8 + 25 + 12 + 12 + len(zlib_body(224, 225))
    view = View(made.data)
    chart = image_chart(image_data(224, 14)["image"], "alt", view.facts, players=image_data(224, 14)["players"])
    assert chart.rows[0]["claim"] == "relevance.driver.1.effect"
    assert with_relevance(image_data(224, 14), "data_scientist").pdf == made.pdf


def zlib_body(height: int, line: int) -> bytes:
    raw = height * line
    return bytes(2 + raw + 5 * -(-raw // 65_535) + 4)


def test_the_png_holds_the_pixels() -> None:
    rows = [[(r * 31 + c) % 256 for c in range(300)] for r in range(260)]
    png = grey_png(rows)
    body = png[8 + 25 + 8 : -12 - 4]
    assert zlib.decompress(body) == b"".join(b"\0" + bytes(row) for row in rows)


# --- numbers and hostile text -----------------------------------------------------------------------------------------


def test_amounts_of_a_figure_have_equal_decimals() -> None:
    scale = Scale.of([4.8546, -0.051, 0.0])
    assert [scale.text(v) for v in (4.8546, -0.051, 0.0, -0.0001)] == ["+4.85", "\u22120.05", "0.00", "0.00"]
    assert amount(-3.2e-9, 3.2e-9) == "\u22123.20e\u22129"
    assert amount(12345.6, 12345.6) == "+12,346"


NASTY = [
    HOSTILE, "שלום", "مرحبا بكم", "東京都は今日も晴れ", "x" * 200, "\u202eabc\u202c", "\x00\x07",
    "</svg><script>1</script>", "&amp;",
    '" onload="x', "{{7*7}}", "a\u0301\u0301\u0301", "\n", "🙂",
]  # fmt: skip


@pytest.mark.parametrize("persona", PERSONAS)
@pytest.mark.parametrize("kind", ["text", "answer"])
def test_hostile_text_stays_text_in_every_figure(kind: str, persona: str) -> None:
    found, plain = KINDS[kind](), KINDS[kind]()
    if kind == "text":
        found = text_data(NASTY, [" ".join(NASTY), *NASTY])
    else:
        answer = found["answer"]
        for n, source in enumerate(answer["sources"]):
            source |= {"label": NASTY[n], "text": NASTY[-n - 1] + NASTY[n]}
            found["players"][n]["label"] = NASTY[n]
        answer["tokens"] = [{"text": t, "score": 1.0} for t in NASTY]
        answer["matrix"] = [[1.0] * len(answer["sources"]) for _ in NASTY]
        answer["prompt"] = [{"text": t, "relevance": 0.5, "source": "source.1"} for t in NASTY]
    for layer in found["layers"]:
        layer["name"] = HOSTILE + layer["name"]
    for head in found["heads"]:
        head["layer"] = HOSTILE + head["layer"]
    made = with_relevance(found, persona)
    page = Page(made.html)
    assert {tag for tag, _ in page.tags} <= {tag for tag, _ in Page(with_relevance(plain, persona).html).tags}
    assert not any(name.startswith("on") for _, attrs in page.tags for name in attrs)
    text = "".join(page.text)
    assert not set(text) & set("\u202e\u202c\u2066\x1b\x07\x00")
    assert json.loads(page.data) == made.data
    faults = [fault for fault in check_pdf(made.pdf) if "missing in the font" not in fault]  # CJK, emoji: none bundled
    assert faults == []
