"""No address and no payload leaves through a log, a repr, an exception or the health."""

from __future__ import annotations

import asyncio
import gc
import logging
import time
import traceback
from collections.abc import Iterator

import pytest
import structlog

from edge_agent.model import Advertisement
from edge_agent.sources.source import SourceLostError
from simulators.bluez import BlueZPeer
from tests.sources.ear import MEMBER, SERVICE_DATA, STRANGER, make_source, one_life, supervised

pytestmark = pytest.mark.bluez

SECRETS = [
    form
    for address in (MEMBER, STRANGER)
    for form in (address, address.replace(":", "_"), address.replace(":", "-"), address.lower())
] + ["438b0be8656b8d6c", r"C\x8b\x0b"]


class Root(logging.Handler):
    """A process's log file, which takes everything."""

    def __init__(self) -> None:
        super().__init__(logging.DEBUG)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        """Write a line, with the traceback."""
        self.lines.append(self.format(record))


@pytest.fixture
def root() -> Iterator[Root]:
    """The root logger at DEBUG, with a handler of its own: pytest's sees what no other would."""
    logger, handler = logging.getLogger(), Root()
    level = logger.level
    logger.addHandler(handler)
    logger.setLevel(logging.DEBUG)
    yield handler
    logger.setLevel(level)
    logger.removeHandler(handler)


@pytest.fixture
def structured() -> Iterator[list[structlog.typing.EventDict]]:
    """All that is logged through structlog."""
    with structlog.testing.capture_logs() as events:
        yield events


async def test_a_whole_life_at_debug_tells_no_address(
    peer: BlueZPeer,
    root: Root,
    capfd: pytest.CaptureFixture[str],
    structured: list[structlog.typing.EventDict],
) -> None:
    """With the root logger at DEBUG: heard, lost with stale callbacks, recovered, stopped."""
    assert root.level == logging.DEBUG
    source = make_source()
    async with supervised(source) as ear:
        await ear.until_listening()
        peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
        peer.advertise(STRANGER, -60, manufacturer_data={1: b"x"})
        await ear.until(lambda: len(ear.heard) == 1)
        peer.vanish()
        await ear.until(lambda: ear.states == [True, False])
        shown = [repr(ear.said), repr(source), repr(source.health), repr(vars(source))]
        peer.plug_in()
        await ear.until_listening(lives=2)
    out, err = capfd.readouterr()
    everything = "\n".join([*root.lines, out, err, repr(structured), *shown])
    assert "radio lost" in everything
    assert not [secret for secret in SECRETS if secret in everything]


async def test_a_callback_that_fails_logs_no_traceback_with_an_address(
    peer: BlueZPeer,
    capfd: pytest.CaptureFixture[str],
    root: Root,
    structured: list[structlog.typing.EventDict],
) -> None:
    """dbus-fast logs a callback's exception in full; only its place and type get through."""

    def broken(address: str, *_parts: object) -> bool:
        raise ValueError(address)

    async def story() -> None:
        async with supervised(make_source(wanted=broken)) as ear:
            await ear.until_listening()
            peer.advertise(MEMBER, -60, service_data=SERVICE_DATA)
            await ear.until(lambda: "message handler raised" in repr(structured))
            await asyncio.sleep(0.5)

    with pytest.raises(RuntimeError, match="ValueError") as bug:
        await story()
    shown = "".join(traceback.format_exception(bug.value))
    out, err = capfd.readouterr()
    assert not [
        secret for secret in SECRETS if secret in f"{out}{err}{root.lines}{structured}{shown}"
    ]


async def test_a_loss_carries_no_other_exception(peer: BlueZPeer) -> None:
    """The traceback of a loss shows nothing of what bleak or D-Bus said in their own words."""
    peer.adapter().refusals += ["org.bluez.Error.Failed"]
    lost = await one_life(make_source())
    assert isinstance(lost, SourceLostError)
    shown = "".join(traceback.format_exception(lost))
    assert "bleak.exc" not in shown
    assert "refused by the simulator" not in shown


async def test_no_object_of_a_stranger_is_kept(peer: BlueZPeer) -> None:
    """Of a thousand strangers no advertisement or address object of ours exists."""
    source, began = make_source(), time.monotonic()
    async with supervised(source) as ear:
        await ear.until_listening()
        for n in range(1000):
            peer.advertise(f"D1:00:00:00:{n >> 8:02X}:{n & 255:02X}", -60)
        await ear.until(lambda: source.health.heard == 1000)
        # Objects that other tests left behind are not this one's: only what is newer counts.
        kept = [thing for thing in gc.get_objects() if isinstance(thing, Advertisement)]
        assert all(advertisement.at < began for advertisement in kept)
        assert len(source._watchdog._crowd) <= 4  # looks inside: absence cannot be seen outside
