"""The process around the command line: its streams, and how every error leaves it.

Nothing heavy is imported here, and nothing here knows a command.
"""

from __future__ import annotations

import atexit
import contextlib
import gc
import os
import sys
from collections.abc import Callable, Iterator
from io import TextIOWrapper
from typing import Any, NoReturn

import typer

from xagent.errors import InvalidCase, XagentError

MOST_SAID = 800
"""Characters of an error that are shown; names and values of a case may be much longer."""


def run(app: Callable[..., Any]) -> NoReturn:
    """Run a typer app on `sys.argv` and leave with its exit code; every error becomes one line on stderr.

    An XagentError leaves with its own code, a wrong argument with 2, an interrupt with 130, anything else with 1. With
    XAGENT_DEBUG in the environment an error that is none of ours is raised.
    """
    # A process that ends looks through all that is alive for cycles, twice: a second for the libraries of a report.
    atexit.register(gc.freeze)
    if isinstance(sys.stdin, TextIOWrapper):
        sys.stdin.reconfigure(encoding="utf-8-sig", errors="strict")
    for stream in (sys.stdout, sys.stderr):
        if hasattr(stream, "reconfigure"):
            stream.reconfigure(encoding="utf-8", errors="replace")
    code: int | None = None
    try:
        code = app(standalone_mode=False)
    except XagentError as error:
        say(f"xagent: {error}")
        sys.exit(error.exit_code)
    except (KeyboardInterrupt, typer.Abort):
        code = 130
    except BrokenPipeError:  # whoever read the output has left
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(1)
    except Exception as error:
        if hasattr(error, "format_message"):  # of the parser of arguments; its base class has moved between releases
            _say_usage(error)
            sys.exit(2)
        if os.environ.get("XAGENT_DEBUG"):
            raise
        if isinstance(error, OSError):
            say(f"xagent: {error.filename or 'The output'} failed: {error.strerror}. Check permissions and space.")
            sys.exit(1)
        say(f"xagent: {type(error).__name__}: {error} (set XAGENT_DEBUG=1 to see where).")
        sys.exit(1)
    if code == 130:
        say("xagent: interrupted.")
    sys.exit(code or 0)


def say(line: str) -> None:
    """One line on stderr; line breaks and control characters of untrusted text are shown, not obeyed."""
    plain = "".join(c if c.isprintable() else " " for c in line)
    if len(plain) > MOST_SAID:
        plain = f"{plain[: MOST_SAID - 300]} … {plain[-300:]}"
    print(plain, file=sys.stderr)


def stdin_text() -> str:
    """All of standard input. Raises InvalidCase when there is none or it is not UTF-8."""
    if sys.stdin is None:
        raise InvalidCase("There is no standard input.", "Give the path of a case.json.")
    try:
        return sys.stdin.read()
    except UnicodeDecodeError:
        raise InvalidCase("Standard input is not UTF-8 text.", "Give UTF-8 JSON.") from None


@contextlib.contextmanager
def no_collection() -> Iterator[None]:
    """Imports and page layout make millions of objects of which few are garbage; looking through them again and again
    takes a fifth of a run. What one report leaves behind is collected before the next."""
    before = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if before:
            gc.freeze()
            gc.unfreeze()  # all that is alive now counts as old, or the first collection would look through all of it
            gc.enable()


def _say_usage(error: Any) -> None:
    """The help when there were no arguments, else one line."""
    if len(sys.argv) < 2:
        error.show()
        return
    message = " ".join(error.format_message().replace("Value error, ", "").split()).rstrip(".")
    command = error.ctx.command_path if getattr(error, "ctx", None) else "xagent"
    say(f"xagent: {message}. See {command} --help.")
