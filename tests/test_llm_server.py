"""The whole way to a real server of the Chat Completions interface, offline, with a model that a script makes."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from xagent._explain import explain_all
from xagent.report import verify_report
from xagent.settings import load_settings

ROOT = Path(__file__).parent.parent
WORDING = {
    "sentences": [
        {
            "id": "block.decision.1",
            "parts": [
                {"kind": "words", "text": "In this case, the answer of the model is \"", "claims": []},
                {"kind": "claim", "text": "", "claims": ["decision.label"]},
                {"kind": "words", "text": "\".", "claims": []},
            ],
        },
        {"id": "block.score.1", "parts": [{"kind": "words", "text": "The score is certainly 97%.", "claims": []}]},
    ]
}  # fmt: skip
WHY = {"why": "A method of another kind was not asked.", "method": "integrated_gradients"}
ASK = {"name": "further_opinion", "arguments": WHY}
PLANNING = f"<tool_call>\n{json.dumps(ASK)}\n</tool_call>"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[tuple[str, str]]:
    """Base URL and model name of a `transformers serve` process."""
    for package in ("fastapi", "uvicorn", "accelerate"):
        pytest.importorskip(package, reason="pip install 'transformers[serving]'")
    from chain_model import build

    folder = tmp_path / "model"
    build(folder, f"```json\n{json.dumps(WORDING, indent=1)}\n```", PLANNING)
    (tmp_path / "home" / "hub").mkdir(parents=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = dict(os.environ, HF_HUB_OFFLINE="1", HF_HOME=str(tmp_path / "home"), CUDA_VISIBLE_DEVICES="")
    command = [sys.executable, "-m", "transformers.cli.transformers", "serve", str(folder)]
    with (tmp_path / "log").open("wb") as log:
        process = subprocess.Popen(
            [*command, "--host", "127.0.0.1", "--port", str(port), "--device", "cpu", "--dtype", "float32"],
            env=environment, stdout=log, stderr=log,
        )  # fmt: skip
        try:
            _wait(port, process, tmp_path / "log")
            yield f"http://127.0.0.1:{port}/v1", str(folder)
        finally:
            process.terminate()
            process.wait(30)


def _wait(port: int, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(600):
        assert process.poll() is None, log.read_text(errors="replace")[-3000:]
        connection = HTTPConnection("127.0.0.1", port, timeout=2)
        try:
            connection.request("GET", "/health")
            if connection.getresponse().status == 200:
                return
        except OSError:
            pass
        finally:
            connection.close()
        time.sleep(0.2)
    raise AssertionError(log.read_text(errors="replace")[-3000:])


@pytest.mark.slow
def test_a_real_server_words_plans_and_is_checked(served: tuple[str, str], tmp_path: Path) -> None:
    url, model = served
    llm = {
        "base_url": url,
        "model": model,
        "profile": "transformers",
        "timeout": 120.0,
        "total": 600.0,
        "max_tokens": 1024,
    }
    case = ROOT / "fixtures/diagnosis/case.json"
    (report,) = explain_all(case, ["business_user"], load_settings(llm=llm))
    record = report.run["llm"]
    assert [call["why"] for call in record["calls"] if call["outcome"] != "answered"] == []
    ask = next(ask for ask in report.run["asks"] if ask.get("by") == "planning")
    assert ask["tool"] == "further_opinion" and ask["installed"] and "further_opinion" in report.run["tools"]
    assert record["worded"] == ["block.decision.1"] and record["fell_back"] == ["block.score.1"]
    first = report.data["narrative"]["sections"][0]["sentences"][0]["text"]
    assert first.startswith("In this case, the answer of the model is “")
    assert verify_report(report.data).problems == ()
    (tmp_path / "run.json").write_text(json.dumps(report.run))
    (again,) = explain_all(case, ["business_user"], load_settings(llm={"replay": tmp_path / "run.json"}))
    assert again.json == report.json
