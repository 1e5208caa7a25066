"""The composition root of `edge-agent run`: which parts there are, and who owns which task.

    sources --feed--> pipeline --submit--> publisher --> broker
              ^                     ^
        (supervised)             ticker (what falls due without evidence)

Everything but the sources' and paho's threads happens on one event loop. A part that fails for a
reason nobody foresaw ends the process, and systemd starts it again: the outbox knows where it was.
"""

from __future__ import annotations

import asyncio
import json
import signal
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import structlog

from edge_agent import __version__
from edge_agent.clock import Clock, SystemClock, boot_id
from edge_agent.config import Config
from edge_agent.deeds import Ending
from edge_agent.desired.tenure import Tenure
from edge_agent.dumps import forbid_dumps
from edge_agent.health import published
from edge_agent.identify.identifier import Directory, Identifier
from edge_agent.identify.roster import Roster
from edge_agent.membership import Membership
from edge_agent.memory import keep_little
from edge_agent.model import Observation
from edge_agent.pipeline import Decided, Pipeline
from edge_agent.publish.contract import ClockQuality, State, utc_text
from edge_agent.publish.outbox import StoredVisit
from edge_agent.publish.outbox_rescue import open_outbox
from edge_agent.publish.publisher import Publisher
from edge_agent.publish.topics import Topics
from edge_agent.remote import Remote
from edge_agent.sources.ble import BleSource
from edge_agent.sources.source import Source, supervise
from edge_agent.state_file import replace_file
from edge_agent.status import status_file
from edge_agent.survey_file import SurveyUnusableError, read_lessons, write_lessons

if TYPE_CHECKING:
    from edge_agent.publish.certificate import CertificateKeeper

__all__ = ["Agent", "Ending", "SourceFactory", "run_agent"]

CHECKPOINT_S: Final = 30.0
SURVEY_S: Final = 600.0  # what a store teaches in ten minutes may be lost to a power cut
HEALTH_S: Final = 10.0
NEWS_S: Final = 1.0  # between the first reports: a technician waits for them
NEWS_REPORTS: Final = 9
LONGEST_TICK_S: Final = 1.0  # a deadline brought forward by a sighting waits no longer than this
CLOCK_POLL_S: Final = 1.0

log = structlog.get_logger()

SourceFactory = Callable[[Config, Identifier, Clock], Sequence[Source]]


def bluetooth_sources(config: Config, identifier: Identifier, clock: Clock) -> Sequence[Source]:
    """Make a source of each configured adapter. A new kind of radio is added here."""
    return [
        BleSource(
            gateway=config.gateway,
            adapter=adapter,
            name="ble" if n == 0 else f"ble:{adapter}",
            scanning=config.ble.scanning,
            namespace=config.ble.namespace,
            wanted=identifier.wants,
            now=clock.now,
        )
        for n, adapter in enumerate(config.ble.adapters)
    ]


