"""A broker, an outbox and a publisher between them."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, ExitStack, asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from edge_agent.config import Mqtt
from edge_agent.publish.certificate import CertificateKeeper
from edge_agent.publish.channel import Channel
from edge_agent.publish.contract import State
from edge_agent.publish.outbox import Outbox
from edge_agent.publish.publisher import Publisher
from simulators.mosquitto import Mosquitto
from tests.publish.stories import BOOT, TOPICS, composer

Publishing = Callable[..., AbstractAsyncContextManager[Publisher]]
Brokers = Callable[..., Mosquitto]


@pytest.fixture
def start_broker(tmp_path: Path) -> Iterator[Brokers]:
    """Start a mosquitto with further lines of configuration; without mosquitto the test fails."""
    with ExitStack() as stack:

        def start(*lines: str) -> Mosquitto:
            folder = tmp_path / "broker"
            folder.mkdir()
            mosquitto = Mosquitto(folder)
            with (folder / "mosquitto.conf").open("a", encoding="utf-8") as config:
                config.writelines(f"{line}\n" for line in lines)
            return stack.enter_context(mosquitto)

        yield start


@pytest.fixture
def mosquitto(start_broker: Brokers) -> Mosquitto:
    """A broker that lets everybody do anything."""
    return start_broker()


@pytest.fixture
def outbox_file(tmp_path: Path) -> Path:
    """Where the outbox lies."""
    return tmp_path / "state" / "outbox.db"


@pytest.fixture
def publishing(outbox_file: Path) -> Publishing:
    """Run a publisher to the broker on a port until the end of the block, and stop it cleanly."""

    @asynccontextmanager
    async def run(
        port: int,
        *,
        folder: Path | None = None,
        boot: str = BOOT,
        channels: Sequence[Channel] = (),
        keeper: CertificateKeeper | None = None,
        **settings: Any,
    ) -> AsyncIterator[Publisher]:
        options: dict[str, Any] = {"url": f"mqtt://127.0.0.1:{port}", "allow_plaintext": True}
        path = outbox_file if folder is None else folder / "outbox.db"
        with Outbox.open(path) as outbox:
            publisher = Publisher(
                outbox,
                composer(),
                TOPICS,
                Mqtt(**options | settings),
                State(connected=True, boot=boot, session=outbox.session, version="1.2.3"),
                lambda: None,
                asyncio.get_running_loop().time,
                (*channels, *(() if keeper is None else (keeper,))),
            )
            if keeper is not None:
                publisher.show(keeper)
            task = asyncio.create_task(publisher.run(), name="publisher")
            try:
                yield publisher
            finally:
                publisher.stop()
                await asyncio.wait_for(task, 20)

    return run
