"""`edge-agent replay`: a trace in, events out, as a user runs it."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer.testing import CliRunner, Result

from edge_agent.cli import app
from edge_agent.publish.contract import DATA_TYPES, Event
from edge_agent.schema import json_schema
from simulators.credentials import android_service_data, ephemeral_id

STARTED = 1_793_523_600  # 2026-11-01T09:00:00Z
NS = "7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13"
IK = bytes.fromhex("0102030405060708090a111213141516")
UID = bytes.fromhex("c0ffee00aa55c0ffee00badc0ffee123")
PHONE = "7A:3B:0C:1D:2E:4F"
STRANGER = "D1:66:77:88:99:AA"
KEYID = "passphrase-of-cleo"
EID = ephemeral_id(IK, STARTED)

CONFIG = """\
tenant = "acme"
store = "0042"
gateway = "gw-1"
[mqtt]
url = "mqtts://broker.example:8883"
[roster]
file = "roster.json"
allow_unsigned = true
[ble]
namespace = "7a3c9e10-5b2d-4f68-9c41-d0e2a7b65f13"
[presence]
exit_after_at_most = "30s"
dwell_milestones = ["10s"]
[[zone]]
name = "floor"
gateways = ["gw-1"]
[[zone]]
name = "cafe"
gateways = ["gw-2"]
"""
ROSTER = {
    "members": [
        {"visitor": "anna", "ik": IK.hex()},
        {"visitor": "bea", "eddystone_uid": UID.hex()},
        {"visitor": "cleo", "wifi_keyid": KEYID},
    ]
}


class Run(NamedTuple):
    """What came of a replay."""

    code: int
    events: list[dict[str, Any]]
    stdout: bytes
    stderr: str


class Shop:
    """A folder with a configuration and a roster, in which traces are replayed."""

    def __init__(self, folder: Path) -> None:
        """Write both."""
        self.folder = folder
        self.config = folder / "edge.toml"
        self.config.write_text(CONFIG, encoding="utf-8")
        (folder / "roster.json").write_text(json.dumps(ROSTER), encoding="utf-8")

    def trace(self, lines: list[dict[str, Any]]) -> Path:
        """Write a trace."""
        header = {"trace": 1, "started_at": "2026-11-01T09:00:00Z"}
        path = self.folder / "trace.jsonl"
        path.write_text("\n".join(map(json.dumps, [header, *lines])) + "\n", encoding="utf-8")
        return path

    def replay(self, trace: Path | str, *more: str, stdin: bytes | None = None) -> Run:
        """Run the command in this process."""
        arguments = ["replay", str(trace), "--config", str(self.config), *more]
        result: Result = CliRunner().invoke(app, arguments, input=stdin)
        assert result.exception is None or isinstance(result.exception, SystemExit)
        events = [json.loads(line) for line in result.stdout_bytes.splitlines()]
        return Run(result.exit_code, events, result.stdout_bytes, result.stderr)


@pytest.fixture
def shop(tmp_path: Path) -> Shop:
    """A shop of the test's own."""
    return Shop(tmp_path)


def anna(at: float, gateway: str = "gw-1", rssi: int = -55) -> dict[str, Any]:
    """Give Anna's phone, heard near a gateway."""
    data = android_service_data(EID, -59).hex()
    heard = {"address": PHONE, "rssi": rssi, "service_data": {NS: data}}
    return {"at": at, "gateway": gateway, "ble": heard}


def bea(at: float) -> dict[str, Any]:
    """Give Bea's tag."""
    uid = {"0000feaa-0000-1000-8000-00805f9b34fb": "00ee" + UID.hex()}
    heard = {"address": "E0:01:02:03:04:05", "rssi": -60, "service_data": uid}
    return {"at": at, "gateway": "gw-1", "ble": heard}


def stranger(at: float) -> dict[str, Any]:
    """Give a stranger's headphones."""
    heard = {"address": STRANGER, "rssi": -50, "manufacturer_data": {"76": "10020b00"}}
    return {"at": at, "gateway": "gw-1", "ble": heard}


