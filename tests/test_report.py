"""The report: its data, its page, its files."""

from __future__ import annotations

import io
import json
import os
import re
import subprocess
import sys
import unicodedata
from hashlib import sha256
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import pikepdf
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from pypdf import PdfReader
from test_report_sample import CASE, STEPS, artifacts, claims, report

from xagent.errors import ConfigurationFault, UnverifiedNarrative
from xagent.evidence import Claim, sha256_json
from xagent.narrative import Narrative, Problem
from xagent.personas import persona_names
from xagent.report import Report, report_schema
from xagent.report._charts import drivers_chart
from xagent.report._document import Document
from xagent.report._heat import _pooled
from xagent.report._sentences import parts_of
from xagent.report._templates import neutral
from xagent.report._view import View
from xagent.report._visual import visual
from xagent.report.check import check_pdf

# --- the data ---------------------------------------------------------------------------------------------------------

ORDER = [
    "schema", "case", "persona", "language", "decision", "warnings", "findings", "narrative", "claims", "artifacts",
    "checklist", "verification", "manifest",
]  # fmt: skip
PERSONAS = persona_names()


@pytest.fixture(scope="module", params=PERSONAS)
def made(request: pytest.FixtureRequest) -> Report:
    return report(request.param)


def test_the_json_is_the_report(made: Report) -> None:
    data = json.loads(made.json)
    assert list(data) == ORDER
    assert data == made.data
    assert data["manifest"]["claims"] == sha256_json(data["claims"])
    assert data["manifest"]["narrative"] == sha256_json(data["narrative"])
    assert "seconds" not in made.json.split('"artifacts"')[1].split('"data"')[0]
    assert data["case"]["input"].keys() == {"kind", "sha256"}
    assert made.ledger["decision.score"].value == 0.731


def test_counts_sentences_and_figures() -> None:
    narrative = Narrative.model_validate(report().data["narrative"])
    total = sum(1 + len(sentence.tokens) for sentence in narrative.sentences())
    assert (report().verification.total, report().verification.verified) == (total, total)
    broken = narrative.sections[0].sentences[0]
    problem = Problem(kind="figure", sentence=broken.id, token=None, message="the figure is not in the evidence")
    bad = report(problems=[problem])
    assert bad.verification.verified == total - 1 - len(broken.tokens)
    for draw in (lambda: bad.html, lambda: bad.pdf, lambda: bad.save("nowhere")):
        with pytest.raises(UnverifiedNarrative, match="not in the evidence"):
            draw()


def test_what_a_reader_may_not_see_is_not_in_the_report() -> None:
    secret = Claim(id="trust.note", kind="text", value="PLAINLY", artifact="trust", visibility="regulator")
    tools = [a.model_copy(update={"data": {"note": "PLAINLY"}}) if a.tool == "trust" else a for a in artifacts()]
    hidden = report("business_user", [*claims(), secret], artifacts=tools)
    shown = report("regulator", [*claims(), secret], artifacts=tools)
    assert "PLAINLY" not in hidden.json + hidden.html
    assert "PLAINLY" in shown.json
    assert hidden.data["manifest"]["artifacts"] == shown.data["manifest"]["artifacts"]


def test_the_schema_describes_the_report(made: Report) -> None:
    schema = report_schema()
    assert list(schema["properties"]) == ORDER
    assert set(schema["required"]) == set(ORDER)
    Document.model_validate(made.data)
    with pytest.raises(ValidationError):
        Document.model_validate({**made.data, "extra": 1})


# --- the page ---------------------------------------------------------------------------------------------------------


