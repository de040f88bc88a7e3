"""Which attribute means what: canonical keys, their other names, and what is content rather than a fact. Data files."""

from __future__ import annotations

import re
import tomllib
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from typing import Any

MAX_KEYS = 20_000
"""Different attribute names in one file."""
_NUMBER = re.compile(r"[+-]?\d{1,18}(\.\d{1,18})?([eE][+-]?\d{1,3})?")


@dataclass(frozen=True)
class Alias:
    """`source` (a star stands for one name) means `target` (which may hold the same star). values: translation; None
    for as it stands."""

    source: str
    target: str
    values: dict[str, Any] | None = None


@dataclass(frozen=True)
class Rule:
    """What is to be done with one key: the canonical keys it gives, each as (precedence, key, translation), and its
    role when it is content."""

    targets: tuple[tuple[int, str, dict[str, Any] | None], ...]
    role: str | None


@dataclass
class Vocabulary:
    """Canonical keys with their types, aliases in order of precedence, patterns of content by role, and the step kinds
    that a user gave to span names. `rule` remembers each key it was asked for."""

    types: dict[str, str]
    aliases: tuple[Alias, ...]
    payloads: tuple[tuple[str, str], ...]
    step_kinds: dict[str, str] = field(default_factory=dict)
    _rules: dict[str, Rule] = field(default_factory=dict, repr=False)

    def rule(self, key: str) -> Rule:
        """What `key` means. Raises ValueError when too many different keys were asked for."""
        found = self._rules.get(key)
        if found is None:
            if len(self._rules) >= MAX_KEYS:
                raise ValueError(f"there are more than {MAX_KEYS} different names of attributes")
            targets = tuple(
                (place, alias.target.replace("*", name), alias.values)
                for place, alias in enumerate(self.aliases)
                if (name := _star(alias.source, key)) is not None
            )
            role = None if targets or self.is_canonical(key) else self._role(key)
            found = self._rules[key] = Rule(targets, role)
        return found

    def is_canonical(self, key: str) -> bool:
        """Whether this is a key that xagent knows the meaning of."""
        return self.type_of(key) is not None

    def type_of(self, key: str) -> str | None:
        """The type of a canonical key, else None."""
        found = self.types.get(key)
        if found is None and key.startswith("xagent.feature."):
            found = next((kind for p, kind in self.types.items() if "*" in p and _star(p, key)), None)
        return found

    def _role(self, key: str) -> str | None:
        lower = key.lower()
        for pattern, role in self.payloads:
            if pattern == lower or ("*" in pattern and _glob(pattern).fullmatch(lower)):
                return role
        return None


@cache
def built_in() -> Vocabulary:
    """The vocabulary that ships: `keys.toml`, `aliases.toml` and `payloads.toml`."""
    folder = files("xagent.telemetry")
    keys, aliases, payloads = (
        tomllib.loads((folder / f"{name}.toml").read_text(encoding="utf-8")) for name in ("keys", "aliases", "payloads")
    )
    return Vocabulary(
        types={key: kind for group in keys.values() for key, kind in group.items()},
        aliases=tuple(Alias(a["from"], a["to"], a.get("values")) for a in aliases["alias"]),
        payloads=tuple((pattern.lower(), role) for role, patterns in payloads.items() for pattern in patterns),
    )


def typed(value: Any, kind: str | None) -> Any:
    """Text that a format made of a number, a flag or a list of one, read back as the canonical key's type."""
    if kind == "list" and isinstance(value, str):
        return (value,)
    if not isinstance(value, str):
        return value
    if kind == "number" and _NUMBER.fullmatch(value):
        return int(value) if value.lstrip("+-").isdigit() else float(value)
    if kind == "flag" and value.lower() in ("true", "false"):
        return value.lower() == "true"
    return value


def _star(pattern: str, key: str) -> str | None:
    """What the star of `pattern` stands for in `key`: empty for equal texts without one, None when they differ."""
    if "*" not in pattern:
        return "" if pattern == key else None
    before, _, after = pattern.partition("*")
    if len(key) > len(before) + len(after) and key.startswith(before) and key.endswith(after):
        return key[len(before) : len(key) - len(after)]
    return None


@cache
def _glob(pattern: str) -> re.Pattern[str]:
    return re.compile(".*".join(map(re.escape, pattern.split("*"))), re.DOTALL)
