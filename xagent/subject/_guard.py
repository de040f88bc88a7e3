"""Reads a `.pt2` archive instead of torch, and hands on only what was understood.

`torch.export.load` is not meant for untrusted files: it unpickles sample inputs, weights and custom objects, evaluates
shape expressions as Python, imports modules named in layouts, and runs generated source built from names in the file.
So the archive is read here once, with Python's zip reader; every member, tensor, name, expression and operation is
checked. What can be run without torch's loader is; for the rest a fresh archive is written in memory from the checked
parts, without sample inputs. Because torch only ever sees that copy, it does not matter where its zip or JSON reader
would disagree with ours. The sample inputs are checked but left out: nothing here needs them.
"""

from __future__ import annotations

import hashlib
import io
import json
import pickle
import re
import zipfile
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import torch

from xagent.errors import InvalidCase
from xagent.subject._expression import Unsafe
from xagent.subject._program import Program, checked_payloads, checked_program

MAX_BYTES = 512 * 1024**2
MAX_JSON_BYTES = 64 * 1024**2
MAX_MEMBERS = 20_000
_PROGRAM = "models/model.json"
_SAMPLES = "data/sample_inputs/model.pt"
WEIGHTS = "data/weights/model_weights_config.json"
CONSTANTS = "data/constants/model_constants_config.json"
_MEMBER = re.compile(
    r"models/model\.json|data/sample_inputs/model\.pt"
    r"|data/weights/(weight_[0-9]{1,6}|model_weights_config\.json)"
    r"|data/constants/(tensor_[0-9]{1,6}|model_constants_config\.json)"
    r"|archive_format|archive_version|byteorder|\.format_version|\.storage_alignment"
    r"|\.data/(version|serialization_id)"
)
_ITEM_BYTES = {1: 1, 2: 1, 3: 2, 4: 4, 5: 8, 6: 2, 7: 4, 8: 8, 12: 1, 13: 2}
"""Bytes an element by the schema's ScalarType: integers, floats, booleans, bfloat16. Others are not read."""
_MEND = "Save it again with torch.export.save(torch.export.export(model.eval(), ...), 'model.pt2')."


@dataclass(frozen=True)
class CheckedArchive:
    """program: what the model computes. tables: shapes of its stored tensors, by the table's name. payloads: their raw
    numbers by the member's name. sha256: of the file."""

    program: Program
    tables: dict[str, dict[str, Any]]
    payloads: dict[str, bytes]
    sha256: str

    @cached_property
    def archive(self) -> bytes:
        """A new `.pt2` of the checked parts, safe for torch.export.load."""
        from torch.export.pt2_archive import PT2ArchiveWriter  # imports half of torch's compiler

        buffer = io.BytesIO()
        with PT2ArchiveWriter(buffer) as writer:  # type: ignore[no-untyped-call, unused-ignore]
            for name, content in self.payloads.items():
                writer.write_bytes(name, content)
            for table, entries in self.tables.items():
                writer.write_string(table, json.dumps(entries))
            writer.write_bytes(_PROGRAM, self.program.text)
            writer.write_bytes(_SAMPLES, b"")
        return buffer.getvalue()


def check_archive(path: Path, field: str = "model.path") -> CheckedArchive:
    """Read and check a `.pt2` file. Raises InvalidCase that names `field`, the file and what is wrong with it."""
    try:
        if path.stat().st_size > MAX_BYTES:
            raise Unsafe(f"is larger than {MAX_BYTES // 2**20} MiB")
        data = path.read_bytes()
    except OSError as error:
        raise InvalidCase(f"{field}: {path.name} cannot be read ({error.strerror}).", "Name a .pt2 file.") from error
    except Unsafe as error:
        raise InvalidCase(f"{field}: {path.name} {error}.", "Explain a smaller model.") from None
    try:
        members = _members(data)
        program = checked_program(members[_PROGRAM])
        _check_samples(members[_SAMPLES])
        tables, payloads = {}, {}
        for table in (WEIGHTS, CONSTANTS):
            folder = table.rpartition("/")[0] + "/"
            tables[table] = checked_payloads(members[table])
            for name in _check_extents(tables[table], members, folder):
                payloads[folder + name] = members[folder + name]
        return CheckedArchive(program, tables, payloads, hashlib.sha256(data).hexdigest())
    except Unsafe as error:
        raise InvalidCase(f"{field}: {path.name} is not a model that can be loaded safely: {error}.", _MEND) from error


