"""The model under explanation: loaded without running code from it, one lock per model.

In: a Case. Out: a Subject that encodes raw values, predicts, and offers the units a reason can name.
"""

from xagent.subject._answer import AnswerSubject
from xagent.subject._arrays import ImageSubject, TabularSubject
from xagent.subject._encoder import TabularEncoder, load_encoder
from xagent.subject._estimator import EstimatorSubject, Linear
from xagent.subject._image import ImageEncoder
from xagent.subject._load import Reproduced, load_subject, reproduce
from xagent.subject._subject import Subject
from xagent.subject._text import TextSubject
from xagent.subject._trees_load import read_classic
from xagent.subject._trees_subject import ExactRelevance
from xagent.subject._units import Encoded, Exchange, Player

__all__ = [
    "AnswerSubject",
    "Encoded",
    "EstimatorSubject",
    "ExactRelevance",
    "Exchange",
    "ImageEncoder",
    "ImageSubject",
    "Linear",
    "Player",
    "Reproduced",
    "Subject",
    "TabularEncoder",
    "TabularSubject",
    "TextSubject",
    "load_encoder",
    "load_subject",
    "read_classic",
    "reproduce",
]
