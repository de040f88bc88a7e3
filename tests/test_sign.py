"""A signed report: the file stays in front, the signer is named, and nothing may be added or exchanged."""

from __future__ import annotations

import io
import stat
import subprocess
import sys
from functools import cache
from pathlib import Path

import pikepdf
import pytest
from test_report_sample import report

from xagent.errors import AlteredReport, UsageFault
from xagent.report import new_key, sign_pdf
from xagent.report._file_pdf import verify_pdf
from xagent.report._seal import first_revision
from xagent.report.check import check_pdf

pytest.importorskip("pyhanko")


@cache
def plain() -> bytes:
    return report("customer").pdf


@pytest.fixture(scope="module")
def key(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return new_key(tmp_path_factory.mktemp("keys"), "Example Bank, model desk")[0]


@pytest.fixture(scope="module")
def signed(key: Path) -> bytes:
    return sign_pdf(plain(), key)


def found(content: bytes) -> list[str]:
    """Problems of the file's form; the sample's evidence is written by hand and holds no full set of artifacts."""
    return [p.message for p in verify_pdf("x.pdf", content).problems if p.kind != "hash"]


def test_a_signature_stands_behind_the_very_file(signed: bytes) -> None:
    assert signed.startswith(plain()) and first_revision(signed) == plain()
    assert found(signed) == [] and check_pdf(signed) == []
    says = verify_pdf("x.pdf", signed).signature
    assert "Example Bank, model desk" in says and "signed its own certificate" in says
    assert "pyHanko" not in str(pikepdf.open(io.BytesIO(signed)).docinfo.get("/Producer"))


@pytest.mark.parametrize("place", [0.1, 0.5, 0.9, 0.97, 0.99])
def test_a_byte_changed_after_signing_is_found(signed: bytes, place: float) -> None:
    at = int(len(signed) * place)
    assert found(signed[:at] + bytes([signed[at] ^ 1]) + signed[at + 1 :])


def test_what_is_added_behind_is_found(signed: bytes) -> None:
    assert any("added behind" in text for text in found(plain() + b"% a remark\n"))
    assert any("cover" in text or "added" in text for text in found(signed + b"% a remark\n"))


def test_a_page_exchanged_before_somebody_else_signs_is_found(key: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from pyhanko.pdf_utils.incremental_writer import IncrementalPdfFileWriter

    writer = IncrementalPdfFileWriter(io.BytesIO(plain()))
    page = writer.root["/Pages"]["/Kids"][0]
    page["/Contents"]._data = b""
    page["/Contents"]._encoded_data = b""
    writer.update_container(page["/Contents"])
    out = io.BytesIO()
    writer.write(out)
    assert out.getvalue().startswith(plain())
    with pytest.raises(AlteredReport):
        sign_pdf(out.getvalue(), key)
    monkeypatch.setattr("xagent.report._signed.first_revision", lambda content: content)
    monkeypatch.setattr("xagent.report._signed.pdf_seal_holds", lambda _: True)
    forged = sign_pdf(out.getvalue(), key)
    assert any("exchanges object" in text for text in found(forged))


def test_keys_are_kept_and_named(key: Path, signed: bytes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    assert stat.S_IMODE(key.stat().st_mode) == 0o600
    with pytest.raises(UsageFault, match="exists"):
        new_key(key.parent, "x")
    with pytest.raises(AlteredReport, match="signed already"):
        sign_pdf(signed, key)
    with pytest.raises(UsageFault, match="no file"):
        sign_pdf(plain(), tmp_path / "none.p12")
    (tmp_path / "bad.p12").write_bytes(b"no key")
    with pytest.raises(UsageFault, match="cannot be opened"):
        sign_pdf(plain(), tmp_path / "bad.p12")
    monkeypatch.setenv("XAGENT_KEY_PASSPHRASE", "open sesame")
    locked = new_key(tmp_path / "locked", "Locked")[0]
    assert b"ENCRYPTED" in locked.read_bytes()
    assert sign_pdf(plain(), locked).startswith(plain())
    monkeypatch.setenv("XAGENT_KEY_PASSPHRASE", "wrong")
    with pytest.raises(UsageFault, match="XAGENT_KEY_PASSPHRASE"):
        sign_pdf(plain(), locked)


def test_the_commands(tmp_path: Path) -> None:
    (tmp_path / "r.pdf").write_bytes(plain())

    def run(*args: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "xagent.cli", *args]
        return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False, cwd=tmp_path)

    assert run("keys", "new", "--output", "k", "--name", "Desk").returncode == 0
    done = run("sign", "r.pdf", "--key", "k/signing.pem")
    assert done.stdout.strip() == "r.signed.pdf" and (tmp_path / "r.signed.pdf").read_bytes().startswith(plain())
    again = run("sign", "r.pdf", "--key", "k/signing.pem")
    assert again.returncode == 2 and "exists" in again.stderr
