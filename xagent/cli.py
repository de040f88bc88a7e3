"""The command line: one short function a command. What a command does stands in its own module (`_explain_door`,
`_calibrate_door`, `bring`), imported inside the function, so that `--help` stays instant."""

from __future__ import annotations

import json
import sys
from datetime import datetime
from enum import StrEnum
from pathlib import Path
from typing import Annotated, Any, NoReturn

import typer

from xagent import __version__
from xagent._options import AllowMismatch, AllowOutside, Device, NoLlm, Quiet, Seed, parts
from xagent._shell import no_collection, run
from xagent.errors import UsageFault

EXIT_CODES = """Exit codes: 0 ok, 1 failure, 2 usage, 3 invalid case, 5 narrative could not be verified,
6 configuration or missing component, 7 model mismatch, 8 a report that does not hold."""

app = typer.Typer(
    name="xagent",
    help="Explain one prediction to the person who has to rely on it.\n\n" + EXIT_CODES,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
)


readers = typer.Typer(rich_markup_mode=None)
app.add_typer(readers, name="personas")
keys = typer.Typer(rich_markup_mode=None, no_args_is_help=True, help="Keys to sign reports with.")
app.add_typer(keys, name="keys")


class SchemaName(StrEnum):
    case = "case"
    system = "system"
    report = "report"


def main() -> NoReturn:
    """Run the command line; every error becomes one line on stderr and its exit code."""
    run(app)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"xagent {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    pass


@app.command()
def explain(
    cases: Annotated[list[str], typer.Argument(metavar="CASE...", help="case.json, or - for standard input.")],
    persona: Annotated[
        str, typer.Option("--persona", "-p", help="Who reads: a name, several with commas, a .toml file, or all.")
    ] = "regulator",
    language: Annotated[str | None, typer.Option("--language", "-l", help="Of the reports: en or de.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the reports.")] = Path("reports"),
    formats: Annotated[str, typer.Option("--format", help="html, pdf, json, with commas.")] = "html,pdf,json",
    as_json: Annotated[bool, typer.Option("--json", help="Print the report's JSON on stdout, write no files.")] = False,
    device: Device = None,
    seed: Seed = None,
    rules: Annotated[
        str | None, typer.Option(help="Relevance rules: conserving, fastest, attnlrp, blend:0.25, gamma, z+, gradient.")
    ] = None,
    methods: Annotated[
        str | None, typer.Option(help="Methods for a second opinion, with commas; default: what the cost allows.")
    ] = None,
    allow_mismatch: AllowMismatch = None,
    allow_outside: AllowOutside = None,
    no_llm: NoLlm = None,
    telemetry: Annotated[
        Path | None, typer.Option(metavar="FILE", help="Add this run's own trace to the file, as OTLP JSON Lines.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Print what would run and its cost, and run nothing.")
    ] = False,
    quiet: Quiet = False,
) -> None:
    """Explain predictions: one verified report for each reader."""
    wanted = tuple(dict.fromkeys(parts(formats)))
    unknown = sorted(set(wanted) - {"html", "pdf", "json"})
    if unknown or not wanted:
        raise UsageFault(f"--format: {', '.join(unknown) or 'nothing'} is not a format.", "Use html, pdf or json.")
    with no_collection():
        from xagent.personas import load_persona, persona_names
        from xagent.settings import load_settings

        settings = load_settings(
            device=device.value if device else None,
            seed=seed,
            rules=rules,
            methods=parts(methods) if methods else None,
            allow_mismatch=allow_mismatch,
            allow_outside=allow_outside,
            no_llm=no_llm,
            telemetry={"file": telemetry} if telemetry else None,
        )
        named = persona_names(settings.personas) if persona == "all" else parts(persona)
        wanted_readers = [load_persona(name, language, settings.personas) for name in named]
        from xagent import _explain_door as door

        for case in door.opened(cases, settings):
            if dry_run:
                door.print_plan(case, wanted_readers, settings)
            elif as_json:
                door.print_reports(case, wanted_readers, settings, quiet=quiet)
            else:
                door.write_reports(case, wanted_readers, settings, output, wanted, quiet=quiet)


