"""The declarative encoder of images: pixels or a PNG file to (1, C, H, W), and the cells a reason can name."""

from __future__ import annotations

import warnings
import zipfile
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field

from xagent.case import LARGEST
from xagent.errors import InvalidCase
from xagent.subject._spec import Spec
from xagent.subject._units import Player

MAX_PNG_BYTES = 64 * 1024**2
MAX_NPZ_BYTES = 2 * 1024**3
_MODES = {1: ("L", "1"), 3: ("RGB", "P"), 4: ("RGBA",)}
_PNG_MODE = {1: "L", 3: "RGB", 4: "RGBA"}


class ImageEncoder(Spec):
    """x = (pixel / scale - mean) / std, channels first.

    height, width: pixels. channels: 1 grey, 3 RGB, 4 RGBA (any number when pixels are given as numbers).
    cell: side of the square of pixels that is one player; squares at the right and lower edge may be smaller.
    """

    schema_: Literal["xagent.encoder/1"] = Field(alias="schema")
    kind: Literal["image"]
    height: int = Field(ge=1, le=4096)
    width: int = Field(ge=1, le=4096)
    channels: int = Field(default=1, ge=1, le=64)
    scale: float = Field(default=255.0, gt=0)
    mean: float = 0.0
    std: float = Field(default=1.0, gt=0)
    cell: int = Field(default=1, ge=1, le=4096)

    @property
    def shape(self) -> tuple[int, int, int]:
        return self.channels, self.height, self.width

    def players(self) -> tuple[Player, ...]:
        result = []
        for row, top in enumerate(range(0, self.height, self.cell), 1):
            for column, left in enumerate(range(0, self.width, self.cell), 1):
                index = tuple(
                    y * self.width + x
                    for y in range(top, min(top + self.cell, self.height))
                    for x in range(left, min(left + self.cell, self.width))
                )
                result.append(Player(f"cell.{row}.{column}", f"row {row}, column {column}", index))
        return tuple(result)

    def encode_pixels(self, pixels: Any, field: str = "input.pixels") -> NDArray[np.float64]:
        """(1, C, H, W) of rows of grey values (H, W) or (H, W, C). Raises InvalidCase."""
        try:
            array = np.asarray(pixels, dtype=np.float64)
        except (ValueError, TypeError, OverflowError) as error:
            raise InvalidCase(f"{field}: the rows are not of equal length.", self._wanted()) from error
        return self._encode(array[None], field)

    def encode_png(self, path: Path, field: str = "input.path") -> NDArray[np.float64]:
        """(1, C, H, W) of a PNG file; its size is compared before any pixel is unpacked. Raises InvalidCase."""
        from PIL import Image

        if path.stat().st_size > MAX_PNG_BYTES:
            raise InvalidCase(f"{field}: {path.name} is larger than {MAX_PNG_BYTES // 2**20} MiB.", self._wanted())
        try:
            with warnings.catch_warnings():
                # Pillow only warns about images of more than 89 megapixels; here that is an error like any other.
                warnings.simplefilter("error")
                with Image.open(path, formats=["PNG"]) as image:
                    if image.size != (self.width, self.height):
                        raise InvalidCase(
                            f"{field}: {path.name} is {image.height} x {image.width} pixels.", self._wanted()
                        )
                    if image.mode not in _MODES.get(self.channels, ()):
                        raise InvalidCase(f"{field}: {path.name} has colour mode {image.mode}.", self._wanted())
                    array = np.asarray(image.convert(_PNG_MODE[self.channels]), dtype=np.float64)
        except (OSError, ValueError, SyntaxError, Warning, Image.DecompressionBombError) as error:
            raise InvalidCase(f"{field}: {path.name} cannot be read as a PNG image.", self._wanted()) from error
        return self._encode(array[None], field)

    def encode_npz(self, path: Path, field: str = "reference") -> NDArray[np.float64]:
        """(n, C, H, W) of the array `pixels` (n, H, W) or (n, H, W, C) in an npz file. Raises InvalidCase."""
        mend = "Give an .npz with an array `pixels` of shape (n, height, width) or (n, height, width, channels)."
        try:
            with zipfile.ZipFile(path) as archive:
                if sum(entry.file_size for entry in archive.infolist()) > MAX_NPZ_BYTES:
                    raise InvalidCase(f"{field}: {path.name} unpacks to more than 2 GiB.", "Sample it down.")
            with np.load(path, allow_pickle=False) as data:
                array = data["pixels"]
                if array.dtype.kind not in "biuf":
                    raise ValueError("not numbers")
                array = array.astype(np.float64)
        except (zipfile.BadZipFile, OSError, ValueError, KeyError, TypeError, EOFError) as error:
            raise InvalidCase(f"{field}: {path.name} holds no readable array `pixels`.", mend) from error
        if array.ndim < 3 or len(array) == 0:
            raise InvalidCase(f"{field}: `pixels` in {path.name} has shape {array.shape}.", mend)
        return self._encode(array, field)

    def _encode(self, array: NDArray[np.float64], field: str) -> NDArray[np.float64]:
        if array.ndim == 3 and self.channels == 1:
            array = array[..., None]
        if array.shape[1:] != (self.height, self.width, self.channels):
            shape = " x ".join(str(size) for size in array.shape[1:])
            raise InvalidCase(f"{field}: the image is {shape}.", self._wanted())
        if not np.isfinite(array).all():
            raise InvalidCase(f"{field}: a pixel is not a finite number.", "Give numbers only.")
        with np.errstate(over="ignore", invalid="ignore"):
            encoded: NDArray[np.float64] = ((array / self.scale - self.mean) / self.std).transpose(0, 3, 1, 2)
        if not (np.abs(encoded) <= LARGEST).all():
            raise InvalidCase(
                f"{field}: a pixel is too large for the encoder's scale, mean and std.",
                "Give the real ones.",
            )
        return encoded

    def _wanted(self) -> str:
        return f"The model takes {self.height} x {self.width} pixels with {self.channels} channel(s)."
