"""Subjects of rows and images: an encoder in front of a network that takes one tensor."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from xagent.case import ImageInput, TabularInput
from xagent.errors import InvalidCase
from xagent.subject._encoder import TabularEncoder
from xagent.subject._image import ImageEncoder
from xagent.subject._subject import Input, Resolve, Subject
from xagent.subject._units import Encoded, Player

if TYPE_CHECKING:
    import pandas as pd


class TabularSubject(Subject):
    """Rows. The traced tensor is `input` (1, d); a player is a feature with all its columns."""

    kind = "tabular"

    def __init__(
        self, *args: Any, encoder: TabularEncoder, players: tuple[Player, ...] | None = None, **kwargs: Any
    ) -> None:
        super().__init__(*args, **kwargs)
        self.encoder = encoder
        self._players = players or encoder.players()

    def encode(self, input: Input) -> Encoded:
        if not isinstance(input, TabularInput):
            raise InvalidCase(f"input.kind: the model takes rows, not {input.kind}.", "Set it to 'tabular'.")
        row, missing = self.encoder.encode(input.values)
        return Encoded("tabular", {"input": self._tensor(row)}, "input", self._players, tuple(missing))

    def encode_table(self, frame: pd.DataFrame, field: str = "reference") -> Tensor:
        return self._tensor(self.encoder.encode_table(frame, field))

    def background(self, reference: Tensor | None = None, encoded: Encoded | None = None) -> Tensor:
        if reference is None:
            return torch.zeros(1, self.encoder.width, dtype=self.dtype, device=self.device)
        return reference.double().mean(dim=0, keepdim=True).to(device=self.device, dtype=self.dtype)

    def decode(self, tensor: Tensor) -> dict[str, float | bool | int | str | None]:
        """Raw values of one encoded row (d,) or (1, d)."""
        return self.encoder.decode(tensor.detach().double().cpu().reshape(-1).numpy())

    def _tensor(self, array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(array).to(device=self.device, dtype=self.dtype)


class ImageSubject(Subject):
    """Images. The traced tensor is `input` (1, C, H, W); a player is a square cell of pixels, all channels."""

    kind = "image"

    def __init__(self, *args: Any, encoder: ImageEncoder, resolve: Resolve | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.encoder = encoder
        self._players = encoder.players()
        self._resolve = resolve or (lambda path, field: Path(path))

    def encode(self, input: Input) -> Encoded:
        if not isinstance(input, ImageInput):
            raise InvalidCase(f"input.kind: the model takes images, not {input.kind}.", "Set it to 'image'.")
        if input.path is not None:
            array = self.encoder.encode_png(self._resolve(input.path, "input.path"))
        else:
            array = self.encoder.encode_pixels(input.pixels)
        return Encoded("image", {"input": self._tensor(array)}, "input", self._players)

    def encode_images(self, path: Path, field: str = "reference") -> Tensor:
        return self._tensor(self.encoder.encode_npz(path, field))

    def background(self, reference: Tensor | None = None, encoded: Encoded | None = None) -> Tensor:
        if reference is None:
            return torch.zeros(1, *self.encoder.shape, dtype=self.dtype, device=self.device)
        return reference.double().mean(dim=0, keepdim=True).to(device=self.device, dtype=self.dtype)

    def _units(self, encoded: Encoded) -> int:
        return self.encoder.height * self.encoder.width

    def _mask(self, removed: Tensor, traced: Tensor) -> Tensor:
        return removed.reshape(len(removed), 1, self.encoder.height, self.encoder.width)

    def _tensor(self, array: NDArray[np.float64]) -> Tensor:
        return torch.from_numpy(np.ascontiguousarray(array)).to(device=self.device, dtype=self.dtype)
