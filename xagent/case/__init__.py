"""What is explained: the case of one prediction and the card of the system that made it.

In: `case.json` and `system.json`, untrusted. Out: frozen, validated models whose paths stay inside the case's folder.
"""

from xagent.case._card import FeatureCard, SystemCard
from xagent.case._case import (
    LARGEST,
    Case,
    ImageInput,
    ModelReference,
    OutputSpec,
    Population,
    RecordedPrediction,
    TabularInput,
    TelemetrySource,
    TextInput,
    Window,
)
from xagent.case._generation import GenerationInput, Message, NamedSource, located
from xagent.case._load import load_card, load_case, resolve_file, sha256_of, validated
from xagent.case._serving import Happening, OfflineRow, Serving
from xagent.case._table import read_table

__all__ = [
    "LARGEST",
    "Case",
    "FeatureCard",
    "GenerationInput",
    "Happening",
    "ImageInput",
    "Message",
    "ModelReference",
    "NamedSource",
    "OfflineRow",
    "OutputSpec",
    "Population",
    "RecordedPrediction",
    "Serving",
    "SystemCard",
    "TabularInput",
    "TelemetrySource",
    "TextInput",
    "Window",
    "load_card",
    "load_case",
    "located",
    "read_table",
    "resolve_file",
    "sha256_of",
    "validated",
]
