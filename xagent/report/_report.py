"""A finished report: data that shows and saves itself."""

from __future__ import annotations

import html
import json
import os
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field
from errno import EISDIR
from functools import cached_property
from pathlib import Path
from typing import Any

from xagent.errors import ConfigurationFault, UnverifiedNarrative
from xagent.evidence import Ledger
from xagent.report._document import report_json
from xagent.report._exports import Attached, attachments

FORMATS = ("html", "pdf", "json")


@dataclass(frozen=True)
class Verification:
    """Sentences and figures checked against the ledger."""

    total: int
    verified: int
    problems: list[dict[str, Any]]


@dataclass(frozen=True)
class Report:
    """One prediction explained to one reader.

    data: the report (see `report_schema`), from which HTML and PDF are drawn and nothing else. run: what differs
    between two equal runs. card: the system card, for readers who may have it; the PDF of those carries it and the
    record of the run. Drawing or saving raises UnverifiedNarrative while `verification.problems` is not empty.
    """

    data: dict[str, Any]
    run: dict[str, Any] = field(default_factory=dict)
    card: dict[str, Any] | None = None

    @cached_property
    def ledger(self) -> Ledger:
        """The claims this reader may see, by id."""
        return Ledger.from_public(self.data["claims"])

    @cached_property
    def verification(self) -> Verification:
        return Verification(**self.data["verification"])

    @property
    def name(self) -> str:
        """`<case id>.<persona>`, the stem of its files; `<case id>.<persona>.de` in another language than English."""
        stem = f"{self.data['case']['id']}.{self.data['persona']['name']}"
        return stem if self.data["language"] == "en" else f"{stem}.{self.data['language']}"

    @cached_property
    def json(self) -> str:
        return report_json(self.data)

    @cached_property
    def html(self) -> str:
        """One self-contained page: no script, nothing fetched."""
        from xagent.report._html import render_html

        self._refuse_unverified()
        return render_html(self.data)

    @cached_property
    def pdf(self) -> bytes:
        """Tagged PDF for the archive (PDF/A-3a, PDF/UA-1) with its evidence attached, see `attachments`. Raises
        ConfigurationFault without its libraries."""
        from xagent.report._pdf import render_pdf

        self._refuse_unverified()
        return render_pdf(self.data, self.attachments)

    @property
    def attachments(self) -> tuple[Attached, ...]:
        """Files inside the PDF: the report as data, the figures of its charts, for some readers card and record."""
        return attachments(self.data, self.card, None if self.card is None else self.run)

    def draw(self, formats: Sequence[str] = FORMATS) -> None:
        """Draw every format and keep it, so that what cannot be drawn is known before anything is written."""
        for extension in formats:
            self._bytes(extension)

    def save(self, folder: str | Path, formats: Sequence[str] = FORMATS) -> list[Path]:
        """Write `<case id>.<persona>.<ext>` for each format, and `.run.json`; the paths in that order.

        Everything is drawn before the first byte is written, and each file appears whole or not at all.
        Raises ConfigurationFault for an unknown format or a folder that cannot be written.
        """
        unknown = sorted(set(formats) - set(FORMATS))
        if unknown:
            raise ConfigurationFault(f"There is no report format {unknown[0]!r}.", f"Choose from {', '.join(FORMATS)}.")
        self._refuse_unverified()
        contents = [(f"{self.name}.{ext}", self._bytes(ext)) for ext in formats]
        contents.append((f"{self.name}.run.json", (json.dumps(self.run, indent=2, sort_keys=True) + "\n").encode()))
        target = Path(folder)
        try:
            target.mkdir(parents=True, exist_ok=True)
            return write_files(target, contents)
        except OSError as error:
            raise ConfigurationFault(
                f"The report cannot be written to {target} ({error.strerror}).", "Give a folder that you may write to."
            ) from None

    def _bytes(self, extension: str) -> bytes:
        if extension == "pdf":
            return self.pdf
        return (self.html if extension == "html" else self.json).encode()

    def _refuse_unverified(self) -> None:
        problems = self.data["verification"]["problems"]
        if problems:
            raise UnverifiedNarrative(
                f"{len(problems)} statement(s) could not be verified, first: {problems[0].get('message', 'no reason')}",
                "The template or persona that words it must be mended.",
            )

    def _repr_html_(self) -> str:
        """For notebooks: the page in a frame of its own, so that neither styles the other."""
        return (
            f'<iframe sandbox="allow-same-origin" style="width:100%;height:720px;border:1px solid #d5dae1" '
            f'title="{html.escape(self.name)}" srcdoc="{html.escape(self.html)}"></iframe>'
        )


def write_files(folder: Path, contents: list[tuple[str, bytes]]) -> list[Path]:
    """Write every file under a temporary name, then rename all of them; on failure no temporary file stays."""
    staged: list[tuple[Path, Path]] = []
    for name, _ in contents:
        if (folder / name).is_dir():  # found before the first rename, so that no part of the report is replaced
            raise IsADirectoryError(EISDIR, f"{name} is a folder")
    try:
        for name, content in contents:
            handle, temporary = tempfile.mkstemp(prefix=f".{name}.", suffix=".tmp", dir=folder)
            staged.append((Path(temporary), folder / name))
            with os.fdopen(handle, "wb") as stream:
                stream.write(content)
                stream.flush()
                os.fsync(stream.fileno())
            Path(temporary).chmod(0o644)
        for temporary_path, path in staged:
            temporary_path.replace(path)
    finally:
        for temporary_path, _ in staged:
            temporary_path.unlink(missing_ok=True)
    return [path for _, path in staged]
