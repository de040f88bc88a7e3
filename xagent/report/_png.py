"""Grey pictures as PNG, byte for byte the same everywhere: no compression library has a say in it."""

from __future__ import annotations

import base64
import struct
from collections.abc import Iterator, Sequence
from zlib import adler32, crc32

_STORED = 65_535


def grey_png(rows: Sequence[Sequence[int]]) -> bytes:
    """An 8-bit grey PNG (ISO/IEC 15948). rows: grey values 0 to 255, from the top; all of one length.

    The pixels stand in stored blocks of DEFLATE (RFC 1951, 3.2.4): a few kilobytes more, and no byte that depends on
    the version of zlib.
    """
    height, width = len(rows), len(rows[0])
    raw = b"".join(b"\0" + bytes(row) for row in rows)
    body = b"\x78\x01" + b"".join(_blocks(raw)) + struct.pack(">I", adler32(raw))
    head = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + _chunk(b"IHDR", head) + _chunk(b"IDAT", body) + _chunk(b"IEND", b"")


def data_uri(png: bytes) -> str:
    return "data:image/png;base64," + base64.b64encode(png).decode()


def _blocks(raw: bytes) -> Iterator[bytes]:
    for at in range(0, len(raw), _STORED):
        part = raw[at : at + _STORED]
        yield struct.pack("<BHH", at + _STORED >= len(raw), len(part), len(part) ^ 0xFFFF) + part


def _chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", crc32(kind + body))
