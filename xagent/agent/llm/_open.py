"""From settings to whoever answers."""

from __future__ import annotations

from xagent.agent.llm._client import Client
from xagent.agent.llm._model import Asker
from xagent.agent.llm._profile import load_profile
from xagent.agent.llm._replay import Replay
from xagent.errors import ConfigurationFault
from xagent.settings import Settings


def open_llm(settings: Settings) -> Asker | None:
    """The language model of the settings, or None: there is none unless one is named, and `no_llm` always wins.

    Raises ConfigurationFault for a setting that is missing or a package that is not installed.
    """
    llm = settings.llm
    if settings.no_llm or (llm.base_url is None and llm.replay is None):
        return None
    if llm.replay is not None:
        return Replay(llm.replay)
    if not llm.model:
        raise ConfigurationFault("Setting 'llm.model' is missing.", "Name the model that the server offers.")
    return Client(llm, load_profile(llm.profile), seed=settings.seed)