class Page(HTMLParser):
    """Text and elements of a page, the embedded data apart."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.text: list[str] = []
        self.data = ""
        self._inside = ""
        self.feed(html)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self._inside = tag

    def handle_endtag(self, tag: str) -> None:
        self._inside = ""

    def handle_data(self, data: str) -> None:
        if self._inside == "script":
            self.data += data
        elif self._inside != "style":
            self.text.append(data)


def test_the_page_says_every_sentence_and_binds_every_figure(made: Report) -> None:
    page = Page(made.html)
    words = " ".join("".join(page.text).split())
    narrative = Narrative.model_validate(made.data["narrative"])
    for sentence in narrative.sentences():
        assert " ".join(sentence.text.split()) in words, sentence.id
    bound = {key for _, attrs in page.tags for key in (attrs.get("data-claim") or "").split()}
    assert bound <= set(made.ledger)
    figures = {figure.alt.id for figure in narrative.figures}
    drawn = [s for s in narrative.sentences() if s.id not in figures]
    assert {token.claim for sentence in drawn for token in sentence.tokens} <= bound
    assert json.loads(page.data) == made.data


def test_the_page_needs_nothing_from_outside(made: Report) -> None:
    page = Page(made.html)
    for tag, attrs in page.tags:
        assert tag not in ("img", "link", "iframe", "object", "form", "a", "base", "foreignobject")
        assert tag != "script" or attrs.get("type") == "application/json"
        for name, value in attrs.items():
            assert not name.startswith("on")
            assert name in ("xmlns", "content") or "//" not in (value or ""), (tag, name)
    assert set(re.findall(r"url\(\"?([^)\"]{1,12})", made.html)) <= {"data:font/wo", "#hatch-drive", "#hatch-margi",
                                                                     "#hatch-drift", "#hatch-timel"}  # fmt: skip
    headers = [attrs for tag, attrs in page.tags if tag == "th"]
    lists = made.data["persona"]["name"] == "customer"  # who gets lists, and of charts the margin alone
    assert bool(headers) != lists
    assert all(attrs.get("scope") in ("row", "col") for attrs in headers)
    svgs = sum(tag == "svg" for tag, _ in page.tags)
    assert svgs == sum(tag == "title" for tag, _ in page.tags) - 1 >= (1 if lists else 2)


HOSTILE = (
    '<script>alert(1)</script><img src=x onerror="x"> {{ 7*7 }} {% x %} ⟦decision.score|exact⟧ '
    '\u202eevil\u202c \u2066a \x1b[31m "></title></style>'
)


@pytest.mark.parametrize("persona", PERSONAS)
def test_hostile_text_stays_text(persona: str) -> None:
    rows = claims(**{"decision.label": HOSTILE, "system.name": HOSTILE, "decision.next_step": HOSTILE,
                     "relevance.driver.1.name": HOSTILE, "relevance.driver.2.value": HOSTILE})  # fmt: skip
    tools = artifacts()
    steps = [{**STEPS[0], "name": HOSTILE, "kind": HOSTILE, "status": HOSTILE}]
    tools[1] = tools[1].model_copy(update={"data": {"steps": steps}})
    hostile = report(persona, rows, artifacts=tools, case={**CASE, "title": HOSTILE})
    page = Page(hostile.html)
    plain = Page(report(persona).html)
    kinds = {tag for tag, _ in plain.tags}
    assert {tag for tag, _ in page.tags} <= kinds
    text = "".join(page.text)
    assert "<script>alert(1)</script>" in text
    assert "49" not in text.split("{{ 7*7 }}")[1][:10]
    assert not set(text) & set("\u202e\u202c\u2066\x1b")
    assert json.loads(page.data) == hostile.data


@given(st.text(max_size=40))
def test_neutral_text_changes_no_order(text: str) -> None:
    clean = str(neutral(text))
    assert not any(unicodedata.category(c) in ("Cc", "Cs") for c in clean)
    assert not set(clean) & set("\u202a\u202b\u202c\u202d\u202e\u2066\u2067\u200e\u200f\u061c")
    assert clean.count("\u2068") == clean.count("\u2069")
    assert neutral(clean) == clean


def test_pieces_add_up_to_the_sentence() -> None:
    frame = "It is ⟦a|exact⟧ of ⟦b|exact⟧."
    assert list(parts_of(frame, "It is 1 of 21.", [("1", "a"), ("21", "b")])) == [
        ("It is ", ""), ("1", "a"), (" of ", ""), ("21", "b"), (".", ""),
    ]  # fmt: skip
    changed = list(parts_of(frame, "Here 7 of 21.", [("1", "a"), ("21", "b")]))
    assert "".join(text for text, _ in changed) == "Here 7 of 21."


# --- the files --------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pdfs() -> dict[str, bytes]:
    return {persona: report(persona).pdf for persona in PERSONAS}


@pytest.mark.parametrize("persona", PERSONAS)
def test_the_pdf_is_tagged_and_whole(pdfs: dict[str, bytes], persona: str) -> None:
    assert check_pdf(pdfs[persona]) == []
    with pikepdf.open(io.BytesIO(pdfs[persona])) as pdf:
        assert str(pdf.Root.Lang) == "en"
        assert str(pdf.docinfo["/Title"]).startswith("Loan application of 3 March")
        assert str(pdf.docinfo["/CreationDate"]).startswith("D:20260303")
        files = {name: pdf.attachments[name].get_file().read_bytes() for name in pdf.attachments}
        assert files == {file.name: file.content for file in report(persona).attachments}
        assert json.loads(files[f"loan-0042.{persona}.json"]) == report(persona).data
        inside = (f"loan-0042.{persona}.card.json", f"loan-0042.{persona}.record.json")
        assert all((name in files) == (persona in ("regulator", "auditor")) for name in inside)
        if persona == "business_user":
            assert len(pdf.pages) == 1


def test_the_check_finds_faults(pdfs: dict[str, bytes]) -> None:
    with pikepdf.open(io.BytesIO(pdfs["business_user"])) as pdf:
        del pdf.Root["/Lang"], pdf.Root["/StructTreeRoot"]
        pdf.Root.OpenAction = pikepdf.Dictionary(S=pikepdf.Name.URI, URI=pikepdf.String("x:y"))
        out = io.BytesIO()
        pdf.save(out)
    found = " ".join(check_pdf(out.getvalue()))
    assert all(word in found for word in ("not tagged", "language", "action", "outside"))


def test_the_check_finds_what_an_archive_refuses(pdfs: dict[str, bytes]) -> None:
    with pikepdf.open(io.BytesIO(pdfs["regulator"])) as pdf:
        xmp = pdf.Root.Metadata.read_bytes().decode()
        assert "digitalsourcetype/algorithmicMedia<" in xmp and "no language model wrote any of it" in _text(pdfs)
        pdf.Root.Metadata.write(xmp.replace("pdfaid:part", "pdfaid:p").replace("pdfuaid:part", "x:p").encode())
        del pdf.Root.OutputIntents, pdf.Root.AF[0]
        names = pdf.Root.Names.EmbeddedFiles.Names
        names[3].EF.F.write(b"other")
        del names[3].AFRelationship, names[5].EF.F.Params.ModDate
        out = io.BytesIO()
        pdf.save(out)
    found = " ".join(check_pdf(out.getvalue()))
    for word in ("PDF/A-3", "PDF/UA-1", "output intent", "/AF", "does not say what", "no date", "hash"):
        assert word in found, word
    strange = report("business_user", claims(**{"decision.next_step": "Call \U00020000 now"}))
    assert "missing in the font" in " ".join(check_pdf(strange.pdf))


def _text(pdfs: dict[str, bytes]) -> str:
    return " ".join(" ".join(page.extract_text() for page in PdfReader(io.BytesIO(pdfs["regulator"])).pages).split())


def test_figures_of_a_chart_are_no_formula() -> None:
    rows = claims(**{"relevance.driver.1.name": "=1+1", "relevance.driver.2.name": 'a,"b"'})
    (table,) = (f for f in report("regulator", rows).attachments if f.name.endswith("drivers.csv"))
    lines = table.content.decode().split("\r\n")
    assert lines[1].startswith("1,debt_ratio,'=1+1,46.0,31.0,1.42,") and ',"a,""b""",' in lines[2]
    assert len(lines) == 8


