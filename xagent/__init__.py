"""xagent explains one prediction of a model to the person who has to rely on it."""

__version__ = "0.1.0"