def day() -> list[dict[str, Any]]:
    """Give a minute with a phone, a tag, a station, strangers, two zones and a lost radio."""
    lines = [anna(at / 2) for at in range(40)] + [anna(20 + at / 2, "gw-2") for at in range(40)]
    lines += [stranger(float(at)) for at in range(60)]
    lines += [bea(at + 0.3) for at in range(60)]
    wifi = {"event": "associated", "address": "A4:C1:38:0B:0C:0D", "keyid": KEYID}
    lines.append({"at": 7.0, "gateway": "gw-1", "wifi": wifi})
    bound = {"event": "bound", "address": "A6:C1:38:0B:0C:0E", "visitor": "anna"}
    lines.append({"at": 8.0, "gateway": "gw-1", "portal": bound})
    lines.append({"at": 50.0, "gateway": "gw-2", "radio": {"source": "ble", "state": "lost"}})
    return sorted(lines, key=lambda line: float(line["at"]))


def kinds(run: Run) -> list[tuple[str, str]]:
    """Say who did what."""
    return [(e["data"]["visitor"], e["type"].split(".")[1]) for e in run.events]


def test_events_come_out_as_json_lines(shop: Shop) -> None:
    """On stdout the events, on stderr a sentence; exit code 0."""
    run = shop.replay(shop.trace([anna(at) for at in range(12)]))
    assert run.code == 0
    assert kinds(run) == [("anna", "enter"), ("anna", "dwell")]
    enter = run.events[0]
    assert enter["time"] == enter["data"]["entered_at"] == "2026-11-01T09:00:00.000Z"
    assert (enter["source"], enter["subject"], enter["seq"]) == ("/acme/0042/gw-1", "anna", 1)
    assert run.stderr.startswith("2 events; 0 lines skipped")


def test_nobody_leaves_because_a_trace_ended(shop: Shop) -> None:
    """The last line is the last that is known."""
    assert ("anna", "exit") not in kinds(shop.replay(shop.trace([anna(at) for at in range(12)])))


def test_an_end_lets_time_pass(shop: Shop) -> None:
    """The recording went on until 60: thirty seconds of silence after 11 are an exit."""
    lines = [anna(at) for at in range(12)]
    run = shop.replay(shop.trace([*lines, {"at": 60.0, "end": True}]))
    leave = run.events[-1]
    assert kinds(run)[-1] == ("anna", "exit")
    assert leave["data"]["exited_at"] == "2026-11-01T09:00:11.000Z"
    assert leave["data"]["decided_at"] == "2026-11-01T09:00:41.000Z"
    assert leave["data"]["reason"] == "silence"
    early = shop.replay(shop.trace([*lines, {"at": 40.0, "end": True}]))
    assert ("anna", "exit") not in kinds(early)


def test_a_closing_ends_the_visit_and_keeps_the_night_out(shop: Shop) -> None:
    """The trace begins at ten; the store closes at 10:05 and lets shoppers out for a minute."""
    hours = 'timezone = "Europe/Berlin"\nopen = ["sun 09:00-10:05"]\nsweep_after = "1min"\n'
    shop.config.write_text(f"{CONFIG}[hours]\n{hours}", encoding="utf-8")
    run = shop.replay(shop.trace([bea(at) for at in range(600)]))
    assert kinds(run) == [("bea", "enter"), ("bea", "dwell"), ("bea", "exit")]
    leave = run.events[-1]["data"]
    assert (leave["reason"], leave["confidence"]) == ("store_closed", 1)
    assert leave["exited_at"] == "2026-11-01T09:05:59.000Z"
    assert leave["decided_at"] == "2026-11-01T09:06:00.000Z"


def test_staff_and_tags_of_nobody_make_no_visits(shop: Shop) -> None:
    """Bea's tag once she works here, and once she is not on the roster at all."""
    trace = shop.trace([bea(at) for at in range(60)])
    member = {"visitor": "bea", "eddystone_uid": UID.hex()}
    for members, visits in (([member], True), ([{**member, "staff": True}], False), ([], False)):
        roster = json.dumps({"members": members})
        (shop.folder / "roster.json").write_text(roster, encoding="utf-8")
        assert bool(shop.replay(trace).events) == visits


def test_a_trace_may_come_from_stdin(shop: Shop) -> None:
    """`-` gives what the file gives."""
    path = shop.trace(day())
    assert shop.replay("-", stdin=path.read_bytes()).stdout == shop.replay(path).stdout


def test_events_may_go_to_a_file(shop: Shop) -> None:
    """The same octets, and nothing on stdout."""
    path, out = shop.trace(day()), shop.folder / "events.jsonl"
    run = shop.replay(path, "--events", str(out))
    assert (run.code, run.stdout) == (0, b"")
    assert out.read_bytes() == shop.replay(path).stdout != b""