def test_a_record_of_the_run_knows_no_clock() -> None:
    run = {"passes": 1, "tools": {"trust": {"seconds": 3.2}}, "asks": [{"why": "x", "seconds": 0.1}]}
    (record,) = (f for f in report("regulator", run=run).attachments if f.name.endswith("record.json"))
    assert json.loads(record.content)["run"] == {"passes": 1, "asks": [{"why": "x"}]}


def test_a_long_story_still_fits_one_sheet() -> None:
    long = "Verylongword " * 38
    rows = claims(**{f"relevance.driver.{n}.name": f"{n} {long}" for n in range(1, 7)}, **{"system.name": long})
    with pikepdf.open(io.BytesIO(report("business_user", rows).pdf)) as pdf:
        assert len(pdf.pages) == 1


DRAW = """
import hashlib, json, sys
from xagent.report import Report
made = Report(**json.load(open(sys.argv[1])))
print(hashlib.sha256(made.html.encode()).hexdigest(), hashlib.sha256(made.pdf).hexdigest())
"""


def test_equal_evidence_gives_equal_bytes_everywhere(tmp_path: Path, pdfs: dict[str, bytes]) -> None:
    made = report("regulator")
    source = tmp_path / "report.json"
    source.write_text(json.dumps({"data": made.data, "run": made.run, "card": made.card}), encoding="utf-8")
    here = f"{sha256(made.html.encode()).hexdigest()} {sha256(pdfs['regulator']).hexdigest()}"
    for seed, zone in (("1", "Pacific/Kiritimati"), ("2", "America/Los_Angeles")):
        there = subprocess.run(
            [sys.executable, "-c", DRAW, str(source)],
            env={**os.environ, "PYTHONHASHSEED": seed, "TZ": zone, "LC_ALL": "C"},
            capture_output=True, text=True, check=True,
        )  # fmt: skip
        assert there.stdout.strip() == here


