"""What an installation has and lacks."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, version

_CORE = (
    "torch",
    "transformers",
    "langgraph",
    "openai",
    "weasyprint",
    "jinja2",
    "pydantic",
    "scipy",
    "scikit-learn",
    "crepes",
)
_EXTRAS = {
    "trees": ("shap", "xgboost|xgboost-cpu", "lightgbm"),
    "methods": ("captum", "shap"),
    "slack": ("slack-bolt",),
    "web": ("fastapi",),
    "ray": ("ray",),
    "postgres": ("psycopg",),
    "mcp": ("mcp",),
}
"""Distributions of each extra; either side of a bar will do."""
_OFFLINE = ("HF_HUB_OFFLINE", "LANGSMITH_TRACING", "RAY_USAGE_STATS_ENABLED")


@dataclass(frozen=True)
class Check:
    """One thing looked at. state: `ok`, `absent` (optional), `missing` (needed)."""

    name: str
    state: str
    found: str
    mend: str = ""


def examine() -> list[Check]:
    """Every check, in a fixed order."""
    return [*_packages(), _device(), _renderer(), _tools(), *_environment()]


def _packages() -> Iterator[Check]:
    yield Check("python", "ok" if sys.version_info >= (3, 11) else "missing", sys.version.split()[0])
    for name in _CORE:
        found = _version(name)
        yield Check(
            name, "ok" if found else "missing", found or "not installed", "" if found else f"pip install {name}"
        )
    for extra, names in _EXTRAS.items():
        lacking = [name.split("|")[0] for name in names if not any(_version(one) for one in name.split("|"))]
        mend = f"pip install 'xagent[{extra}]'" if lacking else ""
        yield Check(
            f"extra {extra}",
            "absent" if lacking else "ok",
            f"without {', '.join(lacking)}" if lacking else "installed",
            mend,
        )


def _version(name: str) -> str | None:
    try:
        return version(name)
    except PackageNotFoundError:
        return None


def _device() -> Check:
    import torch

    return Check("device", "ok", torch.cuda.get_device_name(0) if torch.cuda.is_available() else "cpu")


def _renderer() -> Check:
    try:
        import weasyprint
    except OSError as error:
        line = "apt-get install libpango-1.0-0 libpangoft2-1.0-0 libharfbuzz-subset0"
        return Check("pdf libraries", "missing", str(error).splitlines()[0], line)
    return Check("pdf libraries", "ok", f"weasyprint {weasyprint.__version__} finds pango")


def _tools() -> Check:
    from xagent.errors import ConfigurationFault
    from xagent.tools import registry

    try:
        return Check("tools", "ok", ", ".join(registry()))
    except ConfigurationFault as error:
        return Check("tools", "missing", error.message, error.hint)


def _environment() -> Iterator[Check]:
    for name in _OFFLINE:
        yield Check(name, "ok" if name in os.environ else "absent", os.environ.get(name, "not set"))
