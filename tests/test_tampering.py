"""Whatever is changed in a finished file of a report is found: random bytes, edited figures, exchanged files."""

from __future__ import annotations

import copy
import io
import random
import re
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path

import pikepdf
import pypdf
import pytest

from xagent._explain import explain_all
from xagent.errors import XagentError
from xagent.report import Report, Verdict, report_json, verify_file
from xagent.report._exports import Attached, attachments
from xagent.report._pdf import render_pdf
from xagent.report._seal import BLANK, pdf_seal_holds, seal_html, seal_pdf

FIXTURES = Path(__file__).parent.parent / "fixtures"


@cache
def made() -> Report:
    (report,) = explain_all(FIXTURES / "diagnosis" / "case.json", ["customer"])
    return report


@cache
def content(form: str) -> bytes:
    if form == "pdf":
        return made().pdf
    return (made().html if form == "html" else made().json).encode()


@pytest.fixture
def verified(tmp_path: Path) -> Callable[[str, bytes], list[str]]:
    def run(form: str, altered: bytes) -> list[str]:
        """What is found, each as `kind: message`."""
        path = tmp_path / f"report.{form}"
        path.write_bytes(altered)
        try:
            return [f"{p.kind}: {p.message}" for p in verify_file(path).problems]
        except XagentError as error:
            return [f"refused: {error}"]

    return run


Verified = Callable[[str, bytes], list[str]]


@pytest.mark.parametrize("form", ["pdf", "html", "json"])
def test_a_file_as_it_was_saved_holds(form: str, verified: Verified) -> None:
    assert verified(form, content(form)) == []


@pytest.mark.parametrize(("form", "many"), [("pdf", 50), ("html", 55), ("json", 60)])
def test_any_byte_that_is_changed_is_found(form: str, many: int, verified: Verified) -> None:
    whole, chance = content(form), random.Random(f"bytes of {form}")
    for number in range(many):
        at = chance.randrange(len(whole))
        bit = bytes([whole[at] ^ (1 << chance.randrange(8))])
        altered = (
            whole[:at] + bit + whole[at + 1 :],  # flipped
            whole[:at] + whole[at + 1 :],  # taken out
            whole[:at] + bit + whole[at:],  # put in
        )[number % 3]
        found = verified(form, altered)
        assert found and all(len(text) > 20 for text in found), (form, at, number % 3)


def test_a_flipped_byte_leaves_with_a_report_that_does_not_hold(tmp_path: Path) -> None:
    """Exit code 8 and not 3: the file still shows what it was."""
    for form in ("pdf", "html", "json"):
        whole, chance = content(form), random.Random(form)
        for _ in range(4):
            at = chance.randrange(2000, len(whole))
            path = tmp_path / f"report.{form}"
            path.write_bytes(whole[:at] + bytes([whole[at] ^ 1]) + whole[at + 1 :])
            verdict = verify_file(path)
            assert isinstance(verdict, Verdict) and verdict.problems


@pytest.mark.parametrize("again", ["pikepdf", "pypdf"])
def test_a_pdf_that_was_saved_anew_is_found(again: str, verified: Verified) -> None:
    out = io.BytesIO()
    if again == "pikepdf":
        with pikepdf.open(io.BytesIO(content("pdf"))) as pdf:
            pdf.save(out)
    else:
        pypdf.PdfWriter(clone_from=io.BytesIO(content("pdf"))).write(out)
    assert "saved anew" in " ".join(verified("pdf", out.getvalue()))


def figures(data: bytes) -> list[re.Match[bytes]]:
    """Figures of the page itself, apart from its style and from the data inside."""
    body = data.index(b"<body>"), data.index(b'<script type="application/json"')
    return [m for m in re.finditer(rb"(?<=>)[^<]*?(\d)[^<]*?(?=<)", data) if body[0] < m.start() < body[1]]


def test_an_edited_figure_of_a_page_is_named_though_it_was_sealed_anew(verified: Verified) -> None:
    whole, chance = content("html"), random.Random(5)
    places = figures(whole)
    for match in chance.sample(places, min(30, len(places))):
        at = match.start(1)
        other = str((int(whole[at : at + 1]) + 1) % 10).encode()
        found = verified("html", seal_html(blank_html(whole[:at] + other + whole[at + 1 :])))
        assert any(text.startswith(("printed", "page")) for text in found), match
        assert not any(text.startswith("seal") for text in found)


def blank_html(data: bytes) -> bytes:
    return re.sub(rb"sha256:[0-9a-f]{64}\">", b"sha256:" + BLANK + b'">', data, count=1)


def page_with(change: Callable[[bytes], bytes]) -> bytes:
    """The PDF with the words of its pages changed, and sealed anew: page contents are exchanged in place."""
    whole = content("pdf")
    out, done = io.BytesIO(), False
    with pikepdf.open(io.BytesIO(whole)) as pdf:
        for page in pdf.pages:
            before = page.Contents.read_bytes()
            after = change(before)
            done = done or after != before
            page.Contents.write(after)
        pdf.save(out, static_id=True)
    assert done
    return resealed(out.getvalue())


def resealed(saved: bytes) -> bytes:
    """As a forger would: with an identifier of our form and a seal that fits."""
    form = rb"/ID \[\(" + b"0" * 32 + rb"\) \(" + b"0" * 32 + rb"\)]"
    forged, count = re.subn(rb"/ID \[[^\]]*\]", form.replace(b"\\", b""), saved)
    assert count
    return seal_pdf(forged)


