"""Subjects of declared models: every term is a line of the game, so relevance is the term less its reference mean."""

from __future__ import annotations

from typing import Any

import numpy as np
from scipy import sparse

from xagent.case import OutputSpec
from xagent.subject._declared import DeclaredModel
from xagent.subject._declared_compiled import Compiled
from xagent.subject._trees import Floats
from xagent.subject._trees_game import Game
from xagent.subject._trees_subject import Column, RowsSubject

MOST_ROWS = 20_000


class DeclaredSubject(RowsSubject):
    """A sum of terms. Raw values go in; the JSON file says what each of them adds."""

    def __init__(self, model: DeclaredModel, output: OutputSpec, **kwargs: Any) -> None:
        super().__init__(output, _columns(model), **kwargs)
        self.model = model
        self._terms = tuple(Compiled(term, model) for term in model.terms)
        self._intercept = np.atleast_1d(np.asarray(model.intercept, dtype=np.float64))

    @property
    def method(self) -> str:
        kinds = {term.kind for term in self.model.terms}
        if kinds <= {"linear"}:
            return "coefficients of a linear model"
        return "terms of an additive model" + (" and its pairs" if "pair" in kinds else "")

    def scores_of(self, rows: Floats) -> Floats:
        result = np.tile(self._intercept, (len(rows), 1))
        for term in self._terms:
            result += term.part(*(rows[:, place] for place in term.columns))
        return result

    def rows_used(self, n: int) -> int:
        return min(n, MOST_ROWS)

    def game_of(self, row: Floats, rows: Floats) -> Game:
        """Two lines for a feature, with it and without; four for a pair."""
        players = len(self._players)
        alone = np.zeros((2, players, len(self._intercept)))
        lines: list[tuple[list[int], list[int]]] = [([i], []) for i in range(players)]
        lines += [([], [i]) for i in range(players)]
        worth: list[Floats] = []
        for term in self._terms:
            if len(term.columns) == 1:
                place = term.columns[0]
                alone[0, place] += term.part(row[[place]])[0]
                alone[1, place] += term.part(rows[:, place]).mean(axis=0)
                continue
            i, j = term.columns
            lines += [([i, j], []), ([i], [j]), ([j], [i]), ([], [i, j])]
            worth += _corners(term, row, rows)
        lines.append(([], []))
        table = np.concatenate([alone.reshape(2 * players, -1), *[w[None] for w in worth], self._intercept[None]])
        return Game(_marks([a for a, _ in lines], players), _marks([b for _, b in lines], players), table)

    def pairs_of(self, row: Floats, rows: Floats) -> tuple[tuple[tuple[str, str], Floats], ...]:
        found = []
        for term in self._terms:
            if len(term.columns) == 2:
                both, first, second, none = _corners(term, row, rows)
                i, j = term.columns
                found.append(((self.columns[i].name, self.columns[j].name), both - first - second + none))
        return tuple(found)


def _corners(term: Compiled, row: Floats, rows: Floats) -> list[Floats]:
    """(K,) each: a pair with both values of the row, with the first, with the second and with none of them."""
    i, j = term.columns
    x, y, z, w = np.full(len(rows), row[i]), np.full(len(rows), row[j]), rows[:, i], rows[:, j]
    return [term.part(row[[i]], row[[j]])[0], *(term.part(*c).mean(axis=0) for c in ((x, w), (z, y), (z, w)))]


def _marks(sets: list[list[int]], players: int) -> sparse.csr_matrix:
    line = [n for n, members in enumerate(sets) for _ in members]
    member = [player for members in sets for player in members]
    return sparse.csr_matrix((np.ones(len(line)), (line, member)), shape=(len(sets), players))


def _columns(model: DeclaredModel) -> tuple[Column, ...]:
    """A feature takes a missing value, or an unknown level, when every term of it says what that adds."""
    result = []
    for feature in model.features:
        own = [term for term in model.terms if feature.name in term.of]
        fills = all(term.missing is not None or _bordered(term) for term in own)
        levels = feature.levels if feature.kind == "categorical" else None
        open_ = all(_bordered(term) or _of_unknown(term) is not None for term in own)
        result.append(Column(feature.name, levels, fills, open_ and bool(own)))
    return tuple(result)


def _bordered(term: Any) -> bool:
    return term.kind == "pair" and bool(term.border)


def _of_unknown(term: Any) -> Any:
    return term.missing if term.kind == "pair" else getattr(term, "unknown", None)
