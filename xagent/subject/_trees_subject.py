"""Subjects whose relevance is exact: forests and sums of terms, compared with rows of the reference population.

A feature that is not there takes its value from each of those rows in turn, and the scores are averaged
(interventional expectation; Janzing, Minorics and Blöbaum 2020). Relevance, the trust checks and the removal methods
all play this game.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xagent.case import LARGEST, OutputSpec, TabularInput
from xagent.errors import InvalidCase
from xagent.subject._encoder import TabularEncoder
from xagent.subject._features import _spellings, _text, listed
from xagent.subject._subject import Input, Subject
from xagent.subject._trees import Floats
from xagent.subject._trees_game import Game, Paths, forest_game, paths
from xagent.subject._trees_model import TreeModel
from xagent.subject._units import Encoded, Player

if TYPE_CHECKING:
    import pandas as pd

SEED = 0
MOST_ROWS = 512
MOST_CONDITIONS = 2**26
LEAST_ROWS = 32
UNKNOWN = -1.0
"""Place of a level that a feature does not list."""
_PROBES = 8
_BATCH = 16_384


@dataclass(frozen=True)
class Joint:
    """What two features add only together: its part in the scores (K,) is split evenly between them."""

    features: tuple[str, str]
    worth: Tensor


@dataclass(frozen=True)
class ExactRelevance:
    """values: (P, K) Shapley values of every score, in the order of the players; base: (K,) mean scores of the rows.

    They sum to scores (K,), those of the input. method: in words. rows: how many rows of the reference were used, seed:
    what chose them.
    """

    method: str
    values: Tensor
    base: Tensor
    scores: Tensor
    rows: int
    seed: int = SEED
    pairs: tuple[Joint, ...] = ()


@dataclass(frozen=True)
class Column:
    """One column that takes raw values: numbers, or with levels their places. `fills`: a missing value is NaN;
    otherwise it is refused. `open`: a level that is not listed becomes UNKNOWN; otherwise it is refused."""

    name: str
    levels: tuple[Any, ...] | None = None
    fills: bool = True
    open: bool = False


class RowsSubject(Subject):
    """Rows with an exact game behind them. `module` is None: there is nothing to trace and nothing to differentiate.

    The traced tensor `input` (1, d) float64 holds encoded columns, or without an encoder raw numbers and places of
    levels, NaN where a value is missing. `background` is (n, d), rows of the reference, not their mean.
    """

    kind = "tabular"

    def __init__(
        self, output: OutputSpec, columns: Sequence[Column], *, encoder: TabularEncoder | None = None, **kwargs: Any
    ) -> None:
        super().__init__(None, output, device=torch.device("cpu"), dtype=torch.float64, **kwargs)
        self.columns, self.encoder = tuple(columns), encoder
        self._players = (
            encoder.players() if encoder else tuple(Player(c.name, c.name, (n,)) for n, c in enumerate(columns))
        )
        self._owner = np.repeat(np.arange(len(self._players)), [len(p.index) for p in self._players])
        self._played: tuple[bytes, Game] | None = None

    @property
    @abstractmethod
    def method(self) -> str:
        """How relevance is made, in words."""

    @abstractmethod
    def scores_of(self, rows: Floats) -> Floats:
        """(n, K) raw scores of encoded rows (n, d): K is 1 for a logit or a value."""

    @abstractmethod
    def game_of(self, row: Floats, rows: Floats) -> Game:
        """The game of one row (d,) against reference rows (n, d)."""

    @abstractmethod
    def rows_used(self, n: int) -> int:
        """How many of n reference rows are averaged over."""

    def pairs_of(self, row: Floats, rows: Floats) -> tuple[tuple[tuple[str, str], Floats], ...]:
        """What pairs of features add together, (K,) each; none where that is not known by itself."""
        return ()

    def encode(self, input: Input) -> Encoded:
        if not isinstance(input, TabularInput):
            raise InvalidCase(f"input.kind: the model takes rows, not {input.kind}.", "Set it to 'tabular'.")
        if self.encoder is not None:
            row, filled = self.encoder.encode(input.values)
            return Encoded("tabular", {"input": torch.from_numpy(row)}, "input", self._players, tuple(filled))
        names = [column.name for column in self.columns]
        if extra := sorted(set(input.values) - set(names)):
            raise InvalidCase(
                f"input.values.{extra[0]}: the model has no feature {extra[0]!r}.",
                f"Remove it; the features are {listed(names)}.",
            )
        for name in names:
            if name not in input.values:
                raise InvalidCase(
                    f"input.values: the feature {name!r} is missing.", "Add it; null says that its value is unknown."
                )
        cells = [_cell(column, input.values[column.name], f"input.values.{column.name}") for column in self.columns]
        missing = tuple(name for name in names if input.values[name] is None)
        return Encoded(
            "tabular", {"input": torch.tensor([cells], dtype=torch.float64)}, "input", self._players, missing
        )

    def encode_table(self, frame: pd.DataFrame, field: str = "reference") -> Tensor:
        if self.encoder is not None:
            return torch.from_numpy(self.encoder.encode_table(frame, field))
        if len(frame) == 0:
            raise InvalidCase(f"{field}: the table has no rows.", "Give at least one row below the header.")
        return torch.from_numpy(np.stack([_column(column, frame, field) for column in self.columns], axis=1))

    def background(self, reference: Tensor | None = None, encoded: Encoded | None = None) -> Tensor:
        """Rows of the reference (n, d), the same ones for the same table; one row of zeros without a reference."""
        if reference is None:
            return torch.zeros(1, len(self._owner), dtype=torch.float64)
        most = self.rows_used(len(reference))
        if most >= len(reference):
            return reference.double()
        chosen = np.sort(np.random.default_rng(SEED).choice(len(reference), most, replace=False))
        return reference[torch.from_numpy(chosen)].double()

    def ablate(self, encoded: Encoded, keep: Tensor, background: Tensor | None = None) -> dict[str, Tensor]:
        """One of the rows that are averaged over for each coalition: the background's rows take turns."""
        rows = self.background(encoded=encoded) if background is None else background
        turn = torch.arange(len(keep)) % len(rows)
        kept = keep.bool().cpu()[:, torch.from_numpy(self._owner)]
        return {"input": torch.where(kept, encoded.inputs["input"], rows[turn].double())}

    def coalition_logits(self, encoded: Encoded, keep: Tensor, background: Tensor | None = None) -> Tensor:
        rows = self.background(encoded=encoded) if background is None else background
        return self._shaped(torch.from_numpy(self._game(encoded, rows).value(keep.bool().cpu().numpy())))

    def exact_relevance(self, encoded: Encoded, background: Tensor | None = None) -> ExactRelevance:
        rows = self.background(encoded=encoded) if background is None else background
        game = self._game(encoded, rows)
        base = game.value(np.zeros((1, game.players), dtype=np.bool_))
        row = encoded.inputs["input"].numpy()[0]
        return ExactRelevance(
            self.method,
            self._shaped(torch.from_numpy(game.shapley())),
            self._shaped(torch.from_numpy(base))[0],
            self.logits(encoded.inputs)[0],
            len(rows),
            pairs=tuple(
                Joint(names, self._shaped(torch.from_numpy(worth[None]))[0])
                for names, worth in self.pairs_of(row, rows.numpy())
            ),
        )

    def exact_values(self, rows: Tensor, background: Tensor | None = None) -> Tensor:
        """Against at most LEAST_ROWS rows of the background, spread evenly over it: for many inputs at a time."""
        others = (self.background() if background is None else background).double().numpy()
        others = others[np.linspace(0, len(others) - 1, min(len(others), LEAST_ROWS)).round().astype(int)]
        games = (self.game_of(row, others) for row in rows.double().numpy())
        return torch.stack([self._shaped(torch.from_numpy(game.shapley())) for game in games])

    def _game(self, encoded: Encoded, rows: Tensor) -> Game:
        """The game, kept until another one is asked for, and held against the model's own scores."""
        row, table = encoded.inputs["input"].numpy()[0], rows.double().numpy()
        key = row.tobytes() + table.tobytes()
        with self.lock:
            if self._played is None or self._played[0] != key:
                game = self.game_of(row, table)
                self._check(game, row, table)
                self._played = (key, game)
            return self._played[1]

    def _check(self, game: Game, row: Floats, rows: Floats) -> None:
        """Some coalitions scored by the model itself. A difference would be an error of ours, so it is no finding."""
        keep = np.random.default_rng(SEED).random((_PROBES, game.players)) < 0.5
        keep[0], keep[1] = True, False
        mixed = np.where(keep[:, None, self._owner], row, rows[None])
        flat = mixed.reshape(-1, rows.shape[1])
        direct = self.scores_of(flat).reshape(len(keep), len(rows), -1).mean(axis=1)
        size = max(1.0, float(np.abs(direct).max()))
        if not np.allclose(game.value(keep), direct, rtol=0, atol=1e-9 * size):
            raise ArithmeticError("the scores of coalitions do not agree with the model's own")

    def _call(self, inputs: dict[str, Tensor]) -> Any:
        return torch.from_numpy(self.scores_of(inputs["input"].detach().cpu().double().numpy()))

    def _chunk(self, inputs: dict[str, Tensor]) -> int:
        return _BATCH


