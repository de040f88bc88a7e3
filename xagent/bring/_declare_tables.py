"""Declared models from tables: explainable boosting machines of `interpret`, and scorecards with points."""

from __future__ import annotations

from typing import Any

import numpy as np

from xagent.errors import UsageFault

_LINKS = {"identity": "identity", "logit": "logit", "mlogit": "softmax"}


def plain(worth: Any) -> Any:
    """One number, or a list with one for each score."""
    numbers = np.atleast_1d(np.asarray(worth, dtype=np.float64)).tolist()
    return numbers[0] if len(numbers) == 1 else numbers


def declare_boosting(model: Any) -> dict[str, Any]:
    """Of a fitted ExplainableBoostingClassifier or Regressor: its terms as they stand, pairs included.

    A table holds the score of a missing value first and that of an unknown level last. Raises UsageFault for terms of
    three features and other links than identity, logit and mlogit.
    """
    link = _LINKS.get(str(getattr(model, "link_", "")))
    if link is None:
        raise UsageFault(f"The link {getattr(model, 'link_', None)!r} cannot be declared.", "Use identity or logit.")
    names = [str(name) for name in model.feature_names_in_]
    cuts = [[_axis(level) for level in bins] for bins in model.bins_]
    features = []
    for name, own in zip(names, cuts, strict=True):
        levels = own[0] if isinstance(own[0], list) else None
        more = {"kind": "numeric"} if levels is None else {"kind": "categorical", "levels": levels}
        features.append({"name": name, **more})
    terms = []
    for places, scores in zip(model.term_features_, model.term_scores_, strict=True):
        table = np.asarray(scores, dtype=np.float64)
        if len(places) == 1:
            terms.append(_single(names[places[0]], cuts[places[0]][0], table))
        elif len(places) == 2:
            axes = [cuts[place][min(1, len(cuts[place]) - 1)] for place in places]
            terms += _pair([names[place] for place in places], axes, table)
        else:
            raise UsageFault("A term of three features cannot be declared.", "Fit it with interactions of two.")
    used = {name for term in terms for name in (term.get("features") or [term.get("feature")])}
    zero = plain(np.zeros(np.size(model.intercept_)))
    for feature in features:
        if feature["name"] not in used:
            terms.append(_nothing(feature, zero))
    intercept = plain(np.asarray(model.intercept_, dtype=np.float64))
    return {"schema": "xagent.model/1", "link": link, "features": features, "intercept": intercept, "terms": terms}


def _axis(level: Any) -> Any:
    """Edges of a number as an array, or the levels of a category in the order of their scores."""
    if isinstance(level, dict):
        order = sorted(level, key=lambda key: level[key])
        if [level[key] for key in order] != list(range(1, len(order) + 1)):
            raise UsageFault("Two levels share a score.", "Fit it with one bin for each level.")
        return order
    return np.asarray(level, dtype=np.float64)


def _single(name: str, axis: Any, table: Any) -> dict[str, Any]:
    values = [plain(worth) for worth in table[1:-1]]
    ends = {"missing": plain(table[0])}
    if isinstance(axis, list):
        return {"kind": "levels", "feature": name, "values": values, "unknown": plain(table[-1]), **ends}
    if not len(axis):  # a feature that was constant in training has one bin
        flat = plain(0 * np.asarray(table[0]))
        if np.any(values[0] != flat):
            raise UsageFault(f"The feature {name!r} has one bin with a score.", "Leave it out.")
        return {"kind": "linear", "feature": name, "coefficient": flat, **ends}
    return {"kind": "bins", "feature": name, "edges": axis.tolist(), "values": values, **ends}


def _pair(names: list[str], axes: list[Any], table: Any) -> list[dict[str, Any]]:
    inner = table[1:-1, 1:-1]
    for axis, size in zip(axes, inner.shape[:2], strict=True):
        if not isinstance(axis, list) and not len(axis) and size == 1:
            raise UsageFault("A pair holds a feature with one bin.", "Leave it out.")
    return [
        {
            "kind": "pair",
            "features": names,
            "axes": [None if isinstance(axis, list) else axis.tolist() for axis in axes],
            "values": [[plain(worth) for worth in line] for line in table],
            "border": True,
        }
    ]


def _nothing(feature: dict[str, Any], zero: Any) -> dict[str, Any]:
    if feature["kind"] == "numeric":
        return {"kind": "linear", "feature": feature["name"], "coefficient": zero, "missing": zero}
    values = [zero] * len(feature["levels"])
    return {"kind": "levels", "feature": feature["name"], "values": values, "unknown": zero, "missing": zero}


def declare_points(table: Any, factor: float, offset: float) -> dict[str, Any]:
    """Of a scorecard: one row for each range or level. logit = (sum of points - offset) / factor.

    A numeric feature has `lower`, the lower edge of each range (included; empty or -inf for the lowest), and may have a
    row whose level is `missing`. A categorical feature has `level`. Raises UsageFault.
    """
    if not {"feature", "points"} <= set(table.columns) or not {"lower", "level"} & set(table.columns):
        raise UsageFault("The scorecard lacks columns.", "It needs feature, points, and lower or level.")
    if not np.isfinite(factor) or factor == 0 or not np.isfinite(offset):
        raise UsageFault(f"factor={factor} and offset={offset} are no scale.", "Points are offset + factor * logit.")
    features, terms = [], []
    for name in dict.fromkeys(str(n) for n in table["feature"]):
        rows = [row for _, row in table.iterrows() if str(row["feature"]) == name]
        levels = [row.get("level") for row in rows]
        points = [float(row["points"]) / factor for row in rows]
        blank = [level is None or level != level for level in levels]  # noqa: PLR0124 - NaN
        if not all(np.isfinite(points)):
            raise UsageFault(f"The points of {name!r} are not all numbers.", "Correct them.")
        missing = {"missing": points[levels.index("missing")]} if "missing" in levels else {}
        kept = [n for n, level in enumerate(levels) if level != "missing"]
        if all(not blank[n] for n in kept):
            own = [str(levels[n]) for n in kept]
            features.append({"name": name, "kind": "categorical", "levels": own})
            terms.append({"kind": "levels", "feature": name, "values": [points[n] for n in kept], **missing})
            continue
        if not all(blank[n] for n in kept):
            raise UsageFault(f"{name!r} has both ranges and levels.", "Give it one of them.")
        lower = [float(rows[n].get("lower", np.nan)) for n in kept]
        order = sorted(range(len(kept)), key=lambda i: lower[i] if np.isfinite(lower[i]) else -np.inf)
        edges = [lower[i] for i in order]
        if np.isfinite(edges[0]) or not np.isfinite(edges[1:]).all():
            raise UsageFault(f"{name!r} needs one lowest range, with an empty lower edge.", "Add or correct it.")
        features.append({"name": name, "kind": "numeric"})
        values = [points[kept[i]] for i in order]
        if len(values) == 1:
            raise UsageFault(f"{name!r} has only one range.", "Add its points to the offset and leave it out.")
        terms.append({"kind": "bins", "feature": name, "edges": edges[1:], "values": values, **missing})
    return {
        "schema": "xagent.model/1",
        "link": "logit",
        "features": features,
        "intercept": -offset / factor,
        "terms": terms,
    }
