"""`xagent sign` and `xagent keys`: from paths to a signed file or a new key."""

from __future__ import annotations

from pathlib import Path

from xagent.errors import ConfigurationFault, UsageFault


def sign_file(report: Path, key: Path, certificate: Path | None, output: Path | None, *, force: bool) -> Path:
    """Write the signed copy of a PDF (default: `<name>.signed.pdf` beside it), whole or not at all; its path."""
    from xagent.report import sign_pdf, write_files
    from xagent.report._file import read_bytes

    if report.suffix.lower() != ".pdf":
        raise UsageFault(f"{report.name} is no PDF.", "Only a PDF can be signed.")
    target = output or report.with_suffix(".signed.pdf")
    if target.exists() and not force:
        raise UsageFault(f"{target} exists.", "Name another file with --output, or pass --force.")
    signed = sign_pdf(read_bytes(report), key, certificate)
    try:
        (path,) = write_files(target.parent, [(target.name, signed)])
    except OSError as error:
        raise ConfigurationFault(f"{target} cannot be written ({error.strerror}).", "Give another folder.") from None
    return path


def make_key(folder: Path, name: str) -> list[Path]:
    """A key and its own certificate, to try signatures with."""
    from xagent.report import new_key

    try:
        return new_key(folder, name)
    except OSError as error:
        raise ConfigurationFault(f"{folder} cannot be written ({error.strerror}).", "Give another folder.") from None
