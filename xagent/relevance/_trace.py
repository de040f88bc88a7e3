"""What a trace returns."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

import torch
from torch import Tensor

from ._errors import RelevanceError
from ._ledger import Ledger


@dataclass(frozen=True)
class Removal:
    """What really happens to the score when one unit is replaced by the baseline (or zeros), for every sample.

    index: (batch, k), the positions of the units with the largest absolute relevance, largest first; a unit is a token
        of (batch, tokens, features), a column of (batch, columns), a pixel (row * width + column) of an image.
    relevance: (batch, k), the relevance of these units.
    effect: (batch, k), the score as it is, minus the score without the unit.
    """

    index: Tensor
    relevance: Tensor
    effect: Tensor


Remove = Callable[[str, Tensor], Tensor]


@dataclass(frozen=True)
class Trace:
    """The relevance of the inputs of one forward, and its account.

    relevance: by input name, signed, shape of the input: (x - baseline) * gradient; float32, float64 of float64.
    score: (batch,), the explained score in the dtype in which it was traced.
    ledger: where the score went, see `Ledger`.
    layers: by module name, (batch,) float64: relevance in the module's output, summed over its calls.
    audit: operations without a rule that relevance went through, with their number of calls. "unseen" stands for an
        operation that is no torch function (an `autograd.Function`, a kernel): then the ledger does not add up.
    status: "exact" if every operation had a rule, else "audited".
    heads: by the module that attends, (batch, heads, positions): relevance in each head's output.
    neurons: by the module that reads them, (batch, ..., neurons): relevance in the hidden units of an MLP.
    experts: by the module of a mixture that gets the routing, (batch, positions, experts): relevance of each expert's
        weighted output; zero where an expert was not chosen. Its sum is the relevance of that module's output.
    precision: the dtype in which was traced, such as "bfloat16"; "float32" if that of the model was not enough.
    rounding: (batch,) float64, the score explained minus the model's own score in 16 bits, which may be infinite; None
        where both are the same.
    """

    relevance: dict[str, Tensor]
    score: Tensor
    ledger: Ledger
    layers: dict[str, Tensor]
    audit: dict[str, int]
    status: Literal["exact", "audited"]
    heads: dict[str, Tensor] = field(default_factory=dict)
    neurons: dict[str, Tensor] = field(default_factory=dict)
    remove: Remove | None = field(default=None, repr=False, compare=False)
    precision: str = ""
    rounding: Tensor | None = None
    experts: dict[str, Tensor] = field(default_factory=dict)

    @property
    def tokens(self) -> dict[str, Tensor]:
        """Relevance by unit: summed over the features of a token, over the channels of a pixel."""
        return {name: units(relevance) for name, relevance in self.relevance.items()}

    def verify(self, k: int, of: str | None = None) -> Removal:
        """Really remove the k units of the largest absolute relevance, one at a time, in one batch of k * batch rows.

        of: the input whose units are meant, by default the first. Costs one forward of that batch, no gradient.
        """
        name = of or next(iter(self.relevance))
        if name not in self.relevance:
            raise RelevanceError(f'There is no relevance of "{name}".', f"Known: {', '.join(self.relevance)}.")
        if k < 1 or self.remove is None:
            raise RelevanceError("k must be at least 1." if k < 1 else "This trace cannot be repeated.")
        by_unit = units(self.relevance[name]).flatten(1)
        index = by_unit.abs().topk(min(k, by_unit.shape[1]), dim=1).indices
        return Removal(index, by_unit.gather(1, index), self.remove(name, index))


def units(relevance: Tensor) -> Tensor:
    """(batch, tokens, features) -> (batch, tokens); (batch, channels, ...) -> (batch, ...); (batch, n) as it is."""
    if relevance.dim() < 3:
        return relevance
    return relevance.sum(-1 if relevance.dim() == 3 else 1)


def without(x: Tensor, reference: Tensor | None, index: Tensor) -> Tensor:
    """(batch, ...) and (batch, k) unit positions -> (batch * k, ...), in every row one unit as in the reference."""
    batch, k = index.shape
    copies = x.repeat_interleave(k, 0)
    empty = torch.zeros_like(x) if reference is None else reference.to(x).expand_as(x)
    empty = empty.repeat_interleave(k, 0)
    shape = units(x).shape[1:]
    chosen = torch.zeros(batch * k, shape.numel(), dtype=torch.bool, device=x.device)
    chosen.scatter_(1, index.reshape(-1, 1).to(x.device), True)
    chosen = chosen.view(batch * k, *shape)
    chosen = chosen.unsqueeze(-1) if x.dim() == 3 else chosen.unsqueeze(1) if x.dim() > 3 else chosen
    return torch.where(chosen, empty, copies)


def joined(accounts: list[dict[str, Tensor]]) -> dict[str, Tensor]:
    """Accounts of single samples, by entry, as the account of their batch."""
    return {name: torch.cat([account[name] for account in accounts]) for name in accounts[0]}
