"""The configuration: read as the design writes it, and every wrong value explained by its path."""

from __future__ import annotations

from pathlib import Path
from uuid import UUID

import pytest

from edge_agent.config import Config, ConfigError, Fault, read_config

KEY = "ab" * 32
MINIMAL = f"""\
tenant = "acme"
store = "0042"
gateway = "gw-1"

[mqtt]
url = "mqtts://broker.example:8883"
[roster]
public_key = "{KEY}"
[ble]
namespace = "7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13"
[presence]
dwell_milestones = ["1min", "5min", "15min", "30min", "1h"]
enter_confidence = 0.9
exit_after_at_most = "6min"
resume_within = "2min"
[[zone]]
name = "floor"
gateways = ["gw-1"]
"""
HOURS = """\
[hours]
timezone = "Europe/Berlin"
open = ["mon-fri 09:00-20:00", "sat 10:00-18:00"]
closed = ["2026-12-25"]
sweep_after = "15min"
[presence]
"""


@pytest.fixture(autouse=True)
def _outside_systemd(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing of the machine's own environment comes in."""
    for name in ("STATE_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)


def written(folder: Path, text: str) -> Path:
    """Write a configuration file."""
    path = folder / "edge.toml"
    path.write_text(text, encoding="utf-8")
    return path


def changed(folder: Path, old: str, new: str) -> Config:
    """Read the minimal configuration with one change."""
    assert old in MINIMAL
    return read_config(written(folder, MINIMAL.replace(old, new)))


def faults(folder: Path, old: str, new: str) -> list[Fault]:
    """Say what is wrong after one change."""
    with pytest.raises(ConfigError) as caught:
        changed(folder, old, new)
    return caught.value.faults


def test_the_configuration_of_the_design_loads(tmp_path: Path) -> None:
    """Every value as it is written there, durations in seconds."""
    config = read_config(written(tmp_path, MINIMAL))
    assert (config.tenant, config.store, config.gateway) == ("acme", "0042", "gw-1")
    assert config.mqtt.url == "mqtts://broker.example:8883"
    assert config.ble.namespace == UUID("7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13")
    assert config.presence.dwell_milestones == (60, 300, 900, 1800, 3600)
    assert config.presence.enter_confidence == 0.9
    assert (config.presence.exit_after_at_most, config.presence.resume_within) == (360, 120)
    assert [(zone.name, zone.gateways, zone.outside) for zone in config.zones] == [
        ("floor", ("gw-1",), False)
    ]


def test_what_is_left_out_has_the_designs_defaults(tmp_path: Path) -> None:
    """Without presence, ble and zones: the same numbers, one zone, one adapter."""
    full = read_config(written(tmp_path, MINIMAL))
    short = read_config(written(tmp_path, MINIMAL[: MINIMAL.index("[ble]")]))
    assert short.presence == full.presence
    assert [(zone.name, zone.gateways) for zone in short.zones] == [("store", ("gw-1",))]
    assert (short.ble.namespace, short.ble.adapters) == (None, ("hci0",))


WRONG = [
    ('\ngateways = ["gw-1"]', '\ngateways = ["GW 1"]', "zone[0].gateways[0]", '"gw-1"'),
    ('tenant = "acme"\n', "", "tenant", "is missing"),
    ('store = "0042"', "store = 42", "store", "string"),
    ('store = "0042"', 'store = "Wien 7"', "store", '"wien-7"'),
    ('store = "0042"', f'store = "{"a" * 65}"', "store", "1 to 64"),
    ('store = "0042"', 'store = ""', "store", "1 to 64"),
    ('gateway = "gw-1"', 'gateway = "gw_1"', "gateway", '"gw-1"'),
    ('"acme"', '"a/b"', "tenant", '"a-b"'),
    ("mqtts://", "mqtt://", "mqtt.url", "allow_plaintext"),
    ("mqtts://", "https://", "mqtt.url", "mqtts://host:port"),
    ("mqtts://", "mqtts://me:secret@", "mqtt.url", "fields of their own"),
    (":8883", ":99999", "mqtt.url", "mqtts://host:port"),
    ("[roster]", "alow_plaintext = true\n[roster]", "mqtt.alow_plaintext", '"allow_plaintext"'),
    ("[roster]", 'cert_file = "c.pem"\n[roster]', "mqtt", "go together"),
    ("[roster]", "keepalive = 30\n[roster]", "mqtt.keepalive", '"30s"'),
    (f'"{KEY}"', '"abc"', "roster.public_key", "32 octets"),
    (f'public_key = "{KEY}"', "", "roster", "give public_key"),
    (f'public_key = "{KEY}"', 'file = "r.json"', "roster.file", "allow_unsigned = true"),
    (f'"{KEY}"', f'"{KEY}"\nallow_unsigned = true', "roster.allow_unsigned", "remove one"),
    ("7a3c9e10-", "7a3c9e1-", "ble.namespace", "UUID"),
    ("[presence]", 'adapters = ["wlan0"]\n[presence]', "ble.adapters[0]", "hci"),
    ("[presence]", 'adapters = ["hci0", "hci0"]\n[presence]', "ble.adapters", "twice"),
    ("[presence]", 'scanning = "lazy"\n[presence]', "ble.scanning", "passive"),
    ('"6min"', "360", "presence.exit_after_at_most", '"360s"'),
    ('"6min"', '"6"', "presence.exit_after_at_most", "such as"),
    ('"6min"', '"6 minutes"', "presence.exit_after_at_most", "such as"),
    ('"6min"', '"1.5min"', "presence.exit_after_at_most", "integer"),
    ('"6min"', '"-6min"', "presence.exit_after_at_most", "integer"),
    ('"6min"', '"4s"', "presence.exit_after_at_most", "greater than or equal to 5"),
    ('"6min"', '"25h"', "presence.exit_after_at_most", "less than or equal"),
    ('"6min"', "true", "presence.exit_after_at_most", "integer"),
    ('"5min"', "5", "presence.dwell_milestones[1]", '"5min"'),
    ('"5min"', '"0s"', "presence.dwell_milestones[1]", "greater than or equal to 1"),
    ("= 0.9", "= 0.4", "presence.enter_confidence", "0.5"),
    ("= 0.9", "= 1.0", "presence.enter_confidence", "0.999"),
    ("= 0.9", "= nan", "presence.enter_confidence", ""),
    ('"floor"', '"Floor"', "zone[0].name", "inner spaces"),
    ('"floor"', '" floor"', "zone[0].name", "inner spaces"),
    ('["gw-1"]\n', "[]\n", "zone[0].gateways", "at least 1"),
    ("[presence]", HOURS.replace("Europe/Berlin", "Berlin"), "hours.timezone", '"Europe/Berlin"'),
    ("[presence]", HOURS.replace("sat", "saturday"), "hours.open[1]", '"sat"'),
    ("[presence]", HOURS.replace("09:00", "9"), "hours.open[0]", '"09:00"'),
    ("[presence]", HOURS.replace('"sat 10:00-18:00"', "6"), "hours.open[1]", "such as"),
    ("[presence]", HOURS.replace("-12-25", "-13-25"), "hours.closed[0]", '"2026-12-25"'),
    ("[presence]", HOURS.replace('"2026-12-25"', "7"), "hours.closed[0]", '"2026-12-25"'),
    ("[presence]", HOURS.replace("sat ", "2026-12-25 "), "hours.closed", "2026-12-25 is also"),
    ("[presence]", HOURS.replace('"15min"', '"5h"'), "hours.sweep_after", "less than or equal"),
    ("[presence]", HOURS.replace('"15min"', "15"), "hours.sweep_after", '"15min"'),
    ("[presence]", HOURS.replace("closed", "close"), "hours.close", '"closed"'),
    ("[presence]", HOURS.replace('timezone = "Europe/Berlin"', ""), "hours.timezone", "missing"),
    ("[presence]", '[hours]\ntimezone = "UTC"\nopen = []\n[presence]', "hours.open", "at least 1"),
    ('["gw-1"]\n', '["gw-1", "gw-1"]\n', "zone", "'gw-1' is named twice"),
    ('["gw-1"]\n', '["gw-1"]\noutside = true\n', "zone", "nobody could ever enter"),
    ('["gw-1"]\n', '["gw-1"]\n[[zone]]\nname = "floor"\ngateways = ["b"]\n', "zone", "'floor'"),
    ('["gw-1"]\n', '["gw-1"]\n[[zone]]\nname = "b"\ngateways = ["gw-1"]\n', "zone", "'gw-1'"),
]


@pytest.mark.parametrize(("old", "new", "path", "advice"), WRONG)
def test_a_wrong_value_is_explained_by_its_path(
    tmp_path: Path, old: str, new: str, path: str, advice: str
) -> None:
    """Where it is, and what to write instead."""
    (fault,) = faults(tmp_path, old, new)
    assert fault.path == path
    assert advice in fault.advice


def test_three_mistakes_are_three_faults(tmp_path: Path) -> None:
    """Nobody wants to be told one at a time."""
    text = MINIMAL.replace('"6min"', "6").replace('"0042"', "42").replace("mqtts://", "ftp://")
    with pytest.raises(ConfigError) as caught:
        read_config(written(tmp_path, text))
    assert {fault.path for fault in caught.value.faults} == {
        "store",
        "mqtt.url",
        "presence.exit_after_at_most",
    }


@pytest.mark.parametrize(
    ("misspelt", "meant"),
    [("[mqtt]", "mqqt"), ("[presence]", "presense"), ("[[zone]]", "zones")],
)
def test_a_misspelt_section_is_recognised(tmp_path: Path, misspelt: str, meant: str) -> None:
    """It says what was probably meant."""
    section = misspelt.strip("[]")
    told = faults(tmp_path, misspelt, misspelt.replace(section, meant))
    assert f'did you mean "{section}"?' in {f.path: f.advice for f in told}[meant]


@pytest.mark.parametrize(
    ("old", "new"),
    [
        ("mqtts://broker.example:8883", "mqtts://broker.example"),
        ('mqtts://broker.example:8883"', 'mqtt://10.0.0.1"\nallow_plaintext = true'),
        ('resume_within = "2min"', 'resume_within = "0s"'),
        ('"6min"', '"5s"'),
        ('"floor"', '"ground floor 2"'),
        (f'public_key = "{KEY}"', 'file = "r.json"\nallow_unsigned = true'),
        ('["gw-1"]\n', '["gw-1"]\n[[zone]]\nname = "street"\ngateways = ["b"]\noutside = true\n'),
    ],
)
def test_what_the_design_permits_is_permitted(tmp_path: Path, old: str, new: str) -> None:
    """Other spellings of right values."""
    assert changed(tmp_path, old, new).store == "0042"


def test_opening_hours_are_read(tmp_path: Path) -> None:
    """With their holidays, quoted or as TOML has dates; without the section there are none."""
    config = changed(tmp_path, "[presence]", HOURS)
    assert config.hours is not None
    assert [opening.closes_min for opening in config.hours.open] == [20 * 60, 18 * 60]
    bare = HOURS.replace('"2026-12-25"', "2026-12-25").replace('sweep_after = "15min"', "")
    assert changed(tmp_path, "[presence]", bare).hours == config.hours
    assert changed(tmp_path, "acme", "acme").hours is None


def test_milestones_are_put_in_order(tmp_path: Path) -> None:
    """Written in any order and twice, told once each, ascending."""
    config = changed(tmp_path, '"1min", "5min", "15min", "30min", "1h"', '"1h", "60s", "1min"')
    assert config.presence.dwell_milestones == (60, 3600)


def test_paths_are_relative_to_the_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the agent was started; absolute ones stay."""
    monkeypatch.chdir("/")
    text = 'url = "mqtts://b"\nca_file = "/etc/ca.pem"\ncert_file = "c.pem"\nkey_file = "k.pem"'
    config = changed(tmp_path, 'url = "mqtts://broker.example:8883"', text)
    assert config.mqtt.ca_file == Path("/etc/ca.pem")
    assert config.mqtt.cert_file == tmp_path / "c.pem"
    assert config.state.directory == tmp_path / "state"


def test_systemd_says_where_state_goes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`StateDirectory=` counts where the file says nothing."""
    monkeypatch.setenv("STATE_DIRECTORY", "/var/lib/edge-agent")
    state = '[state]\ndirectory = "mine"\n[presence]'
    assert changed(tmp_path, "acme", "acme").state.directory == Path("/var/lib/edge-agent")
    assert changed(tmp_path, "[presence]", state).state.directory == tmp_path / "mine"


def test_the_environment_wins_over_the_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Nested options with two underscores; the rest of the section stays."""
    monkeypatch.setenv("EDGE_AGENT_STORE", "0043")
    monkeypatch.setenv("EDGE_AGENT_PRESENCE__EXIT_AFTER_AT_MOST", "30s")
    config = read_config(written(tmp_path, MINIMAL))
    assert config.store == "0043"
    assert (config.presence.exit_after_at_most, config.presence.resume_within) == (30, 120)


def test_a_credential_wins_over_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A file of systemd's, named like the option."""
    credentials = tmp_path / "credentials"
    credentials.mkdir()
    (credentials / "mqtt__password").write_text("from-systemd", encoding="utf-8")
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(credentials))
    monkeypatch.setenv("EDGE_AGENT_MQTT__PASSWORD", "from-environment")
    config = read_config(written(tmp_path, MINIMAL))
    assert config.mqtt.password is not None
    assert config.mqtt.password.get_secret_value() == "from-systemd"
    assert config.mqtt.url == "mqtts://broker.example:8883"


@pytest.mark.parametrize("name", ["EDGE_AGENT_ZONE", "EDGE_AGENT_BLE__ADAPTERS"])
def test_an_environment_that_is_no_json_is_explained(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """Lists are given as JSON; a bad one is bad input and no traceback."""
    monkeypatch.setenv(name, "hci0")
    with pytest.raises(ConfigError):
        read_config(written(tmp_path, MINIMAL))


def test_a_password_is_not_shown(tmp_path: Path) -> None:
    """Neither by the configuration itself nor by an error about its neighbour."""
    good = changed(tmp_path, "[roster]", 'username = "u"\npassword = "hunter2"\n[roster]')
    assert "hunter2" not in repr(good)
    told = faults(tmp_path, "[roster]", 'user = "u"\npassword = "hunter2"\n[roster]')
    assert "hunter2" not in str(told)


@pytest.mark.parametrize(
    "secret",
    ['password = ["hunter2"]', 'url = "mqtt://gw:hunter2@broker"', 'pasword = "hunter2"'],
)
def test_an_error_never_repeats_a_secret(tmp_path: Path, secret: str) -> None:
    """Misspelt, of the wrong type or in the wrong place, it is still a secret."""
    old = 'url = "mqtts://broker.example:8883"'
    with pytest.raises(ConfigError) as caught:
        changed(tmp_path, old, secret if secret.startswith("url") else f"{old}\n{secret}")
    assert "hunter2" not in str(caught.value)
    assert caught.value.__cause__ is None


@pytest.mark.parametrize("octets", [b"tenant = ", b"\xff\xfe", b'tenant = "a"\ntenant = "b"'])
def test_what_is_no_toml_is_refused(tmp_path: Path, octets: bytes) -> None:
    """The file is named."""
    path = tmp_path / "edge.toml"
    path.write_bytes(octets)
    with pytest.raises(ConfigError, match=r"edge\.toml: is not"):
        read_config(path)


def test_a_file_that_is_not_there_is_refused(tmp_path: Path) -> None:
    """With the system's reason."""
    with pytest.raises(ConfigError, match="cannot be read: No such file"):
        read_config(tmp_path / "absent.toml")
