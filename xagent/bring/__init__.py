"""Bring your own model: from files or live objects to a case that explains at once.

In: a model and the rows it is compared with. Out: a folder with case and card, or a report; what only a person can know
is left out and listed by `check_case`.
"""

from xagent.bring._answer import explain_answer
from xagent.bring._declare import declare
from xagent.bring._explain import explain_live
from xagent.bring._folder import Gap, check_case, init_case
from xagent.bring._live import live_case
from xagent.bring._record import record_prediction

__all__ = [
    "Gap",
    "check_case",
    "declare",
    "explain_answer",
    "explain_live",
    "init_case",
    "live_case",
    "record_prediction",
]
