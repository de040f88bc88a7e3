"""Cut the bundled fonts from their Debian packages; run only when a package's version changes.

    apt-get download fonts-inter fonts-noto-core fonts-dejavu-core && dpkg -x each of them into one FOLDER
    python templates/fonts/build.py FOLDER

Each face is cut into parts by script, so that a report carries only the parts that its text needs.
"""

from __future__ import annotations

import sys
from pathlib import Path

from fontTools import subset

LATIN = "U+0020-007E,U+00A0-00FF,U+0131,U+0152-0153,U+02C6,U+02DA,U+02DC,U+2000-200B,U+2010-2027,U+2030-203A,U+2044"
LATIN += ",U+20AC,U+2122,U+2190-2193,U+2212,U+2248,U+2260,U+2264-2265,U+25A0-25A1,U+25B2,U+25B3,U+25CF,U+25CB,U+2713"
EXTENDED = "U+0100-036F,U+1E00-1EFF,U+0370-03FF,U+1F00-1FFF,U+0400-052F,U+2070-209F,U+20A0-20BF"
ARABIC = "U+0020,U+00A0,U+0600-06FF,U+0750-077F,U+200C-200F,U+FB50-FDFF,U+FE70-FEFC"
HEBREW = "U+0020,U+00A0,U+0590-05FF,U+200C-200F,U+20AA,U+FB1D-FB4F"
MONO = "U+0020-007E,U+00A0-00FF,U+2010-2015,U+2018-201D,U+2026,U+FFFD"

PARTS = [
    ("Inter-Regular.otf", "sans-400-latin", LATIN),
    ("Inter-SemiBold.otf", "sans-600-latin", LATIN),
    ("Inter-Regular.otf", "sans-400-extended", EXTENDED),
    ("Inter-SemiBold.otf", "sans-600-extended", EXTENDED),
    ("NotoSansArabic-Regular.ttf", "arabic-400", ARABIC),
    ("NotoSansArabic-Bold.ttf", "arabic-600", ARABIC),
    ("NotoSansHebrew-Regular.ttf", "hebrew-400", HEBREW),
    ("NotoSansHebrew-Bold.ttf", "hebrew-600", HEBREW),
    ("DejaVuSansMono.ttf", "mono-400", MONO),
]
FEATURES = "kern,liga,mark,mkmk,ccmp,locl,calt,tnum,init,medi,fina,isol,rlig"


def main(folder: str) -> None:
    out = Path(__file__).parent
    for source, name, ranges in PARTS:
        (found,) = Path(folder).rglob(source)
        features = FEATURES.replace("calt,", "") if source.startswith("Inter") else FEATURES
        subset.main(
            [str(found), f"--unicodes={ranges}", f"--layout-features={features}", "--flavor=woff2", "--no-hinting",
             "--desubroutinize", f"--output-file={out / name}.woff2"]
        )  # fmt: skip


if __name__ == "__main__":
    main(sys.argv[1])
