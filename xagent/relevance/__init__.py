"""Relevance of inputs: which part of a score came from where, conserved to float precision. Knows torch, nothing else.

In: a model, its inputs, a target. Out: a `Trace` with signed relevance, the `Ledger` of the score and an audit.
"""

from . import (  # noqa: F401 - importing them fills the table
    _rules_attnlrp,
    _rules_composed,
    _rules_conserving,
    _rules_fastest,
    _rules_gamma,
    _rules_linear,
    _rules_norms,
    _rules_recurrent,
)
from ._answer import Answer, trace_answer
from ._answer_closure import Closure
from ._answer_record import Record, record_answer, recorded
from ._answer_sources import Passage, Source, chunks, sentences, sources_from, token_sources, tools, turns
from ._columns import NoColumns
from ._errors import RelevanceError
from ._ledger import Ledger
from ._refine import Refined, refine
from ._step import Step, carries
from ._table import RULE_SETS, RuleSet, register
from ._target import Target
from ._trace import Removal, Trace
from ._tracer import Tracer

__all__ = [
    "RULE_SETS",
    "Answer",
    "Closure",
    "Ledger",
    "NoColumns",
    "Passage",
    "Record",
    "Refined",
    "RelevanceError",
    "Removal",
    "RuleSet",
    "Source",
    "Step",
    "Target",
    "Trace",
    "Tracer",
    "carries",
    "chunks",
    "record_answer",
    "recorded",
    "refine",
    "register",
    "sentences",
    "sources_from",
    "token_sources",
    "tools",
    "trace_answer",
    "turns",
]
