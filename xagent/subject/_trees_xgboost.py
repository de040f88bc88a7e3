"""XGBoost's own model file (JSON or UBJSON, versions 1.3 to 3) as a forest; the library is not needed."""

from __future__ import annotations

import json
import math
from itertools import pairwise
from typing import Any

import numpy as np

from xagent.subject._trees import NAN, Floats, Forest, Ints, Trees
from xagent.subject._trees_model import MAX_COLUMNS, Scores, TreeModel, category_table, distinct_names, floats, ints
from xagent.subject._trees_ubjson import is_ubjson, read_ubjson

_OBJECTIVES: dict[str, Scores] = {
    "binary:logistic": "logit",
    "binary:logitraw": "logit",
    "multi:softprob": "logits",
    "multi:softmax": "logits",
    "reg:squarederror": "value",
    "reg:linear": "value",
    "reg:absoluteerror": "value",
    "reg:pseudohubererror": "value",
    "reg:quantileerror": "value",
}


def read_xgboost(content: bytes) -> TreeModel:
    """Raises ValueError that says what is wrong or not supported."""
    try:
        return _model(_plain(content))
    except KeyError as error:
        raise ValueError(f"{error.args[0]!r} is missing") from None
    except (TypeError, AttributeError, IndexError, OverflowError):
        raise ValueError("its parts are not what XGBoost writes") from None


def _plain(content: bytes) -> Any:
    if is_ubjson(content):
        return read_ubjson(content)
    try:
        return json.loads(content.decode(), parse_constant=_refuse)
    except RecursionError:
        raise ValueError("it is nested too deeply") from None


def _refuse(constant: str) -> float:
    raise ValueError(f"it holds {constant}, which is no number")


def _model(data: Any) -> TreeModel:
    learner = data["learner"]
    booster, objective = learner["gradient_booster"], str(learner["objective"]["name"])
    if objective not in _OBJECTIVES:
        raise ValueError(f"the objective {objective[:60]!r} is not supported ({', '.join(sorted(_OBJECTIVES))} are)")
    scores = _OBJECTIVES[objective]
    weights: Any = None
    if booster["name"] == "dart":
        weights, booster = booster["weight_drop"], booster["gbtree"]
    elif booster["name"] != "gbtree":
        raise ValueError(f"the booster {str(booster['name'])[:60]!r} is no forest; declare its coefficients instead")
    sizes = learner["learner_model_param"]
    columns, classes = _count(sizes["num_feature"]), max(_count(sizes["num_class"]), 1)
    if _count(sizes.get("num_target", "1")) != 1:
        raise ValueError("a model of several targets is not supported")
    if not 0 < columns <= MAX_COLUMNS or (classes > 1) != (scores == "logits") or classes > 10_000:
        raise ValueError(f"{columns} features and {classes} classes do not go with the objective {objective}")
    names = distinct_names(list(learner.get("feature_names") or []), columns)
    model = booster["model"]
    _refuse_stopped(learner.get("attributes") or {}, model)
    found = list(model["trees"])
    output = ints(model["tree_info"], len(found), "tree_info")
    factor = np.ones(len(found)) if weights is None else floats(weights, len(found), "weight_drop")
    base = _base(sizes["base_score"], classes, objective)
    levels = _levels(model.get("cats"), names, columns)
    return TreeModel(Forest(_joined(found, output, factor, base, columns)), names, levels, scores)


def _joined(found: list[Any], output: Ints, factor: Floats, base: Floats, columns: int) -> Trees:
    parts: dict[str, list[Any]] = {
        name: [] for name in ("feature", "threshold", "left", "right", "default_left", "value", "table")
    }
    roots: list[int] = []
    sets: list[Ints] = []
    offset = 0
    for tree, weight in zip(found, factor, strict=True):
        param = tree["tree_param"]
        size = _count(param["num_nodes"])
        if _count(param.get("size_leaf_vector", "1")) > 1:
            raise ValueError("trees whose leaves hold vectors are not supported")
        if size < 1:
            raise ValueError("a tree has no nodes")
        left, right = ints(tree["left_children"], size, "left_children"), ints(
            tree["right_children"], size, "right_children"
        )  # fmt: skip
        if bool(((left >= size) | (right >= size)).any()):
            raise ValueError("a node names a child outside its tree")
        leaf = left < 0
        conditions = floats(tree["split_conditions"], size, "split_conditions")
        table = np.full(size, -1, dtype=np.int64)
        kinds = ints(tree["split_type"], size, "split_type") if tree.get("split_type") is not None else 0 * left
        own = _sets(tree) if bool(kinds.any()) else {}
        for node in np.flatnonzero((kinds == 1) & ~leaf).tolist():
            if node not in own:
                raise ValueError("a categorical split has no categories")
            table[node] = len(sets)
            sets.append(own[node])
        parts["feature"].append(np.where(leaf, -1, ints(tree["split_indices"], size, "split_indices")))
        parts["threshold"].append(np.where(leaf | (table >= 0), 0.0, conditions))
        parts["left"].append(np.where(leaf, -1, left + offset))
        parts["right"].append(np.where(right < 0, -1, right + offset))
        parts["default_left"].append(ints(tree["default_left"], size, "default_left") != 0)
        parts["value"].append(np.where(leaf, conditions * weight, 0.0))
        parts["table"].append(table)
        roots.append(offset)
        offset += size
    if not found:
        raise ValueError("it holds no trees")
    joined = {name: np.concatenate(arrays) for name, arrays in parts.items()}
    return Trees(
        style="xgboost",
        roots=np.array(roots, dtype=np.int64),
        output=output,
        missing=np.full(offset, NAN, dtype=np.int64),
        # A category in the set goes right; one that is not in it, or that no split knows, goes left.
        goes_left=category_table(sets, inside_left=False),
        base=base,
        columns=columns,
        **joined,
    )


