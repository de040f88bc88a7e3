"""The bundled typefaces, embedded in every report so that it reads and breaks the same everywhere."""

from __future__ import annotations

import base64
from functools import cache

from markupsafe import Markup

from xagent.report._templates import template_root

_LATIN = "sans-400-latin", "sans-600-latin"
_PARTS: dict[str, tuple[str, tuple[str, ...], tuple[tuple[int, int], ...]]] = {
    # part: (family, files by weight, code points that call for it)
    "latin": ("Report Sans", _LATIN, ((0x20, 0x7E),)),
    "extended": (
        "Report Extended",
        ("sans-400-extended", "sans-600-extended"),
        ((0x100, 0x130), (0x132, 0x151), (0x154, 0x2C5), (0x2C7, 0x2D9), (0x2DB, 0x2DB), (0x2DD, 0x52F),
         (0x1E00, 0x1FFF), (0x2070, 0x20AB), (0x20AD, 0x20BF)),
    ),
    "arabic": ("Report Arabic", ("arabic-400", "arabic-600"), ((0x600, 0x6FF), (0x750, 0x77F), (0xFB50, 0xFEFC))),
    "hebrew": ("Report Hebrew", ("hebrew-400", "hebrew-600"), ((0x590, 0x5FF), (0xFB1D, 0xFB4F))),
    "mono": ("Report Mono", ("mono-400",), ((0x20, 0x7E),)),
}  # fmt: skip


def font_faces(text: str) -> Markup:
    """`@font-face` rules with the font data, for the scripts that occur in the text. Other scripts use the reader's
    own fonts."""
    points = {ord(char) for char in set(text)}
    rules = []
    for family, files, ranges in _PARTS.values():
        if any(low <= point <= high for point in points for low, high in ranges):
            rules += [_rule(family, name) for name in files]
    return Markup("\n").join(rules)  # noqa: S704 - our own files and constants


@cache
def _rule(family: str, name: str) -> Markup:
    data = base64.b64encode((template_root() / "fonts" / f"{name}.woff2").read_bytes()).decode()
    weight = "400" if "400" in name else "600"
    return Markup(  # noqa: S704
        f'@font-face{{font-family:"{family}";font-weight:{weight};font-style:normal;'
        f'src:url("data:font/woff2;base64,{data}") format("woff2")}}'
    )
