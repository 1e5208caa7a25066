"""A lossy road for IP packets: two TUN devices with a program between that drops, delays, reorders.

    main namespace                          namespace of a thread
    10.201.N.1 (device) <--> this program <--> 10.201.N.2 (device): the gate listens there

What `tc netem` does in kernels that have it, which not all do. TCP itself is the kernel's.
A socket stays in the network namespace of the thread that made it, so that the gate, made there,
serves in this process and still leads to the broker on loopback.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import fcntl
import os
import random
import socket
import struct
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import Final, Self

__all__ = ["FAR", "LossyLink", "NoLinkError"]

_NUMBER: Final = os.getpid() % 251  # two runs at a time do not meet
NEAR: Final = f"10.201.{_NUMBER}.1"
FAR: Final = f"10.201.{_NUMBER}.2"
_MTU: Final = 1500
_CLONE_NEWNET: Final = 0x4000_0000  # linux/sched.h
_TUNSETIFF: Final = 0x4004_54CA  # linux/if_tun.h
_IFF_TUN_NO_PI: Final = 0x1001


class NoLinkError(Exception):
    """This machine does not let us make network devices: root and /dev/net/tun are needed."""


class LossyLink:
    """A link for the length of a `with`; `listener` is a socket at its far end."""

    def __init__(self, seed: int, *, loss: float, delay_s: tuple[float, float]) -> None:
        """Plan a link.

        Args:
            seed: of the dice.
            loss: how likely a packet is dropped, each way.
            delay_s: from and to; packets overtake each other.
        """
        self._dice = random.Random(seed)
        self._loss = loss
        self._delay = delay_s
        self.dropped = self.carried = 0
        self._ends: list[int] = []
        self.listener: socket.socket

    def __enter__(self) -> Self:
        """Make both devices; within a running event loop.

        Raises:
            NoLinkError: it is not permitted here.
        """
        try:
            near = _device(f"lossy{_NUMBER}", NEAR, FAR)
            self._ends.append(near)
            with ThreadPoolExecutor(1) as elsewhere:
                far, self.listener = elsewhere.submit(_far_end).result()
            self._ends.append(far)
        except (OSError, subprocess.CalledProcessError) as error:
            self._close()
            raise NoLinkError(f"no TUN devices here ({error}): root and /dev/net/tun") from error
        loop = asyncio.get_running_loop()
        loop.add_reader(near, self._carry, near, far)
        loop.add_reader(far, self._carry, far, near)
        return self

    def __exit__(self, *_: object) -> None:
        loop = asyncio.get_running_loop()
        for end in self._ends:
            loop.remove_reader(end)
        self.listener.close()
        self._close()

    def _close(self) -> None:
        ends, self._ends = self._ends, []
        for end in ends:
            os.close(end)

    def _carry(self, source: int, target: int) -> None:
        """Take one packet from a device; it reaches the other later, or never."""
        packet = os.read(source, _MTU)
        if self._dice.random() < self._loss:
            self.dropped += 1
            return
        self.carried += 1
        loop = asyncio.get_running_loop()
        loop.call_later(self._dice.uniform(*self._delay), self._deliver, target, packet)

    def _deliver(self, target: int, packet: bytes) -> None:
        if target in self._ends:
            with contextlib.suppress(BlockingIOError):  # the device is full: lost as well
                os.write(target, packet)


def _device(name: str, own: str, peer: str) -> int:
    """Make a TUN device in this thread's namespace, and give its file."""
    end = os.open("/dev/net/tun", os.O_RDWR | os.O_NONBLOCK)
    fcntl.ioctl(end, _TUNSETIFF, struct.pack("16sH22x", name.encode(), _IFF_TUN_NO_PI))
    for command in (
        ("address", "add", own, "peer", peer, "dev", name),
        ("link", "set", name, "mtu", str(_MTU), "up"),
    ):
        subprocess.run(["ip", *command], check=True, capture_output=True)  # noqa: S603, S607
    return end


def _far_end() -> tuple[int, socket.socket]:
    """In a namespace of this thread alone: a device, and a socket that listens there."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET):
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))
    end = _device(f"lossy{_NUMBER}", FAR, NEAR)
    listener = socket.create_server((FAR, 0))
    return end, listener
