"""Trained weights and enumerated truths on disk, as safetensors."""

from __future__ import annotations

import hashlib
import inspect
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

_folder = Path(tempfile.gettempdir()) / "xagent-ground-truth"


def use_folder(folder: Path) -> None:
    """Where everything is kept from now on; the folder is made when it is needed."""
    global _folder  # noqa: PLW0603 - one folder for the process, set by the command line
    _folder = folder


def cached(name: str, seed: int, make: Callable[[], dict[str, Tensor]], *sources: ModuleType) -> dict[str, Tensor]:
    """What `make` returns, read from disk if it was made before by the same code (text of `sources`) and torch."""
    text = "".join(inspect.getsource(source) for source in sources) + torch.__version__
    digest = hashlib.sha256(text.encode()).hexdigest()[:12]
    path = _folder / f"{name}-{seed}-{digest}.safetensors"
    if not path.exists():
        found = {key: value.detach().contiguous().clone() for key, value in make().items()}
        _folder.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_suffix(f".{os.getpid()}")
        save_file(found, unfinished)
        unfinished.replace(path)
    stored: dict[str, Tensor] = load_file(path)
    return stored


def trained(
    name: str, seed: int, build: Callable[[], nn.Module], fit: Callable[[nn.Module, int], None], *sources: ModuleType
) -> nn.Module:
    """The module that `build` makes, with weights fitted by `fit(module, seed)` or read from disk."""
    torch.manual_seed(seed)
    module = build()

    def make() -> dict[str, Tensor]:
        module.train()
        fit(module, seed)
        return module.state_dict()

    module.load_state_dict(cached(name, seed, make, *sources))
    return module.eval().requires_grad_(False)
