"""Who reads: sections, words, precision and duties of each reader, as TOML files and a loader.

In: the name of a built-in persona or the path of a TOML file. Out: a validated, frozen `Persona`; no facts.
"""

from xagent.personas._disclosure import visible_claims
from xagent.personas._load import languages, load_persona, persona_names, persona_source
from xagent.personas._persona import (
    BLOCKS,
    CHARTS,
    RAW,
    VOCABULARY,
    VOICES,
    Block,
    Disclosure,
    Limits,
    Persona,
    Precision,
    Redaction,
    SectionPlan,
    Voice,
)

__all__ = [
    "BLOCKS",
    "CHARTS",
    "RAW",
    "VOCABULARY",
    "VOICES",
    "Block",
    "Disclosure",
    "Limits",
    "Persona",
    "Precision",
    "Redaction",
    "SectionPlan",
    "Voice",
    "languages",
    "load_persona",
    "persona_names",
    "persona_source",
    "visible_claims",
]
