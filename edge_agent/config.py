"""The configuration: one typed field per option, with its unit, default and reason.

TOML, with `EDGE_AGENT_...` environment variables (`EDGE_AGENT_MQTT__PASSWORD`) and systemd
credentials (a file `mqtt__password` in `$CREDENTIALS_DIRECTORY`) over it. A wrong value is reported
by its path, with what to write instead.
"""

from __future__ import annotations

import os
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Final, Literal, Self
from urllib.parse import SplitResult, urlsplit
from uuid import UUID

from pydantic import (
    BaseModel,
    Field,
    SecretStr,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    SettingsError,
)
from pydantic_settings.sources import NestedSecretsSettingsSource

from edge_agent.config_faults import ConfigError, Fault, explain
from edge_agent.config_hours import OpeningHours
from edge_agent.config_values import WEEK_S, AdapterName, Duration, Name, Section, Size, ZoneName
from edge_agent.identify.roster_manifest import read_public_key

__all__ = ["Config", "ConfigError", "Delivery", "Fault", "read_config"]


class Mqtt(Section):
    """Where the hub's broker is."""

    url: str
    """`mqtts://host[:8883]`, or `mqtt://host[:1883]` with `allow_plaintext`."""
    allow_plaintext: bool = False
    """Permit `mqtt://`: pseudonyms then cross the network in clear. For development."""
    username: str | None = None
    """As the broker knows this gateway."""
    password: SecretStr | None = None
    """Better given as a systemd credential `mqtt__password` than in this file."""
    ca_file: Path | None = None
    """Authorities to trust instead of the system's (PEM)."""
    cert_file: Path | None = None
    """This gateway's certificate (PEM), for mutual TLS."""
    key_file: Path | None = None
    """Its private key (PEM)."""
    protocol: Literal["auto", "5", "3.1.1"] = "auto"
    """`auto` tries MQTT 5 and falls back to 3.1.1."""
    keepalive: Annotated[Duration, Field(ge=5, le=3600)] = 30
    """A dead connection is noticed after twice this."""

    @property
    def address(self) -> SplitResult:
        """The URL in parts."""
        return urlsplit(self.url)

    @field_validator("url")
    @classmethod
    def _a_broker(cls, value: str) -> str:
        parts = urlsplit(value)
        try:
            usable = parts.scheme in ("mqtt", "mqtts") and parts.hostname and parts.port != 0
        except ValueError:
            usable = False
        if not usable or parts.path not in ("", "/") or parts.query or "@" in parts.netloc:
            raise ValueError(
                "mqtts://host:port is expected; user and password have fields of their own"
            )
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.address.scheme == "mqtt" and not self.allow_plaintext:
            raise ValueError(
                "url: mqtt:// sends visits in clear; use mqtts://, or set allow_plaintext = true on"
                " a development machine"
            )
        if (self.cert_file is None) != (self.key_file is None):
            raise ValueError("cert_file and key_file go together")
        return self


class RosterSource(Section):
    """Who opted in, and how that is proved."""

    public_key: str | None = None
    """The hub's Ed25519 key (hexadecimal or base64) that signs rosters."""
    file: Path | None = None
    """A roster on this machine: a signed bundle with `public_key`, else a development file."""
    allow_unsigned: bool = False
    """Permit an unsigned `file`. For development: nobody vouches for the consent in it."""

    @field_validator("public_key")
    @classmethod
    def _a_key(cls, value: str | None) -> str | None:
        if value is not None:
            read_public_key(value)
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.public_key is None and self.file is None:
            raise ValueError(
                "give public_key (production), or file with allow_unsigned = true (development)"
            )
        if self.public_key is None and not self.allow_unsigned:
            raise ValueError(
                "file: an unsigned roster needs allow_unsigned = true (development), or set"
                " public_key to verify it"
            )
        if self.public_key is not None and self.allow_unsigned:
            raise ValueError("allow_unsigned: has no meaning beside public_key; remove one of them")
        return self


