"""Presence as other programs decide it, each rule written afresh from its published description.

| rule | enter | exit | which receiver has her |
|---|---|---|---|
| `altbeacon` | first sighting | 10 s silence | - |
| `barnacles` | first | 15 s silence | strongest in 2 s |
| `espresense-count` | filtered d <= 2 m | d > 4 m, or 10 s silence | nearest; 15 s window inside Tukey's fences |
| `espresense-far` | d <= 10 m | d > 16 m, or 15 s silence | as above |
| `companion` | first | 30 s silence | - |
| `bermuda` | first | 30 s silence | 30 % nearer, or 15 % with five readings apart |
| `room-assistant` | first | 60 s silence, checked each 60 s | nearest, Kalman |
| `theengs` | first | 120 s silence; scans 5 s, sleeps 5 s | - |
| `ha-ibeacon` | first | 180 s silence | - |
| `monitor` | first | 2 x the longest interval where that is 45-240 s, else 240 s | - |
| `esphome` | first | 300 s silence | - |
| `habluetooth` | first | longest of 16 intervals + 5 s, else 900 s; swept each 300 s, after 195 s | 16 dB stronger |
| `meraki-visit` | 15 dB above a noise of -95 dBm | 120 s under 10 dB; told after 5 min | - |
| `timeout`, `timeout-80` | first; first at -80 dBm or more | 60 s silence | - |
| `strongest-*`, `ewma-6db` | first | 60 s silence | highest mean or EWMA, with a margin |
| `ewma-level` | EWMA >= -75 dBm | EWMA < -81 dBm, or 60 s silence | as above |

What a rule only uses to show a distance (altbeacon's trimmed mean) is left out. A rule that asks
which receiver has her takes an outside one for away; the others know of no zones.
"""  # noqa: E501 - a table

from __future__ import annotations

from typing import Final

from simulators.contest.peers.distance import Bermuda, Espresense, RoomAssistant
from simulators.contest.peers.heard import PeerRule
from simulators.contest.peers.receivers import Barnacles, Ewma, Habluetooth, Strongest
from simulators.contest.peers.silence import Monitor, Silence

__all__ = ["GATED", "PEERS", "PeerRule"]

MERAKI_NOISE_DBM: Final = -95.0
GATE_DBM: Final = -80.0

GATED: Final = tuple(
    Silence(f"timeout{gate:+.0f}", 60.0, enters_dbm=gate) for gate in (-90.0, -85.0, -75.0, -70.0)
)
"""A plain timeout behind other gates: what a gate trades passers-by for."""

PEERS: Final[tuple[PeerRule, ...]] = (
    Silence("altbeacon", 10.0),
    Barnacles(),
    Espresense("espresense-count", 10.0, enters_m=2.0, leaves_m=4.0),
    Espresense("espresense-far", 15.0, enters_m=10.0, leaves_m=16.0),
    Silence("companion", 30.0),
    Bermuda(),
    RoomAssistant(),
    Silence("theengs", 120.0, scans_s=5.0),
    Silence("ha-ibeacon", 180.0),
    Monitor(),
    Silence("esphome", 300.0),
    Habluetooth(),
    Silence(
        "meraki-visit",
        120.0,
        enters_dbm=MERAKI_NOISE_DBM + 15.0,
        keeps_dbm=MERAKI_NOISE_DBM + 10.0,
        visit_at_least_s=300.0,
    ),
    Silence("timeout", 60.0),
    Silence(f"timeout{GATE_DBM:+.0f}", 60.0, enters_dbm=GATE_DBM),
    Strongest("strongest-2s", 60.0, window_s=2.0, margin_db=0.0),
    Strongest("strongest-5s-3db", 60.0, window_s=5.0, margin_db=3.0),
    Strongest("strongest-20s-6db", 60.0, window_s=20.0, margin_db=6.0),
    Ewma("ewma-6db"),
    Ewma("ewma-level", enters_dbm=-75.0),
)
