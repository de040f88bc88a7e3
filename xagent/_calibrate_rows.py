"""Rows of a reference population as cases of their own, and the right answer for each of them."""

from __future__ import annotations

import json
from math import isnan
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from xagent.case import Case, GenerationInput, ImageInput, TabularInput, TextInput, read_table, resolve_file
from xagent.errors import InvalidCase
from xagent.trust import Probes

if TYPE_CHECKING:
    from xagent.subject import Subject

LEAST_ROWS = 50
PAIRS = 64
"""Pairs of orders for sampled Shapley values: 128 passes through the players."""


def drawn_cases(case: Case, subject: Subject, rows: int, seed: int) -> list[Case]:
    """So many rows of the reference, each as the case's own input would be, with what the model answers to it.

    Raises InvalidCase when there is no reference, it has fewer than 50 rows, or its rows are no inputs.
    """
    if case.reference is None:
        raise InvalidCase("reference: the case names no reference population.", "Calibration draws its rows from it.")
    if isinstance(case.input, GenerationInput):
        raise InvalidCase(
            "reference: prompts without their answers cannot be calibrated on.",
            "The thresholds that ship hold for language models.",
        )
    path = resolve_file(case, case.reference.path, "reference.path")
    total, input_at = _inputs(case, path)
    if total < LEAST_ROWS:
        raise InvalidCase(f"reference: {path.name} has {total} rows.", f"Calibration needs at least {LEAST_ROWS}.")
    chosen = np.sort(np.random.default_rng(seed).choice(total, min(rows, total), replace=False))
    return [_asked(case, subject, input_at(int(row))) for row in chosen]


def _inputs(case: Case, path: Path) -> tuple[int, Any]:
    """How many inputs the file holds, and what gives the one at a place."""
    if isinstance(case.input, TabularInput):
        names, table = list(case.input.values), read_table(path, "reference")
        missing = [name for name in names if name not in table.columns]
        if missing:
            raise InvalidCase(
                f"reference: {path.name} has no column {missing[0]!r}.", "It needs every feature of input.values."
            )
        return len(table), lambda row: TabularInput(
            kind="tabular", values={name: _plain(table[name].iloc[row]) for name in names}
        )
    if isinstance(case.input, ImageInput):
        with np.load(path, allow_pickle=False) as data:
            pixels = data["pixels"].astype(np.float64)
        return len(pixels), lambda row: ImageInput(kind="image", pixels=pixels[row].tolist())
    assert isinstance(case.input, TextInput)
    texts = [json.loads(line)["text"] for line in path.read_text(encoding="utf-8").splitlines() if line.strip()]
    return len(texts), lambda row: TextInput(kind="text", text=texts[row])


def _plain(value: Any) -> Any:
    """A cell as JSON would hold it; missing values are None."""
    plain = value.item() if hasattr(value, "item") else value
    return None if isinstance(plain, float) and isnan(plain) else plain


def _asked(case: Case, subject: Subject, given: Any) -> Case:
    """The case with another input. Its class is the model's answer to it; with two classes the explained one stays."""
    prediction = case.prediction
    if len(subject.classes) > 2:
        label = subject.classes[int(subject.logits(subject.encode(given).inputs)[0].argmax())]
        prediction = prediction.model_copy(update={"label": label, "target": label, "threshold": None})
    return case.model_copy(update={"input": given, "prediction": prediction})


def truth_of(probes: Probes, seed: int) -> tuple[Tensor, Tensor, bool]:
    """Shapley values (units,) float64, the unit of each player (P,), and whether they are exact.

    Sampled over antithetic pairs of orders (Mitchell et al. 2022) of blocks where all coalitions would be too many.
    """
    if probes.shapley is not None:
        return probes.shapley, probes.grouping.bundle, True
    block = probes.grouping.block
    units = probes.grouping.blocks
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.stack([torch.randperm(units, generator=generator) for _ in range(PAIRS)])
    order = torch.cat([drawn, drawn.flip(1)])
    place = order.argsort(1)
    keep = place[:, None, :] < torch.arange(units + 1)[None, :, None]
    gains = probes.score(keep.flatten(0, 1)[:, block]).view(len(order), units + 1).diff(dim=1)
    total = torch.zeros(units, dtype=torch.float64).index_add_(0, order.flatten(), gains.flatten())
    return total / len(order), block, False
