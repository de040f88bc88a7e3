"""Loads a `torch.export` program: any architecture, no Python class, nothing run from the file."""

from __future__ import annotations

import io
import logging
import warnings
from pathlib import Path

import torch
from torch import Tensor, nn

from xagent.errors import InvalidCase
from xagent.subject._arguments import Unsupported
from xagent.subject._executor import Executor
from xagent.subject._guard import CheckedArchive, check_archive
from xagent.subject._subject import tensor_of
from xagent.subject._weights import stored_tensors


class ExportedModel(nn.Module):
    """An exported program that takes its one tensor as `input` (batch, ...), whatever its author called it.

    A program exported for batches of one row is run row by row. It cannot be trained: `train` and `eval` do nothing,
    because dropout and the like were decided when it was exported.
    """

    def __init__(self, network: nn.Module, argument: str | None, sizes: tuple[int | None, ...]) -> None:
        super().__init__()
        self.network = network
        self._argument = argument
        self._one_by_one = bool(sizes) and sizes[0] == 1
        self.training = False

    def forward(self, input: Tensor) -> Tensor:
        if self._one_by_one and len(input) > 1:
            return torch.cat([self._run(row) for row in input[:, None]])
        return self._run(input)

    def train(self, mode: bool = True) -> ExportedModel:
        return self

    def _run(self, input: Tensor) -> Tensor:
        answer = self.network(input) if self._argument is None else self.network(**{self._argument: input})
        return tensor_of(answer)


def load_exported(
    path: Path, device: torch.device, shape: tuple[int, ...], field: str = "model.path"
) -> tuple[ExportedModel, torch.dtype, str]:
    """The model, its floating dtype and the file's sha256. shape: of one encoded input, without batch.

    Raises InvalidCase when the file is not safe, not loadable, or takes another shape.
    """
    checked = check_archive(path, field)
    return _checked_load(checked, path, device, shape, field)


def _checked_load(
    checked: CheckedArchive, path: Path, device: torch.device, shape: tuple[int, ...], field: str
) -> tuple[ExportedModel, torch.dtype, str]:
    sizes = checked.program.sizes
    if len(sizes) != len(shape) + 1 or any(a not in (None, b) for a, b in zip(sizes[1:], shape, strict=True)):
        wanted = " x ".join("any" if size is None else str(size) for size in sizes[1:])
        given = " x ".join(str(size) for size in shape)
        raise InvalidCase(
            f"{field}: the model takes {wanted} numbers, the encoder makes {given}.",
            "Use the encoder that the model was trained with.",
        )
    if sizes[0] not in (None, 1):
        raise InvalidCase(
            f"{field}: the model takes batches of exactly {sizes[0]}.", "Export it with a dynamic first dimension."
        )
    try:
        network: nn.Module = Executor(checked.program, stored_tensors(checked, device), device)
        argument = None
    except Unsupported:
        network, argument = _loaded_by_torch(checked, path, device, field), checked.program.argument
    for parameter in network.parameters():
        parameter.requires_grad_(False)
    dtype = next((p.dtype for p in network.parameters() if p.is_floating_point()), torch.float32)
    return ExportedModel(network, argument, checked.program.sizes), dtype, checked.sha256


def _loaded_by_torch(checked: CheckedArchive, path: Path, device: torch.device, field: str) -> nn.Module:
    """The rare program that needs torch's own loader, from the rewritten archive."""
    logger = logging.getLogger("torch.export")
    before = logger.disabled
    try:
        with warnings.catch_warnings():
            # torch's deserialiser calls its own deprecated helpers; nobody outside torch can mend that.
            warnings.simplefilter("ignore", DeprecationWarning)
            warnings.simplefilter("ignore", FutureWarning)
            logger.disabled = True  # it prints a traceback for what becomes one clear sentence below
            exported = torch.export.load(io.BytesIO(checked.archive))
            if device.type != "cpu":
                from torch.export.passes import move_to_device_pass

                exported = move_to_device_pass(exported, device)
            return exported.module(check_guards=False)
    except Exception as error:  # torch raises whatever its deserialiser trips over
        raise InvalidCase(
            f"{field}: torch {torch.__version__} cannot load {path.name} ({type(error).__name__}).",
            "Save it again with torch.export.save of the installed version.",
        ) from error
    finally:
        logger.disabled = before