def test_an_edited_page_is_named_though_it_was_sealed_anew(monkeypatch: pytest.MonkeyPatch, verified: Verified) -> None:
    """By its words alone, as on a machine whose libraries draw other bytes."""
    monkeypatch.setattr("xagent.report._file_pdf.drawn_with", lambda: "others")
    assert verified("pdf", page_with(lambda words: words + b"\n")) == []
    chance = random.Random(7)
    shown = rb"<((?:[0-9a-f]{4})+)>"
    for _ in range(12):
        place = chance.randrange(10, 200)

        def change(words: bytes, place: int = place) -> bytes:
            """One shown letter becomes another that the page also shows."""
            found = list(re.finditer(shown, words))
            if len(found) <= place:
                return words
            here, there = found[place], found[(place + 7) % len(found)]
            one, two = here[1][:4], there[1][:4]
            other = two if two != one else (found[0][1][:4] if found[0][1][:4] != one else b"0024")
            return words[: here.start(1)] + other + words[here.start(1) + 4 :]

        found = verified("pdf", page_with(change))
        assert found and all(text.startswith("printed") for text in found), (place, found)


def swap(name: str, other: bytes) -> tuple[Attached, ...]:
    files = attachments(made().data)
    assert any(file.name.endswith(name) for file in files)
    return tuple(
        Attached(f.name, other if f.name.endswith(name) else f.content, f.description, f.relationship) for f in files
    )


def test_a_swapped_attachment_is_named_though_all_of_its_hashes_fit(verified: Verified) -> None:
    for name in [file.name for file in made().attachments if file.name.endswith(".csv")]:
        found = verified("pdf", render_pdf(made().data, swap(name, b"figure,value\r\nscore,0.1\r\n")))
        assert any(text.startswith("attachment") and name in text for text in found)
    without = tuple(file for file in made().attachments if not file.name.endswith(".csv"))
    assert any(text.startswith("attachment") for text in verified("pdf", render_pdf(made().data, without)))
    more = (*made().attachments, Attached("zz.json", b"{}", "more", "Data"))
    assert verified("pdf", render_pdf(made().data, more))


def test_data_that_was_changed_is_named_in_every_form(verified: Verified) -> None:
    """The figures of the evidence, with the pages drawn from them and every seal made to fit."""
    chance = random.Random(11)
    numbers = [i for i, c in enumerate(made().data["claims"]) if isinstance(c["value"], float) and c["value"]]
    for index in chance.sample(numbers, 20):
        data = copy.deepcopy(made().data)
        data["claims"][index]["value"] *= 1.5
        assert any(text.startswith("hash") for text in verified("json", report_json(data).encode()))
    data = copy.deepcopy(made().data)
    data["decision"]["score"] = 0.123
    found = verified("pdf", render_pdf(data))
    assert any("decision.score" in text for text in found)


def test_hostile_files_give_one_clear_error(verified: Verified) -> None:
    deep = b'{"schema": "xagent.report/1", "a": ' + b"[" * 100_000
    for form, bad in (
        ("pdf", b""), ("pdf", b"%PDF-1.7\n" + b"\0" * 1000), ("pdf", b"hello"), ("pdf", content("pdf")[:5000]),
        ("json", b""), ("json", deep), ("json", b"\xff\xfe"), ("json", b"[]"), ("json", b"NaN"),
        ("html", b""), ("html", b"<html><body>hello"), ("html", b"\xff" * 10), ("html", b"<div>" * 50_000),
    ):  # fmt: skip
        found = verified(form, bad)
        assert found and all("Traceback" not in text for text in found), (form, bad[:20])


def test_an_attached_file_that_swells_is_refused(monkeypatch: pytest.MonkeyPatch, verified: Verified) -> None:
    monkeypatch.setattr("xagent.report._read_pdf.MAX_INSIDE", 1 << 20)
    out = io.BytesIO()
    with pikepdf.open(io.BytesIO(content("pdf"))) as pdf:
        stream = pdf.Root.Names.EmbeddedFiles.Names[1].EF.F
        stream.write(zlib.compress(b" " * (8 << 20)), filter=pikepdf.Name.FlateDecode)
        pdf.save(out)
    assert any("MiB" in text for text in verified("pdf", out.getvalue()))


def test_a_seal_is_of_the_very_bytes() -> None:
    assert pdf_seal_holds(content("pdf"))
    assert not pdf_seal_holds(content("pdf").replace(b"/Type", b"/type", 1))
    assert pdf_seal_holds(b"%PDF-1.7\n") is None


def test_a_report_of_another_release_is_compared_by_its_sentences(
    monkeypatch: pytest.MonkeyPatch, verified: Verified, tmp_path: Path
) -> None:
    for module in ("_file", "_file_pdf"):
        monkeypatch.setattr(f"xagent.report.{module}.same_release", lambda *_: False)
    for form in ("pdf", "html"):
        assert verified(form, content(form)) == []
    assert "another release" in verify_file(tmp_path / "report.pdf").summary
    edited, count = re.subn(rb'<p class="prose">[A-Za-z]+', b'<p class="prose">Xyz', content("html"), count=1)
    assert count
    (found,) = verified("html", seal_html(blank_html(edited)))
    assert found.startswith("printed: The sentence")
