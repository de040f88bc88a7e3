"""What both tree formats are read into: a forest, the columns it takes, and what its scores are."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np

from xagent.subject._trees import Bools, Floats, Forest, Ints

MAX_COLUMNS = 100_000
MAX_CATEGORIES = 2**20
Scores = Literal["logit", "logits", "value"]


@dataclass(frozen=True)
class TreeModel:
    """names: of the columns, empty where the file names none. levels: of categorical columns, by name, in the order of
    their codes; a categorical column whose levels the file does not name takes the codes themselves.
    scores: what the sums of leaves are: one logit, a logit a class, or the predicted value.
    """

    forest: Forest
    names: tuple[str, ...]
    levels: Mapping[str, tuple[Any, ...]]
    scores: Scores


def floats(value: Any, size: int | None, what: str) -> Floats:
    """Finite numbers (size,). Raises ValueError that names `what`."""
    found = _array(value, what)
    if found.dtype.kind not in "iuf" and found.size:
        raise ValueError(f"{what} holds something that is no number")
    result: Floats = found.astype(np.float64)
    if not np.isfinite(result).all():
        raise ValueError(f"{what} holds a number that is not finite")
    _check_size(result, size, what)
    return result


def ints(value: Any, size: int | None, what: str) -> Ints:
    """Whole numbers (size,); true and false count as 1 and 0. Raises ValueError that names `what`."""
    found = _array(value, what)
    if found.size and (found.dtype.kind not in "iub" or (found.dtype.kind == "u" and int(found.max()) >= 2**63)):
        raise ValueError(f"{what} holds something that is no whole number")
    _check_size(found, size, what)
    result: Ints = found.astype(np.int64)
    return result


def category_table(sets: list[Ints], inside_left: bool) -> Bools:
    """(lines, codes + 1): whether a code goes left, for the sets of codes of categorical splits.

    inside_left: whether the codes of a set go left; codes beyond a line, the last column, lie outside every set.
    """
    if not sets:
        return np.zeros((0, 1), dtype=np.bool_)
    widest = max((int(codes.max()) for codes in sets if len(codes)), default=0) + 1
    if widest > MAX_CATEGORIES or widest * len(sets) > 2**28:
        raise ValueError("its categorical splits name too many categories")
    table = np.full((len(sets), widest + 1), not inside_left, dtype=np.bool_)
    for line, codes in enumerate(sets):
        table[line, codes] = inside_left
    return table


def distinct_names(names: Any, columns: int) -> tuple[str, ...]:
    """Column names from the file; () when it has none. Raises ValueError."""
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise ValueError("the feature names are no list of texts")
    if names and (len(names) != columns or len(set(names)) < columns):
        raise ValueError(f"{len(names)} feature names stand for {columns} columns, or two of them are the same")
    if any(not name.strip() or len(name) > 500 for name in names):
        raise ValueError("a feature name is empty or longer than 500 characters")
    return tuple(names)


def _array(value: Any, what: str) -> Any:
    if not isinstance(value, list | np.ndarray):
        raise ValueError(f"{what} is no list")
    try:
        found = np.asarray(value)
    except (ValueError, OverflowError):
        raise ValueError(f"{what} is no list of numbers") from None
    if found.ndim != 1 or found.dtype == object:
        raise ValueError(f"{what} is no list of numbers")
    return found


def _check_size(array: Any, size: int | None, what: str) -> None:
    if size is not None and len(array) != size:
        raise ValueError(f"{what} has {len(array)} entries instead of {size}")
