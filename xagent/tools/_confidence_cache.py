"""What was computed of a reference population, kept for the next case of the same model.

In memory for the life of the process, and in a folder when one is set: an npz of plain arrays under a name made of the
hashes of everything that it depends on. An entry that cannot be read is made anew.
"""

from __future__ import annotations

import json
import os
import tempfile
import threading
import zipfile
from collections import OrderedDict
from collections.abc import Callable, Mapping
from hashlib import sha256
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from xagent.errors import ConfigurationFault

Arrays = dict[str, NDArray[Any]]

MOST_ENTRIES = 32
MOST_BYTES = 64 * 1024**2
"""Of one entry; a larger one is computed every time."""

_held: OrderedDict[str, Arrays] = OrderedDict()
_lock = threading.Lock()


def remembered(
    key: Mapping[str, Any] | None, folder: Path | None, make: Callable[[], Arrays], tool: str = "confidence"
) -> Arrays:
    """The arrays that belong to a key, made when nobody has them. key: JSON-ready; None is never kept. tool: whose
    they are, for the name of the file.

    Raises ConfigurationFault when the folder cannot be written.
    """
    if key is None:
        return make()
    name = sha256(json.dumps(key, sort_keys=True).encode()).hexdigest()
    with _lock:
        if name in _held:
            _held.move_to_end(name)
            return _held[name]
    path = folder / f"{tool}-{name}.npz" if folder is not None else None
    found = _read(path) if path is not None else None
    if found is None:
        found = make()
        if sum(a.nbytes for a in found.values()) > MOST_BYTES:
            return found
        if path is not None:
            _write(path, found)
    with _lock:
        _held[name] = found
        while len(_held) > MOST_ENTRIES:
            _held.popitem(last=False)
    return found


def forget() -> None:
    """Empty the memory; the folder stays."""
    with _lock:
        _held.clear()


def _read(path: Path) -> Arrays | None:
    try:
        if path.stat().st_size > 2 * MOST_BYTES:
            return None
        with zipfile.ZipFile(path) as archive:
            if sum(entry.file_size for entry in archive.infolist()) > 2 * MOST_BYTES:
                return None
        with np.load(path, allow_pickle=False) as data:
            return {name: data[name] for name in data.files}
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None


def _write(path: Path, arrays: Arrays) -> None:
    """Under another name first, so that nobody reads half an entry."""
    temporary = None
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        handle, temporary = tempfile.mkstemp(dir=path.parent, suffix=".part")
        with os.fdopen(handle, "wb") as stream:
            np.savez(stream, **arrays)  # type: ignore[arg-type]
        Path(temporary).replace(path)
    except OSError as error:
        if temporary is not None:
            Path(temporary).unlink(missing_ok=True)
        raise ConfigurationFault(
            f"cache: the folder {path.parent} cannot be written ({error.strerror}).", "Name another one, or none."
        ) from error
