"""The probation of a configuration, as a machine: every way that it can go."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule
from pydantic import TypeAdapter

from edge_agent.desired.ledger import MOST_STARTS, Ledger, Overlay, Probation, Trial, Vitals

WELL = Vitals(connected=True, listening=True, delivering=True)
LASTS = 100.0
FILES = TypeAdapter(Ledger)


def overlay(version: int) -> Overlay:
    """Give a version that differs from every other."""
    return Overlay(version, {"presence": {"enter_confidence": version / 1000}})


def on_trial(version: int = 1, *, listened: bool = True) -> Ledger:
    """Offer a version at 0, in boot `b`."""
    trial = Trial(overlay(version), "b", 0.0, LASTS, listened)
    return Ledger().offered(trial.overlay, trial, None)


def trial_of(ledger: Ledger) -> Trial:
    """Give what is on trial."""
    assert ledger.trial is not None
    return ledger.trial


def test_what_is_well_for_a_tenth_of_the_time_is_proved() -> None:
    """Well from 5 on: proved at 15, and then it is the good one."""
    ledger = on_trial()
    probation = Probation(trial_of(ledger))
    assert not probation.look(WELL, 5.0)
    assert not probation.look(WELL, 14.9)
    assert probation.look(WELL, 15.0)
    proved = ledger.proved(None)
    assert (proved.state, proved.in_force, proved.newest) == ("applied", overlay(1), 1)


def test_a_lapse_begins_the_proof_anew() -> None:
    """Well at 5, deaf at 10, well at 12: not proved before 22."""
    probation = Probation(trial_of(on_trial()))
    probation.look(WELL, 5.0)
    probation.look(Vitals(connected=True, listening=False, delivering=True), 10.0)
    probation.look(WELL, 12.0)
    assert not probation.look(WELL, 21.0)
    assert probation.look(WELL, 22.0)


def test_a_gateway_that_heard_nothing_before_need_not_hear_now() -> None:
    """Without a radio before, connected and delivering are proof."""
    deaf = Vitals(connected=True, listening=False, delivering=True)
    for listened, proved in ((True, False), (False, True)):
        probation = Probation(trial_of(on_trial(listened=listened)))
        probation.look(deaf, 0.0)
        assert probation.look(deaf, 10.0) is proved


def test_when_time_is_up_it_says_what_was_missing() -> None:
    """Deaf and without a broker until 100: both are named, and not a moment before."""
    probation = Probation(trial_of(on_trial()))
    probation.look(Vitals(connected=False, listening=False, delivering=True), 50.0)
    assert probation.failure(99.9) is None
    reason = probation.failure(100.0)
    assert reason is not None
    assert "broker" in reason
    assert "radio" in reason
    assert "acknowledgement" not in reason


def test_a_crash_loop_a_power_cut_and_a_late_return_revert() -> None:
    """The fourth start, a start in another boot, a start after the end: the good one is back."""
    ledger = on_trial()
    for _ in range(MOST_STARTS):
        ledger = ledger.started("b", 1.0, None)
        assert ledger.state == "probation"
    for gone in (
        ledger.started("b", 1.0, None),
        on_trial().started("another", 1.0, None),
        on_trial().started("b", LASTS, None),
    ):
        assert (gone.state, gone.in_force, gone.newest) == ("reverted", Overlay(), 1)
        assert gone.reverted is not None
        assert gone.reverted.version == 1


class Life(RuleBasedStateMachine):
    """A gateway whose hub, power and luck do what they like."""

    def __init__(self) -> None:
        super().__init__()
        self.ledger = Ledger()
        self.now, self.boot = 0.0, 0
        self.gone: set[int] = set()
        self.proved = {0}
        self.highest = 0
        self.starts = 0

    @rule(step=st.integers(1, 5), changes=st.booleans())
    @precondition(lambda self: self.ledger.trial is None)
    def offer(self, step: int, changes: bool) -> None:
        """The hub desires a newer version."""
        version = self.ledger.newest + step
        trial = Trial(overlay(version), str(self.boot), self.now, LASTS, listened=True)
        trial_or_none = trial if changes else None
        self.ledger = self.ledger.offered(overlay(version), trial_or_none, None)
        self.starts = 0
        if not changes:
            self.proved.add(version)

    @rule(passed=st.floats(0, 40), power_cut=st.booleans())
    def start(self, passed: float, power_cut: bool) -> None:
        """The process ends somehow, and begins again."""
        self.now, self.boot = self.now + passed, self.boot + power_cut
        before = self.ledger
        self.ledger = before.started(str(self.boot), self.now, None)
        self.starts += 1
        if before.trial is not None and (power_cut or self.starts > MOST_STARTS):
            assert self.ledger.trial is None
        self._note(before)

    @rule()
    @precondition(lambda self: self.ledger.trial is not None)
    def prove(self) -> None:
        """All was well for long enough."""
        self.proved.add(self.ledger.in_force.version)
        self.ledger = self.ledger.proved(None)

    @rule()
    @precondition(lambda self: self.ledger.in_force.version > 0)
    def revert(self) -> None:
        """The hub commands it, or time is up."""
        before = self.ledger
        self.ledger = before.revert("commanded", None)
        assert self.ledger.in_force.version < before.in_force.version
        self._note(before)

    @rule()
    def read_again(self) -> None:
        """Written down and read again, it is the same."""
        assert FILES.validate_json(FILES.dump_json(self.ledger)) == self.ledger

    @invariant()
    def what_was_given_up_is_never_in_force(self) -> None:
        """Nor was anything in force that is neither on trial nor was proved."""
        version = self.ledger.in_force.version
        assert version not in self.gone
        assert self.ledger.trial is not None or version in self.proved
        assert version <= self.ledger.newest
        assert self.ledger.newest >= self.highest
        self.highest = self.ledger.newest

    def _note(self, before: Ledger) -> None:
        if self.ledger.in_force != before.in_force:
            self.gone.add(before.in_force.version)
            assert self.ledger.state == "reverted"


TestLife = Life.TestCase
TestLife.settings = settings(max_examples=60, stateful_step_count=25, deadline=None)
