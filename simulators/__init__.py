"""Simulators: a store of phones with ground truth, a reference hub, peers of the radio stack."""
