"""A batch that does not fit into memory is traced in halves, and in halves of these, down to single samples."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import TypeVar

import torch
from torch import Tensor

from ._errors import RelevanceError
from ._inputs import Given
from ._ledger import Ledger
from ._trace import Trace

Result = TypeVar("Result")

_SAYS = ("out of memory", "not enough memory", "can't allocate memory", "cannot allocate memory")


class OutOfMemory(RelevanceError):
    """Not even one sample fits into memory."""


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception says that memory ran out: torch's own class, or what allocators write."""
    if isinstance(error, (torch.OutOfMemoryError, MemoryError)):
        return True
    return isinstance(error, RuntimeError) and any(words in str(error).lower() for words in _SAYS)


def in_chunks(run: Callable[[slice | None], Result], rows: int) -> list[Result]:
    """[run(None)], or where that runs out of memory [run(slice), ...] over halves of the rows, halves of these ...

    Raises OutOfMemory if a single row does not fit.
    """
    results: list[Result] = []
    rows = max(rows, 1)
    start, size = 0, rows
    while start < rows:
        says = ""
        try:
            results.append(run(slice(start, min(start + size, rows)) if size < rows else None))
        except Exception as error:
            if not is_out_of_memory(error):
                raise
            says = str(error).partition("\n")[0] or type(error).__name__
        if not says:
            start += size
            continue
        _release()  # outside of the handler, whose traceback holds on to the tensors of the failed attempt
        if size == 1:
            raise OutOfMemory(
                f"One sample does not fit into memory ({says}).",
                'Shorten the input, choose rules="fastest", or load the model in 16 bits with precision="model".',
            )
        size = (size + 1) // 2
    return results


def _release() -> None:
    if torch.cuda.is_available() and torch.cuda.is_initialized():  # type: ignore[no-untyped-call]
        torch.cuda.empty_cache()


def batch_of(inputs: Given, of: Sequence[str]) -> int:
    """The number of samples: the first dimension of what is explained, or of the first tensor of all."""
    tensors = inputs.tensors()
    known = [tensors[name] for name in of if name in tensors] or list(tensors.values())
    return known[0].shape[0] if known and known[0].dim() else 1


def rows_of(x: Tensor, part: slice, rows: int) -> Tensor:
    """These rows of a tensor whose first dimension is the batch; any other tensor as it is."""
    return x[part] if x.dim() and x.shape[0] == rows > 1 else x


def joined_traces(traces: Sequence[Trace]) -> Trace:
    """The traces of the parts of a batch as that of the batch; an operation is counted as in one forward."""
    if len(traces) == 1:
        return traces[0]
    first = traces[0]
    rows = [len(trace.score) for trace in traces]
    audit = {name: max(t.audit.get(name, 0) for t in traces) for name in sorted({n for t in traces for n in t.audit})}

    def together(kind: str) -> dict[str, Tensor]:
        names = [name for name in getattr(first, kind) if all(name in getattr(t, kind) for t in traces)]
        return {name: torch.cat([getattr(t, kind)[name] for t in traces]) for name in names}

    def remove(name: str, index: Tensor) -> Tensor:
        parts = zip(traces, torch.split(index, rows), strict=True)
        return torch.cat([t.remove(name, i) for t, i in parts if t.remove is not None])

    rounding = [t.rounding for t in traces if t.rounding is not None]
    return Trace(
        together("relevance"),
        torch.cat([t.score for t in traces]),
        Ledger(**{f.name: torch.cat([getattr(t.ledger, f.name) for t in traces]) for f in fields(Ledger)}),
        together("layers"),
        audit,
        "audited" if audit else "exact",
        together("heads"),
        together("neurons"),
        remove,
        first.precision,
        torch.cat(rounding) if len(rounding) == len(traces) else None,
        together("experts"),
    )
