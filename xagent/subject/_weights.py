"""Stored tensors of a checked archive: raw numbers and their shapes put together, as torch.export.load would."""

from __future__ import annotations

import torch
from torch import Tensor

from xagent.subject._arguments import SCALAR_TYPES, STRIDED, Unsupported
from xagent.subject._guard import CONSTANTS, WEIGHTS, CheckedArchive


def stored_tensors(checked: CheckedArchive, device: torch.device) -> dict[tuple[str, str], Tensor]:
    """Tensors on `device` by kind ("parameter", "buffer", "constant") and dotted name. Raises Unsupported.

    Those that share memory in the file share it here, and strides are kept, because kernels are chosen by them.
    """
    found: dict[tuple[str, str], Tensor] = {}
    for table in (WEIGHTS, CONSTANTS):
        folder = table.rpartition("/")[0] + "/"
        flat: dict[str, Tensor] = {}
        for name, meta in checked.tables[table]["config"].items():
            tensor, member = meta["tensor_meta"], meta["path_name"]
            if tensor["device"]["type"] != "cpu" or tensor["layout"] != STRIDED:
                raise Unsupported(f"the place or layout of {name}")
            if tensor["requires_grad"] and not meta["is_param"]:
                raise Unsupported(f"a gradient of {name}")
            sizes, strides = ([part["as_int"] for part in tensor[key]] for key in ("sizes", "strides"))
            if member not in flat:
                flat[member] = _flat(checked.payloads[folder + member], SCALAR_TYPES[tensor["dtype"]], sizes)
            kind = "constant" if table == CONSTANTS else "parameter" if meta["is_param"] else "buffer"
            view = flat[member].as_strided(sizes, strides, tensor["storage_offset"]["as_int"])
            found[kind, name] = view.to(device)
    return found


def _flat(content: bytes, dtype: torch.dtype, sizes: list[int]) -> Tensor:
    """All numbers of one payload (n,), in memory of its own that is aligned as torch aligns it."""
    if not content:
        return torch.zeros(sizes, dtype=dtype)
    if len(content) % dtype.itemsize:
        raise Unsupported("a payload that ends within a number")
    return torch.frombuffer(bytearray(content), dtype=dtype).clone()