class TreesSubject(RowsSubject):
    """A forest. Missing values follow the trees' own default branches."""

    def __init__(self, model: TreeModel, output: OutputSpec, columns: Sequence[Column], **kwargs: Any) -> None:
        super().__init__(output, columns, **kwargs)
        self.model = model
        self._paths: Paths | None = None

    @property
    def method(self) -> str:
        return "exact Shapley values of the trees (interventional TreeSHAP)"

    def scores_of(self, rows: Floats) -> Floats:
        return self.model.forest.margins(rows)

    def rows_used(self, n: int) -> int:
        return min(n, MOST_ROWS, max(LEAST_ROWS, MOST_CONDITIONS // max(self._known().size, 1)))

    def game_of(self, row: Floats, rows: Floats) -> Game:
        return forest_game(self.model.forest, self._known(), row, rows, len(self._players))

    def _known(self) -> Paths:
        with self.lock:
            if self._paths is None:
                self._paths = paths(self.model.forest, self._owner)
            return self._paths


def tree_columns(names: Sequence[str], levels: Mapping[str, tuple[Any, ...]]) -> tuple[Column, ...]:
    return tuple(Column(name, levels.get(name)) for name in names)


def _cell(column: Column, value: Any, where: str) -> float:
    """One raw value as a number, a place or NaN. Raises InvalidCase."""
    if value is None or (isinstance(value, float) and np.isnan(value)):
        if not column.fills:
            raise InvalidCase(f"{where}: the value is missing.", "Give it; the model says nothing of missing values.")
        return float("nan")
    if column.levels is not None:
        places = {_text(level): place for place, level in enumerate(column.levels)}
        found = next((places[text] for text in _spellings(value) if text in places), None)
        if found is None and not column.open:
            raise InvalidCase(
                f"{where}: {str(value)[:60]!r} is not a level of this feature.",
                f"Use one of {listed(list(places))}" + (", or null for a missing value." if column.fills else "."),
            )
        return UNKNOWN if found is None else float(found)
    if isinstance(value, str) or not abs(float(value)) < LARGEST:
        raise InvalidCase(f"{where}: {str(value)[:60]!r} is not a number of usable size.", "Give a plain number.")
    return float(value)


def _column(column: Column, frame: pd.DataFrame, field: str) -> Floats:
    import pandas as pd

    if column.name not in frame.columns:
        raise InvalidCase(f"{field}: the table has no column {column.name!r}.", "Give every feature of the model.")
    if list(frame.columns).count(column.name) > 1:
        raise InvalidCase(f"{field}: the column {column.name!r} stands twice.", "Keep one of them.")
    where, series = f"{field}.{column.name}", frame[column.name]
    if column.levels is None and series.dtype.kind in "biuf":
        numbers = series.to_numpy(dtype=np.float64, na_value=np.nan)
        blank = np.isnan(numbers)
        if (column.fills or not blank.any()) and bool((np.abs(numbers[~blank]) < LARGEST).all()):
            return numbers
    codes, distinct = pd.factorize(series)
    cells = [_cell(column, v.item() if isinstance(v, np.generic) else v, where) for v in distinct]
    if bool((codes < 0).any()):
        cells.append(_cell(column, None, f"{where}, row {int(np.argmax(codes < 0)) + 1}"))
    return np.array(cells, dtype=np.float64)[codes]
