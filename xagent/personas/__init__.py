"""Who reads: sections, words, precision and duties of each reader, as TOML files and a loader.

In: the name of a built-in persona or the path of a TOML file. Out: a validated, frozen `Persona`; no facts.
"""

from xagent.personas._load import load_persona, persona_names
from xagent.personas._persona import BLOCKS, CHARTS, VOCABULARY, Block, Limits, Persona, Precision, SectionPlan

__all__ = [
    "BLOCKS",
    "CHARTS",
    "VOCABULARY",
    "Block",
    "Limits",
    "Persona",
    "Precision",
    "SectionPlan",
    "load_persona",
    "persona_names",
]
