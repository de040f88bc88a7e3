"""What the pages tell a reader to do is done here."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).parent.parent


def _blocks(page: str, language: str, mark: str = "") -> list[str]:
    """Fenced blocks of a language; only those that follow `mark`, where one is given."""
    text = (ROOT / page).read_text()
    return re.findall(rf"{re.escape(mark)}\n?```{language}\n(.*?)```", text, flags=re.DOTALL)


def test_a_tool_is_added_as_the_page_says(monkeypatch: pytest.MonkeyPatch) -> None:
    from xagent.case import load_card, load_case
    from xagent.subject import load_subject
    from xagent.tools import Context, _registry, claims_of, run_tool

    space: dict[str, Any] = {"__name__": "my_package"}
    exec(_blocks("docs/add-a-tool.md", "python")[0], space)
    tool = space["TextLength"]()
    monkeypatch.setattr(_registry, "registry", lambda: {tool.name: tool})
    for name, status in (("triage", "ok"), ("digits", "not_applicable")):
        case = load_case(ROOT / "fixtures" / name / "case.json")
        ctx = Context(case, load_card(case), load_subject(case))
        artifact = run_tool(tool.name, ctx)
        assert artifact.status == status
        claims = {claim.id: claim.value for claim in claims_of(artifact, ctx)}
        assert claims == ({"text_length.characters": len(case.input.text)} if status == "ok" else {})


def test_a_persona_is_added_as_the_page_says(tmp_path: Path) -> None:
    from xagent import explain

    text = (ROOT / "xagent/personas/business_user.toml").read_text()
    mine = tmp_path / "mine.toml"
    mine.write_text(text.replace('name = "business_user"', 'name = "claims_desk"'))
    report = explain(ROOT / "fixtures/diagnosis/case.json", persona=str(mine))
    assert report.data["persona"]["name"] == "claims_desk"
    assert report.verification.verified == report.verification.total


def test_the_readme_brings_a_model_from_files(tmp_path: Path) -> None:
    for file in ("model.pt2", "encoder.json", "reference.csv"):
        (tmp_path / file).write_bytes((ROOT / "fixtures/diagnosis" / file).read_bytes())
    (script,) = _blocks("README.md", "sh", "<!-- the tests run these lines -->")
    environment = dict(os.environ, PATH=f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    subprocess.run(["sh", "-e", "-c", script], cwd=tmp_path, env=environment, check=True, capture_output=True)
    assert len(list((tmp_path / "reports").glob("*.data_scientist.*"))) == 4


def test_the_readme_brings_a_model_from_memory(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    (script,) = _blocks("README.md", "python", "<!-- the tests run these lines -->")
    exec(script, {"__name__": "newcomer"})
    assert len(list((tmp_path / "reports").iterdir())) == 4


@pytest.mark.parametrize("page", ["README.md", *sorted(str(p.relative_to(ROOT)) for p in (ROOT / "docs").glob("*.md"))])
def test_links_lead_somewhere(page: str) -> None:
    here = (ROOT / page).parent
    for target in re.findall(r"\]\(([^)#]+)", (ROOT / page).read_text()):
        assert "://" in target or (here / target).exists(), target
