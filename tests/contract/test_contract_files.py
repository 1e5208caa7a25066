"""The contract's files: generated, not drifted, and sound in the eyes of others."""

from __future__ import annotations

import json
import re
from copy import deepcopy
from importlib import resources
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator
from jsonschema.exceptions import ValidationError
from typer.testing import CliRunner

from edge_agent.cli import app
from edge_agent.publish.contract import DATA_TYPES
from edge_agent.schema import CONTRACT, FOLDER, LEAVES, Leaf, asyncapi, documents, json_schema
from simulators.credentials import NAMESPACE, android_service_data, ephemeral_id
from tests.contract.compatibility import breaches
from tests.contract.judges import judged

STARTED = 1_793_523_600  # 2026-11-01T09:00:00Z
KEY = bytes.fromhex("0102030405060708090a111213141516")
RELEASED = Path(__file__).with_name("released")
CONFIG = f"""tenant = "acme"
store = "0042"
gateway = "gw-1"
mqtt = {{ url = "mqtts://broker.example" }}
roster = {{ file = "roster.json", allow_unsigned = true }}
ble = {{ namespace = "{NAMESPACE}" }}
presence = {{ exit_after_at_most = "30s", dwell_milestones = ["10s"] }}
zone = [{{ name = "floor", gateways = ["gw-1"] }}, {{ name = "cafe", gateways = ["gw-2"] }}]
"""


def heard(at: int, gateway: str) -> str:
    """Write a trace's line: the phone was heard."""
    advert = {
        "address": "7A:3B:0C:1D:2E:4F",
        "rssi": -52,
        "service_data": {
            str(NAMESPACE): android_service_data(ephemeral_id(KEY, STARTED), -59).hex()
        },
    }
    return json.dumps({"at": at, "gateway": gateway, "ble": advert})


@pytest.fixture(scope="module")
def events(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, Any]]:
    """A visit from enter to exit by way of the cafe, as the real pipeline tells it, a tombstone."""
    folder = tmp_path_factory.mktemp("replay")
    (folder / "config.toml").write_text(CONFIG, encoding="utf-8")
    roster = {"members": [{"visitor": "anna", "ik": KEY.hex()}]}
    (folder / "roster.json").write_text(json.dumps(roster), encoding="utf-8")
    lines = [
        '{"trace": 1, "started_at": "2026-11-01T09:00:00Z"}',
        *(heard(at, "gw-1" if at < 40 else "gw-2") for at in range(120)),
        '{"at": 600, "end": true}',
    ]
    (folder / "trace.jsonl").write_text("\n".join(lines), encoding="utf-8")
    words = ["replay", str(folder / "trace.jsonl"), "--config", str(folder / "config.toml")]
    said = CliRunner().invoke(app, words)
    assert said.exit_code == 0, said.stderr
    told: list[dict[str, Any]] = [json.loads(line) for line in said.stdout.splitlines()]
    gap = {key: value for key, value in told[0].items() if key != "subject"} | {
        "type": "presence.gap.v1",
        "dataschema": "urn:edge-agent:presence:v1:gap",
        "data": {"from": 1, "to": 3, "reason": "erased", "counts": {"presence.enter.v1": 3}},
    }
    return [*told, gap]


@pytest.fixture(scope="module")
def schema() -> Draft202012Validator:
    """The judge of events."""
    return Draft202012Validator(json_schema(), format_checker=Draft202012Validator.FORMAT_CHECKER)


def test_the_files_are_those_of_the_models() -> None:
    """None has drifted, none is missing, none is left over: `python -m edge_agent.schema`."""
    there = {file.name: file.read_text(encoding="utf-8") for file in FOLDER.glob("*.json")}
    assert there == documents()


def test_the_files_come_with_the_package() -> None:
    """A hub team that installs the package reads the contract from it."""
    text = resources.files("edge_agent").joinpath("contract", "asyncapi.json").read_text("utf-8")
    assert json.loads(text) == asyncapi()


@pytest.mark.parametrize("leaf", LEAVES, ids=lambda leaf: leaf.key)
def test_each_schema_is_a_json_schema(leaf: Leaf) -> None:
    """Of the draft 2020-12, as jsonschema knows it."""
    Draft202012Validator.check_schema(json_schema(leaf))


def test_every_type_of_event_is_told(events: list[dict[str, Any]]) -> None:
    """The story that the schema is held against leaves out no type."""
    assert {event["type"] for event in events} == set(DATA_TYPES)


