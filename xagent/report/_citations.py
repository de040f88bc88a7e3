"""Citations of law as lawyers of another language write them; what no rule knows stays as it is."""

from __future__ import annotations

import re

_NAMES = {"AI Act": "KI-VO", "GDPR": "DSGVO", "CCD2": "VKR 2023", "CJEU": "EuGH"}
_MONTHS = {
    "January": "Januar", "February": "Februar", "March": "März", "May": "Mai", "June": "Juni", "July": "Juli",
    "October": "Oktober", "December": "Dezember",
}  # fmt: skip
_PLACE = re.compile(r"(?:(Art\.) (\d+[a-z]?)|(Annex) ([IVX]+))((?:\([0-9a-z]+\))*)")


def german(citation: str) -> str:
    """`AI Act Art. 13(3)(b)(iv)` is `Art. 13 Abs. 3 Buchst. b Ziff. iv KI-VO`; dates are in German.

    Paragraph, letter and number of an article of the European Union are named; other bodies of rules keep their form.
    """
    body, _, since = citation.partition(" (applies from ")
    name = next((short for short in _NAMES if body.startswith(f"{short} ")), None)
    if name is not None:
        place = body.removeprefix(f"{name} ")
        place = _PLACE.sub(_place, place).replace(" and ", " und ").replace("paras ", "Rn. ").replace("para. ", "Rn. ")
        place = re.sub(r"-\(([a-z])\)", r"–\1", place)
        place = re.sub(r"(?<= und )\(([ivx]+)\)", r"Ziff. \1", place)
        place = re.sub(r"(?<= und )\((\d+)\)", r"Nr. \1", place)
        place = re.sub(r"(?<= und )(\d+)((?:\([0-9a-z]+\))+)", lambda m: f"Art. {m[1]}{_parts(m[2], 'Abs.')}", place)
        body = f"{_NAMES[name]} {place}" if name == "CJEU" else f"{place} {_NAMES[name]}"
    if not since:
        return body
    number, month, year = since.removesuffix(")").split(" ")
    return f"{body} (gilt ab {number}. {_MONTHS.get(month, month)} {year})"


def _place(match: re.Match[str]) -> str:
    if match[1]:
        return f"Art. {match[2]}{_parts(match[5], 'Abs.')}"
    return f"Anhang {match[4]}{_parts(match[5], 'Nr.')}"


def _parts(brackets: str, first: str) -> str:
    found = re.findall(r"\(([0-9a-z]+)\)", brackets)
    names = (first, "Buchst.", "Ziff.")
    return "".join(f" {name} {part}" for name, part in zip(names, found, strict=False))
