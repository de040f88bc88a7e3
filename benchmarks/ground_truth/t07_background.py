"""T7: a digit on a textured background; five CNNs whose training data tied the texture to the class by 0 to 1.

Truth per model: the share of the score that swapping backgrounds moves, against swapping digits. A map's share of
relevance on the background should say the same.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from functools import cache

import numpy as np
import torch
from torch import Tensor, nn

from ._cache import trained
from ._cases import Case, Figures, Task, mean_and_error
from ._networks import Readout, fit, versus_rest

SIDE, DIGIT, CELL = 16, 8, 4
TIES = (0.0, 0.5, 0.8, 0.95, 1.0)
"""How often the texture is the class's own, in training."""


@cache
def textures() -> Tensor:
    """(10, 16, 16): a grating for each class, in [0, 0.5]."""
    grid = np.arange(SIDE) / SIDE
    y, x = np.meshgrid(grid, grid, indexing="ij")
    waves = [
        0.25 + 0.25 * np.sin(2 * np.pi * (3 + k // 5 * 2) * (np.cos(a) * x + np.sin(a) * y))
        for k in range(10)
        for a in [np.pi * (k % 5) / 5]
    ]
    return torch.from_numpy(np.stack(waves)).float()


@cache
def digits() -> tuple[Tensor, Tensor]:
    """scikit-learn's digits: (1797, 8, 8) in [0, 1] and the classes."""
    from sklearn.datasets import load_digits

    pixels, classes = load_digits(return_X_y=True)
    return torch.from_numpy(pixels).float().view(-1, DIGIT, DIGIT) / 16, torch.from_numpy(classes)


def compose(chosen: Tensor, texture: Tensor, top: Tensor, left: Tensor) -> tuple[Tensor, Tensor]:
    """Digits by index on textures by class, at these corners -> images (n, 1, 16, 16) and where the digit's pixels are.

    A digit's pixel covers the texture; between its strokes the texture shines through.
    """
    ink = torch.zeros(len(chosen), SIDE, SIDE)
    pixels = digits()[0][chosen]
    for i in range(len(chosen)):
        ink[i, top[i] : top[i] + DIGIT, left[i] : left[i] + DIGIT] = pixels[i]
    image = torch.maximum(ink, textures()[texture] * (ink < 0.2))
    return image[:, None], ink >= 0.2


def draw(rows: int, tie: float, seed: int, train_part: bool) -> dict[str, Tensor]:
    """Indices of digits, textures and corners; the last 397 digits are never trained on."""
    generator = torch.Generator().manual_seed(seed)

    def integers(low: int, high: int) -> Tensor:
        return torch.randint(low, high, (rows,), generator=generator)

    chosen = integers(0, 1400) if train_part else integers(1400, 1797)
    own = torch.rand(rows, generator=generator) < tie
    texture = torch.where(own, digits()[1][chosen], integers(0, 10))
    # corners on the grid of cells, so that a digit covers whole players
    return {"chosen": chosen, "texture": texture, "top": CELL * integers(0, 3), "left": CELL * integers(0, 3)}


def build() -> nn.Module:
    return nn.Sequential(
        nn.Conv2d(1, 16, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Conv2d(16, 32, 3, padding=1), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(32 * 16, 64), nn.ReLU(), nn.Linear(64, 10),
    )  # fmt: skip


def train(seed: int, tie: float) -> nn.Module:
    def learn(module: nn.Module, seed: int) -> None:
        drawn = draw(6000, tie, seed, True)
        fit(module, compose(**drawn)[0], digits()[1][drawn["chosen"]], steps=700, batch=64, seed=seed)

    return trained(f"t07-{round(100 * tie)}", seed, build, learn, sys.modules[__name__])


@torch.no_grad()
def interventional(model: nn.Module, seed: int, rows: int = 400) -> float:
    """|change by another background| / (|change by another background| + |change by another digit|), of means.

    The score is the logit of the class minus the mean of the others, on rows whose texture is the class's own.
    """
    drawn = draw(rows, 1.0, seed + 7, False)
    classes = digits()[1][drawn["chosen"]]
    weights = torch.stack([versus_rest(int(c), 10) for c in classes])
    other = draw(rows, 0.0, seed + 8, False)

    def score(**changes: Tensor) -> Tensor:
        scores: Tensor = (model(compose(**(drawn | changes))[0]) * weights).sum(1)
        return scores

    differs = digits()[1][other["chosen"]] != classes
    as_is = score()
    background = (as_is - score(texture=(drawn["texture"] + 1 + other["texture"] % 9) % 10)).abs().mean()
    digit = (as_is - score(chosen=other["chosen"]))[differs].abs().mean()
    return float(background / (background + digit))


def cases(seed: int, quick: bool, segments: bool = False) -> list[Case]:
    """Players are the pixels, or with `segments` the ink and the background of each cell of 4 x 4."""
    per_model = 3 if quick else 6
    found = []
    corner = torch.arange(SIDE) // CELL
    cell = (corner[:, None] * (SIDE // CELL) + corner[None, :]).flatten()
    for tie in TIES:
        model = train(seed, tie)
        share = interventional(model, seed)
        baseline = compose(**draw(1000, tie, seed + 9, True))[0].mean(0, keepdim=True)
        drawn = draw(per_model, 1.0, seed + 10, False)
        images, inks = compose(**drawn)
        for i in range(per_model):
            score = Readout(model, versus_rest(int(digits()[1][drawn["chosen"][i]]), 10)).eval()
            ink = inks[i].flatten()
            unit = torch.arange(SIDE * SIDE)
            if segments:
                ids, unit = torch.unique(2 * cell + ink, return_inverse=True)
                ink = ids % 2 == 1
            blank = torch.zeros(int(unit.max()) + 1, dtype=torch.float64)
            facts = {"tie": tie, "share": share, "ink": ink}
            image = images[i : i + 1]
            found.append(Case(score, image, baseline, unit.view_as(image), blank, facts=facts))
    return found


def background_mass(case: Case, relevance: Tensor) -> float:
    """Share of |relevance| on players that are not ink."""
    on_ink = float(relevance.abs()[case.facts["ink"]].sum())
    total = float(relevance.abs().sum())
    return 1 - on_ink / total if total > 0 else 0.0


def two_regions(case: Case, relevance: Tensor) -> float:
    """The same after summing with signs over all ink and over all background."""
    ink = case.facts["ink"]
    front, back = abs(float(relevance[ink].sum())), abs(float(relevance[~ink].sum()))
    return back / (front + back) if front + back > 0 else 0.0


READINGS = {"mass": background_mass, "regions": two_regions}


def measure(case: Case, relevance: Tensor) -> dict[str, float]:
    """Nothing is right or wrong about a single image."""
    return {}


def summary(cases: Sequence[Case], relevance: Sequence[Tensor]) -> Figures:
    """Mean absolute error over the five models between a map's share and the intervention's, by two readings."""
    found: Figures = {}
    for name, reading in READINGS.items():
        errors = []
        for tie in TIES:
            pairs = [(c, r) for c, r in zip(cases, relevance, strict=True) if c.facts["tie"] == tie]
            value = mean_and_error([reading(c, r) for c, r in pairs])
            errors.append(abs(value[0] - pairs[0][0].facts["share"]))
            if name == "mass" and tie in {0.0, 0.8, 1.0}:
                found[f"mass, tie {tie:g}"] = value
        found[f"MAE {name}"] = mean_and_error(errors)
    return found


TRUTH = "what swapping backgrounds moves, against swapping digits"
SAMPLED = (
    "ShapleyValueSampling 25",
    "KernelShap 200",
    "Lime 200",
    "KernelExplainer 200",
    "PermutationExplainer 200",
    "PartitionExplainer 200",
)
MANY = dict.fromkeys(SAMPLED, "256 players need more samples; see T7s")
TASK = Task("T7", "digit on a background, five CNNs, by pixel", TRUTH, cases, measure, summary, MANY, "MAE mass")
SEGMENTS = Task(
    "T7s",
    "the same by segment (ink and background of each 4 x 4 cell)",
    TRUTH,
    lambda seed, quick: cases(seed, quick, True),
    measure,
    summary,
    headline="MAE mass",
)
