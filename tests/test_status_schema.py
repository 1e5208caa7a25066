"""`status`, `check`, `schema` and `--version`, as they are typed."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from edge_agent import __version__
from edge_agent.publish.contract import DATA_TYPES, Event
from tests.publish.stories import dwell, enter, leave
from tests.publish.test_contract import written

Command = Callable[..., subprocess.CompletedProcess[str]]

WELL: dict[str, Any] = {
    "clock": "synchronised",
    "sources": {"ble": {"listening": True, "heard": 9, "detail": "adapter hci0 is scanning"}},
    "visits": 2,
    "roster": "12 members, seq 3",
    "delivery": {"connected": True, "queue": 4, "detail": "connected"},
}


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A gateway's configuration and roster."""
    for name in ("STATE_DIRECTORY", "RUNTIME_DIRECTORY", "CREDENTIALS_DIRECTORY"):
        monkeypatch.delenv(name, raising=False)
    (tmp_path / "config.toml").write_text(
        """tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = { url = "mqtts://broker.example" }
roster = { file = "roster.json", allow_unsigned = true }
""",
        encoding="utf-8",
    )
    (tmp_path / "roster.json").write_text('{"members": [{"visitor": "v-1"}]}', encoding="utf-8")
    return tmp_path


@pytest.fixture
def edge_agent(folder: Path) -> Command:
    """The command line, in the folder of the configuration."""

    def run(*words: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "edge_agent", *words]
        return subprocess.run(
            command, cwd=folder, capture_output=True, text=True, timeout=30, check=False
        )

    return run


def report(folder: Path, *, age_s: float = 1.0, **changed: Any) -> None:
    """Write down what an agent said some seconds ago."""
    at = datetime.now(UTC) - timedelta(seconds=age_s)
    (folder / "state").mkdir()
    told = {"at": at.isoformat()} | WELL | changed
    (folder / "state" / "status.json").write_text(json.dumps(told), encoding="utf-8")


def test_status_before_a_run_says_that_there_was_none(edge_agent: Command) -> None:
    """No agent has run here: it names the file that is missing, and ends with 1."""
    said = edge_agent("status", "--config", "config.toml")
    assert said.returncode == 1
    assert "the agent" in said.stderr
    assert "status.json is missing" in said.stderr
    assert json.loads(said.stdout) == {}


def test_status_of_an_agent_that_is_well(folder: Path, edge_agent: Command) -> None:
    """All is well: one sentence on stderr, one line of JSON on stdout, and 0."""
    report(folder)
    said = edge_agent("status", "--config", "config.toml")
    assert said.returncode == 0
    assert said.stderr.strip() == (
        "2 visit(s) open, 4 event(s) to deliver, roster: 12 members, seq 3"
    )
    assert json.loads(said.stdout)["visits"] == 2


@pytest.mark.parametrize(
    ("changed", "sentence"),
    [
        ({"age_s": 300}, "s ago: is it running?"),
        (
            {"delivery": WELL["delivery"] | {"connected": False, "detail": "no route"}},
            "delivery: no route",
        ),
        (
            {"sources": {"ble": {"listening": False, "detail": "adapter hci0 is not there"}}},
            "radio ble: adapter hci0 is not there",
        ),
        ({"sources": {}}, "no radio listens yet; if none ever does, set [ble] adapters"),
        ({"clock": "unsynchronised"}, "the clock is not synchronised, and nothing resolves"),
        (
            {
                "delivery": WELL["delivery"]
                | {"detail": "the broker refuses events (Not authorized): check its rules"}
            },
            "the broker refuses events",
        ),
    ],
    ids=["stale", "not connected", "deaf", "no radio", "no time", "refused"],
)
def test_status_of_an_agent_that_is_not_well(
    folder: Path, edge_agent: Command, changed: dict[str, Any], sentence: str
) -> None:
    """Whatever is wrong is said after the summary, and the exit code is 1."""
    report(folder, **changed)
    said = edge_agent("status", "--config", "config.toml")
    assert said.returncode == 1
    assert sentence in said.stderr


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"at": "yesterday"}', '{"at": "2026-11-01"}'])
def test_a_status_file_that_makes_no_sense_is_reported(
    folder: Path, edge_agent: Command, text: str
) -> None:
    """A garbled file is named, without a traceback, and the exit code is 1."""
    (folder / "state").mkdir()
    (folder / "state" / "status.json").write_text(text, encoding="utf-8")
    said = edge_agent("status", "--config", "config.toml")
    assert said.returncode == 1
    assert "Traceback" not in said.stderr
    assert "cannot be read" in said.stderr


def test_the_schema_allows_what_the_models_name_and_nothing_else(edge_agent: Command) -> None:
    """For each type of event the keys of envelope and data are those that are written."""
    said = edge_agent("schema")
    assert said.returncode == 0
    schema = json.loads(said.stdout)
    definitions = schema["$defs"]
    assert len(schema["oneOf"]) == len(DATA_TYPES)
    for kind, model in DATA_TYPES.items():
        name = f"{model.__name__.removesuffix('Data')}Event"
        envelope, data = definitions[name], definitions[model.__name__]
        assert {"$ref": f"#/$defs/{name}"} in schema["oneOf"]
        assert envelope["properties"]["type"]["const"] == kind
        assert envelope["additionalProperties"] is data["additionalProperties"] is False
        nobody = {"subject"} if kind == "presence.gap.v1" else set()
        assert envelope["properties"].keys() == Event.model_fields.keys() - nobody
        aliases = {field.alias or name for name, field in model.model_fields.items()}
        assert data["properties"].keys() == aliases