def _sets(tree: Any) -> dict[int, Ints]:
    """Codes of each categorical split, by node."""
    codes = ints(tree["categories"], None, "categories")
    nodes = ints(tree["categories_nodes"], None, "categories_nodes").tolist()
    starts = ints(tree["categories_segments"], len(nodes), "categories_segments").tolist()
    sizes = ints(tree["categories_sizes"], len(nodes), "categories_sizes").tolist()
    if len(codes) and int(codes.min()) < 0:
        raise ValueError("a category has a negative code")
    result = {}
    for node, start, size in zip(nodes, starts, sizes, strict=True):
        if start < 0 or size < 0 or start + size > len(codes):
            raise ValueError("the categories of a split lie outside their list")
        result[node] = codes[start : start + size]
    return result


def _base(raw: Any, classes: int, objective: str) -> Floats:
    """(K,) base scores as margins: the file holds a probability for the logistic objectives."""
    text = str(raw).strip()
    numbers = [float(part) for part in text.strip("[]").split(",")]
    if len(numbers) not in (1, classes) or not all(math.isfinite(number) for number in numbers):
        raise ValueError(f"the base score {text[:60]!r} does not fit {classes} scores")
    # The file writes single precision; the library adds it as such.
    base = np.asarray(numbers * (classes if len(numbers) == 1 else 1), dtype=np.float32).astype(np.float64)
    if not objective.startswith("binary:"):
        return base
    if not bool(((base > 0) & (base < 1)).all()):
        raise ValueError(f"the base score {text[:60]!r} is no probability")
    return np.log(base / (1 - base))


def _levels(cats: Any, names: tuple[str, ...], columns: int) -> dict[str, tuple[Any, ...]]:
    """Levels of categorical columns, where the file holds them (version 3.1 and later) and names its columns."""
    if not cats or not names or not cats.get("enc"):
        return {}
    if len(cats["enc"]) != columns:
        raise ValueError("the categories do not fit the columns")
    found: dict[str, tuple[Any, ...]] = {}
    for name, own in zip(names, cats["enc"], strict=True):
        values = own.get("values", [])
        if "offsets" in own:
            offsets = ints(own["offsets"], None, "offsets of categories")
            letters = ints(values, None, "values of categories")
            if not len(offsets):
                continue
            steps = np.diff(offsets)
            if offsets[0] != 0 or offsets[-1] != len(letters) or bool((steps < 0).any()):
                raise ValueError("the names of categories lie outside their list")
            # Bytes are written as signed numbers.
            raw = bytes((letters % 256).astype(np.uint8).tolist())
            texts = [raw[a:b].decode() for a, b in pairwise(offsets.tolist())]
            found[name] = tuple(texts)
        elif len(values):
            numbers = values.tolist() if hasattr(values, "tolist") else list(values)
            if not all(isinstance(v, int | float) for v in numbers):
                raise ValueError("the values of categories are no numbers")
            found[name] = tuple(int(v) if float(v).is_integer() else v for v in numbers)
        if name in found and len(set(found[name])) < len(found[name]):
            raise ValueError("two categories of a feature have the same name")
    return found


def _refuse_stopped(attributes: Any, model: Any) -> None:
    """After early stopping the file holds more trees than scikit-learn's wrapper uses, and nobody can tell which of
    the two answered."""
    best = attributes.get("best_iteration")
    if best is None:
        return
    rounds = len(model.get("iteration_indptr") or ()) - 1
    if rounds > _count(best) + 1:
        raise ValueError(
            f"training stopped early: the best of its {rounds} rounds is {_count(best) + 1}, and the file holds them "
            f"all; save booster[: {_count(best) + 1}] or booster[:] without the attribute best_iteration"
        )


def _count(value: Any) -> int:
    number = int(str(value))
    if not 0 <= number < 2**31:
        raise ValueError(f"a size is {number}")
    return number
