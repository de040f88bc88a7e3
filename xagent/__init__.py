"""xagent explains one prediction of a model to the person who has to rely on it.

`explain` makes a verified report; `load_case` reads a case; `trace` traces relevance through any torch network;
`declare` writes a fitted linear or additive model as a file that can be explained.
Heavy libraries are imported on first use, so that importing xagent costs nothing.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from xagent._explain import explain, trace
    from xagent.bring import declare
    from xagent.case import load_case
    from xagent.personas import Persona
    from xagent.report import Report

__version__ = "0.1.0"
__all__ = ["Persona", "Report", "declare", "explain", "load_case", "trace"]

_HOMES = {
    "explain": "xagent._explain",
    "trace": "xagent._explain",
    "declare": "xagent.bring",
    "load_case": "xagent.case",
    "Persona": "xagent.personas",
    "Report": "xagent.report",
}


def __getattr__(name: str) -> Any:
    if name in _HOMES:
        from importlib import import_module

        return getattr(import_module(_HOMES[name]), name)
    raise AttributeError(f"module 'xagent' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
