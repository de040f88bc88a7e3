"""Where the explained score went: the account of one trace."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, fields

import torch
from torch import Tensor

REAL = (torch.float32, torch.float64)
ENTRIES = ("inputs", "baseline", "biases", "positions", "constants", "softmax", "unhandled")


@dataclass(frozen=True)
class Ledger:
    """The explained score of every sample, item by item; each field has shape (batch,), float64, on the CPU.

    inputs + baseline + biases + positions + constants + softmax + unhandled = total, which is the score up to `gap`.

    inputs: relevance of the traced inputs, (x - baseline) * gradient summed.
    baseline: baseline * gradient summed; the part that the baseline explains.
    biases: of linear, convolution and normalisation layers, and of other one-dimensional parameters that are added.
    positions: what an embedding table adds (positions, token types).
    constants: every other addend that does not depend on the traced inputs.
    softmax: what a softmax adds as a constant, or keeps under rules that pass relevance through it.
    unhandled: what operations without a rule gained or lost; their names are in the audit.
    gap: |score - total| / max(|score|, a thousandth of all entries' absolute sum).
    """

    inputs: Tensor
    baseline: Tensor
    biases: Tensor
    positions: Tensor
    constants: Tensor
    softmax: Tensor
    unhandled: Tensor
    total: Tensor
    score: Tensor
    gap: Tensor

    def sample(self, index: int = 0) -> dict[str, float]:
        """The account of one sample as plain floats."""
        return {field.name: float(getattr(self, field.name)[index]) for field in fields(self)}


def balance(entries: dict[str, Tensor], score: Tensor) -> Ledger:
    """Close the account: entries (batch,) by name, score (batch,)."""
    items = torch.stack([entries[name] for name in ENTRIES])
    total, volume = items.sum(0), items.abs().sum(0)
    scale = torch.maximum(score.abs(), 1e-3 * volume).clamp(min=torch.finfo(torch.float64).tiny)
    return Ledger(**entries, total=total, score=score, gap=(score - total).abs() / scale)


def adds_up(ledger: Ledger, dtype: torch.dtype, at_most: float = 1e-3) -> bool:
    """Whether the account closes, up to rounding in `dtype`, for every sample."""
    volume = torch.stack([getattr(ledger, name) for name in (*ENTRIES, "score")]).abs_().sum(0)
    allowed = max(at_most, 8 * torch.finfo(dtype).eps)
    return bool(((ledger.score - ledger.total).abs() <= allowed * volume).all())


class Books:
    """Collects bookings while the gradient flows: one hook per addend, summed per sample at once."""

    def __init__(self, batch: int = 1) -> None:
        self.batch = batch
        self.entries: dict[str, list[Tensor]] = {}
        self.full = 0  # gradients without zeros that were met, see `through`
        self.uneven = False  # a booking could not be split by sample: the tensor's first dimension is not the batch
        self.folded = False  # a booking was split as if samples were outermost in the first dimension

    def add(self, entry: str, gradient: Tensor, value: Tensor | float) -> Tensor:
        """Book <gradient, value>; value broadcasts against gradient. Masked infinities without gradient count zero.

        Returns what was booked, (batch,).
        """
        booked = self.amount(gradient, value)
        self.entries.setdefault(entry, []).append(booked)
        return booked

    def amount(self, gradient: Tensor, value: Tensor | float) -> Tensor:
        """<gradient, value> of every sample, (batch,)."""
        booked = self._along_last(gradient, value) if isinstance(value, Tensor) and value.dim() == 1 else None
        if booked is not None:
            return booked
        if gradient.is_complex():  # torch's gradient of a complex number is that of its two parts
            value = value if isinstance(value, Tensor) else torch.tensor(value, device=gradient.device)
            gradient = torch.view_as_real(gradient.resolve_conj())
            return self.amount(gradient, torch.view_as_real(value.to(gradient.dtype.to_complex()).resolve_conj()))
        wide = gradient.float() if gradient.dtype.itemsize < 4 else gradient
        if isinstance(value, Tensor) and value.dim() == 1 and wide.dim() > 1 and self.splits(wide):
            if wide.dim() > 2:  # the gradient's sum over positions is small, the product is not
                gradient = wide = wide.flatten(1, -2).sum(1)
        elif isinstance(value, Tensor) and 2 < wide.dim() == value.dim() + 1 and value.numel() == wide.shape[1]:
            gradient = wide = wide.flatten(2).sum(2)  # the same along channels
            value = value.flatten()
        return self.per_sample(torch.where(gradient == 0, 0, wide * value))

    def _along_last(self, gradient: Tensor, value: Tensor) -> Tensor | None:
        """`amount` of a vector along the last dimension, a bias, in one pass; None where that will not do."""
        width = value.shape[0]
        if gradient.dtype not in REAL or value.dtype != gradient.dtype or gradient.device.type != "cpu":
            return None
        if gradient.dim() < 2 or gradient.shape[-1] != width or not self.splits(gradient):
            return None
        rows = torch.mv(gradient.reshape(-1, width), value.detach())
        self.folded |= not self.fits(gradient)
        booked = rows.reshape(self.batch, -1).sum(1, dtype=torch.float64)
        return booked if math.isfinite(float(booked if self.batch == 1 else booked.sum())) else None

    def inner(self, gradient: Tensor, value: Tensor) -> Tensor:
        """As `amount` for two tensors of one shape; in one pass, without copies, where that is exact enough."""
        real = not gradient.is_complex() and gradient.dtype.itemsize >= 4
        if real and gradient.device.type == "cpu" and self.fits(gradient):
            if self.batch == 1:
                dots = torch.dot(gradient.reshape(-1), value.reshape(-1)).double().reshape(1)
            else:
                dots = torch.linalg.vecdot(gradient.reshape(self.batch, -1), value.reshape(self.batch, -1)).double()
            if math.isfinite(float(dots.sum() if self.batch > 1 else dots)):
                return dots
        return self.amount(gradient, value)

    def fits(self, amounts: Tensor) -> bool:
        """Whether the first dimension is the batch."""
        return self.batch == 1 or (amounts.dim() > 0 and amounts.shape[0] == self.batch)

    def splits(self, amounts: Tensor) -> bool:
        """Whether the first dimension is the batch, or may be one that holds it: positions or windows of samples."""
        return self.fits(amounts) or (amounts.dim() > 0 and amounts.shape[0] % self.batch == 0)

    def post(self, entry: str, amounts: Tensor) -> None:
        """Book amounts (batch, ...), summed per sample."""
        self.entries.setdefault(entry, []).append(self.per_sample(amounts))

    def per_sample(self, amounts: Tensor) -> Tensor:
        """(batch, ...) -> (batch,), summed in float64 where the device has it."""
        wide = torch.float32 if amounts.device.type == "mps" else torch.float64
        if not self.splits(amounts):
            self.uneven = True
            return (amounts.detach().sum(dtype=wide) / self.batch).expand(self.batch)
        self.folded |= not self.fits(amounts)
        return amounts.detach().reshape(self.batch, -1).sum(1, dtype=wide)

    def total(self, entry: str) -> Tensor:
        """One entry (batch,), float64 on the CPU; zero where nothing was booked."""
        parts = self.entries.get(entry)
        if not parts:
            return torch.zeros(self.batch, dtype=torch.float64)
        device = parts[0].device  # one transfer for all, and one for every other device
        if len(parts) == 1:
            return parts[0].cpu().double()
        return torch.stack([part.to(device) for part in parts]).sum(0).cpu().double()

    def closed(self) -> dict[str, Tensor]:
        """All entries of the ledger."""
        return {name: self.total(name) for name in ENTRIES}

    def totals(self, kind: str, names: Sequence[str]) -> dict[str, Tensor]:
        """The entries "kind:name" by name, each as `total`; all of them in one go."""
        parts = [(i, part) for i, name in enumerate(names) for part in self.entries.get(f"{kind}:{name}", ())]
        sums = torch.zeros(len(names), self.batch, dtype=torch.float64)
        if parts:
            device = parts[0][1].device
            amounts = torch.stack([x if x.device == device else x.to(device) for _, x in parts]).cpu().double()
            sums.index_add_(0, torch.tensor([i for i, _ in parts]), amounts)
        return dict(zip(names, sums, strict=True))
