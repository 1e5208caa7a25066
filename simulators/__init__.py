"""Simulators: a store of phones with ground truth, a reference hub, peers of the radio stack.

The store's day is drawn in `store` (people, phones, radio, strangers, stations) and met by others
as a `day`; `bluez` puts it on the air of a D-Bus; `score` compares an agent's events with the
truth.
"""
