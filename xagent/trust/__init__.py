"""How far an explanation of one prediction can be relied on, measured on this very prediction.

In: a function that scores coalitions of players, and the relevance of each player. Out: a `Trust` with its numbers and
a level in words, or an `Undetermined` that says why no number exists.
"""

from xagent.trust._assess import Trust, Undetermined, assess_trust
from xagent.trust._coalitions import Coalitions, additive_fit, correlation, draw_coalitions, group_players
from xagent.trust._evidence import Evidence, evidence_test
from xagent.trust._levels import LEVELS, Level, Limits, judge, load_limits
from xagent.trust._manifold import Manifold
from xagent.trust._shapley import exact_shapley

__all__ = [
    "LEVELS",
    "Coalitions",
    "Evidence",
    "Level",
    "Limits",
    "Manifold",
    "Trust",
    "Undetermined",
    "additive_fit",
    "assess_trust",
    "correlation",
    "draw_coalitions",
    "evidence_test",
    "exact_shapley",
    "group_players",
    "judge",
    "load_limits",
]