@pytest.mark.parametrize(
    "event", [enter(resumed=True), dwell(), leave()], ids=lambda e: type(e).__name__
)
def test_what_is_written_has_all_that_the_schema_requires(edge_agent: Command, event: Any) -> None:
    """A written event has every required key, and no key that the schema does not know."""
    definitions = json.loads(edge_agent("schema").stdout)["$defs"]
    told = written(event)
    name = type(event).__name__
    for part, definition in ((told, f"{name}Event"), (told["data"], f"{name}Data")):
        known = definitions[definition]
        assert set(known["required"]) <= part.keys() <= known["properties"].keys()


def test_asyncapi_names_the_channels(edge_agent: Command) -> None:
    """Events, ack, state and health, each with its address under the root and its message."""
    said = edge_agent("schema", "--asyncapi")
    assert said.returncode == 0
    document = json.loads(said.stdout)
    assert document["asyncapi"] == "3.0.0"
    channels = document["channels"]
    assert {"events", "ack", "state"} <= channels.keys()
    root = "presence/v1/{tenant}/{shard}/{store}/{gateway}/"
    for leaf, channel in channels.items():
        address = channel["address"]
        assert address.startswith(root)
        name = address.removeprefix(root).replace("{", "").replace("}", "")
        assert name.replace("/", "-") == leaf
        for message in channel["messages"].values():
            name = message["$ref"].rpartition("/")[2]
            reference = document["components"]["messages"][name]["payload"]["$ref"]
            assert reference.rpartition("/")[2] in document["components"]["schemas"]
    assert "ExitEvent" in channels["events"]["messages"]


def test_every_reference_leads_somewhere(edge_agent: Command) -> None:
    """No `$ref` of either document points at a definition that is not there."""
    for words in (("schema",), ("schema", "--asyncapi")):
        document = json.loads(edge_agent(*words).stdout)
        for reference in references(document):
            there = document
            for step in reference.removeprefix("#/").split("/"):
                assert step in there, reference
                there = there[step]


def references(part: Any) -> list[str]:
    """Find every `$ref`."""
    if isinstance(part, list):
        return [ref for member in part for ref in references(member)]
    if not isinstance(part, dict):
        return []
    own = [part["$ref"]] if isinstance(part.get("$ref"), str) else []
    return own + [ref for member in part.values() for ref in references(member)]


def test_check_of_a_good_configuration(edge_agent: Command) -> None:
    """It says what the gateway is and how many opted in, on stderr, and ends with 0."""
    said = edge_agent("check", "--config", "config.toml")
    assert (said.returncode, said.stdout) == (0, "")
    assert "gateway gw-1 of store 0042 of acme, 1 zone(s), 1 on the roster" in said.stderr


@pytest.mark.parametrize(
    ("find", "replace", "complaint"),
    [
        ('"0042"', '"Store 42"', "store: "),
        ("mqtts:", "mqtt:", "mqtt.url: "),
        ("[nothing", "", ""),
        ("allow_unsigned = true", "allow_unsinged = true", 'did you mean "allow_unsigned"?'),
        ('tenant = "acme"', "", "tenant: is missing"),
        ("roster.json", "other.json", "cannot read the roster"),
    ],
)
def test_check_explains_each_bad_value(
    folder: Path, edge_agent: Command, find: str, replace: str, complaint: str
) -> None:
    """A wrong value is named by its path with what to write instead, and the exit code is 2."""
    config = folder / "config.toml"
    text = config.read_text(encoding="utf-8")
    config.write_text(text.replace(find, replace) if complaint else "[nothing", encoding="utf-8")
    said = edge_agent("check", "--config", "config.toml")
    assert said.returncode == 2
    assert complaint in said.stderr
    assert "Traceback" not in said.stderr


def test_the_version_is_told(edge_agent: Command) -> None:
    """`--version` prints the program's name and version."""
    said = edge_agent("--version")
    assert (said.returncode, said.stdout) == (0, f"edge-agent {__version__}\n")


def test_a_log_level_that_is_none_is_refused(edge_agent: Command) -> None:
    """`--log-level loud` is bad input: 2, and the levels there are."""
    said = edge_agent("run", "--config", "config.toml", "--log-level", "loud")
    assert said.returncode == 2
    assert "debug, info, warning or error" in " ".join(said.stderr.split())


def test_a_gateway_that_no_zone_names_does_not_run(folder: Path, edge_agent: Command) -> None:
    """Its zones are other gateways': `check` warns, and `run` refuses with 2."""
    with (folder / "config.toml").open("a", encoding="utf-8") as config:
        config.write('[[zone]]\nname = "floor"\ngateways = ["gw-2"]\n')
    assert "no zone names the gateway 'gw-1'" in edge_agent("check", "-c", "config.toml").stderr
    said = edge_agent("run", "--config", "config.toml")
    assert said.returncode == 2
    assert "add it to its zone's gateways" in said.stderr