class Ble(Section):
    """How Bluetooth is heard."""

    namespace: UUID | None = None
    """The retailer's namespace UUID in app advertisements; without it only tags are known."""
    adapters: Annotated[tuple[AdapterName, ...], Field(max_length=8)] = ("hci0",)
    """The adapters to scan with; an empty list runs without Bluetooth."""
    scanning: Literal["active", "passive"] = "active"
    """`passive` sends nothing, but BlueZ then hides still phones: their silence means nothing."""

    @field_validator("adapters")
    @classmethod
    def _each_once(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(value)) != len(value):
            raise ValueError("an adapter is named twice")
        return value

    @model_validator(mode="after")
    def _consistent(self) -> Self:
        if self.scanning == "passive" and self.namespace is None:
            raise ValueError("namespace: a passive scan filters by it; set it, or scan actively")
        return self


class Presence(Section):
    """What counts as a visit."""

    dwell_milestones: tuple[Annotated[Duration, Field(ge=1, le=WEEK_S)], ...] = (
        60,
        300,
        900,
        1800,
        3600,
    )
    """Lengths of stay that publish a `dwell`."""
    enter_confidence: Annotated[float, Field(ge=0.5, le=0.999)] = 0.9
    """How sure to be before `enter`: 0.5 (first hearing) to 0.999."""
    exit_after_at_most: Annotated[Duration, Field(ge=5, le=24 * 3600)] = 360
    """How long a silence may be before `exit` at the latest; evidence may allow it earlier."""
    resume_within: Annotated[Duration, Field(le=24 * 3600)] = 120
    """A return within this of the exit's decision goes on with the visit; `0s`: never."""

    @field_validator("dwell_milestones")
    @classmethod
    def _ascending(cls, value: tuple[int, ...]) -> tuple[int, ...]:
        return tuple(sorted(set(value)))


