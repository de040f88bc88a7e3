"""Whether a path of a case or system card holds anything."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

_OPTIONAL_MARKS = {"sensitive", "proxy_for"}
"""Marks that most features rightly lack: their absence is an answer, not a gap."""


def is_absent(node: Any, path: Sequence[str]) -> bool:
    """True when nothing is there; under `*`, when there is no item or any item lacks it."""
    if not path:
        return not isinstance(node, bool | int | float) and not (node.strip() if isinstance(node, str) else node)
    head, *rest = path
    if not isinstance(node, Mapping):
        return True
    if head != "*":
        return is_absent(node.get(head), rest)
    if rest and rest[-1] in _OPTIONAL_MARKS:
        return False
    return not node or any(is_absent(item, rest) for item in node.values())
