"""Settings: arguments beat the environment (`XAGENT_SEED=7`), which beats `xagent.toml` in the working folder."""

from __future__ import annotations

from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import BaseModel, ConfigDict, Field, SecretStr, ValidationError, field_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict, TomlConfigSettingsSource

from xagent.errors import ConfigurationFault

MOST_PASSES = 2
"""How often `assess` may ask for more evidence in one run."""


class TrustSettings(BaseModel):
    """How far an explanation is tested.

    levels: file of thresholds, as `xagent calibrate` writes it for a model. order: also test the order of removal.
    exact: players up to which all coalitions are tried. refine: a list that falls short is refined by removal.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    levels: Path | None = None
    order: bool = False
    exact: int = Field(default=12, ge=0, le=12)
    refine: bool = True


class DriftSettings(BaseModel):
    """What is asked of the recent window beyond every feature alone.

    classifier: whether a classifier can tell rows of the window from rows of the reference.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    classifier: bool = False


class LlmSettings(BaseModel):
    """A language model that may word sentences and ask for tools; none unless `base_url` or `replay` is given.

    base_url: of an OpenAI-compatible server, with its `/v1`. model: as the server calls it. timeout: seconds for one
    request. total: seconds for all requests of a run. max_tokens: of one answer. profile: what the server does its own
    way, see docs/llm.md. replay: a `.run.json` whose recorded answers are used; no server is asked.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    base_url: str | None = None
    model: str | None = Field(default=None, min_length=1, max_length=200)
    api_key: SecretStr | None = None
    timeout: float = Field(default=60.0, gt=0, le=3600)
    total: float = Field(default=240.0, gt=0, le=86400)
    max_tokens: int = Field(default=4096, ge=64, le=1_000_000)
    profile: str = "generic"
    replay: Path | None = None

    @field_validator("base_url")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        return _address(value, "a key goes into api_key")


class TelemetrySettings(BaseModel):
    """Traces that are read, and the trace of xagent's own run, which is neither kept nor sent unless named here.

    mapping: TOML file of a user's own attribute names, see docs/telemetry.md. file: each run is added to it as a line
    of OTLP JSON. endpoint: collector that takes OTLP over HTTP (needs the extra `otel`).
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    mapping: Path | None = None
    file: Path | None = None
    endpoint: str | None = None

    @field_validator("endpoint")
    @classmethod
    def _web(cls, value: str | None) -> str | None:
        return _address(value, "keys go into OTEL_EXPORTER_OTLP_HEADERS")


def _address(value: str | None, mend: str) -> str | None:
    """A web address without secrets in it."""
    if value is None:
        return None
    parts = urlsplit(value)
    if parts.scheme not in ("http", "https") or not parts.hostname:
        raise ValueError("it must begin with http:// or https:// and name a host")
    if parts.username or parts.password or parts.query or parts.fragment:
        raise ValueError(f"it must carry no user, password or query; {mend}")
    return value


class Settings(BaseSettings):
    """What a run may be told.

    seed: of every random choice. device: where the model runs. rules: name of the relevance rule set. methods: names of
    the methods that give a second opinion, chosen by cost when empty. cache: folder that keeps what was computed of a
    reference population, so that the next case of the same model need not; whoever can write there can change what
    reports say. personas: folder with a user's own personas, each `<name>.toml`. trust: see `TrustSettings`. drift:
    see `DriftSettings`. telemetry: see `TelemetrySettings`. llm: see `LlmSettings`. no_llm: no language model, whatever
    `llm` says. allow_mismatch: go on with a model file that is not the recorded one, and say so in the report.
    allow_outside: let paths of a case leave its folder.
    """

    model_config = SettingsConfigDict(env_prefix="XAGENT_", env_nested_delimiter="__", extra="forbid", frozen=True)

    seed: int = Field(default=0, ge=0, lt=2**31)
    device: Literal["auto", "cpu", "cuda"] = "auto"
    rules: str = "conserving"
    methods: tuple[str, ...] = ()
    cache: Path | None = None
    personas: Path | None = None
    trust: TrustSettings = TrustSettings()
    drift: DriftSettings = DriftSettings()
    llm: LlmSettings = LlmSettings()
    no_llm: bool = False
    telemetry: TelemetrySettings = TelemetrySettings()
    allow_mismatch: bool = False
    allow_outside: bool = False

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        return init_settings, env_settings, TomlConfigSettingsSource(settings_cls, Path("xagent.toml"))


def load_settings(**arguments: object) -> Settings:
    """Settings with the given arguments on top; those that are None were not given.

    Raises ConfigurationFault, naming the setting, for a value that does not fit.
    """
    try:
        return Settings(**{key: value for key, value in arguments.items() if value is not None})  # type: ignore[arg-type]
    except ValidationError as error:
        first = error.errors(include_url=False, include_context=False)[0]
        name = ".".join(str(part) for part in first["loc"])
        raise ConfigurationFault(
            f"Setting {name!r}: {first['msg']}.", "Correct it in xagent.toml, in the environment or in the call."
        ) from None
    except ValueError as error:
        raise ConfigurationFault(f"xagent.toml is not valid TOML: {error}.", "Mend the file.") from None
