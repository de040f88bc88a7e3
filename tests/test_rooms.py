"""The rooms stay apart: what each may import, read from the source without importing it."""

from __future__ import annotations

import ast
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent / "xagent"
_TOOLS = {"case", "subject", "relevance", "trust", "methods", "telemetry", "evidence"}
MAY_IMPORT: dict[str, set[str]] = {
    "case": set(),
    "law": set(),
    "relevance": set(),
    "subject": {"case"},
    "telemetry": {"case"},
    "evidence": {"case"},
    "trust": {"relevance"},
    "methods": {"relevance", "trust"},
    "personas": {"evidence"},
    "tools": _TOOLS,
    "narrative": {"evidence", "personas"},
    "report": {"evidence", "narrative", "personas", "law"},
    "agent": _TOOLS | {"tools", "personas", "law", "narrative", "report", "settings"},
}
TORCH_FREE = {"case", "evidence", "personas", "law", "narrative", "report", "telemetry"}


def _imports(path: Path) -> set[str]:
    """Dotted names of everything that a file imports, type checking included."""
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and node.level == 0:
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    return names


@pytest.mark.parametrize("room", sorted(MAY_IMPORT))
def test_a_room_imports_only_what_the_design_lets_it(room: str) -> None:
    allowed = MAY_IMPORT[room] | {room, "errors"}
    for path in (ROOT / room).rglob("*.py"):
        used = {name.split(".")[1] for name in _imports(path) if name.startswith("xagent.")}
        assert used <= allowed, f"{path.relative_to(ROOT)} imports {sorted(used - allowed)}"


@pytest.mark.parametrize("room", sorted(TORCH_FREE))
def test_pure_rooms_know_no_torch(room: str) -> None:
    for path in (ROOT / room).rglob("*.py"):
        assert not {name.split(".")[0] for name in _imports(path)} & {"torch", "transformers"}, path


def test_every_room_has_a_face() -> None:
    for room in MAY_IMPORT:
        tree = ast.parse((ROOT / room / "__init__.py").read_text())
        assert ast.get_docstring(tree), f"{room} does not say what lives there"


@pytest.mark.parametrize(
    "command", [["--help"], ["explain", "--help"], ["--version"], ["personas"], ["schema", "case"]]
)
def test_light_commands_import_no_heavy_library(command: list[str]) -> None:
    """Shown in a fresh process, since this one has torch loaded."""
    code = (
        "import sys\nfrom xagent.cli import app\n"
        f"try:\n    app({command!r}, standalone_mode=False)\nexcept SystemExit:\n    pass\n"
        "heavy = {'torch', 'transformers', 'langgraph', 'weasyprint', 'pandas', 'scipy'} & set(sys.modules)\n"
        "print('HEAVY', sorted(heavy), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stderr.strip().splitlines()[-1] == "HEAVY []"
    assert done.stdout


def test_importing_the_package_is_light() -> None:
    code = "import sys, xagent; assert not {'torch', 'pydantic', 'langgraph'} & set(sys.modules); print(xagent.__all__)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "['Persona', 'Report', 'declare', 'explain', 'load_case', 'trace']"