def test_saving_is_whole_or_not_at_all(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = report()
    paths = made.save(tmp_path / "new", ("json", "html"))
    names = [p.name for p in paths]
    assert names == ["loan-0042.business_user.json", "loan-0042.business_user.html", "loan-0042.business_user.run.json"]
    assert paths[0].read_text(encoding="utf-8") == made.json
    assert sorted(p.name for p in (tmp_path / "new").iterdir()) == sorted(names)
    with pytest.raises(ConfigurationFault, match="docx"):
        made.save(tmp_path / "never", ("docx",))
    monkeypatch.setattr(os, "fsync", lambda _: (_ for _ in ()).throw(OSError(28, "No space left")))
    with pytest.raises(ConfigurationFault, match="No space left"):
        made.save(tmp_path / "full", ("json",))
    assert list((tmp_path / "full").iterdir()) == []
    assert not (tmp_path / "never").exists()


def test_missing_libraries_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    import builtins

    real = builtins.__import__

    def without(name: str, *rest: Any, **more: Any) -> Any:
        if name.startswith("weasyprint"):
            raise OSError("cannot load library 'libpango-1.0-0'")
        return real(name, *rest, **more)

    made = report()
    monkeypatch.setattr(builtins, "__import__", without)
    with pytest.raises(ConfigurationFault, match="apt-get install") as caught:
        _ = made.pdf
    assert caught.value.exit_code == 6


# --- charts -----------------------------------------------------------------------------------------------------------


def test_bars_keep_sign_and_proportion() -> None:
    facts = View(report("data_scientist").data).facts
    chart = drivers_chart(facts, "alt", [1, 2, 3], shares=False, target="Declined")
    widths = [float(bar.width) for bar in chart.bars]
    effects = [abs(facts.number(f"relevance.driver.{n}.effect") or 0) for n in (1, 2, 3)]
    assert [w / widths[0] for w in widths] == pytest.approx([e / effects[0] for e in effects], abs=0.01)
    assert [bar.tone for bar in chart.bars] == ["for", "for", "against"]
    assert float(chart.bars[2].x) + widths[2] == pytest.approx(float(chart.bars[0].x), abs=0.11)


def test_large_images_are_pooled_and_keep_their_sum() -> None:
    relevance = [[0.01 * ((r * 7 + c * 3) % 11 - 5) for c in range(70)] for r in range(50)]
    pooled = _pooled(relevance, mean=False)
    assert len(pooled) <= 32 and len(pooled[0]) <= 32
    assert sum(map(sum, pooled)) == pytest.approx(sum(map(sum, relevance)))


def test_labels_on_paper_stand_in_visual_order() -> None:
    assert visual("debt 46 %") == "debt 46 %"
    assert visual("אבג 12 (דה)") == "(הד) 12 גבא"
    assert visual("سن") == "\ufee6\ufeb3"  # final nun stands left of initial seen
    assert visual("Loan דה x") == "Loan הד x"
