"""How the deployed decision reads the outputs of a model: margins and outcomes of many rows by the case's own rule."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from xagent.tools._base import Context
from xagent.tools._contrast import decision_threshold

Floats = NDArray[np.float64]


class Rule:
    """answer: place of the recorded label; 0 for a regression.
    target: of the class whose score is compared with the threshold, None for a regression."""

    def __init__(self, ctx: Context) -> None:
        prediction, self.classes = ctx.case.prediction, ctx.subject.classes
        self.threshold = decision_threshold(ctx)
        self.answer = ctx.subject.target_index(prediction.label)
        self.target = ctx.subject.target_index(prediction.target or prediction.label) if self.classes else None

    def margins(self, logits: Floats) -> Floats | None:
        """(n,) distance of the explained score from where the decision turns; None for a regression without one."""
        if self.target is None:
            return None if self.threshold is None else np.abs(logits[:, 0] - self.threshold)
        if len(self.classes) == 2:
            return np.abs(logits[:, self.target] - logits[:, 1 - self.target] - (self.threshold or 0.0))
        top = np.sort(logits, axis=1)
        return np.asarray(top[:, -1] - top[:, -2])

    def outcomes(self, logits: Floats) -> NDArray[np.int64] | None:
        """(n,) place of the class that the decision makes of each; of a regression which side of the threshold."""
        if self.target is None:
            return None if self.threshold is None else (logits[:, 0] >= self.threshold).astype(np.int64)
        if len(self.classes) == 2:
            towards = logits[:, self.target] - logits[:, 1 - self.target] >= (self.threshold or 0.0)
            return np.where(towards, self.target, 1 - self.target).astype(np.int64)
        return np.asarray(logits.argmax(axis=1), dtype=np.int64)

    def own(self, row: Floats) -> int:
        """The outcome of the case: as it was recorded, for a regression the side of the threshold."""
        if self.target is not None:
            return self.answer
        found = self.outcomes(row[None])
        return 0 if found is None else int(found[0])

    def true_outcomes(self, labels: NDArray[Any]) -> NDArray[np.int64] | None:
        """(n,) true values as outcomes of the decision; None for a regression without a threshold."""
        if self.target is not None:
            return labels.astype(np.int64)
        return None if self.threshold is None else (labels >= self.threshold).astype(np.int64)