class Agent:
    """One gateway's agent."""

    def __init__(
        self,
        config: Config,
        *,
        clock: Clock | None = None,
        sources: SourceFactory = bluetooth_sources,
        tenure: Tenure | None = None,
    ) -> None:
        """Open the outbox; nothing is connected or scanned before `run`.

        Without a `tenure` the hub cannot change the configuration.
        """
        self._config = config
        self._clock = clock or SystemClock()
        self._make_sources = sources
        self._boot = boot_id()
        self._outbox = open_outbox(config.state.directory / "outbox.db", config.delivery)
        self._recalled = False
        self._stop = asyncio.Event()
        self._sources: Sequence[Source] = ()
        self.pipeline = Pipeline(config, Directory(Roster.empty()), self._clock, self._boot)
        self.membership = Membership(
            config, self._clock, self.pipeline, self._decided, self._outbox.roster_seq
        )
        self._take_up_survey()
        self._lessons = self.pipeline.store.dump()  # as last read or written
        self._certificates = _certificates(config, self._clock)
        self.ending = Ending.STOPPED
        self._remote = Remote(self, config, self._clock, self._boot, tenure)
        self.publisher = Publisher(
            self._outbox,
            self.pipeline.composer,
            Topics(config.tenant, config.store, config.gateway),
            config.mqtt,
            State(
                connected=True,
                boot=self._boot,
                session=self._outbox.session,
                version=__version__,
            ),
            self._visits_to_keep,
            asyncio.get_running_loop().time,
            (
                *self.membership.channels,
                *self._remote.channels,
                *(() if self._certificates is None else (self._certificates,)),
            ),
        )
        if self._certificates is not None:
            self.publisher.show(self._certificates)

    def stop(self, ending: Ending = Ending.STOPPED) -> None:
        """Stop cleanly: nobody exits, what was decided is stored, the hub is told."""
        self.ending = ending
        self._stop.set()

    @property
    def listening(self) -> bool:
        """Whether any radio is heard."""
        return any(source.health.listening for source in self._sources)

    def submit(self, decided: Decided) -> None:
        """Store and deliver what was decided."""
        self._decided(decided)

    async def run(self) -> None:
        """Run until `stop`.

        Raises:
            RosterError: when the configured roster cannot be used at the start.
        """
        delivery = asyncio.create_task(self.publisher.run(), name="publisher")
        stop = asyncio.create_task(self._stop.wait(), name="stop")
        try:
            await self._watch_over(delivery, stop)
            await self._store_survey()
        finally:
            self.publisher.stop()
            await delivery
            stop.cancel()
            self._outbox.close()
            status_file(self._config).unlink(missing_ok=True)

    async def _watch_over(self, delivery: asyncio.Task[None], stop: asyncio.Task[bool]) -> None:
        """Begin to hear and to report, and go on until told to stop or a task fails."""
        own = {
            asyncio.create_task(self._hear(), name="hearing"),
            asyncio.create_task(self._report(), name="health"),
            asyncio.create_task(self._keep_survey(), name="survey"),
            asyncio.create_task(self._remote.run(), name="remote"),
        }
        try:
            done, _ = await asyncio.wait(
                {*own, delivery, stop}, return_when=asyncio.FIRST_COMPLETED
            )
            for task in done:
                task.result()  # raises what the task raised
        finally:
            for task in own:
                task.cancel()
            await asyncio.gather(*own, return_exceptions=True)

    async def _hear(self) -> None:
        """Take up where the last life stopped, then listen for ever."""
        await self._clock_set()
        directory = await self.membership.first(self.publisher)
        visits = await self.publisher.in_outbox(lambda outbox: outbox.visits())
        self.pipeline.recall(visits)
        self._recalled = True
        if directory is not None:
            await self.membership.put_in_force(directory)
        self._sources = self._make_sources(self._config, self.pipeline.identifier, self._clock)
        log.info("started", roster=self.membership.note, visits=len(visits))
        async with asyncio.TaskGroup() as tasks:
            for source in self._sources:
                tasks.create_task(
                    supervise(source, self._observe, self._clock.now), name=source.name
                )
            tasks.create_task(self._tick(), name="ticker")
            tasks.create_task(self.membership.keep_tables(), name="eid tables")
            tasks.create_task(self.membership.follow(), name="roster")

    async def _clock_set(self) -> None:
        """Wait until UTC means something: EIDs, the lease and restored visits need it."""
        warned = False
        while self._clock.quality() is ClockQuality.UNSYNCHRONISED:
            if not warned:
                log.warning("clock_unsynchronised", advice="nothing resolves until NTP has set it")
                warned = True
            await asyncio.sleep(CLOCK_POLL_S)

    def _observe(self, observation: Observation) -> None:
        self._decided(self.pipeline.feed(observation))

    def _decided(self, decided: Decided) -> None:
        if decided:
            self.publisher.submit(decided)

    async def _tick(self) -> None:
        """Let what falls due without evidence be decided; store how far visits have got."""
        checkpoint_at = self._clock.now() + CHECKPOINT_S
        while True:
            now = self._clock.now()
            self._decided(self.pipeline.advance(now))
            if now >= checkpoint_at:
                await self.publisher.checkpoint()
                checkpoint_at = now + CHECKPOINT_S
            due = self.pipeline.deadline
            pause = LONGEST_TICK_S if due is None else self._clock.seconds_until(due)
            await asyncio.sleep(min(LONGEST_TICK_S, max(0.01, pause)))

    def _visits_to_keep(self) -> list[StoredVisit] | None:
        """Give the open visits, once those of the last life have been taken up."""
        return self.pipeline.stored_visits() if self._recalled else None

    async def _report(self) -> None:
        """Say how the gateway is: to the hub, and to `edge-agent status` on this machine."""
        path = status_file(self._config)
        reports = 0
        while True:
            reports += 1
            health = self.health()
            self.publisher.report_health(published(health))
            if self._certificates is not None:
                self._certificates.look()
            await asyncio.to_thread(replace_file, path, json.dumps(health).encode(), durable=False)
            await asyncio.sleep(NEWS_S if reports <= NEWS_REPORTS else HEALTH_S)

    def _take_up_survey(self) -> None:
        """Go on with what the store has taught before; without it, it is learnt anew."""
        try:
            lessons = read_lessons(self._config)
        except SurveyUnusableError as error:
            log.warning("survey_ignored", reason=str(error), advice="the store is learnt anew")
            return
        if lessons is not None:
            self.pipeline.store.load(lessons)

    async def _keep_survey(self) -> None:
        """Write down now and then what the store has taught."""
        while True:
            await asyncio.sleep(SURVEY_S)
            await self._store_survey()

    async def _store_survey(self) -> None:
        lessons = self.pipeline.store.dump()
        if lessons != self._lessons:
            self._lessons = lessons
            await asyncio.to_thread(write_lessons, self._config, lessons)

    def _certificate_advice(self) -> dict[str, str]:
        alarms = () if self._certificates is None else self._certificates.alarms
        return dict(alarm.split(": ", 1) for alarm in alarms)

    def health(self) -> dict[str, object]:
        """Say how the gateway is, without a pseudonym; exact, for this machine alone."""
        delivery = self.publisher.state
        now = self._clock.now()
        return {
            "at": utc_text(datetime.fromtimestamp(self._clock.unix(now), UTC)),
            "version": __version__,
            "scanning": self.listening,
            "clock": self._clock.quality().value,
            "roster": self.membership.note,
            "membership": self.membership.describe(),
            "sources": {
                source.name: {
                    "listening": health.listening,
                    "heard": health.heard,
                    "silent_s": None
                    if health.last_heard_at is None
                    else round(now - health.last_heard_at, 1),
                    "detail": health.detail,
                }
                for source in self._sources
                for health in (source.health,)
            },
            "visits": sum(v.exit_decided_at is None for v in self.pipeline.tracker.open_visits),
            "dropped": dict(self.pipeline.identifier.counts),
            **self._remote.health,
            "delivery": {
                "connected": delivery.connected,
                "queue": delivery.outstanding + delivery.pending,
                "last_ack": delivery.watermark,
                "lost_to_full_disk": delivery.dropped,
                "detail": delivery.detail,
                "alarms": {**delivery.advice, **self._certificate_advice()},
            },
        }


def _certificates(config: Config, clock: Clock) -> CertificateKeeper | None:
    """Keep the gateway's certificate, where it has one."""
    mqtt = config.mqtt
    if mqtt.cert_file is None or mqtt.key_file is None:
        return None
    from edge_agent.publish.certificate import CertificateKeeper  # noqa: PLC0415 - see there

    def unix() -> float | None:
        known = clock.quality() is not ClockQuality.UNSYNCHRONISED
        return clock.unix(clock.now()) if known else None

    pair = mqtt.cert_file, mqtt.key_file
    return CertificateKeeper(pair, config.state.directory / "identity", unix, clock.now)


async def run_agent(tenure: Tenure) -> Ending:
    """Run the agent until SIGTERM, SIGINT or a command; says which way it ended.

    Raises:
        RosterError: when the configured roster cannot be used at the start.
    """
    forbid_dumps()
    keep_little()
    agent = Agent(tenure.config, tenure=tenure)
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, agent.stop)
    await agent.run()
    return agent.ending
