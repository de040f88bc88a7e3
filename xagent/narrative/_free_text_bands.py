"""Words of size in prose: `a small part of the weight` lies between two shares, and a claim does or does not."""

from __future__ import annotations

from collections.abc import Iterator

from xagent.narrative._free_text_data import Statement
from xagent.narrative._free_text_scope import Line, matching
from xagent.narrative._lexicon import fold


def sizes(line: Line) -> Iterator[Statement]:
    """One statement for each word of size, about the input, the side or the exposure that is spoken of."""
    for mark in line.of("size"):
        feature = line.feature(mark.start)
        found = matching(line.seen, line.data.cues["of the weight"], feature)
        sides = {line.data.meaning[m.key] for m in line.of("direction") if m.start < mark.start}
        if feature is None and len(sides) == 1:
            side = sides.pop()
            found = [claim for claim in found if claim.id == f"relevance.{side}.share"]
        if not found:
            yield line.say("value", "unverifiable", mark.text, "No claim says what this is a part of.")
            continue
        low, high = line.data.sizes[fold(mark.text)]
        fitting = [c for c in found if isinstance(c.value, int | float) and low <= c.value < high]
        claim = (fitting or found)[0]
        yield line.judge("value", bool(fitting), mark.text, f"{claim.id} is {claim.value} (share).", claim.id)