@app.command()
def verify(
    reports: Annotated[list[Path], typer.Argument(metavar="REPORT...", help="PDF, HTML or JSON of finished reports.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print every problem as JSON.")] = False,
) -> None:
    """Check finished reports: bytes, hashes, claims against their evidence, every sentence, what stands on the pages,
    signatures. Exit 8 when one does not hold."""
    from xagent.report import require_verified, verify_file

    found = [(path, verify_file(path)) for path in reports]
    if as_json:
        print(json.dumps({str(path): [p.public() for p in result.problems] for path, result in found}, indent=2))
    for path, result in found:
        require_verified(path.name, result)
        if not as_json:
            print(f"{path}: {result.summary}")


@app.command()
def sign(
    report: Annotated[Path, typer.Argument(metavar="REPORT", help="PDF of a finished report.")],
    key: Annotated[Path, typer.Option("--key", "-k", help="PKCS#12 (.p12, .pfx), or PEM with its certificate.")],
    certificate: Annotated[Path | None, typer.Option(help="For a PEM key; default: the same name with .crt.")] = None,
    output: Annotated[Path | None, typer.Option("--output", "-o", help="Default: <name>.signed.pdf.")] = None,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
) -> None:
    """Sign a report (PAdES; certified, no change permitted). A passphrase is read from XAGENT_KEY_PASSPHRASE."""
    from xagent._sign_door import sign_file

    print(sign_file(report, key, certificate, output, force=force))


@keys.command("new")
def new(
    output: Annotated[Path, typer.Option("--output", "-o", help="Folder for the key and its certificate.")] = Path(),
    name: Annotated[str, typer.Option(help="Who signs, as it stands in the certificate.")] = "xagent demonstration",
) -> None:
    """Make a key and a certificate signed by itself, to try signatures with. It vouches for nobody."""
    from xagent._sign_door import make_key

    for path in make_key(output, name):
        print(path)