class Zone(Section):
    """A part of the store, covered by some gateways."""

    name: ZoneName
    """As events call it."""
    gateways: tuple[Name, ...]
    """Which gateways hear it."""
    outside: bool = False
    """The pavement: being there is not presence."""

    @field_validator("gateways")
    @classmethod
    def _someone_hears(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        if not value:
            raise ValueError("at least 1 gateway is expected")
        return value


class Delivery(Section):
    """How much may wait for a hub that is away, and how long."""

    max_bytes: Annotated[Size, Field(ge=1 << 20, le=16 << 30)] = 256 << 20
    """Of events that wait, some 400,000; over it dwell goes first, enter and exit last, and what
    went is declared. The file may grow to twice this."""
    max_age: Annotated[Duration, Field(ge=3600, le=365 * 24 * 3600)] = 7 * 24 * 3600
    """What has waited longer is declared instead of sent: a week covers a long weekend's outage."""


class State(Section):
    """What the agent keeps on disk."""

    directory: Path = Path("state")
    """Holds the outbox; systemd's `$STATE_DIRECTORY` when that is set and this is not."""


class Hub(Section):
    """What the hub may change here from afar."""

    probation: Annotated[Duration, Field(ge=5, le=24 * 3600)] = 300
    """How long a configuration from the hub has to prove itself before it is reverted."""


class Config(BaseSettings):
    """Everything a gateway is told."""

    model_config = SettingsConfigDict(
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,
        env_prefix="EDGE_AGENT_",
        env_nested_delimiter="__",
        use_attribute_docstrings=True,
    )

    tenant: Name
    """The retailer."""
    store: Name
    """The store."""
    gateway: Name
    """This gateway, unique in its store."""
    mqtt: Mqtt
    roster: RosterSource
    ble: Ble = Ble()
    presence: Presence = Presence()
    zone: tuple[Zone, ...] = ()
    """The store's zones; none: one zone `store` that this gateway covers."""
    hours: OpeningHours | None = None
    """When the store is open; without it, always."""
    delivery: Delivery = Delivery()
    state: State = State()
    hub: Hub = Hub()
    log_level: Literal["debug", "info", "warning", "error"] = "info"
    """What is logged, unless the command line says otherwise."""

    @property
    def zones(self) -> tuple[Zone, ...]:
        """The zones, with the default where none is configured."""
        return self.zone or (Zone(name="store", gateways=(self.gateway,)),)

    @model_validator(mode="after")
    def _each_once(self) -> Self:
        names = [zone.name for zone in self.zone]
        gateways = [gateway for zone in self.zone for gateway in zone.gateways]
        for what, values in (("zone", names), ("gateway", gateways)):
            twice = sorted({value for value in values if values.count(value) > 1})
            if twice:
                raise ValueError(f"zone: the {what} {twice[0]!r} is named twice")
        if self.zone and all(zone.outside for zone in self.zone):
            raise ValueError("zone: every zone is outside, so nobody could ever enter")
        return self

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the signature is pydantic's
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003 - a daemon reads no .env
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Order the sources: credentials win over environment, environment over the file."""
        sources: list[PydanticBaseSettingsSource] = [env_settings, init_settings]
        credentials = os.environ.get("CREDENTIALS_DIRECTORY")
        if credentials and Path(credentials).is_dir():
            sources.insert(
                0,
                NestedSecretsSettingsSource(
                    file_secret_settings,
                    secrets_dir=credentials,
                    secrets_prefix="",
                    secrets_nested_delimiter="__",
                ),
            )
        return tuple(sources)


_SECTIONS: Final[dict[str, type[BaseModel]]] = {
    "mqtt": Mqtt,
    "roster": RosterSource,
    "ble": Ble,
    "presence": Presence,
    "zone": Zone,
    "hours": OpeningHours,
    "delivery": Delivery,
    "state": State,
    "hub": Hub,
}

_PARTLY: Final = (
    "presence",
    "ble",
    "delivery",
)  # sections of which an overlay may name some options


def read_config(path: Path, overlay: Mapping[str, Any] | None = None) -> Config:
    """Read a configuration file, with the environment and credentials over it.

    Paths in it are relative to the file.

    Args:
        path: of the file.
        overlay: what the hub desires, over the file and under the environment: options, and of
            `presence`, `ble` and `delivery` those that it names.

    Raises:
        ConfigError: when it cannot be read or used.
    """
    try:
        values = tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise ConfigError([Fault(str(path), f"cannot be read: {error.strerror}")]) from error
    except UnicodeDecodeError as error:
        raise ConfigError([Fault(str(path), "is not UTF-8 text")]) from error
    except tomllib.TOMLDecodeError as error:
        raise ConfigError([Fault(str(path), f"is not TOML: {error}")]) from error
    except (RecursionError, ValueError) as error:  # tomllib lets both through
        advice = "is not usable TOML: a number is too long, or brackets are nested too deep"
        raise ConfigError([Fault(str(path), advice)]) from error
    _lay_over(values, overlay or {})
    state = os.environ.get("STATE_DIRECTORY")
    if state and "state" not in values:
        values["state"] = {"directory": state.split(":")[0]}
    try:
        config = Config(**values)
    except ValidationError as error:
        raise ConfigError(explain(error, Config, _SECTIONS)) from None
    except UnicodeDecodeError:
        advice = "a file in it is not UTF-8 text: keep only this agent's credentials there"
        raise ConfigError([Fault("$CREDENTIALS_DIRECTORY", advice)]) from None
    except SettingsError as error:
        advice = f"{error}: lists and sections are JSON there"
        raise ConfigError([Fault("the environment", advice)]) from None
    return _anchored(config, path.parent.resolve())


def _lay_over(values: dict[str, Any], overlay: Mapping[str, Any]) -> None:
    """Put an overlay's options in the place of the file's."""
    for name, value in overlay.items():
        below = values.get(name)
        if name in _PARTLY and isinstance(below, dict) and isinstance(value, dict):
            values[name] = {**below, **value}
        else:
            values[name] = value


def _anchored(config: Config, folder: Path) -> Config:
    """Make the relative paths of a configuration absolute, from the file's folder."""

    def under(path: Path | None) -> Path | None:
        return None if path is None else folder / path

    mqtt, roster, state = config.mqtt, config.roster, config.state
    files = {name: under(getattr(mqtt, name)) for name in ("ca_file", "cert_file", "key_file")}
    return config.model_copy(
        update={
            "mqtt": mqtt.model_copy(update=files),
            "roster": roster.model_copy(update={"file": under(roster.file)}),
            "state": state.model_copy(update={"directory": under(state.directory)}),
        }
    )
