"""Progress on stderr: one line a tool with its time."""

from __future__ import annotations

from pathlib import Path
from types import TracebackType

from rich.console import Console

_MARK = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "not_applicable": "[yellow]–[/]"}


class Lines:
    """Writes what happens in one run; nothing at all when quiet."""

    def __init__(self, case_id: str, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._case = case_id

    def __enter__(self) -> Lines:
        self._console.print(f"[bold]{self._case}[/]")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        return None

    def tool(self, name: str, status: str, seconds: float | None) -> None:
        """A tool has started or ended."""
        if status in _MARK:
            self._console.print(f"  {_MARK[status]} {name:14}{seconds or 0:8.2f} s")

    def written(self, path: Path) -> None:
        """A file is in its place."""
        self._console.print(f"  → {path}", soft_wrap=True)
