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
    _rules_recurrent,
)
from ._errors import RelevanceError
from ._ledger import Ledger
from ._step import Step, carries
from ._table import RULE_SETS, RuleSet, register
from ._target import Target
from ._trace import Removal, Trace
from ._tracer import Tracer

__all__ = [
    "RULE_SETS",
    "Ledger",
    "RelevanceError",
    "Removal",
    "RuleSet",
    "Step",
    "Target",
    "Trace",
    "Tracer",
    "carries",
    "register",
]