def _members(data: bytes) -> dict[str, bytes]:
    """Contents by name below the archive's single top folder."""
    if not data.startswith(b"PK\x03\x04"):
        raise Unsafe(_what_else(data))
    members: dict[str, bytes] = {}
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            entries = archive.infolist()
            _check_sizes(entries, len(data))
            roots = {entry.filename.split("/", 1)[0] for entry in entries}
            if len(roots) != 1:
                raise Unsafe("it has no single top folder")
            for entry in entries:
                name = entry.filename.partition("/")[2]
                if not _MEMBER.fullmatch(name):
                    raise Unsafe(
                        f"it holds {entry.filename[:80]!r}, which torch.export.save does not write for a model"
                    )
                if name in members:
                    raise Unsafe(f"it holds {name!r} twice")
                if name.endswith(".json") and entry.file_size > MAX_JSON_BYTES:
                    raise Unsafe(f"{name} is larger than {MAX_JSON_BYTES // 2**20} MiB")
                members[name] = archive.read(entry)
    except Unsafe:
        raise
    except Exception as error:  # a damaged zip makes the reader stumble in many ways
        raise Unsafe(f"its zip structure is damaged ({type(error).__name__})") from error
    for name in (_PROGRAM, _SAMPLES, WEIGHTS, CONSTANTS):
        if name not in members:
            raise Unsafe(f"{name} is missing")
    if members.get("archive_format", b"").strip() != b"pt2":
        raise Unsafe("it does not say that it is a pt2 archive")
    if members.get("byteorder", b"little").strip() != b"little":
        raise Unsafe("its tensors are big-endian")
    return members


def _check_sizes(entries: list[zipfile.ZipInfo], packed: int) -> None:
    """torch stores members uncompressed, so what is unpacked can never be larger than the file: no zip bombs."""
    if len(entries) > MAX_MEMBERS:
        raise Unsafe(f"it has more than {MAX_MEMBERS} members")
    for entry in entries:
        if entry.flag_bits & 0x1:
            raise Unsafe(f"its member {entry.filename[:80]!r} is encrypted")
        if entry.compress_type != zipfile.ZIP_STORED or entry.compress_size != entry.file_size:
            raise Unsafe(f"its member {entry.filename[:80]!r} is compressed (a possible zip bomb)")
    if sum(entry.file_size for entry in entries) > packed:
        raise Unsafe("its members overlap (a possible zip bomb)")


def _what_else(data: bytes) -> str:
    """A file that is no zip, in words."""
    if data[:1] == b"\x80":
        return "it is a pickle, not a zip archive"
    if not data:
        return "it is empty"
    try:
        data[:4096].decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < min(len(data), 4096) - 4:
            return "it is not a zip archive"
    return "it is text, not a zip archive"


def _check_extents(payloads: dict[str, Any], members: dict[str, bytes], folder: str) -> list[str]:
    """Every tensor must lie inside its raw payload. Returns the payloads' names, each once."""
    names: dict[str, int] = {}
    for name, meta in payloads["config"].items():
        tensor, path_name = meta["tensor_meta"], meta["path_name"]
        if folder + path_name not in members:
            raise Unsafe(f"the file of tensor {name!r} is missing")
        item = _ITEM_BYTES.get(tensor["dtype"])
        if item is None:
            raise Unsafe(f"the tensor {name!r} has an unsupported type of number")
        if names.setdefault(path_name, tensor["dtype"]) != tensor["dtype"]:
            raise Unsafe(f"the tensor {name!r} shares its memory with another type of number")
        sizes, strides, offset = (
            [_plain(size) for size in tensor["sizes"]],
            [_plain(stride) for stride in tensor["strides"]],
            _plain(tensor["storage_offset"]),
        )
        if len(sizes) != len(strides) or len(sizes) > 16:
            raise Unsafe(f"the shape of tensor {name!r} is malformed")
        count, last = 1, offset
        for size, stride in zip(sizes, strides, strict=True):
            count *= size
            last += (size - 1) * stride
        if count * item > MAX_BYTES or (count and (last + 1) * item > len(members[folder + path_name])):
            raise Unsafe(f"the tensor {name!r} is larger than the data stored for it")
    return list(names)


def _plain(size: dict[str, Any]) -> int:
    value = size.get("as_int")
    if not isinstance(value, int) or value < 0:
        raise Unsafe("a stored tensor has a shape that is not made of plain numbers")
    return value


def _check_samples(data: bytes) -> None:
    """Sample inputs must be nothing but tensors and containers, though they are never used."""
    if not data:
        return
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_sizes(archive.infolist(), len(data))
        torch.load(io.BytesIO(data), map_location="cpu", weights_only=True)
    except Unsafe:
        raise
    except pickle.UnpicklingError as error:
        raise Unsafe("its sample inputs are a pickle that does more than hold tensors") from error
    except Exception as error:  # a damaged pickle makes torch stumble in many ways
        raise Unsafe("its sample inputs cannot be read") from error
