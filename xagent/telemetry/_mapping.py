"""A user's own names for what a trace says: a TOML file that comes before the names that ship."""

from __future__ import annotations

import dataclasses
import re
import tomllib
from pathlib import Path
from typing import Any, get_args

from xagent.errors import InvalidCase
from xagent.telemetry._trace import PayloadRole
from xagent.telemetry._vocabulary import Alias, Vocabulary, built_in

STEP_KINDS = ("fetch", "transform", "predict", "postprocess", "guardrail", "human", "deliver", "tool")
MAX_MAPPING_BYTES = 256 * 1024
_SCHEMA = "xagent.mapping/1"
_TABLES = {"schema", "attributes", "values", "steps", "payloads"}


def vocabulary(mapping: Path | None = None) -> Vocabulary:
    """A fresh vocabulary: what ships, with the entries of a mapping file before it.

    Raises InvalidCase, naming the file and the entry, for a file that cannot be read or maps to an unknown key.
    """
    base = dataclasses.replace(built_in(), _rules={}, step_kinds={})
    if mapping is None:
        return base
    tables = _read(mapping)
    values = tables["values"]
    aliases = tuple(
        _alias(source, target, values.get(source), base, mapping) for source, target in tables["attributes"].items()
    )
    for source in values.keys() - tables["attributes"].keys():
        raise _fault(mapping, f"values.{source!r} is no entry of [attributes]", "Map the attribute as well.")
    for name, kind in tables["steps"].items():
        if kind not in STEP_KINDS:
            raise _fault(mapping, f"steps.{name!r} is {str(kind)[:80]!r}", f"Use one of: {', '.join(STEP_KINDS)}.")
    roles = set(get_args(PayloadRole))
    content = []
    for role, patterns in tables["payloads"].items():
        if role not in roles or not isinstance(patterns, list) or not all(isinstance(p, str) for p in patterns):
            raise _fault(mapping, f"payloads.{role!r}", f"Give lists of names under: {', '.join(sorted(roles))}.")
        content += [(pattern.lower(), role) for pattern in patterns]
    return dataclasses.replace(
        base,
        aliases=aliases + base.aliases,
        payloads=(*content, *base.payloads),
        step_kinds=dict(tables["steps"]),
    )


def _read(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > MAX_MAPPING_BYTES:
            raise _fault(path, f"is larger than {MAX_MAPPING_BYTES // 1024} KiB", "Keep only the names you need.")
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _fault(path, f"cannot be read ({error.strerror})", "Check the path.") from None
    except (ValueError, RecursionError) as error:
        raise _fault(path, f"is not valid TOML ({str(error)[:200]})", "Mend the file.") from None
    if found.get("schema") != _SCHEMA:
        raise _fault(path, "does not say which schema it follows", f'Begin it with schema = "{_SCHEMA}".')
    unknown = sorted(found.keys() - _TABLES)
    if unknown:
        raise _fault(path, f"has the unknown entry {unknown[0][:80]!r}", f"Known: {', '.join(sorted(_TABLES))}.")
    tables = {name: found.get(name, {}) for name in sorted(_TABLES - {"schema"})}
    for name, table in tables.items():
        if not isinstance(table, dict):
            raise _fault(path, f"{name} is no table", f"Write [{name}] and one entry a line.")
    return tables


def _alias(source: str, target: Any, values: Any, known: Vocabulary, path: Path) -> Alias:
    where = f"attributes.{source!r}"
    if not isinstance(target, str):
        raise _fault(path, f"{where} is no text", 'Quote names that hold dots: "my.key" = "xagent.model.version".')
    if source.count("*") > 1 or target.count("*") > 1 or ("*" in target and "*" not in source):
        raise _fault(path, f"{where} has stars that do not pair", "Use one star on both sides, or on the left only.")
    if known.is_canonical(source):
        raise _fault(path, f"{where} is already a canonical key", "Leave it out.")
    if not known.is_canonical(target.replace("*", "name")):
        near = _nearest(target, known)
        raise _fault(path, f"{where} maps to {target[:80]!r}, which is no key xagent knows", f"Did you mean {near!r}?")
    if values is not None and not (isinstance(values, dict) and all(_scalar(v) for v in values.values())):
        raise _fault(path, f"values.{source!r} is no table of single values", "Write one old = new entry a line.")
    return Alias(source, target, values)


def _nearest(target: str, known: Vocabulary) -> str:
    wanted = set(re.findall(r"[a-z0-9]+", target.lower()))

    def likeness(key: str) -> float:
        own = set(re.findall(r"[a-z0-9]+", key))
        return len(own & wanted) / len(own | wanted)

    return max(sorted(known.types), key=likeness)


def _scalar(value: Any) -> bool:
    return isinstance(value, str | int | float | bool)


def _fault(path: Path, what: str, mend: str) -> InvalidCase:
    return InvalidCase(f"telemetry mapping: {path.name}: {what}.", mend)
