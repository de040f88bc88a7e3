"""LightGBM's own model file (text, versions 3 and 4) as a forest; the library is not needed."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from typing import Any

import numpy as np

from xagent.subject._trees import Forest, Ints, Trees
from xagent.subject._trees_model import MAX_COLUMNS, Scores, TreeModel, category_table, distinct_names, floats, ints

_VALUES = {"regression", "regression_l1", "huber", "fair", "quantile", "mape"}
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_WHOLE = re.compile(r"[+-]?[0-9]{1,18}")


def read_lightgbm(content: bytes) -> TreeModel:
    """Raises ValueError that says what is wrong or not supported."""
    try:
        return _model(content.decode())
    except UnicodeDecodeError:
        raise ValueError("it is not UTF-8 text") from None
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is missing") from None
    except (TypeError, AttributeError, IndexError, OverflowError):
        raise ValueError("its parts are not what LightGBM writes") from None


def _model(text: str) -> TreeModel:
    lines = text.split("\n")
    if lines[0].strip() != "tree":
        raise ValueError("its first line is not 'tree'")
    if "end of trees" not in (stripped := [line.strip() for line in lines]):
        raise ValueError("it has no line 'end of trees'")
    end = stripped.index("end of trees")
    starts = [n for n, line in enumerate(lines[:end]) if line.startswith("Tree=")]
    if not starts:
        raise ValueError("it holds no trees")
    head = _keys(lines[: starts[0]])
    objective, scores, classes = _objective(head)
    columns = _count(head["max_feature_idx"]) + 1
    if not 0 < columns <= MAX_COLUMNS:
        raise ValueError(f"it has {columns} features; 1 to {MAX_COLUMNS} are read")
    names = distinct_names(head["feature_names"].split(" "), columns)
    each = _count(head["num_tree_per_iteration"])
    if each != classes or len(starts) % each:
        raise ValueError(f"{len(starts)} trees, {each} an iteration, do not go with the objective {objective}")
    trees = [_keys(lines[a:b]) for a, b in zip(starts, [*starts[1:], end], strict=True)]
    rounds = len(trees) // each
    scale = 1.0 / rounds if "average_output" in {line.strip() for line in lines[: starts[0]]} else 1.0
    forest = Forest(_joined(trees, np.arange(len(trees)) % each, scale, classes, columns))
    return TreeModel(forest, names, _levels(lines[end:], head, names), scores)


def _objective(head: dict[str, str]) -> tuple[str, Scores, int]:
    name, *options = head["objective"].split(" ")
    said = dict(option.split(":", 1) for option in options if ":" in option)
    classes = _count(head["num_class"])
    if name == "binary" and classes == 1:
        # The probability is sigmoid(k * score); k other than 1 would make the score no logit.
        if float(said.get("sigmoid", "1")) != 1.0:
            raise ValueError("a binary objective with a sigmoid other than 1 is not supported")
        return name, "logit", 1
    if name == "cross_entropy" and classes == 1:
        return name, "logit", 1
    if name == "multiclass" and 2 <= classes <= 10_000:
        return name, "logits", classes
    if name in _VALUES and classes == 1 and "sqrt" not in options:
        return name, "value", 1
    known = ", ".join(sorted({"binary", "cross_entropy", "multiclass", *_VALUES}))
    raise ValueError(f"the objective {head['objective'][:60]!r} is not supported ({known} are)")


def _joined(trees: list[dict[str, str]], output: Ints, scale: float, classes: int, columns: int) -> Trees:
    names = ("feature", "threshold", "left", "right", "default_left", "missing", "value", "table")
    parts: dict[str, list[Any]] = {name: [] for name in names}
    roots: list[int] = []
    sets: list[Ints] = []
    offset = 0
    for tree in trees:
        leaves = _count(tree["num_leaves"])
        if tree.get("is_linear", "0") != "0":
            raise ValueError("linear trees are not supported")
        if leaves < 1:
            raise ValueError("a tree has no leaves")
        inner, size = leaves - 1, 2 * leaves - 1
        node = dict.fromkeys(parts, np.zeros(size, dtype=np.int64)) | {
            "feature": np.full(size, -1), "left": np.full(size, -1), "right": np.full(size, -1),
            "table": np.full(size, -1), "threshold": np.zeros(size), "value": np.zeros(size),
            "default_left": np.zeros(size, dtype=np.bool_), "missing": np.zeros(size, dtype=np.int64),
        }  # fmt: skip
        node["value"][inner:] = _floats(tree, "leaf_value", leaves) * scale
        if inner:
            kind = _ints(tree, "decision_type", inner)
            if bool(((kind < 0) | (kind > 15)).any()):
                raise ValueError("a split has an unknown decision_type")
            node["feature"][:inner] = _ints(tree, "split_feature", inner)
            for side in ("left", "right"):
                child = _ints(tree, f"{side}_child", inner)
                if bool(((child >= inner) | (child < -leaves)).any()):
                    raise ValueError("a node names a child outside its tree")
                # A child below zero is a leaf, counted from -1.
                node[side][:inner] = np.where(child >= 0, child, inner - child - 1) + offset
            threshold = _floats(tree, "threshold", inner)
            categorical = (kind & _CATEGORICAL) > 0
            node["default_left"][:inner] = ((kind & _DEFAULT_LEFT) > 0) & ~categorical
            node["missing"][:inner] = np.minimum(kind >> 2, 2)
            node["threshold"][:inner] = np.where(categorical, 0.0, threshold)
            if bool(categorical.any()):
                own = _sets(tree)
                for place in np.flatnonzero(categorical).tolist():
                    chosen = threshold[place]
                    if not chosen.is_integer() or not 0 <= chosen < len(own):
                        raise ValueError("a categorical split has no categories")
                    node["table"][place] = len(sets)
                    sets.append(own[int(chosen)])
        for name in names:
            parts[name].append(node[name])
        roots.append(offset)
        offset += size
    return Trees(
        style="lightgbm",
        roots=np.array(roots, dtype=np.int64),
        output=output.astype(np.int64),
        goes_left=category_table(sets, inside_left=True),
        base=np.zeros(classes),
        columns=columns,
        **{name: np.concatenate(arrays) for name, arrays in parts.items()},
    )


def _sets(tree: dict[str, str]) -> list[Ints]:
    """Codes of each categorical split of a tree, from bits in words of 32."""
    count = _count(tree["num_cat"])
    bounds = _ints(tree, "cat_boundaries", count + 1).tolist()
    words = _ints(tree, "cat_threshold", None)
    if bounds[:1] != [0] or bounds[-1] != len(words) or sorted(bounds) != bounds:
        raise ValueError("the categories of a split lie outside their list")
    if len(words) and (int(words.min()) < 0 or int(words.max()) >= 2**32):
        raise ValueError("a word of categories has more than 32 bits")
    bits = ((words[:, None] >> np.arange(32)) & 1).astype(bool)
    return [np.flatnonzero(bits[a:b].reshape(-1)) for a, b in pairwise(bounds)]


def _levels(tail: list[str], head: dict[str, str], names: tuple[str, ...]) -> dict[str, tuple[Any, ...]]:
    """Levels that pandas gave the library. The file lists them in the order of the categorical columns alone, which
    are those whose `feature_infos` is no interval; where that order cannot be told, nothing is taken from it."""
    line = next((part for part in tail if part.startswith("pandas_categorical:")), "pandas_categorical:null")
    try:
        found = json.loads(line.removeprefix("pandas_categorical:"))
    except (ValueError, RecursionError):
        raise ValueError("the line pandas_categorical is not valid JSON") from None
    if not found:
        return {}
    infos = head["feature_infos"].split(" ")
    if len(infos) != len(names):
        raise ValueError("feature_infos does not fit the features")
    columns = [name for name, info in zip(names, infos, strict=True) if info != "none" and not info.startswith("[")]
    if not isinstance(found, list) or not all(isinstance(level, list) for level in found):
        raise ValueError("the line pandas_categorical is no list of lists")
    if len(columns) != len(found):
        raise ValueError(
            "which columns are categorical cannot be told, since one of them was constant in training; train without it"
        )
    result = {name: tuple(level) for name, level in zip(columns, found, strict=True)}
    for name, level in result.items():
        if not all(isinstance(v, str | int | float) for v in level) or len({str(v) for v in level}) < len(level):
            raise ValueError(f"the levels of {name[:60]!r} are no distinct texts or numbers")
    return result


def _keys(lines: list[str]) -> dict[str, str]:
    found: dict[str, str] = {}
    for line in lines:
        key, equals, value = line.rstrip("\r").partition("=")
        if equals and key in found:
            raise ValueError(f"{key[:60]!r} stands twice")
        if equals:
            found[key] = value
    return found


def _floats(tree: dict[str, str], key: str, size: int) -> Any:
    return floats([float(part) for part in tree[key].split()], size, key)


def _ints(tree: dict[str, str], key: str, size: int | None) -> Ints:
    parts = tree[key].split()
    if not all(_WHOLE.fullmatch(part) for part in parts):
        raise ValueError(f"{key} holds something that is no whole number")
    return ints([int(part) for part in parts], size, key)


def _count(text: str) -> int:
    if not _WHOLE.fullmatch(text.strip()):
        raise ValueError(f"a size is {text[:60]!r}")
    number = int(text)
    if not 0 <= number < 2**31:
        raise ValueError(f"a size is {number}")
    return number
