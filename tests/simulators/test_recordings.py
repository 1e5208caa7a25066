"""The converters on small pieces of the original files; the whole samples on their promises."""

from __future__ import annotations

import gzip
import json
import lzma
import tomllib
from itertools import accumulate
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from simulators.recordings import BadRecordingError, app, door, rooms, static
from simulators.recordings.recording import Reception, thinned
from simulators.truth import Truth, Window

DATA = Path(__file__).parents[1] / "data"
WALK = DATA / "door" / "original" / "walk_sensor_1_measurement_1.csv"
CAR = DATA / "door" / "original" / "car_sensor_1_measurement_1.csv"
ROOMS = DATA / "rooms" / "original" / "FourScannersRun1-2015-03-10.json.gz"
STATIC = DATA / "static" / "original"
SAMPLES = [DATA / "door" / "walk", DATA / "door" / "car", DATA / "rooms", DATA / "static"]


def trace(folder: Path) -> tuple[dict[str, Any], list[dict[str, Any]], dict[str, Any]]:
    """Read a converted trace: its header, its receptions, its last line."""
    with gzip.open(folder / "trace.jsonl.gz", "rt", encoding="utf-8") as lines:
        header, *heard, end = [json.loads(line) for line in lines]
    return header, heard, end


def disorder(heard: list[dict[str, Any]]) -> float:
    """How many seconds a line comes after a newer one, at most."""
    times = [float(line["at"]) for line in heard]
    return max(newest - at for newest, at in zip(accumulate(times, max), times, strict=True))


def test_a_door_row_becomes_a_line_for_each_sniffer_that_heard_it(tmp_path: Path) -> None:
    """Superframe 150 is second 15.0, and a packet of -100 dBm was not received."""
    written = door.convert(WALK, tmp_path)
    rows = [line.split(",") for line in WALK.read_text(encoding="utf-8").splitlines()[1:]]
    received = sum(cell != "-100" for row in rows for cell in row[1:11])
    header, heard, end = trace(tmp_path)
    assert header == {"trace": 1, "started_at": "2020-10-08T09:00:00.000Z"}
    assert written.receptions == len(heard) == received
    assert heard[0]["at"] == 15.0
    assert heard[0]["gateway"] == "o-dr"
    assert heard[0]["ble"]["rssi"] == int(rows[0][1])
    assert end == {"at": 65.9, "end": True}
    assert disorder(heard) == 0


def test_a_door_tag_is_the_ibeacon_of_the_roster(tmp_path: Path) -> None:
    """Type 02, length 15, then UUID, major, minor and power as the roster says."""
    door.convert(WALK, tmp_path)
    (member,) = json.loads((tmp_path / "roster.json").read_text(encoding="utf-8"))["members"]
    frame = bytes.fromhex(trace(tmp_path)[1][0]["ble"]["manufacturer_data"]["76"])
    assert len(frame) == 23
    assert frame[:2] == b"\x02\x15"
    assert frame[2:18].hex() == member["ibeacon"]["uuid"].replace("-", "")
    assert frame[18:22] == b"\x00\x01\x00\x01"


def test_a_door_crossing_lasts_as_long_as_something_stood_in_the_barrier() -> None:
    """She was inside, broke the barrier from 21.4 to 22.2, and came back from 62.3 to 62.8."""
    first, second = door.read(WALK).truth.visits
    assert first.entered is None
    assert first.exited == Window(lo=21.4, hi=22.2)
    assert second.entered == Window(lo=62.3, hi=62.8)
    assert second.exited is None


def test_a_car_leaves_for_seconds() -> None:
    """Its bumper was in the doorway at 53.0 and its end at 58.5."""
    (visit,) = door.read(CAR).truth.visits
    assert visit.exited == Window(lo=53.0, hi=58.5)