def test_what_is_told_is_valid(events: list[dict[str, Any]], schema: Draft202012Validator) -> None:
    """Each event of a replayed visit is exactly one of the types."""
    for event in events:
        schema.validate(event)


def test_one_member_more_or_less_is_invalid(
    events: list[dict[str, Any]], schema: Draft202012Validator
) -> None:
    """In the envelope and in the data: the contract is an allow-list, and nothing is optional."""
    for event in events:
        for broken in (*lacking(event), *exceeding(event)):
            with pytest.raises(ValidationError):
                schema.validate(broken)


def lacking(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the event without each of its members, `resumed` aside."""
    envelopes = [{k: v for k, v in event.items() if k != name} for name in event]
    data = event["data"]
    shorter = [
        event | {"data": {k: v for k, v in data.items() if k != name}}
        for name in data.keys() - {"resumed"}
    ]
    return envelopes + shorter


def exceeding(event: dict[str, Any]) -> list[dict[str, Any]]:
    """Give the event with an address, in either place, and with another type's name."""
    deeper = deepcopy(event)
    deeper["data"]["address"] = "7A:3B:0C:1D:2E:4F"
    other = "presence.move.v1" if event["type"] != "presence.move.v1" else "presence.exit.v1"
    return [event | {"address": "7A:3B:0C:1D:2E:4F"}, deeper, event | {"type": other}]


def test_the_judges_of_asyncapi_and_cloudevents_agree(events: list[dict[str, Any]]) -> None:
    """Their own parser finds no error and no warning, and their SDK takes every event."""
    found = judged((FOLDER / "asyncapi.json").read_text(encoding="utf-8"), events)
    assert found["channels"] == [leaf.key for leaf in LEAVES]
    assert [said for said in found["diagnostics"] if said["severity"] <= 1] == []
    assert found["refused"] == []


def test_the_judges_can_say_no(events: list[dict[str, Any]]) -> None:
    """A reference into nothing and an event without a source are found."""
    document = asyncapi()
    document["channels"]["ack"]["messages"]["Acknowledgement"]["$ref"] = "#/components/messages/X"
    wrong = {key: value for key, value in events[0].items() if key != "source"}
    found = judged(json.dumps(document), [wrong | {"specversion": "1.0", "source": ""}])
    assert any(said["severity"] == 0 for said in found["diagnostics"])
    assert len(found["refused"]) == 1


def test_the_changelog_names_the_version() -> None:
    """Its newest entry is the version of the files."""
    text = (FOLDER / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = re.findall(r"^## (\d+\.\d+\.\d+)$", text, re.MULTILINE)
    assert versions[0] == CONTRACT == asyncapi()["info"]["version"]
    assert {f"`{leaf.name}`" for leaf in LEAVES} <= set(re.findall(r"`[^`]+`", text))


def test_nothing_released_is_broken() -> None:
    """Each version of this major kept here is still understood: the rules of the changelog."""
    released = sorted(RELEASED.glob("1.*.json"))
    assert released
    for file in released:
        assert breaches(json.loads(file.read_text(encoding="utf-8")), asyncapi()) == []


@pytest.mark.parametrize(
    ("path", "value", "breach"),
    [
        (("components", "schemas", "EnterData", "properties", "mood"), {}, "EnterData"),
        (("components", "schemas", "ClockQuality", "enum"), ["synchronised"], "ClockQuality"),
        (("components", "schemas", "State", "properties"), {}, "State.connected"),
        (("operations", "ack", "bindings", "mqtt", "retain"), False, "ack"),
        (("channels", "events", "address"), "presence/v1/events", "events"),
    ],
)
def test_a_breach_is_found(path: tuple[str, ...], value: Any, breach: str) -> None:
    """A changed event, a member taken from an open message, another retention or address."""
    changed = deepcopy(asyncapi())
    place: Any = changed
    for step in path[:-1]:
        place = place[step]
    place[path[-1]] = value
    assert any(found.startswith(breach) for found in breaches(asyncapi(), changed))


def test_what_the_rules_allow_is_no_breach() -> None:
    """A new topic, a new member of an open message, another description."""
    changed = deepcopy(asyncapi())
    changed["channels"]["news"] = changed["channels"]["state"]
    changed["components"]["schemas"]["State"]["properties"]["mood"] = {"type": "string"}
    changed["components"]["schemas"]["EnterData"]["description"] = "She has come in."
    assert breaches(asyncapi(), changed) == []
