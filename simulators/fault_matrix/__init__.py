"""The fault matrix: what is broken, one scenario each, judged by one oracle.

`scenario` says what a scenario is and what it must give; each family of faults has a module with a
tuple `SCENARIOS`. The oracle is `simulators.fault_oracle`: the hub's set is what was committed less
what a tombstone declares, nothing is applied twice, and nothing out of order within a gateway.
"""