def test_a_replay_is_deterministic(shop: Shop) -> None:
    """Octet for octet, in this process and as the installed command in another."""
    path = shop.trace(day())
    command = [sys.executable, "-m", "edge_agent", "replay", str(path), "-c", str(shop.config)]
    other = subprocess.run(command, capture_output=True, check=True)
    assert shop.replay(path).stdout == shop.replay(path).stdout == other.stdout


@pytest.mark.parametrize("seed", range(5))
def test_disorder_within_five_seconds_changes_nothing(shop: Shop, seed: int) -> None:
    """Shuffled, the trace gives the same events."""
    shuffle = random.Random(seed)
    lines = day()
    late = sorted(lines, key=lambda line: float(line["at"]) + shuffle.uniform(0, 4.9))
    assert late != lines
    assert shop.replay(shop.trace(late)).stdout == shop.replay(shop.trace(lines)).stdout


def test_gateways_of_no_zone_are_ignored_and_counted(shop: Shop) -> None:
    """A neighbour's gateway in the trace: twelve lines of it say nothing."""
    run = shop.replay(shop.trace([anna(at, "gw-9") for at in range(12)]))
    assert (run.code, run.events) == (0, [])
    assert "12 lines of gateways that no zone names" in run.stderr


def test_every_gateway_of_a_zone_is_this_one_in_a_replay(shop: Shop) -> None:
    """Anna goes from gw-1 to gw-2: a move, told by the configured gateway."""
    run = shop.replay(shop.trace(day()))
    assert ("anna", "move") in kinds(run)
    assert {event["source"] for event in run.events} == {"/acme/0042/gw-1"}


def test_skipped_lines_are_told_and_leave_exit_0(shop: Shop) -> None:
    """Each by its number, and all of them counted."""
    path = shop.trace([anna(at) for at in range(12)])
    with path.open("a", encoding="utf-8") as trace:
        trace.write("garbage\n" * 100)
    run = shop.replay(path)
    assert run.code == 0
    assert "line 14 skipped: " in run.stderr
    assert "100 lines skipped" in run.stderr


def test_numbers_have_no_gaps_and_ids_are_theirs(shop: Shop) -> None:
    """From 1, in one epoch; the id names gateway, epoch and number."""
    events = shop.replay(shop.trace(day())).events
    (epoch,) = {event["epoch"] for event in events}
    assert [event["seq"] for event in events] == list(range(1, len(events) + 1))
    assert all(event["id"] == f"gw-1:{epoch}:{event['seq']}" for event in events)


def test_events_keep_the_contract(shop: Shop) -> None:
    """Written back by the contract's models they are the same, and the schema names every field."""
    events = shop.replay(shop.trace([*day(), {"at": 200.0, "end": True}])).events
    definitions = json_schema()["$defs"]
    assert {event["type"] for event in events} == set(DATA_TYPES) - {"presence.gap.v1"}
    for event in events:
        model = Event.model_validate_json(json.dumps(event))
        assert json.loads(model.model_dump_json(by_alias=True)) == event
        data = DATA_TYPES[event["type"]]
        assert isinstance(model.data, data)
        assert_fits(event, definitions[f"{data.__name__.removesuffix('Data')}Event"])
        assert_fits(event["data"], definitions[data.__name__])


def assert_fits(value: dict[str, Any], schema: dict[str, Any]) -> None:
    """Hold an object's names against its schema: all that are required, none that is not named."""
    assert schema["additionalProperties"] is False
    assert set(schema["required"]) <= set(value) <= set(schema["properties"])


def test_nothing_of_the_radio_comes_out(shop: Shop) -> None:
    """No address, identifier, key, tag or credential, in any spelling, on stdout or stderr."""
    path = shop.trace([*day(), {"at": 200.0, "end": True}])
    with path.open("a", encoding="utf-8") as trace:
        trace.write(json.dumps({"at": 200.0, "gateway": "gw-1", "ble": {"address": PHONE[:-1]}}))
        trace.write(f'\n{{"at": 200, "gateway": "gw-1", "ble": {{"{PHONE}": "{EID.hex()}"}}}}\n')
    run = shop.replay(path)
    output = run.stdout + run.stderr.encode()
    assert len(run.events) >= 8
    addresses = [PHONE, STRANGER, "E0:01:02:03:04:05", "A4:C1:38:0B:0C:0D", "A6:C1:38:0B:0C:0E"]
    secrets = [EID, IK, UID, *(bytes.fromhex(a.replace(":", "")) for a in addresses)]
    for secret in secrets:
        for text in (secret.hex(), secret.hex(":"), secret.hex("-"), secret[::-1].hex()):
            assert text.encode() not in output.lower()
        assert secret not in output
    assert KEYID.encode() not in output
    assert NS.encode() not in output


