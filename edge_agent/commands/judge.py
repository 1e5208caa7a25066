"""Whether a command is to be executed: pure, in the order in which things can be known.

    payload --trust--> command --addressee, form--> order --clock, journal--> execute

`read_order` needs no clock: it says whether this is the hub's word, for this gateway, and what it
asks for. `judge` is asked once UTC is known, right before the execution. Both answer with what to
tell the hub. Nothing that came in is repeated but the id, which has a narrow form.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Final

from pydantic import BaseModel, ValidationError

from edge_agent.commands.actions import ACTIONS, Action
from edge_agent.commands.contract import MOST_AHEAD_S, Command, CommandFault, Status
from edge_agent.hub_word import UntrustedError, open_word

__all__ = ["SKEW_S", "Addressee", "Order", "RefusedError", "id_of", "judge", "read_order"]

SKEW_S: Final = 60.0  # by which the hub's clock may be ahead of ours
_LEAF: Final = re.compile(r"command/([A-Za-z0-9_-]{1,64})")
_MOST_FAULTS: Final = 20
_MOST_ADVICE: Final = 200  # characters


@dataclass(frozen=True, slots=True)
class Addressee:
    """Who this gateway is, and whose word it obeys."""

    tenant: str
    store: str
    gateway: str
    public_key: bytes | None = field(repr=False)
    """The hub's; None on a development machine, which obeys unsigned words."""


@dataclass(frozen=True, slots=True)
class Order:
    """A command of the hub's for this gateway, understood."""

    id: str
    action: Action
    arguments: BaseModel
    issued_at: float  # Unix seconds
    expires_at: float


class RefusedError(Exception):
    """It is not to be executed; says what to tell the hub.

    `known` is when it expires, where it is the hub's own word: then its end is remembered.
    """

    def __init__(
        self,
        status: Status,
        detail: str,
        faults: tuple[CommandFault, ...] = (),
        known: float | None = None,
    ) -> None:
        self.status, self.detail, self.faults, self.known = status, detail, faults, known
        super().__init__(detail)


def id_of(leaf: str) -> str | None:
    """Give the id that a topic names; None when it has not the form of one."""
    match = _LEAF.fullmatch(leaf)
    return None if match is None else match[1]


def read_order(ident: str, payload: bytes, addressee: Addressee) -> Order:
    """Understand what arrived on `command/{ident}`.

    Raises:
        RefusedError: it is not to be executed, now or ever.
    """
    try:
        word = open_word(payload, "command", addressee.public_key)
    except UntrustedError as error:
        raise RefusedError(Status.REFUSED, f"{error.distrust.value}: {error}") from None
    try:
        command = Command.model_validate(word)
    except ValidationError as error:
        raise RefusedError(
            Status.INVALID, "it has not the form of a command: see faults", _faults(error, "")
        ) from None
    if command.id != ident:
        raise RefusedError(Status.REFUSED, "wrong-id: its id is not the one in the topic")
    if (command.tenant, command.store, command.gateway) != (
        addressee.tenant,
        addressee.store,
        addressee.gateway,
    ):
        raise RefusedError(Status.REFUSED, "wrong-gateway: it is for another gateway")
    expires = command.expires_at.timestamp()
    action = ACTIONS.get(command.action)
    if action is None:
        known = ", ".join(sorted(ACTIONS))
        raise RefusedError(Status.UNKNOWN_ACTION, f"this version knows {known}", known=expires)
    try:
        arguments = action.arguments.model_validate(command.arguments)
    except ValidationError as error:
        raise RefusedError(
            Status.INVALID,
            "its arguments do not fit: see faults",
            _faults(error, "arguments"),
            expires,
        ) from None
    issued = command.issued_at.timestamp()
    if expires > issued + MOST_AHEAD_S:
        fault = CommandFault(path="expires_at", advice="at most 24 h after issued_at is expected")
        raise RefusedError(Status.INVALID, "it would be valid for too long", (fault,))
    return Order(ident, action, arguments, issued, expires)


def judge(order: Order, now: float, *, remembers_since: float, forgotten: float) -> None:
    """Say whether an order that was never seen before may be executed.

    Args:
        order: as understood.
        now: Unix seconds, from a clock that is set.
        remembers_since: when the journal began; what was issued before may have been executed.
        forgotten: the latest expiry that the journal has forgotten: a clock that was set back
            must not bring it to life again.

    Raises:
        RefusedError: it may not.
    """
    if max(now, forgotten) >= order.expires_at:
        raise RefusedError(
            Status.EXPIRED,
            "it expired before it could be executed; if it was, an earlier result said so",
            known=order.expires_at,
        )
    if order.issued_at > now + SKEW_S:
        fault = CommandFault(path="issued_at", advice="set the clocks of hub and gateway")
        raise RefusedError(
            Status.INVALID, "it was issued in the future", (fault,), order.expires_at
        )
    if order.issued_at < remembers_since:
        raise RefusedError(
            Status.REFUSED,
            "no-memory: it is older than this gateway's journal of commands, so it may have been"
            " executed before; issue a new one",
            known=order.expires_at,
        )


def _faults(error: ValidationError, root: str) -> tuple[CommandFault, ...]:
    """Say where the wrong values are; their names are ours, or have the form of a name."""
    found = []
    for fault in error.errors(include_url=False, include_input=False)[:_MOST_FAULTS]:
        parts = [str(part) for part in fault["loc"]]
        path = ".".join(filter(None, (root, *parts)))
        advice = fault["msg"].removeprefix("Value error, ")
        if fault["type"] == "extra_forbidden":
            path, advice = root or "command", "there is something in it that is not known here"
        found.append(CommandFault(path=path[:_MOST_ADVICE], advice=advice[:_MOST_ADVICE]))
    return tuple(found)