def test_the_door_has_two_sides(tmp_path: Path) -> None:
    """Inside sniffers are a zone, those on the other side are outside."""
    door.convert(CAR, tmp_path)
    config = tomllib.loads((tmp_path / "config.toml").read_text(encoding="utf-8"))
    inside, outside = config["zone"]
    assert inside == {
        "name": "inside",
        "gateways": ["i-dl", "i-dr", "i-e", "i-t1", "i-t2", "i-t3"],
    }
    assert outside["gateways"] == ["o-dr", "o-dl", "o-e", "o-m"]
    assert outside["outside"] is True
    assert config["presence"] == {"exit_after_at_most": "10s", "resume_within": "0s"}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("", "expected superframe"),
        ("superframe,O-E,I-E,Label,raw_photosensor_door\n", "no rows"),
        ("superframe,O-E,I-E,Label,raw_photosensor_door\n0,-70,x,1,0\n", "csv:2: not a row"),
        (
            "superframe,O-E,I-E,Label,raw_photosensor_door\n1,-70,-70,1,0\n1,-70,-70,1,0\n",
            "increase",
        ),
    ],
)
def test_a_file_that_is_no_door_run_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """The error says what was expected, and where."""
    source = tmp_path / "run.csv"
    source.write_text(text, encoding="utf-8")
    with pytest.raises(BadRecordingError, match=says):
        door.read(source)


def test_only_carried_beacons_become_visitors(tmp_path: Path) -> None:
    """Of 400 readings, 157 are of the scanners' own markers and are left out."""
    written = rooms.convert(ROOMS, tmp_path)
    _header, heard, _end = trace(tmp_path)
    assert written.receptions == len(heard) == 400 - 157
    assert written.visitors == 6
    assert {line["gateway"] for line in heard} == {"room201", "room202", "room203", "room204"}


def test_the_scanners_disorder_is_kept(tmp_path: Path) -> None:
    """Queues made it; a trace allows 5 s of it."""
    rooms.convert(ROOMS, tmp_path)
    assert 1 < disorder(trace(tmp_path)[1]) <= 5


def test_more_disorder_than_a_trace_allows_is_sorted(tmp_path: Path) -> None:
    """The last third of the readings first: now they are in order."""
    parts = gzip.decompress(ROOMS.read_bytes()).decode().split("}")
    late = json.loads(parts[-2] + "}")
    late["time"] += 60_000
    source = tmp_path / "run.json"
    source.write_text(json.dumps(late) + "}".join(parts), encoding="utf-8")
    times = [heard.at for heard in rooms.read(source).receptions]
    assert times == sorted(times)


def test_the_written_log_is_the_truth_of_the_rooms() -> None:
    """Beacon 1 went from 201 to 204 between 12:42:10 and 12:43:14, by the author's clock."""
    recording = rooms.read(ROOMS)
    visit = recording.truth.visits[0]
    assert visit.visitor == "beacon-1"
    assert [stay.zone for stay in visit.stays] == ["room-201", "room-204", "room-201"]
    moved = visit.stays[0].exited
    assert moved is not None
    began = recording.started_at.timestamp()
    assert began + moved.lo == pytest.approx(1426016530, abs=0.01)
    assert began + moved.hi == pytest.approx(1426016594, abs=0.01)
    assert [(p.visitor, p.zone) for p in recording.truth.ignore] == [
        ("beacon-1", "room-202"),
        ("beacon-6", "room-203"),
    ]


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("not json", "at character 0"),
        ('{"scannerID": "Room201"}', "Field required"),
        ("", "expected the beacons"),
    ],
)
def test_a_file_that_is_no_room_run_is_refused(tmp_path: Path, text: str, says: str) -> None:
    """The error says what was expected, and where."""
    source = tmp_path / "run.json"
    source.write_text(text, encoding="utf-8")
    with pytest.raises(BadRecordingError, match=says):
        rooms.read(source)


def test_a_run_without_a_log_is_refused(tmp_path: Path) -> None:
    """The same beacons on another day moved differently."""
    day_later = gzip.decompress(ROOMS.read_bytes()).replace(b'"time": 14260', b'"time": 14261')
    source = tmp_path / "run.json"
    source.write_bytes(day_later)
    with pytest.raises(BadRecordingError, match="2015-03-10"):
        rooms.read(source)


def test_points_are_laid_side_by_side(tmp_path: Path) -> None:
    """Two files measured days apart both begin at second 0, one visitor and one gateway each."""
    written = static.convert(STATIC, tmp_path)
    _header, heard, end = trace(tmp_path)
    assert written.receptions == len(heard) == 550
    assert [line["at"] for line in heard[:2]] == [0, 0]
    assert {line["gateway"] for line in heard} == {"sensor10", "sensor31"}
    assert disorder(heard) == 0
    assert end["at"] == heard[-1]["at"]


