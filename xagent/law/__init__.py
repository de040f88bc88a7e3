"""The law: which articles ask for which facts, since when they apply, and what must no longer be cited.

In: data files (TOML) with the date they stand for. Out: validated, frozen checklists and regimes.
"""

from xagent.law._read import checklist_names, law_as_of, load_checklist, load_regimes, load_superseded
from xagent.law._types import Article, Checklist, LawField, Part, Regime, Source, Superseded, day

__all__ = [
    "Article",
    "Checklist",
    "LawField",
    "Part",
    "Regime",
    "Source",
    "Superseded",
    "checklist_names",
    "day",
    "law_as_of",
    "load_checklist",
    "load_regimes",
    "load_superseded",
]