@app.command()
def calibrate(
    case: Annotated[str, typer.Argument(metavar="CASE", help="case.json of the model, with its reference.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="File for the thresholds.")] = Path("levels.toml"),
    rows: Annotated[int, typer.Option(min=5, max=2000, help="Rows of the reference to explain.")] = 24,
    force: Annotated[bool, typer.Option("--force", help="Overwrite the file.")] = False,
    device: Device = None,
    seed: Seed = None,
    allow_mismatch: AllowMismatch = None,
    allow_outside: AllowOutside = None,
    quiet: Quiet = False,
) -> None:
    """Choose the thresholds of the trust levels for one model, from its own reference population."""
    if out.exists() and not force:
        raise UsageFault(f"--out: {out} exists.", "Name another file, or pass --force.")
    from xagent.settings import load_settings

    settings = load_settings(
        device=device.value if device else None,
        seed=seed,
        allow_mismatch=allow_mismatch,
        allow_outside=allow_outside,
    )
    from xagent._calibrate_door import calibrate_case

    print(calibrate_case(case, out, rows, settings, quiet=quiet))


@app.command()
def schema(name: Annotated[SchemaName, typer.Argument(help="case, system or report.")]) -> None:
    """Print a published JSON Schema."""
    from xagent.case import Case, SystemCard

    if name is SchemaName.report:
        from xagent.report import report_schema

        data: Any = report_schema()
    else:
        model = Case if name is SchemaName.case else SystemCard
        data = {
            "$schema": "https://json-schema.org/draft/2020-12/schema",
            "$id": f"xagent.{name.value}/1",
            **model.model_json_schema(by_alias=True),
        }
    print(json.dumps(data, indent=2, ensure_ascii=False))


@readers.callback(invoke_without_command=True)
def personas(context: typer.Context) -> None:
    """The readers that a report can be written for."""
    if context.invoked_subcommand is None:
        list_personas()


@readers.command("list")
def list_personas() -> None:
    """List them, those of your own folder (`personas` in xagent.toml) last."""
    from xagent._personas_door import listed
    from xagent.settings import load_settings

    print("\n".join(listed(load_settings())))


@readers.command("show")
def show_persona(
    name: Annotated[str, typer.Argument(help="A name, or the path of a .toml file.")],
    language: Annotated[str | None, typer.Option("--language", "-l", help="en or de.")] = None,
) -> None:
    """Print what a reader gets, in which order, what it must be told and what is kept from it."""
    from xagent._personas_door import shown
    from xagent.settings import load_settings

    print("\n".join(shown(name, load_settings(), language)))


@app.command()
def doctor(as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False) -> None:
    """Say what this installation has, and what is missing; exit 6 when a report could not be made."""
    from xagent._doctor import examine

    checks = examine()
    if as_json:
        print(json.dumps([check.__dict__ for check in checks], indent=2))
    else:
        for check in checks:
            print(f"{check.state:8} {check.name:24} {check.found}" + (f"  -> {check.mend}" if check.mend else ""))
    if any(check.state == "missing" for check in checks):
        raise typer.Exit(6)


@app.command()
def init(
    model: Annotated[Path | None, typer.Argument(help="A .pt2 file or a transformers folder.")] = None,
    reference: Annotated[Path | None, typer.Option(help="Reference population: CSV, Parquet, JSONL or npz.")] = None,
    row: Annotated[int | None, typer.Option(help="Row of the reference to explain (from 0).")] = None,
    input_: Annotated[Path | None, typer.Option("--input", help="JSON of the input to explain.")] = None,
    telemetry: Annotated[Path | None, typer.Option(help="Trace of the prediction, see docs/telemetry.md.")] = None,
    encoder: Annotated[Path | None, typer.Option(help="Encoder of raw values, JSON.")] = None,
    window: Annotated[Path | None, typer.Option(help="Recent inputs, for drift.")] = None,
    features: Annotated[str, typer.Option(help="Columns that the model takes, in its order, with commas.")] = "",
    output_kind: Annotated[str | None, typer.Option(help="logits, logit or value: what the outputs mean.")] = None,
    target: Annotated[str | None, typer.Option(help="Class that is explained; default: the predicted one.")] = None,
    classes: Annotated[str, typer.Option(help="Class names in the order of the outputs, with commas.")] = "",
    threshold: Annotated[float | None, typer.Option(help="Threshold that the score is compared with.")] = None,
    output: Annotated[Path, typer.Option("--output", "-o", help="New folder for the case.")] = Path("case"),
    check: Annotated[Path | None, typer.Option(help="List what is still missing in this folder.")] = None,
    decided_at: Annotated[datetime | None, typer.Option(help="When it was decided, ISO 8601; default: now.")] = None,
) -> None:
    """Make a case from a model and its reference data, or list what only a person can still fill in."""
    from xagent.bring import check_case, init_case

    if check is not None:
        gaps = check_case(check)
        for gap in gaps:
            print(f"{gap.path}\n    {gap.asked_for}  [{'; '.join(gap.articles)}]")
        print(f"{len(gaps)} fields are missing." if gaps else "Nothing is missing.")
        return
    if model is None or reference is None:
        raise UsageFault("xagent init needs MODEL and --reference.", "See xagent init --help.")
    written = init_case(
        model,
        reference,
        out=output,
        row=row,
        input=input_,
        telemetry=telemetry,
        encoder=encoder,
        window=window,
        features=list(parts(features)),
        output_kind=output_kind,
        target=target,
        classes=list(parts(classes)),
        threshold=threshold,
        decided_at=decided_at,
    )
    for path in written:
        print(path)
    if (output / "notes.txt").exists():
        print((output / "notes.txt").read_text(encoding="utf-8"), end="", file=sys.stderr)


if __name__ == "__main__":
    main()
