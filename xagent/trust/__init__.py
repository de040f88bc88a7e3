"""How far an explanation of one prediction can be relied on, measured on this very prediction.

In: a function that scores coalitions of players, and the relevance of each player. Out: a `Trust` with its numbers and
a level in words, or an `Undetermined` that says why no number exists.
"""

from xagent.trust._assess import Trust, Undetermined, assess_trust, ratio_of, weigh
from xagent.trust._baselines import Sensitivity, compare_baselines
from xagent.trust._coalitions import Coalitions, additive_fit, correlation, draw_coalitions
from xagent.trust._conditional import NEIGHBOURS, ConditionalFill, Neighbourhood
from xagent.trust._evidence import Evidence, evidence_test
from xagent.trust._grouping import Grouping, cells, correlated, group_players, neighbours
from xagent.trust._levels import LEVELS, SCHEMA, Level, Limits, judge, limits_of, load_limits, read_limits
from xagent.trust._manifold import Manifold
from xagent.trust._order import removal_order_z
from xagent.trust._probes import NotFinite, Probes, Reason, checked, probe
from xagent.trust._refined import better_list, refined, refined_rows
from xagent.trust._shapley import exact_shapley, shapley_of

__all__ = [
    "LEVELS",
    "NEIGHBOURS",
    "SCHEMA",
    "Coalitions",
    "ConditionalFill",
    "Evidence",
    "Grouping",
    "Level",
    "Limits",
    "Manifold",
    "Neighbourhood",
    "NotFinite",
    "Probes",
    "Reason",
    "Sensitivity",
    "Trust",
    "Undetermined",
    "additive_fit",
    "assess_trust",
    "better_list",
    "cells",
    "checked",
    "compare_baselines",
    "correlated",
    "correlation",
    "draw_coalitions",
    "evidence_test",
    "exact_shapley",
    "group_players",
    "judge",
    "limits_of",
    "load_limits",
    "neighbours",
    "probe",
    "ratio_of",
    "read_limits",
    "refined",
    "refined_rows",
    "removal_order_z",
    "shapley_of",
    "weigh",
]
