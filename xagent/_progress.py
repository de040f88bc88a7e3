"""Progress on stderr: one line a tool with its time, and a word about what takes longer than a second."""

from __future__ import annotations

from pathlib import Path
from threading import Lock, Timer
from types import TracebackType

from rich.console import Console

_MARK = {"ok": "[green]✓[/]", "failed": "[red]✗[/]", "not_applicable": "[yellow]–[/]"}
LONG = 1.0
"""Seconds after which a tool that has not ended is named."""


class Lines:
    """Writes what happens in one run; nothing at all when quiet."""

    def __init__(self, case_id: str, *, quiet: bool = False) -> None:
        self._console = Console(stderr=True, quiet=quiet, highlight=False)
        self._case, self._quiet = case_id, quiet
        self._running: dict[str, Timer] = {}
        self._lock = Lock()

    def __enter__(self) -> Lines:
        self._console.print(f"[bold]{self._case}[/]")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        with self._lock:
            running, self._running = self._running, {}
        for timer in running.values():
            timer.cancel()

    def tool(self, name: str, status: str, seconds: float | None) -> None:
        """A tool has started, says how far it has come, or has ended."""
        if status in _MARK:
            self._ended(name)
            self._console.print(f"  {_MARK[status]} {name:14}{seconds or 0:8.2f} s")
        elif status == "started":
            self._begun(name)
        else:
            self._ended(name)
            self._console.print(f"  … {name:14}{seconds or 0:8.2f} s  {status}")

    def written(self, path: Path) -> None:
        """A file is in its place."""
        self._console.print(f"  → {path}", soft_wrap=True)

    def _begun(self, name: str) -> None:
        if self._quiet:
            return
        timer = Timer(LONG, self._console.print, [f"  … {name:14} is running"])
        timer.daemon = True
        with self._lock:
            self._running[name] = timer
        timer.start()

    def _ended(self, name: str) -> None:
        with self._lock:
            timer = self._running.pop(name, None)
        if timer is not None:
            timer.cancel()