def test_a_corrupted_rssi_is_kept_and_counted(tmp_path: Path) -> None:
    """+62 dBm is for the agent to refuse."""
    written = static.convert(STATIC, tmp_path)
    assert written.impossible == 1
    assert max(line["ble"]["rssi"] for line in trace(tmp_path)[1]) == 62


def test_nothing_is_claimed_of_a_point_after_its_last_packet() -> None:
    """The shorter file ends seconds earlier: whether the beacon was still there, nobody knows."""
    truth = static.read(STATIC).truth
    short, whole = truth.visits
    assert short.visitor == "sensor10_20.54_10.94_1.85"
    assert short.exited is not None
    assert short.exited.lo < truth.duration - 5
    assert short.exited.hi == truth.duration
    assert whole.exited is None


def test_thinning_keeps_the_first_packet_of_each_period() -> None:
    """One a second, for each visitor at each gateway."""
    heard = [
        Reception(at, gateway, "v-1", -70)
        for at in (0.1, 0.5, 0.9, 1.0, 1.9, 5.0)
        for gateway in ("gw-1", "gw-2")
    ]
    assert [(h.at, h.gateway) for h in thinned(heard, 1.0)] == [
        (at, gateway) for at in (0.1, 1.0, 5.0) for gateway in ("gw-1", "gw-2")
    ]


def test_a_packed_file_is_read_like_a_plain_one(tmp_path: Path) -> None:
    """The sets are large and lie packed."""
    packed = tmp_path / "run.csv.xz"
    packed.write_bytes(lzma.compress(WALK.read_bytes()))
    assert list(door.read(packed).receptions) == list(door.read(WALK).receptions)


def test_equal_recordings_are_equal_files(tmp_path: Path) -> None:
    """Converting twice gives the same bytes."""
    for folder in ("one", "two"):
        door.convert(WALK, tmp_path / folder)
    for name in ("trace.jsonl.gz", "truth.json", "config.toml", "roster.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize(
    ("arguments", "receptions"),
    [
        (("door", CAR), 1137),
        (("rooms", ROOMS), 243),
        (("rooms", ROOMS, "--thin", "1"), 61),
        (("static", STATIC), 550),
    ],
)
def test_the_command_converts(
    tmp_path: Path, arguments: tuple[object, ...], receptions: int
) -> None:
    """Four files in the folder, one line of JSON about them on stdout."""
    name, source, *options = (str(argument) for argument in arguments)
    result = CliRunner().invoke(app, [name, source, str(tmp_path / "out"), *options])
    assert result.exit_code == 0
    assert json.loads(result.stdout)["receptions"] == receptions
    assert len(list((tmp_path / "out").iterdir())) == 4


@pytest.mark.parametrize("kind", ["door", "rooms", "static"])
def test_the_command_refuses_a_source_that_is_not_there(tmp_path: Path, kind: str) -> None:
    """Exit code 2, and the name of the file."""
    result = CliRunner().invoke(app, [kind, str(tmp_path / "missing"), str(tmp_path / "out")])
    assert result.exit_code == 2
    assert "missing" in result.stderr


@pytest.mark.parametrize("sample", SAMPLES, ids=lambda sample: sample.name)
def test_a_sample_hangs_together(sample: Path) -> None:
    """Every gateway is in a zone, every visitor on the roster, disorder within 5 s."""
    header, heard, end = trace(sample)
    truth = Truth.read(sample / "truth.json")
    config = tomllib.loads((sample / "config.toml").read_text(encoding="utf-8"))
    roster = json.loads((sample / "roster.json").read_text(encoding="utf-8"))["members"]
    assert truth.started_at is not None
    assert header["started_at"][:19] == truth.started_at.isoformat()[:19]
    assert end["at"] == truth.duration >= max(line["at"] for line in heard)
    zoned = {gateway for zone in config["zone"] for gateway in zone["gateways"]}
    assert {line["gateway"] for line in heard} <= zoned
    assert {visit.visitor for visit in truth.visits} == {member["visitor"] for member in roster}
    assert {stay.zone for visit in truth.visits for stay in visit.stays} <= {
        zone["name"] for zone in config["zone"]
    }
    assert disorder(heard) <= 5