def test_the_roster_may_be_empty(shop: Shop) -> None:
    """Nobody opted in, nobody comes out."""
    (shop.folder / "roster.json").write_text('{"members": []}', encoding="utf-8")
    run = shop.replay(shop.trace(day()))
    assert (run.code, run.events) == (0, [])


@pytest.mark.parametrize(
    ("file", "text", "says"),
    [
        ("trace.jsonl", "", "not a trace header"),
        ("trace.jsonl", '{"trace": 9}\n', "not a trace header"),
        ("trace.jsonl", None, "cannot read the trace"),
        ("roster.json", "{", "is not usable"),
        ("roster.json", None, "cannot read the roster"),
        ("edge.toml", "tenant = 7", "tenant"),
        ("edge.toml", None, "cannot be read"),
    ],
)
def test_bad_input_is_exit_2(shop: Shop, file: str, text: str | None, says: str) -> None:
    """With a sentence on stderr, and nothing on stdout."""
    trace = shop.trace(day())
    path = shop.folder / file
    path.unlink()
    if text is not None:
        path.write_text(text, encoding="utf-8")
    run = shop.replay(trace)
    assert (run.code, run.stdout) == (2, b"")
    assert says in run.stderr


def test_events_that_cannot_be_written_are_exit_2(shop: Shop) -> None:
    """A folder that is not there."""
    run = shop.replay(shop.trace(day()), "--events", str(shop.folder / "absent" / "out"))
    assert run.code == 2
    assert "cannot write" in run.stderr


def test_a_reader_who_has_seen_enough_is_no_error(shop: Shop) -> None:
    """`replay ... | head -0`: the pipe is closed before the first event."""
    command = [sys.executable, "-m", "edge_agent", "replay", "-", "-c", str(shop.config)]
    with subprocess.Popen(
        command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    ) as process:
        assert process.stdout is not None
        process.stdout.close()
        process.stdout = None
        _, stderr = process.communicate(shop.trace(day()).read_bytes())
    assert process.returncode == 0
    assert b"Traceback" not in stderr


def check(config: Path) -> Result:
    """Run `edge-agent check`."""
    return CliRunner().invoke(app, ["check", "--config", str(config)])


def test_a_good_configuration_is_said_to_be_good(shop: Shop) -> None:
    """On stderr, with what it amounts to; stdout is for data."""
    result = check(shop.config)
    assert (result.exit_code, result.stdout) == (0, "")
    assert "gateway gw-1 of store 0042 of acme, 2 zone(s), 3 on the roster" in result.stderr


def test_check_explains_each_bad_value_and_is_exit_2(shop: Shop) -> None:
    """One line each, by path."""
    text = CONFIG.replace('"30s"', "30").replace("0042", "Wien")
    shop.config.write_text(text, encoding="utf-8")
    result = check(shop.config)
    assert result.exit_code == 2
    lines = result.stderr.splitlines()
    assert [line.split(":")[0] for line in lines] == ["store", "presence.exit_after_at_most"]


@pytest.mark.parametrize("name", ["[/x]", "[red]", "[bold]x[/]"])
def test_check_shows_what_looks_like_markup(shop: Shop, name: str) -> None:
    """A misspelt option is named as it is written, whatever brackets it has."""
    shop.config.write_text(f'"{name}" = 1\n{CONFIG}', encoding="utf-8")
    result = check(shop.config)
    assert result.exit_code == 2
    assert f"{name}: there is no such option" in result.stderr


def test_check_reads_the_roster_too(shop: Shop) -> None:
    """A bad key in it is exit 2."""
    (shop.folder / "roster.json").write_text('{"members": [{"visitor": "a", "ik": "0"}]}')
    result = check(shop.config)
    assert result.exit_code == 2
    assert "members.0.ik" in result.stderr


def test_check_refuses_a_gateway_in_no_zone(shop: Shop) -> None:
    """A replay may do without; `run` refuses it, and so does `check`."""
    shop.config.write_text(CONFIG.replace('gateways = ["gw-1"]', 'gateways = ["gw-3"]'))
    result = check(shop.config)
    assert result.exit_code == 2
    assert "no zone names the gateway 'gw-1'" in result.stderr
